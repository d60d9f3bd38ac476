//! The page in a real browser, on a real node, with the suite deployed.

use std::{fs, time::Duration};

use alloy::primitives::{Address, U256};
use eyre::{WrapErr, ensure, eyre};
use plimsoll_contracts::{IPlimsoll, MarketParams, Position};
use plimsoll_deploy::{
    app::{AppServer, Site},
    manifest::Manifest,
};
use plimsoll_testkit::{
    deployment::Suite,
    devnet::{ITestToken, mined},
    market::units,
};
use serde_json::{Value, json};

use crate::{browser::Browser, support};

/// The wallet that is placed in the page.
const WALLET: &str = include_str!("wallet.js");
/// The longest time in which the page must show something.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The node's account that the wallet has at first.
const PERSON: usize = 2;

/// The page, open in a browser.
pub(super) struct Page {
    pub(super) suite: Suite,
    pub(super) browser: Browser,
    pub(super) server: AppServer,
    /// The market `weth-usdc`, with 500,000 USDC to lend.
    pub(super) market: MarketParams,
    /// The account of the wallet, with 10 WETH and 50,000 USDC.
    pub(super) person: Address,
    /// JavaScript that finds the form which is open.
    form: String,
    /// Selector of the part of the page in which verbs are chosen.
    part: String,
}

/// Builds the files of the page for a deployment.
pub(super) async fn build_site(suite: &Suite) -> eyre::Result<Site> {
    let (tools, deployment, url) = (support::tools()?, suite.deployment.clone(), suite.devnet.node.http_url().parse()?);
    Ok(tokio::task::spawn_blocking(move || Site::build(&tools, &deployment, &url, true)).await??)
}

/// Deploys what the example of a manifest describes, with changes.
pub(super) async fn deploy(change: impl FnOnce(String) -> String) -> eyre::Result<Suite> {
    let path = support::tools()?.workspace().root().join("examples/local.toml");
    let text = change(fs::read_to_string(&path)?);
    let manifest = Box::new(Manifest::parse(&path, text)?);
    Suite::start_from(&manifest, &[]).await
}

/// Returns JavaScript that finds a button by its text or label.
fn button(label: &str, is_open: bool) -> String {
    format!(
        "[...document.querySelectorAll('button')].find((button) => button.disabled === {} &&
            (button.getAttribute('aria-label') === {label} || button.innerText.trim().startsWith({label})))",
        !is_open,
        label = json!(label)
    )
}

impl Page {
    /// Deploys the suite, opens the page with a wallet in it; `None` where there is no browser.
    pub(super) async fn open() -> eyre::Result<Option<Self>> {
        Box::pin(Self::open_with("")).await
    }

    /// As [`Page::open`], with further sections of the manifest.
    pub(super) async fn open_with(sections: &str) -> eyre::Result<Option<Self>> {
        let Some(browser) = Browser::start().await? else { return Ok(None) };
        let suite = Box::pin(deploy(|text| text + sections)).await?;
        Box::pin(Self::open_at(suite, browser)).await.map(Some)
    }

    /// Opens the page of a deployment that is there, with a wallet in it.
    pub(super) async fn open_at(suite: Suite, mut browser: Browser) -> eyre::Result<Self> {
        let market = suite.market("weth-usdc")?;
        suite.supply(&market, units(500_000, 6)).await?;
        let person = suite.devnet.account(PERSON)?;
        for (token, amount) in [(market.loanToken, units(50_000, 6)), (market.collateralToken, units(10, 18))] {
            let token = ITestToken::new(token, suite.provider());
            mined(token.mint(person, amount).from(suite.devnet.deployer())).await?;
        }
        let node = suite.devnet.node.http_url();
        let server = AppServer::start(build_site(&suite).await?, 0).await?;
        let wallet = WALLET
            .replace("ACCOUNT", &json!(person).to_string())
            .replace("CHAIN", &json!(format!("{:#x}", suite.deployment.chain_id)).to_string())
            .replace("NODE", &json!(node).to_string());
        browser.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": wallet })).await?;
        Self::of(suite, server, browser).await
    }

