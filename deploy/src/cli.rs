//! The command line. Results go to stdout, as text or as one JSON document, everything else to stderr. The exit code is
//! 0 on success, 1 on failure or when the chain does not match the manifest, 2 for arguments that are not understood.

mod commands;
mod context;
mod governance;
mod help;
mod output;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use alloy::primitives::Address;
use clap::{Args, CommandFactory, Parser, Subcommand};
use eyre::WrapErr;
use plimsoll_chain::{
    logging::{self, Format},
    redaction::scrub,
    shell::{self, Shell},
};
use url::Url;

use self::{
    context::Context,
    output::{with_causes, write_stdout},
};
use crate::{
    explorer::Explorer,
    governance::Support,
    toolchain::{progress::say, workspace::ROOT_VARIABLE},
};

/// Name of the program.
const NAME: &str = "plimsoll-deploy";
/// Version and commit, from the build script.
const VERSION: &str = env!("PLIMSOLL_VERSION");
/// Environment variable with a node's URL, as in Foundry's tools.
const RPC_URL_VARIABLE: &str = "ETH_RPC_URL";
/// Manifest that is used when none is named, from the root of the repository.
const LOCAL_MANIFEST: &str = "examples/local.toml";

/// Compiles Plimsoll and makes a chain match a manifest.
///
/// A manifest is a TOML file that describes a network, contracts and their arguments, tokens, price feeds, oracles,
/// markets, backstops, pools and staking programmes: examples/local.toml explains every key, docs/deploy.md the rest.
///
/// Contracts are created by the deterministic deployer, so addresses follow from code and arguments. Nothing is sent
/// before everything was checked and simulated; an interrupted `apply` continues where it was, and a second one changes
/// nothing. Keys come from an encrypted keystore, an environment variable, or – on a local Anvil only – from Anvil; never
/// from an argument.
#[derive(Debug, Parser)]
#[command(name = NAME, version = VERSION, after_help = help::EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Root of the Plimsoll repository; else the one that the current folder is in.
    #[arg(long, value_name = "DIR", global = true, env = ROOT_VARIABLE, help_heading = "Global")]
    root: Option<PathBuf>,
    /// Write the result as one JSON document.
    #[arg(long, global = true, help_heading = "Global")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile the contracts, as forge does, and list them.
    #[command(after_help = help::BUILD)]
    Build,
    /// Show what `apply` would do, and why.
    ///
    /// Without an endpoint, the target state is shown without looking at a chain.
    #[command(after_help = help::PLAN)]
    Plan {
        #[command(flatten)]
        target: Target,
        /// Do not look at a chain even if an endpoint is configured.
        #[arg(long, conflicts_with_all = ["rpc_url", "rpc_env"], help_heading = "Chain")]
        offline: bool,
        /// Write the calls that the core's owner must sign to this file, for the Transaction Builder of Safe.
        #[arg(long, value_name = "FILE", conflicts_with = "offline", help_heading = "Owner")]
        safe: Option<PathBuf>,
    },
    /// Execute the steps that are left.
    ///
    /// Shows the plan and its cost first, and asks for confirmation unless it deploys to an Anvil with one of Anvil's keys.
    #[command(after_help = help::APPLY)]
    Apply {
        #[command(flatten)]
        target: Target,
        /// Do not ask for confirmation.
        #[arg(long, help_heading = "Sending")]
        yes: bool,
        /// Create new contracts besides the old ones where code or arguments have changed since the record was written.
        #[arg(long, help_heading = "Sending")]
        replace: bool,
    },
    /// Compare the chain with the compiled code and the manifest; publish sources.
    #[command(after_help = help::VERIFY)]
    Verify {
        #[command(flatten)]
        target: Target,
        /// Write the compiler's standard JSON input of each contract to this folder.
        #[arg(long, value_name = "DIR", help_heading = "Sources")]
        standard_json: Option<PathBuf>,
        /// Submit sources to an explorer with Etherscan's API (key in ETHERSCAN_API_KEY).
        #[arg(
            long,
            value_name = "URL",
            num_args = 0..=1,
            default_missing_value = "https://api.etherscan.io/v2/api",
            help_heading = "Sources"
        )]
        etherscan: Option<Url>,
        /// Submit sources to Sourcify.
        #[arg(
            long,
            value_name = "URL",
            num_args = 0..=1,
            default_missing_value = "https://sourcify.dev/server",
            help_heading = "Sources"
        )]
        sourcify: Option<Url>,
    },
    /// Show what is deployed on a chain, from its record and from the chain itself.
    #[command(after_help = help::STATUS)]
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// Start a fresh local Anvil, deploy everything on it, and keep it running until Ctrl-C or SIGTERM.
    #[command(after_help = help::UP)]
    Up {
        /// Manifest to deploy.
        #[arg(default_value = LOCAL_MANIFEST)]
        manifest: PathBuf,
        /// Anvil's port; 0 for any that is free.
        #[arg(long, default_value_t = 8545, help_heading = "Chain")]
        port: u16,
        /// Port of the page; any free one where it is taken.
        #[arg(long, default_value_t = 8650, help_heading = "Page")]
        page_port: u16,
        /// Folder for the record; else target/deployments of the repository.
        #[arg(long, value_name = "DIR", help_heading = "Record")]
        records: Option<PathBuf>,
        /// End as soon as everything is deployed.
        #[arg(long, help_heading = "Chain")]
        exit: bool,
    },
    /// Write the page for a deployment to a folder, for any host of static files.
    #[command(after_help = help::PAGE)]
    Page {
        /// Record of the deployment.
        record: PathBuf,
        /// URL of the node that visitors' browsers use. It is public: no key may be in it.
        #[arg(long, value_name = "URL", help_heading = "Page")]
        node: Url,
        /// Folder for the files; it is created if it is missing.
        #[arg(long, value_name = "DIR", help_heading = "Page")]
        out: PathBuf,
    },
    /// Simulate a proposal, and propose it to the governor, or schedule its calls in the manager where there is none.
    ///
    /// Nothing is sent if a call reverts in the simulation, or if an address looks like a recorded one and is another. What
    /// is proposed already is not proposed twice.
    #[command(after_help = help::PROPOSE)]
    Propose {
        /// Proposal: a TOML or JSON file, explained in docs/reference/governance.md.
        file: PathBuf,
        #[command(flatten)]
        deployed: governance::Deployed,
        #[command(flatten)]
        account: governance::Account,
        /// Schedule the calls in the manager as a member of a role, although there is a governor.
        #[arg(long, help_heading = "Proposal")]
        as_member: bool,
        /// Propose although a call reverts in the simulation, because what it needs will be there.
        #[arg(long, help_heading = "Proposal")]
        force: bool,
    },
    /// Show on a local fork what a proposal does: calls, changes, properties before and after, and harms.
    ///
    /// The exit code is 1 if a call reverts.
    #[command(after_help = help::SIMULATE)]
    Simulate {
        /// File of a proposal, number of a proposal, or hash of a scheduled operation.
        #[arg(value_name = "FILE|ID")]
        proposal: String,
        #[command(flatten)]
        deployed: governance::Deployed,
        /// Account that makes the calls; else the governor, or the account that scheduled the operation.
        #[arg(long = "as", value_name = "ADDRESS", help_heading = "Proposal")]
        caller: Option<Address>,
        /// Write the result as one page of HTML, which can be attached to a post.
        #[arg(long, value_name = "FILE", help_heading = "Output")]
        page: Option<PathBuf>,
    },
    /// Vote on a proposal of the governor.
    #[command(after_help = help::VOTE)]
    Vote {
        /// Number of the proposal, or its file.
        #[arg(value_name = "ID|FILE")]
        proposal: String,
        /// How to vote on it.
        support: Support,
        /// Reason that is published with the vote.
        #[arg(long, default_value = "", help_heading = "Proposal")]
        reason: String,
        #[command(flatten)]
        deployed: governance::Deployed,
        #[command(flatten)]
        account: governance::Account,
    },
    /// Queue a proposal that was won: its calls are scheduled in the manager, where depositors can still stop them.
    #[command(after_help = help::QUEUE)]
    Queue {
        /// Number of the proposal, or its file.
        #[arg(value_name = "ID|FILE")]
        proposal: String,
        #[command(flatten)]
        deployed: governance::Deployed,
        #[command(flatten)]
        account: governance::Account,
    },
    /// Execute what is due: one proposal or operation, or all that the account can execute.
    #[command(after_help = help::EXECUTE)]
    Execute {
        /// Number of a proposal, hash of an operation, or a file; else all that is due.
        #[arg(value_name = "ID|FILE")]
        proposal: Option<String>,
        #[command(flatten)]
        deployed: governance::Deployed,
        #[command(flatten)]
        account: governance::Account,
        /// Make a file's calls as a member of a role, although there is a governor.
        #[arg(long, help_heading = "Proposal")]
        as_member: bool,
    },
    /// List proposals and scheduled operations, decoded, with what comes next.
    #[command(after_help = help::PROPOSALS)]
    Proposals {
        #[command(flatten)]
        deployed: governance::Deployed,
        /// List those, too, that are over.
        #[arg(long, help_heading = "Output")]
        all: bool,
    },
    /// Run a pinned tool: anvil, cast, forge or solc.
    ///
    /// The tool is installed if it is missing. It runs in the current folder, with the environment and the standard streams
    /// of this program. All that follows its name is passed on to it.
    #[command(after_help = help::TOOL)]
    Tool {
        /// Name of the tool, and its arguments.
        #[arg(
            value_name = "TOOL",
            required = true,
            num_args = 1..,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        words: Vec<OsString>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// Shell that the script is for.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands to a folder.
    #[command(after_help = help::MAN)]
    Man {
        /// Folder for the pages, one file per command.
        #[arg(long, value_name = "DIR", help_heading = "Output")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// Manifest of the network.
    #[arg(default_value = LOCAL_MANIFEST)]
    manifest: PathBuf,
    /// URL of the node; else `rpc` or `rpc_env` of the manifest, else the environment variable ETH_RPC_URL.
    ///
    /// Prefer an environment variable for a URL with a key, because arguments are visible in the list of processes.
    #[arg(long, value_name = "URL", alias = "rpc", help_heading = "Chain")]
    rpc_url: Option<String>,
    /// Environment variable that holds the node's URL.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "rpc_url", help_heading = "Chain")]
    rpc_env: Option<String>,
    /// Folder of the records; else deployments of the repository, or target/deployments for local chains.
    #[arg(long, value_name = "DIR", help_heading = "Record")]
    records: Option<PathBuf>,
}

/// Runs the program with the arguments of the process.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(Format::Text);
    match Box::pin(run(arguments)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(scrub(&format!("error: {}", with_causes(&error))));
            ExitCode::FAILURE
        }
    }
}

