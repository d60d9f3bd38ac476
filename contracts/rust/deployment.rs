//! The record of a deployment: addresses of contracts, tokens, pools and markets on one chain, with the transactions
//! that created them. `deploy` writes it, the keeper reads it.
//!
//! The file is replaced as a whole: a reader sees the old or the new record, even after a crash while writing.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use crate::MarketParams;

/// The schema version that this version reads and writes.
pub const SCHEMA: u32 = 1;

/// Contracts whose events are read from their creation on.
const FOLLOWED: [&str; 2] = ["Plimsoll", "Rewards"];

/// A deployment on one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Schema version of the file; see [`SCHEMA`].
    pub schema: u32,
    /// The manifest's name for the network.
    pub network: String,
    /// Chain id.
    pub chain_id: u64,
    /// Hash of block 0, which distinguishes chains of the same id.
    pub genesis: B256,
    /// Account that sent all transactions.
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
    /// Payments into programmes by funding id. A payment recorded here is never made again.
    pub fundings: BTreeMap<String, Sent>,
    /// The pending transaction, recorded before it is broadcast.
    pub in_flight: Option<InFlight>,
}

/// A deployed contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployedContract {
    /// Name of the contract in Solidity.
    pub contract: String,
    /// Address.
    pub address: Address,
    /// ABI-encoded constructor arguments.
    pub arguments: Bytes,
    /// CREATE2 salt.
    pub salt: B256,
    /// Keccak256 of the runtime code.
    pub code_hash: B256,
    /// The transaction that created it; `None` if another account's did.
    pub created: Option<Sent>,
}

/// A token and its decimals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Address.
    pub address: Address,
    /// Decimals.
    pub decimals: u8,
}

/// A liquidity pool and its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolRecord {
    /// Address.
    pub address: Address,
    /// The token with the lower address.
    pub token0: Address,
    /// The token with the higher address.
    pub token1: Address,
    /// Swap fee in millionths.
    pub fee: u32,
    /// The transaction that created it; `None` if another account's did.
    pub created: Option<Sent>,
}

/// A market and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketRecord {
    /// Market id.
    pub id: B256,
    /// Loan token.
    pub loan_token: Address,
    /// Collateral token.
    pub collateral_token: Address,
    /// Price oracle of the collateral.
    pub oracle: Address,
    /// Packed risk limits.
    pub risk: U256,
    /// Packed interest rate curve.
    pub curve: U256,
    /// The transaction that created it; `None` if another account's did.
    pub created: Option<Sent>,
}

impl MarketRecord {
    /// Returns the parameters that every call to the market takes.
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

/// A staking programme and its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgrammeRecord {
    /// Pool id in `Rewards`.
    pub id: B256,
    /// Stake token.
    pub stake_token: Address,
    /// Reward tokens.
    pub reward_tokens: Vec<Address>,
    /// The transaction that created it; `None` if another account's did.
    pub created: Option<Sent>,
}

/// A mined transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// Transaction hash.
    pub transaction: B256,
    /// Block number.
    pub block: u64,
    /// Block hash.
    pub block_hash: B256,
}

/// A signed transaction that may have been broadcast. Broadcasting the same bytes again has no further effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InFlight {
    /// Deployment step that it carries out.
    pub step: String,
    /// Id of the funding that it pays, under which it will be recorded; `None` for other steps.
    pub funding: Option<String>,
    /// Nonce of the deployer.
    pub nonce: u64,
    /// Transaction hash.
    pub transaction: B256,
    /// Signed raw transaction.
    pub raw: Bytes,
}

/// A record that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The file could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The file is not a deployment record.
    #[error("{}: this is not a deployment record: {problem}", .path.display())]
    NotARecord {
        /// Path of the file.
        path: PathBuf,
        /// The parser's message.
        problem: String,
    },
    /// Another version wrote the record.
    #[error("{}: the record has schema {found}, and this version reads {SCHEMA}: use the version that wrote it", .path.display())]
    Schema {
        /// Path of the file.
        path: PathBuf,
        /// Schema version of the file.
        found: u64,
    },
}

impl Deployment {
    /// Creates the record of a chain on which nothing is deployed.
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

    /// Reads a record; `None` if the file does not exist. Fails if the file is no record of this schema version.
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

    /// Writes the record durably, or leaves the old one unchanged. Fails if the file system does.
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
        // The rename is durable only once the folder is synced.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)
    }

    /// Returns the address of a contract by its name in the manifest, such as `contracts.Plimsoll`.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<Address> {
        self.contracts.get(name).map(|contract| contract.address)
    }

    /// Returns the only contract of this Solidity name, such as `Plimsoll`; `None` if there is none or more than one.
    #[must_use]
    pub fn only(&self, contract: &str) -> Option<&DeployedContract> {
        let mut found = self.contracts.values().filter(|deployed| deployed.contract == contract);
        found.next().filter(|_| found.next().is_none())
    }

    /// Returns the block from which events of the core and of the staking programmes are to be read: that in which the first
    /// of these contracts was created. `None` if the record, because it was once lost, does not know when each was.
    #[must_use]
    pub fn first_block(&self) -> Option<u64> {
        let followed = self.contracts.values().filter(|deployed| FOLLOWED.contains(&deployed.contract.as_str()));
        let blocks: Option<Vec<u64>> = followed.map(|deployed| Some(deployed.created?.block)).collect();
        blocks?.into_iter().min()
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
    fn a_record_reads_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/31337.json");
        assert_eq!(Deployment::read(&path).unwrap(), None);
        record().write(&path).unwrap();
        assert_eq!(Deployment::read(&path).unwrap(), Some(record()));
        assert_eq!(record().only("Plimsoll").unwrap().address, Address::repeat_byte(5));
    }

    #[test]
    fn events_are_read_from_the_first_creation_and_from_the_beginning_where_one_is_not_known() {
        let mut record = record();
        assert_eq!(record.first_block(), Some(7));
        // A younger contract says nothing about the age of the core.
        let core = record.contracts["contracts.Plimsoll"].clone();
        let later = core.created.map(|sent| Sent { block: 9, ..sent });
        let lens = DeployedContract { contract: "Lens".into(), created: later, ..core.clone() };
        record.contracts.insert("contracts.Lens".into(), lens);
        record.contracts.insert("contracts.Plimsoll".into(), DeployedContract { created: None, ..core });
        assert_eq!(record.first_block(), None);
    }

    #[test]
    fn a_record_of_another_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.json");
        fs::write(&path, r#"{ "schema": 2, "whatever": true }"#).unwrap();
        let error = Deployment::read(&path).unwrap_err().to_string();
        assert!(error.contains("schema 2") && error.contains("reads 1"), "{error}");
        fs::write(&path, "{").unwrap();
        assert!(Deployment::read(&path).unwrap_err().to_string().contains("not a deployment record"));
    }
}
