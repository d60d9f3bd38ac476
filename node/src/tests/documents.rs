//! The daemon's reference names flags that exist.

use std::{fs, path::Path};

use clap::{Command, CommandFactory};

use crate::Cli;

#[test]
fn every_flag_in_the_reference_exists() -> eyre::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/node-daemon.md");
    let text = fs::read_to_string(file)?;
    let program = Cli::command();
    let flags: Vec<_> = text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.strip_prefix("--")).collect();
    let wrong: Vec<_> = flags
        .iter()
        .map(|flag| flag.split([' ', '=']).next().unwrap_or_default())
        .filter(|flag| !takes(&program, flag))
        .collect();
    eyre::ensure!(wrong.is_empty(), "the reference names flags that do not exist: {wrong:?}");
    eyre::ensure!(flags.len() > 4, "only {} flags were found", flags.len());
    Ok(())
}

/// Returns whether a program or one of its subcommands has a flag.
fn takes(program: &Command, flag: &str) -> bool {
    program.get_arguments().any(|argument| argument.get_long() == Some(flag))
        || program.get_subcommands().any(|command| takes(command, flag))
}
