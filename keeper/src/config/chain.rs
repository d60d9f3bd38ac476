//! What is particular about a chain. Chains differ by data: entries for known ones stand in `chains.toml`, and each
//! value can be said otherwise in the configuration.

use std::{path::Path, time::Duration};

use alloy::primitives::Address;
use plimsoll_contracts::quantity::{BasisPoints, Reference};

use super::{
    reader::{Reading, Section},
    values::{Count, Text, Time, words},
};

/// The entries, in the shape of `[chain]` each.
const KNOWN: &str = include_str!("chains.toml");

/// What is particular about a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFacts {
    /// Its id.
    pub id: u64,
    /// For people.
    pub name: String,
    /// The name of the coin that gas is paid in.
    pub coin: String,
    /// The token that stands for one coin.
    pub wrapped_coin: Option<Address>,
    /// How long a block takes.
    pub block_time: Duration,
    /// How many blocks later a block is not taken back any more.
    pub final_after: u64,
    /// The most gas that one transaction may use.
    pub transaction_gas_cap: u64,
    /// The most of a block's gas that one transaction of ours may use, in basis points: below one half, two fit.
    pub block_gas_share_bps: u16,
    /// How fees are offered.
    pub transaction_type: TransactionType,
    /// How gas is foreseen.
    pub gas: GasSource,
    /// What is paid beside gas.
    pub data_fee: DataFee,
}

words! {
    /// How fees are offered.
    TransactionType {
        /// A tip and a highest price.
        Eip1559 = "eip1559",
        /// One price.
        Legacy = "legacy",
    }
}

words! {
    /// How the gas of a transaction is foreseen.
    GasSource {
        /// From what each of its parts was measured to cost.
        Table = "table",
        /// The node is asked.
        Estimate = "estimate",
    }
}

words! {
    /// What a transaction costs beside its gas.
    DataFee {
        /// Nothing.
        None = "none",
        /// What the OP Stack's gas price oracle says about its bytes.
        OpStack = "op_stack",
    }
}

impl ChainFacts {
    /// What is said of a chain that nobody has made an entry for: as Ethereum.
    fn unknown(id: u64) -> Self {
        Self {
            id,
            name: format!("chain {id}"),
            coin: "ETH".to_owned(),
            wrapped_coin: None,
            block_time: Duration::from_secs(12),
            final_after: 96,
            transaction_gas_cap: 1 << 24,
            block_gas_share_bps: 4_500,
            transaction_type: TransactionType::Eip1559,
            gas: GasSource::Table,
            data_fee: DataFee::None,
        }
    }

    /// What is known of a chain before the configuration says more.
    pub(super) fn known(id: u64) -> Self {
        let reading = Reading::new(Path::new("chains.toml"), KNOWN, &[]);
        let document = reading.document();
        let root = Section::root(&reading, &document);
        let entry = |name: &str, section: &Section<'_, '_>| {
            let id = name.parse().unwrap_or_default();
            Self::unknown(id).said(section)
        };
        let entries = root.named("chains", entry);
        entries.into_iter().find(|facts| facts.id == id).unwrap_or_else(|| Self::unknown(id))
    }

    /// The same, with what a section says otherwise.
    pub(super) fn said(self, section: &Section<'_, '_>) -> Self {
        let wrapped =
            self.wrapped_coin.map_or_else(|| "the token W + coin, if there is one".to_owned(), |a| a.to_string());
        let share = section.value("block_gas_share", BasisPoints(self.block_gas_share_bps));
        Self {
            id: self.id,
            name: section.value("name", Text(self.name)).0,
            coin: section.value("coin", Text(self.coin)).0,
            wrapped_coin: match section.optional("wrapped_coin", &wrapped) {
                Some(Reference::Address(address)) => Some(address),
                Some(Reference::Name(_)) => {
                    section.problem_with("wrapped_coin", "this must be an address");
                    None
                }
                None => self.wrapped_coin,
            },
            block_time: section.value("block_time", Time(self.block_time)).0,
            final_after: section.value("final_after", Count(self.final_after)).0,
            transaction_gas_cap: section.value("transaction_gas_cap", Count(self.transaction_gas_cap)).0,
            block_gas_share_bps: share.0,
            transaction_type: section.value("transaction_type", self.transaction_type),
            gas: section.value("gas", self.gas),
            data_fee: section.value("data_fee", self.data_fee),
        }
    }
}
