//! A signer in another process, which has the key: Web3Signer, Clef, or anything else that answers
//! `eth_signTransaction`.
//!
//! Nothing that it returns is believed: the transaction must be signed by the account, with every field as ordered.

use std::time::Duration;

use alloy::{
    consensus::{SignableTransaction, Transaction, TxEnvelope, Typed2718, TypedTransaction},
    eips::Decodable2718,
    primitives::{Address, Bytes, U64, U128, U256},
    rpc::client::RpcClient,
};
use serde::{Deserialize, Serialize};
use tokio::time;

use crate::{endpoint::Endpoint, error::ChainError};

/// Time that the signer has to respond. Whatever else its account is to sign waits meanwhile.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

/// A remote signer and the account for which it signs.
#[derive(Debug, Clone)]
pub struct RemoteSigner {
    name: String,
    client: RpcClient,
    address: Address,
    timeout: Duration,
}

/// Why a remote signer's answer is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteSignerError {
    /// It cannot be reached, or refuses.
    #[error("{0}; see the signer's log, and that it has the key and allows transactions without asking anybody")]
    Request(#[from] ChainError),
    /// It does not respond.
    #[error("{signer} has not signed within {} s; a signer for a program must sign without asking anybody", .after.as_secs())]
    TimedOut {
        /// The signer, without anything secret.
        signer: String,
        /// Time for which it was waited.
        after: Duration,
    },
    /// What it returned is no signed transaction.
    #[error("{signer} returned something else than a signed transaction: {problem}")]
    Undecodable {
        /// The signer, without anything secret.
        signer: String,
        /// Error of the decoder.
        problem: String,
    },
    /// A field differs from what was ordered.
    #[error("{signer} signed {field} {signed} instead of {ordered}; nothing was broadcast: do not use this signer")]
    FieldDiffers {
        /// The signer, without anything secret.
        signer: String,
        /// Name of the field.
        field: &'static str,
        /// Its value in the order.
        ordered: String,
        /// Its value in the signed transaction.
        signed: String,
    },
}

/// The transaction to sign, as `eth_signTransaction` takes it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct SignRequest {
    from: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Address>,
    gas: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gas_price: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_per_gas: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_priority_fee_per_gas: Option<U128>,
    nonce: U64,
    value: U256,
    data: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<U64>,
}

impl SignRequest {
    fn new(from: Address, fields: &TypedTransaction) -> Self {
        let priority_fee = fields.max_priority_fee_per_gas();
        Self {
            from,
            to: fields.to(),
            gas: U64::from(fields.gas_limit()),
            gas_price: fields.gas_price().map(U128::from),
            max_fee_per_gas: priority_fee.map(|_| U128::from(fields.max_fee_per_gas())),
            max_priority_fee_per_gas: priority_fee.map(U128::from),
            nonce: U64::from(fields.nonce()),
            value: fields.value(),
            data: fields.input().clone(),
            chain_id: fields.chain_id().map(U64::from),
        }
    }
}

/// The answer of Clef, an object that has the bytes. Web3Signer answers with the bytes alone.
#[derive(Debug, Deserialize)]
struct RawField {
    raw: Bytes,
}

impl RemoteSigner {
    /// Returns the signer at an endpoint for an account. Nothing is asked before the first signature, unless the endpoint
    /// is a socket that cannot be opened, which fails.
    pub async fn new(endpoint: &Endpoint, address: Address) -> Result<Self, ChainError> {
        let (name, client) = (endpoint.to_string(), endpoint.client().await?);
        Ok(Self { name, client, address, timeout: RESPONSE_TIMEOUT })
    }

    /// Returns the account for which it signs.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Has a transaction signed. Fails where the signer does not answer in time, refuses, or returns anything but the
    /// ordered transaction with the account's signature.
    pub(crate) async fn sign(&self, unsigned: &TypedTransaction) -> Result<TxEnvelope, RemoteSignerError> {
        let request = SignRequest::new(self.address, unsigned);
        let asked = self.client.request::<_, serde_json::Value>("eth_signTransaction", (request,));
        let answer = time::timeout(self.timeout, asked)
            .await
            .map_err(|_| RemoteSignerError::TimedOut { signer: self.name.clone(), after: self.timeout })?
            .map_err(|error| ChainError::of_transport(&self.name, &error))?;
        self.verify(unsigned, answer)
    }

