//! Rows: what a protocol's state consists of, as bytes for a checkpoint that does not interpret them.
//!
//! A key begins with a byte that says what the row is, followed by what it belongs to. Values are words as contracts encode them.

use alloy::primitives::{Address, B256, U256};

/// Key and value of a row. A later version of a row takes the place of an earlier one.
pub type Row = (Vec<u8>, Vec<u8>);

/// Rows that are no state of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row cannot be restored: {0}")]
pub struct RestoreError(pub String);

/// Returns a key of this kind.
pub(crate) fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[kind], parts.concat().as_slice()].concat()
}

/// Returns a value of these words.
pub(crate) fn value<const N: usize>(words: [U256; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect()
}

/// Reads a key or a value from its beginning.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], RestoreError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| RestoreError("it is too short".to_owned()))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, RestoreError> {
        self.take::<1>().map(|byte| byte[0])
    }

    pub(crate) fn address(&mut self) -> Result<Address, RestoreError> {
        self.take::<20>().map(Address::from)
    }

    pub(crate) fn word(&mut self) -> Result<B256, RestoreError> {
        self.take::<32>().map(B256::from)
    }

    pub(crate) fn number(&mut self) -> Result<U256, RestoreError> {
        self.word().map(Into::into)
    }

    /// Reads a number of a narrower type.
    pub(crate) fn narrow<T: TryFrom<U256>>(&mut self) -> Result<T, RestoreError> {
        let number = self.number()?;
        T::try_from(number).map_err(|_| RestoreError(format!("{number} is too large")))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails if anything remains.
    pub(crate) fn end(self) -> Result<(), RestoreError> {
        if self.0.is_empty() { Ok(()) } else { Err(RestoreError(format!("{} bytes are left over", self.0.len()))) }
    }
}
