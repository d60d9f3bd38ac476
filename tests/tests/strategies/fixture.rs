//! A suite with loans and an exchange, a book built from its events, and the keeper's strategy over both.

use std::{collections::BTreeMap, sync::Arc};

use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, U256},
    providers::{DynProvider, PendingTransactionConfig, Provider, ext::AnvilApi},
    rpc::types::{Filter, TransactionReceipt, TransactionRequest},
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::{ILiquidator, IUniswapV3Swapper, MarketParams};
use plimsoll_keeper::{
    book::{Block, Book},
    chain::{Header, Sources},
    intent::Intent,
    prices::{EndpointReader, PricedMarket, Prices, Source, Valuer, snapshot},
    strategies::{
        BlockContext, Decisions, SkipReason,
        bids::{Ordering, RaceRecord},
        gas::{Costs, GasTable, room},
        liquidate::{Liquidate, LiquidateSettings, LoanId, MarketSettings, SwapRoute},
    },
};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    exchange::{Amount, Exchange, route},
    market::units,
};

pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(super) const DOLLAR: u128 = 1_000_000;
/// Fee of the manifest's pool, in millionths.
const FEE: u32 = 3_000;
/// Gas price, in wei: so low that small loans are profitable.
const GAS_PRICE: u128 = 1_000_000_000;

/// The chain, with everything that the strategy reads.
pub(super) struct Fixture {
    pub(super) suite: Suite,
    pub(super) params: MarketParams,
    pub(super) keeper: Address,
    pub(super) settings: LiquidateSettings,
    pub(super) node: EndpointReader,
    pub(super) valuer: Valuer,
    /// The most gas of one transaction, where it is less than the chain's limit.
    pub(super) room: u64,
    /// What was learnt of rivals.
    pub(super) races: RaceRecord,
    pub(super) provider: DynProvider,
    pub(super) pool: Address,
}

impl Fixture {
    /// Creates loans of ten ether against these dollars, at 2,000 dollars for an ether, and a pool with an amount of
    /// ether.
    pub(super) async fn new(dollars: impl IntoIterator<Item = u128>, pool_ether: u64) -> eyre::Result<Self> {
        let suite = Suite::start().await?;
        let params = suite.market("weth-usdc")?;
        suite.supply(&params, U256::from(1_000_000_000 * DOLLAR)).await?;
        suite.add_liquidity("weth-usdc", units(pool_ether, 18), units(pool_ether * 2_000, 6)).await?;
        let openings: Vec<_> =
            dollars.into_iter().map(|dollars| NewLoan { collateral: 10 * ETHER, debt: dollars * DOLLAR }).collect();
        let borrowers = Borrowers::deploy(&suite.devnet, suite.contract("Plimsoll")?, 30_000_000).await?;
        borrowers.open(&params, &openings).await?;

        let keeper = suite.devnet.node.account(3)?;
        let path = route(params.collateralToken, FEE, params.loanToken);
        let swapper = suite.contract("UniswapV3Swapper")?;
        let way = SwapRoute { swapper, path, pools: 1, profit_in_collateral: false, spot: None };
        let market = MarketSettings { routes: vec![way], ..MarketSettings::default() };
        let settings = LiquidateSettings {
            keeper,
            receiver: keeper,
            core: suite.contract("Plimsoll")?,
            liquidator: Some(suite.contract("Liquidator")?),
            markets: [(params.id().0, market)].into_iter().collect(),
            gas: GasTable::default(),
            max_slippage_bps: 1_000,
            bid_share_bps: 5_000,
            ordering: Ordering::Priority,
            builders_coin: None,
            reverts_are_mined: true,
            deadline_secs: 600,
        };
        let endpoint: Arc<Endpoint> = Arc::new(suite.devnet.node.http_url().parse()?);
        let node = EndpointReader::new(endpoint.clone(), endpoint.client().await?, keeper);
        let feed = |name: &str| suite.deployment.feeds.get(name).copied().wrap_err("no such feed");
        let usd = Source::Feeds {
            base: vec![feed("usdc-usd")?],
            quote: vec![feed("eth-usd")?],
            decimals: 6,
            max_age_secs: 86_400,
        };
        let coin = Source::fixed(U256::from(ETHER), 18).wrap_err("a coin is a coin")?;
        let valuer = Valuer::new(BTreeMap::from([(params.loanToken, usd), (params.collateralToken, coin)]));
        let provider = suite.devnet.node.impersonating().await?;
        let pool = suite.deployment.pools.get("weth-usdc").wrap_err("no such pool")?.address;
        let races = RaceRecord::default();
        Ok(Self { params, keeper, settings, node, valuer, room: u64::MAX, races, provider, pool, suite })
    }

    /// Sets the oracle's price from the next block on, in dollars.
    pub(super) async fn set_price(&self, dollars: u64) -> eyre::Result<()> {
        let transaction = self.suite.send_price("eth-usd", u128::from(dollars) * 100_000_000).await?;
        let config = PendingTransactionConfig::new(transaction);
        self.provider.watch_pending_transaction(config).await?.await?;
        Ok(())
    }

    /// Sets the exchange's price, in dollars.
    pub(super) async fn trade_to(&self, dollars: u64) -> eyre::Result<()> {
        let swapper = self.settings.markets[&self.params.id().0].routes[0].swapper;
        let swapper = IUniswapV3Swapper::new(swapper, self.suite.devnet.provider());
        let exchange = Exchange::at(&self.suite.devnet, swapper.factory().call().await?).await?;
        let amount = |token, units| Amount { token, units };
        let one = amount(self.params.collateralToken, units(1, 18));
        exchange.trade_to(self.pool, one, amount(self.params.loanToken, units(dollars, 6))).await?;
        Ok(())
    }

