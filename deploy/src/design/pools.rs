//! The exchange and its pools: an existing factory, or – on local chains – one deployed from the real bytecode on npm.

use alloy::{
    primitives::{Address, B256, U256, U512, b256, keccak256},
    sol_types::SolValue,
};

use super::{
    Expected, Pool, Work,
    build::{Builder, Resolved, external},
    section::{EXCHANGE, Section},
};
use crate::manifest;

/// Hash of the creation code of every Uniswap V3 pool.
const POOL_CODE_HASH: B256 = b256!("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54");
/// Lowest `sqrtPriceX96` that Uniswap V3 accepts.
const MIN_SQRT_PRICE: U256 = U256::from_limbs([4_295_128_739, 0, 0, 0]);
const PRICE_DECIMALS: u8 = 36;
/// Whole base tokens in a pool of a local chain: much more than a tutorial's loans.
const SEED_BASE_TOKENS: u64 = 10_000;

impl Builder<'_> {
    pub(super) fn resolve_exchange(&mut self) -> Option<Resolved> {
        let entry = self.manifest.tables.uniswap_v3.as_ref()?;
        match &entry.get_ref().address {
            Some(said) => {
                let place = self.address(said, &[Section::Accounts])?;
                self.expect(EXCHANGE.to_owned(), place.address, Expected::Code);
                Some(external(EXCHANGE, place.address))
            }
            None => {
                self.require_local(&entry.span(), "an exchange")?;
                self.create(EXCHANGE.to_owned(), "UniswapV3Factory", Vec::new(), &entry.span(), [])
            }
        }
    }

    pub(super) fn resolve_pool(&mut self, name: &str) -> Option<Resolved> {
        let tables = &self.manifest.tables;
        let entry = &tables.pools[name];
        let local = self.require_local(&entry.span(), "a pool");
        let pool = entry.get_ref();
        let factory = match tables.uniswap_v3 {
            Some(_) => self.resolve(Section::Exchange, EXCHANGE),
            None => self.reject(&entry.span(), "a pool needs the exchange: add [uniswap_v3]"),
        };
        let (base, quote) = (self.token(&pool.base), self.token(&pool.quote));
        let (fee, price) = (self.value(&pool.fee), self.value(&pool.price));
        let (factory, base, quote, fee, price) = (factory?, base?, quote?, fee?, price?);
        local?;

        let (base_address, quote_address) = (base.place.address, quote.place.address);
        if base_address == quote_address {
            return self.reject(&pool.quote.span, "a pool's two tokens must differ");
        }
        let base_is_0 = base_address < quote_address;
        let (token0, token1) = if base_is_0 { (base_address, quote_address) } else { (quote_address, base_address) };
        let Some(sqrt_price_x96) = sqrt_price_x96(&price, base.decimals, quote.decimals, base_is_0) else {
            return self.reject(&pool.price.span, "this price is out of the exchange's bounds");
        };
        let address = pool_address(factory.address, token0, token1, fee.0);
        let price = format!("1 {} = {price} {}", base.name, quote.name);
        let seed_liquidity = seed_liquidity(base.decimals, sqrt_price_x96, base_is_0);
        let design = Pool {
            factory: factory.address,
            address,
            token0,
            token1,
            fee: fee.0,
            sqrt_price_x96,
            price,
            seed_liquidity,
        };
        self.step(format!("pools.{name}"), Work::CreatePool(design.clone()));
        self.step(format!("pools.{name}.price"), Work::StartPool(design));
        let depends_on = [factory, base.place, quote.place].into_iter().flat_map(|place| place.depends_on).collect();
        Some(Resolved { address, depends_on })
    }
}

fn pool_address(factory: Address, token0: Address, token1: Address, fee: u32) -> Address {
    let salt = keccak256((token0, token1, U256::from(fee)).abi_encode_params());
    factory.create2(salt, POOL_CODE_HASH)
}

