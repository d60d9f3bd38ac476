//! What a person does with a market, from an empty wallet to an empty position.

use alloy::{
    primitives::{Address, U256},
    providers::ext::AnvilApi,
};
use plimsoll_testkit::{keeper::Keeper, market::units};

use super::fixture::Page;
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_a_burner_wallet_borrows_and_pays_back() -> eyre::Result<()> {
    let Some(mut page) = Page::open().await? else { return Ok(()) };
    page.shows("USDC against WETH").await?;
    page.connect("Burner wallet").await?;
    let title = page.browser.evaluate("document.querySelector('.wallet span[title]').title").await?;
    let person: Address = title.as_str().unwrap_or_default().parse()?;
    let (loan, collateral) = (page.market.loanToken, page.market.collateralToken);

    page.go("market/weth-usdc").await?;
    page.execute("Supply", "1,000.5").await?;
    page.execute("Add collateral", "2").await?;
    page.execute("Borrow", "1500").await?;
    let position = page.position(person).await?;
    assert_eq!(position.collateral, units(2, 18));
    assert!(position.borrowShares > U256::ZERO && position.supplyShares > U256::ZERO);
    assert_eq!(page.balance(loan, person).await?, units(100_000, 6) - units(1_000_500, 3) + units(1_500, 6));
    // 1,500 ÷ 0.86 ÷ 2, and a cent of rounding and interest at most.
    page.shows("872.1").await?;

    // Interest accrues in the meantime; all of it is still paid back and taken out, to the unit.
    page.suite.provider().anvil_increase_time(3_600).await?;
    page.suite.provider().evm_mine(None).await?;
    page.execute_max("Repay").await?;
    page.execute_max("Withdraw collateral").await?;
    page.execute_max("Withdraw").await?;
    let position = page.position(person).await?;
    assert_eq!((position.borrowShares, position.supplyShares, position.collateral), Default::default());
    assert_eq!(page.balance(collateral, person).await?, units(100, 18));

    let own = [page.server.url(), page.suite.devnet.node.http_url(), "about:blank".into(), "data:".into()];
    let elsewhere = |url: &String| !own.iter().any(|prefix| url.starts_with(prefix.as_str()));
    let requested: Vec<_> = page.browser.requested().into_iter().filter(elsewhere).collect();
    assert!(requested.is_empty(), "{requested:?}");
    assert_eq!(page.browser.complaints(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_liquidated_when_the_price_falls_and_reads_what_it_cost() -> eyre::Result<()> {
    let Some(mut page) = Page::open().await? else { return Ok(()) };
    page.suite.add_liquidity("weth-usdc", units(10_000, 18), units(20_000_000, 6)).await?;
    let keeper = Keeper::start(&page.suite, support::keeper(), "").await?;
    keeper.wait_until_ready().await?;
    page.connect("Burner wallet").await?;
    page.go("market/weth-usdc").await?;
    page.execute("Add collateral", "5").await?;
    page.execute_max("Borrow").await?;
    page.shows("If it were liquidated").await?;
    let choose = "const feed = document.querySelector('#feed'); feed.value = 'eth-usd';
        feed.dispatchEvent(new Event('change', { bubbles: true }))";
    page.browser.evaluate(choose).await?;
    page.click("Price −10 %").await?;
    page.go("activity").await?;
    page.shows("Liquidated:").await?;
    page.shows("Borrowed 8,000 USDC").await
}
