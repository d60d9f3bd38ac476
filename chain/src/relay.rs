//! The identity by which relays and builders know who sends them bundles: each request's body is signed, and the signature
//! goes along as a header.

use std::fmt;

use alloy::{
    hex,
    primitives::{Address, keccak256},
    signers::{Error, SignerSync, local::PrivateKeySigner},
};

/// Header that holds the account and its signature of the body.
pub(crate) const SIGNATURE_HEADER: &str = "x-flashbots-signature";

/// A key that signs requests to relays, and nothing else. `Debug` shows its account only.
#[derive(Clone)]
pub struct RelayIdentity(PrivateKeySigner);

impl RelayIdentity {
    /// Takes a key that signs no transaction.
    #[must_use]
    pub const fn new(key: PrivateKeySigner) -> Self {
        Self(key)
    }

    /// Makes a new identity, which no relay knows yet.
    #[must_use]
    pub fn random() -> Self {
        Self(PrivateKeySigner::random())
    }

    /// Returns the account that relays see.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.0.address()
    }

    /// Returns the value of [`SIGNATURE_HEADER`] for a request with this body: the account, and its signature of the text
    /// of the body's hash in hexadecimal (EIP-191).
    pub(crate) fn sign(&self, body: &[u8]) -> Result<String, Error> {
        let digest = hex::encode_prefixed(keccak256(body));
        let signature = self.0.sign_message_sync(digest.as_bytes())?;
        Ok(format!("{}:{}", self.address(), hex::encode_prefixed(signature.as_bytes())))
    }
}

impl fmt::Debug for RelayIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RelayIdentity").field(&self.address()).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Signature};

    use super::*;

    #[test]
    fn a_body_is_signed_by_the_account_that_the_header_names_and_no_other_body_is() {
        let identity = RelayIdentity::new(PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap());
        let header = identity.sign(b"{}").unwrap();
        let (account, signature) = header.split_once(':').unwrap();
        let signature: Signature = signature.parse().unwrap();
        let signer_of = |body: &[u8]| {
            let digest = hex::encode_prefixed(keccak256(body));
            signature.recover_address_from_msg(digest.as_bytes()).unwrap()
        };
        assert_eq!((account, signer_of(b"{}")), (identity.address().to_string().as_str(), identity.address()));
        assert_ne!(signer_of(b"[]"), identity.address());
        assert!(!format!("{identity:?}").contains("0707"));
    }
}
