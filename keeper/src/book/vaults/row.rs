//! A vault's state as bytes of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use plimsoll_contracts::MarketId;

use super::{Cap, Holding, VaultState};
use crate::book::row::Field;

/// No market: no id is zero.
const NO_MARKET: MarketId = MarketId(B256::ZERO);

impl Field for VaultState {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { last_total, high_water_mark, idle, last_update, max_rate, fee_bps, .. } = self;
        (*last_total, (*high_water_mark, *idle)).write(bytes);
        (*last_update, (*max_rate, *fee_bps)).write(bytes);
        self.deposit_market.unwrap_or(NO_MARKET).write(bytes);
        self.allocators.write(bytes);
        u8::try_from(self.holdings.len()).unwrap_or(u8::MAX).write(bytes);
        self.holdings.iter().for_each(|holding| (holding.market, holding.shares).write(bytes));
        self.caps.iter().for_each(|(id, cap)| (*id, (cap.absolute, cap.relative_bps)).write(bytes));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (last_total, (high_water_mark, idle)) = Field::read(bytes)?;
        let (last_update, (max_rate, fee_bps)) = Field::read(bytes)?;
        let deposit_market = Some(MarketId::read(bytes)?).filter(|market| *market != NO_MARKET);
        let allocators = BTreeSet::<Address>::read(bytes)?;
        let count = u8::read(bytes)?;
        let holding = |(market, shares)| Holding { market, shares };
        let holdings = (0..count).map(|_| Field::read(bytes).map(holding)).collect::<Option<_>>()?;
        let cap = |(id, (absolute, relative_bps))| (id, Cap { absolute, relative_bps });
        let caps: BTreeMap<_, _> = Vec::read(bytes)?.into_iter().map(cap).collect();
        Some(Self {
            last_total,
            high_water_mark,
            idle,
            last_update,
            max_rate,
            fee_bps,
            deposit_market,
            holdings,
            allocators,
            caps,
        })
    }
}
