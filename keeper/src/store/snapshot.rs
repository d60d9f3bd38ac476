//! Snapshots of the checkpoints: one file, from which a keeper of the same deployment starts without reading the chain's
//! history.
//!
//! A snapshot is two lines of text and the files that the second one lists, one after another. The first line has the
//! digest of the second, which has the length and the digest of each file. So a snapshot that was cut off or altered is
//! refused before anything in the store is changed. The digests protect against damage, and not against a forger: what a
//! snapshot says is compared with the chain besides, by the command that imports it.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use alloy::{hex, primitives::B256};
use plimsoll_protocols::Deployment;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    CheckpointTip, Identity, Image, StoreError,
    checkpoint::{self, tip},
    database::{Database, FileKind, Match, set_aside, with_suffix},
    folder::Folder,
};

/// Beginning of a snapshot's first line, before the digest of the second: the format and its version.
const MAGIC: &str = "plimsoll-keeper snapshot 1 ";
/// Beginning of the first line in any version.
const ANY_MAGIC: &str = "plimsoll-keeper snapshot ";
/// Beginning of a database, which is what keepers exported before there were digests.
const SQLITE_MAGIC: &str = "SQLite format 3";
/// Maximum length of a snapshot's first two lines together.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// Number of bytes that are copied at once.
const CHUNK_BYTES: usize = 1 << 16;

/// A checkpoint that a snapshot can have.
#[derive(Debug, Clone, Copy)]
pub enum Checkpointed<'a> {
    /// Checkpoint of the book.
    Book,
    /// Checkpoint of another protocol.
    Protocol(&'a Deployment),
}

/// What was exported.
#[derive(Debug, Default)]
pub struct Exported {
    /// Names of the checkpoints, and the blocks that they are of.
    pub tips: Vec<(String, CheckpointTip)>,
    /// Names of the checkpoints that were wanted and do not exist yet.
    pub missing: Vec<String>,
}

/// The files of a snapshot: its second line.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    files: Vec<FileEntry>,
}

/// A file in a snapshot.
#[derive(Debug, Serialize, Deserialize)]
struct FileEntry {
    /// Name of the file in the store's folder.
    name: String,
    /// Its length.
    bytes: u64,
    /// SHA-256 of its contents.
    sha256: B256,
}

impl Checkpointed<'_> {
    /// Returns what the checkpoint is called in text.
    fn name(self) -> String {
        match self {
            Self::Book => "the book".to_owned(),
            Self::Protocol(Deployment { protocol, address, .. }) => format!("{protocol} at {address}"),
        }
    }

    /// Returns the name of the checkpoint's file in the store's folder.
    fn file(self) -> String {
        match self {
            Self::Book => checkpoint::KIND.name.to_owned(),
            Self::Protocol(deployment) => checkpoint::protocol_file(deployment),
        }
    }

    const fn kind(self) -> &'static FileKind {
        match self {
            Self::Book => &checkpoint::KIND,
            Self::Protocol(_) => &checkpoint::PROTOCOL,
        }
    }
}

/// Writes the checkpoints in a folder to a new file, also while a keeper uses the folder. Fails if the book is wanted and
/// has no checkpoint, if there is none at all, or if the file is there already.
pub fn export(folder: &Path, wanted: &[Checkpointed<'_>], to: &Path) -> Result<Exported, StoreError> {
    if to.try_exists().map_err(StoreError::io(to))? {
        return Err(StoreError::Exists { path: to.to_path_buf() });
    }
    // The file appears under its name when it is complete. Where it cannot be written, that is said first.
    let part = Removed(with_suffix(to, ".part"));
    let mut out = File::create(&part.0).map_err(|source| StoreError::Unwritable { path: to.to_path_buf(), source })?;
    let mut exported = Exported::default();
    let (mut manifest, mut copies) = (Manifest::default(), Vec::new());
    for (at, part) in wanted.iter().enumerate() {
        let name = part.file();
        let copy = Removed(with_suffix(to, &format!(".{at}")));
        match copy_checkpoint(&folder.join(&name), part.kind(), &copy.0)? {
            Some(tip) => {
                let (bytes, sha256) = digest_of(&copy.0)?;
                manifest.files.push(FileEntry { name, bytes, sha256 });
                exported.tips.push((part.name(), tip));
                copies.push(copy);
            }
            None if matches!(part, Checkpointed::Book) => {
                return Err(StoreError::NoCheckpoint { path: folder.join(name) });
            }
            None => exported.missing.push(part.name()),
        }
    }
    if copies.is_empty() {
        return Err(StoreError::NoCheckpoint { path: folder.to_path_buf() });
    }
    write(&mut out, &manifest, &copies).map_err(StoreError::io(&part.0))?;
    fs::rename(&part.0, to).map_err(StoreError::io(to))?;
    Ok(exported)
}

/// Copies a checkpoint as of its last commit. Returns the block that it is of; `None` if there is none.
fn copy_checkpoint(from: &Path, kind: &FileKind, to: &Path) -> Result<Option<CheckpointTip>, StoreError> {
    if !from.try_exists().map_err(StoreError::io(from))? {
        return Ok(None);
    }
    remove(to);
    let error = |source| StoreError::sqlite(from, kind.remedy, source);
    let connection = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(error)?;
    let copied = connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]);
    copied.map_err(|source| match error(source) {
        // Of all else that fails, the copy is the reason: above all a full disk.
        StoreError::Sqlite { source, .. } => StoreError::Sqlite { path: to.to_path_buf(), source },
        damaged => damaged,
    })?;
    let copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(error)?;
    tip(&copy).map_err(error)
}

