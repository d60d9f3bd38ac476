//! Model of a chain and of a transaction pool by geth's rules, for one signer.

use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes, U256, keccak256};

use crate::{
    chain::Header,
    intent::{Fees, Inclusion, Receipt},
    sender::{
        core::{ChainStatus, SignedTransaction, UnsignedTransaction},
        journal::AttemptKind,
        submit_result::SubmitResult,
    },
};

pub(super) const CALM_BASE_FEE: u64 = 1_000;
pub(super) const SECONDS_PER_BLOCK: u64 = 12;

/// A transaction, as it is read from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) hash: B256,
    pub(super) nonce: u64,
    pub(super) fees: Fees,
    /// Id of the intent that it executes; `None` for a cancellation.
    pub(super) intent: Option<u64>,
    pub(super) is_foreign: bool,
}

#[derive(Debug, Clone)]
struct Block {
    hash: B256,
    transactions: Vec<Transaction>,
}

/// Canonical blocks, and a pool with one transaction for each nonce.
#[derive(Debug)]
pub(super) struct ChainModel {
    blocks: Vec<Block>,
    pool: BTreeMap<u64, Transaction>,
    /// Number of hashes that were given out.
    hashes: u64,
    pub(super) base_fee: u64,
    /// Whether the signer can pay for anything.
    pub(super) is_funded: bool,
    /// Whether transactions are valid in the next block alone, as bundles are.
    pub(super) in_bundles: bool,
}

/// "Signs" a transaction: writes down every field, so that [`read`] finds them.
pub(super) fn sign(unsigned: &UnsignedTransaction) -> SignedTransaction {
    let kind = match unsigned.kind {
        AttemptKind::Call => 1,
        AttemptKind::Cancel => 0,
    };
    let Fees { max_fee_per_gas, max_priority_fee_per_gas } = unsigned.fees;
    let fees = [max_fee_per_gas.to_be_bytes(), max_priority_fee_per_gas.to_be_bytes()].concat();
    let raw = Bytes::from([&[kind], &unsigned.nonce.to_be_bytes()[..], &fees, &unsigned.data].concat());
    SignedTransaction { nonce: unsigned.nonce, hash: keccak256(&raw), raw }
}

/// Reads a transaction from the bytes that [`sign`] wrote.
pub(super) fn read(raw: &Bytes) -> Transaction {
    let u128_at = |at: usize| u128::from_be_bytes(raw[at..at + 16].try_into().unwrap());
    Transaction {
        hash: keccak256(raw),
        nonce: u64::from_be_bytes(raw[1..9].try_into().unwrap()),
        fees: Fees { max_fee_per_gas: u128_at(9), max_priority_fee_per_gas: u128_at(25) },
        intent: (raw[0] == 1).then(|| u64::from_be_bytes(raw[41..].try_into().unwrap())),
        is_foreign: false,
    }
}

impl ChainModel {
    pub(super) fn new() -> Self {
        let mut model = Self {
            blocks: Vec::new(),
            pool: BTreeMap::new(),
            hashes: 0,
            base_fee: CALM_BASE_FEE,
            is_funded: true,
            in_bundles: false,
        };
        model.add_block(Vec::new());
        model
    }

    fn add_block(&mut self, transactions: Vec<Transaction>) {
        self.hashes += 1;
        self.blocks.push(Block { hash: B256::left_padding_from(&self.hashes.to_be_bytes()), transactions });
    }

    pub(super) fn header(&self) -> Header {
        let number = self.blocks.len() as u64 - 1;
        let parent = self.blocks.len().checked_sub(2).map_or(B256::ZERO, |at| self.blocks[at].hash);
        Header {
            number,
            hash: self.blocks.last().unwrap().hash,
            parent_hash: parent,
            timestamp: number * SECONDS_PER_BLOCK,
            base_fee: self.base_fee,
            gas_limit: 30_000_000,
            gas_used: 0,
        }
    }

    /// Iterates over all mined transactions, by nonce.
    pub(super) fn mined(&self) -> impl Iterator<Item = &Transaction> {
        self.blocks.iter().flat_map(|block| &block.transactions)
    }

    /// Returns the intents whose calls the newest block contains.
    pub(super) fn newest_calls(&self) -> Vec<u64> {
        self.blocks.last().unwrap().transactions.iter().filter_map(|transaction| transaction.intent).collect()
    }

