//! The keeper's metrics over real HTTP, and the alert rules that use them.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    process::{Command, Stdio},
    time::Duration,
};

use alloy::primitives::U256;
use eyre::{ContextCompat, ensure};
use plimsoll_keeper::record::{self, Stage};
use plimsoll_testkit::workspace::workspace;
use serde_json::Value;

use super::{page::Shown, sample};

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

/// A counter that appears with its first event has no increase that a rule could see.
#[tokio::test]
async fn whatever_reason_an_alert_rule_asks_for_has_a_series_from_the_start() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let text = shown.text("/metrics").await?;
    let rules = fs::read_to_string(workspace()?.root().join("docs/monitoring/rules.yml"))?;
    let mut asked_for = 0;
    for (selector, rest) in rules.split("{reason=").zip(rules.split("{reason=").skip(1)) {
        let name = selector.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        let reasons = rest.split('"').nth(1).wrap_err("a reason without quotes")?;
        for reason in reasons.split('|') {
            let series = format!("{name}{{reason=\"{reason}\"}} ");
            ensure!(text.contains(&series), "there is no {series}");
            asked_for += 1;
        }
    }
    assert_eq!(asked_for, 3);
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
