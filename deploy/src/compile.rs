//! Compiles the implementations – the files that `foundry.toml` names in `compilation_restrictions` – with
//! foundry-compilers to exactly the bytes that forge makes of them.
//!
//! Output and cache are in folders of their own under `target/`: if they were shared with forge, each would compile
//! everything again after the other. A second call compiles nothing.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    ops::Range,
    path::{Path, PathBuf},
};

use alloy::{json_abi::JsonAbi, primitives::Bytes};
use foundry_compilers::{
    ArtifactId, ConfigurableArtifacts, Project, ProjectBuilder, ProjectPathsConfig, RestrictionsWithVersion,
    artifacts::{
        BytecodeObject, CompactContractBytecode, Optimizer, Settings, SettingsMetadata, Source,
        output_selection::OutputSelection,
    },
    error::SolcError,
    project::ProjectCompiler,
    report::{Report, Reporter, with_scoped},
    solc::{Restriction, Solc, SolcCompiler, SolcRestrictions, SolcSettings},
};
use semver::Version;

use crate::{
    foundry::{CodeSettings, FoundryError, FoundrySettings, Implementation},
    toolchain::{
        progress::say,
        tools::{Tool, ToolError, Tools},
        workspace::WorkspaceError,
    },
};

/// Outputs that are requested from the compiler: those that deploying and verifying need.
const OUTPUTS: [&str; 6] = [
    "abi",
    "evm.bytecode.object",
    "evm.bytecode.linkReferences",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.linkReferences",
    "evm.deployedBytecode.immutableReferences",
];

/// A compiled contract that needs no linking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Name of the contract.
    pub name: String,
    /// Source file, relative to the root of the repository.
    pub source: PathBuf,
    /// ABI.
    pub abi: JsonAbi,
    /// Creation code, without the constructor's arguments.
    pub creation_code: Bytes,
    /// Runtime code, with zeros in place of immutables; empty if only the creation code is known.
    pub runtime_code: Bytes,
    /// Ranges of the runtime code that hold immutables, in order and without overlap.
    pub immutable_references: Vec<Range<usize>>,
}

/// All contracts that can be deployed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Artifacts {
    by_name: BTreeMap<String, Artifact>,
}

