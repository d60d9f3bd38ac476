//! A real Uniswap V2 on a local chain: pairs from the bytecode that Uniswap published, with reserves from minted tokens.

use std::fs;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, hex, keccak256},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolValue,
};
use eyre::{ContextCompat, WrapErr, ensure};
use serde_json::Value;

use crate::{
    devnet::{Devnet, ITestToken, mined},
    exchange::Amount,
    workspace::workspace,
};

/// Folder of the npm package's artifacts, from the root of the repository.
const ARTIFACTS: &str = "node_modules/@uniswap/v2-core/build";
/// Gas limit of creating a pair.
const GAS: u64 = 4_000_000;

sol! {
    #[sol(rpc)]
    interface IPairFactory {
        function createPair(address tokenA, address tokenB) external returns (address pair);
        function getPair(address tokenA, address tokenB) external view returns (address pair);
    }

    #[sol(rpc)]
    interface IPair {
        function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 blockTimestampLast);
        function mint(address to) external returns (uint256 liquidity);
        function sync() external;
    }
}

/// A factory of pairs.
#[derive(Debug, Clone, Copy)]
pub struct Pairs {
    /// Address of the factory.
    pub factory: Address,
    /// Hash of the creation code of every pair.
    pub init_code_hash: B256,
}

impl Pairs {
    /// Deploys a factory.
    ///
    /// # Errors
    /// When the npm package is missing or a transaction fails.
    pub async fn deploy(devnet: &Devnet) -> eyre::Result<Self> {
        let code = [creation_code("UniswapV2Factory")?, devnet.deployer().abi_encode()].concat();
        let request = TransactionRequest::default()
            .with_from(devnet.deployer())
            .with_deploy_code(Bytes::from(code))
            .with_gas_limit(GAS);
        let receipt = devnet.provider().send_transaction(request).await?.get_receipt().await?;
        ensure!(receipt.status(), "the constructor of the factory of pairs reverted");
        let factory = receipt.contract_address.wrap_err("the factory of pairs was not created")?;
        Ok(Self { factory, init_code_hash: keccak256(creation_code("UniswapV2Pair")?) })
    }

    /// Creates a pair with these reserves, which make its price, and returns its address.
    ///
    /// # Errors
    /// When there is such a pair already, or a transaction fails.
    pub async fn create(&self, devnet: &Devnet, reserves: [Amount; 2]) -> eyre::Result<Address> {
        let (provider, from) = (devnet.provider(), devnet.deployer());
        let [one, other] = reserves.map(|amount| amount.token);
        let factory = IPairFactory::new(self.factory, provider);
        mined(factory.createPair(one, other).from(from).gas(GAS)).await?;
        let pair = factory.getPair(one, other).call().await?;
        for Amount { token, units } in reserves {
            mined(ITestToken::new(token, provider).mint(pair, units).from(from)).await?;
        }
        mined(IPair::new(pair, provider).mint(from).from(from)).await?;
        Ok(pair)
    }
}

/// Returns what a pair lacks to have the price at which the amounts are worth the same: tokens of one kind. Once it has them,
/// [`IPair::syncCall`] makes them its reserve.
///
/// # Errors
/// When the node does not answer, or the amounts are too large.
pub async fn missing(provider: &DynProvider, pair: Address, amounts: [Amount; 2]) -> eyre::Result<Amount> {
    let [zero, one] = if amounts[0].token < amounts[1].token { amounts } else { [amounts[1], amounts[0]] };
    let reserves = IPair::new(pair, provider).getReserves().call().await?;
    let held = [reserves.reserve0, reserves.reserve1].map(U256::from);
    let fitting = |held: U256, units: U256, per: U256| held.checked_mul(units).map(|product| product / per);
    let wanted1 = fitting(held[0], one.units, zero.units).wrap_err("the amounts are too large")?;
    Ok(if wanted1 > held[1] {
        Amount { token: one.token, units: wanted1 - held[1] }
    } else {
        let wanted0 = fitting(held[1], zero.units, one.units).wrap_err("the amounts are too large")?;
        Amount { token: zero.token, units: wanted0.saturating_sub(held[0]) }
    })
}

fn creation_code(name: &str) -> eyre::Result<Vec<u8>> {
    let path = workspace()?.root().join(ARTIFACTS).join(format!("{name}.json"));
    let text = fs::read_to_string(&path).wrap_err_with(|| path.display().to_string())?;
    let artifact: Value = serde_json::from_str(&text).wrap_err_with(|| path.display().to_string())?;
    let code = artifact["bytecode"].as_str().wrap_err_with(|| format!("{} has no bytecode", path.display()))?;
    hex::decode(code).wrap_err_with(|| path.display().to_string())
}
