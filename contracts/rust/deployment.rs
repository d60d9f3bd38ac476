//! The record of a deployment: what stands where on one chain, and what was paid for it. `deploy` writes it, the keeper
//! reads it.
//!
//! It is replaced as a whole: whoever reads it sees the old or the new one, also after a crash in between.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use crate::MarketParams;

/// The shape that this version reads and writes.
pub const SCHEMA: u32 = 1;

/// What stands on a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Of this file; see [`SCHEMA`].
    pub schema: u32,
    /// The manifest's name for the network.
    pub network: String,
    /// The chain.
    pub chain_id: u64,
    /// The hash of block 0, which tells chains of one id apart.
    pub genesis: B256,
    /// Who sent everything.
    pub deployer: Address,
    /// Contracts by name in the manifest, such as `contracts.Plimsoll` or `oracles.eth-usdc`.
    pub contracts: BTreeMap<String, DeployedContract>,
    /// Tokens by name.
    pub tokens: BTreeMap<String, TokenRecord>,
    /// Price feeds by name.
    pub feeds: BTreeMap<String, Address>,
    /// Pools of the exchange by name.
    pub pools: BTreeMap<String, PoolRecord>,
    /// Markets by name.
    pub markets: BTreeMap<String, MarketRecord>,
    /// Staking programmes by name.
    pub programmes: BTreeMap<String, ProgrammeRecord>,
    /// Payments into programmes by their id: what is here is never paid again.
    pub fundings: BTreeMap<String, Sent>,
    /// The transaction that is on its way, written down before it is sent.
    pub in_flight: Option<InFlight>,
}

/// A contract that was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployedContract {
    /// Its name in Solidity.
    pub contract: String,
    /// Where it is.
    pub address: Address,
    /// What its constructor was given, ABI-encoded.
    pub arguments: Bytes,
    /// The salt of its address.
    pub salt: B256,
    /// The keccak256 of the code on chain.
    pub code_hash: B256,
    /// Which transaction created it; unknown where somebody else's did.
    pub created: Option<Sent>,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Where it is.
    pub address: Address,
    /// How many decimals it has.
    pub decimals: u8,
}

/// A pool of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolRecord {
    /// Where it is.
    pub address: Address,
    /// Its token with the lower address.
    pub token0: Address,
    /// Its other token.
    pub token1: Address,
    /// What a swap costs, in millionths.
    pub fee: u32,
    /// Which transaction created it; unknown where somebody else's did.
    pub created: Option<Sent>,
}

/// A market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketRecord {
    /// Its id.
    pub id: B256,
    /// What is lent.
    pub loan_token: Address,
    /// What secures the loans.
    pub collateral_token: Address,
    /// What prices the collateral.
    pub oracle: Address,
    /// The risk word.
    pub risk: U256,
    /// The rate curve word.
    pub curve: U256,
    /// Which transaction created it; unknown where somebody else's did.
    pub created: Option<Sent>,
}

impl MarketRecord {
    /// The parameters that every call to the market takes.
    #[must_use]
    pub const fn params(&self) -> MarketParams {
        MarketParams {
            loanToken: self.loan_token,
            collateralToken: self.collateral_token,
            oracle: self.oracle,
            risk: self.risk,
            curve: self.curve,
        }
    }
}

/// A staking programme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgrammeRecord {
    /// Its id.
    pub id: B256,
    /// What is staked.
    pub stake_token: Address,
    /// What is paid.
    pub reward_tokens: Vec<Address>,
    /// Which transaction created it; unknown where somebody else's did.
    pub created: Option<Sent>,
}

/// A transaction that was mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// Its hash.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
    /// The block's hash.
    pub block_hash: B256,
}

/// A transaction that was signed, and perhaps sent. The same bytes can be sent again without doing anything twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InFlight {
    /// What it is for.
    pub step: String,
    /// Whether it pays into a programme: then the funding's id, under which it will be recorded.
    pub funding: Option<String>,
    /// Of the deployer's.
    pub nonce: u64,
    /// Its hash.
    pub transaction: B256,
    /// All of it, signed.
    pub raw: Bytes,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It is not such a record.
    #[error("{}: this is not a deployment record: {problem}", .path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another version wrote it.
    #[error("{}: the record has schema {found}, and this version reads {SCHEMA}: use the version that wrote it", .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u64,
    },
}

