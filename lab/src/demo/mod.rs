//! The demo: borrowers, some of them leveraged, lenders, stakers and a backstop on a local chain, a keeper, and a day
//! on which the price falls by a third.
//!
//! `sample` generates borrowers and prices from a seed, `setup` prepares the chain, `day` plays the day, `report`
//! summarises the chain's events, `guarded` what borrowers' orders saved, `exit` has a vault's depositor leave, and `chart` draws them. The same seed gives the
//! same borrowers and prices; the keeper's decisions also depend on timing.

mod chart;
mod day;
mod exit;
mod guarded;
mod report;
mod sample;
mod setup;

use std::{path::PathBuf, process::Command, time::Duration};

use alloy::providers::ext::AnvilApi;
use eyre::ensure;
use plimsoll_deploy::{
    app::{AppServer, Site},
    toolchain::progress::say,
};

use self::{day::Day, report::ChainEvents, setup::Setup};
pub use self::{
    exit::ExitFigures,
    guarded::GuardFigures,
    report::{BadDebt, KeeperFigures, Report},
};
use crate::{output::Folder, png};
use plimsoll_testkit::{deployment::Suite, keeper::Keeper, random::Random, scenario::Scenario, workspace::tools};

/// Arguments for Anvil: transactions have Ethereum's gas limit.
const NODE: [&str; 1] = ["--enable-tx-gas-limit"];
/// Base fee, in wei. Without it the fee of a chain with few transactions falls to almost nothing.
const BASE_FEE: u128 = 1_000_000_000;
/// Further settings of the keeper: the value of the staked token, for which there is no feed, is a dollar.
const VALUATION: &str = "[tokens.PLIM]\nrate = \"0.0005\"";
/// Seconds between blocks once the day is over.
const SPECTATED_BLOCK_SECS: u64 = 2;
/// Port of the page for borrowers and lenders, as in `deploy up`.
const PAGE_PORT: u16 = 8650;
/// File names of the chart.
const CHARTS: [&str; 2] = ["day.svg", "day.png"];

/// Parameters of the demo.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Number of borrowers, besides those who use `Lever`.
    pub positions: u64,
    /// Seed of borrowers and prices.
    pub seed: u64,
    /// Number of price updates in the day.
    pub steps: u64,
    /// Minimum real time of each update, for spectators.
    pub pace: Duration,
}

/// A demo whose day is over, with the chain and the keeper still running.
#[derive(Debug)]
pub struct Demo {
    /// Summary of the day.
    pub report: Report,
    /// Chart of the day, in SVG.
    pub chart: String,
    /// The chain with the suite.
    pub suite: Suite,
    /// The keeper.
    pub keeper: Keeper,
    /// The page for borrowers and lenders.
    pub page: AppServer,
}

/// Runs the demo. `keeper` is a program that takes the keeper's arguments.
///
/// # Errors
/// When the chain cannot be prepared, or the keeper ends.
pub async fn run(options: &Options, keeper: Command) -> eyre::Result<Demo> {
    ensure!(options.positions > 0 && options.steps > 0, "there is nothing to see without a position and a price");
    say("starting a node and deploying");
    let manifest = Box::new(exit::manifest()?);
    let suite = Suite::start_from(&manifest, &NODE).await?;
    let mut random = Random::from_seed(options.seed);
    let setup = Setup::prepare(&suite, &sample::loans(&mut random, options.positions)).await?;

    say("starting the keeper");
    let scenario = Scenario::start(&setup.market_env, BASE_FEE).await?;
    let keeper = Keeper::start(&suite, keeper, VALUATION).await?;
    keeper.wait_until_ready().await?;
    say(format_args!("the keeper's page is at {}", keeper.url()));
    let page = serve_page(&suite).await?;
    say(format_args!("the page for borrowers and lenders is at {}", page.url()));

    let day = Day::play(scenario, &keeper, &sample::prices(&mut random, options.steps), options.pace).await?;
    let events = ChainEvents::of(&day, &suite, &keeper)?;
    say("everything is borrowed, and a depositor of the vault leaves in kind");
    let exit = ExitFigures::play(&setup.market_env, sample::PRICE_AFTER).await?;
    let report = Report::of(options, &day, &events, &setup.twins, exit)?;
    let chart = chart::svg(&day, &events);
    Ok(Demo { report, chart, suite, keeper, page })
}

/// Builds and serves the page for what is deployed.
async fn serve_page(suite: &Suite) -> eyre::Result<AppServer> {
    let (tools, node) = (tools()?, suite.devnet.node.http_url().parse()?);
    let deployment = suite.deployment.clone();
    let site = tokio::task::spawn_blocking(move || Site::build(&tools, &deployment, &node, true)).await??;
    Ok(AppServer::start(site, PAGE_PORT).await?)
}

impl Demo {
    /// Saves the chart as SVG and PNG, and returns both paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_chart(&self, folder: &Folder) -> eyre::Result<[PathBuf; 2]> {
        let [vector, raster] = CHARTS;
        let rendered = folder.path().join(raster);
        png::write(&self.chart, &rendered)?;
        Ok([folder.save(vector, &self.chart)?, rendered])
    }

    /// Makes the chain mine at an interval again: often, since a person who tries the page waits for every block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn resume_mining(&self) -> eyre::Result<()> {
        self.suite.devnet.provider().anvil_set_interval_mining(SPECTATED_BLOCK_SECS).await?;
        Ok(())
    }
}
