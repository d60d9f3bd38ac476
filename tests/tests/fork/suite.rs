//! Plimsoll on mainnet's own state: real tokens, the real feed behind its proxy, real pools, and the block's own update
//! of the price.

use std::path::Path;

use alloy::{
    consensus::BlockHeader,
    eips::{BlockNumberOrTag, Encodable2718},
    primitives::{Address, Bytes, U256, aliases::U24, utils::Unit},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{Block, Filter},
    sol,
    sol_types::{SolEvent, SolValue},
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_contracts::{
    IAggregatorV3, ILiquidator, IOracle, IPlimsoll, ISwapper, MarketParams, deployment::Deployment, market::BPS,
};
use plimsoll_deploy::{
    apply, connection::Chain, design::Design, manifest::Manifest, node::Node, packages, plan::Inputs,
};
use plimsoll_keeper::{
    book::{self, Book},
    chain::{Event, Sources},
    math::liquidation::ORACLE_SCALE,
};
use plimsoll_lab::{
    recording::{Declared, Playback, Recorder},
    rig::mined,
};
use tempfile::TempDir;

use super::{
    mainnet::{self, People, USDC, WETH},
    upstream::Upstream,
};
use crate::support;

/// The block whose transaction [`UPDATE`] is Chainlink's report that ether fell by 0.58 %.
const BLOCK: u64 = 19_426_586;
const UPDATE: usize = 50;

const MANIFEST: &str = include_str!("weth-usdc.toml");
const SECONDS_PER_BLOCK: u64 = 1;
/// Left alone, Anvil takes those of the block, under which code of today does not run.
const TODAYS_RULES: &str = "osaka";

/// Of the pool with most of the trade, and of the one where the lender gets his dollars, so that the first is as it was.
const FEE_TO_SELL: u32 = 500;
const FEE_TO_BUY: u32 = 3_000;

const LIQUIDATOR: usize = 0;
const LENDER: usize = 1;
/// Sold for what is lent. The recording does not reach further than 50 in that pool.
const LENDERS_ETHER: u64 = 50;
/// The manifest's.
const BORROW_LTV_BPS: u32 = 8_557;
/// What each borrower posts. All that can be seized is less than the 100 that the recording reaches to.
const BORROWERS_ETHER: u64 = 10;
/// Which account borrows how much of what it may, in basis points. Borrowing ends at 99.5 % of the line and the price
/// falls by 0.576 %: who took at least 99.93 % is then beyond it, and who took 99.9 % just above.
const BORROWED_BPS: [(usize, u32); 6] = [(2, 10_000), (3, 9_950), (4, 9_995), (5, 5_000), (6, 9_990), (7, 10_000)];
const BEYOND_THE_LINE: [usize; 3] = [2, 4, 7];

sol! {
    #[sol(rpc)]
    interface IWeth {
        function deposit() external payable;
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
    }
}

/// A fork with Plimsoll on it.
struct Fork {
    node: Node,
    deployment: Deployment,
    market: MarketParams,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_price_update_has_exactly_the_unsafe_liquidated_through_the_real_pool() -> eyre::Result<()> {
    let Some(upstream) = Upstream::before(BLOCK, &mainnet::overrides()?).await? else { return Ok(()) };
    let read_outside = carry_on(&upstream.http_url(), &upstream.block()?).await?;
    upstream.finish(&read_outside).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_against_a_live_chain_can_be_repeated_from_what_was_recorded_of_it() -> eyre::Result<()> {
    let Some(chain) = Upstream::before(BLOCK, &mainnet::overrides()?).await? else { return Ok(()) };
    let recorder = Recorder::start(chain.http_url().parse()?, BLOCK).await?;
    let block = recorder.block()?;
    carry_on(&recorder.http_url(), &block).await?;
    // No overrides: whatever the chain had was recorded.
    let playback = Playback::start(recorder.recording().await?, &[]).await?;
    let read_outside = carry_on(&playback.http_url(), &block).await?;
    playback.check(&read_outside)?;
    Ok(())
}

/// Forks before the block, lends and borrows, plays the block's update of the price, and liquidates. Answers what all of
/// it reads outside a recording.
async fn carry_on(upstream: &str, block: &Block) -> eyre::Result<Vec<Declared>> {
    let fork = Fork::start(upstream, block).await?;
    fork.lend_and_borrow().await?;
    let nobody = Vec::<Address>::new();
    assert_eq!(fork.liquidatable().await?, nobody, "just above the line is above it");

    let before = fork.answer().await?;
    fork.play(block, UPDATE).await?;
    let after = fork.answer().await?;
    assert_eq!((before, after), (397_408_050_000, 395_118_825_522), "the price is what the block made it");

    let mut beyond = fork.accounts(BEYOND_THE_LINE)?;
    beyond.sort_unstable();
    assert_eq!(fork.liquidatable().await?, beyond);
    let mut liquidated = liquidate(&fork).await?;
    liquidated.sort_unstable();
    assert_eq!(liquidated, beyond, "exactly those beyond the line are liquidated");
    assert_eq!(fork.liquidatable().await?, nobody, "and they are safe again");
    assert!(fork.dollars(fork.node.account(LIQUIDATOR)?).await? > U256::ZERO, "whoever did it earned by it");
    mainnet::outside(&fork.deployment, &fork.people()?)
}

/// Has whoever can be liquidated liquidated, and tells who was. It stands where a keeper will run.
async fn liquidate(fork: &Fork) -> eyre::Result<Vec<Address>> {
    let borrowers = fork.liquidatable().await?;
    let liquidator = ILiquidator::new(fork.contract("Liquidator")?, fork.provider());
    let caller = fork.node.account(LIQUIDATOR)?;
    let wanted = ILiquidator::Liquidation {
        params: fork.market.clone(),
        borrowers,
        maxRepay: U256::MAX,
        swapper: fork.contract("UniswapV3Swapper")?,
        route: route(WETH, FEE_TO_SELL, USDC),
        profitInCollateral: false,
        minProfit: U256::ONE,
        receiver: caller,
        deadline: U256::MAX,
    };
    let receipt = mined(liquidator.liquidate(wanted).from(caller)).await?;
    let events = receipt.logs().iter().filter_map(|log| IPlimsoll::Liquidate::decode_log(&log.inner).ok());
    Ok(events.map(|event| event.borrower).collect())
}

impl Fork {
    /// Forks before a block, under today's rules, and deploys.
    async fn start(upstream: &str, block: &Block) -> eyre::Result<Self> {
        let tools = support::tools()?;
        let (before, base_fee) = ((block.header.number() - 1).to_string(), block.header.base_fee_per_gas());
        let base_fee = base_fee.unwrap_or_default().to_string();
        let arguments = ["--fork-url", upstream, "--fork-block-number", &before, "--no-storage-caching"];
        let rules = ["--hardfork", TODAYS_RULES, "--block-base-fee-per-gas", &base_fee];
        let node = Node::start(&tools, &[&arguments[..], &rules].concat()).await?;
        node.provider().anvil_set_block_timestamp_interval(SECONDS_PER_BLOCK).await?;

        let artifacts = packages::everything(&tools)?;
        let manifest = Manifest::parse(Path::new("weth-usdc.toml"), MANIFEST.to_owned())?;
        let design = Design::new(&manifest, &artifacts)?;
        let chain = Chain::connect(node.http_url().parse()?).await?;
        let signer = manifest.tables.deployer.key.load(chain.local())?;
        let inputs = Inputs { design: &design, artifacts: &artifacts, chain: &chain, may_replace: false };
        let records = TempDir::new()?;
        let deployment = apply::apply(inputs, signer, &records.path().join("1.json"), &|_| {}).await?;
        let market = deployment.markets.get("weth-usdc").wrap_err("the market is not on record")?.params();
        Ok(Self { node, deployment, market })
    }

    /// A lender sells ether for dollars and lends them; borrowers go as near to the line as they may, or less near.
    async fn lend_and_borrow(&self) -> eyre::Result<()> {
        let (lender, weth) = (self.node.account(LENDER)?, IWeth::new(WETH, self.provider()));
        let core = IPlimsoll::new(self.contract("Plimsoll")?, self.provider());
        let sold = Unit::ETHER.wei() * U256::from(LENDERS_ETHER);
        mined(weth.deposit().value(sold).from(lender)).await?;
        let swapper = ISwapper::new(self.contract("UniswapV3Swapper")?, self.provider());
        mined(weth.transfer(*swapper.address(), sold).from(lender)).await?;
        let path = route(WETH, FEE_TO_BUY, USDC);
        mined(swapper.swapExactIn(WETH, USDC, sold, U256::ONE, lender, path).from(lender)).await?;
        let lent = self.dollars(lender).await?;
        mined(IWeth::new(USDC, self.provider()).approve(*core.address(), lent).from(lender)).await?;
        mined(core.supply(self.market.clone(), lent, U256::ZERO, lender, Bytes::new()).from(lender)).await?;

        let posted = Unit::ETHER.wei() * U256::from(BORROWERS_ETHER);
        let price = IOracle::new(self.market.oracle, self.provider()).borrowPrice().call().await?;
        let most = posted * price / ORACLE_SCALE * U256::from(BORROW_LTV_BPS) / U256::from(BPS);
        for (index, borrowed_bps) in BORROWED_BPS {
            let borrower = self.node.account(index)?;
            mined(weth.deposit().value(posted).from(borrower)).await?;
            mined(weth.approve(*core.address(), posted).from(borrower)).await?;
            mined(core.supplyCollateral(self.market.clone(), posted, borrower, Bytes::new()).from(borrower)).await?;
            // What is owed is rounded up by a unit.
            let debt = most * U256::from(borrowed_bps) / U256::from(BPS) - U256::ONE;
            mined(core.borrow(self.market.clone(), debt, U256::ZERO, borrower, borrower).from(borrower)).await?;
        }
        Ok(())
    }

    /// Sends one of the block's own transactions, as it was signed.
    async fn play(&self, block: &Block, position: usize) -> eyre::Result<()> {
        let transaction = block.transactions.txns().nth(position).wrap_err("the block has no such transaction")?;
        let sent = self.provider().send_raw_transaction(&transaction.inner.encoded_2718()).await?;
        ensure!(sent.get_receipt().await?.status(), "transaction {position} of the block reverted");
        Ok(())
    }

    /// Whom the keeper's book, made of the fork's events alone, finds beyond the line, in order.
    async fn liquidatable(&self) -> eyre::Result<Vec<Address>> {
        let head = self.provider().get_block_by_number(BlockNumberOrTag::Latest).await?.wrap_err("no head")?;
        let core = self.contract("Plimsoll")?;
        let sources = Sources { core, rewards: None };
        let first = self.deployment.first_block().wrap_err("nothing was deployed")?;
        let mut book = Book::new();
        for number in first..=head.header.number() {
            let logs = self.provider().get_logs(&Filter::new().address(core).select(number)).await?;
            let timestamp = self.timestamp(number).await?;
            let events: Vec<Event> =
                logs.iter().filter_map(|log| sources.decode(&log.inner).transpose()).collect::<Result<_, _>>()?;
            book.apply(book::Block { number, timestamp }, &events)?;
        }
        let market = book.market(self.market.id()).wrap_err("the book does not know the market")?;
        let price = IOracle::new(self.market.oracle, self.provider()).liquidationPrice().call().await?;
        let found = market.liquidatable(price, head.header.timestamp());
        let mut found: Vec<_> = found.into_iter().map(|candidate| candidate.account).collect();
        found.sort_unstable();
        Ok(found)
    }

    fn accounts(&self, indices: impl IntoIterator<Item = usize>) -> eyre::Result<Vec<Address>> {
        indices.into_iter().map(|index| self.node.account(index)).collect()
    }

    fn people(&self) -> eyre::Result<People> {
        let [liquidator, lender] = [LIQUIDATOR, LENDER].map(|index| self.node.account(index));
        let borrowers = self.accounts(BORROWED_BPS.map(|(index, _)| index))?;
        Ok(People { liquidator: liquidator?, lender: lender?, borrowers })
    }

    async fn timestamp(&self, number: u64) -> eyre::Result<u64> {
        let block = self.provider().get_block_by_number(BlockNumberOrTag::Number(number)).await?;
        Ok(block.wrap_err_with(|| format!("block {number} is gone"))?.header.timestamp())
    }

    /// What the feed answers.
    async fn answer(&self) -> eyre::Result<u64> {
        let round = IAggregatorV3::new(mainnet::FEED, self.provider()).latestRoundData().call().await?;
        u64::try_from(round.answer).wrap_err("no price")
    }

    async fn dollars(&self, account: Address) -> eyre::Result<U256> {
        Ok(IWeth::new(USDC, self.provider()).balanceOf(account).call().await?)
    }

    fn contract(&self, kind: &str) -> eyre::Result<Address> {
        let contract = self.deployment.only(kind).wrap_err_with(|| format!("there is no single {kind} on record"))?;
        Ok(contract.address)
    }

    const fn provider(&self) -> &DynProvider {
        self.node.provider()
    }
}

/// A path of one pool.
fn route(from: Address, fee: u32, to: Address) -> Bytes {
    (from, U24::saturating_from(fee), to).abi_encode_packed().into()
}
