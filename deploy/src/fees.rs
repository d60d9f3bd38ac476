//! The price of gas, on chains with EIP-1559 and without.

use alloy::{network::TransactionBuilder, providers::Provider, rpc::types::TransactionRequest};
use plimsoll_chain::error::ChainError;

use crate::connection::Chain;

/// Fees of a transaction, in wei per gas.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fees {
    /// On a chain with EIP-1559.
    Eip1559 { max_fee_per_gas: u128, max_priority_fee_per_gas: u128 },
    /// On a chain without.
    Legacy { gas_price: u128 },
}

impl Fees {
    /// Returns the fees that the node suggests now.
    pub(crate) async fn suggested(chain: &Chain) -> Result<Self, ChainError> {
        let provider = chain.provider();
        if chain.head().await?.base_fee.is_some() {
            let estimate = provider.estimate_eip1559_fees().await.map_err(|error| chain.error(&error))?;
            return Ok(Self::Eip1559 {
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

    /// Returns the request with these fees.
    pub(crate) fn apply_to(self, request: TransactionRequest) -> TransactionRequest {
        match self {
            Self::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas } => {
                request.with_max_fee_per_gas(max_fee_per_gas).with_max_priority_fee_per_gas(max_priority_fee_per_gas)
            }
            Self::Legacy { gas_price } => request.with_gas_price(gas_price),
        }
    }
}
