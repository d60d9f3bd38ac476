//! `plimsoll-keeper fleet status`: the keepers that share a database, and who signs.

use eyre::OptionExt;

use crate::{config::Config, engine::identity, report::fleet::FleetReport, store::Server};

/// Reads who is there and who holds which lease. Fails where the configuration names no database, or it cannot be read.
pub(super) async fn status(mut config: Config) -> eyre::Result<FleetReport> {
    let postgres = config.store.postgres.clone();
    let postgres = postgres.ok_or_eyre(
        "this keeper shares no database: set `postgres` in [store] to have several keepers share their signers",
    )?;
    let server = Server::inspect(&postgres, &identity(&mut config).await).await?;
    let server = server.ok_or_eyre("no keeper of this deployment has used the database yet: start one")?;
    Ok(FleetReport(server.status().await?))
}