    /// Reads a signer's answer, and compares every field with the order.
    fn verify(&self, unsigned: &TypedTransaction, answer: serde_json::Value) -> Result<TxEnvelope, RemoteSignerError> {
        let undecodable = |problem: String| RemoteSignerError::Undecodable { signer: self.name.clone(), problem };
        let raw = match answer {
            serde_json::Value::Object(_) => serde_json::from_value::<RawField>(answer).map(|field| field.raw),
            bytes => serde_json::from_value(bytes),
        };
        let raw = raw.map_err(|error| undecodable(error.to_string()))?;
        let mut rest = &raw[..];
        let signed = TxEnvelope::decode_2718(&mut rest).map_err(|error| undecodable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(undecodable(format!("{} bytes follow it", rest.len())));
        }
        if signed.signature().normalize_s().is_some() {
            return Err(undecodable("its signature is not the one that chains accept (high s)".to_owned()));
        }
        let differs = |field, ordered, signed| {
            Err(RemoteSignerError::FieldDiffers { signer: self.name.clone(), field, ordered, signed })
        };
        if let Some((field, ordered, signed)) = first_difference(unsigned, &signed) {
            return differs(field, ordered, signed);
        }
        let by = signed.signature().recover_address_from_prehash(&signed.signature_hash());
        match by {
            Ok(by) if by == self.address => Ok(signed),
            Ok(by) => differs("for the account", self.address.to_string(), by.to_string()),
            Err(error) => Err(undecodable(error.to_string())),
        }
    }
}

