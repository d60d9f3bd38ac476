//! Everything that puts a price on something: liquidation prices, values of tokens, gas.

use std::{sync::Arc, time::Duration};

use alloy::eips::eip1559::BaseFeeParams;
use tokio::time::{self, Instant};
use tracing::warn;

use super::{failover::FailoverReader, l1_data_fee::L1DataFee, price_prefetch::PricePrefetcher};
use crate::{
    chain::Header,
    config::{Config, DataFee, GasSource},
    prices::{Prices, Valuer},
    strategies::gas::Costs,
};

/// Longest time for which values that are read ahead are waited for. What is missing then is read when it is wanted.
const PREFETCH_TIMEOUT: Duration = Duration::from_secs(1);

/// The base fee rises by at most one part in this many from one block to the next (EIP-1559).
const BASE_FEE_RISE: u128 = 8;

/// A block with the liquidation prices in it: what decisions are based on.
#[derive(Debug, Clone)]
pub(super) struct PricedBlock {
    /// Header of the block.
    pub(super) header: Header,
    /// Liquidation prices in the block, by market.
    pub(super) prices: Arc<Prices>,
}

/// Prices of the newest block.
#[derive(Debug)]
pub(super) struct Pricing {
    /// Reads the chain for the strategies, too.
    pub(super) reader: FailoverReader,
    /// Values of tokens in the native currency.
    pub(super) valuer: Valuer,
    prefetcher: PricePrefetcher,
    data_fee: L1DataFee,
}

impl Pricing {
    pub(super) fn new(config: &Config, reader: FailoverReader, prefetcher: PricePrefetcher) -> Self {
        let (valuer, data_fee) = (Valuer::new(config.tokens.sources()), L1DataFee::new(config.chain.data_fee));
        Self { reader, valuer, prefetcher, data_fee }
    }

    /// Waits for the liquidation prices in a block, and for the values that were asked for in the blocks before it. Also
    /// returns when the block's head was received, if it was announced. Without an answer there are no prices, and so
    /// nothing is decided in this block.
    pub(super) async fn price_block(&mut self, header: Header) -> (PricedBlock, Option<Instant>) {
        // A node that stalls is found out while prices are waited for; another one is asked for values then.
        let values = time::timeout(PREFETCH_TIMEOUT, self.valuer.run_prefetch(&self.reader, &header));
        let ((prices, head_at), _) = tokio::join!(self.prefetcher.prices_of(&header), values);
        let prices = prices.unwrap_or_else(|error| {
            warn!(%error, "prices not read, nothing is decided in this block");
            Arc::default()
        });
        (PricedBlock { header, prices }, head_at)
    }

    /// What gas and data cost in the next block.
    pub(super) async fn costs(&mut self, config: &Config, header: &Header) -> Costs {
        Costs {
            gas_price: next_base_fee(config, header) + config.fees.min_priority_fee,
            data_byte_price: self.data_fee.wei_per_byte(&self.reader, header).await,
            margin_bps: config.liquidate.min_margin_bps,
        }
    }
}

/// The next block's base fee, in wei: exact by Ethereum's rule, the highest that is possible where the chain has another.
fn next_base_fee(config: &Config, header: &Header) -> u128 {
    let has_ethereums_rule = config.chain.data_fee == DataFee::None && config.chain.gas == GasSource::Table;
    if has_ethereums_rule && header.gas_limit != 0 {
        let rule = BaseFeeParams::ethereum();
        return rule.next_block_base_fee(header.gas_used, header.gas_limit, header.base_fee).into();
    }
    let base_fee = u128::from(header.base_fee);
    base_fee + base_fee.div_ceil(BASE_FEE_RISE)
}
