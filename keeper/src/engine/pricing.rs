//! Everything that puts a price on something: liquidation prices, values of tokens, gas.

use std::{sync::Arc, time::Duration};

use alloy::{eips::eip1559::BaseFeeParams, primitives::Address};
use tokio::time::{self, Instant};
use tracing::warn;

use super::{block_request::BlockRequest, failover::FailoverReader, l1_data_fee::L1DataFee};
use crate::{
    book::Book,
    chain::Header,
    config::{Config, DataFee, GasSource},
    prices::{BlockReader, Call, ChainReader, PricedMarket, Prices, Valuer, Values, price_calls, snapshot},
    strategies::{
        BlockContext,
        gas::{BASE_FEE_RISE, Costs, room},
    },
};

/// Longest time for which prices are waited for that were not among a block's answers.
const PRICE_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Reads the chain from the account of liquidations; knows the answers of the newest block's own request.
    pub(super) reader: BlockReader<FailoverReader>,
    /// Reads the chain from the account of harvests.
    pub(super) harvest_reader: FailoverReader,
    /// Values of tokens in the native currency.
    pub(super) valuer: Valuer,
    request: BlockRequest,
    data_fee: L1DataFee,
}

impl Pricing {
    pub(super) fn new(
        config: &Config,
        reader: FailoverReader,
        harvest_reader: FailoverReader,
        request: BlockRequest,
    ) -> Self {
        let (valuer, data_fee) = (Valuer::new(config.tokens.sources()), L1DataFee::new(config.chain.data_fee));
        Self { reader: BlockReader::new(reader), harvest_reader, valuer, request, data_fee }
    }

    /// Plans the request of the block after `header`: the prices, the data fee, these calls, and `trials` of liquidations.
    pub(super) fn plan(&self, config: &Config, book: &Book, header: &Header, further: Vec<Call>, trials: Vec<Call>) {
        let may_send = !trials.is_empty();
        let prices = price_calls(config.deployed.core, &priced_markets(config, book));
        let data_fee = self.data_fee.call(header.number.saturating_add(1));
        self.request.plan(prices.into_iter().chain(data_fee).chain(further).chain(trials), may_send);
    }

    /// Waits for the answers to the block's own request, and returns the liquidation prices among them. Also returns when
    /// the block's head was received, if it was announced. Without an answer there are no prices, and so nothing is
    /// decided in this block.
    pub(super) async fn price_block(
        &mut self,
        config: &Config,
        book: &Book,
        header: Header,
    ) -> (PricedBlock, Option<Instant>) {
        let (answers, head_at) = self.request.answers_of(&header).await;
        let prices = match answers {
            Ok(answers) => {
                self.reader.set_answers(answers);
                // Only a market that is new in this block was not asked for.
                let (core, markets) = (config.deployed.core, priced_markets(config, book));
                match time::timeout(PRICE_TIMEOUT, snapshot(&self.reader, core, &header, &markets)).await {
                    Ok(prices) => prices.map_err(|error| error.to_string()),
                    Err(_) => Err(format!("no prices within {PRICE_TIMEOUT:?}")),
                }
            }
            Err(error) => Err(error.to_string()),
        };
        let prices = prices.unwrap_or_else(|error| {
            warn!(error, "prices not read, nothing is decided in this block");
            Prices::default()
        });
        (PricedBlock { header, prices: Arc::new(prices) }, head_at)
    }

    /// Values of tokens in the newest block, if its own request has answered all of them.
    pub(super) async fn known_values(&mut self, header: &Header, tokens: &[Address]) -> Option<Values> {
        let is_known = |call: &Call| self.reader.known(header, call).is_some();
        if !self.valuer.calls(tokens).iter().all(is_known) {
            return None;
        }
        self.valuer.values(&self.reader, header, tokens).await.ok()
    }

    /// What decisions in a block depend on besides the book.
    pub(super) async fn context<'a>(
        &mut self,
        config: &Config,
        header: &'a Header,
        prices: &'a Prices,
    ) -> BlockContext<'a> {
        let chain = &config.chain;
        let room = room(header.gas_limit, chain.transaction_gas_cap, chain.block_gas_share_bps);
        let costs = self.costs(config, header).await;
        let affordable = costs.affordable_gas(config.safety.max_cost_per_transaction);
        // The sender never offers more than the highest price.
        let room = if costs.gas_price > config.fees.max_gas_price { 0 } else { room.min(affordable) };
        BlockContext { header, prices, costs, room }
    }

    /// What gas and data cost in the next block.
    async fn costs(&mut self, config: &Config, header: &Header) -> Costs {
        Costs {
            // The sender offers no less than the newest block's base fee, also where the next one's is lower.
            gas_price: next_base_fee(config, header).max(header.base_fee.into()) + config.fees.min_priority_fee,
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

/// The markets whose loans are liquidated, as far as they exist.
fn priced_markets(config: &Config, book: &Book) -> Vec<PricedMarket> {
    config.liquidate.markets.keys().filter_map(|id| book.market(*id).map(PricedMarket::of)).collect()
}