    /// Opens a page that is served already.
    pub(super) async fn of(suite: Suite, server: AppServer, mut browser: Browser) -> eyre::Result<Self> {
        let (market, person) = (suite.market("weth-usdc")?, suite.devnet.account(PERSON)?);
        browser.open(&server.url()).await?;
        Ok(Self { suite, browser, server, market, person, form: "document".into(), part: String::new() })
    }

    /// Opens the page with the wallet connected, at a market.
    pub(super) async fn connected() -> eyre::Result<Option<Self>> {
        Box::pin(Self::connected_with("")).await
    }

    /// As [`Page::connected`], with further sections of the manifest.
    pub(super) async fn connected_with(sections: &str) -> eyre::Result<Option<Self>> {
        let Some(mut page) = Box::pin(Self::open_with(sections)).await? else { return Ok(None) };
        page.connect("Test wallet").await?;
        page.go("market/weth-usdc").await?;
        page.shows("Your position").await?;
        Ok(Some(page))
    }

    pub(super) async fn connect(&mut self, wallet: &str) -> eyre::Result<()> {
        self.click("Connect a wallet").await?;
        self.click(wallet).await?;
        self.shows("Disconnect").await
    }

    /// Follows a link within the page.
    pub(super) async fn go(&mut self, route: &str) -> eyre::Result<()> {
        self.browser.evaluate(&format!("location.hash = '#/{route}'")).await.map(drop)
    }

    /// Loads the page again, at its market.
    pub(super) async fn reload(&mut self) -> eyre::Result<()> {
        self.reload_at("market/weth-usdc").await
    }

    /// Loads the page again.
    pub(super) async fn reload_at(&mut self, route: &str) -> eyre::Result<()> {
        self.browser.open("about:blank").await?;
        let url = format!("{}#/{route}", self.server.url());
        self.browser.open(&url).await
    }