/// Why there are no artifacts. Every message contains the remedy.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The Solidity code does not compile; the text is the compiler's, with file and line.
    #[error("the contracts do not compile\n\n{0}")]
    Solidity(String),
    /// The compiler could not be run, or an import cannot be resolved.
    #[error("the contracts cannot be compiled: {0}")]
    Compiler(#[from] SolcError),
    /// `tools/solc` or the tool named instead of it is not the pinned version.
    #[error("tools/solc is solc {found}, but {wanted} is pinned: run `npm ci --ignore-scripts`")]
    CompilerVersion {
        /// Version of the compiler.
        found: Version,
        /// Pinned version.
        wanted: Version,
    },
    /// A contract uses an external library.
    #[error("{name} must be linked with {libraries}: make the functions of that library internal")]
    Unlinked {
        /// Name of the contract.
        name: String,
        /// Names of the libraries.
        libraries: String,
    },
    /// Two contracts have the same name.
    #[error("{} and {} both define {name}: names of contracts that are deployed must differ", .first.display(), .second.display())]
    Ambiguous {
        /// Name of both contracts.
        name: String,
        /// File of the first.
        first: PathBuf,
        /// File of the second.
        second: PathBuf,
    },
    /// There is no contract of that name.
    #[error(
        "there is no contract {name} that can be deployed; there are {known}. Name its file in \
         `compilation_restrictions` of foundry.toml"
    )]
    NoSuchContract {
        /// Name that was requested.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// A tool is missing or has the wrong version.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The settings of `foundry.toml` cannot be used.
    #[error(transparent)]
    Foundry(#[from] FoundryError),
    /// The repository cannot be written to.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl Artifacts {
    /// Compiles the implementations that have changed since the last time. Threads and processes that do so at the same time
    /// wait for one another.
    pub fn compile(tools: &Tools) -> Result<Self, CompileError> {
        Self::compile_with(tools, &[])
    }

    /// Compiles as [`Artifacts::compile`] does, and also the contracts in further files, such as test tokens for local
    /// chains. Paths are relative to the root of the repository.
    pub fn compile_with(tools: &Tools, further: &[&str]) -> Result<Self, CompileError> {
        let root = tools.workspace().root();
        let settings = FoundrySettings::read(root)?;
        let files: Vec<PathBuf> = settings
            .implementations
            .iter()
            .map(|file| file.path.clone())
            .chain(further.iter().map(|path| root.join(path)))
            .collect();
        let _lock = tools.workspace().lock("contracts")?;
        let project = project(tools, &settings)?;
        let sources = Source::read_all(&files).map_err(|error| CompileError::Compiler(error.into()))?;
        let output =
            with_scoped(&Report::new(Progress), || ProjectCompiler::with_sources(&project, sources)?.compile())?;
        if output.has_compiler_errors() {
            return Err(CompileError::Solidity(solidity_errors(&output.output().errors)));
        }

        let mut artifacts = Self::default();
        for (id, artifact) in output.into_artifacts() {
            if files.contains(&id.source) {
                artifacts.add(id, artifact.into_contract_bytecode(), root)?;
            }
        }
        Ok(artifacts)
    }

    /// Returns the contract of that name. Fails with the names that exist.
    pub fn get(&self, name: &str) -> Result<&Artifact, CompileError> {
        self.by_name.get(name).ok_or_else(|| CompileError::NoSuchContract {
            name: name.to_owned(),
            known: self.by_name.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// Returns all contracts, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Artifact> {
        self.by_name.values()
    }

    /// Takes a compiled contract in, unless it has no code because it is abstract or an interface.
    fn add(&mut self, id: ArtifactId, compiled: CompactContractBytecode, root: &Path) -> Result<(), CompileError> {
        let ArtifactId { name, source, .. } = id;
        let source = source.strip_prefix(root).map(Path::to_path_buf).unwrap_or(source);
        let (Some(abi), Some(creation), Some(deployed)) = (compiled.abi, compiled.bytecode, compiled.deployed_bytecode)
        else {
            return Ok(());
        };
        let Some(runtime) = deployed.bytecode else { return Ok(()) };
        let (BytecodeObject::Bytecode(creation_code), BytecodeObject::Bytecode(runtime_code)) =
            (creation.object, runtime.object)
        else {
            let libraries = creation.link_references.values().flat_map(BTreeMap::keys).cloned().collect::<Vec<_>>();
            return Err(CompileError::Unlinked { name, libraries: libraries.join(", ") });
        };
        if creation_code.is_empty() {
            return Ok(());
        }
        let mut immutable_references: Vec<_> = deployed
            .immutable_references
            .into_values()
            .flatten()
            .map(|place| {
                let start = place.start as usize;
                start..start + place.length as usize
            })
            .collect();
        immutable_references.sort_by_key(|place| place.start);

        self.insert(Artifact { name, source, abi, creation_code, runtime_code, immutable_references })
    }

    /// Takes in a contract that was compiled elsewhere. Fails where there is one of that name.
    pub(crate) fn insert(&mut self, artifact: Artifact) -> Result<(), CompileError> {
        if let Some(other) = self.by_name.get(&artifact.name) {
            return Err(CompileError::Ambiguous {
                name: artifact.name,
                first: other.source.clone(),
                second: artifact.source,
            });
        }
        self.by_name.insert(artifact.name.clone(), artifact);
        Ok(())
    }
}

/// The project as forge sees it, with folders of our own to write to.
pub(crate) fn project(
    tools: &Tools,
    settings: &FoundrySettings,
) -> Result<Project<SolcCompiler, ConfigurableArtifacts>, CompileError> {
    let (program, arguments) = tools.compiler()?;
    let solc = Solc::new_with_args(program, arguments)?;
    let wanted = tools.pinned_version(Tool::Solc);
    if (solc.version.major, solc.version.minor, solc.version.patch) != (wanted.major, wanted.minor, wanted.patch) {
        return Err(CompileError::CompilerVersion { found: solc.version, wanted: wanted.clone() });
    }
    let root = tools.workspace().root();
    let output = tools.workspace().target().join("contracts");
    let paths = ProjectPathsConfig::builder()
        .sources(&settings.sources)
        .libs(&settings.libraries)
        .remappings(settings.remappings.iter().cloned())
        .artifacts(output.join("out"))
        .build_infos(output.join("out/build-info"))
        .cache(output.join("cache.json"))
        .build_with_root(root);
    let profiles = settings.profiles.iter().map(|(name, code)| (name.clone(), solc_settings(settings, *code)));
    let restrictions = settings.implementations.iter().map(|file| (file.path.clone(), restriction(file)));
    let project = ProjectBuilder::<SolcCompiler, _>::new(ConfigurableArtifacts::default())
        .paths(paths)
        .settings(solc_settings(settings, settings.default))
        .additional_settings(profiles.collect())
        .restrictions(restrictions.collect())
        .offline()
        .build(SolcCompiler::Specific(solc))?;
    Ok(project)
}

pub(crate) fn solc_settings(settings: &FoundrySettings, code: CodeSettings) -> SolcSettings {
    let optimizer = Optimizer { enabled: Some(code.optimizer), runs: Some(code.optimizer_runs), details: None };
    let metadata = SettingsMetadata::new(settings.metadata.bytecode_hash, settings.metadata.cbor_metadata);
    SolcSettings {
        settings: Settings {
            optimizer,
            metadata: Some(metadata),
            output_selection: OutputSelection::common_output_selection(OUTPUTS.map(str::to_owned)),
            evm_version: Some(settings.evm_version),
            via_ir: Some(code.via_ir),
            ..Settings::default()
        },
        ..SolcSettings::default()
    }
}

fn restriction(file: &Implementation) -> RestrictionsWithVersion<SolcRestrictions> {
    let optimizer_runs = Restriction { min: Some(file.optimizer_runs), max: Some(file.optimizer_runs) };
    let restrictions = SolcRestrictions { via_ir: Some(file.via_ir), optimizer_runs, ..SolcRestrictions::default() };
    RestrictionsWithVersion { restrictions, version: None }
}

/// Joins the compiler's errors as it formats them, with file, line and source text.
fn solidity_errors(errors: &[foundry_compilers::artifacts::Error]) -> String {
    let mut text = String::new();
    for error in errors.iter().filter(|error| error.is_error()) {
        // Writing to a String cannot fail.
        let _ = match &error.formatted_message {
            Some(formatted) => writeln!(text, "{}", formatted.trim_end()),
            None => writeln!(text, "{error}"),
        };
    }
    text
}

/// Reports how many files are being compiled; nothing is reported if all are cached.
#[derive(Debug)]
struct Progress;

impl Reporter for Progress {
    fn on_compiler_spawn(&self, compiler_name: &str, version: &Version, dirty_files: &[PathBuf]) {
        let count = dirty_files.len();
        let (major, minor, patch) = (version.major, version.minor, version.patch);
        say(format_args!("compiling {count} Solidity files with {compiler_name} {major}.{minor}.{patch}"));
    }
}
