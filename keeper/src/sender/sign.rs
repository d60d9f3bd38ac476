//! Signing of transactions. The key stays in this process.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy},
    eips::Encodable2718,
    primitives::{TxKind, U256},
    signers::{Error, SignerSync, local::PrivateKeySigner},
};

use super::{
    core::{SignedTransaction, UnsignedTransaction},
    fees::TxFees,
};

/// Signs a transaction. Fails only if the key is invalid.
pub(super) fn sign(
    signer: &PrivateKeySigner,
    chain_id: u64,
    style: TxFees,
    unsigned: UnsignedTransaction,
) -> Result<SignedTransaction, Error> {
    let UnsignedTransaction { nonce, to, data, gas_limit, fees, .. } = unsigned;
    let envelope: TxEnvelope = match style {
        TxFees::Eip1559 => {
            let transaction = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fees.max_fee_per_gas,
                max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
                to: TxKind::Call(to),
                value: U256::ZERO,
                access_list: Default::default(),
                input: data,
            };
            let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
            transaction.into_signed(signature).into()
        }
        TxFees::Legacy => {
            let transaction = TxLegacy {
                chain_id: Some(chain_id),
                nonce,
                gas_price: fees.max_fee_per_gas,
                gas_limit,
                to: TxKind::Call(to),
                value: U256::ZERO,
                input: data,
            };
            let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
            transaction.into_signed(signature).into()
        }
    };
    Ok(SignedTransaction { nonce, raw: envelope.encoded_2718().into(), hash: *envelope.tx_hash() })
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::Transaction,
        eips::Decodable2718,
        primitives::{Address, Bytes, keccak256},
    };

    use super::*;
    use crate::{intent::Fees, sender::journal::AttemptKind};

    #[test]
    fn a_signed_transaction_has_every_field_as_ordered() {
        let signer = PrivateKeySigner::random();
        for (style, priority_fee) in [(TxFees::Eip1559, 3), (TxFees::Legacy, 9)] {
            let unsigned = UnsignedTransaction {
                nonce: 5,
                kind: AttemptKind::Call,
                to: Address::repeat_byte(6),
                data: Bytes::from_static(&[1, 2]),
                gas_limit: 70_000,
                fees: Fees { max_fee_per_gas: 9, max_priority_fee_per_gas: priority_fee },
            };
            let signed = sign(&signer, 31_337, style, unsigned).unwrap();
            let read = TxEnvelope::decode_2718(&mut &signed.raw[..]).unwrap();
            let by = read.signature().recover_address_from_prehash(&read.signature_hash()).unwrap();
            assert_eq!((by, keccak256(&signed.raw)), (signer.address(), signed.hash));
            assert_eq!((read.nonce(), read.chain_id(), read.to()), (5, Some(31_337), Some(Address::repeat_byte(6))));
            assert_eq!((read.max_fee_per_gas(), read.gas_limit()), (9, 70_000));
            assert_eq!(read.priority_fee_or_price(), priority_fee);
        }
    }
}
