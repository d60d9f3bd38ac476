//! Every command that the documents name exists and takes the arguments that the documents give it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory, error::ErrorKind};
use eyre::ensure;
use plimsoll_testkit::workspace::workspace;

use super::{quoted, read};

/// Folders with documents at any depth, and files that explain themselves in comments.
const FOLDERS: [&str; 2] = ["docs", "examples"];
const FILES: [&str; 3] = ["README.md", "CONTRIBUTING.md", "keeper.example.toml"];
/// The words that a command begins with in a document, its program, and the first argument that they stand for.
const OPENINGS: [(&str, Program, &str); 16] = [
    ("cargo demo", Program::Lab, "demo"),
    ("cargo lab", Program::Lab, ""),
    ("`lab ", Program::Lab, ""),
    ("plimsoll-lab ", Program::Lab, ""),
    ("cargo run -p plimsoll-deploy -- ", Program::Deploy, ""),
    ("cargo deploy ", Program::Deploy, ""),
    ("`deploy ", Program::Deploy, ""),
    ("release/deploy ", Program::Deploy, ""),
    ("`plimsoll-deploy ", Program::Deploy, ""),
    ("release/plimsoll-deploy ", Program::Deploy, ""),
    ("cargo keeper ", Program::Keeper, ""),
    ("`keeper ", Program::Keeper, ""),
    ("release/plimsoll-keeper ", Program::Keeper, ""),
    ("`plimsoll-keeper ", Program::Keeper, ""),
    ("bin/keeper ", Program::Keeper, ""),
    ("bin/plimsoll-keeper ", Program::Keeper, ""),
];
/// Describes the node daemon, whose own tests compare it with that program: it is another workspace.
const OF_THE_DAEMON: &str = "docs/reference/node-daemon.md";
/// Characters that end a command.
const ENDINGS: [char; 6] = ['`', '#', '|', '>', '<', '…'];
/// Flags of programs that are not ours, and those that clap adds.
const OTHERS: [&str; 6] = ["--account", "--allow-paths", "--ledger", "--match-contract", "--unlocked", "--version"];

#[test]
fn every_command_in_the_documents_exists_and_takes_its_arguments() -> eyre::Result<()> {
    let (mut wrong, mut found) = (Vec::new(), 0);
    for (file, text) in documents()? {
        for line in text.lines() {
            for (opening, program, first) in OPENINGS {
                for rest in line.split(opening).skip(1) {
                    let rest = rest.split(ENDINGS).next().unwrap_or_default();
                    let words = ["program"].into_iter().chain(first.split(' ')).chain(rest.split(' '));
                    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
                    // Where a path follows, the text is about a file.
                    if words.get(1).is_some_and(|word| !word.starts_with('/')) {
                        found += 1;
                        wrong.extend(refusal(program, &words).map(|why| format!("{}: {line}\n{why}", file.display())));
                    }
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "documents name commands that do not work:\n{}", wrong.join("\n"));
    ensure!(found > 20, "only {found} commands were found");
    Ok(())
}

#[test]
fn every_flag_in_the_documents_exists() -> eyre::Result<()> {
    let programs = Program::ALL.map(Program::command);
    let known = |flag: &str| OTHERS.contains(&flag) || programs.iter().any(|program| takes(program, flag));
    let mut wrong = Vec::new();
    let ours = documents()?
        .into_iter()
        .filter(|(file, _)| file.extension().is_some_and(|name| name == "md") && file != Path::new(OF_THE_DAEMON));
    for (file, text) in ours {
        for flags in quoted(&text).filter(|text| text.starts_with("--")) {
            let flags = flags.split([' ', '=']).filter(|word| word.starts_with("--"));
            wrong.extend(flags.filter(|flag| !known(flag)).map(|flag| format!("{flag} in {}", file.display())));
        }
    }
    ensure!(wrong.is_empty(), "documents name flags that do not exist: {wrong:#?}");
    Ok(())
}

/// A program of this repository.
#[derive(Debug, Clone, Copy)]
enum Program {
    Lab,
    Deploy,
    Keeper,
}

impl Program {
    const ALL: [Self; 3] = [Self::Lab, Self::Deploy, Self::Keeper];

    fn command(self) -> Command {
        match self {
            Self::Lab => plimsoll_lab::cli::Arguments::command(),
            Self::Deploy => plimsoll_deploy::cli::Arguments::command(),
            Self::Keeper => plimsoll_keeper::cli::Arguments::command(),
        }
    }
}

/// Returns why a program refuses these words. A subcommand without arguments is the mention of a name, and may leave
/// out required ones; a value such as `N` is a placeholder.
fn refusal(program: Program, words: &[&str]) -> Option<String> {
    let error = program.command().try_get_matches_from(words).err()?;
    let name_alone = words.len() == 2;
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::MissingRequiredArgument if name_alone => None,
        _ => Some(error.to_string()),
    }
}

/// Returns whether a program or one of its subcommands has a flag.
fn takes(program: &Command, flag: &str) -> bool {
    let own = program.get_arguments().filter_map(|argument| argument.get_long());
    flag == "--help"
        || own.into_iter().any(|long| flag.strip_prefix("--") == Some(long))
        || program.get_subcommands().any(|command| takes(command, flag))
}

/// Every document and commented example, by its path from the root.
pub(super) fn documents() -> eyre::Result<Vec<(PathBuf, String)>> {
    let root = workspace()?.root().to_path_buf();
    let mut files: Vec<_> = FILES.iter().map(|file| root.join(file)).collect();
    let mut folders = FOLDERS.map(|folder| root.join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let texts = files.into_iter().filter(|file| is_text(file)).map(|file| {
        let text = read(&file)?;
        let name = file.strip_prefix(&root)?.to_path_buf();
        Ok((name, text))
    });
    texts.collect()
}

fn is_text(file: &Path) -> bool {
    file.extension().and_then(|name| name.to_str()).is_some_and(|name| ["md", "toml"].contains(&name))
}
