//! Shell completions and manual pages, generated from the definition of the arguments.

use std::{fs, io, path::Path};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Arguments, NAME};

/// Returns the completion script for a shell.
pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut script);
    script
}

/// Returns the manual page of the program, in roff.
pub(super) fn man_page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(Arguments::command().disable_help_subcommand(true)).render(&mut page)?;
    Ok(page)
}

/// Writes the manual pages of the program and of each command to a folder, which is created if it does not exist.
pub(super) fn man_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_completes_commands_and_options() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            for word in [NAME, "positions", "below", "rpc-url"] {
                assert!(script.contains(word), "{shell}: {word} is missing");
            }
        }
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = tempfile::tempdir().unwrap();
        man_pages(&folder.path().join("man1")).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
        assert!(page("plimsoll-keeper.1").contains("Examples:"));
        assert!(page("plimsoll-keeper-positions.1").contains("HEALTH"));
        assert_eq!(page("plimsoll-keeper.1"), String::from_utf8(man_page().unwrap()).unwrap());
    }
}
