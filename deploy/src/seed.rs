//! Liquidity for the pools of a local chain: without it, no collateral can be sold there and no keeper without capital
//! can liquidate.

use alloy::{
    network::TransactionBuilder,
    primitives::Address,
    providers::Provider,
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol,
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};

use crate::{
    compile::Artifacts,
    connection::Chain,
    design::{Design, Work},
};

/// Contract that mints a pool's tokens and provides them as liquidity.
const MARKET_MAKER: &str = "MarketMaker";

/// Gas limit of providing liquidity to a pool. An estimate is too low where the transaction is mined in another second than it
/// was made in: the first in a second makes the pool write an observation.
const PROVIDE_GAS: u64 = 2_000_000;

sol! {
    interface IMarketMaker {
        function provide(address pool, uint128 liquidity) external;
    }
}

/// Provides liquidity to every pool of the manifest, over the whole range of prices, and returns the number of pools.
/// Anvil signs for one of its accounts. Fails if a transaction does, for instance where a pool's tokens cannot be minted.
pub async fn seed_pools(chain: &Chain, design: &Design, artifacts: &Artifacts) -> eyre::Result<usize> {
    let pools: Vec<_> = design
        .steps
        .iter()
        .filter_map(|step| match &step.work {
            Work::StartPool(pool) => Some(pool),
            _ => None,
        })
        .collect();
    if pools.is_empty() {
        return Ok(0);
    }
    let accounts = chain.provider().get_accounts().await.map_err(|error| chain.error(&error))?;
    let sender = *accounts.first().wrap_err("the node has no account of its own")?;
    let code = artifacts.get(MARKET_MAKER)?.creation_code.clone();
    let created = send(chain, TransactionRequest::default().with_from(sender).with_deploy_code(code)).await?;
    let maker: Address = created.contract_address.wrap_err("the market maker was not created")?;
    for pool in &pools {
        let data = IMarketMaker::provideCall { pool: pool.address, liquidity: pool.seed_liquidity }.abi_encode();
        let request = TransactionRequest::default().with_from(sender).with_to(maker).with_input(data);
        send(chain, request.with_gas_limit(PROVIDE_GAS)).await?;
    }
    Ok(pools.len())
}

async fn send(chain: &Chain, request: TransactionRequest) -> eyre::Result<TransactionReceipt> {
    let pending = chain.provider().send_transaction(request).await.map_err(|error| chain.error(&error))?;
    let receipt = pending.get_receipt().await?;
    ensure!(receipt.status(), "providing liquidity failed: transaction {} reverted", receipt.transaction_hash);
    Ok(receipt)
}
