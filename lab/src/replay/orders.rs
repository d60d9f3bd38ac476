//! Placing orders at the guard on a chain.

use alloy::{
    primitives::{Address, U256},
    providers::{Provider, ext::AnvilApi},
};
use eyre::ContextCompat;
use futures_util::future::try_join_all;
use plimsoll_contracts::{IGuard, IPlimsoll};
use plimsoll_testkit::{devnet::mined, market_env::MarketEnv};

use super::guard::Terms;

/// Balance of an account that places an order, for gas, in wei: an ether.
const BALANCE: u128 = 10_u128.pow(18);
/// Duration of an order: the longest.
const ORDER_SECS: u64 = 365 * 86_400;

/// Authorises the guard for accounts of the market, and places an order for each.
pub(crate) async fn place(market_env: &MarketEnv<'_>, accounts: &[Address], terms: &Terms) -> eyre::Result<()> {
    let MarketEnv { suite, market, .. } = market_env;
    let provider = suite.devnet.node.impersonating().await?;
    let guard = suite.contract("Guard")?;
    let (core, contract) = (IPlimsoll::new(suite.contract("Plimsoll")?, &provider), IGuard::new(guard, &provider));
    let head = provider.get_block(Default::default()).await?.wrap_err("the node has no block")?;
    let order = terms.order(head.header.timestamp + ORDER_SECS);
    // Together they share blocks.
    try_join_all(accounts.iter().map(async |account| {
        provider.anvil_set_balance(*account, U256::from(BALANCE)).await?;
        mined(core.setAuthorization(guard, U256::MAX).from(*account)).await?;
        mined(contract.place(market.id().0, IGuard::Kind::Protect, order.clone()).from(*account)).await
    }))
    .await?;
    Ok(())
}
