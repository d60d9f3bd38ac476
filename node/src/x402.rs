//! x402 on the wire, version 2, scheme `batch-settlement`.

use alloy::primitives::{Address, B256, Bytes, U256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
pub(crate) use plimsoll_channels::{Amount, WireConfig};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) const REQUIRED: &str = "payment-required";
pub(crate) const SIGNATURE: &str = "payment-signature";
pub(crate) const RESPONSE: &str = "payment-response";
pub(crate) const SCHEME: &str = "batch-settlement";
const MAX_HEADER: usize = 16 * 1024;

/// What one request costs at most, and whom to pay.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    pub(crate) scheme: String,
    pub(crate) network: String,
    pub(crate) amount: Amount,
    pub(crate) asset: Address,
    pub(crate) pay_to: Address,
}

/// A payment, out of the request's header.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payment {
    pub(crate) x402_version: u32,
    pub(crate) accepted: Accepted,
    pub(crate) payload: Payload,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload {
    #[serde(rename = "type")]
    pub(crate) kind: PayloadKind,
    pub(crate) channel_config: WireConfig,
    pub(crate) voucher: Voucher,
    pub(crate) deposit: Option<Deposit>,
    /// What a refund is asked of; all if it is missing.
    pub(crate) amount: Option<Amount>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PayloadKind {
    Voucher,
    Deposit,
    Refund,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Voucher {
    pub(crate) channel_id: B256,
    pub(crate) max_claimable_amount: Amount,
    pub(crate) signature: Bytes,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deposit {
    pub(crate) amount: Amount,
    pub(crate) authorization: Authorization,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authorization {
    pub(crate) erc3009_authorization: Option<Erc3009>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Erc3009 {
    pub(crate) valid_after: Amount,
    pub(crate) valid_before: Amount,
    pub(crate) salt: U256,
    pub(crate) signature: Bytes,
}

/// A code of the scheme that a client may act on.
pub(crate) fn code(name: &str) -> String {
    format!("invalid_batch_settlement_evm_{name}")
}

/// Decodes the header of a payment; the error is the code's last part.
pub(crate) fn decode(header: &[u8]) -> Result<Payment, &'static str> {
    let read = |header: &[u8]| -> Option<Payment> {
        if header.len() > MAX_HEADER {
            return None;
        }
        serde_json::from_slice(&STANDARD.decode(header).ok()?).ok()
    };
    let payment = read(header).ok_or("voucher_payload")?;
    match (payment.x402_version, payment.payload.kind, &payment.payload.deposit) {
        (2, PayloadKind::Deposit, None) => Err("deposit_payload"),
        (2, _, _) => Ok(payment),
        _ => Err("scheme"),
    }
}

pub(crate) fn encode(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

/// What the node knows of a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChannelState {
    pub(crate) id: B256,
    pub(crate) balance: u128,
    pub(crate) claimed: u128,
    pub(crate) withdraw_requested_at: u64,
    pub(crate) refund_nonce: U256,
    pub(crate) charged: u128,
}

impl ChannelState {
    pub(crate) fn to_json(self) -> Value {
        json!({
            "channelId": self.id,
            "balance": Amount(self.balance),
            "totalClaimed": Amount(self.claimed),
            "withdrawRequestedAt": self.withdraw_requested_at,
            "refundNonce": self.refund_nonce.to_string(),
            "chargedCumulativeAmount": Amount(self.charged),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_no_payment_are_refused() {
        for wrong in [b"".as_slice(), b"%%%", STANDARD.encode("{}").as_bytes(), &[b'A'; 20_000]] {
            assert_eq!(decode(wrong).unwrap_err(), "voucher_payload");
        }
    }
}
