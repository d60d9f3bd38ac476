//! `lab money`: what the keeper earns and pays when others want the same loans.
//!
//! A real keeper liquidates on a node that orders transactions by their priority fee, with real Uniswap pools. In each race
//! the price falls just far enough that one more loan is liquidatable; the keeper's transaction enters the pool, a rival
//! answers in its own way, and the block is mined. In further races the keeper's swap is sandwiched ever harder, across the
//! edge of its guard. Then the same rivals and sandwiches meet a keeper whose transactions go in bundles to a builder that
//! leaves out what would revert. Beside the keeper's figures are those that its first version would have had in the same races: a
//! guard at a fixed gas price, and half of the profit bid whether anybody competes or not.

mod arena;
mod report;
mod rivals;

use std::process::Command;

use eyre::ensure;
use plimsoll_deploy::toolchain::progress::say;

pub use self::report::{BundleFigures, FirstStage, Report, RivalFigures, SandwichFigures};
use self::{
    arena::{Arena, Interference, RaceOutcome, start_node},
    rivals::RIVALS,
};
use plimsoll_testkit::random::Random;

/// Races in which the swap is sandwiched, each a step harder.
const SANDWICHES: u64 = 16;

/// Runs the measurement with this many races against each rival. `keeper` makes programs that take the keeper's arguments.
///
/// # Errors
/// When there is no race, the chain cannot be prepared, or the keeper ends.
pub async fn run(races: u64, keeper: impl Fn() -> eyre::Result<Command>) -> eyre::Result<Report> {
    ensure!(races > 0, "there must be at least one race");
    let count = u64::try_from(RIVALS.len())?;
    let suite = start_node().await?;
    let mut arena = Arena::new(&suite, 2 * (races * count + SANDWICHES)).await?;
    let mut rivals = Vec::new();
    for rival in RIVALS {
        say(format_args!("{races} races against a rival: {}", rival.name()));
        arena.start_keeper(rival.name(), keeper()?).await?;
        let mut random = Random::from_seed(7);
        let mut outcomes = Vec::new();
        for race in 0..races {
            outcomes.push(arena.race(Interference::Rival(rival.bid(race, &mut random))).await?);
        }
        rivals.push(RivalFigures::of(rival, &outcomes));
        arena.stop_keeper().await?;
    }
    say(format_args!("{SANDWICHES} races in which the swap is sandwiched"));
    arena.start_keeper("sandwiched", keeper()?).await?;
    let mut outcomes: Vec<RaceOutcome> = Vec::new();
    for race in 0..SANDWICHES {
        outcomes.push(arena.race(Interference::Sandwich { step: race, steps: SANDWICHES }).await?);
    }
    arena.stop_keeper().await?;
    let mut bundles = Vec::new();
    for rival in RIVALS {
        say(format_args!("{races} races in bundles against a rival: {}", rival.name()));
        arena.start_keeper_with_builder(rival.name(), keeper()?).await?;
        let mut random = Random::from_seed(7);
        let mut outcomes = Vec::new();
        for race in 0..races {
            outcomes.push(arena.race(Interference::Rival(rival.bid(race, &mut random))).await?);
        }
        bundles.push(BundleFigures::of(rival.name(), &outcomes));
        arena.stop_keeper().await?;
    }
    say(format_args!("{SANDWICHES} races in bundles in which the swap is sandwiched"));
    arena.start_keeper_with_builder("sandwiched", keeper()?).await?;
    let mut in_bundles: Vec<RaceOutcome> = Vec::new();
    for race in 0..SANDWICHES {
        in_bundles.push(arena.race(Interference::Sandwich { step: race, steps: SANDWICHES }).await?);
    }
    bundles.push(BundleFigures::of("sandwich", &in_bundles));
    arena.stop_keeper().await?;
    Ok(Report::of(rivals, &outcomes, bundles))
}
