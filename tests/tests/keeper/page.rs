//! The keeper's HTTP server and page, over real HTTP and in a real browser.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{B256, U256};
use base64::{Engine, prelude::BASE64_STANDARD};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_keeper::{
    api::Server,
    shutdown::Shutdown,
    telemetry::record::{self, Stage},
    view::{ActivityEntry, ActivityKind, ActivityState, View},
};
use plimsoll_testkit::workspace::workspace;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{browser::Browser, sample};

/// Every path of the server.
const ADDRESSES: [&str; 9] =
    ["/", "/page.css", "/page.js", "/icon.svg", "/livez", "/metrics", "/api/status", "/api/positions", "/api/markets"];

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

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    async fn get(&self, path: &str) -> eyre::Result<reqwest::Response> {
        Ok(reqwest::get(self.url(path)).await?)
    }

    async fn text(&self, path: &str) -> eyre::Result<String> {
        let answer = self.get(path).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.text().await?)
    }

    async fn json(&self, path: &str) -> eyre::Result<Value> {
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
async fn the_api_has_every_digit_and_every_reason() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let told = shown.json("/api/positions?market=weth-usdc").await?;
    assert_eq!(told["watched"], 39);
    let position = &told["positions"][2];
    assert_eq!(position["decision"]["reason"], "not_worth_the_gas");
    assert!(position["decision"]["text"].as_str().is_some_and(|text| text.contains("0.0019 ETH")));
    assert_eq!(position["debt"], json!({ "amount": "140", "token": "USDC" }));
    assert_eq!(position["collateral"]["amount"], "0.077");
    assert_eq!(position["health"], "0.9987");
    assert_eq!(shown.json("/api/positions?market=wbtc-usdc").await?["positions"], json!([]));

    let told = shown.json("/api/status").await?;
    assert_eq!(told["readiness"]["ready"], true);
    assert_eq!(told["totals"]["profit"]["amount"], "41.872");
    let told = shown.json("/api/markets").await?;
    assert_eq!(told["markets"][2]["price"]["Err"], "the oracle reverts with 0x8fb1a9d3");
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
            ensure!(target.starts_with('#') || (target.starts_with('/') && !target.starts_with("//")), "{target}");
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
        view.markets[0].price = Err(EVIL.into());
        view.endpoints[0].problem = Some(EVIL.into());
        view.at_risk[0].market_name = EVIL.into();
        view.timeline[0].note = Some(EVIL.into());
    });
    let page = shown.text("/").await?;
    ensure!(!page.contains(EVIL) && page.contains("&lt;script&gt;"), "{page}");
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
        view.markets[0].price = Err(problem.clone());
        view.signers[0].problem = Some(problem.clone());
        view.safety.stopped = Some(problem.clone());
        view.at_risk[0].decision.as_mut().unwrap().text = problem.clone();
    });
    for path in ADDRESSES {
        ensure!(!shown.text(path).await?.contains(KEY), "{path}");
    }
    ensure!(shown.text("/").await?.contains("http://127.0.0.1:1/…"), "the endpoint is not named");
    Ok(())
}

#[tokio::test]
async fn every_metric_is_documented_and_every_alert_rule_uses_one() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    record_everything().await;
    let text = shown.text("/metrics").await?;
    ensure!(text.contains("plimsoll_keeper_positions_at_risk{acts=\"no\",reason=\"backing_off\"} 1"), "{text}");
    ensure!(text.contains("plimsoll_keeper_stage_seconds_count{stage=\"decide\"}"), "{text}");
    ensure!(text.contains("plimsoll_keeper_rpc_failures_total{method=\"eth_getLogs\"}"), "{text}");
    let (mut there, mut bases) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        there.insert(line.split(['{', ' ']).next().unwrap_or_default());
    }
    bases.extend(text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()));

    let docs = workspace()?.root().join("docs");
    let explained = fs::read_to_string(docs.join("reference/metrics.md"))?;
    let silent: Vec<_> = there
        .iter()
        .chain(&bases)
        .filter(|name| {
            let name = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
            !explained.contains(&format!("`{name}`"))
        })
        .collect();
    ensure!(silent.is_empty(), "docs/reference/metrics.md does not explain {silent:?}");
    for file in ["reference/metrics.md", "how-to/monitor.md", "monitoring/rules.yml", "monitoring/grafana.json"] {
        let text = fs::read_to_string(docs.join(file))?;
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("plimsoll_")) {
            ensure!(there.contains(name) || bases.contains(name), "{file}: there is no metric {name}");
        }
    }
    serde_json::from_str::<Value>(&fs::read_to_string(docs.join("monitoring/grafana.json"))?)?;
    Ok(())
}

