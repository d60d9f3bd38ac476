//! The deployment that the keeper serves: the record that `deploy` wrote, or addresses one by one; none where it serves other
//! protocols alone.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, B256};
use plimsoll_contracts::{
    MarketId,
    deployment::{DeployedContract, Deployment},
};
use serde::Deserialize;

use super::{
    tree::{Origin, Tree},
    units,
};

/// Where `deploy up` leaves its record.
const LOCAL_RECORD: &str = "target/deployments/31337.json";
/// What the names of vaults begin with in a record.
const VAULTS: &str = "vaults.";
/// Settings that the record fills in, with the contract whose address each one is.
const CONTRACTS: [(&str, &str); 6] = [
    ("core", "Plimsoll"),
    ("rewards", "Rewards"),
    ("lens", "Lens"),
    ("liquidator", "Liquidator"),
    ("guard", "Guard"),
    ("order_executor", "OrderExecutor"),
];

/// A deployment: the settings of `[deployment]`, and names from the record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deployed {
    /// File of the deployment record, if there is one.
    pub record: Option<PathBuf>,
    /// Chain id.
    pub chain_id: u64,
    /// Hash of block 0; if unknown, the node is asked for it.
    #[serde(deserialize_with = "units::hash")]
    pub genesis: Option<B256>,
    /// Address of the lending core; zero where the keeper serves other protocols alone.
    #[serde(deserialize_with = "units::address")]
    pub core: Address,
    /// Address of the staking programmes' contract.
    #[serde(deserialize_with = "units::address")]
    pub rewards: Option<Address>,
    /// Address of the lens, which people read and `plimsoll-keeper check` verifies; nothing else here does.
    #[serde(deserialize_with = "units::address")]
    pub lens: Option<Address>,
    /// Address of the contract that liquidates without capital.
    #[serde(deserialize_with = "units::address")]
    pub liquidator: Option<Address>,
    /// Address of the guard, whose orders are followed.
    #[serde(deserialize_with = "units::address")]
    pub guard: Option<Address>,
    /// Address of the contract that executes orders without capital.
    #[serde(deserialize_with = "units::address")]
    pub order_executor: Option<Address>,
    /// First block with events of the deployment.
    pub first_block: u64,
    /// Which markets and staking programmes are followed.
    pub follow: Follow,
    /// Display name of the network.
    #[serde(skip)]
    pub network: String,
    /// Contracts of the record by name, such as `contracts.Lens`.
    #[serde(skip)]
    pub contracts: BTreeMap<String, DeployedContract>,
    /// Names of markets by id.
    #[serde(skip)]
    pub market_names: BTreeMap<MarketId, String>,
    /// Names of staking programmes by id.
    #[serde(skip)]
    pub programme_names: BTreeMap<B256, String>,
    /// Names of the record's vaults by address.
    #[serde(skip)]
    pub vault_names: BTreeMap<Address, String>,
}

/// Which markets and staking programmes are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// Those of the record, and markets that have settings of their own.
    #[default]
    Configured,
    /// Every one that is ever created, by whomever.
    All,
}

impl Deployed {
    /// Returns the address of the lending core; `None` where the keeper serves other protocols alone.
    #[must_use]
    pub fn core(&self) -> Option<Address> {
        (!self.core.is_zero()).then_some(self.core)
    }

    /// The name of a market, or the beginning of its id if it has none.
    #[must_use]
    pub fn market_name(&self, id: MarketId) -> String {
        self.market_names.get(&id).cloned().unwrap_or_else(|| short(id.0))
    }

    /// The name of a staking programme, or the beginning of its id if it has none.
    #[must_use]
    pub fn programme_name(&self, id: B256) -> String {
        self.programme_names.get(&id).cloned().unwrap_or_else(|| short(id))
    }

    /// The name of a vault, or the beginning of its address if it has none.
    #[must_use]
    pub fn vault_name(&self, address: Address) -> String {
        self.vault_names.get(&address).cloned().unwrap_or_else(|| format!("0x{}…", &alloy::hex::encode(address)[..8]))
    }

