//! `lab replay`: what would a market have done under recorded prices?
//!
//! ```text
//!  file ─► prices ─► feed and clock ─► time of the next block, and the oracle's price in it
//!  params ─► random loans ─┐              │
//!                          ├─► chain: the real contracts, exchange and keeper on a node ──────────► outcome
//!                          └─► model: arithmetic alone, by our liquidation rule and by others ────► outcome
//!  params ─► loans of the minimum debt ─► min_debt: the smallest that is liquidated in time │
//!  outcomes ─► figures ─► report: text, JSON, a page with charts ◄──────────────────────────┘
//! ```
//!
//! [`prices`] reads a file. [`params`] has the parameters: LTVs, depth of the exchange, gas price, borrowers. The
//! [`model`] applies any of the [`rules`], the [`chain`] that of the contracts. A [`feed`] answers by heartbeat and
//! deviation, and its clock skips idle blocks. [`min_debt`] searches for the smallest minimum debt that is liquidated in
//! time, and [`guard`] has borrowers with orders, on the chain and in the model. In a block the liquidator comes first,
//! with what it decided on the previous block; then a trade brings the exchange to the recorded price, which undoes what a
//! sale moved; then the feed answers. The liquidator always bears its costs: the exchange's fee, the price impact of
//! selling, and gas.

pub mod chain;
mod charts;
pub mod feed;
pub mod guard;
pub mod min_debt;
pub mod model;
mod options;
pub(crate) mod orders;
pub mod outcome;
mod page;
pub mod params;
pub mod prices;
mod report;
pub mod rules;

use std::process::Command;

use eyre::{ContextCompat, WrapErr};
use plimsoll_deploy::toolchain::progress::say;

use self::{
    guard::{GuardShare, Tally},
    options::Case,
    outcome::Outcome,
    rules::Rule,
};
pub use self::{
    options::{Against, Deviation, Dollars, EtherPrice, Gwei, Ltv, MinDebt, Options, SwapFee},
    report::{PriceSummary, Report, RuleFigures, Run},
};

/// Replays every combination of parameters. `keeper` makes a program that takes the keeper's arguments. All files and
/// parameters are checked before the first replay begins.
///
/// # Errors
/// When a file or a parameter cannot be used, or a replay fails.
pub async fn run(options: &Options, keeper: impl Fn() -> eyre::Result<Command>) -> eyre::Result<Report> {
    let cases = options.cases()?;
    let mut tallies: Vec<_> = options.against.rules().into_iter().map(|rule| (rule, Outcome::default())).collect();
    let mut guarded = options.guard.map(|share| (share, Tally::default()));
    let mut runs = Vec::new();
    for (number, case) in (1_u64..).zip(&cases) {
        let (file, market) = (&case.summary.file, report::market(&case.params));
        let title = format!("{number} of {}: {file}, {market}", cases.len());
        if !options.model {
            say(&title);
        }
        let keepers = if options.model { None } else { Some((keeper()?, keeper()?)) };
        runs.push(Box::pin(play(case, keepers, &mut tallies, guarded.as_mut())).await.wrap_err(title)?);
    }
    let together = tallies.iter().map(|(rule, outcome)| RuleFigures::of(rule, outcome)).collect::<eyre::Result<_>>()?;
    Ok(Report { runs, together, guard: guarded.map(|(_, tally)| tally.figures()) })
}

