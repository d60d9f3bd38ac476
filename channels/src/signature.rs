//! Signatures by key, in the one encoding that the contract accepts.

use alloy::primitives::{Address, B256, Signature, U256};

const LENGTH: usize = 65;
/// Half of the order of secp256k1, rounded down.
const MAX_S: U256 =
    U256::from_limbs([0xdfe9_2f46_681b_20a0, 0x5d57_6e73_57a4_501d, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff]);

/// Why a signature is not one that the contract accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not 65 bytes long.
    #[error("a signature has 65 bytes (r, s, v), this one has {0}")]
    Length(usize),
    /// Its `s` is in the upper half of the curve's order.
    #[error("the signature's s is in the upper half of the curve's order; sign with the other one of the two")]
    HighS,
    /// Its last byte is neither 27 nor 28.
    #[error("the signature's last byte is 27 or 28, not {0}")]
    RecoveryId(u8),
    /// No key gives it.
    #[error("no key gives this signature")]
    NoKey,
}

/// Returns the account whose key signed `digest`.
///
/// # Errors
/// When the contract would not accept the signature. A service that accepted another encoding would serve for a voucher
/// that it cannot claim.
pub fn recover_signer(digest: B256, signature: &[u8]) -> Result<Address, SignatureError> {
    let bytes: &[u8; LENGTH] = signature.try_into().map_err(|_| SignatureError::Length(signature.len()))?;
    let (r, s) = (U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..64]));
    if s > MAX_S {
        return Err(SignatureError::HighS);
    }
    let parity = match bytes[64] {
        27 => false,
        28 => true,
        other => return Err(SignatureError::RecoveryId(other)),
    };
    Signature::new(r, s, parity).recover_address_from_prehash(&digest).map_err(|_| SignatureError::NoKey)
}

#[cfg(test)]
mod tests {
    use alloy::signers::{SignerSync, local::PrivateKeySigner};

    use super::*;

    const ORDER: U256 =
        U256::from_limbs([0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, 0xffff_ffff_ffff_ffff]);

    #[test]
    fn only_the_encoding_that_the_contract_accepts_is_accepted() -> eyre::Result<()> {
        for index in 1..=50_u8 {
            let (signer, digest) = (PrivateKeySigner::from_slice(&[index; 32])?, B256::repeat_byte(index));
            let signature = signer.sign_hash_sync(&digest)?;
            let right = signature.as_bytes();
            assert_eq!(recover_signer(digest, &right), Ok(signer.address()));
            assert_ne!(recover_signer(!digest, &right), Ok(signer.address()));

            let mut high = right;
            high[32..64].copy_from_slice(&(ORDER - signature.s()).to_be_bytes::<32>());
            high[64] = 27 + 28 - right[64];
            assert_eq!(recover_signer(digest, &high), Err(SignatureError::HighS));
            let mut low_v = right;
            low_v[64] -= 27;
            assert_eq!(recover_signer(digest, &low_v), Err(SignatureError::RecoveryId(low_v[64])));
            assert_eq!(recover_signer(digest, &right[..64]), Err(SignatureError::Length(64)));
            assert_eq!(recover_signer(digest, &[&right[..], &[0]].concat()), Err(SignatureError::Length(66)));
            assert_eq!(recover_signer(digest, &[]), Err(SignatureError::Length(0)));
        }
        Ok(())
    }

    #[test]
    fn the_largest_s_is_half_of_the_order() {
        let of = |s: U256| [&[0; 31][..], &[1], &s.to_be_bytes::<32>(), &[27]].concat();
        assert_eq!(MAX_S, ORDER / U256::from(2));
        assert!(recover_signer(B256::ZERO, &of(MAX_S)).is_ok());
        assert_eq!(recover_signer(B256::ZERO, &of(MAX_S + U256::from(1))), Err(SignatureError::HighS));
        assert_eq!(recover_signer(B256::ZERO, &of(U256::ZERO)), Err(SignatureError::NoKey));
    }
}