    /// The name of a market, staking programme or vault; of one without a name the address where the id is one, or else the
    /// beginning of the id.
    #[must_use]
    pub fn name_of(&self, id: B256) -> String {
        let address = id.starts_with(&[0; 12]).then(|| Address::from_word(id));
        let vault = address.and_then(|address| self.vault_names.get(&address));
        match (vault.or_else(|| self.programme_names.get(&id)), address) {
            (Some(name), _) => name.clone(),
            (None, Some(address)) => address.to_string(),
            (None, None) => self.market_name(MarketId(id)),
        }
    }

    /// Reads `[deployment]` and its record, which is empty if none is named; `None` if a problem was found. Relative paths
    /// start at `folder`. With `[[protocols]]` the chain's id may be all that is said: then there is no deployment.
    pub(super) fn read(root: &mut Tree, folder: &Path) -> Option<(Self, Deployment)> {
        root.add(&Origin::Default, "deployment.first_block = 0");
        let names_contracts = ["record"].into_iter().chain(CONTRACTS.map(|(key, _)| key));
        let has_others_alone = root.is_set(&["protocols"])
            && root.is_set(&["deployment", "chain_id"])
            && !names_contracts.into_iter().any(|key| root.is_set(&["deployment", key]));
        if !root.is_set(&["deployment", "core"]) && !has_others_alone {
            root.add(&Origin::Default, &format!("deployment.record = \"{LOCAL_RECORD}\""));
        }
        let path = root.read::<Self>("deployment")?.record.map(|path| folder.join(path));
        let record = match path.as_deref().map(|path| (path, Deployment::read(path))) {
            None => None,
            Some((path, Ok(Some(record)))) => {
                root.add(&Origin::Record(path.display().to_string()), &settings_of(&record));
                Some(record)
            }
            Some((path, Ok(None))) => {
                root.problem(&["deployment", "record"], no_record(path));
                return None;
            }
            Some((_, Err(error))) => {
                root.problem(&["deployment", "record"], error.to_string());
                return None;
            }
        };
        let deployed: Self = root.read("deployment")?;
        if deployed.chain_id == 0 && !root.is_set(&["deployment", "chain_id"]) {
            root.problem(&["deployment"], "say the `chain_id`, or name a `record`");
        }
        if deployed.core.is_zero() && !root.is_set(&["deployment", "core"]) && !has_others_alone {
            let needed = "the keeper needs `core`, the address of the contract Plimsoll";
            root.problem(&["deployment"], format!("{needed}: say it, or name a `record` that has it"));
        }
        let is_complete = deployed.chain_id != 0 && (has_others_alone || deployed.core().is_some());
        let nothing = || Deployment::new(String::new(), deployed.chain_id, B256::ZERO, Address::ZERO);
        let found = record.unwrap_or_else(nothing);
        let named = Self {
            record: path,
            network: found.network.clone(),
            contracts: found.contracts.clone(),
            market_names: found.markets.iter().map(|(name, market)| (MarketId(market.id), name.clone())).collect(),
            vault_names: vaults(&found).map(|(name, address)| (address, name.to_owned())).collect(),
            programme_names: found.programmes.iter().map(|(name, pool)| (pool.id, name.clone())).collect(),
            ..deployed
        };
        is_complete.then_some((named, found))
    }
}

/// The vaults of a record, with their names in the manifest.
pub(super) fn vaults(record: &Deployment) -> impl Iterator<Item = (&str, Address)> {
    record.contracts.iter().filter_map(|(key, contract)| Some((key.strip_prefix(VAULTS)?, contract.address)))
}

/// What a record says about `[deployment]`, as TOML.
fn settings_of(record: &Deployment) -> String {
    let contract = |(key, contract)| Some(format!("{key} = \"{}\"\n", record.only(contract)?.address));
    let contracts: String = CONTRACTS.into_iter().filter_map(contract).collect();
    let (id, genesis, first) = (record.chain_id, record.genesis, record.first_block().unwrap_or_default());
    format!("[deployment]\nchain_id = {id}\ngenesis = \"{genesis}\"\nfirst_block = {first}\n{contracts}")
}

fn no_record(path: &Path) -> String {
    format!(
        "there is no deployment record at {}: `deploy` writes one; name it as `record` in [deployment], or say \
         `chain_id` and `core` there, or `chain_id` alone with [[protocols]]",
        path.display()
    )
}

/// The beginning of an id, for display.
pub(super) fn short(id: B256) -> String {
    format!("0x{}…", &alloy::hex::encode(id)[..8])
}
