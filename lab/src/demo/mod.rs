//! Everything at once: borrowers, some of them leveraged, lenders, stakers and a backstop on a chain of our own, a
//! keeper that looks after them, and a day on which the price falls by a third.
//!
//! [`draw`] makes the borrowers and the prices up from a seed, [`scene`] sets the suite, [`day`] plays the day, [`report`]
//! tells what happened from the chain's own events, and [`chart`] draws it. The same seed gives the same borrowers and the
//! same prices; what the keeper makes of them is its own affair.

mod chart;
mod day;
mod draw;
mod report;
mod scene;

use std::{path::PathBuf, process::Command, time::Duration};

use alloy::providers::ext::AnvilApi;
use eyre::ensure;
use plimsoll_deploy::progress::say;

pub use self::report::{BadDebt, KeeperFigures, Report};
use self::{day::Day, report::Chapter, scene::Scene};
use crate::{output::Folder, png};
use plimsoll_testkit::{
    deployment::Suite,
    keeper::Keeper,
    random::Random,
    scenario::{BLOCK_SECS, Scenario},
};

/// A transaction uses no more than Ethereum allows.
const NODE: [&str; 1] = ["--enable-tx-gas-limit"];
/// What gas costs, in wei, so that a quiet chain does not make it free.
const BASE_FEE: u128 = 1_000_000_000;
/// What the keeper is told beside where everything is: a staked token is worth a dollar, which no feed says.
const VALUATION: &str = "[tokens.PLIM]\nrate = \"0.0005\"";
/// The picture's files.
const PICTURES: [&str; 2] = ["day.svg", "day.png"];

/// What is to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many borrow, beside those who do it by `Lever`.
    pub positions: u64,
    /// From which number the borrowers and the prices are drawn.
    pub seed: u64,
    /// Into how many prices the day is cut.
    pub steps: u64,
    /// How long each of them is to last at least, for those who watch.
    pub pace: Duration,
}

/// A day that is over, with everything still standing.
#[derive(Debug)]
pub struct Evening {
    /// What happened.
    pub report: Report,
    /// The same as a picture, in SVG.
    pub picture: String,
    /// Where it happened.
    pub suite: Suite,
    /// Who looked after it.
    pub keeper: Keeper,
}

/// Lets it happen, with the keeper that this program is.
pub async fn run(options: &Options, keeper: Command) -> eyre::Result<Evening> {
    ensure!(options.positions > 0 && options.steps > 0, "there is nothing to see without a position and a price");
    say("starting a node and deploying");
    let suite = Suite::start_with(&NODE).await?;
    let mut random = Random::from_seed(options.seed);
    let scene = Scene::set(&suite, &draw::loans(&mut random, options.positions)).await?;

    say("starting the keeper");
    let play = Scenario::start(&scene.market_env, BASE_FEE).await?;
    let keeper = Keeper::start(&suite, keeper, VALUATION).await?;
    keeper.wait_until_ready().await?;
    say(format_args!("its page is at {}", keeper.url()));

    let day = Day::play(play, &keeper, &draw::prices(&mut random, options.steps), options.pace).await?;
    let chapter = Chapter::of(&day, &suite, &keeper)?;
    let report = Report::of(options, &day, &chapter)?;
    let picture = chart::svg(&day, &chapter);
    Ok(Evening { report, picture, suite, keeper })
}

impl Evening {
    /// Saves the picture, as SVG and as PNG, and tells where.
    pub fn save_chart(&self, folder: &Folder) -> eyre::Result<[PathBuf; 2]> {
        let [vector, raster] = PICTURES;
        let drawn = folder.path().join(raster);
        png::write(&self.picture, &drawn)?;
        Ok([folder.save(vector, &self.picture)?, drawn])
    }

    /// Has the chain go on at its own pace, for those who look at the keeper's page.
    pub async fn resume_mining(&self) -> eyre::Result<()> {
        self.suite.devnet.provider().anvil_set_interval_mining(BLOCK_SECS).await?;
        Ok(())
    }
}
