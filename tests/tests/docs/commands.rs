//! The commands that the documents name are commands of ours, and take what the documents give them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory, error::ErrorKind};
use eyre::ensure;
use plimsoll_deploy::workspace::Workspace;

use super::{quoted, read};

/// Where documents are, beside the README: folders, and files that explain themselves in comments.
const FOLDERS: [&str; 3] = ["docs", "docs/monitoring", "examples"];
const FILES: [&str; 2] = ["README.md", "keeper.example.toml"];
/// How a command of ours begins, the program it is of, and what it begins with there.
const OPENINGS: [(&str, &str, &str); 9] = [
    ("cargo demo", "lab", "demo"),
    ("cargo lab", "lab", ""),
    ("`lab ", "lab", ""),
    ("cargo run -p plimsoll-deploy -- ", "deploy", ""),
    ("`deploy ", "deploy", ""),
    ("release/deploy ", "deploy", ""),
    ("`keeper ", "keeper", ""),
    ("release/keeper ", "keeper", ""),
    ("bin/keeper ", "keeper", ""),
];
/// What a command ends before.
const ENDINGS: [char; 6] = ['`', '#', '|', '>', '<', '…'];
/// Flags of other people's programs.
const OTHERS: [&str; 2] = ["--allow-paths", "--match-contract"];

#[test]
fn every_command_in_the_documents_is_one_of_ours_and_takes_what_it_is_given() -> eyre::Result<()> {
    let (mut wrong, mut found) = (Vec::new(), 0);
    for (file, text) in documents()? {
        for line in text.lines() {
            for (opening, program, first) in OPENINGS {
                for rest in line.split(opening).skip(1) {
                    let rest = rest.split(ENDINGS).next().unwrap_or_default();
                    let words = [program].into_iter().chain(first.split(' ')).chain(rest.split(' '));
                    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
                    // With a path behind it, it is a file that is spoken of.
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
fn every_flag_in_the_documents_is_one_of_ours() -> eyre::Result<()> {
    let programs = programs();
    let known = |flag: &str| OTHERS.contains(&flag) || programs.iter().any(|program| takes(program, flag));
    let mut wrong = Vec::new();
    for (file, text) in documents()?.into_iter().filter(|(file, _)| file.extension().is_some_and(|name| name == "md")) {
        for flags in quoted(&text).filter(|text| text.starts_with("--")) {
            let flags = flags.split([' ', '=']).filter(|word| word.starts_with("--"));
            wrong.extend(flags.filter(|flag| !known(flag)).map(|flag| format!("{flag} in {}", file.display())));
        }
    }
    ensure!(wrong.is_empty(), "documents name flags that do not exist: {wrong:#?}");
    Ok(())
}

fn programs() -> [Command; 3] {
    [
        plimsoll_lab::cli::Arguments::command(),
        plimsoll_deploy::cli::Arguments::command(),
        plimsoll_keeper::cli::Arguments::command(),
    ]
}

/// Why a program refuses these words. A name alone may leave out what the command needs, and `N` may stand for a number.
fn refusal(program: &str, words: &[&str]) -> Option<String> {
    let command = programs().into_iter().find(|command| command.get_name() == program)?;
    let error = command.try_get_matches_from(words).err()?;
    let name_alone = words.len() == 2;
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::MissingRequiredArgument if name_alone => None,
        _ => Some(error.to_string()),
    }
}

/// Whether a program has a flag, anywhere.
fn takes(program: &Command, flag: &str) -> bool {
    let own = program.get_arguments().filter_map(|argument| argument.get_long());
    flag == "--help"
        || own.into_iter().any(|long| flag.strip_prefix("--") == Some(long))
        || program.get_subcommands().any(|command| takes(command, flag))
}

fn documents() -> eyre::Result<Vec<(PathBuf, String)>> {
    let root = Workspace::find()?.root().to_path_buf();
    let mut files: Vec<_> = FILES.iter().map(|file| root.join(file)).collect();
    for folder in FOLDERS {
        for entry in fs::read_dir(root.join(folder))? {
            files.push(entry?.path());
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
