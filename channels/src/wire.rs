//! Amounts and channels as JSON has them, in x402's messages and in published claims.

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ChannelConfig;

/// An amount of tokens in their smallest unit: a decimal string without sign or leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u128);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_decimal = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let amount = text.parse().ok().filter(|_| is_decimal);
        amount.map(Self).ok_or_else(|| de::Error::custom(format!("{text:?} is not an amount, such as \"1500\"")))
    }
}

/// A channel's configuration, as JSON has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireConfig {
    /// Who pays.
    pub payer: Address,
    /// The key that signs vouchers; zero for the payer itself.
    pub payer_authorizer: Address,
    /// Who is paid.
    pub receiver: Address,
    /// The key that signs claims and refunds.
    pub receiver_authorizer: Address,
    /// The token.
    pub token: Address,
    /// How long a payer who leaves has to wait, in seconds.
    pub withdraw_delay: u64,
    /// Tells apart channels of the same parties.
    pub salt: B256,
}

impl WireConfig {
    /// Returns the contract's struct; `None` if the delay has more than 40 bits.
    #[must_use]
    pub fn to_config(&self) -> Option<ChannelConfig> {
        Some(ChannelConfig {
            payer: self.payer,
            payerAuthorizer: self.payer_authorizer,
            receiver: self.receiver,
            receiverAuthorizer: self.receiver_authorizer,
            token: self.token,
            withdrawDelay: self.withdraw_delay.try_into().ok()?,
            salt: self.salt,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_have_one_spelling() {
        for wrong in ["", "01", "-1", "+1", "1.0", "0x1", "1e3", " 1", "340282366920938463463374607431768211456"] {
            assert!(serde_json::from_value::<Amount>(json!(wrong)).is_err(), "{wrong}");
        }
        assert!(serde_json::from_value::<Amount>(json!(1)).is_err());
        assert_eq!(serde_json::from_value::<Amount>(json!(u128::MAX.to_string())).ok(), Some(Amount(u128::MAX)));
    }
}