/// Replays one combination: on a chain where there is a keeper, and in the model by every rule, whose tally it adds to.
async fn play(
    case: &Case,
    keepers: Option<(Command, Command)>,
    tallies: &mut [(Rule, Outcome)],
    guarded: Option<&mut (GuardShare, Tally)>,
) -> eyre::Result<Run> {
    let Case { summary, prices, params } = case;
    let (chain, guarded_keeper) = match keepers {
        Some((keeper, other)) => (Some(chain::play(params, prices, keeper).await?), Some(other)),
        None => (None, None),
    };
    let mut outcomes = Vec::new();
    for (rule, _) in &*tallies {
        outcomes.push(model::play(rule, params, prices)?);
    }
    let (mut guard, mut guard_on_chain) = (None, None);
    if let Some((share, together)) = guarded {
        let tally = Tally::of_model(*share, params, prices)?;
        together.merge(tally);
        guard = Some(tally.figures());
        if let Some((without, keeper)) = chain.as_ref().zip(guarded_keeper) {
            let with = chain::play_guarded(*share, params, prices, keeper).await?;
            guard_on_chain = Some(Tally::of(*share, &with, without).figures());
        }
    }
    let main = chain.as_ref().or(outcomes.first()).wrap_err("there is no rule to play by")?;
    let by_rule = tallies.iter().zip(&outcomes).map(|((rule, _), outcome)| RuleFigures::of(rule, outcome));
    let run = Run {
        prices: PriceSummary::clone(summary),
        params: params.clone(),
        chain: chain.as_ref().map(Outcome::figures).transpose()?,
        rules: by_rule.collect::<eyre::Result<_>>()?,
        figures: main.figures()?,
        guard,
        guard_on_chain,
        min_debt: min_debt::find(params, prices)?,
        chart: charts::chart(summary, params, prices, main),
    };
    for ((_, tally), outcome) in tallies.iter_mut().zip(outcomes) {
        tally.merge(outcome);
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;
    use eyre::bail;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    const GAP: &str = include_str!("../../../examples/prices/gap-25.csv");

    /// Replays a file with this name and these prices.
    async fn played(name: &str, prices: &str, arguments: &[&str]) -> eyre::Result<Report> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(name);
        fs::write(&file, prices)?;
        let file = file.to_string_lossy().into_owned();
        let line = ["replay", "--prices", &file].into_iter().chain(arguments.iter().copied());
        run(&Line::try_parse_from(line)?.options, || bail!("a keeper was started")).await
    }

    #[tokio::test]
    async fn an_unusable_file_is_refused_by_its_line_before_anything_starts() {
        let error = played("day.csv", "ts,price\n0,200\n60,0\n", &[]).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("day.csv: line 3: column price: the price is 0"), "{error}");
        // A file that can be used does start a keeper.
        let error = played("day.csv", GAP, &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "a keeper was started");
    }

    #[tokio::test]
    async fn the_json_report_has_the_parameters_and_figures_of_every_run_and_rule() {
        let report = played("gap.csv", GAP, &["--model", "--ltv", "80:86,91.5", "--positions", "20"]).await.unwrap();
        let json = serde_json::to_value(&report).unwrap();
        let runs = json["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2);
        for (run, ltv) in runs.iter().zip([8_600, 9_150]) {
            assert_eq!(
                (&run["prices"]["file"], &run["prices"]["first"]["amount"]),
                (&"gap.csv".into(), &"2000".into())
            );
            assert_eq!(run["setting"]["liquidationLtvBps"], ltv);
            assert_eq!(run["setting"]["depth"]["amount"], "10000000");
            assert_eq!(run["setting"]["minDebt"]["amount"], "3000");
            assert_eq!(run["chain"], Value::Null);
            let amount = |name| run["minDebt"][name]["amount"].as_str().unwrap().parse::<f64>().unwrap();
            let found = ["inTime", "atOnce"].map(amount);
            assert!(found[0] > 0.01 && found[0] < found[1], "{found:?}");
            let rules = run["rules"].as_array().unwrap();
            assert_eq!(rules.len(), Rule::all().len());
            assert_eq!(rules[0]["rule"], "Plimsoll");
            assert!(rules.iter().all(|rule| rule["penalty"]["amount"].is_string() && rule["badDebt"].is_object()));
        }
        let together = json["together"].as_array().unwrap();
        let loans: Vec<_> = together.iter().map(|rule| rule["loans"].as_u64()).collect();
        assert_eq!(loans, vec![Some(40); Rule::all().len()]);
    }

    #[tokio::test]
    async fn one_run_is_reported_in_detail_and_several_side_by_side() {
        let one = played("gap.csv", GAP, &["--model", "--positions", "20"]).await.unwrap().to_string();
        for told in [
            "borrow LTV 80 %, liquidation LTV 86 %",
            "bad debt ",
            "worst delay ",
            "delay below 10 min    ",
            "bonus pays at once    ",
            "all at Morpho's bonus",
        ] {
            assert!(one.contains(told), "{told}: {one}");
        }
        let several = ["--model", "--positions", "20", "--ltv", "75,86", "--depth", "1M,2M"];
        let several = played("gap.csv", GAP, &several).await.unwrap().to_string();
        let lines: Vec<_> = several.lines().skip(2).collect();
        assert_eq!(lines.len(), 5 + 3 + Rule::all().len(), "{several}");
        assert!(
            lines[0].starts_with("run")
                && lines[0].ends_with("min debt for 10 min")
                && lines[0].contains("depth")
                && !lines[0].contains("gas"),
            "{several}"
        );
        assert!(lines[3].starts_with("3: gap.csv") && lines[3].contains("86 %  1,000,000"), "{several}");
        assert!(lines[6].starts_with("all together by rule") && lines[8].starts_with("Plimsoll"), "{several}");
        let constants = ["--model", "--positions", "20", "--against", "constants"];
        let constants = played("gap.csv", GAP, &constants).await.unwrap().to_string();
        assert!(constants.contains("Plimsoll with lowest bonus 50 %"), "{constants}");
    }

    #[tokio::test]
    async fn recorded_times_are_shown_as_dates_and_made_up_ones_as_hours() {
        let made_up = played("gap.csv", GAP, &["--model", "--positions", "20"]).await.unwrap();
        assert!(made_up.to_string().contains("gap.csv, 5 h\n"), "{made_up}");
        assert!(made_up.runs[0].chart.file().contains(">2 h<"));
        let real = "ts,price\n1584007980,200\n1584094380,180\n";
        let real = played("day.csv", real, &["--model", "--positions", "20"]).await.unwrap();
        assert!(real.to_string().contains("day.csv, 1 day from 2020-03-12 10:13 UTC\n"), "{real}");
        assert!(real.runs[0].chart.file().contains(">13 Mar<"));
    }

    #[tokio::test]
    async fn the_page_has_charts_loads_nothing_and_escapes_file_names() {
        let name = "<img src=x onerror=alert(1)>.csv";
        let report = played(name, GAP, &["--model", "--positions", "20", "--ltv", "75,86"]).await.unwrap();
        let page = page::page(&report);
        let runs = report.runs.len();
        assert_eq!(page.matches("class=\"chart\"").count(), 2 * runs);
        for told in [
            "Side by side",
            "All runs together",
            "Under other rules",
            "The smallest minimum debt",
            "<dt>min debt for 10 min</dt>",
            "How to read this",
            "all at Morpho's bonus",
            "id=\"run-2\"",
        ] {
            assert!(page.contains(told), "{told}");
        }
        assert!(page.contains("&lt;img src=x") && !page.contains("<img"), "{page}");
        for elsewhere in ["http:", "https:", "src=\"", "@import", "url(", "<script", "<link"] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        let picture = report.runs[0].chart.file();
        assert!(picture.contains("&lt;img src=x") && !picture.contains("<img"), "{picture}");
    }
}
