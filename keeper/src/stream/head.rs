//! A header as nodes say it, with the bloom that tells which contracts cannot have logged anything.

use alloy::primitives::{Address, B256, Bloom, BloomInput, U64, U256};
use serde::Deserialize;

use crate::chain::{Header, Sources};

/// A header and its bloom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "Said")]
pub(super) struct Head {
    pub(super) header: Header,
    pub(super) bloom: Bloom,
    /// What its receipts hash to.
    pub(super) receipts_root: Option<B256>,
}

/// What a node says of a block, as far as we listen.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U256>,
    gas_limit: U64,
    gas_used: U64,
    logs_bloom: Option<Bloom>,
    receipts_root: Option<B256>,
}

impl From<Said> for Head {
    fn from(said: Said) -> Self {
        let header = Header {
            number: said.number.to(),
            hash: said.hash,
            parent_hash: said.parent_hash,
            timestamp: said.timestamp.to(),
            base_fee: said.base_fee_per_gas.unwrap_or_default().saturating_to(),
            gas_limit: said.gas_limit.to(),
            gas_used: said.gas_used.to(),
        };
        // Without a bloom anything may have been logged.
        let bloom = said.logs_bloom.unwrap_or(Bloom::repeat_byte(0xff));
        Self { header, bloom, receipts_root: said.receipts_root }
    }
}

impl Head {
    /// Whether one of the contracts may have logged something in this block. When not, it has not.
    pub(super) fn may_concern(&self, sources: &Sources) -> bool {
        let trace = |address: Address| Bloom::from(BloomInput::Raw(address.as_slice()));
        sources.addresses().any(|address| self.bloom.contains(&trace(address)))
    }

    /// Whether there may be logs that are not among these: a bloom with more in it than they leave.
    pub(super) fn shows_more_than(&self, logs_bloom: &Bloom) -> bool {
        !logs_bloom.contains(&self.bloom)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::address;
    use serde_json::json;

    use super::*;

    const CORE: Address = address!("0x00000000000000000000000000000000000000c0");

    fn announced(bloom: Option<Bloom>) -> Head {
        let hash = B256::repeat_byte(1);
        serde_json::from_value(json!({
            "number": "0x10", "hash": hash, "parentHash": B256::ZERO, "timestamp": "0x64", "baseFeePerGas": "0x7",
            "gasLimit": "0x1c9c380", "gasUsed": "0x5208", "logsBloom": bloom, "miner": Address::ZERO,
        }))
        .unwrap()
    }

    #[test]
    fn a_header_is_read_as_nodes_write_it() {
        let Header { number, timestamp, base_fee, gas_limit, gas_used, .. } = announced(None).header;
        assert_eq!((number, timestamp, base_fee, gas_limit, gas_used), (16, 100, 7, 30_000_000, 21_000));
    }

    #[test]
    fn only_a_bloom_without_our_contracts_says_that_nothing_of_ours_happened() {
        let sources = Sources { core: Address::repeat_byte(9), rewards: Some(CORE) };
        let of = |address: Address| Bloom::from(BloomInput::Raw(address.as_slice()));
        assert!(!announced(Some(Bloom::ZERO)).may_concern(&sources));
        assert!(!announced(Some(of(Address::ZERO))).may_concern(&sources));
        assert!(announced(Some(of(CORE) | of(Address::ZERO))).may_concern(&sources));
        assert!(announced(None).may_concern(&sources), "a node that says no bloom");
    }

    #[test]
    fn a_bloom_shows_that_logs_are_missing() {
        let of = |address: Address| Bloom::from(BloomInput::Raw(address.as_slice()));
        let head = announced(Some(of(CORE) | of(Address::ZERO)));
        assert!(head.shows_more_than(&of(CORE)));
        assert!(!head.shows_more_than(&(of(CORE) | of(Address::ZERO) | of(Address::repeat_byte(3)))));
    }
}
