//! A keeper with a daemon of its own challenges the cheat's results, and never an honest node's; a daemon with other weights
//! costs nothing.

use alloy::primitives::{Address, U256};
use eyre::ensure;
use plimsoll_contracts::IJobs;
use plimsoll_lab::nodes::{Model, NODES, Network, Program, has_ended, wait_for};

use crate::support::keeper;

/// Anvil's account that signs for the keeper's jobs, and the one that posts.
const SIGNER: usize = 9;
const POSTER: usize = 6;
const COIN: u128 = 1_000_000;
/// Jobs that are posted at a time: fewer seats than one node may have open.
const JOBS: usize = 6;
/// The chance that the cheat is drawn in none of so many rounds is below one in ten thousand.
const MAX_ROUNDS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_challenges_the_cheat_and_no_honest_node_and_a_daemon_with_other_weights_costs_nothing()
-> eyre::Result<()> {
    let program = tokio::task::spawn_blocking(|| Program::ready(Model::Script)).await??;
    let network = Box::pin(Network::start(program)).await?;
    let devnet = &network.suite.devnet;
    let (signer, poster) = (devnet.account(SIGNER)?, devnet.account(POSTER)?);
    devnet.mint_and_approve(network.token, poster, U256::from(1_000 * COIN), network.jobs).await?;
    // What challenges may cost.
    devnet.mint_and_approve(network.token, signer, U256::from(100 * COIN), network.jobs).await?;

    // A daemon that computes otherwise holds every honest result to be false; the keeper believes none of it.
    let (_liar, url) = network.program.recompute(true).await?;
    let settings = |url: &str| format!("[jobs]\nverify_with = \"{url}\"\n");
    let misled = network.keeper(keeper(), &settings(&url)).await?;
    loop {
        let id = network.post_job(poster).await?;
        network.wait_for_job(id, |job| job.state == IJobs::State::Submitted).await?;
        let is_honest = network.drawn_for(id).await? != NODES;
        // The cheat computes like this daemon.
        if is_honest {
            wait_for("the keeper to ask the daemon", || async {
                Ok(misled.output().contains("its probe differs").then_some(()))
            })
            .await?;
        }
        network.pass_challenge_time().await?;
        let job = network.wait_for_job(id, has_ended).await?;
        ensure!(job.challenger == Address::ZERO && job.state == IJobs::State::Completed, "{job:?}");
        if is_honest {
            break;
        }
    }
    misled.shut_down().await?;

    let (_daemon, url) = network.program.recompute(false).await?;
    let right = network.keeper(keeper(), &settings(&url)).await?;
    let bonds = async || -> eyre::Result<Vec<u128>> {
        let mut bonds = Vec::new();
        for id in 1..=NODES {
            bonds.push(network.bond(id).await?);
        }
        Ok(bonds)
    };
    let (before, balance) = (bonds().await?, network.balance(signer).await?);
    let mut rounds = 0;
    let lies = loop {
        let mut drawn = Vec::new();
        for _ in 0..JOBS {
            drawn.push((network.post_job(poster).await?, 0));
        }
        for (id, node) in &mut drawn {
            network.wait_for_job(*id, |job| job.state == IJobs::State::Submitted || job.round == 2).await?;
            *node = network.drawn_for(*id).await?;
        }
        // Jobs of one price are computed in their order: those before the last lie were, once that is challenged.
        let lies: Vec<_> = drawn.iter().filter(|(_, node)| *node == NODES).map(|(id, _)| *id).collect();
        for id in &lies {
            let job = network.wait_for_job(*id, |job| job.round == 2).await?;
            ensure!(job.challenger == signer, "{job:?}");
            network.wait_for_job(*id, has_ended).await?;
        }
        network.pass_challenge_time().await?;
        for (id, node) in &drawn {
            let job = network.wait_for_job(*id, has_ended).await?;
            ensure!(job.state == IJobs::State::Completed, "{job:?}");
            ensure!((job.challenger != Address::ZERO) == (*node == NODES), "node {node}: {job:?}");
        }
        if lies.last().is_some_and(|last| drawn.iter().any(|(id, node)| id < last && *node != NODES)) {
            break lies.len();
        }
        rounds += 1;
        ensure!(rounds < MAX_ROUNDS, "the cheat was never drawn after another");
    };
    let after = bonds().await?;
    ensure!(after[..NODES - 1] == before[..NODES - 1], "honest nodes lost: {before:?}, {after:?}");
    ensure!(lies > 0 && after[NODES - 1] < before[NODES - 1], "{before:?}, {after:?}");
    // The deposit came back, with a tenth of the slash and the tips.
    ensure!(network.balance(signer).await? > balance, "the challenge cost the keeper");
    let status = right.api("status").await?;
    ensure!(status["totals"]["reverted"] == 0, "{}", status["totals"]);
    right.shut_down().await?;
    Ok(())
}
