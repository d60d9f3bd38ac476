//! `plimsoll-keeper report`: what transactions earned and cost, from the store, also while a keeper runs; of
//! every member where keepers share a database.

use std::time::{SystemTime, UNIX_EPOCH};

use eyre::{ensure, eyre};

use crate::{
    config::Config,
    engine::identity,
    report::results::{ResultsReport, parse_time},
    store::{Server, read_results},
};

/// Lists the transactions of a span of time. Fails where a time is not understood, or the store has no results.
pub(super) async fn report(
    mut config: Config,
    since: Option<&str>,
    until: Option<&str>,
) -> eyre::Result<ResultsReport> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = |option: &str, text: Option<&str>, default| match text {
        Some(text) => parse_time(text, now).map_err(|problem| eyre!("{option}: {problem}")),
        None => Ok(default),
    };
    let (since, until) = (time("--since", since, 0)?, time("--until", until, u64::MAX)?);
    ensure!(since < until, "--since must be before --until: there is nothing between them");
    let rows = match config.store.postgres.clone() {
        None => read_results(&config.store.folder, since..until)?,
        Some(postgres) => match Server::inspect(&postgres, &identity(&mut config).await).await? {
            Some(server) => server.read_results(since..until).await?,
            None => Vec::new(),
        },
    };
    Ok(ResultsReport::new(&config.chain.coin, rows))
}
