//! The price of gas, on chains with EIP-1559 and without.

use alloy::{network::TransactionBuilder, providers::Provider, rpc::types::TransactionRequest};
use plimsoll_chain::error::ChainError;

use crate::connection::Chain;

/// Fees of a transaction, in wei per gas.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fees {
    /// On a chain with EIP-1559.
    Eip1559 { base_fee: u128, max_fee_per_gas: u128, max_priority_fee_per_gas: u128 },
    /// On a chain without.
    Legacy { gas_price: u128 },
}

impl Fees {
    /// Returns the fees that the node suggests now.
    pub(crate) async fn suggested(chain: &Chain) -> Result<Self, ChainError> {
        let provider = chain.provider();
        if let Some(base_fee) = chain.head().await?.base_fee {
            let estimate = provider.estimate_eip1559_fees().await.map_err(|error| chain.error(&error))?;
            return Ok(Self::Eip1559 {
                base_fee: base_fee.into(),
                max_fee_per_gas: estimate.max_fee_per_gas,
                max_priority_fee_per_gas: estimate.max_priority_fee_per_gas,
            });
        }
        let gas_price = provider.get_gas_price().await.map_err(|error| chain.error(&error))?;
        Ok(Self::Legacy { gas_price })
    }

    /// Returns the highest price of a unit of gas, in wei.
    pub(crate) const fn max_price(self) -> u128 {
        match self {
            Self::Eip1559 { max_fee_per_gas, .. } => max_fee_per_gas,
            Self::Legacy { gas_price } => gas_price,
        }
    }

    /// Returns these fees, lowered to a highest price of a unit of gas; `None` if a transaction at that price would not be
    /// included now.
    pub(crate) fn at_most(self, max_price: u128) -> Option<Self> {
        match self {
            Self::Eip1559 { base_fee, max_fee_per_gas, max_priority_fee_per_gas } => {
                (base_fee <= max_price).then(|| {
                    let max_fee_per_gas = max_fee_per_gas.min(max_price);
                    let max_priority_fee_per_gas = max_priority_fee_per_gas.min(max_fee_per_gas);
                    Self::Eip1559 { base_fee, max_fee_per_gas, max_priority_fee_per_gas }
                })
            }
            Self::Legacy { gas_price } => (gas_price <= max_price).then_some(self),
        }
    }

    /// Returns the lowest price of a unit of gas at which a transaction is included now, in wei.
    pub(crate) const fn min_price(self) -> u128 {
        match self {
            Self::Eip1559 { base_fee, .. } => base_fee,
            Self::Legacy { gas_price } => gas_price,
        }
    }

    /// Returns the request with these fees.
    pub(crate) fn apply_to(self, request: TransactionRequest) -> TransactionRequest {
        match self {
            Self::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas, .. } => {
                request.with_max_fee_per_gas(max_fee_per_gas).with_max_priority_fee_per_gas(max_priority_fee_per_gas)
            }
            Self::Legacy { gas_price } => request.with_gas_price(gas_price),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_are_lowered_to_the_confirmed_price_unless_nothing_would_be_included_at_it() {
        let fees = Fees::Eip1559 { base_fee: 10, max_fee_per_gas: 29, max_priority_fee_per_gas: 9 };
        assert_eq!(fees.at_most(40).unwrap().max_price(), 29);
        let lowered = fees.at_most(12).unwrap();
        assert!(
            matches!(lowered, Fees::Eip1559 { max_fee_per_gas: 12, max_priority_fee_per_gas: 9, .. }),
            "{lowered:?}"
        );
        // A node that suggests a boundless tip does not get it.
        let hostile = Fees::Eip1559 { base_fee: 10, max_fee_per_gas: u128::MAX, max_priority_fee_per_gas: u128::MAX };
        let lowered = hostile.at_most(12).unwrap();
        assert!(
            matches!(lowered, Fees::Eip1559 { max_fee_per_gas: 12, max_priority_fee_per_gas: 12, .. }),
            "{lowered:?}"
        );
        assert!(fees.at_most(9).is_none());
        assert!(Fees::Legacy { gas_price: 10 }.at_most(9).is_none());
    }
}
