//! Environment variables as a value, so that a test can try a machine without Node.js while other tests run.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// Environment variables for finding and running tools. `Debug` shows only their names, because values may be secrets.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// Returns the variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self { variables: env::vars_os().collect() }
    }

    /// Returns the variables with one of them set.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Returns the variables without one of them.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(OsStr::new(name));
        self
    }

    /// Returns the value of a variable; `None` if it is unset or empty.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns the first executable of that name on the `PATH`.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        let path = self.get("PATH")?;
        env::split_paths(path).map(|folder| folder.join(program)).find(|candidate| is_executable(candidate))
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    pub(super) fn without_prefixes(&self, prefixes: &[&str]) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables()
            .filter(|(name, _)| !prefixes.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes())))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(unix)]
fn is_executable(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &std::path::Path) -> bool {
    path.is_file()
}
