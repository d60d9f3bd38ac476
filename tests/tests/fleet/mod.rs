//! Keepers that share a PostgreSQL database.

mod claims;
mod journal;
mod take_over;
mod tls;

use plimsoll_lab::fleet;

use crate::support::keeper;

#[tokio::test(flavor = "multi_thread")]
async fn waves_of_loans_are_liquidated_once_while_keepers_and_database_fail_in_turn() -> eyre::Result<()> {
    let report = Box::pin(fleet::run(30, || Ok(keeper()))).await?;
    eyre::ensure!(report.lost == 0 && report.twice == 0, "{report}");
    Ok(())
}
