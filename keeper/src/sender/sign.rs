//! Orders become signed bytes. The key stays in this process.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy},
    eips::Encodable2718,
    primitives::{TxKind, U256},
    signers::{Error, SignerSync, local::PrivateKeySigner},
};

use super::{
    core::{Order, Signed},
    fees::PriceStyle,
};

/// Signs what was ordered. Fails only when the key is none.
pub(super) fn sign(signer: &PrivateKeySigner, chain_id: u64, style: PriceStyle, order: Order) -> Result<Signed, Error> {
    let Order { nonce, to, data, gas_limit, fees, .. } = order;
    let envelope: TxEnvelope = match style {
        PriceStyle::MaximumAndTip => {
            let transaction = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fees.max_fee,
                max_priority_fee_per_gas: fees.tip,
                to: TxKind::Call(to),
                value: U256::ZERO,
                access_list: Default::default(),
                input: data,
            };
            let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
            transaction.into_signed(signature).into()
        }
        PriceStyle::GasPrice => {
            let transaction = TxLegacy {
                chain_id: Some(chain_id),
                nonce,
                gas_price: fees.max_fee,
                gas_limit,
                to: TxKind::Call(to),
                value: U256::ZERO,
                input: data,
            };
            let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
            transaction.into_signed(signature).into()
        }
    };
    Ok(Signed { nonce, raw: envelope.encoded_2718().into(), hash: *envelope.tx_hash() })
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::Transaction,
        eips::Decodable2718,
        primitives::{Address, Bytes, keccak256},
    };

    use super::*;
    use crate::sender::journal::{Fees, Kind};

    #[test]
    fn what_is_signed_is_what_was_ordered() {
        let signer = PrivateKeySigner::random();
        for (style, tip) in [(PriceStyle::MaximumAndTip, 3), (PriceStyle::GasPrice, 9)] {
            let order = Order {
                nonce: 5,
                kind: Kind::Call,
                to: Address::repeat_byte(6),
                data: Bytes::from_static(&[1, 2]),
                gas_limit: 70_000,
                fees: Fees { max_fee: 9, tip },
            };
            let signed = sign(&signer, 31_337, style, order).unwrap();
            let read = TxEnvelope::decode_2718(&mut &signed.raw[..]).unwrap();
            let by = read.signature().recover_address_from_prehash(&read.signature_hash()).unwrap();
            assert_eq!((by, keccak256(&signed.raw)), (signer.address(), signed.hash));
            assert_eq!((read.nonce(), read.chain_id(), read.to()), (5, Some(31_337), Some(Address::repeat_byte(6))));
            assert_eq!((read.max_fee_per_gas(), read.gas_limit()), (9, 70_000));
            assert_eq!(read.priority_fee_or_price(), tip);
        }
    }
}
