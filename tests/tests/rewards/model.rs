//! Reward accounting in exact rationals: nothing is rounded or skipped, and every second is distributed to every
//! account. It has no accumulators, offsets or remainders, so that it cannot share a mistake with the contract.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

/// Seconds in an epoch.
pub(crate) const EPOCH: u64 = 604_800;

/// A pool. Accounts and reward tokens are numbered from 0.
#[derive(Debug)]
pub(crate) struct Model {
    now: u64,
    stakes: Vec<BigInt>,
    streams: Vec<Stream>,
}

/// A reward token.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Rewards of each epoch in total.
    epochs: BTreeMap<u64, BigRational>,
    /// Rewards that each account has earned in total.
    earned: Vec<BigRational>,
    /// Rewards that each account was paid in total.
    paid: Vec<BigInt>,
    funded: BigInt,
}

impl Model {
    pub(crate) fn new(now: u64, accounts: usize, streams: usize) -> Self {
        let stream = || Stream {
            epochs: BTreeMap::new(),
            earned: vec![BigRational::zero(); accounts],
            paid: vec![BigInt::zero(); accounts],
            funded: BigInt::zero(),
        };
        Self { now, stakes: vec![BigInt::zero(); accounts], streams: (0..streams).map(|_| stream()).collect() }
    }

    /// Advances to `time` with constant stakes.
    pub(crate) fn advance(&mut self, time: u64) {
        while self.now < time {
            let epoch = self.now / EPOCH;
            let until = time.min((epoch + 1) * EPOCH);
            let part = BigRational::new((until - self.now).into(), EPOCH.into());
            let total = self.total_staked();
            for stream in &mut self.streams {
                let Some(amount) = stream.epochs.get(&epoch).map(|amount| amount * &part) else { continue };
                if total.is_zero() {
                    *stream.epochs.entry(epoch + 1).or_default() += amount;
                    continue;
                }
                for (earned, stake) in stream.earned.iter_mut().zip(&self.stakes) {
                    *earned += &amount * BigRational::new(stake.clone(), total.clone());
                }
            }
            self.now = until;
        }
    }

    /// Spreads an amount over epochs evenly; the remainder goes to the first.
    pub(crate) fn fund(&mut self, stream: usize, amount: &BigInt, first_epoch: u64, epochs: u64) {
        let stream = &mut self.streams[stream];
        stream.funded += amount;
        for epoch in first_epoch..first_epoch + epochs {
            *stream.epochs.entry(epoch).or_default() += BigRational::from(amount / epochs);
        }
        *stream.epochs.entry(first_epoch).or_default() += BigRational::from(amount % epochs);
    }

    pub(crate) fn stake(&mut self, account: usize, amount: &BigInt) {
        self.stakes[account] += amount;
    }

    pub(crate) fn unstake(&mut self, account: usize, amount: &BigInt) {
        self.stakes[account] -= amount;
    }

    pub(crate) fn pay(&mut self, stream: usize, account: usize, amount: &BigInt) {
        self.streams[stream].paid[account] += amount;
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn staked(&self, account: usize) -> &BigInt {
        &self.stakes[account]
    }

    pub(crate) fn total_staked(&self) -> BigInt {
        self.stakes.iter().sum()
    }

    pub(crate) fn stream(&self, stream: usize) -> &Stream {
        &self.streams[stream]
    }
}

impl Stream {
    /// Returns what the account has earned and was not paid.
    pub(crate) fn owed(&self, account: usize) -> BigRational {
        &self.earned[account] - BigRational::from(self.paid[account].clone())
    }

    /// Returns the rewards of an epoch in total, as far as they are funded.
    pub(crate) fn amount_of(&self, epoch: u64) -> BigRational {
        self.epochs.get(&epoch).cloned().unwrap_or_default()
    }

    pub(crate) fn funded(&self) -> &BigInt {
        &self.funded
    }

    pub(crate) fn paid(&self) -> BigInt {
        self.paid.iter().sum()
    }

    /// Returns what all accounts have earned, paid or not.
    pub(crate) fn earned(&self) -> BigRational {
        self.earned.iter().fold(BigRational::zero(), |sum, earned| sum + earned)
    }

    /// Returns the rewards that are scheduled after `now`.
    pub(crate) fn to_come(&self, now: u64) -> BigRational {
        let left = BigRational::new((EPOCH - now % EPOCH).into(), EPOCH.into());
        let later = self.epochs.range(now / EPOCH + 1..).fold(BigRational::zero(), |sum, (_, amount)| sum + amount);
        self.amount_of(now / EPOCH) * left + later
    }
}
