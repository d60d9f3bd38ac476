//! Gas limits of transactions: the estimate of a node, and a margin.

use alloy::{
    network::Ethereum,
    providers::{
        Provider, SendableTx,
        fillers::{FillerControlFlow, GasFiller, TxFiller},
    },
    rpc::types::TransactionRequest,
    transports::TransportResult,
};

/// Margin for changes of state between estimate and inclusion.
const GAS_MARGIN_PERCENT: u64 = 20;

/// Margin for the passing of time, which costs a small call as much as a large one: a node may estimate in the very second
/// in which interest was last accrued, when none is due, and include the transaction a second later, when it is.
const GAS_MARGIN_FOR_TIME: u64 = 50_000;

/// Returns the gas limit for a transaction with this estimate.
pub(crate) const fn with_margin(gas: u64) -> u64 {
    gas.saturating_add(gas / 100 * GAS_MARGIN_PERCENT).saturating_add(GAS_MARGIN_FOR_TIME)
}

/// Returns the highest gas limit that a transaction gets which used this much in a simulation. A simulation subtracts
/// refunds, of up to a fifth of the gas, which an estimate contains.
pub(crate) const fn limit_of_simulated(gas: u64) -> u64 {
    with_margin(gas.saturating_add(gas / 4))
}

/// Fills in fees as alloy's filler does, and the gas limit with the margin that alloy's filler lacks.
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
