//! A recording on disk: `<block>_pre_state_with_code.json.gz` and `<block>_block.json.gz` in one folder.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, Bytes, U256};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Account, Recording};
use crate::{files, proxy::rpc::number};

/// What a recording without a chain id is of.
const MAINNET: u64 = 1;

/// Why there is no recording. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}; `cargo lab record` makes a recording", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What is in the file is cut off, or was never compressed.
    #[error("{} is damaged after {bytes} bytes of its content: {source}; fetch it again, or record it again", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// How far it was good.
        bytes: usize,
        /// What is wrong there.
        source: io::Error,
    },
    /// It is something else than a recording.
    #[error("{} is no recording: {source}", file.display())]
    NotARecording {
        /// Which file.
        file: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The file is about another block than its name says.
    #[error("{} is about block {found}, not {wanted}", file.display())]
    OtherBlock {
        /// Which file.
        file: PathBuf,
        /// What its name says.
        wanted: u64,
        /// What is in it.
        found: String,
    },
    /// What is recorded already is a block of that number, but not that block.
    #[error(
        "{} is block {found}, not {wanted}: another chain's, or one that its chain took back; record into another folder, \
         or move it away",
        file.display()
    )]
    OtherChain {
        /// Which file.
        file: PathBuf,
        /// The hash of what was to be added.
        wanted: Value,
        /// The hash of what is there.
        found: Value,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", file.display())]
    Unwritable {
        /// Which file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The first file.
#[derive(Serialize, Deserialize)]
struct StateFile {
    source: String,
    #[serde(default = "mainnet")]
    chain_id: u64,
    block_number: u64,
    accounts: BTreeMap<Address, AccountEntry>,
}

#[derive(Serialize, Deserialize)]
struct AccountEntry {
    balance: U256,
    nonce: u64,
    storage: BTreeMap<U256, U256>,
    #[serde(default, skip_serializing_if = "no_code")]
    code: Bytes,
}

const fn mainnet() -> u64 {
    MAINNET
}

fn no_code(code: &Bytes) -> bool {
    code.is_empty()
}

impl Recording {
    /// Reads the recording of a block from a folder.
    ///
    /// # Errors
    /// When one of its files is missing, damaged, or about something else.
    pub fn read(folder: &Path, block: u64) -> Result<Self, RecordingError> {
        let [state_file, block_file] = files(folder, block);
        let state: StateFile = read(&state_file)?;
        let other = |file: PathBuf, found: String| RecordingError::OtherBlock { file, wanted: block, found };
        if state.block_number != block {
            return Err(other(state_file, state.block_number.to_string()));
        }
        let header: Value = read(&block_file)?;
        if number(&header["number"]) != Some(block) {
            return Err(other(block_file, header["number"].to_string()));
        }
        let accounts = state.accounts.into_iter().map(|(address, entry)| {
            let AccountEntry { balance, nonce, storage, code } = entry;
            (address, Account { balance, nonce, code, storage })
        });
        Ok(Self {
            source: state.source,
            chain_id: state.chain_id,
            number: block,
            block: header,
            accounts: accounts.collect(),
        })
    }

    /// Writes it into a folder, together with what is recorded there of the same block already, and answers the files.
    ///
    /// # Errors
    /// As [`Recording::write`], and when what is there cannot be read, or is another chain's: it is left as it is.
    pub fn add_to(&self, folder: &Path) -> Result<[PathBuf; 2], RecordingError> {
        let [state_file, block_file] = files(folder, self.number);
        if !state_file.exists() {
            return self.write(folder);
        }
        let mut both = Self::read(folder, self.number)?;
        let [found, wanted] = [&both, self].map(|recording| recording.block["hash"].clone());
        if found != wanted {
            return Err(RecordingError::OtherChain { file: block_file, wanted, found });
        }
        for (address, account) in &self.accounts {
            both.accounts.entry(*address).or_insert_with(|| account.clone()).storage.extend(&account.storage);
        }
        both.write(folder)
    }

    /// Writes it into a folder, which is made where it is missing, and answers the files.
    ///
    /// # Errors
    /// When the disk is full, or the folder is not ours to write to. What was there before is then as it was.
    pub fn write(&self, folder: &Path) -> Result<[PathBuf; 2], RecordingError> {
        let files = files(folder, self.number);
        fs::create_dir_all(folder).map_err(|source| RecordingError::Unwritable { file: folder.to_owned(), source })?;
        let entries = self.accounts.iter().map(|(address, account)| {
            let Account { balance, nonce, code, storage } = account.clone();
            (*address, AccountEntry { balance, nonce, storage, code })
        });
        let state = StateFile {
            source: self.source.clone(),
            chain_id: self.chain_id,
            block_number: self.number,
            accounts: entries.collect(),
        };
        let [state_file, block_file] = &files;
        // A recording is there when its state is: that comes last.
        write(block_file, &self.block)?;
        write(state_file, &state)?;
        Ok(files)
    }
}

fn files(folder: &Path, block: u64) -> [PathBuf; 2] {
    ["pre_state_with_code", "block"].map(|part| folder.join(format!("{block}_{part}.json.gz")))
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, RecordingError> {
    let compressed =
        fs::File::open(file).map_err(|source| RecordingError::Unreadable { file: file.to_owned(), source })?;
    let mut text = Vec::new();
    GzDecoder::new(compressed).read_to_end(&mut text).map_err(|source| RecordingError::Damaged {
        file: file.to_owned(),
        bytes: text.len(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| RecordingError::NotARecording { file: file.to_owned(), source })
}

fn write(file: &Path, content: &impl Serialize) -> Result<(), RecordingError> {
    let compressed = || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        serde_json::to_writer(&mut encoder, content)?;
        encoder.finish()
    };
    compressed()
        .and_then(|bytes| files::write_atomically(file, &bytes))
        .map_err(|source| RecordingError::Unwritable { file: file.to_owned(), source })
}
