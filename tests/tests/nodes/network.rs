//! Five daemons that answer by a script, with the real contracts, the keeper and both clients: `cargo lab nodes` runs the
//! same with the language model.

use eyre::ensure;
use plimsoll_lab::nodes::{Model, NODES, Options, Program, run};

use crate::support::keeper;

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_paid_claimed_from_and_slashes_its_cheat() -> eyre::Result<()> {
    let program = tokio::task::spawn_blocking(|| Program::ready(Model::Script)).await??;
    let report = Box::pin(run(program, Options { each: 16, max_tokens: 12 }, keeper())).await?;
    ensure!(report.nodes == NODES && report.answers_by_published_client == 19, "{report}");
    ensure!(report.gas.further_claim.ours <= 15_000, "{report}");
    Ok(())
}
