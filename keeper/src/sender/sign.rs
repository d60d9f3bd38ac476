//! Transactions as they are signed: by a key in this process or by a remote signer.

use alloy::{
    consensus::{TxEip1559, TxLegacy, TypedTransaction},
    eips::Encodable2718,
    primitives::{TxKind, U256},
};
use plimsoll_chain::signer::{SignError, TransactionSigner};

use super::{
    core::{SignedTransaction, UnsignedTransaction},
    fees::TxFees,
};
use crate::record::{self, Stage};

/// Signs a transaction. Fails if the key is invalid, or if the remote signer does not return what was ordered.
pub(super) async fn sign(
    signer: &TransactionSigner,
    chain_id: u64,
    style: TxFees,
    unsigned: UnsignedTransaction,
) -> Result<SignedTransaction, SignError> {
    let _timer = record::stage(Stage::Sign);
    let UnsignedTransaction { nonce, to, data, gas_limit, fees, .. } = unsigned;
    let transaction: TypedTransaction = match style {
        TxFees::Eip1559 => TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: data,
        }
        .into(),
        TxFees::Legacy => TxLegacy {
            chain_id: Some(chain_id),
            nonce,
            gas_price: fees.max_fee_per_gas,
            gas_limit,
            to: TxKind::Call(to),
            value: U256::ZERO,
            input: data,
        }
        .into(),
    };
    let signed = signer.sign(transaction).await?;
    Ok(SignedTransaction { nonce, raw: signed.encoded_2718().into(), hash: *signed.tx_hash() })
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::{Transaction, TxEnvelope},
        eips::Decodable2718,
        primitives::{Address, Bytes, keccak256},
        signers::local::PrivateKeySigner,
    };

    use super::*;
    use crate::{intent::Fees, sender::journal::AttemptKind};

    #[tokio::test]
    async fn a_signed_transaction_has_every_field_as_ordered() {
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
            let signed = sign(&signer.clone().into(), 31_337, style, unsigned).await.unwrap();
            let read = TxEnvelope::decode_2718(&mut &signed.raw[..]).unwrap();
            let by = read.signature().recover_address_from_prehash(&read.signature_hash()).unwrap();
            assert_eq!((by, keccak256(&signed.raw)), (signer.address(), signed.hash));
            assert_eq!((read.nonce(), read.chain_id(), read.to()), (5, Some(31_337), Some(Address::repeat_byte(6))));
            assert_eq!((read.max_fee_per_gas(), read.gas_limit()), (9, 70_000));
            assert_eq!(read.priority_fee_or_price(), priority_fee);
        }
    }
}