    /// Cuts the browser off from the node, or connects it again.
    pub(super) async fn offline(&mut self, is: bool) -> eyre::Result<()> {
        let conditions = json!({ "offline": is, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.browser.command("Network.emulateNetworkConditions", conditions).await.map(drop)
    }

    /// Waits until the page shows a text.
    pub(super) async fn shows(&mut self, text: &str) -> eyre::Result<()> {
        self.waits_for(text, &format!("document.body.innerText.includes({})", json!(text))).await
    }

    /// Waits until the page does not show a text any more.
    pub(super) async fn hides(&mut self, text: &str) -> eyre::Result<()> {
        self.waits_for(text, &format!("!document.body.innerText.includes({})", json!(text))).await
    }

    /// Waits until a condition in JavaScript is true. The page is asked after each of its frames.
    pub(super) async fn waits_for(&mut self, what: &str, condition: &str) -> eyre::Result<()> {
        let limit = TIMEOUT.as_millis();
        let expression = format!(
            "new Promise((done) => {{
                const started = performance.now();
                const look = () => {{
                    if ({condition}) return done(true);
                    if (performance.now() - started > {limit}) return done(false);
                    setTimeout(look, 20);
                }};
                look();
            }})"
        );
        if self.browser.evaluate(&expression).await? == true {
            return Ok(());
        }
        let shown = self.text().await?;
        Err(eyre!("the page does not come to {what}; it shows:\n{shown}\n{:?}", self.browser.complaints()))
    }

    /// Returns all that the page shows.
    pub(super) async fn text(&mut self) -> eyre::Result<String> {
        let text = self.browser.evaluate("document.body.innerText").await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the button with this text or label can be pressed, or cannot.
    pub(super) async fn has_button(&mut self, label: &str, is_open: bool) -> eyre::Result<()> {
        let what = if is_open { "an open" } else { "a closed" };
        self.waits_for(&format!("{what} button {label}"), &button(label, is_open)).await
    }

    /// Presses the button with this text or label, once it is there and can be pressed.
    pub(super) async fn click(&mut self, label: &str) -> eyre::Result<()> {
        let find = button(label, true);
        // Found and pressed at once: the page may draw itself again in between.
        let press = format!("((button) => {{ button?.click(); return button !== undefined; }})({find})");
        self.waits_for(&format!("a button {label}"), &press).await
    }

    /// Chooses a verb and types an amount, as a keyboard would.
    pub(super) async fn fill(&mut self, verb: &str, amount: &str) -> eyre::Result<()> {
        self.choose(verb).await?;
        self.browser.evaluate(&format!("{}.querySelector('input').select()", self.form)).await?;
        self.browser.command("Input.insertText", json!({ "text": amount })).await.map(drop)
    }

    /// Chooses verbs from now on within the section with this heading, or, if it is empty, anywhere.
    pub(super) fn within(&mut self, heading: &str) {
        self.part = if heading.is_empty() { String::new() } else { format!("section:has({heading})") };
    }

    /// Chooses a verb by its tab.
    pub(super) async fn choose(&mut self, verb: &str) -> eyre::Result<()> {
        let tab = format!(
            "[...document.querySelectorAll({})].find((tab) => tab.innerText.trim() === {})",
            json!(format!("{} .tabs button", self.part)),
            json!(verb)
        );
        self.waits_for(&format!("a tab {verb}"), &tab).await?;
        self.browser.evaluate(&format!("({tab}).click()")).await?;
        let open = format!("({tab}).getAttribute('aria-pressed') === 'true'");
        self.form = format!("({tab}).closest('.actions').querySelector('form')");
        self.waits_for(&format!("the form {verb}"), &open).await
    }

    /// Waits until the open form can be sent, or cannot.
    pub(super) async fn can_submit(&mut self, can: bool) -> eyre::Result<()> {
        let state = if can { "enabled" } else { "disabled" };
        let button = format!("{}.querySelector('.main:{state}')", self.form);
        self.waits_for(&format!("a form whose button is {state}"), &button).await
    }

    /// Sends the open form, once its simulation allows it.
    pub(super) async fn submit(&mut self) -> eyre::Result<()> {
        self.can_submit(true).await?;
        self.browser.evaluate(&format!("{}.querySelector('.main').click()", self.form)).await.map(drop)
    }

    /// Types an amount, sends it, and waits until it is done.
    pub(super) async fn execute(&mut self, verb: &str, amount: &str) -> eyre::Result<()> {
        self.fill(verb, amount).await?;
        self.submit_and_finish().await
    }

    /// Chooses a verb and all that there is, sends it, and waits until it is done.
    pub(super) async fn execute_max(&mut self, verb: &str) -> eyre::Result<()> {
        self.choose(verb).await?;
        self.browser.evaluate(&format!("{}.querySelector('.max').click()", self.form)).await?;
        self.submit_and_finish().await
    }

    /// Sends the open form and waits until it is done.
    pub(super) async fn submit_and_finish(&mut self) -> eyre::Result<()> {
        self.submit().await?;
        self.waits_for("the end of a transaction", "document.querySelector('.progress.done, .progress.failed')")
            .await?;
        let text = self.browser.evaluate("document.querySelector('.progress').innerText").await?;
        let text = text.as_str().unwrap_or_default().to_owned();
        ensure!(text.starts_with("Done"), "{text}");
        self.click("Close").await
    }

    /// Tells the wallet in the page to behave differently.
    pub(super) async fn wallet(&mut self, change: Value) -> eyre::Result<()> {
        self.browser.evaluate(&format!("testWallet.set({change})")).await.map(drop)
    }

    /// Returns the position of an account in the market.
    pub(super) async fn position(&self, account: Address) -> eyre::Result<Position> {
        let core = IPlimsoll::new(self.suite.contract("Plimsoll")?, self.suite.provider());
        core.position(self.market.id().0, account).call().await.wrap_err("position")
    }

    pub(super) async fn balance(&self, token: Address, account: Address) -> eyre::Result<U256> {
        Ok(ITestToken::new(token, self.suite.provider()).balanceOf(account).call().await?)
    }
}
