//! Signing keys: from an encrypted keystore, an environment variable, or – on a local Anvil only – Anvil itself; or in
//! another process, which signs.
//!
//! A key is never taken from a command-line argument. Anvil's keys are public, so they are rejected on every other chain,
//! whichever source they come from.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use alloy::{
    consensus::{SignableTransaction, TxEnvelope, TypedTransaction},
    hex,
    primitives::{Address, B256, b256},
    signers::{
        SignerSync,
        local::{LocalSignerError, PrivateKeySigner},
    },
};
use serde::Deserialize;

use crate::{
    endpoint::{Endpoint, EndpointError},
    error::ChainError,
    local::LocalChain,
    redaction,
    remote_signer::{RemoteSigner, RemoteSignerError},
    secret::Secret,
};

/// Private keys of the ten accounts that every Anvil starts with. They are public.
const ANVIL_KEYS: [B256; 10] = [
    b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
    b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
    b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
    b256!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
    b256!("47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a"),
    b256!("8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"),
    b256!("92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e"),
    b256!("4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356"),
    b256!("dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97"),
    b256!("2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6"),
];

/// Returns whether an account is one of the ten that every Anvil starts with, whose keys are public.
#[must_use]
pub fn is_anvil_account(account: Address) -> bool {
    let address = |key| PrivateKeySigner::from_bytes(key).map(|signer| signer.address());
    ANVIL_KEYS.iter().any(|key| address(key).is_ok_and(|known| known == account))
}

/// Source of a signing key, as written in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SignerSource {
    /// An encrypted keystore file (`cast wallet import` makes one).
    Keystore {
        /// Path of the keystore file.
        path: PathBuf,
        /// Source of its password.
        password: PasswordSource,
    },
    /// Name of an environment variable that holds the key in hexadecimal.
    Environment(String),
    /// Number of one of Anvil's own accounts, on a local Anvil only.
    Anvil(usize),
    /// A signer in another process that has the key and answers `eth_signTransaction`, such as Web3Signer or Clef.
    Remote {
        /// Name of an environment variable that holds the signer's URL.
        url_env: String,
        /// Account for which it signs.
        address: Address,
    },
}

/// Signs the transactions of one account.
#[derive(Debug, Clone)]
pub enum TransactionSigner {
    /// A key in this process.
    Local(PrivateKeySigner),
    /// A key in another process.
    Remote(RemoteSigner),
}

/// A transaction was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key in this process is invalid.
    #[error(transparent)]
    Local(#[from] alloy::signers::Error),
    /// The remote signer did not sign what was ordered.
    #[error(transparent)]
    Remote(#[from] RemoteSignerError),
}

/// Source of the password of a keystore.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PasswordSource {
    /// Name of an environment variable that holds it.
    Environment(String),
    /// Path of a file that holds it; a line break at the end is not part of the password.
    File(PathBuf),
}

/// Why a signing key cannot be loaded. No message contains a key or a password.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The environment variable is not set.
    #[error("the environment variable {0} is not set; it must hold {1}")]
    Unset(String, &'static str),
    /// The environment variable does not hold a valid secp256k1 private key in hexadecimal.
    #[error("{0} does not hold a private key: 64 hexadecimal digits, with or without 0x")]
    NotAKey(String),
    /// The key is in another process.
    #[error("the key of {0} is in a remote signer, which does not hand it out; name a keystore or a variable instead")]
    NotHere(Address),
    /// The environment variable does not hold the URL of a signer.
    #[error("{0} does not hold the URL of a remote signer: {1}")]
    NotAUrl(String, EndpointError),
    /// The remote signer cannot be reached.
    #[error("the remote signer: {0}")]
    Unreachable(ChainError),
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The file is not a keystore, or the password is wrong.
    #[error("{}: the keystore cannot be opened: {problem}", .path.display())]
    Keystore {
        /// Path of the keystore file.
        path: PathBuf,
        /// Reason that decryption failed.
        problem: String,
    },
    /// Anvil has no account with this number.
    #[error("Anvil has accounts 0 to {last}, not {0}", last = ANVIL_KEYS.len() - 1)]
    NoSuchAnvilAccount(usize),
    /// The key is one of Anvil's, but the chain is not a local Anvil.
    #[error(
        "{0} is one of Anvil's accounts, whose keys are public: it signs on a local Anvil only. Use a keystore or a key of \
         your own in the environment"
    )]
    AnvilKeyElsewhere(Address),
}

