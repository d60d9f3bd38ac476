//! Leverage, staking and the backstop, by the buttons that a person presses.

use alloy::{primitives::U256, providers::ext::AnvilApi};
use eyre::ContextCompat;
use plimsoll_contracts::{IERC4626, IRewards};
use plimsoll_testkit::{
    devnet::{ITestToken, mined},
    market::units,
};

use super::fixture::Page;

#[tokio::test(flavor = "multi_thread")]
async fn leverage_is_opened_and_closed_by_signatures_in_one_transaction_each() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.suite.add_liquidity("weth-usdc", units(10_000, 18), units(20_000_000, 6)).await?;
    let sent = "testWallet.state.requests.filter((method) => /send|sign/i.test(method)).join()";
    page.execute("Leverage", "2").await?;
    let asked = "eth_signTypedData_v4,eth_signTypedData_v4,eth_sendTransaction";
    assert_eq!(page.browser.evaluate(sent).await?, asked);
    let position = page.position(page.person).await?;
    // Twice the deposit, less the pool's fee.
    assert!(position.collateral > units(398, 16) && position.collateral < units(4, 18), "{position:?}");
    page.execute("Sell to repay", "500").await?;
    assert!(page.position(page.person).await?.collateral < position.collateral);
    page.execute_max("Sell to repay").await?;
    let position = page.position(page.person).await?;
    assert_eq!((position.borrowShares, position.collateral), (U256::ZERO, U256::ZERO));
    page.go("activity").await?;
    page.shows("Leverage: bought ").await?;
    page.shows("Closed the loan: sold ").await?;
    let left = page.balance(page.market.collateralToken, page.person).await?;
    assert!(left > units(998, 16) && left < units(10, 18), "{left}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rewards_are_staked_for_claimed_and_left_to_be_claimed_by_others() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    let (plim, provider) = (page.suite.token("PLIM")?, page.suite.provider());
    mined(ITestToken::new(plim, provider).mint(page.person, units(100, 18)).from(page.person)).await?;
    page.go("earn").await?;
    page.execute("Stake", "40").await?;
    page.suite.provider().anvil_increase_time(3 * 604_800).await?;
    page.suite.provider().evm_mine(None).await?;
    let rewards = IRewards::new(page.suite.contract("Rewards")?, page.suite.provider().clone());
    let pool = page.suite.deployment.programmes["plim"].id;
    assert_eq!(rewards.staked(pool, page.person).call().await?, units(40, 18));
    page.click("Claim").await?;
    page.shows("Done: Claim rewards").await?;
    assert_eq!(rewards.claimable(pool, plim, page.person).call().await?, U256::ZERO);
    assert!(page.balance(plim, page.person).await? > units(60, 18));
    page.click("Auto-claim and stake PLIM").await?;
    page.shows("Stop auto-claim of PLIM").await?;
    let consent = rewards.harvestConsent(pool, plim, page.person).call().await?;
    assert!(consent.enabled && consent.compounds && consent.tipBps == 500);
    page.execute_max("Unstake").await?;
    assert_eq!(rewards.staked(pool, page.person).call().await?, U256::ZERO);
    page.go("activity").await?;
    page.shows("Staked 40 PLIM").await?;
    page.shows("Claimed ").await?;
    page.shows("Started auto-claim (tip 5 %) of PLIM").await?;
    page.shows("Unstaked ").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_depositor_leaves_the_backstop_after_its_cooldown_and_not_before() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.go("earn").await?;
    page.execute("Deposit", "2500").await?;
    let backstop = IERC4626::new(page.suite.contract("Backstop")?, page.suite.provider().clone());
    assert!(backstop.balanceOf(page.person).call().await? > U256::ZERO);
    page.fill("Redeem", "1").await?;
    page.shows("Start a cooldown first.").await?;
    page.execute_max("Start cooldown").await?;
    page.shows("From 20").await?;
    page.suite.provider().anvil_increase_time(10 * 86_400 + 60).await?;
    page.suite.provider().evm_mine(None).await?;
    page.execute_max("Redeem").await?;
    assert_eq!(backstop.balanceOf(page.person).call().await?, U256::ZERO);
    page.go("activity").await?;
    page.shows("Deposited 2,500 USDC").await?;
    page.shows("Started the cooldown").await?;
    // The first depositor's floor keeps a unit at most.
    let left = page.balance(page.market.loanToken, page.person).await?;
    assert!(left >= units(50_000, 6) - U256::ONE, "{left}");
    Ok(())
}

/// A vault over one market.
pub(super) const VAULT: &str = r#"
[vaults.usdc]
asset = "USDC"
name = "Plimsoll USDC Vault"
symbol = "plvUSDC"
owner = "owner"
curator = "owner"
guardian = "owner"
allocators = ["deployer"]
fee = "10%"
fee_recipient = "owner"
max_rate = "30%"
penalty = "0.1%"
raise_delay = "3 days"
nudge = { by = "10%", every = "1 day" }
deposit_market = "weth-usdc"
first_deposit = "10 USDC"
markets = { weth-usdc = { amount = "1000000 USDC" } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_is_left_in_tokens_and_in_kind() -> eyre::Result<()> {
    let Some(mut page) = Page::connected_with(VAULT).await? else { return Ok(()) };
    let vault = page.suite.deployment.address("vaults.usdc").wrap_err("the record has no vault")?;
    let shares = IERC4626::new(vault, page.suite.provider().clone());
    page.go("earn").await?;
    page.shows("Lend USDC over several markets").await?;
    // The backstop above has a form to deposit, too.
    page.within("#vault-usdc");
    page.execute("Deposit", "3000").await?;
    page.execute("Withdraw", "1000").await?;
    assert_eq!(page.balance(page.market.loanToken, page.person).await?, units(48_000, 6));
    page.execute_max("Redeem in kind").await?;
    assert_eq!(shares.balanceOf(page.person).call().await?, U256::ZERO);
    // The vault's part of the market is the person's own position now.
    assert!(page.position(page.person).await?.supplyShares > U256::ZERO);
    page.go("activity").await?;
    page.shows("Deposited 3,000 USDC").await?;
    page.shows("Withdrew 1,000 USDC").await?;
    page.shows("Redeemed in kind").await?;
    Ok(())
}
