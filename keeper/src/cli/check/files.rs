//! What is on this machine: the store's folder, the page's address, the kill file, the webhook.

use std::{net::TcpListener, path::Path};

use alloy::primitives::B256;

use crate::{
    config::Config,
    report::check::CheckReport,
    store::{Identity, Store, StoreError},
};

const AREA: &str = "this machine";

pub(super) fn look(report: &mut CheckReport, config: &Config, genesis: Option<B256>) {
    store(report, config, genesis);
    page(report, config);
    let kill_file = &config.safety.kill_file;
    if kill_file.exists() {
        let what = format!("{} exists, so nothing is sent", kill_file.display());
        report.note(AREA, "kill file", what, "remove it when things may be sent again");
    }
    match &config.alerts.webhook {
        Some(webhook) => report.right(AREA, "alerts", format!("go to {}", webhook.shown)),
        None => report.note(AREA, "alerts", "go nowhere", "name a `webhook_env` in [alerts]"),
    }
}

/// Opening the store is the one way to know; it is closed again. A folder that is not there is not made.
fn store(report: &mut CheckReport, config: &Config, genesis: Option<B256>) {
    let folder = &config.store.folder;
    let shown = folder.display();
    if !folder.exists() {
        let parent = folder.ancestors().skip(1).find(|parent| parent.exists()).unwrap_or(Path::new("."));
        let is_closed = parent.metadata().is_ok_and(|about| about.permissions().readonly());
        if is_closed {
            let what = format!("{shown} is not there and cannot be made");
            report.wrong(AREA, "store", what, "make it, or name another `folder` in [store]");
        } else {
            report.right(AREA, "store", format!("{shown} is made at the first start"));
        }
        return;
    }
    let Some(genesis) = genesis else { return };
    let deployed = &config.deployed;
    let identity = Identity { chain_id: deployed.chain_id, genesis, core: deployed.core, rewards: deployed.rewards };
    match Store::open(folder, &identity) {
        Ok(_) => report.right(AREA, "store", format!("{shown} is this deployment's, and free")),
        Err(error @ StoreError::InUse { .. }) => {
            report.note(AREA, "store", error.to_string(), "nothing, if that is the keeper that should run");
        }
        Err(error) => report.wrong(AREA, "store", error.to_string(), "see `folder` in [store]"),
    }
}

fn page(report: &mut CheckReport, config: &Config) {
    let Some(listen) = config.http.listen else {
        return report.note(AREA, "page", "is off", "name a place to `listen` in [http]");
    };
    match TcpListener::bind(listen) {
        Ok(_) if listen.ip().is_loopback() => report.right(AREA, "page", format!("http://{listen}/")),
        Ok(_) => report.note(
            AREA,
            "page",
            format!("http://{listen}/ is open to others, and asks for no password"),
            "listen on 127.0.0.1, or put a proxy before it",
        ),
        Err(error) => report.note(
            AREA,
            "page",
            format!("{listen}: {error}"),
            "nothing, if a keeper is running; else `listen` elsewhere in [http]",
        ),
    }
}
