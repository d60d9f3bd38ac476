//! Every verb of the page meets every fault before it succeeds: each is said in words, and nothing is sent or lost.

use alloy::providers::ext::AnvilApi;
use plimsoll_testkit::{
    devnet::{ITestToken, mined},
    market::units,
};
use serde_json::json;

use super::{earn::VAULT, fixture::Page};

/// What a person presses.
pub(super) enum Act {
    /// A form for an amount, within a part of the page.
    Form { part: &'static str, verb: &'static str, amount: &'static str },
    /// A button for which no amount is needed.
    Button(&'static str),
}

use Act::{Button, Form};

const IN_THE_MARKET: [Act; 11] = [
    Form { part: "", verb: "Supply", amount: "1000" },
    Form { part: "", verb: "Add collateral", amount: "4" },
    Form { part: "", verb: "Borrow", amount: "1000" },
    Form { part: "", verb: "Withdraw", amount: "100" },
    Form { part: "", verb: "Repay", amount: "100" },
    Form { part: "", verb: "Withdraw collateral", amount: "0.1" },
    Form { part: "", verb: "Leverage", amount: "0.5" },
    Form { part: "", verb: "Sell to repay", amount: "100" },
    Button("Place order"),
    Button("Cancel Protect"),
    Button("Cancel all orders"),
];

const TO_EARN: [Act; 9] = [
    Form { part: "#stake-plim", verb: "Stake", amount: "10" },
    Button("Claim"),
    Button("Auto-claim and stake PLIM"),
    Form { part: "#stake-plim", verb: "Unstake", amount: "1" },
    Form { part: "#backstop-usdc", verb: "Deposit", amount: "100" },
    Form { part: "#backstop-usdc", verb: "Start cooldown", amount: "10" },
    Form { part: "#vault-usdc", verb: "Deposit", amount: "200" },
    Form { part: "#vault-usdc", verb: "Withdraw", amount: "50" },
    Form { part: "#vault-usdc", verb: "Redeem in kind", amount: "10" },
];

impl Act {
    /// Opens the form and fills it in, or waits for the button. Sets the scene for what time has to bring.
    async fn prepare(&self, page: &mut Page) -> eyre::Result<()> {
        match self {
            Form { part, verb, amount } => {
                page.within(part);
                page.fill(verb, amount).await?;
            }
            Button("Claim") => {
                page.suite.provider().anvil_increase_time(3 * 604_800).await?;
                page.suite.provider().evm_mine(None).await?;
            }
            Button(_) => {}
        }
        self.is_open(page, true).await
    }

    async fn is_open(&self, page: &mut Page, is: bool) -> eyre::Result<()> {
        match self {
            Form { .. } => page.can_submit(is).await,
            Button(label) => page.has_button(label, is).await,
        }
    }

    async fn press(&self, page: &mut Page) -> eyre::Result<()> {
        match self {
            Form { .. } => page.submit().await,
            Button(label) => page.click(label).await,
        }
    }

    /// Presses, and expects that nothing is done for a reason.
    async fn fails_with(&self, page: &mut Page, reason: &str) -> eyre::Result<()> {
        self.press(page).await?;
        page.waits_for(
            reason,
            &format!("document.querySelector('.progress.failed')?.innerText.includes({})", json!(reason)),
        )
        .await?;
        page.click("Close").await
    }

    /// Meets the wallet's, the node's and the chain's faults, and in the end succeeds in spite of a reload.
    pub(super) async fn meets_every_fault(&self, page: &mut Page, route: &str) -> eyre::Result<()> {
        self.prepare(page).await?;
        let chain = format!("{:#x}", page.suite.deployment.chain_id);
        page.wallet(json!({ "chain": "0x1" })).await?;
        self.is_open(page, false).await?;
        page.shows("Switch to local").await?;
        page.wallet(json!({ "chain": chain })).await?;
        self.is_open(page, true).await?;

        page.offline(true).await?;
        self.is_open(page, false).await?;
        page.shows("The node does not respond.").await?;
        page.offline(false).await?;
        self.is_open(page, true).await?;

        page.wallet(json!({ "refuses": true })).await?;
        self.fails_with(page, "You refused in your wallet. Nothing was sent.").await?;
        page.wallet(json!({ "refuses": false })).await?;

        // A wallet that changed its account and did not say so.
        let other = page.suite.devnet.account(3)?;
        page.browser.evaluate(&format!("testWallet.state.account = {}", json!(other))).await?;
        self.fails_with(page, "The wallet has another account now.").await?;
        page.browser.evaluate(&format!("testWallet.state.account = {}", json!(page.person))).await?;

        page.wallet(json!({ "starves": true })).await?;
        self.fails_with(page, "The transaction was mined and reverted.").await?;
        page.wallet(json!({ "starves": false })).await?;

        page.suite.provider().anvil_set_auto_mine(false).await?;
        self.press(page).await?;
        page.shows("Waiting to be mined").await?;
        page.reload_at(route).await?;
        page.shows("Waiting to be mined").await?;
        page.suite.provider().anvil_set_auto_mine(true).await?;
        page.suite.provider().evm_mine(None).await?;
        page.shows("Done: ").await?;
        page.click("Close").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_meets_every_fault_and_succeeds_after_it() -> eyre::Result<()> {
    let Some(mut page) = Box::pin(Page::connected_with(VAULT)).await? else { return Ok(()) };
    page.suite.add_liquidity("weth-usdc", units(10_000, 18), units(20_000_000, 6)).await?;
    let (plim, provider) = (page.suite.token("PLIM")?, page.suite.provider());
    mined(ITestToken::new(plim, provider).mint(page.person, units(100, 18)).from(page.person)).await?;
    for (route, acts) in [("market/weth-usdc", &IN_THE_MARKET[..]), ("earn", &TO_EARN[..])] {
        page.go(route).await?;
        for act in acts {
            act.meets_every_fault(&mut page, route).await?;
        }
    }
    Ok(())
}

/// What each verb of a market says while its oracle reverts; `None` for those that need no price.
const WITHOUT_AN_ORACLE: [(&str, &str, Option<&str>); 8] = [
    ("Supply", "100", None),
    ("Withdraw", "10", None),
    ("Add collateral", "0.5", None),
    ("Borrow", "10", Some("The oracle has no price to borrow at.")),
    ("Repay", "10", None),
    ("Withdraw collateral", "0.1", Some("The oracle has no price. Repay the whole debt to withdraw collateral.")),
    ("Leverage", "0.5", Some("The oracle has no price")),
    ("Sell to repay", "10", Some("The oracle has no price")),
];

#[tokio::test(flavor = "multi_thread")]
async fn while_the_oracle_reverts_what_needs_no_price_works_and_the_rest_says_why_not() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Supply", "1000").await?;
    page.execute("Add collateral", "4").await?;
    page.execute("Borrow", "1000").await?;
    page.suite.provider().anvil_set_code(page.market.oracle, vec![0xfe].into()).await?;
    page.suite.provider().evm_mine(None).await?;
    page.shows("oracle").await?;
    for (verb, amount, refusal) in WITHOUT_AN_ORACLE {
        page.fill(verb, amount).await?;
        let Some(words) = refusal else {
            page.submit_and_finish().await?;
            continue;
        };
        page.shows(words).await?;
        page.can_submit(false).await?;
    }
    Ok(())
}
