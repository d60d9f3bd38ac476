//! Plimsoll on the state of mainnet: real tokens, the real feed behind its proxy, real pools, and the block's own price
//! update.

use std::path::Path;

use alloy::{
    consensus::BlockHeader,
    eips::Encodable2718,
    primitives::{Address, Bytes, U256, aliases::U24, utils::Unit},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{Block, Filter, Log},
    sol,
    sol_types::{SolEvent, SolValue},
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_contracts::{IAggregatorV3, IOracle, IPlimsoll, ISwapper, MarketParams, market::BPS};
use plimsoll_deploy::manifest::Manifest;
use plimsoll_keeper::math::liquidation::ORACLE_SCALE;
use plimsoll_testkit::{
    deployment::Suite,
    devnet::{Devnet, mined},
    keeper::Keeper,
    recording::{ANVILS_OWN, Declared, Playback, Recorder},
};
use serde_json::Value;

use super::{
    mainnet::{self, POOL, People, USDC, WETH},
    upstream::Upstream,
};
use crate::support::{self, soon};

/// The block whose transaction [`UPDATE`] is Chainlink's report that ether fell by 0.58 %.
const BLOCK: u64 = 19_426_586;
const UPDATE: usize = 50;

const MANIFEST: &str = include_str!("weth-usdc.toml");
const SECONDS_PER_BLOCK: u64 = 1;
/// Without this Anvil uses the rules of the block, under which today's bytecode does not run.
const TODAYS_RULES: &str = "osaka";

/// Fee of the pool in which the lender buys dollars, so that the pool in which collateral is sold stays unchanged.
const FEE_TO_BUY: u32 = 3_000;
/// Further settings of the keeper: the pool with most of the trade, and that a dollar is the unit of the ether feed.
const KEEPER: &str = r#"
[tokens.USDC]
feeds = []
quote_feeds = ["eth-usd"]

[liquidate.markets.weth-usdc]
path = ["WETH", "0.05%", "USDC"]
"#;
/// Number of blocks after the liquidations in which the keeper must not send anything.
const BLOCKS_AFTER: u64 = 3;

const LENDER: usize = 1;
/// Ether that the lender sells. The recording covers up to 50 in that pool.
const LENDERS_ETHER: u64 = 50;
/// The borrow LTV of the manifest.
const BORROW_LTV_BPS: u32 = 8_557;
/// Collateral of each borrower. All that can be seized is less than the 100 that the recording covers.
const BORROWERS_ETHER: u64 = 10;
/// Account indices with the part of the borrow limit that each borrows. The borrow LTV is 99.5 % of the liquidation LTV
/// and the price falls by 0.576 %: those with at least 99.93 % become liquidatable, and one with 99.9 % just does not.
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
    suite: Suite,
    market: MarketParams,
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_real_price_update_exactly_the_liquidatable_loans_are_liquidated_through_the_real_pool()
-> eyre::Result<()> {
    let Some(upstream) = Upstream::before(BLOCK, &mainnet::overrides()?).await? else { return Ok(()) };
    let read_outside = carry_on(&upstream.http_url(), &upstream.block()?).await?;
    upstream.finish(&read_outside).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_against_a_live_chain_is_repeatable_from_its_recording() -> eyre::Result<()> {
    let overrides = [mainnet::overrides()?, mainnet::anvils_accounts_in_use()].concat();
    let Some(chain) = Upstream::before(BLOCK, &overrides).await? else { return Ok(()) };
    let recorder = Recorder::start(chain.http_url().parse()?, BLOCK).await?;
    let block = recorder.block()?;
    carry_on(&recorder.http_url(), &block).await?;
    // Without overrides: all state was recorded.
    let playback = Playback::start(recorder.recording().await?, &[]).await?;
    let read_outside = carry_on(&playback.http_url(), &block).await?;
    playback.check(&read_outside)?;
    Ok(())
}

/// Forks before the block, supplies and borrows, and sends the block's price update while a keeper watches. Returns
/// what all of it reads outside a recording.
async fn carry_on(upstream: &str, block: &Block) -> eyre::Result<Vec<Declared>> {
    let fork = Fork::start(upstream, block).await?;
    fork.lend_and_borrow().await?;
    let keeper = fork.keeper().await?;
    let nobody = Vec::<Address>::new();
    assert_eq!(fork.below_the_line(&keeper).await?, nobody, "just above the line is above it");
    let ether = fork.provider().get_balance(keeper.signer()).await?;
    let dollars = fork.balance(USDC, keeper.signer()).await?;
    let (price, in_the_pool) = (fork.answer().await?, fork.balance(WETH, POOL).await?);

    fork.play(block, UPDATE).await?;
    let prices = (price, fork.answer().await?);
    assert_eq!(prices, (397_408_050_000, 395_118_825_522), "the price is what the block made it");
    let mut beyond = fork.accounts(BEYOND_THE_LINE)?;
    beyond.sort_unstable();
    fork.until_nothing_is_left_to_do(&keeper, beyond.len()).await?;
    let liquidations = fork.liquidations().await?;
    let liquidated: Vec<_> = liquidations.iter().map(|event| event.borrower).collect();
    assert_eq!(liquidated, beyond, "exactly those beyond the line are liquidated, and once");
    assert_eq!(fork.below_the_line(&keeper).await?, nobody, "and they are safe again");

    let seized: U256 = liquidations.iter().map(|event| event.seized).sum();
    assert_eq!(fork.balance(WETH, POOL).await?, in_the_pool + seized, "the real pool bought what was seized");
    fork.ensure_all_sent_succeeded(keeper.signer()).await?;
    let spent = ether - fork.provider().get_balance(keeper.signer()).await?;
    let earned = fork.balance(USDC, keeper.signer()).await? - dollars;
    let price = IOracle::new(fork.market.oracle, fork.provider()).liquidationPrice().call().await?;
    assert!(earned > spent * price / ORACLE_SCALE, "{earned} earned, and {spent} spent on gas");
    for token in [USDC, WETH] {
        let left = fork.balance(token, fork.suite.contract("Liquidator")?).await?;
        assert_eq!(left, U256::ZERO, "nothing stays in the contract that liquidates");
    }
    let people = fork.people(keeper.signer())?;
    keeper.shut_down().await?;
    mainnet::outside(&fork.suite.deployment, &people)
}

impl Fork {
    /// Forks before a block, under today's rules, and deploys.
    async fn start(upstream: &str, block: &Block) -> eyre::Result<Self> {
        let (before, base_fee) = ((block.header.number() - 1).to_string(), block.header.base_fee_per_gas());
        let base_fee = base_fee.unwrap_or_default().to_string();
        let arguments = ["--fork-url", upstream, "--fork-block-number", &before, "--no-storage-caching"];
        let rules = ["--hardfork", TODAYS_RULES, "--block-base-fee-per-gas", &base_fee];
        let devnet = Devnet::start_with(&[&arguments[..], &rules].concat()).await?;
        devnet.provider().anvil_set_block_timestamp_interval(SECONDS_PER_BLOCK).await?;
        // On mainnet itself these accounts are in use.
        for account in ANVILS_OWN {
            devnet.provider().anvil_set_nonce(account, 0).await?;
        }
        let manifest = Manifest::parse(Path::new("weth-usdc.toml"), MANIFEST.to_owned())?;
        let suite = Box::pin(Suite::deploy(devnet, &manifest)).await?;
        let market = suite.market("weth-usdc")?;
        Ok(Self { suite, market })
    }

    /// Starts a live keeper and waits until it has applied the newest block.
    async fn keeper(&self) -> eyre::Result<Keeper> {
        let keeper = Keeper::start(&self.suite, support::keeper(), KEEPER).await?;
        soon(keeper.wait_until_ready()).await?;
        soon(keeper.wait_for_block(self.provider().get_block_number().await?)).await?;
        Ok(keeper)
    }

    /// A lender sells ether for dollars and supplies them; borrowers borrow parts of their limits.
    async fn lend_and_borrow(&self) -> eyre::Result<()> {
        let (lender, weth) = (self.suite.devnet.node.account(LENDER)?, IWeth::new(WETH, self.provider()));
        let core = IPlimsoll::new(self.suite.contract("Plimsoll")?, self.provider());
        let sold = Unit::ETHER.wei() * U256::from(LENDERS_ETHER);
        mined(weth.deposit().value(sold).from(lender)).await?;
        let swapper = ISwapper::new(self.suite.contract("UniswapV3Swapper")?, self.provider());
        mined(weth.transfer(*swapper.address(), sold).from(lender)).await?;
        let path = route(WETH, FEE_TO_BUY, USDC);
        mined(swapper.swapExactIn(WETH, USDC, sold, U256::ONE, lender, path).from(lender)).await?;
        let lent = self.balance(USDC, lender).await?;
        mined(IWeth::new(USDC, self.provider()).approve(*core.address(), lent).from(lender)).await?;
        mined(core.supply(self.market.clone(), lent, U256::ZERO, lender, Bytes::new()).from(lender)).await?;

        let posted = Unit::ETHER.wei() * U256::from(BORROWERS_ETHER);
        let price = IOracle::new(self.market.oracle, self.provider()).borrowPrice().call().await?;
        let most = posted * price / ORACLE_SCALE * U256::from(BORROW_LTV_BPS) / U256::from(BPS);
        for (index, borrowed_bps) in BORROWED_BPS {
            let borrower = self.suite.devnet.node.account(index)?;
            mined(weth.deposit().value(posted).from(borrower)).await?;
            mined(weth.approve(*core.address(), posted).from(borrower)).await?;
            mined(core.supplyCollateral(self.market.clone(), posted, borrower, Bytes::new()).from(borrower)).await?;
            // Debt is rounded up by a unit.
            let debt = most * U256::from(borrowed_bps) / U256::from(BPS) - U256::ONE;
            mined(core.borrow(self.market.clone(), debt, U256::ZERO, borrower, borrower).from(borrower)).await?;
        }
        Ok(())
    }

    /// Sends one of the block's own transactions with its original signature.
    async fn play(&self, block: &Block, position: usize) -> eyre::Result<()> {
        let transaction = block.transactions.txns().nth(position).wrap_err("the block has no such transaction")?;
        let sent = self.provider().send_raw_transaction(&transaction.inner.encoded_2718()).await?;
        ensure!(sent.get_receipt().await?.status(), "transaction {position} of the block reverted");
        Ok(())
    }

    /// Mines blocks, each when the keeper has applied the last, until a number of loans are liquidated and nothing is
    /// pending, and then further blocks in which the keeper could send something.
    async fn until_nothing_is_left_to_do(&self, keeper: &Keeper, loans: usize) -> eyre::Result<()> {
        soon(async {
            while self.liquidations().await?.len() < loans || keeper.pending().await? > 0 {
                self.mine(keeper).await?;
            }
            for _ in 0..BLOCKS_AFTER {
                self.mine(keeper).await?;
            }
            Ok(())
        })
        .await
    }

    async fn mine(&self, keeper: &Keeper) -> eyre::Result<()> {
        self.provider().evm_mine(None).await?;
        keeper.wait_for_block(self.provider().get_block_number().await?).await
    }

    /// Returns the accounts that the keeper shows as liquidatable.
    async fn below_the_line(&self, keeper: &Keeper) -> eyre::Result<Vec<Address>> {
        let watches = |positions: &Value| positions["positions"].as_array().is_some_and(|all| !all.is_empty());
        let positions = soon(keeper.wait_until("positions", watches)).await?;
        let all = positions["positions"].as_array().wrap_err("the keeper shows no positions")?;
        let below = all.iter().filter(|position| position["distance_bps"].as_i64().is_some_and(|bps| bps < 0));
        below.map(|position| Ok(serde_json::from_value(position["account"].clone())?)).collect()
    }

    /// Returns all liquidations, sorted by borrower.
    async fn liquidations(&self) -> eyre::Result<Vec<IPlimsoll::Liquidate>> {
        let filter = Filter::new().address(self.suite.contract("Plimsoll")?).from_block(self.first_block()?);
        let logs = self.provider().get_logs(&filter.event_signature(IPlimsoll::Liquidate::SIGNATURE_HASH)).await?;
        let event = |log: &Log| Ok(IPlimsoll::Liquidate::decode_log(&log.inner)?.data);
        let mut liquidations: Vec<_> = logs.iter().map(event).collect::<eyre::Result<_>>()?;
        liquidations.sort_unstable_by_key(|event| event.borrower);
        Ok(liquidations)
    }

    /// Checks that all transactions of an account were mined and succeeded.
    async fn ensure_all_sent_succeeded(&self, signer: Address) -> eyre::Result<()> {
        let mut succeeded = 0;
        for number in self.first_block()?..=self.provider().get_block_number().await? {
            let receipts = self.provider().get_block_receipts(number.into()).await?.unwrap_or_default();
            for receipt in receipts.iter().filter(|receipt| receipt.from == signer) {
                ensure!(receipt.status(), "{} reverted", receipt.transaction_hash);
                succeeded += 1;
            }
        }
        ensure!(succeeded == self.provider().get_transaction_count(signer).pending().await?, "something waits");
        Ok(())
    }

    fn first_block(&self) -> eyre::Result<u64> {
        self.suite.deployment.first_block().wrap_err("nothing was deployed")
    }

    fn accounts(&self, indices: impl IntoIterator<Item = usize>) -> eyre::Result<Vec<Address>> {
        indices.into_iter().map(|index| self.suite.devnet.node.account(index)).collect()
    }

    fn people(&self, keeper: Address) -> eyre::Result<People> {
        let lender = self.suite.devnet.node.account(LENDER)?;
        Ok(People { keeper, lender, borrowers: self.accounts(BORROWED_BPS.map(|(index, _)| index))? })
    }

    /// Returns the feed's answer.
    async fn answer(&self) -> eyre::Result<u64> {
        let round = IAggregatorV3::new(mainnet::FEED, self.provider()).latestRoundData().call().await?;
        u64::try_from(round.answer).wrap_err("no price")
    }

    async fn balance(&self, token: Address, account: Address) -> eyre::Result<U256> {
        Ok(IWeth::new(token, self.provider()).balanceOf(account).call().await?)
    }

    const fn provider(&self) -> &DynProvider {
        self.suite.devnet.provider()
    }
}

/// Encodes a path of one pool.
fn route(from: Address, fee: u32, to: Address) -> Bytes {
    (from, U24::saturating_from(fee), to).abi_encode_packed().into()
}