    /// Advances time by a block.
    pub(super) async fn wait(&self, seconds: u64) -> eyre::Result<()> {
        self.provider.anvil_increase_time(seconds).await?;
        self.provider.evm_mine(None).await?;
        Ok(())
    }

    pub(super) async fn head(&self) -> eyre::Result<Header> {
        head_of(&self.provider).await
    }

    pub(super) async fn prices(&self, head: &Header) -> eyre::Result<Prices> {
        let market = PricedMarket { id: self.params.id(), oracle: self.params.oracle };
        Ok(snapshot(&self.node, self.settings.core, head, &[market]).await?)
    }

    /// Returns the keeper's decisions now.
    pub(super) async fn round(&mut self) -> eyre::Result<Decisions<LoanId>> {
        let sources = Sources::all(self.settings.core, None);
        let (head, book) = (self.head().await?, book_of(&self.provider, sources).await?);
        let prices = self.prices(&head).await?;
        let costs = Costs { gas_price: GAS_PRICE, data_byte_price: 0, margin_bps: 1_000 };
        let room = room(head.gas_limit, 1 << 24, 4_500).min(self.room);
        let context = BlockContext { header: &head, prices: &prices, costs, room };
        let strategy = Liquidate::with_races(self.settings.clone(), self.races.clone());
        let nothing = |_: LoanId| None::<SkipReason>;
        Ok(strategy.decide(&self.node, &mut self.valuer, &book, context, &nothing).await)
    }

    pub(super) async fn mine(&self, intents: &[Intent]) -> eyre::Result<Vec<TransactionReceipt>> {
        send(&self.provider, self.keeper, intents).await
    }

    /// Mines an intent at a price per gas in wei, and undoes the block. Returns the receipt.
    pub(super) async fn try_at(&self, intent: &Intent, price: u128) -> eyre::Result<TransactionReceipt> {
        let before = self.provider.anvil_snapshot().await?;
        // What the node mines by itself leaves its pool after its receipt can be read. The next transaction, sent after the state
        // was set back and before that, would be given the nonce after it, and be lost.
        self.provider.anvil_set_auto_mine(false).await?;
        let request = TransactionRequest::default()
            .with_from(self.keeper)
            .with_to(intent.to)
            .with_gas_limit(intent.gas_limit)
            .with_input(intent.data.clone())
            .with_gas_price(price);
        let hash = *self.provider.send_transaction(request).await?.tx_hash();
        self.provider.evm_mine(None).await?;
        let receipt = self.provider.get_transaction_receipt(hash).await?.wrap_err("it is not mined")?;
        self.provider.anvil_revert(before).await?;
        self.provider.anvil_set_auto_mine(true).await?;
        Ok(receipt)
    }
}

/// Returns the newest block.
pub(super) async fn head_of(provider: &DynProvider) -> eyre::Result<Header> {
    let header = provider.get_block(BlockId::latest()).await?.wrap_err("there is no block")?.header;
    Ok(Header {
        number: header.number,
        hash: header.hash,
        parent_hash: header.parent_hash,
        timestamp: header.timestamp,
        base_fee: header.base_fee_per_gas.unwrap_or_default(),
        gas_limit: header.gas_limit,
        gas_used: header.gas_used,
    })
}

/// Builds a book of all events so far.
pub(super) async fn book_of(provider: &DynProvider, sources: Sources) -> eyre::Result<Book> {
    let addresses: Vec<_> = sources.addresses().collect();
    let logs = provider.get_logs(&Filter::new().address(addresses).from_block(0)).await?;
    let mut book = Book::new();
    let mut rest = logs.as_slice();
    while let Some(first) = rest.first() {
        let number = first.block_number.wrap_err("a log without a block")?;
        let (block, later) = rest.split_at(rest.partition_point(|log| log.block_number <= Some(number)));
        rest = later;
        let timestamp = first.block_timestamp.wrap_err("a log without a time")?;
        let events: Result<Vec<_>, _> = block.iter().filter_map(|log| sources.decode(&log.inner).transpose()).collect();
        book.apply(Block { number, timestamp }, &events?)?;
    }
    Ok(book)
}

/// Sends intents in one block with the head's timestamp, so that no interest accrues in between.
pub(super) async fn send(
    provider: &DynProvider,
    keeper: Address,
    intents: &[Intent],
) -> eyre::Result<Vec<TransactionReceipt>> {
    provider.anvil_set_auto_mine(false).await?;
    let mut pending = Vec::new();
    for intent in intents {
        let request = TransactionRequest::default()
            .with_from(keeper)
            .with_to(intent.to)
            .with_gas_limit(intent.gas_limit)
            .with_input(intent.data.clone());
        pending.push(provider.send_transaction(request).await?);
    }
    provider.anvil_set_next_block_timestamp(head_of(provider).await?.timestamp).await?;
    provider.evm_mine(None).await?;
    provider.anvil_set_auto_mine(true).await?;
    let mut receipts = Vec::new();
    for transaction in pending {
        let receipt = transaction.get_receipt().await?;
        ensure!(receipt.status(), "{} reverted after {} gas", receipt.transaction_hash, receipt.gas_used);
        receipts.push(receipt);
    }
    Ok(receipts)
}

/// Returns the liquidator's own event.
pub(super) fn outcome(receipt: &TransactionReceipt) -> Option<ILiquidator::LiquidateWithoutCapital> {
    let log = receipt.logs().iter().find_map(|log| ILiquidator::LiquidateWithoutCapital::decode_log(&log.inner).ok());
    log.map(|log| log.data)
}
