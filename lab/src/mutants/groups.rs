//! The groups of contracts: what is mutated, and which tests judge it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use eyre::WrapErr;

/// Contracts and the tests that judge them.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Name, as `--group` takes it.
    pub name: &'static str,
    /// The mutated sources, files or folders in `contracts/src`. A file that a group names is not part of a group that
    /// names its folder.
    pub sources: &'static [&'static str],
    /// Folders in `contracts/test` whose tests are run.
    pub tests: &'static [&'static str],
    /// Files or folders in `contracts` that the tests need besides their own group's and the core.
    pub needs: &'static [&'static str],
    /// Files or folders in `contracts/test` that call the mutated libraries directly. All others compute what they
    /// expect with unmodified libraries.
    pub unit_tests: &'static [&'static str],
}

/// All groups. Every source but the interfaces, which have no code, is in exactly one.
pub static GROUPS: [Group; 10] = [
    Group {
        name: "core",
        sources: &["Plimsoll.sol", "libraries", "types"],
        tests: &["attacks", "core", "libraries", "types"],
        needs: &[],
        unit_tests: &["libraries", "types"],
    },
    Group {
        name: "rewards",
        sources: &["rewards"],
        tests: &["rewards"],
        needs: &[],
        unit_tests: &["rewards/RewardMath.t.sol"],
    },
    Group { name: "backstop", sources: &["backstop"], tests: &["backstop"], needs: &[], unit_tests: &[] },
    Group { name: "oracles", sources: &["oracles"], tests: &["oracles"], needs: &[], unit_tests: &[] },
    Group {
        name: "periphery",
        sources: &["periphery"],
        tests: &["periphery"],
        needs: &[
            "src/guard",
            "src/vault",
            "test/guard/GuardRules.sol",
            "test/guard/GuardTest.sol",
            "test/vault/VaultFixture.sol",
        ],
        unit_tests: &[],
    },
    Group {
        name: "guard",
        sources: &["guard", "libraries/GuardMath.sol"],
        tests: &["guard"],
        needs: &[],
        unit_tests: &["guard/GuardMath.t.sol"],
    },
    Group {
        name: "governance",
        sources: &["governance"],
        tests: &["governance"],
        needs: &["src/backstop", "src/vault", "test/backstop/BackstopTest.sol", "test/vault/VaultFixture.sol"],
        unit_tests: &[],
    },
    Group {
        name: "executor",
        sources: &["executor"],
        tests: &["executor"],
        needs: &["src/periphery/libraries"],
        unit_tests: &[],
    },
    Group { name: "vault", sources: &["vault"], tests: &["vault"], needs: &[], unit_tests: &["vault/Books.t.sol"] },
    Group {
        name: "nodes",
        sources: &["nodes"],
        tests: &["nodes"],
        needs: &["src/rewards", "test/rewards/OddToken.sol", "test/invariants/SeededRandom.sol"],
        unit_tests: &["nodes/StrictSignatures.t.sol"],
    },
];

impl Group {
    /// Returns the group with this name; the error names those that exist.
    pub(super) fn named(name: &str) -> Result<&'static Self, String> {
        let names = || GROUPS.iter().map(|group| group.name).collect::<Vec<_>>().join(", ");
        GROUPS.iter().find(|group| group.name == name).ok_or_else(|| format!("no such group; there are {}", names()))
    }

    /// Returns the paths of the mutated files, from the root of the repository.
    pub(super) fn files(&self, root: &Path) -> eyre::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for source in self.sources {
            files.extend(files_in(root, &format!("contracts/src/{source}"))?);
        }
        let of_others = GROUPS.iter().filter(|group| *group != self).flat_map(|group| group.sources);
        let named: Vec<_> = of_others.map(|source| Path::new("contracts/src").join(source)).collect();
        files.retain(|file| !named.contains(file));
        files.sort();
        Ok(files)
    }

    /// Returns the glob of the tests that are run.
    pub(super) fn test_glob(&self) -> String {
        match self.tests {
            [folder] => format!("contracts/test/{folder}/*"),
            folders => format!("contracts/test/{{{}}}/*", folders.join(",")),
        }
    }
}

/// Returns the paths of the files in a folder, or of the file itself, from the root of the repository.
fn files_in(root: &Path, path: &str) -> eyre::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut left = vec![PathBuf::from(path)];
    while let Some(path) = left.pop() {
        if root.join(&path).is_file() {
            files.push(path);
            continue;
        }
        for entry in fs::read_dir(root.join(&path)).wrap_err_with(|| path.display().to_string())? {
            left.push(path.join(entry?.file_name()));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use plimsoll_testkit::workspace::workspace;

    use super::*;

    #[test]
    fn every_source_with_code_is_in_exactly_one_group() -> eyre::Result<()> {
        let workspace = workspace()?;
        let root = workspace.root();
        let mut expected = files_in(root, "contracts/src")?;
        expected.retain(|file| !file.starts_with("contracts/src/interfaces"));
        expected.sort();
        let mut grouped = Vec::new();
        for group in &GROUPS {
            grouped.extend(group.files(root)?);
        }
        assert_eq!(grouped.len(), grouped.iter().collect::<BTreeSet<_>>().len());
        grouped.sort();
        assert_eq!(grouped, expected);
        Ok(())
    }

    #[test]
    fn the_documentation_lists_the_groups() -> eyre::Result<()> {
        let page = fs::read_to_string(workspace()?.root().join("docs/reference/mutation.md"))?;
        let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        for group in &GROUPS {
            let row = format!("| {} | {} | {} | ", group.name, list(group.sources), list(group.tests));
            assert!(page.contains(&row), "docs/reference/mutation.md has no row {row}");
        }
        Ok(())
    }
}
