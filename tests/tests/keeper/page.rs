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
    record::{self, Stage},
    shutdown::Shutdown,
    strategies::{Decision, SkipReason},
    view::{ActivityEntry, ActivityKind, ActivityState, RecordedDecision, View},
};
use plimsoll_testkit::workspace::workspace;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{browser::Browser, sample, schema};

/// Every path of the server.
const ADDRESSES: [&str; 22] = [
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
    let told = shown.json("/api/v1/positions?market=weth-usdc").await?;
    assert_eq!((&told["watched"], &told["total"]), (&json!(39), &json!(6)));
    let position = &told["positions"][2];
    assert_eq!(position["decision"]["reason"], "gain_below_gas");
    assert!(position["decision"]["text"].as_str().is_some_and(|text| text.contains("0.0019 ETH")));
    assert_eq!(position["debt"], json!({ "amount": "140", "token": "USDC" }));
    assert_eq!(position["collateral"]["amount"], "0.077");
    assert_eq!(position["health"], "0.9987");
    assert_eq!(shown.json("/api/v1/positions?market=wbtc-usdc").await?["positions"], json!([]));

    let told = shown.json("/api/v1/status").await?;
    assert_eq!(told["readiness"]["ready"], true);
    assert_eq!(told["totals"]["profit"]["amount"], "41.872");
    let market = &shown.json("/api/v1/markets").await?["markets"][2];
    assert_eq!(
        (&market["price"], &market["price_problem"]),
        (&Value::Null, &json!("the oracle reverts with 0x8fb1a9d3"))
    );

    let account = shown.json("/api/v1/accounts/0xa4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4").await?;
    let decisions = &account["history"][0]["decisions"];
    assert_eq!((&decisions[0]["reason"], &decisions[1]["reason"]), (&json!("backing_off"), &json!("swap_too_thin")));
    assert_eq!(
        decisions[1]["text"],
        "for a repayment of 910,400 USDC, the swap brings 901,112 USDC, and 910,400 USDC must be repaid"
    );
    Ok(())
}

#[tokio::test]
async fn positions_are_searched_filtered_ordered_and_paged() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let first_bytes = async |parameters: &str| -> eyre::Result<Vec<String>> {
        let told = shown.json(&format!("/api/v1/positions?{parameters}")).await?;
        let all = told["positions"].as_array().cloned().unwrap_or_default();
        Ok(all.iter().filter_map(|position| Some(position["account"].as_str()?.get(2..4)?.to_lowercase())).collect())
    };
    for (parameters, expected) in [
        ("", &["a1", "a2", "a3", "a4", "a5", "a6"][..]),
        ("order=desc", &["a6", "a5", "a4", "a3", "a2", "a1"]),
        ("sort=debt&order=desc", &["a4", "a5", "a1", "a2", "a6", "a3"]),
        ("sort=collateral", &["a3", "a6", "a2", "a1", "a5", "a4"]),
        ("offset=2&limit=2", &["a3", "a4"]),
        ("offset=9", &[]),
        ("liquidatable=false", &["a5", "a6"]),
        ("reason=act", &["a1", "a2"]),
        ("search=0xA5A5", &["a5"]),
        ("search=weth&reason=", &["a1", "a2", "a3", "a4", "a5", "a6"]),
        ("search=nothing", &[]),
    ] {
        assert_eq!(first_bytes(parameters).await?, expected, "{parameters}");
    }
    let csv = shown.text("/api/v1/positions.csv?reason=gain_below_gas&limit=1").await?;
    let rows: Vec<_> = csv.lines().collect();
    ensure!(rows.len() == 2 && rows[1].contains("140,\"USDC\",0.077,\"WETH\",2101.23,"), "{csv}");
    // The page takes the same parameters, and leads on to the next one.
    shown.change(|view| view.at_risk = view.at_risk.iter().cycle().take(100_000).cloned().collect());
    let page = shown.text("/positions?sort=debt&order=desc&offset=50").await?;
    ensure!(page.contains("51–100 of 100,000"), "{page}");
    ensure!(page.contains("href=\"/positions?sort=debt&amp;order=desc&amp;offset=100\""), "{page}");
    assert_eq!(page.matches("<tr class").count(), 50);
    Ok(())
}

