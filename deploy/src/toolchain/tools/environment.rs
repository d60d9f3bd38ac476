//! Environment variables as a value, so that a test can try a machine without Node.js while other tests run.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// Variables that child processes need: to find programs, folders, a language, and the registries of packages through a
/// proxy.
const PASSED_ON: [&str; 36] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TMP",
    "TEMP",
    "TZ",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "SYSTEMROOT",
    "NO_COLOR",
    "NODE_OPTIONS",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "npm_config_registry",
    "npm_config_cache",
    "npm_config_cafile",
    "npm_config_userconfig",
    "PIP_INDEX_URL",
    "PIP_CONFIG_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
];

/// Variables that the compiler needs. They stand on a command line, which everybody on the machine can read, so a proxy's
/// URL with a password is not among them.
const PASSED_TO_COMPILER: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LANG", "NODE_OPTIONS"];

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

    /// Returns the variables that a child process gets. Everything else – keys, passwords, endpoints – is none of its
    /// business: the compiler and npm run code of third parties.
    pub fn for_children(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables().filter(|(name, _)| name.to_str().is_some_and(|name| PASSED_ON.contains(&name)))
    }

    /// Returns the arguments of `env` that run a program with nothing but the variables that the compiler needs.
    pub(super) fn only_compilers(&self, program: &Path) -> Vec<String> {
        let set = PASSED_TO_COMPILER.iter().filter_map(|name| Some(format!("{name}={}", self.get(name)?.to_str()?)));
        ["-i".to_owned()].into_iter().chain(set).chain([program.display().to_string()]).collect()
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}
