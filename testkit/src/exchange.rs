//! A real Uniswap V3 on a local chain: pools from the bytecode that Uniswap published, with liquidity from minted
//! tokens.
//!
//! Prices are given as two amounts that are worth the same, in units of each token, so that the only rounding is that
//! of the pool's own square root.

use std::fs;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U160, U256, aliases::U24, b256},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolValue,
};
use eyre::{ContextCompat, WrapErr, ensure};

use crate::{
    devnet::{Devnet, mined, without_priority_fee},
    workspace::workspace,
};

/// Fee of a pool that [`Exchange::add_liquidity`] can be given: 0.05 %, in millionths.
pub const FEE: u32 = 500;
/// Hash of the creation code of every Uniswap V3 pool.
pub const POOL_CODE_HASH: B256 = b256!("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54");

/// Uniswap's factory as its npm package has it, from the root of the repository.
const FACTORY: &str = "node_modules/@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json";
/// Gas limit of adding liquidity, and of trading through all of it.
const GAS: u64 = 2_000_000;

sol! {
    #[sol(rpc)]
    interface IFactory {
        function createPool(address tokenA, address tokenB, uint24 fee) external returns (address pool);
        function getPool(address tokenA, address tokenB, uint24 fee) external view returns (address pool);
    }

    #[sol(rpc)]
    interface IPool {
        function initialize(uint160 sqrtPriceX96) external;
        function slot0() external view returns (uint160 sqrtPriceX96, int24 tick);
    }

    #[sol(rpc)]
    interface IMarketMaker {
        function provide(address pool, uint128 liquidity) external;
        function tradeTo(address pool, uint160 sqrtPriceX96) external;
    }
}

/// An amount of a token that anybody can mint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Address of the token.
    pub token: Address,
    /// The amount, in the token's smallest unit.
    pub units: U256,
}

/// A Uniswap V3 factory with a market maker that adds liquidity and trades on request.
#[derive(Debug)]
pub struct Exchange<'a> {
    devnet: &'a Devnet,
    factory: Address,
    maker: Address,
}

impl<'a> Exchange<'a> {
    /// Deploys a Uniswap V3 factory.
    ///
    /// # Errors
    /// When the npm package is missing or a transaction fails.
    pub async fn deploy(devnet: &'a Devnet) -> eyre::Result<Self> {
        let path = workspace()?.root().join(FACTORY);
        let text = fs::read_to_string(&path).wrap_err_with(|| path.display().to_string())?;
        let artifact: serde_json::Value = serde_json::from_str(&text)?;
        let code: Bytes = artifact["bytecode"].as_str().wrap_err("the artifact has no bytecode")?.parse()?;
        let request = TransactionRequest::default().with_from(devnet.deployer()).with_deploy_code(code);
        let receipt = devnet.provider().send_transaction(request).await?.get_receipt().await?;
        Self::at(devnet, receipt.contract_address.wrap_err("the exchange was not created")?).await
    }

    /// Uses a Uniswap V3 factory that exists on the chain already.
    ///
    /// # Errors
    /// When the market maker cannot be deployed.
    pub async fn at(devnet: &'a Devnet, factory: Address) -> eyre::Result<Self> {
        let maker = devnet.deploy("MarketMaker", Vec::new()).await?;
        Ok(Self { devnet, factory, maker })
    }

    /// Returns the exchange of a market maker that was deployed before, for trades alone.
    #[must_use]
    pub const fn with_maker(devnet: &'a Devnet, maker: Address) -> Self {
        Self { devnet, factory: Address::ZERO, maker }
    }

    /// Returns the factory's address; zero where only a market maker is known.
    #[must_use]
    pub const fn factory(&self) -> Address {
        self.factory
    }

    /// Returns the market maker's address.
    #[must_use]
    pub const fn maker(&self) -> Address {
        self.maker
    }