impl Deployment {
    /// The record of a chain on which nothing was done yet.
    #[must_use]
    pub const fn new(network: String, chain_id: u64, genesis: B256, deployer: Address) -> Self {
        Self {
            schema: SCHEMA,
            network,
            chain_id,
            genesis,
            deployer,
            contracts: BTreeMap::new(),
            tokens: BTreeMap::new(),
            feeds: BTreeMap::new(),
            pools: BTreeMap::new(),
            markets: BTreeMap::new(),
            programmes: BTreeMap::new(),
            fundings: BTreeMap::new(),
            in_flight: None,
        }
    }

    /// Reads a record; `None` where there is no file.
    pub fn read(path: &Path) -> Result<Option<Self>, DeploymentError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DeploymentError::Io { path: path.to_path_buf(), source }),
        };
        let not_a_record = |error: serde_json::Error| DeploymentError::NotARecord {
            path: path.to_path_buf(),
            problem: error.to_string(),
        };
        let json: serde_json::Value = serde_json::from_str(&text).map_err(not_a_record)?;
        match json.get("schema").and_then(serde_json::Value::as_u64) {
            Some(found) if found != u64::from(SCHEMA) => {
                Err(DeploymentError::Schema { path: path.to_path_buf(), found })
            }
            _ => serde_json::from_value(json).map(Some).map_err(not_a_record),
        }
    }

    /// Writes the record so that it survives a crash, or leaves the old one as it was.
    pub fn write(&self, path: &Path) -> Result<(), DeploymentError> {
        let io_error = |source| DeploymentError::Io { path: path.to_path_buf(), source };
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| DeploymentError::NotARecord { path: path.to_path_buf(), problem: error.to_string() })?;
        text.push('\n');
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(io_error)?;
        let new = path.with_extension("json.new");
        let mut file = File::create(&new).map_err(io_error)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error)?;
        fs::rename(&new, path).map_err(io_error)?;
        // The new name is safe only once the folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)
    }

    /// The address of a contract by its name in the manifest, such as `contracts.Plimsoll`.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<Address> {
        self.contracts.get(name).map(|contract| contract.address)
    }

    /// The one contract of a kind, such as `Plimsoll`; `None` where there is none or more than one.
    #[must_use]
    pub fn only(&self, contract: &str) -> Option<&DeployedContract> {
        let mut found = self.contracts.values().filter(|deployed| deployed.contract == contract);
        found.next().filter(|_| found.next().is_none())
    }

    /// The first block with anything of ours in it, as far as it is known: where to begin to read events.
    #[must_use]
    pub fn first_block(&self) -> Option<u64> {
        self.contracts.values().filter_map(|deployed| deployed.created).map(|sent| sent.block).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Deployment {
        let mut record = Deployment::new("test".into(), 31_337, B256::repeat_byte(1), Address::repeat_byte(2));
        let sent = Sent { transaction: B256::repeat_byte(3), block: 7, block_hash: B256::repeat_byte(4) };
        let contract = DeployedContract {
            contract: "Plimsoll".into(),
            address: Address::repeat_byte(5),
            arguments: Bytes::from_static(&[1, 2, 3]),
            salt: B256::ZERO,
            code_hash: B256::repeat_byte(6),
            created: Some(sent),
        };
        record.contracts.insert("contracts.Plimsoll".into(), contract);
        record.fundings.insert("launch".into(), sent);
        record
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/31337.json");
        assert_eq!(Deployment::read(&path).unwrap(), None);
        record().write(&path).unwrap();
        assert_eq!(Deployment::read(&path).unwrap(), Some(record()));
        assert_eq!(record().only("Plimsoll").unwrap().address, Address::repeat_byte(5));
        assert_eq!(record().first_block(), Some(7));
    }

    #[test]
    fn a_record_of_another_schema_is_refused_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.json");
        fs::write(&path, r#"{ "schema": 2, "whatever": true }"#).unwrap();
        let error = Deployment::read(&path).unwrap_err().to_string();
        assert!(error.contains("schema 2") && error.contains("reads 1"), "{error}");
        fs::write(&path, "{").unwrap();
        assert!(Deployment::read(&path).unwrap_err().to_string().contains("not a deployment record"));
    }
}
