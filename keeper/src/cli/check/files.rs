//! Checks what is on this machine: the store's folder, the dashboard's address, the kill file, the webhook.

use std::{net::TcpListener, path::Path, time::Duration};

use alloy::primitives::B256;

use crate::{
    config::{Config, Postgres},
    report::check::CheckReport,
    store::{DueChange, Identity, Server, Store, StoreError},
};

const AREA: &str = "this machine";
/// Time of a round trip to the database above which it is too far away.
const MAX_ROUND_TRIP: Duration = Duration::from_millis(10);

pub(super) async fn check(report: &mut CheckReport, config: &Config, genesis: Option<B256>) {
    store(report, config, genesis);
    if let (Some(postgres), Some(genesis)) = (&config.store.postgres, genesis) {
        database(report, postgres, &Identity::of(&config.deployed, genesis)).await;
    }
    dashboard(report, config);
    let kill_file = &config.safety.kill_file;
    if kill_file.exists() {
        let what = format!("{} exists, so nothing is sent", kill_file.display());
        report.warn(AREA, "kill file", what, "remove it when things may be sent again");
    }
    if config.alerts.targets.is_empty() {
        report.warn(AREA, "alerts", "go nowhere", "name a target in [[alerts.targets]]");
    }
    for target in &config.alerts.targets {
        report.ok(AREA, "alerts", format!("{}: to {}", target.name, target.shown));
    }
}

/// Checks whether the store can be used, and leaves its files as they are. A folder that does not exist is not created.
fn store(report: &mut CheckReport, config: &Config, genesis: Option<B256>) {
    let folder = &config.store.folder;
    let shown = folder.display();
    if !folder.exists() {
        let parent = folder.ancestors().skip(1).find(|parent| parent.exists()).unwrap_or(Path::new("."));
        let is_closed = parent.metadata().is_ok_and(|about| about.permissions().readonly());
        if is_closed {
            let what = format!("{shown} does not exist and cannot be created");
            report.fail(AREA, "store", what, "create it, or name another `folder` in [store]");
        } else {
            report.ok(AREA, "store", format!("{shown} is created at the first start"));
        }
        return;
    }
    let Some(genesis) = genesis else { return };
    let identity = Identity::of(&config.deployed, genesis);
    match Store::inspect(folder, &identity, &config.protocols.deployments) {
        Ok(changes) => {
            report.ok(AREA, "store", format!("{shown} is this deployment's, and free"));
            for change in changes {
                let longer = "nothing; the first start may take longer";
                let (what, remedy) = match change {
                    DueChange::UpgradeJournal => (
                        "the next start upgrades the journal, and an older keeper will refuse it".to_owned(),
                        "back the folder up if an older keeper may have to use it again",
                    ),
                    DueChange::RenewCheckpoint => (
                        "the next start upgrades the book's checkpoint or rebuilds it from the chain".to_owned(),
                        longer,
                    ),
                    DueChange::RenewProtocol(protocol) => (
                        format!("the next start reads the logs of {protocol} again: its checkpoint is of no use"),
                        longer,
                    ),
                };
                report.warn(AREA, "store", what, remedy);
            }
        }
        Err(error @ StoreError::InUse { .. }) => {
            report.warn(AREA, "store", error.to_string(), "nothing, if that is the keeper that should run");
        }
        Err(error) => report.fail(AREA, "store", error.to_string(), "see `folder` in [store]"),
    }
}

/// Checks whether the database that keepers share can be used, and how far away it is.
async fn database(report: &mut CheckReport, settings: &Postgres, identity: &Identity) {
    const NAME: &str = "database";
    let server = match Server::inspect(settings, identity).await {
        Ok(Some(server)) => server,
        Ok(None) => return report.ok(AREA, NAME, "the next start creates or migrates the keeper's tables"),
        Err(error) => return report.fail(AREA, NAME, error.to_string(), "see `postgres` in [store]"),
    };
    match (server.measure().await, server.status().await) {
        (Ok((took, is_durable)), Ok(fleet)) => {
            let live = fleet.members.iter().filter(|member| member.is_live).count();
            let what = format!("{}: a round trip takes {took:.1?}, {live} keepers are running", server.shown());
            if took > MAX_ROUND_TRIP {
                report.warn(AREA, NAME, what, "move it nearer: every transaction waits for two round trips");
            } else {
                report.ok(AREA, NAME, what);
            }
            if server.security() == (true, false) {
                let what = "sslmode=require encrypts, and does not tell whether the server is the right one";
                report.warn(AREA, NAME, what, "write sslmode=verify-full into the URL");
            }
            if !is_durable {
                let what =
                    "it runs with fsync = off, with which a loss of power loses transactions that were broadcast";
                report.warn(AREA, NAME, what, "set fsync = on");
            }
        }
        (Err(error), _) => report.fail(AREA, NAME, error.to_string(), "see `postgres` in [store]"),
        (_, Err(error)) => report.fail(AREA, NAME, error.to_string(), "see `postgres` in [store]"),
    }
}

fn dashboard(report: &mut CheckReport, config: &Config) {
    let Some(listen) = config.http.listen else {
        return report.warn(AREA, "dashboard", "is off", "set `listen` in [http]");
    };
    match TcpListener::bind(listen) {
        Ok(_) if listen.ip().is_loopback() => report.ok(AREA, "dashboard", format!("http://{listen}/")),
        Ok(_) => report.warn(
            AREA,
            "dashboard",
            format!("http://{listen}/ can be reached from other machines, and asks for no password"),
            "listen on 127.0.0.1, or put a proxy with a password in front of it",
        ),
        Err(error) => report.warn(
            AREA,
            "dashboard",
            format!("{listen}: {error}"),
            "nothing, if a keeper is running; else set another `listen` in [http]",
        ),
    }
}
