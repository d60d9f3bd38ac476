//! A real Uniswap V3 on a node of our own: pools from the code that Uniswap published, with liquidity from nowhere.
//!
//! Prices are said as amounts that are worth the same, in units of each token, so that nothing is rounded but the
//! pool's own root.

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
use plimsoll_deploy::workspace::Workspace;

use crate::rig::{Rig, behind_others, mined};

/// 0.05 %, in millionths.
pub const FEE: u32 = 500;
/// The hash of the code of every pool of Uniswap V3.
pub const POOL_CODE_HASH: B256 = b256!("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54");

const FACTORY: &str = "node_modules/@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json";
/// Adding liquidity and trading through all of it, with room to spare.
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

/// An amount of a token, in its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// The token, which anybody must be able to mint.
    pub token: Address,
    /// How many units of it.
    pub units: U256,
}

/// The exchange, and whoever trades there for us.
#[derive(Debug)]
pub struct Exchange<'a> {
    rig: &'a Rig,
    factory: Address,
    maker: Address,
}

impl<'a> Exchange<'a> {
    /// Deploys an exchange.
    pub async fn deploy(rig: &'a Rig) -> eyre::Result<Self> {
        let path = Workspace::find()?.root().join(FACTORY);
        let text = fs::read_to_string(&path).wrap_err_with(|| path.display().to_string())?;
        let artifact: serde_json::Value = serde_json::from_str(&text)?;
        let code: Bytes = artifact["bytecode"].as_str().wrap_err("the artifact has no bytecode")?.parse()?;
        let request = TransactionRequest::default().with_from(rig.deployer()).with_deploy_code(code);
        let receipt = rig.provider().send_transaction(request).await?.get_receipt().await?;
        Self::over(rig, receipt.contract_address.wrap_err("the exchange was not created")?).await
    }

    /// Takes an exchange that stands on the node already.
    pub async fn over(rig: &'a Rig, factory: Address) -> eyre::Result<Self> {
        let maker = rig.deploy("MarketMaker", Vec::new()).await?;
        Ok(Self { rig, factory, maker })
    }

    /// Deploys the adapter to it.
    pub async fn deploy_swapper(&self) -> eyre::Result<Address> {
        self.rig.deploy("UniswapV3Swapper", (self.factory, POOL_CODE_HASH).abi_encode_params()).await
    }

    /// The pool of two tokens, which is created where there is none yet, with as much more liquidity over the whole
    /// range as these amounts make. A new pool gets their price.
    pub async fn provide(&self, fee: u32, one: Amount, other: Amount) -> eyre::Result<Address> {
        let factory = IFactory::new(self.factory, self.rig.provider());
        let fee = U24::from(fee);
        let mut pool = factory.getPool(one.token, other.token, fee).call().await?;
        if pool.is_zero() {
            mined(factory.createPool(one.token, other.token, fee).from(self.rig.deployer())).await?;
            pool = factory.getPool(one.token, other.token, fee).call().await?;
        }
        let at = IPool::new(pool, self.rig.provider());
        if at.slot0().call().await?.sqrtPriceX96.is_zero() {
            mined(at.initialize(sqrt_price_x96(one, other)?).from(self.rig.deployer())).await?;
        }
        let liquidity = one.units.checked_mul(other.units).wrap_err("the amounts are too large")?.root(2);
        let maker = IMarketMaker::new(self.maker, self.rig.provider());
        mined(maker.provide(pool, liquidity.try_into()?).from(self.rig.deployer()).gas(GAS)).await?;
        Ok(pool)
    }

    /// Trades until the pool's price is that at which these amounts are worth the same.
    pub async fn trade_to(&self, pool: Address, one: Amount, other: Amount) -> eyre::Result<()> {
        let maker = IMarketMaker::new(self.maker, self.rig.provider());
        mined(maker.tradeTo(pool, sqrt_price_x96(one, other)?).from(self.rig.deployer()).gas(GAS)).await?;
        Ok(())
    }

    /// The same at the end of the next block, whose base fee this is: tells the transaction's hash without waiting for
    /// it.
    pub async fn send_trade_to(&self, pool: Address, [one, other]: [Amount; 2], base_fee: u128) -> eyre::Result<B256> {
        let maker = IMarketMaker::new(self.maker, self.rig.provider());
        let trade = maker.tradeTo(pool, sqrt_price_x96(one, other)?).from(self.rig.deployer()).gas(GAS);
        Ok(*behind_others(trade, base_fee).send().await?.tx_hash())
    }
}

/// The way from one token to another over a single pool, as `UniswapV3Swapper` takes it.
#[must_use]
pub fn route(from: Address, fee: u32, to: Address) -> Bytes {
    (from, U24::from(fee), to).abi_encode_packed().into()
}

/// The square root, in 2^-96, of how many units of the token with the higher address one of the other is worth.
fn sqrt_price_x96(one: Amount, other: Amount) -> eyre::Result<U160> {
    let (zero, one) = if one.token < other.token { (one.units, other.units) } else { (other.units, one.units) };
    ensure!(!zero.is_zero() && !one.is_zero(), "a price takes an amount of both tokens");
    // Twice 96 bits, as far as there is room for them; an even number so that their root is whole.
    let shift = one.leading_zeros().min(192) & !1;
    let root = ((one << shift) / zero).root(2) << ((192 - shift) / 2);
    U160::checked_from_limbs_slice(root.as_limbs()).wrap_err("the exchange has no such price")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_does_not_depend_on_which_amount_is_said_first() {
        let amount = |token: u8, units: u64| Amount { token: Address::repeat_byte(token), units: U256::from(units) };
        let (low, high) = (amount(1, 1), amount(2, 4));
        assert_eq!(sqrt_price_x96(low, high).unwrap(), U160::from(1) << 97);
        assert_eq!(sqrt_price_x96(high, low).unwrap(), U160::from(1) << 97);
        assert_eq!(sqrt_price_x96(amount(1, 4), amount(2, 1)).unwrap(), U160::from(1) << 95);
        assert!(sqrt_price_x96(low, amount(2, 0)).is_err());
    }
}
