//! Creation code of the contracts of two releases: 3.0's is in its npm package, 3.6 is compiled from the sources in its own.

use std::{collections::BTreeMap, fs, path::Path};

use alloy::{
    hex,
    primitives::{Address, Bytes},
};
use eyre::{ContextCompat, WrapErr, ensure};
use foundry_compilers::{
    ConfigurableArtifacts, ProjectBuilder, ProjectPathsConfig,
    artifacts::{
        BytecodeObject, EvmVersion, Optimizer, Settings, SettingsMetadata, Source, output_selection::OutputSelection,
    },
    project::ProjectCompiler,
    solc::{Solc, SolcCompiler, SolcSettings},
};
use serde_json::Value;

use super::Release;
use crate::{
    contracts::Once,
    workspace::{tools, workspace},
};

/// Folder of 3.0's artifacts, from the root of the repository.
const ARTIFACTS: &str = "node_modules/@aave/core-v3/artifacts/contracts";
/// Folder of 3.6's sources.
const SOURCES: &str = "node_modules/@aave-dao/aave-v3-origin/src/contracts";
/// The files of 3.6 that are compiled, with what they import.
const FILES: [&str; 8] = [
    "instances/ATokenInstance.sol",
    "instances/PoolConfiguratorInstance.sol",
    "instances/PoolInstance.sol",
    "instances/VariableDebtTokenInstance.sol",
    "misc/DefaultReserveInterestRateStrategyV2.sol",
    "protocol/configuration/ACLManager.sol",
    "protocol/configuration/PoolAddressesProvider.sol",
    "protocol/libraries/logic/FlashLoanLogic.sol",
];
/// What Aave's own configuration sets.
const OPTIMIZER_RUNS: usize = 200;
/// Digits of an address in code that is not linked.
const ADDRESS_DIGITS: usize = 40;

/// A contract's creation code, of which libraries may have to be filled in.
#[derive(Debug, Clone)]
pub(super) struct Code {
    digits: String,
    /// First bytes of the places of libraries, with the library's name.
    links: Vec<(usize, String)>,
}

/// The creation code of a release's contracts.
#[derive(Debug)]
pub(super) enum Codes {
    /// Read from the package when it is needed.
    V3_0,
    /// By name.
    V3_6(&'static BTreeMap<String, Code>),
}

impl Codes {
    /// Returns the code of a release, which is compiled if that was not done before.
    pub(super) fn of(release: Release) -> eyre::Result<Self> {
        static CODES: Once<BTreeMap<String, Code>> = Once::new();
        Ok(match release {
            Release::V3_0 => Self::V3_0,
            Release::V3_6 => Self::V3_6(CODES.get_or_make(compile)?),
        })
    }

    /// Returns a contract's creation code, linked. A path's last part is the contract's name, and in 3.0 its file's.
    pub(super) fn linked(&self, path: &str, libraries: &[(&str, Address)]) -> eyre::Result<Bytes> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let code = match self {
            Self::V3_0 => published(path, name)?,
            Self::V3_6(codes) => codes.get(name).cloned().wrap_err_with(|| format!("{SOURCES} has no {name}"))?,
        };
        let mut digits = code.digits;
        for (start, library) in code.links {
            let address = libraries.iter().find(|(name, _)| *name == library).map(|(_, address)| address);
            let address = address.wrap_err_with(|| format!("{name} must be linked with {library}"))?;
            ensure!(digits.len() >= start * 2 + ADDRESS_DIGITS, "{name} ends before its library {library}");
            digits.replace_range(start * 2..start * 2 + ADDRESS_DIGITS, &hex::encode(address));
        }
        Ok(hex::decode(&digits).wrap_err_with(|| format!("the code of {name}"))?.into())
    }
}

/// Reads an artifact of 3.0.
fn published(path: &str, name: &str) -> eyre::Result<Code> {
    let file = workspace()?.root().join(ARTIFACTS).join(format!("{path}.sol")).join(format!("{name}.json"));
    let text = fs::read_to_string(&file).wrap_err_with(|| file.display().to_string())?;
    let artifact: Value = serde_json::from_str(&text).wrap_err_with(|| file.display().to_string())?;
    let digits = artifact["bytecode"].as_str().wrap_err_with(|| format!("{} has no bytecode", file.display()))?;
    let mut links = Vec::new();
    for (library, places) in artifact["linkReferences"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(_, libraries)| libraries.as_object().into_iter().flatten())
    {
        for place in places.as_array().into_iter().flatten() {
            let start =
                place["start"].as_u64().wrap_err_with(|| format!("{} has a library nowhere", file.display()))?;
            links.push((usize::try_from(start)?, library.clone()));
        }
    }
    Ok(Code { digits: digits.trim_start_matches("0x").to_owned(), links })
}

/// Compiles 3.6 with the pinned compiler, which takes seconds the first time. Processes that do so at once wait for each other.
fn compile() -> eyre::Result<BTreeMap<String, Code>> {
    let tools = tools()?;
    let root = tools.workspace().root();
    let sources = root.join(SOURCES);
    ensure!(sources.is_dir(), "{} is missing: run npm ci --ignore-scripts", sources.display());
    let _lock = tools.workspace().lock("aave-v3")?;
    let output = tools.workspace().target().join("aave-v3");
    let paths = ProjectPathsConfig::builder()
        .sources(&sources)
        .remapping(format!("openzeppelin-contracts/={}", root.join("node_modules/@openzeppelin/").display()).parse()?)
        .artifacts(output.join("out"))
        .build_infos(output.join("build-info"))
        .cache(output.join("cache.json"))
        .build_with_root(root);
    let (program, arguments) = tools.compiler()?;
    let project = ProjectBuilder::<SolcCompiler, _>::new(ConfigurableArtifacts::default())
        .paths(paths)
        .settings(settings())
        .offline()
        .build(SolcCompiler::Specific(Solc::new_with_args(program, arguments)?))?;
    let files: Vec<_> = FILES.iter().map(|file| sources.join(file)).collect();
    let compiled = ProjectCompiler::with_sources(&project, Source::read_all(&files)?)?.compile()?;
    ensure!(!compiled.has_compiler_errors(), "{compiled}");
    let mut codes = BTreeMap::new();
    for (id, artifact) in compiled.into_artifacts() {
        if !Path::new(&id.source).starts_with(&sources) {
            continue;
        }
        let Some(code) = artifact.into_contract_bytecode().bytecode else { continue };
        let digits = match code.object {
            BytecodeObject::Bytecode(code) => hex::encode(code),
            BytecodeObject::Unlinked(digits) => digits.trim_start_matches("0x").to_owned(),
        };
        let places = code.link_references.into_values().flatten();
        let links = places
            .flat_map(|(library, places)| places.into_iter().map(move |place| (place.start as usize, library.clone())));
        codes.insert(id.name, Code { digits, links: links.collect() });
    }
    Ok(codes)
}

fn settings() -> SolcSettings {
    let outputs = ["evm.bytecode.object", "evm.bytecode.linkReferences"].map(str::to_owned);
    SolcSettings {
        settings: Settings {
            optimizer: Optimizer { enabled: Some(true), runs: Some(OPTIMIZER_RUNS), details: None },
            metadata: Some(SettingsMetadata::new(foundry_compilers::artifacts::BytecodeHash::None, false)),
            output_selection: OutputSelection::common_output_selection(outputs),
            evm_version: Some(EvmVersion::Cancun),
            ..Settings::default()
        },
        ..SolcSettings::default()
    }
}
