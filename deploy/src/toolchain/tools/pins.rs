//! What `package.json` pins: the version of each tool, and the package that brings it for this platform.

use std::{collections::BTreeMap, env::consts, fs, path::Path};

use semver::{Version, VersionReq};
use serde::Deserialize;

use super::{Tool, ToolError};

/// The part of `package.json` that concerns the tools.
#[derive(Debug, Clone)]
pub(super) struct Pins {
    pub(super) node: VersionReq,
    solc: Version,
    foundry: Version,
    packages: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    engines: BTreeMap<String, VersionReq>,
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
}

impl Pins {
    pub(super) fn read(root: &Path) -> Result<Self, ToolError> {
        let path = root.join("package.json");
        let text = fs::read_to_string(&path).map_err(ToolError::io(&path))?;
        let package: Package = serde_json::from_str(&text).map_err(|error| ToolError::Package(error.to_string()))?;

        let version = |text: &str| {
            text.parse::<Version>()
                .map_err(|error| ToolError::Package(format!("\"{text}\" must be one exact version: {error}")))
        };
        let missing = |what: &str| ToolError::Package(format!("{what} is missing"));
        let solc = version(package.dependencies.get("solc").ok_or_else(|| missing("dependencies.solc"))?)?;
        let mut foundry = package.optional_dependencies.values();
        let first = foundry.next().ok_or_else(|| missing("optionalDependencies"))?;
        if let Some(other) = foundry.find(|other| *other != first) {
            return Err(ToolError::Package(format!("Foundry's tools must have one version, not {first} and {other}")));
        }
        Ok(Self {
            node: package.engines.get("node").ok_or_else(|| missing("engines.node"))?.clone(),
            solc,
            foundry: version(first)?,
            packages: package.optional_dependencies.into_keys().collect(),
        })
    }

    pub(super) const fn version(&self, tool: Tool) -> &Version {
        match tool {
            Tool::Anvil | Tool::Cast | Tool::Forge => &self.foundry,
            Tool::Solc => &self.solc,
        }
    }

    /// The pinned package with the native tool, unless the pinned ones do not cover this platform.
    pub(super) fn platform_package(&self, tool: Tool) -> Option<&str> {
        let name = format!("@foundry-rs/{tool}-{}", platform());
        self.packages.iter().find(|package| **package == name).map(String::as_str)
    }

    pub(super) fn node_missing(&self, program: &'static str) -> ToolError {
        ToolError::NodeMissing { program, wanted: self.node.to_string() }
    }
}

/// This machine as Foundry's packages name it, such as `linux-amd64`.
pub(super) fn platform() -> String {
    let system = match consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{processor}")
}
