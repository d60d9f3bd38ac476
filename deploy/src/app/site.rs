//! The files of the page, for one deployment and one node.

use std::{collections::BTreeMap, fs, io, path::Path, process::Stdio};

use plimsoll_contracts::deployment::Deployment;
use serde::Serialize;
use url::Url;

use crate::toolchain::{
    scratch::ScratchFolder,
    tools::{ToolError, Tools},
};

/// The folder of the page's sources in the repository.
const SOURCES: &str = "app";
/// The bundler, in the repository.
const BUNDLER: &str = "node_modules/esbuild/bin/esbuild";
/// What is bundled: the script with all that it imports, and the stylesheet.
const ENTRIES: [&str; 2] = ["app/src/main.tsx", "app/src/style.css"];
/// Arguments of the bundler. Modules that only some visitors need become files of their own.
///
/// Functions of viem that nothing here uses import one file on demand; for that alone the bundler would keep it, and all that it
/// needs.
const BUNDLER_ARGUMENTS: [&str; 9] = [
    "--bundle",
    "--splitting",
    "--format=esm",
    "--minify",
    "--target=es2022",
    "--jsx=automatic",
    "--jsx-import-source=preact",
    "--external:*../utils/ccip.js",
    "--log-level=warning",
];
/// Files that are served as they are.
const PLAIN_FILES: [&str; 1] = ["icon.svg"];
const INDEX: &str = "index.html";
const CONFIG: &str = "config.json";
/// What `index.html` has in place of the node's origin, in its content security policy.
const NODE_PLACEHOLDER: &str = "{node}";

/// Why the page cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Node.js or the packages are missing.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The bundler found an error in the sources.
    #[error("the page could not be bundled:\n{0}")]
    Bundler(String),
    /// The address of the node cannot be named in a content security policy.
    #[error("the page connects to a node by http or https, not by {0}")]
    Scheme(String),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Path of the file or folder.
        path: String,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl AppError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }
}

/// What the page reads first.
#[derive(Serialize)]
struct Config<'a> {
    rpc: &'a str,
    local: bool,
    deployment: &'a Deployment,
}

/// The page's files by name.
#[derive(Debug, Clone)]
pub struct Site {
    files: BTreeMap<String, Vec<u8>>,
}

impl Site {
    /// Builds the page for a deployment. `node` is the URL that visitors' browsers use, so it is public and has no key;
    /// the page contacts no other host. On a `local` chain the page offers a wallet with play money.
    ///
    /// # Errors
    /// When the sources cannot be bundled, or the node's URL is not of http or https.
    pub fn build(tools: &Tools, deployment: &Deployment, node: &Url, local: bool) -> Result<Self, AppError> {
        if !matches!(node.scheme(), "http" | "https") {
            return Err(AppError::Scheme(node.scheme().to_owned()));
        }
        let mut files = bundle(tools)?;
        let sources = tools.workspace().root().join(SOURCES);
        for name in PLAIN_FILES {
            let path = sources.join(name);
            files.insert(name.to_owned(), fs::read(&path).map_err(AppError::io(&path))?);
        }
        let path = sources.join(INDEX);
        let index = fs::read_to_string(&path).map_err(AppError::io(&path))?;
        let origin = node.origin().ascii_serialization();
        files.insert(INDEX.to_owned(), index.replace(NODE_PLACEHOLDER, &origin).into_bytes());
        let config = Config { rpc: node.as_str(), local, deployment };
        let config = serde_json::to_vec(&config).map_err(|error| AppError::io(Path::new(CONFIG))(error.into()))?;
        files.insert(CONFIG.to_owned(), config);
        Ok(Self { files })
    }

    /// Returns a file by its path in a URL, `/` being the page itself, with its media type.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<(&'static str, &[u8])> {
        let name = path.strip_prefix('/').unwrap_or(path);
        let name = if name.is_empty() { INDEX } else { name };
        Some((media_type(name), self.files.get(name)?))
    }

    /// Returns the names and contents of all files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, content)| (name.as_str(), content.as_slice()))
    }

    /// Writes the files to a folder, for any host of static files.
    ///
    /// # Errors
    /// When the folder cannot be created or a file not written.
    pub fn write(&self, folder: &Path) -> Result<(), AppError> {
        fs::create_dir_all(folder).map_err(AppError::io(folder))?;
        for (name, content) in &self.files {
            let path = folder.join(name);
            fs::write(&path, content).map_err(AppError::io(&path))?;
        }
        Ok(())
    }
}

/// Runs the bundler and returns the files that it wrote.
fn bundle(tools: &Tools) -> Result<BTreeMap<String, Vec<u8>>, AppError> {
    let scratch = ScratchFolder::new("plimsoll-app-").map_err(AppError::io(Path::new("a temporary folder")))?;
    let output = tools
        .node_script(BUNDLER)?
        .args(ENTRIES)
        .args(BUNDLER_ARGUMENTS)
        .arg(format!("--outdir={}", scratch.path().display()))
        .stderr(Stdio::piped())
        .output()
        .map_err(AppError::io(Path::new(BUNDLER)))?;
    if !output.status.success() {
        return Err(AppError::Bundler(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let folder = scratch.path();
    let entries =
        fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(AppError::io(folder))?;
    let read = |entry: fs::DirEntry| {
        let content = fs::read(entry.path()).map_err(AppError::io(&entry.path()))?;
        Ok((entry.file_name().to_string_lossy().into_owned(), content))
    };
    entries.into_iter().map(read).collect()
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
