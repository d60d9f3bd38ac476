//! Files that are written as a whole or not at all.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::{Builder, NamedTempFile};

/// Permissions of a new file before the user's umask is applied, as of any other file.
const PERMISSIONS: u32 = 0o666;

/// Writes a file atomically: afterwards it holds either all of `content` or what it held before.
///
/// # Errors
/// When the folder does not exist or cannot be written to, or the disk is full.
pub fn write_atomically(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = file.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    temporary_in(folder, content)?.persist(file)?;
    Ok(())
}

/// Creates a file in a folder under a temporary name and writes `content` to the disk. The file is removed when the
/// returned handle is dropped.
///
/// # Errors
/// When the folder does not exist or cannot be written to, or the disk is full.
pub fn temporary_in(folder: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = Builder::new().permissions(fs::Permissions::from_mode(PERMISSIONS)).tempfile_in(folder)?;
    file.write_all(content)?;
    // A file system may accept data that it has no room for until it is synchronised.
    file.as_file().sync_all()?;
    Ok(file)
}