impl SignerSource {
    /// Loads the key, or connects to the remote signer that has it. `local` is the proof that the chain is an Anvil. Fails
    /// when the source holds no valid key or URL, and for Anvil's accounts without that proof. A remote signer is asked for
    /// nothing before its first signature.
    pub async fn open(&self, local: Option<LocalChain>) -> Result<TransactionSigner, SignerError> {
        let Self::Remote { url_env, address } = self else { return Ok(self.load(local)?.into()) };
        if is_anvil_account(*address) && local.is_none() {
            return Err(SignerError::AnvilKeyElsewhere(*address));
        }
        let url = env::var(url_env).map_err(|_| SignerError::Unset(url_env.clone(), "the URL of a remote signer"))?;
        let endpoint: Endpoint = url.parse().map_err(|error| SignerError::NotAUrl(url_env.clone(), error))?;
        let signer = RemoteSigner::new(&endpoint, *address).await.map_err(SignerError::Unreachable)?;
        Ok(TransactionSigner::Remote(signer))
    }

    /// Loads the key; decrypting a keystore takes about a second. `local` is the proof that the chain is an Anvil. Fails
    /// when the source holds no valid key or is a remote signer, and for Anvil's keys without that proof.
    pub fn load(&self, local: Option<LocalChain>) -> Result<PrivateKeySigner, SignerError> {
        let signer = match self {
            Self::Keystore { path, password } => open_keystore(path, &password.read()?)?,
            Self::Environment(name) => key_from_environment(name)?,
            Self::Anvil(index) => anvil_signer(*index)?,
            Self::Remote { address, .. } => return Err(SignerError::NotHere(*address)),
        };
        // Registered without 0x, so that it is found with and without it.
        redaction::hide(&hex::encode(signer.to_bytes()));
        let is_anvils = ANVIL_KEYS.contains(&signer.to_bytes());
        if is_anvils && local.is_none() { Err(SignerError::AnvilKeyElsewhere(signer.address())) } else { Ok(signer) }
    }
}

impl From<PrivateKeySigner> for TransactionSigner {
    fn from(key: PrivateKeySigner) -> Self {
        // The first signature of a process makes the tables that all others are made with. No transaction is to wait for that.
        let _ = key.sign_hash_sync(&B256::ZERO);
        Self::Local(key)
    }
}

impl TransactionSigner {
    /// Returns the account whose transactions it signs.
    #[must_use]
    pub const fn address(&self) -> Address {
        match self {
            Self::Local(key) => key.address(),
            Self::Remote(remote) => remote.address(),
        }
    }

    /// Signs a transaction. Fails if the key is invalid, or if the remote signer does not return what was ordered.
    pub async fn sign(&self, transaction: TypedTransaction) -> Result<TxEnvelope, SignError> {
        match self {
            Self::Local(key) => {
                let signature = key.sign_hash_sync(&transaction.signature_hash())?;
                Ok(transaction.into_signed(signature).into())
            }
            Self::Remote(remote) => Ok(remote.sign(&transaction).await?),
        }
    }
}

impl PasswordSource {
    fn read(&self) -> Result<Secret<String>, SignerError> {
        match self {
            Self::Environment(name) => env::var(name)
                .map(Secret::new)
                .map_err(|_| SignerError::Unset(name.clone(), "the password of the keystore")),
            Self::File(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|source| SignerError::File { path: path.clone(), source })
                    .map(Secret::unlisted)?;
                Ok(Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()))
            }
        }
    }
}

/// The keystore library's text for a password that does not decrypt the key.
const WRONG_MAC: &str = "Mac Mismatch";
const WRONG_PASSWORD: &str = "the password is wrong, or the file was changed";

