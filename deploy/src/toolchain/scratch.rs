//! Temporary folders that do not outlive their process, however it ends.

use std::{
    io,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Waits until its stdin ends, and then removes the folder that is its argument. Programs that were writing there end
/// at the same time, so a first attempt may fail. Signals that a terminal sends to all its processes are ignored.
const WATCHER: &str = "trap '' HUP INT TERM; read -r _; rm -rf -- \"$1\" || { sleep 1; rm -rf -- \"$1\"; }";

/// A temporary folder that is removed when it is dropped, and also when this process is killed by a signal, even
/// SIGKILL.
///
/// Destructors do not run when a process is killed. A shell is therefore started along with the folder, which reads
/// from a pipe of this process: the operating system closes the pipe whenever the process ends, and the shell removes
/// the folder.
#[derive(Debug)]
pub struct ScratchFolder {
    // Removed before the watcher ends, which then finds nothing to remove.
    folder: TempDir,
    _watcher: Watcher,
}

/// The shell. Dropping it ends it.
#[derive(Debug)]
struct Watcher(Child);

impl ScratchFolder {
    /// Creates a folder in the system's temporary folder, with a name that begins with `prefix`.
    ///
    /// # Errors
    /// When the folder cannot be created, or `sh` cannot be started.
    pub fn new(prefix: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCHER, "sh"]).arg(folder.path());
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { _watcher: Watcher(shell.spawn()?), folder })
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Closes the pipe. Waiting fails only where the shell has been killed.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_dropped_folder_is_gone_and_so_is_its_shell() {
        let scratch = ScratchFolder::new("plimsoll-scratch-test-").unwrap();
        let (path, shell) = (scratch.path().to_path_buf(), scratch._watcher.0.id());
        fs::write(path.join("file"), "content").unwrap();
        drop(scratch);
        assert!(!path.exists() && !Path::new(&format!("/proc/{shell}")).exists());
    }
}
