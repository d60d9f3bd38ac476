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

/// The chain id of recordings that do not contain one.
const MAINNET: u64 = 1;

/// Why a recording cannot be read or written. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}; `cargo lab record` makes a recording", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is truncated, or is not compressed.
    #[error("{} is damaged after {bytes} bytes of its content: {source}; fetch it again, or record it again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The number of bytes that could be decompressed.
        bytes: usize,
        /// The error of the decompressor.
        source: io::Error,
    },
    /// The file holds something other than a recording.
    #[error("{} is no recording: {source}", file.display())]
    NotARecording {
        /// The file.
        file: PathBuf,
        /// The error of the parser, with its position.
        source: serde_json::Error,
    },
    /// The file holds another block than its name says.
    #[error("{} is about block {found}, not {wanted}", file.display())]
    OtherBlock {
        /// The file.
        file: PathBuf,
        /// The block number in the file's name.
        wanted: u64,
        /// The block number in the file.
        found: String,
    },
    /// The folder has a recording of another block with the same number.
    #[error(
        "{} is block {found}, not {wanted}: another chain's, or one that was reorged; record into another folder, \
         or move it away",
        file.display()
    )]
    OtherChain {
        /// The file.
        file: PathBuf,
        /// The hash of the block to add.
        wanted: Value,
        /// The hash of the recorded block.
        found: Value,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The content of the state file.
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
    /// When one of its files is missing, damaged, or holds something else.
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

    /// Adds the recording to a folder, merged with the recording of the same block that is there, and returns the
    /// files.
    ///
    /// # Errors
    /// As [`Recording::write`], and when the recording that is there cannot be read or is of another block. The folder is
    /// then unchanged.
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

    /// Writes the recording to a folder, which is created where it is missing, and returns the files.
    ///
    /// # Errors
    /// When the disk is full, or the folder cannot be written to. The files that were there are then unchanged.
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
        // The state file is written last: a recording is complete when it exists.
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
