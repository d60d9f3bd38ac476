//! Checks what is on this machine: the store's folder, the dashboard's address, the kill file, the webhook.

use std::{net::TcpListener, path::Path};

use alloy::primitives::B256;

use crate::{
    config::Config,
    report::check::CheckReport,
    store::{DueChange, Identity, Store, StoreError},
};

const AREA: &str = "this machine";

pub(super) fn check(report: &mut CheckReport, config: &Config, genesis: Option<B256>) {
    store(report, config, genesis);
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
    match Store::inspect(folder, &identity) {
        Ok(changes) => {
            report.ok(AREA, "store", format!("{shown} is this deployment's, and free"));
            for change in changes {
                let (what, remedy) = match change {
                    DueChange::UpgradeJournal => (
                        "the next start upgrades the journal, and an older keeper will refuse it",
                        "back the folder up if an older keeper may have to use it again",
                    ),
                    DueChange::RenewCheckpoint => (
                        "the next start upgrades the book's checkpoint or rebuilds it from the chain",
                        "nothing; the first start may take longer",
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