/// Executes a command; returns false if it completed and the chain does not match the manifest.
pub async fn run(arguments: Arguments) -> eyre::Result<bool> {
    let Arguments { command, root, json } = arguments;
    let context = Context { root, json };
    match command {
        Command::Build => commands::build(&context).await,
        Command::Plan { target, offline, safe } => commands::plan(&context, &target, offline, safe.as_deref()).await,
        Command::Apply { target, yes, replace } => commands::apply(&context, &target, yes, replace).await,
        Command::Verify { target, standard_json, etherscan, sourcify } => {
            let mut explorers = Vec::new();
            if let Some(url) = etherscan {
                explorers.push(Explorer::etherscan(url)?);
            }
            explorers.extend(sourcify.map(Explorer::Sourcify));
            commands::verify_all(&context, &target, standard_json.as_deref(), &explorers).await
        }
        Command::Status { target } => commands::status(&context, &target).await,
        Command::Up { manifest, port, page_port, records, exit } => {
            let until = if exit { commands::Until::Deployed } else { commands::Until::Interrupted { page_port } };
            Box::pin(commands::up(&context, &manifest, port, records.as_deref(), until)).await
        }
        Command::Page { record, node, out } => commands::page(&context, &record, &node, &out),
        Command::Propose { file, deployed, account, as_member, force } => {
            governance::propose(&context, &file, &deployed, &account, as_member, force).await
        }
        Command::Simulate { proposal, deployed, caller, page } => {
            governance::simulate(&context, &proposal, &deployed, caller, page.as_deref()).await
        }
        Command::Vote { proposal, support, reason, deployed, account } => {
            governance::vote(&context, &proposal, support, &reason, &deployed, &account).await
        }
        Command::Queue { proposal, deployed, account } => {
            governance::queue(&context, &proposal, &deployed, &account).await
        }
        Command::Execute { proposal, deployed, account, as_member } => {
            governance::execute(&context, proposal.as_deref(), &deployed, &account, as_member).await
        }
        Command::Proposals { deployed, all } => governance::proposals(&context, &deployed, all).await,
        Command::Tool { words } => commands::tool(&context, &words),
        Command::Completions { shell } => write_stdout(&shell::completions(Arguments::command(), shell)),
        Command::Man { out: Some(folder) } => {
            shell::man_pages(Arguments::command(), &folder).wrap_err_with(|| folder.display().to_string())?;
            Ok(true)
        }
        Command::Man { out: None } => write_stdout(&shell::man_page(Arguments::command())?),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::manifest::Manifest;

    fn target(arguments: &[&str]) -> Target {
        let words = [NAME, "plan"].into_iter().chain(arguments.iter().copied());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Plan { target, .. } => target,
            other => panic!("{other:?}"),
        }
    }

    fn manifest(network: &str) -> Manifest {
        let text = format!(
            "[network]\nname = \"a\"\nchain_id = 1\n{network}\n[deployer]\naddress = \"me\"\nkey = {{ anvil = 0 }}\n\
             [owner]\n"
        );
        Manifest::parse(Path::new("a.toml"), text).unwrap()
    }

    #[test]
    fn the_definition_of_the_arguments_is_valid() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_option_takes_precedence_over_the_manifest_under_both_names() {
        let manifest = manifest("rpc = \"http://127.0.0.1:1\"");
        for name in ["--rpc-url", "--rpc"] {
            let endpoint = target(&[name, "http://127.0.0.1:2"]).endpoint(&manifest).unwrap().unwrap();
            assert_eq!(endpoint.to_string(), "http://127.0.0.1:2");
        }
    }

    #[test]
    fn an_endpoint_that_was_named_must_be_valid() {
        let manifest = manifest("rpc_env = \"PLIMSOLL_TEST_UNSET\"");
        for url in ["127.0.0.1:8545", "ftp://127.0.0.1", ""] {
            let error = target(&["--rpc-url", url]).endpoint(&manifest).unwrap_err().to_string();
            assert!(error.starts_with("--rpc-url: an endpoint must "), "{error}");
        }
        let error = target(&["--rpc-env", "PLIMSOLL_TEST_UNSET"]).endpoint(&manifest).unwrap_err().to_string();
        assert!(error.contains("PLIMSOLL_TEST_UNSET is not set"), "{error}");
    }

    #[test]
    fn arguments_of_a_tool_are_passed_on_unread() {
        let words = [NAME, "tool", "cast", "block", "--json", "--help", "--", "-1"];
        let arguments = Arguments::try_parse_from(words).unwrap();
        assert!(!arguments.json);
        let Command::Tool { words: passed } = arguments.command else { panic!("not a tool") };
        assert_eq!(passed, ["cast", "block", "--json", "--help", "--", "-1"].map(OsString::from));
    }

    #[test]
    fn every_shell_completes_commands_and_every_command_has_a_manual_page() {
        for shell in <Shell as clap::ValueEnum>::value_variants() {
            let script = String::from_utf8(shell::completions(Arguments::command(), *shell)).unwrap();
            assert!(["verify", "rpc-url"].iter().all(|word| script.contains(word)), "{shell}");
        }
        let folder = tempfile::tempdir().unwrap();
        shell::man_pages(Arguments::command(), folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("plimsoll-deploy-apply.1")).unwrap();
        assert!(page.contains("Examples:") && page.contains("replace"), "{page}");
    }
}
