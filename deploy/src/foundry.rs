//! Reads `foundry.toml`, so that contracts are deployed with the same compiler settings that forge tests them with.
//!
//! An unknown key could change forge's output but not ours, so it is rejected. Every setting that affects bytecode must be
//! explicit, because defaults may change or differ between the two.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use foundry_compilers::artifacts::{BytecodeHash, EvmVersion, remappings::Remapping};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// The settings of `foundry.toml` that concern compilation. Paths are absolute.
#[derive(Debug, Clone)]
pub struct FoundrySettings {
    /// Folder of the contracts.
    pub sources: PathBuf,
    /// Folders of libraries.
    pub libraries: Vec<PathBuf>,
    /// Remappings of import paths.
    pub remappings: Vec<Remapping>,
    /// EVM version that code is generated for.
    pub evm_version: EvmVersion,
    /// Settings of files without settings of their own.
    pub default: CodeSettings,
    /// Further compiler profiles by name.
    pub profiles: Vec<(String, CodeSettings)>,
    /// Files with settings of their own: the implementations, which are deployed.
    pub implementations: Vec<Implementation>,
    /// Metadata that is appended to the code.
    pub metadata: MetadataSettings,
}

/// Settings of code generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeSettings {
    /// Whether the optimizer is on.
    pub optimizer: bool,
    /// Expected number of runs of the code, by which the optimizer weighs gas against size.
    pub optimizer_runs: usize,
    /// Whether code is generated through the intermediate language.
    pub via_ir: bool,
}

/// Metadata that is appended to the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataSettings {
    /// Kind of hash of the metadata.
    pub bytecode_hash: BytecodeHash,
    /// Whether anything is appended.
    pub cbor_metadata: bool,
}

/// A file with settings of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implementation {
    /// Path of the file.
    pub path: PathBuf,
    /// Whether its code is generated through the intermediate language.
    pub via_ir: bool,
    /// Number of runs that its code is optimised for.
    pub optimizer_runs: usize,
}

