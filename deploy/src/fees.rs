//! What gas costs, on chains since EIP-1559 and before.

use alloy::{
    network::{Ethereum, TransactionBuilder},
    providers::{
        Provider, SendableTx,
        fillers::{FillerControlFlow, GasFiller, TxFiller},
    },
    rpc::types::TransactionRequest,
    transports::TransportResult,
};
use plimsoll_chain::error::ChainError;

use crate::connection::Chain;

/// Room for what changes between estimate and inclusion.
const GAS_MARGIN_PERCENT: u64 = 20;

/// Room for what the passing of time adds, to a small call as much as to a large one: a node may estimate in the very
/// second in which interest was last accrued, when none is due, and include the transaction a second later, when it is.
const GAS_MARGIN_FOR_TIME: u64 = 50_000;

/// The gas that a transaction may use which is estimated to use so much.
pub(crate) const fn with_margin(gas: u64) -> u64 {
    gas.saturating_add(gas / 100 * GAS_MARGIN_PERCENT).saturating_add(GAS_MARGIN_FOR_TIME)
}

/// What a unit of gas costs now, in wei.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fees {
    /// Of chains with EIP-1559.
    Eip1559 { max_fee_per_gas: u128, max_priority_fee_per_gas: u128 },
    /// Of chains without it.
    Legacy { gas_price: u128 },
}

impl Fees {
    /// Asks the node for its estimate.
    pub(crate) async fn now(chain: &Chain) -> Result<Self, ChainError> {
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

    /// The most that a unit of gas can cost, in wei.
    pub(crate) const fn highest_price(self) -> u128 {
        match self {
            Self::Eip1559 { max_fee_per_gas, .. } => max_fee_per_gas,
            Self::Legacy { gas_price } => gas_price,
        }
    }

    /// The request with these fees.
    pub(crate) fn put_into(self, request: TransactionRequest) -> TransactionRequest {
        match self {
            Self::Eip1559 { max_fee_per_gas, max_priority_fee_per_gas } => {
                request.with_max_fee_per_gas(max_fee_per_gas).with_max_priority_fee_per_gas(max_priority_fee_per_gas)
            }
            Self::Legacy { gas_price } => request.with_gas_price(gas_price),
        }
    }
}

/// Fills in what gas costs, as alloy does, and how much may be used, with the margin that alloy does not leave.
#[derive(Debug, Clone, Default)]
pub(crate) struct GasWithMargin(GasFiller);

impl TxFiller for GasWithMargin {
    type Fillable = <GasFiller as TxFiller>::Fillable;

    fn status(&self, transaction: &TransactionRequest) -> FillerControlFlow {
        TxFiller::<Ethereum>::status(&self.0, transaction)
    }

    fn fill_sync(&self, _transaction: &mut SendableTx<Ethereum>) {}

    async fn prepare<P: Provider>(
        &self,
        provider: &P,
        transaction: &TransactionRequest,
    ) -> TransportResult<Self::Fillable> {
        let mut transaction = transaction.clone();
        if transaction.gas.is_none() {
            transaction.gas = Some(with_margin(provider.estimate_gas(transaction.clone()).await?));
        }
        self.0.prepare(provider, &transaction).await
    }

    async fn fill(
        &self,
        fillable: Self::Fillable,
        transaction: SendableTx<Ethereum>,
    ) -> TransportResult<SendableTx<Ethereum>> {
        self.0.fill(fillable, transaction).await
    }
}