    /// Deploys a `UniswapV3Swapper` over this exchange and returns its address.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn deploy_swapper(&self) -> eyre::Result<Address> {
        self.devnet.deploy("UniswapV3Swapper", (self.factory, POOL_CODE_HASH).abi_encode_params()).await
    }

    /// Adds liquidity over the whole price range to the pool of two tokens, worth both amounts together, and returns
    /// the pool. A pool that does not exist is created at the price at which the amounts are worth the same. `fee` is
    /// in millionths.
    ///
    /// # Errors
    /// When an amount is 0 or too large, or a transaction fails.
    pub async fn add_liquidity(&self, fee: u32, one: Amount, other: Amount) -> eyre::Result<Address> {
        let factory = IFactory::new(self.factory, self.devnet.provider());
        let fee = U24::from(fee);
        let mut pool = factory.getPool(one.token, other.token, fee).call().await?;
        if pool.is_zero() {
            mined(factory.createPool(one.token, other.token, fee).from(self.devnet.deployer())).await?;
            pool = factory.getPool(one.token, other.token, fee).call().await?;
        }
        let at = IPool::new(pool, self.devnet.provider());
        if at.slot0().call().await?.sqrtPriceX96.is_zero() {
            mined(at.initialize(sqrt_price_x96(one, other)?).from(self.devnet.deployer())).await?;
        }
        let liquidity = one.units.checked_mul(other.units).wrap_err("the amounts are too large")?.root(2);
        let maker = IMarketMaker::new(self.maker, self.devnet.provider());
        mined(maker.provide(pool, liquidity.try_into()?).from(self.devnet.deployer()).gas(GAS)).await?;
        Ok(pool)
    }

    /// Trades in a pool until its price is the one at which the two amounts are worth the same.
    ///
    /// # Errors
    /// When the pool has no such price, or the transaction fails.
    pub async fn trade_to(&self, pool: Address, one: Amount, other: Amount) -> eyre::Result<()> {
        let maker = IMarketMaker::new(self.maker, self.devnet.provider());
        mined(maker.tradeTo(pool, sqrt_price_x96(one, other)?).from(self.devnet.deployer()).gas(GAS)).await?;
        Ok(())
    }

    /// Sends the trade of [`Exchange::trade_to`] without a priority fee, so that it comes last in the next block, whose
    /// base fee is `base_fee` in wei. Returns the transaction's hash without waiting for the block.
    ///
    /// # Errors
    /// When the pool has no such price, or the node refuses the transaction.
    pub async fn send_trade_to(&self, pool: Address, [one, other]: [Amount; 2], base_fee: u128) -> eyre::Result<B256> {
        let maker = IMarketMaker::new(self.maker, self.devnet.provider());
        let trade = maker.tradeTo(pool, sqrt_price_x96(one, other)?).from(self.devnet.deployer()).gas(GAS);
        Ok(*without_priority_fee(trade, base_fee).send().await?.tx_hash())
    }

    /// Sends the trade of [`Exchange::trade_to`] with a priority fee in wei, so that it comes before everything that pays
    /// less on a node that orders by fees. Returns the transaction's hash without waiting for the block.
    ///
    /// # Errors
    /// When the pool has no such price, or the node refuses the transaction.
    pub async fn send_trade_first(&self, pool: Address, [one, other]: [Amount; 2], fee: u128) -> eyre::Result<B256> {
        let maker = IMarketMaker::new(self.maker, self.devnet.provider());
        let trade = maker.tradeTo(pool, sqrt_price_x96(one, other)?).from(self.devnet.deployer()).gas(GAS);
        Ok(*trade.max_priority_fee_per_gas(fee).max_fee_per_gas(2 * fee).send().await?.tx_hash())
    }
}

/// Returns the route from one token to another over a single pool, as `UniswapV3Swapper` takes it. `fee` is in
/// millionths.
#[must_use]
pub fn route(from: Address, fee: u32, to: Address) -> Bytes {
    (from, U24::from(fee), to).abi_encode_packed().into()
}

/// Returns the square root, in units of 2^-96, of the price of the token with the lower address in units of the other.
fn sqrt_price_x96(one: Amount, other: Amount) -> eyre::Result<U160> {
    let (zero, one) = if one.token < other.token { (one.units, other.units) } else { (other.units, one.units) };
    ensure!(!zero.is_zero() && !one.is_zero(), "a price takes an amount of both tokens");
    // Twice 96 bits, as far as there is room for them; an even number, so that the root is whole.
    let shift = one.leading_zeros().min(192) & !1;
    let root = ((one << shift) / zero).root(2) << ((192 - shift) / 2);
    U160::checked_from_limbs_slice(root.as_limbs()).wrap_err("the exchange has no such price")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_does_not_depend_on_the_order_of_the_amounts() {
        let amount = |token: u8, units: u64| Amount { token: Address::repeat_byte(token), units: U256::from(units) };
        let (low, high) = (amount(1, 1), amount(2, 4));
        assert_eq!(sqrt_price_x96(low, high).unwrap(), U160::from(1) << 97);
        assert_eq!(sqrt_price_x96(high, low).unwrap(), U160::from(1) << 97);
        assert_eq!(sqrt_price_x96(amount(1, 4), amount(2, 1)).unwrap(), U160::from(1) << 95);
        assert!(sqrt_price_x96(low, amount(2, 0)).is_err());
    }
}
