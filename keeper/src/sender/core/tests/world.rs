//! A chain and a pool by geth's rules, made of nothing, for one signer.

use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes, keccak256};

use crate::{
    chain::Header,
    sender::{
        core::{Looked, Order},
        journal::{Fees, Kind, Place},
        outcome::Receipt,
        verdict::Verdict,
    },
};

pub(super) const CALM_BASE_FEE: u64 = 1_000;
pub(super) const SECONDS_A_BLOCK: u64 = 12;

/// What a transaction is, readable from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) hash: B256,
    pub(super) nonce: u64,
    pub(super) fees: Fees,
    /// Which intent a call carries out.
    pub(super) label: Option<u64>,
    pub(super) is_foreign: bool,
}

#[derive(Debug, Clone)]
struct Block {
    hash: B256,
    transactions: Vec<Transaction>,
}

#[derive(Debug)]
pub(super) struct World {
    blocks: Vec<Block>,
    pool: BTreeMap<u64, Transaction>,
    hashes: u64,
    pub(super) base_fee: u64,
    /// Whether the signer can pay for anything.
    pub(super) is_rich: bool,
}

/// The bytes of what was ordered.
pub(super) fn sign(order: &Order) -> Bytes {
    let kind = match order.kind {
        Kind::Call => 1,
        Kind::Cancel => 0,
    };
    let Fees { max_fee, tip } = order.fees;
    let fees = [max_fee.to_be_bytes(), tip.to_be_bytes()].concat();
    [&[kind], &order.nonce.to_be_bytes()[..], &fees, &order.data].concat().into()
}

pub(super) fn read(raw: &Bytes) -> Transaction {
    let u128_at = |at: usize| u128::from_be_bytes(raw[at..at + 16].try_into().unwrap());
    Transaction {
        hash: keccak256(raw),
        nonce: u64::from_be_bytes(raw[1..9].try_into().unwrap()),
        fees: Fees { max_fee: u128_at(9), tip: u128_at(25) },
        label: (raw[0] == 1).then(|| u64::from_be_bytes(raw[41..].try_into().unwrap())),
        is_foreign: false,
    }
}

impl World {
    pub(super) fn new() -> Self {
        let mut world =
            Self { blocks: Vec::new(), pool: BTreeMap::new(), hashes: 0, base_fee: CALM_BASE_FEE, is_rich: true };
        world.add_block(Vec::new());
        world
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
            timestamp: number * SECONDS_A_BLOCK,
            base_fee: self.base_fee,
            gas_limit: 30_000_000,
            gas_used: 0,
        }
    }

    /// Everything mined, by nonce.
    pub(super) fn mined(&self) -> impl Iterator<Item = &Transaction> {
        self.blocks.iter().flat_map(|block| &block.transactions)
    }

    pub(super) fn next_nonce(&self) -> u64 {
        self.mined().count() as u64
    }

    /// What a node with geth's pool answers.
    pub(super) fn offer(&mut self, raw: &Bytes) -> Verdict {
        let new = read(raw);
        let pooled = self.pool.get(&new.nonce);
        if pooled.is_some_and(|pooled| pooled.hash == new.hash) {
            return Verdict::Accepted;
        }
        if new.nonce < self.next_nonce() {
            return Verdict::NonceUsed;
        }
        if !self.is_rich {
            return Verdict::NoFunds;
        }
        let outbids = |old: u128, new: u128| new > old && new * 100 >= old * 110;
        let fits =
            pooled.is_none_or(|old| outbids(old.fees.max_fee, new.fees.max_fee) && outbids(old.fees.tip, new.fees.tip));
        if fits {
            self.pool.insert(new.nonce, new);
        }
        if fits { Verdict::Accepted } else { Verdict::TooCheap }
    }

    /// A block with everything that pays enough.
    pub(super) fn mine(&mut self) {
        let mut taken = Vec::new();
        let mut nonce = self.next_nonce();
        while let Some(next) = self.pool.get(&nonce) {
            if next.fees.max_fee < u128::from(self.base_fee) {
                break;
            }
            taken.extend(self.pool.remove(&nonce));
            nonce += 1;
        }
        self.add_block(taken);
    }

    /// A block in which somebody else's transaction has our next nonce.
    pub(super) fn mine_foreign(&mut self) {
        let nonce = self.next_nonce();
        self.pool.remove(&nonce);
        self.hashes += 1;
        let hash = keccak256(self.hashes.to_be_bytes());
        let fees = Fees { max_fee: 1 << 100, tip: 1 << 100 };
        self.add_block(vec![Transaction { hash, nonce, fees, label: None, is_foreign: true }]);
    }

    /// As many empty blocks instead of the last ones. What was in those is gone, from the pool, too, or back in it.
    pub(super) fn reorg(&mut self, depth: usize, comes_back: bool) {
        let depth = depth.min(self.blocks.len() - 1);
        for _ in 0..depth {
            let gone = self.blocks.pop().unwrap();
            for transaction in gone.transactions.into_iter().filter(|gone| comes_back || gone.is_foreign) {
                self.pool.entry(transaction.nonce).or_insert(transaction);
            }
        }
        for _ in 0..depth {
            self.add_block(Vec::new());
        }
    }

    /// The pool is lost. Somebody else's wallet does not give up.
    pub(super) fn empty_pool(&mut self) {
        self.pool.retain(|_, pooled| pooled.is_foreign);
    }

    pub(super) fn look_up(&self, hashes: &[B256]) -> Looked {
        let receipt_of = |hash: &B256| {
            let (at, block) = self
                .blocks
                .iter()
                .enumerate()
                .find(|(_, block)| block.transactions.iter().any(|transaction| transaction.hash == *hash))?;
            let place = Place { hash: *hash, block: at as u64, block_hash: block.hash };
            Some(Receipt { place, success: true, gas_used: 1, effective_price: 1, data_fee: 0 })
        };
        Looked { nonce: self.next_nonce(), receipts: hashes.iter().map(|hash| (*hash, receipt_of(hash))).collect() }
    }
}
