//! The keeper's HTTP server and its pages, over real HTTP.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use alloy::primitives::U256;
use eyre::ensure;
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_keeper::{
    api::Server,
    shutdown::Shutdown,
    strategies::{Decision, SkipReason},
    view::{RecordedDecision, View},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::sample;

/// Every path of the server.
pub(super) const ADDRESSES: [&str; 22] = [
    "/",
    "/positions",
    "/activity",
    "/markets/weth-usdc",
    "/accounts/0xa4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4",
    "/page.css",
    "/page.js",
    "/icon.svg",
    "/livez",
    "/readyz",
    "/metrics",
    "/api/schema.json",
    "/api/v1/status",
    "/api/v1/positions",
    "/api/v1/positions.csv",
    "/api/v1/markets",
    "/api/v1/markets/weth-usdc",
    "/api/v1/accounts/0xa4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4",
    "/api/v1/activity",
    "/api/v1/activity.csv",
    "/api/v1/profit",
    "/api/v1/profit.csv",
];

/// A server whose view can be changed.
pub(super) struct Shown {
    views: watch::Sender<Arc<View>>,
    pub(super) server: Server,
    shutdown: Shutdown,
}

impl Shown {
    pub(super) async fn start(view: View) -> eyre::Result<Self> {
        let (views, receiver) = watch::channel(Arc::new(view));
        let shutdown = Shutdown::new();
        let server = Server::start(([127, 0, 0, 1], 0).into(), receiver, shutdown.clone()).await?;
        Ok(Self { views, server, shutdown })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    pub(super) async fn get(&self, path: &str) -> eyre::Result<reqwest::Response> {
        Ok(reqwest::get(self.url(path)).await?)
    }

    pub(super) async fn text(&self, path: &str) -> eyre::Result<String> {
        let answer = self.get(path).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.text().await?)
    }

    pub(super) async fn json(&self, path: &str) -> eyre::Result<Value> {
        Ok(serde_json::from_str(&self.text(path).await?)?)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut View)) {
        self.views.send_modify(|view| change(Arc::make_mut(view)));
    }
}

#[tokio::test]
async fn ready_means_that_a_block_was_applied_recently() -> eyre::Result<()> {
    let shown = Shown::start(View::default()).await?;
    let answer = shown.get("/readyz").await?;
    assert_eq!(answer.status(), 503);
    let told: Value = answer.json().await?;
    assert_eq!((&told["ready"], &told["reason"]), (&json!(false), &json!("no block was applied yet")));
    assert_eq!(shown.text("/livez").await?, "alive\n");

    shown.change(|view| *view = sample::view());
    let told = shown.json("/readyz").await?;
    assert_eq!((&told["ready"], &told["reason"]), (&json!(true), &Value::Null));
    assert!(shown.text("/metrics").await?.contains("\nplimsoll_keeper_ready 1"));

    // The time at which the block was applied counts, not its timestamp.
    shown.change(|view| view.keeper.ready_within = Duration::ZERO);
    let answer = shown.get("/readyz").await?;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await?.contains("is the chain standing still, or are all nodes away?"));
    assert!(shown.text("/metrics").await?.contains("\nplimsoll_keeper_ready 0"));
    assert!(shown.text("/").await?.contains("Not ready: no new block"));
    Ok(())
}

#[tokio::test]
async fn the_page_says_healthy_only_while_nothing_needs_attention() -> eyre::Result<()> {
    let shown = Shown::start(View::default()).await?;
    ensure!(shown.text("/").await?.contains(">not ready<"), "no block was applied");
    let calm = || {
        let mut view = sample::view();
        view.at_risk = [].into();
        view.decisions.clear();
        view.markets.truncate(2);
        view.markets[0].liquidatable = 0;
        view.endpoints.truncate(2);
        view
    };
    shown.change(|view| *view = calm());
    ensure!(shown.text("/").await?.contains(">healthy<"), "{}", shown.text("/").await?);
    type Change = fn(&mut View);
    let worse: [(&str, Change); 9] = [
        ("is not used as usual: it is away", |view| view.endpoints[0].problem = Some("it is away".into())),
        ("blocks behind", |view| view.endpoints[1].head = Some(1)),
        ("has no price", |view| {
            view.markets[0].price = None;
            view.markets[0].price_problem = Some("the oracle is stale".into());
        }),
        ("nothing is liquidated in it", |view| {
            view.markets[0].liquidatable = 1;
            view.markets[0].liquidation_problem = Some("no route".into());
        }),
        ("more than their collateral is worth", |view| view.markets[0].bad_debt.units = U256::ONE),
        ("been liquidatable for 10 blocks", |view| {
            view.at_risk = sample::view().at_risk;
            view.head.as_mut().unwrap().number += 7;
        }),
        ("in back-off", |view| view.decisions = sample::view().decisions),
        ("Sending is stopped: the breaker is open", |view| view.safety.stopped = Some("the breaker is open".into())),
        ("The signer for liquidations", |view| view.signers[0].problem = Some("it is empty".into())),
    ];
    for (text, worsen) in worse {
        shown.change(|view| {
            *view = calm();
            worsen(view);
        });
        let page = shown.text("/").await?;
        ensure!(page.contains(text) && page.contains(">needs attention<"), "{text}: {page}");
        let problems = shown.json("/api/v1/status").await?["problems"].to_string();
        ensure!(problems.contains(text), "{problems}");
    }
    Ok(())
}