    pub(super) fn next_nonce(&self) -> u64 {
        self.mined().count() as u64
    }

    /// Submits a transaction, and returns the response of a node with geth's pool.
    pub(super) fn submit(&mut self, raw: &Bytes) -> SubmitResult {
        let new = read(raw);
        let pooled = self.pool.get(&new.nonce);
        if pooled.is_some_and(|pooled| pooled.hash == new.hash) {
            return SubmitResult::Accepted;
        }
        if new.nonce < self.next_nonce() {
            return SubmitResult::NonceUsed;
        }
        if !self.is_funded {
            return SubmitResult::InsufficientFunds;
        }
        let outbids = |old: u128, new: u128| new > old && new * 100 >= old * 110;
        let fits = pooled.is_none_or(|old| {
            outbids(old.fees.max_fee_per_gas, new.fees.max_fee_per_gas)
                && outbids(old.fees.max_priority_fee_per_gas, new.fees.max_priority_fee_per_gas)
        });
        if fits {
            self.pool.insert(new.nonce, new);
        }
        if fits { SubmitResult::Accepted } else { SubmitResult::Underpriced }
    }

    /// Mines a block with every pooled transaction that covers the base fee.
    pub(super) fn mine(&mut self) {
        let mut included = Vec::new();
        let mut nonce = self.next_nonce();
        while let Some(next) = self.pool.get(&nonce) {
            if next.fees.max_fee_per_gas < u128::from(self.base_fee) {
                break;
            }
            included.extend(self.pool.remove(&nonce));
            nonce += 1;
        }
        self.add_block(included);
        if self.in_bundles {
            self.clear_pool();
        }
    }

    /// Mines a block in which a foreign transaction uses the signer's next nonce.
    pub(super) fn mine_foreign(&mut self) {
        let nonce = self.next_nonce();
        self.pool.remove(&nonce);
        self.hashes += 1;
        let hash = keccak256(self.hashes.to_be_bytes());
        let fees = Fees { max_fee_per_gas: 1 << 100, max_priority_fee_per_gas: 1 << 100 };
        self.add_block(vec![Transaction { hash, nonce, fees, intent: None, is_foreign: true }]);
        if self.in_bundles {
            self.clear_pool();
        }
    }

    /// Replaces the last blocks by empty ones. Their transactions are lost, or return to the pool.
    pub(super) fn reorg(&mut self, depth: usize, keeps_transactions: bool) {
        let depth = depth.min(self.blocks.len() - 1);
        for _ in 0..depth {
            let removed = self.blocks.pop().unwrap();
            let returns = |transaction: &Transaction| keeps_transactions || transaction.is_foreign;
            for transaction in removed.transactions.into_iter().filter(returns) {
                self.pool.entry(transaction.nonce).or_insert(transaction);
            }
        }
        for _ in 0..depth {
            self.add_block(Vec::new());
        }
    }

    /// Removes the transaction that executes an intent from the pool.
    pub(super) fn withdraw(&mut self, intent: u64) {
        self.pool.retain(|_, pooled| pooled.intent != Some(intent));
    }

    /// Removes the keeper's transactions from the pool. A foreign wallet broadcasts its own again.
    pub(super) fn clear_pool(&mut self) {
        self.pool.retain(|_, pooled| pooled.is_foreign);
    }

    /// Returns what a node says of the signer's nonce and of these transactions.
    pub(super) fn chain_status(&self, hashes: &[B256]) -> ChainStatus {
        let receipt_of = |hash: &B256| {
            let (at, block) = self
                .blocks
                .iter()
                .enumerate()
                .find(|(_, block)| block.transactions.iter().any(|transaction| transaction.hash == *hash))?;
            let inclusion = Inclusion { hash: *hash, block: at as u64, block_hash: block.hash };
            Some(Receipt { inclusion, success: true, gas_used: 1, effective_gas_price: 1, data_fee: 0 })
        };
        ChainStatus {
            nonce: self.next_nonce(),
            balance: if self.is_funded { U256::MAX } else { U256::ZERO },
            receipts: hashes.iter().map(|hash| (*hash, receipt_of(hash))).collect(),
        }
    }
}
