//! Folders for charts, reports and recordings. A folder is tested for writing before the work whose result it is for,
//! and files are written atomically.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use eyre::WrapErr;
use plimsoll_testkit::files::{temporary_in, write_atomically};

/// Bytes that must be free: more than any chart or report takes.
const ROOM: usize = 1 << 20;

/// A folder that results can be saved in. Dropping it removes the folders that it created, where nothing was saved.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Folders that were missing, the innermost first.
    created: Vec<PathBuf>,
}

impl Folder {
    /// Creates the folder where it is missing, and tests whether a report could be saved there.
    ///
    /// # Errors
    /// When it could not, with the remedy.
    pub fn ready(path: &Path) -> eyre::Result<Self> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let created = path.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
        let folder = Self { path: path.to_owned(), created };
        let tried = fs::create_dir_all(path).and_then(|()| temporary_in(path, &vec![0; ROOM]));
        tried
            .map_err(|error| explained(error, path))
            .wrap_err("the result could not be saved, so nothing was begun")?;
        Ok(folder)
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves a file atomically and returns its path.
    ///
    /// # Errors
    /// When it cannot be written, with the remedy.
    pub fn save(&self, name: &str, content: impl AsRef<[u8]>) -> eyre::Result<PathBuf> {
        let file = self.path.join(name);
        save(&file, content.as_ref())?;
        Ok(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder with something in it is not removed, and then neither are those around it.
        let _ = self.created.iter().try_for_each(fs::remove_dir);
    }
}

/// Writes a file atomically.
///
/// # Errors
/// When it cannot be written, with the remedy.
pub(crate) fn save(file: &Path, content: &[u8]) -> eyre::Result<()> {
    write_atomically(file, content).map_err(|error| explained(error, file))
}

fn explained(error: io::Error, path: &Path) -> eyre::Report {
    use io::ErrorKind::{
        AlreadyExists, IsADirectory, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    let remedy = match error.kind() {
        StorageFull | QuotaExceeded => ": make room there",
        PermissionDenied | ReadOnlyFilesystem => ": you need permission to write there",
        AlreadyExists | NotADirectory => ": a file is in place of the folder; move it away",
        IsADirectory => ": a folder is in place of the file; move it away",
        _ => "",
    };
    eyre::Report::new(error).wrap_err(format!("{} cannot be written{remedy}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Write, stderr},
        os::unix::fs::PermissionsExt,
        process::Command,
    };

    use super::*;

    /// A very small file system, unmounted when dropped.
    struct Small(tempfile::TempDir);

    impl Small {
        /// Mounts one; none where this user may not mount.
        fn mounted(size: &str) -> Option<Self> {
            let folder = tempfile::tempdir().unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
            mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
        }
    }

    impl Drop for Small {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).status();
        }
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_folder_is_created_and_saving_replaces_files() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("reports/today");
        let folder = Folder::ready(&path).unwrap();
        assert_eq!(files(&path), Vec::<String>::new());

        folder.save("day.svg", "the morning").unwrap();
        let file = folder.save("day.svg", "the evening").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "the evening");
        assert_eq!(files(&path), ["day.svg"]);
        // The file has the permissions of any other file of this user.
        let other = path.join("other");
        fs::write(&other, "").unwrap();
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode(&file), mode(&other));
    }

    #[test]
    fn a_folder_is_removed_again_where_nothing_is_saved_in_it() {
        let scratch = tempfile::tempdir().unwrap();
        let outer = scratch.path().join("reports");
        drop(Folder::ready(&outer.join("today")).unwrap());
        assert_eq!(files(scratch.path()), Vec::<String>::new());

        Folder::ready(&outer.join("today")).unwrap().save("day.svg", "").unwrap();
        drop(Folder::ready(&outer.join("tomorrow")).unwrap());
        fs::create_dir(outer.join("empty")).unwrap();
        drop(Folder::ready(&outer.join("empty")).unwrap());
        let mut left = files(&outer);
        left.sort_unstable();
        assert_eq!(left, ["empty", "today"]);
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_reported_before_anything_begins() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("report");
        fs::write(&path, "already here").unwrap();
        for path in [path.clone(), path.join("deeper")] {
            let error = format!("{:#}", Folder::ready(&path).unwrap_err());
            assert!(error.contains(&format!("{} cannot be written: a file", path.display())), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "already here");
    }

    #[test]
    fn on_a_full_disk_a_folder_is_refused_and_a_file_keeps_its_content() {
        let (Some(full), Some(filling)) = (Small::mounted("64k"), Small::mounted("2m")) else {
            writeln!(stderr(), "skipped: this user cannot mount a small disk to fill").unwrap();
            return;
        };
        let error = format!("{:#}", Folder::ready(full.0.path()).unwrap_err());
        assert!(error.contains(&format!("{} cannot be written: make room", full.0.path().display())), "{error}");
        assert_eq!(files(full.0.path()), Vec::<String>::new());

        let folder = Folder::ready(filling.0.path()).unwrap();
        let file = folder.save("report.html", "short").unwrap();
        let error = format!("{:#}", folder.save("report.html", vec![b'x'; 4 * ROOM]).unwrap_err());
        assert!(error.contains(&format!("{} cannot be written: make room", file.display())), "{error}");
        assert_eq!(fs::read_to_string(file).unwrap(), "short");
        assert_eq!(files(folder.path()), ["report.html"]);
    }
}
