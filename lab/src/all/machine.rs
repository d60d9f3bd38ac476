//! The machine and the versions that figures were measured with. Facts that the system does not report are left out.

use std::{
    collections::BTreeMap,
    fmt, fs,
    process::{Command, Stdio},
    thread::available_parallelism,
};

use plimsoll_deploy::toolchain::tools::{Tool, Tools};
use plimsoll_testkit::workspace::workspace;
use serde::Serialize;

/// The machine and the versions on it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The operating system.
    pub system: Option<String>,
    /// The model of the processor.
    pub processor: Option<String>,
    /// How many threads it runs in parallel.
    pub cores: Option<usize>,
    /// Its memory, in MiB.
    pub memory_mib: Option<u64>,
    /// The commit that was measured.
    pub commit: Option<String>,
    /// Whether files differed from that commit.
    pub changed: Option<bool>,
    /// Whether the build was optimised; if not, times and memory mean nothing.
    pub optimised: bool,
    /// The versions of the tools, by name.
    pub tools: BTreeMap<String, String>,
}

impl Machine {
    /// Describes this machine.
    ///
    /// # Errors
    /// When the pinned tools are missing and cannot be installed.
    pub fn this() -> eyre::Result<Self> {
        let workspace = workspace()?;
        let pinned = Tools::ready(&workspace)?;
        let mut tools: BTreeMap<_, _> =
            Tool::ALL.map(|tool| (tool.to_string(), pinned.pinned_version(tool).to_string())).into();
        for program in ["rustc", "node"] {
            tools.extend(said(program, &["--version"]).map(|version| (program.to_owned(), version)));
        }
        let git = |arguments: [&str; 2]| {
            let root = workspace.root().display().to_string();
            said("git", &[&["-C", &root][..], &arguments].concat())
        };
        Ok(Self {
            system: said("uname", &["-srm"]),
            processor: entry("/proc/cpuinfo", "model name"),
            cores: available_parallelism().ok().map(Into::into),
            memory_mib: memory_mib(),
            commit: git(["rev-parse", "HEAD"]),
            changed: git(["status", "--porcelain"]).map(|changes| !changes.is_empty()),
            optimised: !cfg!(debug_assertions),
            tools,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = || "unknown".to_owned();
        let text = |fact: &Option<String>| fact.clone().unwrap_or_else(unknown);
        writeln!(f, "system      {}", text(&self.system))?;
        writeln!(f, "processor   {}", text(&self.processor))?;
        writeln!(f, "cores       {}", self.cores.map_or_else(unknown, |cores| cores.to_string()))?;
        writeln!(f, "memory      {}", self.memory_mib.map_or_else(unknown, |size| format!("{size} MiB")))?;
        let changed = if self.changed == Some(true) { ", and changes" } else { "" };
        writeln!(f, "commit      {}{changed}", text(&self.commit))?;
        writeln!(f, "optimised   {}", if self.optimised { "yes" } else { "no: times and memory mean nothing" })
    }
}

/// Returns the system's time, in UTC.
pub(super) fn now() -> Option<String> {
    said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])
}

fn memory_mib() -> Option<u64> {
    let kibibytes: u64 = entry("/proc/meminfo", "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes / 1_024)
}

/// Returns the value of an entry in one of Linux's files under `/proc`.
fn entry(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_the_system_does_not_report_are_left_out() {
        assert_eq!(said("no-such-program", &[]), None);
        assert_eq!(said("false", &[]), None);
        assert_eq!(said("echo", &[" told "]), Some("told".to_owned()));
        assert_eq!(entry("/no/such/file", "model name"), None);
        assert_eq!(entry("/proc/meminfo", "NoSuchEntry"), None);
    }
}
