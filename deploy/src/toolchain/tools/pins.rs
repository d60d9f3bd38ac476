//! The pins of `package.json`: the version of each tool, and the package that contains it for this platform.

use std::{collections::BTreeMap, env::consts, fs, path::Path};

use semver::{Version, VersionReq};
use serde::Deserialize;

use super::{Tool, ToolError};

/// Scope of the npm packages with Foundry's tools, which are optional dependencies, one for each tool and platform: npm
/// installs those of its own platform.
const FOUNDRY_SCOPE: &str = "@foundry-rs/";

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
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, ToolError> {
        let package: Package = serde_json::from_str(text).map_err(|error| ToolError::Package(error.to_string()))?;

        let version = |text: &str| {
            text.parse::<Version>()
                .map_err(|error| ToolError::Package(format!("\"{text}\" must be one exact version: {error}")))
        };
        let missing = |what: &str| ToolError::Package(format!("{what} is missing"));
        let solc = version(package.dependencies.get("solc").ok_or_else(|| missing("dependencies.solc"))?)?;
        let is_foundry = |(name, _): &(String, String)| name.starts_with(FOUNDRY_SCOPE);
        let packages: BTreeMap<_, _> = package.optional_dependencies.into_iter().filter(is_foundry).collect();
        let mut versions = packages.values();
        let first = versions.next().ok_or_else(|| missing("optionalDependencies: @foundry-rs/…"))?;
        if let Some(other) = versions.find(|other| *other != first) {
            return Err(ToolError::Package(format!("Foundry's tools must have one version, not {first} and {other}")));
        }
        Ok(Self {
            node: package.engines.get("node").ok_or_else(|| missing("engines.node"))?.clone(),
            solc,
            foundry: version(first)?,
            packages: packages.into_keys().collect(),
        })
    }

    pub(super) const fn version(&self, tool: Tool) -> &Version {
        match tool {
            Tool::Anvil | Tool::Cast | Tool::Forge => &self.foundry,
            Tool::Solc => &self.solc,
        }
    }

    /// Returns the pinned package with a native tool for this platform; `None` if none is pinned.
    pub(super) fn platform_package(&self, tool: Tool) -> Option<&str> {
        self.package_for(tool, &platform())
    }

    fn package_for(&self, tool: Tool, platform: &str) -> Option<&str> {
        let name = format!("{FOUNDRY_SCOPE}{tool}-{platform}");
        self.packages.iter().find(|package| **package == name).map(String::as_str)
    }

    pub(super) fn node_missing(&self, program: &'static str) -> ToolError {
        ToolError::NodeMissing { program, wanted: self.node.to_string() }
    }
}

/// Returns the name of this platform in the names of Foundry's packages, such as `linux-amd64`.
pub(super) fn platform() -> String {
    platform_name(consts::OS, consts::ARCH)
}

fn platform_name(system: &str, processor: &str) -> String {
    let system = match system {
        "macos" => "darwin",
        other => other,
    };
    let processor = match processor {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{processor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: &str = r#"{
        "engines": { "node": ">=18" },
        "dependencies": { "solc": "0.8.37" },
        "optionalDependencies": {
            "@foundry-rs/anvil-darwin-amd64": "1.7.1",
            "@foundry-rs/anvil-darwin-arm64": "1.7.1",
            "@foundry-rs/anvil-linux-amd64": "1.7.1",
            "@foundry-rs/anvil-linux-arm64": "1.7.1",
            "fsevents": "2.3.3"
        }
    }"#;

    #[test]
    fn the_package_is_chosen_by_platform() {
        let pins = Pins::parse(PACKAGE).unwrap();
        for (system, processor, package) in [
            ("linux", "x86_64", Some("@foundry-rs/anvil-linux-amd64")),
            ("linux", "aarch64", Some("@foundry-rs/anvil-linux-arm64")),
            ("macos", "x86_64", Some("@foundry-rs/anvil-darwin-amd64")),
            ("macos", "aarch64", Some("@foundry-rs/anvil-darwin-arm64")),
            ("freebsd", "x86_64", None),
        ] {
            assert_eq!(pins.package_for(Tool::Anvil, &platform_name(system, processor)), package);
        }
        assert_eq!(pins.package_for(Tool::Forge, "linux-amd64"), None);
        assert_eq!(*pins.version(Tool::Anvil), Version::new(1, 7, 1));
    }

    #[test]
    fn different_versions_for_two_platforms_are_rejected() {
        let package = PACKAGE.replacen("1.7.1", "1.7.0", 1);
        let error = Pins::parse(&package).unwrap_err().to_string();
        assert!(error.contains("one version, not 1.7.0 and 1.7.1"), "{error}");
    }
}
