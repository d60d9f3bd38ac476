//! Venues, their pools, and what a swap brings by a pool's state.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, U256, U512, keccak256, ruint::UintTryTo},
    sol_types::SolValue,
};

use super::{
    concentrated::{Swap, Ticks, swap},
    router::WantedTicks,
};

/// A fee in millionths that takes everything.
const MILLION: u32 = 1_000_000;

/// Kind of a venue, as the executor knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VenueKind {
    /// Pairs with two reserves.
    UniswapV2,
    /// Pools with concentrated liquidity.
    UniswapV3,
}

/// A factory of pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Venue {
    /// Kind of its pools.
    pub kind: VenueKind,
    /// Contract that creates the pools, which is not the factory in some forks.
    pub deployer: Address,
    /// Hash of the pools' creation code.
    pub pool_init_code_hash: B256,
    /// Keys of its pools: fees in millionths; of a factory of pairs, the one fee.
    pub keys: Vec<u32>,
}

impl Venue {
    /// Returns the address of the pool of two tokens, in any order, whether it exists or not.
    #[must_use]
    pub fn pool_of(&self, a: Address, b: Address, key: u32) -> Address {
        let (token0, token1) = if a < b { (a, b) } else { (b, a) };
        let salt = match self.kind {
            VenueKind::UniswapV2 => keccak256((token0, token1).abi_encode_packed()),
            VenueKind::UniswapV3 => keccak256((token0, token1, U256::from(key)).abi_encode()),
        };
        self.deployer.create2(salt, self.pool_init_code_hash)
    }
}

/// State of a pool, as read in one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolState {
    /// Reserves of a pair.
    Pair {
        /// Reserve of the lower token, in its units.
        reserve0: U256,
        /// Reserve of the higher token, in its units.
        reserve1: U256,
    },
    /// A pool with concentrated liquidity.
    Concentrated {
        /// Root of the price, times 2^96.
        sqrt_price_x96: U256,
        /// Liquidity at the price.
        liquidity: u128,
        /// The pool's balance of the lower token, in its units.
        balance0: U256,
        /// The pool's balance of the higher token, in its units.
        balance1: U256,
        /// Ticks around the price; `None` where they were not read yet.
        ticks: Option<Arc<Ticks>>,
    },
}

/// A pool that exists, with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Index of the venue in the executor.
    pub venue: u8,
    /// Key of the pool in its venue, here its fee in millionths.
    pub key: u32,
    /// Address.
    pub address: Address,
    /// The lower token.
    pub token0: Address,
    /// The higher token.
    pub token1: Address,
    /// State.
    pub state: PoolState,
    /// What of its ticks is read next.
    pub(super) wanted: WantedTicks,
}

impl Pool {
    /// Returns the units that an exact input of `token_in` buys in the state that was read: exact, but for concentrated
    /// liquidity beyond the ticks that were read, where it is what the liquidity at the present price gives at most. `None` if
    /// it buys nothing, or more is sold than the pool takes.
    #[must_use]
    pub fn amount_out(&self, token_in: Address, amount_in: U256) -> Option<U256> {
        let at_least = match &self.state {
            PoolState::Concentrated { sqrt_price_x96, liquidity, ticks: Some(ticks), .. } => {
                let zero_for_one = token_in == self.token0;
                if !zero_for_one && token_in != self.token1 {
                    return None;
                }
                match swap((*sqrt_price_x96, *liquidity, self.key), ticks, zero_for_one, amount_in)? {
                    Swap::Exact(out) => return Some(out).filter(|out| !out.is_zero()),
                    Swap::AtLeast(out) => out,
                    Swap::TooShallow => return None,
                }
            }
            PoolState::Concentrated { .. } | PoolState::Pair { .. } => U256::ZERO,
        };
        let (reserve_in, reserve_out) = self.reserves(token_in)?;
        let after_fee = amount_in.checked_mul(U256::from(MILLION.checked_sub(self.key)?))?;
        let divisor = reserve_in.checked_mul(U256::from(MILLION))?.checked_add(after_fee)?;
        let out = mul_div(after_fee, reserve_out, divisor).unwrap_or_default().max(at_least);
        Some(out).filter(|out| !out.is_zero())
    }

    /// Returns the reserves by which a swap is computed, of the input and of the output.
    ///
    /// Concentrated liquidity has the price of its virtual reserves. Its depth is the smaller of the virtual reserve of
    /// the output and what the pool holds of it: beyond the present range there may be nothing.
    fn reserves(&self, token_in: Address) -> Option<(U256, U256)> {
        let zero_for_one = token_in == self.token0;
        if !zero_for_one && token_in != self.token1 {
            return None;
        }
        let (reserve_in, reserve_out) = match self.state {
            PoolState::Pair { reserve0, reserve1 } => ordered(zero_for_one, reserve0, reserve1),
            PoolState::Concentrated { sqrt_price_x96, liquidity, balance0, balance1, .. } => {
                let (liquidity, q96) = (U256::from(liquidity), U256::ONE << 96);
                let virtual0 = mul_div(liquidity, q96, sqrt_price_x96)?;
                let virtual1 = mul_div(liquidity, sqrt_price_x96, q96)?;
                let (virtual_in, virtual_out) = ordered(zero_for_one, virtual0, virtual1);
                // Up, as below, so that the price is not better than the pool's.
                let virtual_in = virtual_in.checked_add(U256::ONE)?;
                let (_, balance_out) = ordered(zero_for_one, balance0, balance1);
                let depth = virtual_out.min(balance_out);
                (mul_div(depth, virtual_in, virtual_out)?.checked_add(U256::ONE)?, depth)
            }
        };
        (!reserve_in.is_zero() && !reserve_out.is_zero()).then_some((reserve_in, reserve_out))
    }
}

const fn ordered(zero_for_one: bool, of0: U256, of1: U256) -> (U256, U256) {
    if zero_for_one { (of0, of1) } else { (of1, of0) }
}

/// Returns `⌊a × b ÷ divisor⌋`; none if the divisor is 0 or the result is too large.
fn mul_div(a: U256, b: U256, divisor: U256) -> Option<U256> {
    let quotient = a.widening_mul::<256, 4, 512, 8>(b).checked_div(U512::from(divisor))?;
    quotient.uint_try_to().ok()
}