/// Records each measurement at least once, so that each has a series.
async fn record_everything() {
    drop(record::stage(Stage::Decide));
    record::rpc::<(), _>("eth_getLogs", async { Err("no answer") }).await.unwrap_err();
    record::head_to_broadcast(Duration::from_millis(3));
    record::inclusion_delay(1);
    record::reverted("lost_race");
    record::lost_races(1);
    record::dropped("insufficient_funds");
    record::tip(U256::from(1_000_000_000));
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for_and_pass_prometheus_own_check() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    record_everything().await;
    let client = reqwest::Client::new();
    let open_metrics = "application/openmetrics-text; version=1.0.0";
    let answer = client.get(shown.url("/metrics")).header("accept", open_metrics).send().await?;
    ensure!(answer.headers()["content-type"].to_str()?.starts_with(open_metrics), "{:?}", answer.headers());
    ensure!(answer.text().await?.ends_with("# EOF\n"), "the end is not marked");

    let answer = shown.get("/metrics").await?;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await?;
    let mut described = BTreeSet::new();
    for line in text.lines() {
        let kind = line.strip_prefix("# TYPE ").and_then(|described| described.split_once(' '));
        if let Some((name, kind)) = kind {
            ensure!(described.insert(name.to_owned()), "{name} is described twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            ensure!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            ensure!(described.contains(name) || of_histogram.is_some_and(|name| described.contains(name)), "{name}");
        }
    }
    let promtool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else {
        writeln!(io::stderr(), "SKIPPED: there is no promtool here; the names were checked by its rules for counters")?;
        return Ok(());
    };
    promtool.stdin.take().wrap_err("no stdin")?.write_all(text.as_bytes())?;
    let status = promtool.wait()?;
    ensure!(status.success(), "promtool check metrics: {status}\n{text}");
    Ok(())
}

#[test]
fn the_alert_rules_pass_prometheus_own_check() -> eyre::Result<()> {
    let folder = workspace()?.root().join("docs/monitoring");
    let rules = ["rules.yml", "old-names.yml"].map(|name| folder.join(name));
    match Command::new("promtool").args(["check", "rules"]).args(rules).output() {
        Ok(output) => ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => writeln!(io::stderr(), "SKIPPED: there is no promtool here")?,
    }
    Ok(())
}

#[tokio::test]
async fn a_keeper_that_ends_closes_open_requests() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let mut events = shown.get("/api/events").await?;
    let first = events.chunk().await?.unwrap_or_default();
    ensure!(first.starts_with(b"event: section"), "{first:?}");
    shown.shutdown.request();
    while events.chunk().await?.is_some() {}
    shown.server.ended().await;
    Ok(())
}

#[tokio::test]
async fn a_liquidation_appears_on_the_open_page() -> eyre::Result<()> {
    let Some(mut browser) = Browser::start().await? else {
        writeln!(io::stderr(), "SKIPPED: there is no Chromium here to open the page in")?;
        return Ok(());
    };
    let shown = Shown::start(sample::view()).await?;
    browser.open(&shown.url("/")).await?;
    browser.wait_for_text("Live.").await?;
    let before = browser.evaluate("window.notReloaded = true; document.body.innerText").await?;
    ensure!(before.as_str().is_some_and(|text| text.contains("not worth the gas") && !text.contains("40 loans")));

    let id = 212;
    shown.change(|view| {
        let newest = ActivityEntry {
            id,
            at: 1_795_172_400,
            block: Some(24_118_807),
            kind: ActivityKind::Liquidation,
            state: ActivityState::Mined,
            place: "weth-usdc".into(),
            accounts: 40,
            moved: None,
            profit: None,
            gas: None,
            transaction: Some(B256::repeat_byte(0x40)),
            note: None,
        };
        view.timeline.insert(0, newest);
    });
    browser.wait_for_text("Liquidated 40 loans in weth-usdc").await?;
    assert_eq!(browser.evaluate("window.notReloaded").await?, true);

    for (name, width, dark) in [("desktop", 1_280, false), ("phone", 360, false), ("dark", 1_280, true)] {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        browser.command("Emulation.setDeviceMetricsOverride", screen).await?;
        let scheme = json!({ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } });
        browser.command("Emulation.setEmulatedMedia", json!({ "features": [scheme] })).await?;
        let wide =
            browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth").await?;
        assert_eq!(wide, 0, "{name}: the page is wider than the screen");
        let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor").await?;
        assert_eq!(ground == "rgb(12, 20, 26)", dark, "{name}: {ground}");
        picture(&mut browser, name).await?;
    }

    let own = shown.url("/");
    let elsewhere: Vec<_> = browser.requested().into_iter().filter(|url| !url.starts_with(&own)).collect();
    ensure!(elsewhere.is_empty(), "the page asked for {elsewhere:?}");
    let complaints = browser.complaints();
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

/// Saves a screenshot to the folder that PLIMSOLL_PICTURES names, for people to look at.
async fn picture(browser: &mut Browser, name: &str) -> eyre::Result<()> {
    let Some(folder) = env::var_os("PLIMSOLL_PICTURES") else { return Ok(()) };
    let options = json!({ "format": "png", "captureBeyondViewport": true });
    let answer = browser.command("Page.captureScreenshot", options).await?;
    let bytes = BASE64_STANDARD.decode(answer["data"].as_str().unwrap_or_default())?;
    Ok(fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes)?)
}
