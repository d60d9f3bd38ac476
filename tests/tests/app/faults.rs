//! What goes wrong between a person, a wallet, a node and an oracle: it is said in words, and nothing is lost.

use alloy::{
    primitives::U256,
    providers::{Provider, ext::AnvilApi},
};
use plimsoll_testkit::market::units;
use serde_json::json;

use super::fixture::Page;

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_signature_sends_nothing_and_says_so() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.wallet(json!({ "refuses": true })).await?;
    page.fill("Supply", "100").await?;
    page.submit().await?;
    page.shows("You refused in your wallet. Nothing was sent.").await?;
    assert_eq!(page.position(page.person).await?.supplyShares, U256::ZERO);
    // The same again, now confirmed.
    page.wallet(json!({ "refuses": false })).await?;
    page.click("Close").await?;
    page.execute("Supply", "100").await?;
    assert!(page.position(page.person).await?.supplyShares > U256::ZERO);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_another_chain_nothing_can_be_sent_until_the_wallet_is_switched() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.wallet(json!({ "chain": "0x1" })).await?;
    page.shows("Switch to local").await?;
    page.fill("Supply", "100").await?;
    page.waits_for("a preview", "document.querySelector('.before-after')").await?;
    page.can_submit(false).await?;
    page.click("Switch to local").await?;
    page.hides("Switch to local").await?;
    page.execute("Supply", "100").await?;
    assert!(page.position(page.person).await?.supplyShares > U256::ZERO);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_in_the_middle_stops_the_steps_that_are_left() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    let other = page.suite.devnet.account(3)?;
    page.suite.provider().anvil_set_auto_mine(false).await?;
    page.fill("Supply", "100").await?;
    page.submit().await?;
    page.shows("Waiting to be mined").await?;
    // The wallet is asked again after the approval is mined, and has another account then.
    page.wallet(json!({ "account": other })).await?;
    page.suite.provider().evm_mine(None).await?;
    page.shows("The wallet has another account now.").await?;
    assert_eq!(page.position(page.person).await?.supplyShares, U256::ZERO);
    assert_eq!(page.position(other).await?.supplyShares, U256::ZERO);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_transaction_is_followed_over_a_reload_and_its_next_step_is_taken() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.suite.provider().anvil_set_auto_mine(false).await?;
    page.fill("Supply", "250").await?;
    page.submit().await?;
    page.shows("Waiting to be mined").await?;
    page.reload().await?;
    page.shows("Waiting to be mined: Supply 250 USDC").await?;
    page.suite.provider().anvil_set_auto_mine(true).await?;
    page.suite.provider().evm_mine(None).await?;
    page.shows("Done: Supply 250 USDC").await?;
    let position = page.position(page.person).await?;
    // A share of an untouched market is a millionth of a unit.
    assert_eq!(position.supplyShares, units(250, 6) * U256::from(1_000_000));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_reverts_on_chain_is_explained() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Add collateral", "1").await?;
    page.suite.provider().anvil_set_auto_mine(false).await?;
    page.fill("Borrow", "1500").await?;
    page.submit().await?;
    page.shows("Waiting to be mined").await?;
    // The price falls in the same block, before the borrowing.
    page.suite.send_price_first("eth-usd", 150_000_000_000).await?;
    page.suite.provider().evm_mine(None).await?;
    page.shows("The transaction was mined and reverted. The debt would be 1,500 USDC").await?;
    page.shows("this collateral allows at most 1,200 USDC").await?;
    assert_eq!(page.position(page.person).await?.borrowShares, U256::ZERO);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_is_said_and_its_return_is_noticed() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.fill("Supply", "100").await?;
    page.can_submit(true).await?;
    page.offline(true).await?;
    page.shows("The node does not respond. These figures are of block").await?;
    page.can_submit(false).await?;
    page.offline(false).await?;
    page.hides("The node does not respond.").await?;
    page.submit().await?;
    page.shows("Done: Supply 100 USDC").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_cannot_be_drawn_is_said_and_is_drawn_with_the_next_block() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Supply", "100").await?;
    // From now on no amount with a fraction can be written, of which the wallet's part has one, too. Words of calldata are longer.
    let break_it = "window.padEnd = String.prototype.padEnd; \
                    String.prototype.padEnd = function (length, ...filler) { \
                        if (length < 30) throw new Error('no figure'); \
                        return window.padEnd.call(this, length, ...filler); \
                    }";
    page.browser.evaluate(break_it).await?;
    page.suite.provider().evm_mine(None).await?;
    page.shows("This part of the page could not be drawn (Error: no figure).").await?;
    let block = page.suite.provider().get_block_number().await?;
    page.shows(&format!("Block {block}")).await?;
    page.browser.evaluate("String.prototype.padEnd = window.padEnd").await?;
    page.suite.provider().evm_mine(None).await?;
    page.hides("could not be drawn").await?;
    page.execute("Supply", "100").await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_read_are_said_and_the_next_ones_are_read() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.fill("Supply", "100").await?;
    page.can_submit(true).await?;
    // From now on every long answer ends in its middle.
    let cut = "window.whole = window.fetch; window.fetch = async (...request) => { \
                   const answers = await (await window.whole(...request)).json(); \
                   for (const answer of [answers].flat()) { \
                       if (answer.result?.length > 200) answer.result = answer.result.slice(0, 100); \
                   } \
                   return new Response(JSON.stringify(answers)); \
               }";
    page.browser.evaluate(cut).await?;
    page.suite.provider().evm_mine(None).await?;
    page.shows("The node's answers cannot be read. These figures are of block").await?;
    page.can_submit(false).await?;
    page.browser.evaluate("window.fetch = window.whole").await?;
    page.hides("cannot be read").await?;
    page.submit().await?;
    page.shows("Done: Supply 100 USDC").await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_stale_oracle_borrowing_is_refused_in_words_and_repaying_works() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Add collateral", "2").await?;
    page.execute("Borrow", "1000").await?;
    page.suite.provider().anvil_increase_time(3 * 3_600).await?;
    page.suite.provider().evm_mine(None).await?;
    page.shows("The oracle's price is too old").await?;
    page.fill("Borrow", "10").await?;
    page.shows("The oracle has no price to borrow at.").await?;
    page.fill("Withdraw collateral", "0.1").await?;
    page.shows("The oracle has no price. Repay the whole debt to withdraw collateral.").await?;
    page.execute_max("Repay").await?;
    page.execute_max("Withdraw collateral").await?;
    let position = page.position(page.person).await?;
    assert_eq!((position.borrowShares, position.collateral), (U256::ZERO, U256::ZERO));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_beyond_what_is_there_are_refused_beside_the_field() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    for (verb, amount, answer) in [
        ("Supply", "60000", "Wallet: 50,000 USDC. Choose at most this."),
        ("Supply", "1.2345678", "This token has 6 decimals"),
        ("Supply", "lots", "Write an amount such as 1250.5"),
        ("Supply", "0", "Write an amount above 0"),
        ("Withdraw", "1", "You have supplied nothing here."),
        ("Borrow", "500", "Add collateral first."),
        ("Repay", "1", "You owe nothing here."),
        ("Withdraw collateral", "1", "You have no collateral here."),
    ] {
        page.fill(verb, amount).await?;
        page.shows(answer).await?;
        page.can_submit(false).await?;
    }
    // Below the minimum debt, which only the contract knows to refuse.
    page.execute("Add collateral", "1").await?;
    page.fill("Borrow", "100").await?;
    page.shows("A loan of 100 USDC would remain; this market's minimum debt is 300 USDC.").await?;
    // All that can be borrowed can still be borrowed when it is mined.
    page.execute_max("Borrow").await?;
    page.execute_max("Supply").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_with_atomic_batches_is_asked_once() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.wallet(json!({ "atomic": true })).await?;
    page.execute("Supply", "100").await?;
    let asked = "testWallet.state.requests.filter((method) => /send/i.test(method)).join()";
    assert_eq!(page.browser.evaluate(asked).await?, "wallet_sendCalls");
    // Without it, each step is a transaction.
    page.wallet(json!({ "atomic": false })).await?;
    page.execute("Supply", "100").await?;
    let sent = "wallet_sendCalls,eth_sendTransaction,eth_sendTransaction";
    assert_eq!(page.browser.evaluate(asked).await?, sent);
    Ok(())
}
