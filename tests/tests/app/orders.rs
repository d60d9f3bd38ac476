//! Orders for Guard: placed, signed for others to post, taken back.

use alloy::{primitives::U256, providers::ext::AnvilApi};
use plimsoll_contracts::{IGuard, IPlimsoll};
use serde_json::json;

use super::fixture::Page;

/// What is pasted into the form for signed orders.
async fn paste(page: &mut Page, text: &str) -> eyre::Result<()> {
    page.waits_for("the form for signed orders", "document.querySelector('details.post')").await?;
    page.browser.evaluate("document.querySelector('details.post').open = true").await?;
    page.browser.evaluate("document.querySelector('#post-order').select()").await?;
    page.browser.command("Input.insertText", json!({ "text": text })).await.map(drop)
}

/// Has the person sign the order that the form proposes; returns its text.
async fn sign(page: &mut Page) -> eyre::Result<String> {
    page.click("Sign for others to post").await?;
    page.waits_for("a signed order", "document.querySelector('#signed-order')").await?;
    let text = page.browser.evaluate("document.querySelector('#signed-order').value").await?;
    Ok(text.as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_protects_a_loan_until_it_is_cancelled() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Add collateral", "2").await?;
    page.execute("Borrow", "2000").await?;
    page.click("Place order").await?;
    page.shows("Above an LTV of 80.75 %, down to 68.63 %").await?;
    let guard = IGuard::new(page.suite.contract("Guard")?, page.suite.provider().clone());
    let (id, kind) = (page.market.id().0, IGuard::Kind::Protect);
    let order = guard.order(page.person, id, kind).call().await?._0;
    assert_eq!((order.triggerLtvBps, order.targetLtvBps, order.uses), (8_075, 6_863, 20));
    page.click("Cancel Protect").await?;
    page.hides("Above an LTV of 80.75 %").await?;
    assert_eq!(guard.order(page.person, id, kind).call().await?._0.uses, 0);
    page.go("activity").await?;
    page.shows("Placed an order: Protect").await?;
    page.shows("Cancelled an order: Protect").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_order_costs_its_account_no_gas_and_is_posted_once_by_anybody() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Add collateral", "2").await?;
    page.execute("Borrow", "2000").await?;
    let sent = "testWallet.state.requests.filter((method) => /send/i.test(method)).length";
    let before = page.browser.evaluate(sent).await?;
    let text = sign(&mut page).await?;
    assert_eq!(page.browser.evaluate(sent).await?, before);

    let poster = page.suite.devnet.account(3)?;
    page.wallet(json!({ "account": poster })).await?;
    let changed = text.replace("\"uses\": 20", "\"uses\": 21");
    assert_ne!(changed, text);
    paste(&mut page, &changed).await?;
    page.shows("The signature is not this account's, or the terms were changed after it signed.").await?;
    paste(&mut page, "{}").await?;
    page.shows("This is no order for Guard").await?;
    paste(&mut page, &text).await?;
    page.shows(&format!("Protect in weth-usdc, of {}. Above an LTV of 80.75 %", page.person)).await?;
    page.click("Post signed order").await?;
    page.shows("Done: Post the order of").await?;

    let (guard, core) = (page.suite.contract("Guard")?, page.suite.contract("Plimsoll")?);
    let order = IGuard::new(guard, page.suite.provider());
    let order = order.order(page.person, page.market.id().0, IGuard::Kind::Protect).call().await?._0;
    assert_eq!((order.triggerLtvBps, order.targetLtvBps, order.uses), (8_075, 6_863, 20));
    // The authorisation was signed as well, and ends with the order.
    let core = IPlimsoll::new(core, page.suite.provider());
    let authorised = core.authorizationExpiry(page.person, guard).call().await?;
    assert_eq!(authorised, U256::from(order.expiry));
    paste(&mut page, &text).await?;
    page.shows("It was posted already, or taken back by its account.").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_order_ends_with_its_time_or_when_its_account_cancels_all() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Add collateral", "2").await?;
    page.execute("Borrow", "2000").await?;
    page.wallet(json!({ "refuses": true })).await?;
    page.click("Sign for others to post").await?;
    page.shows("You refused in your wallet. Nothing was sent.").await?;
    page.wallet(json!({ "refuses": false })).await?;
    let text = sign(&mut page).await?;
    let snapshot = page.suite.provider().anvil_snapshot().await?;
    page.suite.provider().anvil_increase_time(8 * 86_400).await?;
    page.suite.provider().evm_mine(None).await?;
    paste(&mut page, &text).await?;
    page.shows("The signature has expired. It has to be signed again.").await?;
    page.suite.provider().anvil_revert(snapshot).await?;
    page.click("Cancel all orders").await?;
    page.shows("Done: Cancel all orders, signed ones too").await?;
    paste(&mut page, &text).await?;
    page.shows("It was posted already, or taken back by its account.").await
}