fn open_keystore(path: &Path, password: &Secret<String>) -> Result<PrivateKeySigner, SignerError> {
    // The library's error for a missing file does not name the file.
    fs::metadata(path).map_err(|source| SignerError::File { path: path.to_path_buf(), source })?;
    PrivateKeySigner::decrypt_keystore(path, password.expose()).map_err(|error| {
        let problem = match error {
            // The library's type of this error is not accessible; its text says that the message authentication code of
            // the decrypted key is not the file's.
            LocalSignerError::EthKeystoreError(error) if error.to_string() == WRONG_MAC => WRONG_PASSWORD.to_owned(),
            LocalSignerError::EthKeystoreError(error) => error.to_string(),
            _ => "it does not hold a private key".to_owned(),
        };
        SignerError::Keystore { path: path.to_path_buf(), problem }
    })
}

fn key_from_environment(name: &str) -> Result<PrivateKeySigner, SignerError> {
    let text = env::var(name)
        .map(Secret::new)
        .map_err(|_| SignerError::Unset(name.to_owned(), "a private key in hexadecimal"))?;
    text.expose().trim().parse().map_err(|_| SignerError::NotAKey(name.to_owned()))
}

fn anvil_signer(index: usize) -> Result<PrivateKeySigner, SignerError> {
    let key = ANVIL_KEYS.get(index).ok_or(SignerError::NoSuchAnvilAccount(index))?;
    PrivateKeySigner::from_bytes(key).map_err(|_| SignerError::NoSuchAnvilAccount(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a keystore in a temporary folder. Its key derivation is as slow as a real one's.
    fn keystore(key: B256, password: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let mut random = alloy::signers::k256::elliptic_curve::rand_core::OsRng;
        PrivateKeySigner::encrypt_keystore(folder.path(), &mut random, key, password, Some("key")).unwrap();
        fs::write(folder.path().join("password"), format!("{password}\n")).unwrap();
        let path = folder.path().join("key");
        (folder, path)
    }

    fn source(path: &Path, password_file: PathBuf) -> SignerSource {
        SignerSource::Keystore { path: path.to_path_buf(), password: PasswordSource::File(password_file) }
    }

    #[test]
    fn a_keystore_is_decrypted_by_its_password_only() {
        let (folder, path) = keystore(B256::repeat_byte(7), "correct horse");
        let signer = source(&path, folder.path().join("password")).load(None).unwrap();
        assert_eq!(signer.to_bytes(), B256::repeat_byte(7));
        assert!(!format!("{signer:?}").contains("0707"));

        let wrong = folder.path().join("wrong");
        fs::write(&wrong, "wrong horse").unwrap();
        let error = source(&path, wrong).load(None).unwrap_err().to_string();
        assert!(error.contains("the password is wrong") && !error.contains("wrong horse"), "{error}");
    }

    #[test]
    fn a_loaded_key_and_its_password_are_scrubbed() {
        let (folder, path) = keystore(B256::repeat_byte(0xa9), "another password");
        source(&path, folder.path().join("password")).load(None).unwrap();
        assert_eq!(redaction::scrub(&format!("key 0x{}", "A9".repeat(32))), "key 0x[redacted]");
        assert_eq!(redaction::scrub("another password"), redaction::REDACTED);
    }

    #[test]
    fn anvils_keys_are_rejected_on_other_chains_from_every_source() {
        let error = SignerSource::Anvil(0).load(None).unwrap_err();
        assert!(matches!(error, SignerError::AnvilKeyElsewhere(_)), "{error}");
        let (folder, path) = keystore(ANVIL_KEYS[3], "password");
        let error = source(&path, folder.path().join("password")).load(None).unwrap_err();
        assert!(matches!(error, SignerError::AnvilKeyElsewhere(_)), "{error}");
    }

    #[test]
    fn a_variable_without_a_valid_key_is_named_but_not_shown() {
        let error = SignerSource::Environment("CARGO_MANIFEST_DIR".into()).load(None).unwrap_err().to_string();
        assert!(error.starts_with("CARGO_MANIFEST_DIR does not hold a private key"), "{error}");
        assert!(!error.contains(env!("CARGO_MANIFEST_DIR")), "{error}");
    }
}
