//! The deterministic deployer: a contract at one address on every chain, which creates a contract at an address that
//! depends on the code and a salt alone.
//!
//! It has no owner. Where it is missing, it is created by a presigned transaction that is valid on every chain, once its
//! sender, whose key nobody has, is given the ether for gas.

use alloy::{
    hex,
    primitives::{Address, B256, Bytes, U256, address, keccak256},
};

/// Address of the deterministic deployer.
pub const FACTORY: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
/// Sender of the transaction that creates it.
pub const FACTORY_SIGNER: Address = address!("0x3fab184622dc19b6109349b94811493bf2a45362");
/// Cost of that transaction in wei: 100,000 gas at 100 gwei.
pub const FACTORY_COST: U256 = U256::from_limbs([10_000_000_000_000_000, 0, 0, 0]);
/// Code of the deterministic deployer.
pub const FACTORY_CODE: [u8; 69] = hex!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182"
    "fd5b8082525050506014600cf3"
);
/// Presigned transaction that creates it, for every chain that accepts signatures without a chain id.
pub const FACTORY_TRANSACTION: [u8; 167] = hex!(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba022222222222222222222222222"
    "22222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
);

/// Returns the address at which this code is created with this salt.
#[must_use]
pub fn address_of(salt: B256, init_code: &[u8]) -> Address {
    FACTORY.create2(salt, keccak256(init_code))
}

/// Returns the calldata that creates this code with this salt.
#[must_use]
pub fn call_data(salt: B256, init_code: &[u8]) -> Bytes {
    [salt.as_slice(), init_code].concat().into()
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::{Transaction, TxEnvelope},
        eips::eip2718::Decodable2718,
    };

    use super::*;

    #[test]
    fn the_presigned_transaction_creates_the_factory_at_its_address() {
        let transaction = TxEnvelope::decode_2718(&mut FACTORY_TRANSACTION.as_slice()).unwrap();
        let signed = transaction.as_legacy().unwrap();
        let signer = signed.signature().recover_address_from_prehash(&signed.signature_hash());
        assert_eq!(signer.unwrap(), FACTORY_SIGNER);
        assert_eq!(transaction.chain_id(), None);
        assert_eq!(FACTORY_SIGNER.create(0), FACTORY);
        let cost = U256::from(transaction.gas_limit()) * U256::from(transaction.max_fee_per_gas());
        assert_eq!(cost, FACTORY_COST);
        assert!(transaction.input().ends_with(&FACTORY_CODE));
    }
}