/// Why the settings cannot be used. Every message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum FoundryError {
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A key is unknown or missing, or its value is invalid.
    #[error(
        "{}: {problem}\nOnly settings that are known to give the same bytes here and in forge are accepted: remove the \
         key or correct it, or add it to deploy/src/foundry.rs", .path.display()
    )]
    NotUnderstood {
        /// Path of the file.
        path: PathBuf,
        /// Position and problem, as the TOML parser reports them.
        problem: String,
    },
    /// A value is valid, but not supported here.
    #[error("{}: {key}: {problem}", .path.display())]
    Unusable {
        /// Path of the file.
        path: PathBuf,
        /// Key of the value.
        key: &'static str,
        /// Problem and remedy.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    profile: Profiles,
    // Settings of tests, formatting and linting do not affect the code.
    #[serde(rename = "fuzz")]
    _fuzz: Option<IgnoredAny>,
    #[serde(rename = "invariant")]
    _invariant: Option<IgnoredAny>,
    #[serde(rename = "fmt")]
    _fmt: Option<IgnoredAny>,
    #[serde(rename = "lint")]
    _lint: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profiles {
    default: DefaultProfile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultProfile {
    src: PathBuf,
    libs: Vec<PathBuf>,
    auto_detect_remappings: bool,
    #[serde(deserialize_with = "parsed_list")]
    remappings: Vec<Remapping>,
    solc: PathBuf,
    #[serde(deserialize_with = "parsed")]
    evm_version: EvmVersion,
    optimizer: bool,
    optimizer_runs: usize,
    via_ir: bool,
    #[serde(deserialize_with = "parsed")]
    bytecode_hash: BytecodeHash,
    cbor_metadata: bool,
    #[serde(default)]
    additional_compiler_profiles: Vec<CompilerProfile>,
    #[serde(default)]
    compilation_restrictions: Vec<Restriction>,
    // Folders of tests, scripts and output, permissions and warnings do not affect the code.
    #[serde(rename = "test")]
    _test: Option<IgnoredAny>,
    #[serde(rename = "script")]
    _script: Option<IgnoredAny>,
    #[serde(rename = "out")]
    _out: Option<IgnoredAny>,
    #[serde(rename = "cache_path")]
    _cache_path: Option<IgnoredAny>,
    #[serde(rename = "test_failures_file")]
    _test_failures_file: Option<IgnoredAny>,
    #[serde(rename = "ignored_warnings_from")]
    _ignored_warnings_from: Option<IgnoredAny>,
    #[serde(rename = "ignored_error_codes")]
    _ignored_error_codes: Option<IgnoredAny>,
    #[serde(rename = "fs_permissions")]
    _fs_permissions: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompilerProfile {
    name: String,
    via_ir: Option<bool>,
    optimizer_runs: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restriction {
    paths: String,
    via_ir: bool,
    optimizer_runs: usize,
}

impl FoundrySettings {
    /// Reads `foundry.toml` in the root of the repository. Fails if anything in it is unknown.
    pub fn read(root: &Path) -> Result<Self, FoundryError> {
        let path = root.join("foundry.toml");
        let text = fs::read_to_string(&path).map_err(|source| FoundryError::Io { path: path.clone(), source })?;
        Self::parse(&text, root, &path)
    }

    fn parse(text: &str, root: &Path, path: &Path) -> Result<Self, FoundryError> {
        let file: File = toml::from_str(text).map_err(|error| FoundryError::NotUnderstood {
            path: path.to_path_buf(),
            problem: error.to_string().trim_end().to_owned(),
        })?;
        let unusable = |key, problem: String| FoundryError::Unusable { path: path.to_path_buf(), key, problem };

        let profile = file.profile.default;
        if profile.auto_detect_remappings {
            let problem = "must be false: what forge finds by itself depends on what is installed".to_owned();
            return Err(unusable("auto_detect_remappings", problem));
        }
        if profile.solc != Path::new("tools/solc") {
            let problem = format!("must be \"tools/solc\", the pinned compiler, not \"{}\"", profile.solc.display());
            return Err(unusable("solc", problem));
        }
        let default = CodeSettings {
            optimizer: profile.optimizer,
            optimizer_runs: profile.optimizer_runs,
            via_ir: profile.via_ir,
        };
        let mut implementations = Vec::with_capacity(profile.compilation_restrictions.len());
        for Restriction { paths, via_ir, optimizer_runs } in profile.compilation_restrictions {
            let path = root.join(&paths);
            if !path.is_file() {
                let problem = format!("\"{paths}\" is not a file: name each implementation in full, without patterns");
                return Err(unusable("compilation_restrictions", problem));
            }
            implementations.push(Implementation { path, via_ir, optimizer_runs });
        }
        Ok(Self {
            sources: root.join(profile.src),
            libraries: profile.libs.into_iter().map(|library| root.join(library)).collect(),
            remappings: profile.remappings.into_iter().map(|remapping| absolute(remapping, root)).collect(),
            evm_version: profile.evm_version,
            default,
            profiles: profile
                .additional_compiler_profiles
                .into_iter()
                .map(|CompilerProfile { name, via_ir, optimizer_runs }| {
                    let via_ir = via_ir.unwrap_or(default.via_ir);
                    let optimizer_runs = optimizer_runs.unwrap_or(default.optimizer_runs);
                    (name, CodeSettings { via_ir, optimizer_runs, ..default })
                })
                .collect(),
            implementations,
            metadata: MetadataSettings { bytecode_hash: profile.bytecode_hash, cbor_metadata: profile.cbor_metadata },
        })
    }
}

fn absolute(mut remapping: Remapping, root: &Path) -> Remapping {
    remapping.path = root.join(&remapping.path).display().to_string();
    remapping
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn parsed_list<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [profile.default]
        src = "contracts/src"
        libs = ["node_modules"]
        auto_detect_remappings = false
        remappings = ["solady/=node_modules/solady/src/"]
        solc = "tools/solc"
        evm_version = "cancun"
        optimizer = true
        optimizer_runs = 1
        via_ir = false
        bytecode_hash = "none"
        cbor_metadata = false
        additional_compiler_profiles = [{ name = "deploy", via_ir = true }]
        [fuzz]
        runs = 256
    "#;

    fn read(text: &str) -> Result<FoundrySettings, String> {
        FoundrySettings::parse(text, Path::new("/project"), Path::new("foundry.toml"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_inherits_the_settings_of_the_default_one() {
        let settings = read(GOOD).unwrap();
        let deploy = CodeSettings { optimizer: true, optimizer_runs: 1, via_ir: true };
        assert_eq!(settings.profiles, [("deploy".to_owned(), deploy)]);
        assert_eq!(settings.remappings[0].path, "/project/node_modules/solady/src/");
    }

    #[test]
    fn an_unknown_key_is_rejected_with_its_line_and_the_remedy() {
        let error = read(&GOOD.replace("[fuzz]", "revert_strings = \"strip\"\n[fuzz]")).unwrap_err();
        assert!(error.starts_with("foundry.toml: "), "{error}");
        assert!(error.contains("unknown field `revert_strings`"), "{error}");
        assert!(error.contains("line 15"), "{error}");
        assert!(error.contains("remove the key"), "{error}");
    }

    #[test]
    fn a_second_profile_is_rejected_because_forge_could_use_it() {
        let error = read(&GOOD.replace("[fuzz]", "[profile.ci]\nvia_ir = true\n[fuzz]")).unwrap_err();
        assert!(error.contains("unknown field `ci`"), "{error}");
    }

    #[test]
    fn a_setting_that_affects_code_must_be_explicit() {
        let error = read(&GOOD.replace("evm_version = \"cancun\"", "")).unwrap_err();
        assert!(error.contains("missing field `evm_version`"), "{error}");
    }

    #[test]
    fn a_restriction_that_names_no_file_is_rejected() {
        let pattern =
            "compilation_restrictions = [{ paths = \"contracts/src/*.sol\", via_ir = true, optimizer_runs = 9 }]";
        let error = read(&GOOD.replace("[fuzz]", &format!("{pattern}\n[fuzz]"))).unwrap_err();
        assert!(error.contains("compilation_restrictions: \"contracts/src/*.sol\" is not a file"), "{error}");
    }
}
