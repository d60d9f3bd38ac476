//! What most commands need: the repository, the compiled contracts, the manifest and a connection to the chain.

use std::{
    env,
    path::{Path, PathBuf},
};

use eyre::{ContextCompat, eyre};
use plimsoll_chain::endpoint::Endpoint;

use super::{LOCAL_MANIFEST, RPC_URL_VARIABLE, Target};
use crate::{
    compile::Artifacts,
    connection::Chain,
    design::Design,
    manifest::Manifest,
    packages,
    toolchain::{tools::Tools, workspace::Workspace},
};

/// Options that every command of `plimsoll-deploy` takes, and what follows from them.
pub(super) struct Context {
    pub(super) root: Option<PathBuf>,
    pub(super) json: bool,
}

impl Context {
    pub(super) fn workspace(&self) -> eyre::Result<Workspace> {
        // An empty variable counts as unset.
        let root = self.root.as_deref().filter(|root| !root.as_os_str().is_empty());
        Ok(root.map_or_else(Workspace::find, Workspace::checked)?)
    }

    /// Reads a manifest. The default one is the repository's, whatever the current folder is.
    pub(super) fn manifest(&self, path: &Path) -> eyre::Result<Manifest> {
        if path != Path::new(LOCAL_MANIFEST) {
            return Ok(Manifest::read(path)?);
        }
        Ok(Manifest::read(&self.workspace()?.root().join(path))?)
    }
}

/// The installed tools and the compiled contracts, which most commands need.
pub(super) struct Project {
    pub(super) tools: Tools,
    pub(super) artifacts: Artifacts,
}

impl Project {
    pub(super) async fn open(context: &Context) -> eyre::Result<Self> {
        let workspace = context.workspace()?;
        let prepare = move || -> eyre::Result<Self> {
            let tools = Tools::ready(&workspace)?;
            let artifacts = packages::all_artifacts(&tools)?;
            Ok(Self { tools, artifacts })
        };
        tokio::task::spawn_blocking(prepare).await?
    }

    pub(super) fn record_path(&self, records: Option<&Path>, chain: &Chain, design: &Design) -> PathBuf {
        let workspace = self.tools.workspace();
        // A development chain is short-lived, and a fork has the id of the chain that it copies.
        let is_dev = chain.is_dev_chain(design.deployer);
        let default = || if is_dev { workspace.target() } else { workspace.root().to_path_buf() }.join("deployments");
        records.map_or_else(default, Path::to_path_buf).join(format!("{}.json", chain.id()))
    }
}

impl Target {
    /// Returns the endpoint that an option, the manifest or [`RPC_URL_VARIABLE`] names, in this order. Fails if its URL is
    /// invalid, or a variable that `--rpc-env` names is not set. Returns `None` if there is no endpoint; a variable that the
    /// manifest names and that is not set counts as none.
    pub(super) fn endpoint(&self, manifest: &Manifest) -> eyre::Result<Option<Endpoint>> {
        let network = &manifest.tables.network;
        let variable = |name: &str| env::var(name).ok().filter(|url| !url.is_empty());
        let found = if let Some(url) = &self.rpc_url {
            Some(("--rpc-url".to_owned(), url.clone()))
        } else if let Some(name) = &self.rpc_env {
            Some((name.clone(), variable(name).wrap_err_with(|| unset(name))?))
        } else {
            let from_manifest = match &network.rpc_env {
                Some(name) => variable(name).map(|url| (name.clone(), url)),
                None => network.rpc.clone().map(|url| (format!("`rpc` in {}", manifest.path().display()), url)),
            };
            from_manifest.or_else(|| Some((RPC_URL_VARIABLE.to_owned(), variable(RPC_URL_VARIABLE)?)))
        };
        // The error does not repeat the URL, which may contain a key.
        found.map(|(origin, url)| url.parse().map_err(|error| eyre!("{origin}: {error}"))).transpose()
    }

    pub(super) async fn connect(&self, manifest: &Manifest) -> eyre::Result<Chain> {
        let endpoint = self.endpoint(manifest)?.ok_or_else(|| no_endpoint(manifest))?;
        Ok(Chain::connect(endpoint).await?)
    }
}

fn unset(variable: &str) -> String {
    format!("the environment variable {variable} is not set; it must hold the node's URL")
}

/// Returns the reason that there is no endpoint, with the remedy.
pub(super) fn no_endpoint(manifest: &Manifest) -> eyre::Report {
    match &manifest.tables.network.rpc_env {
        Some(variable) => eyre!("{}. --rpc-url and {RPC_URL_VARIABLE} name a node, too", unset(variable)),
        None => eyre!(
            "no node is named: write `rpc` or `rpc_env` in [network] of {}, pass --rpc-url, or set {RPC_URL_VARIABLE}",
            manifest.path().display()
        ),
    }
}
