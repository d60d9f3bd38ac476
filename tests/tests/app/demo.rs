//! A stranger and the demo: no preparation besides opening its address.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use plimsoll_lab::demo::{self, Demo, Options};

use super::fixture::Page;
use crate::{browser::Browser, support};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_opens_the_demo_borrows_and_is_liquidated() -> eyre::Result<()> {
    let Some(browser) = Browser::start().await? else { return Ok(()) };
    let options = Options { positions: 30, seed: 1, steps: 4, pace: Duration::ZERO };
    let demo = demo::run(&options, support::keeper()).await?;
    demo.resume_mining().await?;
    let Demo { suite, keeper: _keeper, page: server, .. } = demo;

    let started = Instant::now();
    let mut page = Page::of(suite, server, browser).await?;
    // The market that has something to lend comes first.
    page.shows("Lend a token for interest").await?;
    page.waits_for("a market", "document.querySelector('.card h3 a')?.innerText === 'USDC against WETH'").await?;
    page.browser.evaluate("document.querySelector('.card h3 a').click()").await?;
    page.click("Try it with play money").await?;
    page.shows("Nothing yet.").await?;
    page.execute("Add collateral", "5").await?;
    page.execute_max("Borrow").await?;
    // The feed of the market is chosen already.
    page.click("Price −10 %").await?;
    page.go("activity").await?;
    page.shows("Liquidated:").await?;
    let took = started.elapsed().as_secs();
    writeln!(io::stderr(), "page: {took} s from opening the demo's address to having been liquidated")?;
    assert_eq!(page.browser.complaints(), Vec::<String>::new());
    Ok(())
}