#[tokio::test]
async fn what_there_is_not_is_answered_with_an_error_that_says_what_there_is() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    for (path, status, code, part) in [
        ("/api/v1/positions?market=foo", 404, "unknown_market", "weth-usdc, wbtc-usdc, wsteth-weth"),
        ("/api/v1/markets/foo", 404, "unknown_market", "\"foo\""),
        ("/api/v1/positions?limit=0", 400, "invalid_parameter", "from 1 to 1000"),
        ("/api/v1/positions?limit=1001", 400, "invalid_parameter", "1001"),
        ("/api/v1/positions?offset=-1", 400, "invalid_parameter", "whole number"),
        ("/api/v1/positions?sort=wealth", 400, "invalid_parameter", "health, debt"),
        ("/api/v1/positions?order=up", 400, "invalid_parameter", "asc or desc"),
        ("/api/v1/positions?liquidatable=yes", 400, "invalid_parameter", "true or false"),
        ("/api/v1/positions?page=2", 400, "unknown_parameter", "offset and limit"),
        ("/api/v1/activity?sort=debt", 400, "unknown_parameter", "`sort`"),
        ("/api/v1/accounts/0x12", 400, "invalid_parameter", "40 hexadecimal digits"),
        ("/api/v1/accounts/0x00000000000000000000000000000000000000ff", 404, "unknown_account", "1.1"),
        ("/api/v2/status", 404, "unknown_path", "/api/schema.json"),
    ] {
        let answer = shown.get(path).await?;
        assert_eq!(answer.status(), status, "{path}");
        let error = answer.json::<Value>().await?["error"].clone();
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(error["code"] == code && message.contains(part), "{path}: {error}");
    }
    for path in ["/markets/foo", "/accounts/0x12", "/positions?limit=x", "/nothing"] {
        let answer = shown.get(path).await?;
        ensure!(answer.status().is_client_error(), "{path}: {}", answer.status());
        ensure!(answer.text().await?.contains("Back to the overview"), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_is_as_the_served_schema_says() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let schema = shown.json("/api/schema.json").await?;
    let paths = schema["paths"].as_object().wrap_err("no paths")?;
    let served: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    for path in ADDRESSES.iter().filter(|path| path.starts_with("/api/v1/")) {
        let documented =
            path.replace("weth-usdc", "{market}").replace("0xa4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4", "{account}");
        ensure!(served.contains(documented.as_str()), "the schema does not have {documented}");
        let contents = &paths[&documented]["get"]["responses"]["200"]["content"];
        if path.ends_with(".csv") {
            ensure!(contents["text/csv"].is_object(), "{documented}");
            continue;
        }
        let answer = &contents["application/json"]["schema"];
        let empty = Shown::start(View::default()).await?;
        for view in [&shown, &empty] {
            let got = view.get(path).await?;
            if got.status().is_success() {
                schema::check(&schema, answer, &got.json().await?, path)?;
            } else {
                schema::check(&schema, &json!({ "$ref": "#/components/schemas/Error" }), &got.json().await?, path)?;
            }
        }
    }
    let ready = shown.json("/readyz").await?;
    schema::check(&schema, &json!({ "$ref": "#/components/schemas/Readiness" }), &ready, "/readyz")
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
        ("stay liquidatable", |view| {
            view.at_risk = sample::view().at_risk;
            view.head.as_mut().unwrap().number += 7;
        }),
        ("in back-off", |view| view.decisions = sample::view().decisions),
        ("Nothing is sent: the breaker is open", |view| view.safety.stopped = Some("the breaker is open".into())),
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
    let failed = record::rpc::<(), _>("eth_getLogs", async { Err("no answer") }).await;
    assert!(failed.is_err());
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
    let mut events = shown.get("/api/v1/events").await?;
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
    ensure!(before.as_str().is_some_and(|text| text.contains("gain below gas") && !text.contains("40 loans")));

    let id = 212;
    shown.change(|view| {
        let newest = ActivityEntry {
            id,
            at: 1_795_172_400,
            block: Some(24_118_807),
            kind: ActivityKind::Liquidation,
            state: ActivityState::Mined,
            place: "weth-usdc".into(),
            market: Some(B256::repeat_byte(1)),
            borrowers: [].into(),
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

    // Without this, a headless browser's window has no focus to lose.
    browser.command("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await?;
    // A section with the keyboard's focus in it is not replaced until the focus leaves it.
    let focus = "document.querySelector('#activity .more a').focus(); document.activeElement.innerText";
    assert_eq!(browser.evaluate(focus).await?, "All activity");
    shown.change(|view| {
        view.timeline[0].accounts = 41;
        view.totals.liquidated = 1_325;
    });
    browser.wait_for_text("1,325").await?;
    let text = "document.activeElement.innerText + document.getElementById('activity').innerText.includes('40 loans')";
    assert_eq!(browser.evaluate(text).await?, "All activitytrue");
    browser.evaluate("document.activeElement.blur()").await?;
    browser.wait_for_text("Liquidated 41 loans in weth-usdc").await?;

    let pages = [
        ("overview", "/"),
        ("positions", "/positions?sort=debt&order=desc"),
        ("market", "/markets/weth-usdc"),
        ("account", "/accounts/0xa4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4"),
        ("activity", "/activity"),
    ];
    for (page, path) in pages {
        browser.open(&shown.url(path)).await?;
        browser.wait_for_text("Live.").await?;
        for (name, width, dark) in
            [("desktop", 1_280, false), ("phone", 390, false), ("dark", 1_280, true), ("dark-phone", 390, true)]
        {
            let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
            browser.command("Emulation.setDeviceMetricsOverride", screen).await?;
            let scheme = json!({ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } });
            browser.command("Emulation.setEmulatedMedia", json!({ "features": [scheme] })).await?;
            let wide =
                browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth").await?;
            assert_eq!(wide, 0, "{page}, {name}: the page is wider than the screen");
            let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor").await?;
            assert_eq!(ground == "rgb(12, 20, 26)", dark, "{page}, {name}: {ground}");
            picture(&mut browser, &format!("{page}-{name}")).await?;
        }
        let unlabelled = "[...document.querySelectorAll('button, a, input, select')].filter((element) => \
                          !(element.innerText || element.ariaLabel || element.closest('label'))).length";
        assert_eq!(browser.evaluate(unlabelled).await?, 0, "{page}: a control has no name");
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