fn write(to: &mut File, manifest: &Manifest, copies: &[Removed]) -> io::Result<()> {
    let mut out = BufWriter::new(to);
    let list = serde_json::to_string(manifest)?;
    let digest = B256::new(Sha256::digest(&list).into());
    writeln!(out, "{MAGIC}{}\n{list}", hex::encode(digest))?;
    for copy in copies {
        io::copy(&mut File::open(&copy.0)?, &mut out)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn digest_of(path: &Path) -> Result<(u64, B256), StoreError> {
    let mut file = File::open(path).map_err(StoreError::io(path))?;
    let length = file.metadata().map_err(StoreError::io(path))?.len();
    let digest = copy_bytes(&mut file, length, &mut io::sink()).map_err(StoreError::io(path))?;
    Ok((length, digest))
}

/// Copies so many bytes, and returns their SHA-256. Fails if there are fewer.
fn copy_bytes(from: &mut impl Read, bytes: u64, to: &mut impl Write) -> io::Result<B256> {
    let (mut hasher, mut left, mut buffer) = (Sha256::new(), bytes, vec![0; CHUNK_BYTES]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = from.read(buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = buffer.get(..read).unwrap_or_default();
        hasher.update(read);
        to.write_all(read)?;
        left = left.saturating_sub(u64::try_from(read.len()).unwrap_or(u64::MAX));
    }
    Ok(B256::new(hasher.finalize().into()))
}

/// A snapshot that was found whole and of this deployment, and is not in use yet. Dropped, it leaves the store unchanged.
#[derive(Debug)]
pub struct SnapshotImport {
    parts: Vec<ImportPart>,
    /// Files of the snapshot that are not wanted.
    left_out: Vec<String>,
    folder: Folder,
}

/// A checkpoint that is to be put in the place of the store's.
#[derive(Debug)]
pub struct ImportPart {
    /// What the checkpoint is called in text.
    pub name: String,
    /// The deployment of another protocol; `None` of the book.
    pub protocol: Option<Deployment>,
    /// The block that the checkpoint is of.
    pub tip: CheckpointTip,
    file: String,
    /// Closed before its file, the copy in the store's folder, is moved or removed.
    database: Database,
    copy: Removed,
}

impl SnapshotImport {
    /// Copies the wanted checkpoints of a snapshot into the folder, which no keeper may use meanwhile, and checks them.
    /// Fails if the file is cut off, altered or damaged, of another version, another chain or another deployment, or if
    /// it has none of these.
    pub fn open(
        folder: &Path,
        identity: &Identity,
        wanted: &[Checkpointed<'_>],
        from: &Path,
    ) -> Result<Self, StoreError> {
        let refused = |cause: String| StoreError::NoSnapshot { path: from.to_path_buf(), cause };
        let mut file = BufReader::new(File::open(from).map_err(StoreError::io(from))?);
        let manifest = read_manifest(&mut file).map_err(StoreError::io(from))?.map_err(refused)?;
        ensure_length(&mut file, &manifest).map_err(StoreError::io(from))?.map_err(refused)?;

        let folder = Folder::lock(folder)?;
        let mut import = Self { parts: Vec::new(), left_out: Vec::new(), folder };
        for FileEntry { name, bytes, sha256 } in manifest.files {
            let part = wanted.iter().find(|part| part.file() == name);
            // Only a known name becomes that of a file.
            let Some(part) = part else {
                let read = copy_bytes(&mut file, bytes, &mut io::sink()).map_err(StoreError::io(from))?;
                ensure_digest(&name, read, sha256).map_err(refused)?;
                import.left_out.push(name);
                continue;
            };
            let copy = Removed(import.folder.file(&format!("{name}.import")));
            remove(&copy.0);
            let mut to = File::create(&copy.0).map_err(StoreError::io(&copy.0))?;
            let read = copy_bytes(&mut file, bytes, &mut to).map_err(StoreError::io(&copy.0))?;
            ensure_digest(&name, read, sha256).map_err(refused)?;
            to.sync_all().map_err(StoreError::io(&copy.0))?;
            import.parts.push(ImportPart::open(*part, identity, copy).map_err(|error| of_snapshot(error, from))?);
        }
        if import.parts.is_empty() {
            return Err(refused(format!(
                "it has nothing that this configuration follows: {}",
                import.left_out.join(", ")
            )));
        }
        Ok(import)
    }

    /// The checkpoints that are to be imported.
    #[must_use]
    pub fn parts(&self) -> &[ImportPart] {
        &self.parts
    }

    /// Names of the files in the snapshot that the configuration does not follow.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Puts every checkpoint in the place of the store's, which is kept under the same name with `.old`.
    pub fn commit(self) -> Result<(), StoreError> {
        for ImportPart { file, database, copy, .. } in self.parts {
            drop(database);
            File::open(&copy.0).and_then(|file| file.sync_all()).map_err(StoreError::io(&copy.0))?;
            let place = self.folder.file(&file);
            set_aside(&place)?;
            fs::rename(&copy.0, &place).map_err(StoreError::io(&place))?;
        }
        let folder = self.folder.file(".");
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(&folder))
    }
}

impl ImportPart {
    fn open(part: Checkpointed<'_>, identity: &Identity, copy: Removed) -> Result<Self, StoreError> {
        let of_protocol = |deployment| identity.of_protocol(deployment);
        let (identity, protocol) = match part {
            Checkpointed::Book => (*identity, None),
            Checkpointed::Protocol(deployment) => (of_protocol(deployment), Some(deployment.clone())),
        };
        let database = Database::open(&copy.0, part.kind(), &identity, Match::Deployment)?;
        let tip = tip(&database.connection).map_err(|error| database.error(error))?;
        let tip = tip.ok_or_else(|| StoreError::NoCheckpoint { path: copy.0.clone() })?;
        Ok(Self { name: part.name(), protocol, tip, file: part.file(), database, copy })
    }

    /// Passes all rows, by key, to `restore`.
    pub fn restore<T>(&self, restore: impl FnOnce(&mut dyn Iterator<Item = Image>) -> T) -> Result<T, StoreError> {
        checkpoint::read(&self.database.connection, restore).map_err(|error| self.database.error(error))
    }
}

/// Reads the first two lines of a snapshot; the inner error says why they are not those of one.
fn read_manifest(file: &mut impl BufRead) -> io::Result<Result<Manifest, String>> {
    let mut lines = file.take(MAX_HEADER_BYTES);
    let (mut first, mut list) = (Vec::new(), Vec::new());
    lines.read_until(b'\n', &mut first)?;
    let first = String::from_utf8_lossy(&first);
    let Some(digest) = first.strip_prefix(MAGIC) else {
        return Ok(Err(if first.starts_with(SQLITE_MAGIC) {
            "it carries no digest: an older keeper wrote it".to_owned()
        } else if first.starts_with(ANY_MAGIC) {
            "it is of another version of the format".to_owned()
        } else {
            "it does not begin as one".to_owned()
        }));
    };
    lines.read_until(b'\n', &mut list)?;
    if list.pop() != Some(b'\n') {
        return Ok(Err("it is cut off in its list of files".to_owned()));
    }
    if digest.trim_end() != hex::encode(Sha256::digest(&list)) {
        return Ok(Err("its list of files was altered: the digest is another".to_owned()));
    }
    Ok(serde_json::from_slice(&list).map_err(|error| format!("its list of files cannot be read: {error}")))
}

/// Compares the length of what follows the list of files with the list.
fn ensure_length(file: &mut BufReader<File>, manifest: &Manifest) -> io::Result<Result<(), String>> {
    use io::Seek;
    let left = file.get_ref().metadata()?.len().saturating_sub(file.stream_position()?);
    let listed = manifest.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
    Ok(match left.cmp(&listed) {
        std::cmp::Ordering::Less => Err(format!("it is cut off: {left} of {listed} bytes are there")),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => {
            Err(format!("something was appended: {left} bytes are there instead of {listed}"))
        }
    })
}

fn ensure_digest(name: &str, read: B256, listed: B256) -> Result<(), String> {
    if read == listed {
        return Ok(());
    }
    Err(format!("{name} in it was altered: its digest is {read} instead of {listed}"))
}

/// Says what is wrong with the file that was named, not with its copy.
fn of_snapshot(error: StoreError, from: &Path) -> StoreError {
    let path = from.to_path_buf();
    match error {
        StoreError::Damaged { cause, .. } => StoreError::NoSnapshot { path, cause },
        StoreError::NotOurs { .. } => StoreError::NoSnapshot { path, cause: "another program's database".into() },
        StoreError::Schema { has, knows, .. } => StoreError::Schema { path, has, knows },
        StoreError::Foreign { what, has, wants, .. } => StoreError::Foreign { path, what, has, wants },
        StoreError::Restarted { chain_id, .. } => {
            let cause = format!(
                "it is of a local chain that does not exist any more: chain {chain_id} was started again since"
            );
            StoreError::NoSnapshot { path, cause }
        }
        StoreError::NoCheckpoint { .. } => StoreError::NoCheckpoint { path },
        error => error,
    }
}

/// A file that is removed in the end, with what SQLite put next to it. What cannot be removed the next use overwrites.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(with_suffix(path, suffix));
    }
}