/// Returns the first field in which a signed transaction differs from the order, with both values.
fn first_difference(ordered: &TypedTransaction, signed: &TxEnvelope) -> Option<(&'static str, String, String)> {
    let fields = [
        ("the type", ordered.ty().to_string(), signed.ty().to_string()),
        ("the chain id", format!("{:?}", ordered.chain_id()), format!("{:?}", signed.chain_id())),
        ("the nonce", ordered.nonce().to_string(), signed.nonce().to_string()),
        ("the recipient", format!("{:?}", ordered.to()), format!("{:?}", signed.to())),
        ("the value", ordered.value().to_string(), signed.value().to_string()),
        ("the gas limit", ordered.gas_limit().to_string(), signed.gas_limit().to_string()),
        ("the maximum fee", ordered.max_fee_per_gas().to_string(), signed.max_fee_per_gas().to_string()),
        ("the priority fee", ordered.priority_fee_or_price().to_string(), signed.priority_fee_or_price().to_string()),
        ("the calldata", ordered.input().to_string(), signed.input().to_string()),
        // Covers what is not compared above, such as an access list.
        ("a transaction with the hash", ordered.signature_hash().to_string(), signed.signature_hash().to_string()),
    ];
    fields.into_iter().find(|(_, ordered, signed)| ordered != signed)
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::{TxEip1559, TxLegacy},
        eips::{
            Encodable2718,
            eip2930::{AccessList, AccessListItem},
        },
        primitives::{Signature, TxKind, b256},
        signers::{SignerSync, local::PrivateKeySigner},
    };
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        signer::{SignError, TransactionSigner},
        test_server::serve,
    };

    /// What a stand-in for a remote signer does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Manner {
        /// Signs, and answers with the bytes.
        Bytes,
        /// Signs, and answers with an object.
        Object,
        /// Signs with a higher nonce.
        Nonce,
        /// Signs with a higher gas limit.
        Gas,
        /// Signs with a higher fee.
        Fee,
        /// Signs with a higher priority fee.
        PriorityFee,
        /// Signs a transfer to itself.
        Recipient,
        /// Signs a transfer of a wei.
        Value,
        /// Signs for another chain.
        Chain,
        /// Signs other calldata.
        Calldata,
        /// Signs with an access list.
        AccessList,
        /// Signs a transaction of another type.
        Type,
        /// Signs with another key.
        Key,
        /// Answers with the other of the two signatures, which chains reject.
        HighS,
        /// Adds a byte to the transaction.
        Trailing,
        /// Answers with bytes that are no transaction.
        Junk,
        /// Answers with an error.
        Refuse,
    }

    fn key() -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&b256!("0707070707070707070707070707070707070707070707070707070707070707"))
            .unwrap()
    }

    fn order() -> TxEip1559 {
        TxEip1559 {
            chain_id: 31_337,
            nonce: 5,
            gas_limit: 70_000,
            max_fee_per_gas: 9,
            max_priority_fee_per_gas: 3,
            to: TxKind::Call(Address::repeat_byte(6)),
            value: U256::ZERO,
            access_list: Default::default(),
            input: Bytes::from_static(&[1, 2]),
        }
    }

    fn number(value: &Value) -> u64 {
        serde_json::from_value::<U64>(value.clone()).unwrap().to()
    }

    /// Reads a request for an EIP-1559 transaction as a signer does.
    fn asked(request: &Value) -> TxEip1559 {
        assert_eq!(request["method"], "eth_signTransaction");
        let asked = &request["params"][0];
        assert_eq!(serde_json::from_value::<Address>(asked["from"].clone()).unwrap(), key().address());
        TxEip1559 {
            chain_id: number(&asked["chainId"]),
            nonce: number(&asked["nonce"]),
            gas_limit: number(&asked["gas"]),
            max_fee_per_gas: number(&asked["maxFeePerGas"]).into(),
            max_priority_fee_per_gas: number(&asked["maxPriorityFeePerGas"]).into(),
            to: TxKind::Call(serde_json::from_value(asked["to"].clone()).unwrap()),
            value: serde_json::from_value(asked["value"].clone()).unwrap(),
            access_list: Default::default(),
            input: serde_json::from_value(asked["data"].clone()).unwrap(),
        }
    }

    fn signed(manner: Manner, mut transaction: TxEip1559) -> Bytes {
        match manner {
            Manner::Nonce => transaction.nonce += 1,
            Manner::Gas => transaction.gas_limit += 1,
            Manner::Fee => transaction.max_fee_per_gas += 1,
            Manner::PriorityFee => transaction.max_priority_fee_per_gas += 1,
            Manner::Recipient => transaction.to = TxKind::Call(key().address()),
            Manner::Value => transaction.value = U256::ONE,
            Manner::Chain => transaction.chain_id += 1,
            Manner::Calldata => transaction.input = Bytes::from_static(&[9]),
            Manner::AccessList => {
                let item = AccessListItem { address: Address::ZERO, storage_keys: Vec::new() };
                transaction.access_list = AccessList(vec![item]);
            }
            _ => {}
        }
        let signer = if manner == Manner::Key { PrivateKeySigner::random() } else { key() };
        let transaction: TypedTransaction = match manner {
            Manner::Type => TxLegacy {
                chain_id: Some(transaction.chain_id),
                nonce: transaction.nonce,
                gas_price: transaction.max_fee_per_gas,
                gas_limit: transaction.gas_limit,
                to: transaction.to,
                value: transaction.value,
                input: transaction.input,
            }
            .into(),
            _ => transaction.into(),
        };
        let mut signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
        if manner == Manner::HighS {
            let order: U256 = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse().unwrap();
            signature = Signature::new(signature.r(), order - signature.s(), !signature.v());
        }
        let mut raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        if manner == Manner::Trailing {
            raw.push(0);
        }
        raw.into()
    }

    fn answer(manner: Manner, request: &str) -> String {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let request: Value = serde_json::from_str(body).unwrap();
        let raw = signed(manner, asked(&request));
        let result = match manner {
            Manner::Refuse => {
                let error = json!({ "code": -32000, "message": "Request denied" });
                return json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }).to_string();
            }
            Manner::Junk => json!("0x02c0"),
            Manner::Object => json!({ "raw": raw, "tx": {} }),
            _ => json!(raw),
        };
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string()
    }

    async fn sign_at(address: &str) -> Result<TxEnvelope, String> {
        let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
        let signer = TransactionSigner::Remote(RemoteSigner::new(&endpoint, key().address()).await.unwrap());
        signer.sign(order().into()).await.map_err(|error: SignError| error.to_string())
    }

    async fn signed_by(manner: Manner) -> Result<TxEnvelope, String> {
        sign_at(&serve("200 OK", move |request| answer(manner, request)).await).await
    }

    #[tokio::test]
    async fn a_remote_signer_that_signs_as_ordered_is_believed_in_either_form() {
        for manner in [Manner::Bytes, Manner::Object] {
            let signed = signed_by(manner).await.unwrap();
            let by = signed.signature().recover_address_from_prehash(&signed.signature_hash()).unwrap();
            assert_eq!((by, signed.signature_hash()), (key().address(), order().signature_hash()));
        }
    }

    #[tokio::test]
    async fn a_remote_signer_that_changes_anything_is_refused_with_both_values() {
        let lies = [
            (Manner::Nonce, "the nonce 6 instead of 5"),
            (Manner::Gas, "the gas limit 70001 instead of 70000"),
            (Manner::Fee, "the maximum fee 10 instead of 9"),
            (Manner::PriorityFee, "the priority fee 4 instead of 3"),
            (Manner::Recipient, "the recipient"),
            (Manner::Value, "the value 1 instead of 0"),
            (Manner::Chain, "the chain id Some(31338) instead of Some(31337)"),
            (Manner::Calldata, "the calldata 0x09 instead of 0x0102"),
            (Manner::AccessList, "a transaction with the hash"),
            (Manner::Type, "the type 0 instead of 2"),
            (Manner::Key, "for the account"),
            (Manner::HighS, "high s"),
            (Manner::Trailing, "1 bytes follow it"),
            (Manner::Junk, "something else than a signed transaction"),
            (Manner::Refuse, "Request denied"),
        ];
        for (manner, words) in lies {
            let error = signed_by(manner).await.unwrap_err();
            assert!(error.contains(words), "{manner:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_remote_signer_that_hangs_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: Endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let signer = RemoteSigner::new(&endpoint, key().address()).await.unwrap();
        assert_eq!(signer.timeout, RESPONSE_TIMEOUT);
        let hasty = RemoteSigner { timeout: Duration::ZERO, ..signer };
        let error = hasty.sign(&order().into()).await.unwrap_err();
        assert!(matches!(error, RemoteSignerError::TimedOut { .. }), "{error}");
    }
}
