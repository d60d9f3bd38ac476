//! A vault's depositor who leaves when everything that the market has is borrowed: in kind, since nothing can be withdrawn.

use std::path::Path;

use alloy::{
    primitives::{Address, Bytes, U256},
    providers::ext::AnvilApi,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IERC4626, ILens, IPlimsoll, IVault};
use plimsoll_deploy::manifest::Manifest;
use plimsoll_keeper::amount::Amount;
use plimsoll_testkit::{deployment::Suite, devnet::mined, market::units, market_env::MarketEnv, workspace::workspace};
use serde::Serialize;

use super::sample::DOLLAR_E8;

const MANIFEST: &str = "examples/local.toml";
/// The vault of the demo, besides what the manifest has.
const VAULT: &str = r#"
[vaults.usdc]
asset = "USDC"
name = "Plimsoll USDC Vault"
symbol = "plvUSDC"
owner = "owner"
curator = "owner"
max_rate = "100%"
penalty = "0.1%"
raise_delay = "3 days"
deposit_market = "weth-usdc"
markets = { weth-usdc = { amount = "10000000 USDC" } }
"#;
/// Name of the vault on record.
const NAME: &str = "vaults.usdc";
/// The node's account that deposits in the vault.
const DEPOSITOR: usize = 7;
/// The node's account that borrows the rest of the liquidity.
const BORROWER: usize = 1;
/// What is deposited, in whole dollars.
const DEPOSIT_DOLLARS: u64 = 100_000;
/// Value of the last borrower's collateral, in times of its debt.
const COLLATERAL_FACTOR: u64 = 2;

/// The exit of a vault's depositor in kind. Amounts are exact.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitFigures {
    /// Value of the depositor's shares before the exit.
    pub had: Amount,
    /// What of it could be withdrawn, when everything was borrowed.
    pub withdrawable: Amount,
    /// What the depositor has afterwards: supply in the market, and tokens.
    pub has: Amount,
    /// Gas of the exit.
    pub gas: u64,
}

/// Returns the local manifest with a vault.
pub(super) fn manifest() -> eyre::Result<Manifest> {
    let path = workspace()?.root().join(MANIFEST);
    let text = std::fs::read_to_string(&path)? + VAULT;
    Ok(Manifest::parse(Path::new(MANIFEST), text)?)
}

/// Deposits in the vault, which supplies it to the market at once.
pub(super) async fn deposit(market_env: &MarketEnv<'_>) -> eyre::Result<()> {
    let suite = market_env.suite;
    let (vault, depositor, assets) = (address(suite)?, suite.devnet.account(DEPOSITOR)?, units(DEPOSIT_DOLLARS, 6));
    suite.devnet.mint_and_approve(market_env.market.loanToken, depositor, assets, vault).await?;
    mined(IVault::new(vault, suite.provider()).deposit(assets, depositor, U256::ZERO).from(depositor)).await?;
    Ok(())
}

impl ExitFigures {
    /// Borrows all that the market has at a price of the collateral, in dollars of 8 decimals, has the depositor leave, and
    /// repays.
    pub(super) async fn play(market_env: &MarketEnv<'_>, price: u128) -> eyre::Result<Self> {
        let provider = market_env.provider();
        provider.anvil_set_auto_mine(true).await?;
        borrow_all(market_env, price).await?;
        let exit = exit(market_env).await;
        repay(market_env).await?;
        provider.anvil_set_auto_mine(false).await?;
        exit
    }
}

fn address(suite: &Suite) -> eyre::Result<Address> {
    suite.deployment.address(NAME).wrap_err("the vault is not on record")
}

async fn borrow_all(market_env: &MarketEnv<'_>, price: u128) -> eyre::Result<()> {
    let (suite, market) = (market_env.suite, &market_env.market);
    let (provider, borrower, core) = (suite.provider(), suite.devnet.account(BORROWER)?, suite.contract("Plimsoll")?);
    let plimsoll = IPlimsoll::new(core, provider);
    let collateral =
        units(COLLATERAL_FACTOR, 18) * left(market_env).await? * U256::from(DOLLAR_E8 / 1_000_000) / U256::from(price);
    suite.devnet.mint_and_approve(market.collateralToken, borrower, collateral, core).await?;
    mined(plimsoll.supplyCollateral(market.clone(), collateral, borrower, Bytes::new()).from(borrower)).await?;
    let all = left(market_env).await?;
    mined(plimsoll.borrow(market.clone(), all, U256::ZERO, borrower, borrower).from(borrower)).await?;
    Ok(())
}

/// Repays all that was borrowed, so that others can borrow afterwards.
async fn repay(market_env: &MarketEnv<'_>) -> eyre::Result<()> {
    let (suite, market) = (market_env.suite, &market_env.market);
    let (borrower, core) = (suite.devnet.account(BORROWER)?, suite.contract("Plimsoll")?);
    let plimsoll = IPlimsoll::new(core, suite.provider());
    let totals = plimsoll.market(market.id().0).call().await?;
    suite.devnet.mint_and_approve(market.loanToken, borrower, U256::from(totals.borrowAssets), core).await?;
    let shares = U256::from(plimsoll.position(market.id().0, borrower).call().await?.borrowShares);
    mined(plimsoll.repay(market.clone(), U256::ZERO, shares, borrower, Bytes::new()).from(borrower)).await?;
    Ok(())
}

/// Returns what can still be borrowed. Interest adds as much to the supply as to the debt, less than a fee.
async fn left(market_env: &MarketEnv<'_>) -> eyre::Result<U256> {
    let lens = ILens::new(market_env.suite.contract("Lens")?, market_env.provider());
    let lines = lens.markets(vec![market_env.market.id().0]).call().await?;
    let accrued = &lines.first().wrap_err("the lens does not know the market")?.accrued;
    Ok(U256::from(accrued.supplyAssets - accrued.borrowAssets))
}

async fn exit(market_env: &MarketEnv<'_>) -> eyre::Result<ExitFigures> {
    let suite = market_env.suite;
    let (provider, vault, owner) = (suite.provider(), address(suite)?, suite.devnet.account(DEPOSITOR)?);
    let (shares_of, token) = (IERC4626::new(vault, provider), IERC4626::new(market_env.market.loanToken, provider));
    let shares = shares_of.balanceOf(owner).call().await?;
    let had = shares_of.convertToAssets(shares).call().await?;
    let withdrawable = shares_of.maxWithdraw(owner).call().await?;
    ensure!(withdrawable < had, "all of {had} units could be withdrawn, so that nobody needs an exit in kind");
    let before = token.balanceOf(owner).call().await?;
    let receipt = mined(IVault::new(vault, provider).redeemInKind(shares, owner, owner, false).from(owner)).await?;
    let lens = ILens::new(suite.contract("Lens")?, provider);
    let lines = lens.positions(market_env.market.id().0, vec![owner]).call().await?.lines;
    let supplied = lines.first().map(|line| line.supplyAssets).unwrap_or_default();
    let has = supplied + token.balanceOf(owner).call().await? - before;
    let [had, withdrawable, has] = [had, withdrawable, has].map(|units| Amount::new(units, 6, "USDC"));
    Ok(ExitFigures { had, withdrawable, has, gas: receipt.gas_used })
}