#[tokio::test]
async fn the_page_loads_nothing_external_and_the_server_is_read_only() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    for path in ADDRESSES {
        let answer = shown.get(path).await?;
        let policy = answer.headers()["content-security-policy"].to_str()?.to_owned();
        ensure!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(reqwest::Client::new().post(shown.url(path)).send().await?.status(), 405, "{path}");
    }
    let page = shown.text("/").await?;
    for attribute in ["src=\"", "href=\""] {
        for target in page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            let is_own = target.starts_with('#') || (target.starts_with('/') && !target.starts_with("//"));
            // Only links lead to the block explorer; a browser asks for it when a person follows one.
            let is_explorer = attribute == "href=\"" && target.starts_with("https://etherscan.io/");
            ensure!(is_own || is_explorer, "{target}");
        }
    }
    ensure!(!page.contains("<style") && !page.contains(" style=") && !page.contains("onclick"), "{page}");
    Ok(())
}

#[tokio::test]
async fn foreign_text_cannot_inject_markup_into_the_page() -> eyre::Result<()> {
    const EVIL: &str = "<script>alert(1)</script>";
    let shown = Shown::start(sample::view()).await?;
    shown.change(|view| {
        view.markets[0].name = EVIL.into();
        view.markets[0].price = None;
        view.markets[0].price_problem = Some(EVIL.into());
        view.endpoints[0].problem = Some(EVIL.into());
        let mut rows = view.at_risk.to_vec();
        Arc::make_mut(&mut rows[0].market).name = EVIL.into();
        view.at_risk = rows.into();
        view.timeline[0].note = Some(EVIL.into());
    });
    for path in
        ["/", "/positions?search=%3Cscript%3Ealert(1)%3C/script%3E", "/markets/%3Cscript%3Ealert(1)%3C%2Fscript%3E"]
    {
        let page = shown.get(path).await?.text().await?;
        ensure!(!page.contains(EVIL) && page.contains("&lt;script&gt;"), "{path}: {page}");
    }
    Ok(())
}

#[tokio::test]
async fn no_path_of_the_server_shows_a_secret() -> eyre::Result<()> {
    const KEY: &str = "deadbeefdeadbeefdeadbeef";
    // Nothing listens there, and the library's error contains the URL.
    let endpoint: Endpoint = format!("http://127.0.0.1:1/v3/{KEY}?token={KEY}").parse()?;
    let error = endpoint.client().await?.request_noparams::<String>("eth_chainId").await.unwrap_err();
    let problem = ChainError::of_transport(&endpoint, &error).to_string();
    let shown = Shown::start(sample::view()).await?;
    shown.change(|view| {
        view.endpoints[0].name = endpoint.to_string();
        view.endpoints[0].problem = Some(problem.clone());
        view.markets[0].price = None;
        view.markets[0].price_problem = Some(problem.clone());
        view.signers[0].problem = Some(problem.clone());
        view.safety.stopped = Some(problem.clone());
        let decision = Decision::Skip(SkipReason::Unanswered { problem: problem.clone() });
        let mut rows = view.at_risk.to_vec();
        rows[0].decision = Some(Arc::new(RecordedDecision { block: 1, decision }));
        view.at_risk = rows.into();
    });
    for path in ADDRESSES {
        ensure!(!shown.text(path).await?.contains(KEY), "{path}");
    }
    ensure!(shown.text("/").await?.contains("http://127.0.0.1:1/…"), "the endpoint is not named");
    Ok(())
}

#[tokio::test]
async fn a_keeper_that_ends_closes_open_requests() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let mut events = shown.get("/api/v1/events").await?;
    let first = events.chunk().await?.unwrap_or_default();
    ensure!(first.starts_with(b"event: section"), "{first:?}");
    shown.shutdown.request();
    while events.chunk().await?.is_some() {}
    shown.server.ended().await;
    Ok(())
}

#[tokio::test]
async fn every_link_of_the_overview_leads_to_a_page() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let page = shown.text("/").await?;
    let links: BTreeSet<_> = page
        .split("href=\"/")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(path, _)| format!("/{}", path.replace("&amp;", "&")))
        .collect();
    ensure!(links.iter().filter(|link| link.starts_with("/accounts/")).count() > 3, "{links:?}");
    let mut dead = Vec::new();
    for link in links {
        let status = shown.get(&link).await?.status();
        if !status.is_success() {
            dead.push(format!("{link}: {status}"));
        }
    }
    ensure!(dead.is_empty(), "{dead:#?}");
    Ok(())
}
