//! Shell completions and manual pages of a program, generated from the definition of its arguments.

use std::{fs, io, path::Path};

use clap::Command;
pub use clap_complete::Shell;
use clap_mangen::Man;

/// Returns the completion script of a program for a shell.
#[must_use]
pub fn completions(mut program: Command, shell: Shell) -> Vec<u8> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    script
}

/// Returns the manual page of a program, in roff.
pub fn man_page(program: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(program.disable_help_subcommand(true)).render(&mut page)?;
    Ok(page)
}

/// Writes the manual pages of a program and of each of its commands to a folder, which is created if it does not exist.
pub fn man_pages(program: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(program, folder)
}