/// Returns the square root, scaled by 2^96, of the price of a unit of token 0 in units of token 1; `None` if the exchange
/// does not support that price. Rounded down.
fn sqrt_price_x96(
    price: &manifest::units::Decimal,
    base_decimals: u8,
    quote_decimals: u8,
    base_is_0: bool,
) -> Option<U256> {
    let price: U256 = price.scaled(PRICE_DECIMALS).ok()?;
    let power = |decimals: u8| U512::from(10).checked_pow(U512::from(decimals));
    // Units of quote for a unit of base, as a fraction.
    let above = U512::from(price).checked_mul(power(quote_decimals)?)?;
    let below = power(base_decimals)?.checked_mul(power(PRICE_DECIMALS)?)?;
    let (above, below) = if base_is_0 { (above, below) } else { (below, above) };
    // Shift the fraction by as many of the 192 bits as fit before dividing, and by half of the remainder after the root.
    let shift = above.leading_zeros().min(192) & !1;
    let root = square_root((above << shift).checked_div(below)?);
    let root = root.checked_shl((192 - shift) / 2)?;
    let root = (root.bit_len() <= 160).then(|| root.wrapping_to::<U256>())?;
    (root >= MIN_SQRT_PRICE).then_some(root)
}

/// Returns the liquidity of [`SEED_BASE_TOKENS`] whole base tokens and as much in quote tokens, over the whole range of
/// prices.
fn seed_liquidity(base_decimals: u8, sqrt_price_x96: U256, base_is_0: bool) -> u128 {
    let base = U512::from(SEED_BASE_TOKENS) * U512::from(10).saturating_pow(U512::from(base_decimals));
    let root = U512::from(sqrt_price_x96);
    let liquidity: U512 = if base_is_0 { (base * root) >> 96_usize } else { (base << 96_usize) / root.max(U512::ONE) };
    liquidity.saturating_to()
}

/// Returns the square root, rounded down, by Newton's method from above.
fn square_root(number: U512) -> U512 {
    let mut root = U512::from(1) << number.bit_len().div_ceil(2);
    loop {
        let better = (root + number.checked_div(root).unwrap_or_default()) >> 1usize;
        if better >= root {
            return root;
        }
        root = better;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::address;

    #[test]
    fn a_seeded_pool_has_ten_thousand_base_tokens_whichever_token_is_the_base() {
        // At a price of 1 and with as many decimals, liquidity is the amount of either token.
        let root = U256::ONE << 96;
        for base_is_0 in [true, false] {
            assert_eq!(seed_liquidity(6, root, base_is_0), 10_000_000_000);
        }
        // Four units of quote for one of base: twice the amount of base.
        assert_eq!(seed_liquidity(0, root << 1, true), 20_000);
        assert_eq!(seed_liquidity(0, root >> 1, false), 20_000);
    }

    #[test]
    fn a_pool_has_the_address_that_it_has_on_mainnet() {
        let factory = address!("1F98431c8aD98523631AE4a59f267346ea31F984");
        let usdc = address!("A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48");
        let weth = address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2");
        assert_eq!(pool_address(factory, usdc, weth, 500), address!("88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"));
    }

    #[test]
    fn prices_are_encoded_as_in_uniswap_v3() {
        let one = "1".parse().unwrap();
        assert_eq!(sqrt_price_x96(&one, 18, 18, true), Some(U256::from(1) << 96));
        assert_eq!(sqrt_price_x96(&one, 18, 18, false), Some(U256::from(1) << 96));
        // 2,000 units of 6 decimals for one of 18: sqrt(2000e6 / 1e18) × 2^96, and its inverse.
        let price = "2000".parse().unwrap();
        let (low, high) = (sqrt_price_x96(&price, 18, 6, true).unwrap(), sqrt_price_x96(&price, 18, 6, false).unwrap());
        assert_eq!(low, U256::from(3_543_191_142_285_914_205_922_034_u128));
        let product = U512::from(low) * U512::from(high);
        assert!((product >> 192) <= U512::from(1) && (product >> 191) >= U512::from(1), "{product}");
        assert_eq!(sqrt_price_x96(&"0".parse().unwrap(), 18, 18, true), None);
        assert_eq!(sqrt_price_x96(&"0".parse().unwrap(), 18, 18, false), None);
    }

    #[test]
    fn square_roots_are_rounded_down() {
        for (number, root) in [(0_u64, 0_u64), (1, 1), (3, 1), (4, 2), (99, 9), (100, 10)] {
            assert_eq!(square_root(U512::from(number)), U512::from(root), "{number}");
        }
    }
}
