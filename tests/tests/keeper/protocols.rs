//! Positions of Morpho Blue, from its real bytecode, liquidated by whole keepers that serve a deployment of Plimsoll
//! besides, or none: each once, none that is healthy, with the profit kept; through kills and reorgs.

use std::{collections::BTreeMap, time::Duration};

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256, Bytes, U256, keccak256, utils::parse_ether},
    providers::{PendingTransactionConfig, Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
    sol_types::{SolCall, SolValue},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    IExecutor::{self, Target, TargetKind, Venue, VenueKind},
    IUniswapV3Swapper,
};
use plimsoll_protocols::morpho_blue::{IMorphoBlue, MarketParams};
use plimsoll_testkit::{
    devnet::{IOneSlotOracle, ITestToken, mined},
    exchange::{Amount, Exchange, FEE, POOL_CODE_HASH},
    keeper::{Keeper, KeeperSetup},
    morpho_blue::{MorphoBlue, PreLiquidations},
    proxy::{Fault, Phase, Proxy, Rule},
};
use serde_json::{Value, json};

use super::fixture::{EARLY_FINALITY, ETHER, Fixture, program, soon};
use crate::support::events;

pub(super) const DOLLAR: u128 = 1_000_000;
/// Time between two queries of a transaction that is waited for.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Base fee, in wei, at which a liquidation costs a small part of its bonus.
const BASE_FEE: u128 = 1_000_000_000;
/// Fee, in wei, that puts a transaction before every other one of its block.
pub(super) const FIRST_FEE: u128 = 1_000_000_000_000;
/// Accounts of the node: one lends, the others borrow.
pub(super) const LENDER: usize = 1;
const BORROWERS: std::ops::Range<usize> = 2..7;
/// Debt of the first borrower against an ether; each further one owes a step less.
const FIRST_DEBT: u128 = 1_500 * DOLLAR;
const DEBT_STEP: u128 = 20 * DOLLAR;
/// Gas of a loan, with the accrual of interest. An estimate may be without that: it is made for the timestamp of the newest
/// block, and interest is computed once for each timestamp.
const BORROW_GAS: u64 = 1_000_000;

/// A suite with a Morpho Blue besides it, whose positions are liquidatable from prices of their own.
pub(super) struct Besides {
    pub(super) fixture: Fixture,
    pub(super) morpho: MorphoBlue,
    pub(super) market: MarketParams,
    pub(super) executor: Address,
    pub(super) borrowers: Vec<Address>,
    pub(super) pre_liquidations: PreLiquidations,
}

/// The oracle's price for so many dollars of six decimals for an ether.
pub(super) fn price(dollars: u128) -> U256 {
    U256::from(dollars) * U256::from(10).pow(U256::from(18))
}

impl Besides {
    pub(super) async fn new() -> eyre::Result<Self> {
        Self::with(&[]).await
    }

    /// With loans against a token that pools with these fees, and so much of it, buy for dollars at 2,000; without any, against
    /// ether.
    async fn with(pools: &[(u32, u128)]) -> eyre::Result<Self> {
        let fixture = Fixture::new(&[]).await?;
        let suite = &fixture.suite;
        let devnet = &suite.devnet;
        let morpho = MorphoBlue::deploy(devnet).await?;
        let swapper = IUniswapV3Swapper::new(suite.contract("UniswapV3Swapper")?, devnet.provider());
        let factory = swapper.factory().call().await?;
        let pre_liquidations = PreLiquidations::deploy(devnet, &morpho).await?;
        let targets = vec![
            Target { kind: TargetKind::MorphoBlue, account: morpho.core },
            Target { kind: TargetKind::MorphoPreLiquidation, account: pre_liquidations.factory },
        ];
        let venues = vec![Venue { kind: VenueKind::UniswapV3, deployer: factory, poolInitCodeHash: POOL_CODE_HASH }];
        let arguments = (suite.token("WETH")?, targets, venues).abi_encode_params();
        let executor = devnet.deploy("Executor", arguments).await?;
        let dollars = suite.token("USDC")?;
        let collateral = if pools.is_empty() { suite.token("WETH")? } else { devnet.deploy_token("STONE", 18).await? };
        let exchange = Exchange::at(devnet, factory).await?;
        for (fee, stones) in pools {
            let amount = |token, units| Amount { token, units: U256::from(units) };
            let (one, other) = (amount(collateral, stones * ETHER), amount(dollars, stones * 2_000 * DOLLAR));
            exchange.add_liquidity(*fee, one, other).await?;
        }
        let oracle = devnet.deploy("OneSlotOracle", price(2_000 * DOLLAR).abi_encode()).await?;
        let market = morpho.create_market(devnet, [collateral, dollars], oracle, parse_ether("0.86")?).await?;
        let lender = devnet.account(LENDER)?;
        let supply = U256::from(1_000_000 * DOLLAR);
        devnet.mint_and_approve(dollars, lender, supply, morpho.core).await?;
        let core = IMorphoBlue::new(morpho.core, devnet.provider());
        mined(core.supply(market.clone(), supply, U256::ZERO, lender, Bytes::new()).from(lender)).await?;
        let mut besides = Self { morpho, market, executor, borrowers: Vec::new(), pre_liquidations, fixture };
        for (index, account) in (0..).zip(BORROWERS) {
            besides.borrow(account, FIRST_DEBT - DEBT_STEP * index).await?;
        }
        Ok(besides)
    }

    async fn borrow(&mut self, account: usize, debt: u128) -> eyre::Result<()> {
        let devnet = &self.fixture.suite.devnet;
        let (account, collateral) = (devnet.account(account)?, U256::from(ETHER));
        devnet.mint_and_approve(self.market.collateralToken, account, collateral, self.morpho.core).await?;
        let core = IMorphoBlue::new(self.morpho.core, devnet.provider());
        let supplied = core.supplyCollateral(self.market.clone(), collateral, account, Bytes::new());
        mined(supplied.from(account)).await?;
        let borrowed = core.borrow(self.market.clone(), U256::from(debt), U256::ZERO, account, account);
        mined(borrowed.from(account).gas(BORROW_GAS)).await?;
        self.borrowers.push(account);
        Ok(())
    }

    pub(super) fn setup(&self, endpoints: Option<&Proxy>) -> KeeperSetup {
        let live = KeeperSetup::live(&self.fixture.suite);
        let further = format!(
            "{EARLY_FINALITY}[[protocols]]\nkind = \"morpho-blue\"\naddress = \"{}\"\nfirst_block = 1\n\
             pre_liquidation_factory = \"{}\"\n[executor]\naddress = \"{}\"\n",
            self.morpho.core, self.pre_liquidations.factory, self.executor
        );
        let endpoints = endpoints.map_or(live.endpoints.clone(), |proxy| vec![format!("url = \"{}\"", proxy.ws_url())]);
        KeeperSetup { endpoints, further, ..live }
    }

    /// Settings of a keeper that knows of no deployment of Plimsoll. Values of tokens are its operator's own.
    fn setup_alone(&self) -> eyre::Result<KeeperSetup> {
        let [ether, dollars] = [self.market.collateralToken, self.market.loanToken];
        let tokens = format!(
            "[tokens.WETH]\naddress = \"{ether}\"\ndecimals = 18\nrate = \"1\"\n\
             [tokens.USDC]\naddress = \"{dollars}\"\ndecimals = 6\nrate = \"0.0005\"\n"
        );
        let setup = self.setup(None);
        let deployment = format!("chain_id = {}", self.fixture.suite.deployment.chain_id);
        Ok(KeeperSetup { deployment, further: setup.further.clone() + "hubs = [\"WETH\"]\n" + &tokens, ..setup })
    }

    /// Stops the node's own mining, starts a keeper, and lets it see two blocks: values, and pools.
    async fn begin(&self, setup: &KeeperSetup) -> eyre::Result<Keeper> {
        self.stop_mining().await?;
        let keeper = self.start(setup).await?;
        self.mine(&keeper).await?;
        self.mine(&keeper).await?;
        Ok(keeper)
    }

    pub(super) async fn start(&self, setup: &KeeperSetup) -> eyre::Result<Keeper> {
        let keeper = Keeper::start_with(&self.fixture.suite, program(), setup).await?;
        keeper.wait_until_ready().await?;
        Ok(keeper)
    }

    /// Sets the price at which so many positions are 1 % below their liquidation price, in a block of its own.
    pub(super) async fn drop_price_below(&self, positions: u128) -> eyre::Result<()> {
        self.set_price((FIRST_DEBT - DEBT_STEP * (positions - 1)) * 100 / 86 * 99 / 100).await
    }

    /// Sets the price of an ether, in units of the dollar, in a block of its own.
    pub(super) async fn set_price(&self, dollars: u128) -> eyre::Result<()> {
        let oracle = IOneSlotOracle::new(self.market.oracle, self.fixture.provider());
        let set = oracle.set(price(dollars)).from(self.fixture.suite.devnet.deployer()).gas(200_000);
        let pending = set.max_fee_per_gas(2 * FIRST_FEE).max_priority_fee_per_gas(FIRST_FEE).send().await?;
        self.fixture.mine().await?;
        ensure!(pending.get_receipt().await?.status(), "the price is refused");
        Ok(())
    }

    pub(super) fn market_id(&self) -> B256 {
        keccak256(self.market.abi_encode())
    }

    /// Returns how often each borrower was liquidated on the present chain.
    pub(super) async fn liquidated(&self) -> eyre::Result<BTreeMap<Address, u64>> {
        let mut times = BTreeMap::new();
        for event in events::<IMorphoBlue::Liquidate>(self.fixture.provider(), self.morpho.core).await? {
            ensure!(event.id == self.market_id() && event.badDebtShares.is_zero(), "{event:?}");
            *times.entry(event.borrower).or_default() += 1;
        }
        Ok(times)
    }

    /// Mines a block, and waits until the keeper has decided on it and sent what it wants to send.
    pub(super) async fn mine(&self, keeper: &Keeper) -> eyre::Result<()> {
        let head = self.fixture.mine().await?;
        let is_decided = |status: &Value| status["protocols"][0]["block"].as_u64() >= Some(head);
        let status = keeper.wait_until("status", is_decided).await?;
        let counts = status["protocols"][0]["decisions"].as_array().cloned().unwrap_or_default();
        if counts.iter().any(|count| count["acts"] == true) {
            let is_sent = async {
                while !self.has_pending(keeper.signer()).await? {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                Ok(())
            };
            soon(is_sent).await?;
        }
        Ok(())
    }

    pub(super) async fn has_pending(&self, signer: Address) -> eyre::Result<bool> {
        let provider = self.fixture.provider();
        let mined = provider.get_transaction_count(signer).await?;
        Ok(provider.get_transaction_count(signer).pending().await? > mined)
    }

    /// Mines blocks until so many borrowers were liquidated.
    pub(super) async fn wait_until_liquidated(&self, borrowers: usize, keeper: &Keeper) -> eyre::Result<()> {
        soon(async {
            while self.liquidated().await?.len() < borrowers {
                self.mine(keeper).await?;
            }
            Ok(())
        })
        .await
    }

    /// Checks that the first borrowers were liquidated, each once and wholly, and no other was touched.
    async fn ensure_liquidated(&self, borrowers: usize) -> eyre::Result<()> {
        let (gone, healthy) = self.borrowers.split_at(borrowers);
        let expected: BTreeMap<_, _> = gone.iter().map(|account| (*account, 1)).collect();
        ensure!(self.liquidated().await? == expected, "{:?}", self.liquidated().await?);
        let core = IMorphoBlue::new(self.morpho.core, self.fixture.provider());
        for (account, is_healthy) in
            gone.iter().map(|account| (account, false)).chain(healthy.iter().map(|account| (account, true)))
        {
            let position = core.position(self.market_id(), *account).call().await?;
            ensure!((position.borrowShares != 0) == is_healthy, "{account}: {} shares", position.borrowShares);
        }
        Ok(())
    }

    /// Lets the price fall twice, so that one borrower is liquidated and then three more, in one transaction. Returns the signer's
    /// dollars in between.
    async fn liquidate_one_and_three_more(&self, keeper: &Keeper) -> eyre::Result<U256> {
        let mut first = None;
        for borrowers in [1, 4] {
            self.drop_price_below(borrowers).await?;
            let borrowers = usize::try_from(borrowers)?;
            self.wait_until_liquidated(borrowers, keeper).await?;
            self.ensure_liquidated(borrowers).await?;
            first = first.or(Some(self.dollars_of(keeper.signer()).await?));
        }
        first.wrap_err("nothing was liquidated")
    }

    pub(super) async fn dollars_of(&self, account: Address) -> eyre::Result<U256> {
        self.balance_of(self.market.loanToken, account).await
    }

    async fn balance_of(&self, token: Address, account: Address) -> eyre::Result<U256> {
        Ok(ITestToken::new(token, self.fixture.provider()).balanceOf(account).call().await?)
    }

    pub(super) async fn stop_mining(&self) -> eyre::Result<()> {
        self.fixture.stop_mining().await?;
        self.fixture.provider().anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_of_morpho_blue_are_liquidated_with_a_profit_and_healthy_ones_are_not() -> eyre::Result<()> {
    let besides = Besides::new().await?;
    let setup = besides.setup(None);
    let keeper = besides.begin(&setup).await?;
    let signer = keeper.signer();
    let first = besides.liquidate_one_and_three_more(&keeper).await?;
    // 1,500 dollars with an incentive of 4.38 % at the oracle's price of 1,726 are 0.9068 ether, which the pool buys for 2,000
    // each, less its fee of 0.3 %.
    ensure!(first > U256::from(300 * DOLLAR) && first < U256::from(310 * DOLLAR), "profit of {first}");
    ensure!(besides.dollars_of(signer).await? > first * U256::from(4), "no profit of several");
    ensure!(besides.dollars_of(besides.executor).await?.is_zero(), "something is left in the executor");
    let activity = keeper.api("activity").await?;
    let journal = besides.fixture.settle_and_end(keeper, &setup).await?;
    ensure!(journal.len() == 2, "{journal:?}\n{activity}");
    besides.fixture.ensure_none_reverted(signer).await?;
    besides.fixture.ensure_journal_is_complete(&journal, signer).await
}

/// Told to, the keeper has every profit in the wrapped coin, and its report and its ledger say so: collateral in that coin that
/// was not sold, and coins that dollars were exchanged for.
#[tokio::test(flavor = "multi_thread")]
async fn a_profit_is_exchanged_for_the_wrapped_coin_when_told_and_booked_in_it() -> eyre::Result<()> {
    for pools in [&[][..], &[(FEE, 10_000)]] {
        let besides = Besides::with(pools).await?;
        let coin = besides.fixture.suite.token("WETH")?;
        let told = besides.setup(None).further + "[liquidate]\nprofit_in_wrapped_coin = true\n";
        let setup = KeeperSetup { further: told, ..besides.setup(None) };
        let keeper = besides.begin(&setup).await?;
        let signer = keeper.signer();
        besides.liquidate_one_and_three_more(&keeper).await?;
        let (coins, dollars) = (besides.balance_of(coin, signer).await?, besides.dollars_of(signer).await?);
        // Four times some 300 dollars, at 2,000 for an ether.
        ensure!(coins > U256::from(ETHER * 6 / 10) && dollars.is_zero(), "{pools:?}: {coins} and {dollars}");
        for token in [coin, besides.market.loanToken, besides.market.collateralToken] {
            ensure!(besides.balance_of(token, besides.executor).await?.is_zero(), "{token} is left in the executor");
        }
        let journal = besides.fixture.settle_and_end(keeper, &setup).await?;
        ensure!(journal.len() == 2, "{journal:?}");
        let file = besides.fixture.suite.scratch().join(&setup.folder).join("keeper.toml");
        let said = program().args(["report", "--json", "--config"]).arg(&file).output()?;
        let report: Value = serde_json::from_slice(&said.stdout)?;
        let profits: Vec<_> =
            report["transactions"].as_array().into_iter().flatten().map(|row| &row["profit"]).collect();
        ensure!(profits.len() == 2 && profits.iter().all(|profit| profit["token"] == "WETH"), "{report:#}");
        besides.fixture.ensure_none_reverted(signer).await?;
    }
    Ok(())
}

/// Two pools that are alike: half of the collateral in each costs half as much of the price, which is more than the gas.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_split_over_pools_where_that_brings_more_than_the_best_of_them_after_gas() -> eyre::Result<()> {
    let besides = Besides::with(&[(FEE, 20), (3_000, 20)]).await?;
    let setup = besides.setup(None);
    let keeper = besides.begin(&setup).await?;
    let signer = keeper.signer();
    besides.drop_price_below(1).await?;
    besides.wait_until_liquidated(1, &keeper).await?;
    besides.ensure_liquidated(1).await?;
    let profit = besides.dollars_of(signer).await?;
    let provider = besides.fixture.provider();
    let sent = besides.fixture.mined_transactions(signer).await?;
    let (hash, ..) = sent.into_values().next().wrap_err("nothing was sent")?;
    let transaction = provider.get_transaction_by_hash(hash).await?.wrap_err("it is gone")?;
    let job = IExecutor::executeCall::abi_decode(transaction.input())?.job;
    let route = &job.items[0].route;
    ensure!(route.len() == 3 * 24 && route[0] == u8::MAX, "no split of two: {route}");
    let receipt = provider.get_transaction_receipt(hash).await?.wrap_err("no receipt")?;
    let block = receipt.block_number.wrap_err("not mined")?;
    // The same position by each of the pools alone, in the state before.
    for single in [&route[24..48], &route[48..]] {
        let mut job = job.clone();
        job.items[0].route = Bytes::copy_from_slice(single);
        (job.minProfit, job.unitsPerWeiX96, job.deadline) = (U256::ZERO, 0, U256::MAX);
        let executor = IExecutor::new(besides.executor, provider);
        let call = executor.execute(job).from(signer);
        let alone = call.clone().block((block - 1).into()).call().await?;
        let gas = call.block((block - 1).into()).estimate_gas().await?;
        // At 2,000 dollars for an ether.
        let price = U256::from(receipt.effective_gas_price);
        let dollars = |gas: u64| U256::from(gas) * price * U256::from(2_000 * DOLLAR) / U256::from(ETHER);
        let further = dollars(receipt.gas_used.saturating_sub(gas));
        ensure!(profit > alone.profit + further, "{profit} by a split, {} alone, gas {further}", alone.profit);
    }
    besides.fixture.ensure_none_reverted(signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_deployment_of_plimsoll_positions_of_morpho_blue_are_liquidated_through_a_kill() -> eyre::Result<()> {
    let besides = Besides::new().await?;
    let setup = besides.setup_alone()?;
    let keeper = besides.begin(&setup).await?;
    let signer = keeper.signer();
    besides.drop_price_below(2).await?;
    besides.wait_until_liquidated(2, &keeper).await?;
    let status = keeper.api("status").await?;
    ensure!(status["keeper"]["core"].is_null() && status["markets"] == json!([]), "{status}");
    ensure!(status["protocols"][0]["name"] == "morpho-blue", "{status}");
    let page = keeper.text("/").await?;
    ensure!(page.contains("Other protocols") && !page.contains(&Address::ZERO.to_string()), "{page}");
    drop(keeper);
    let file = besides.fixture.suite.scratch().join(&setup.folder).join("keeper.toml");
    let checked = program().args(["check", "--json", "--config"]).arg(&file).output()?;
    let report: Value = serde_json::from_slice(&checked.stdout)?;
    ensure!(checked.status.success() && report["good"] == true, "{report:#}");
    let of_protocols = |finding: &&Value| finding["area"] == "protocols" && finding["verdict"] == "right";
    // The protocol, the executor's list, its venue.
    ensure!(
        report["findings"].as_array().is_some_and(|all| all.iter().filter(of_protocols).count() == 3),
        "{report:#}"
    );
    let refused = program().args(["positions", "--config"]).arg(&file).output()?;
    let refused = String::from_utf8(refused.stderr)?;
    ensure!(refused.contains("has no deployment of Plimsoll"), "{refused}");
    let keeper = besides.start(&setup).await?;
    besides.drop_price_below(3).await?;
    besides.wait_until_liquidated(3, &keeper).await?;
    besides.ensure_liquidated(3).await?;
    ensure!(besides.dollars_of(signer).await? > U256::from(900 * DOLLAR), "no profit");
    besides.fixture.ensure_none_reverted(signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_which_protocol_the_executor_does_not_serve_and_how_to_repair_it() -> eyre::Result<()> {
    let besides = Besides::new().await?;
    let setup = besides.setup_alone()?;
    let file = besides.fixture.suite.scratch().join("keeper.toml");
    let findings = |text: &str| {
        std::fs::write(
            &file,
            format!("[deployment]\n{}\n[[endpoints]]\n{}\n{text}", setup.deployment, setup.endpoints[0]),
        )?;
        let said = program().args(["check", "--json", "--config"]).arg(&file).output()?;
        let report: Value = serde_json::from_slice(&said.stdout)?;
        let of_protocols = |finding: &&Value| finding["area"] == "protocols" && finding["verdict"] != "right";
        let found = report["findings"].as_array().into_iter().flatten().filter(of_protocols);
        eyre::Ok(
            found.map(|finding| format!("{}: {}", finding["what"], finding["remedy"])).collect::<Vec<_>>().join("\n"),
        )
    };
    let ours = besides.fixture.core;
    let other = findings(&setup.further.replace(&besides.morpho.core.to_string(), &ours.to_string()))?;
    ensure!(
        other.contains(&format!("{ours} on chain")) && other.contains("correct its `kind` and `address`"),
        "{other}"
    );
    ensure!(
        other.contains(&format!("does not list morpho-blue at {ours}")) && other.contains("deploy another"),
        "{other}"
    );
    let no_executor = findings(&setup.further.replace(&besides.executor.to_string(), &ours.to_string()))?;
    ensure!(
        no_executor.contains(&format!("{ours} is no Executor")) && no_executor.contains("deploy Executor"),
        "{no_executor}"
    );
    let worthless = setup.further.split("[tokens.WETH]").next().unwrap_or_default().replace("[\"WETH\"]", "[]");
    let worthless = findings(&worthless)?;
    ensure!(worthless.contains("no token has a value") && worthless.contains("hubs"), "{worthless}");
    Ok(())
}

/// What becomes liquidatable was tried with the block's own request: whatever else the node is asked for, it does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_near_the_line_is_liquidated_by_what_one_request_of_the_block_has_answered() -> eyre::Result<()> {
    /// A request of the book, and one of the protocol, which are made at the same time.
    const REQUESTS: u64 = 2;
    let besides = Besides::new().await?;
    let proxy = Proxy::start(besides.fixture.suite.devnet.node.address()).await?;
    let keeper = besides.begin(&besides.setup(Some(&proxy))).await?;
    besides.set_price(FIRST_DEBT * 100 / 86 * 1_004 / 1_000).await?;
    for gone in [0, 1] {
        // Pools are read every few blocks, after the decisions of a block, which are over when the next one is decided on.
        let requests = || proxy.counts().of("eth_call");
        let (mut before, mut blocks) = (requests(), 0);
        besides.mine(&keeper).await?;
        while requests() - before <= REQUESTS || blocks < 2 {
            (before, blocks) = (requests(), blocks + 1);
            besides.mine(&keeper).await?;
        }
        // They may still be read in the block after.
        while requests() - before != REQUESTS {
            before = requests();
            besides.mine(&keeper).await?;
        }
        let stall = Rule::from(Fault::Stall(Phase::BeforeForwarding)).on(&["eth_call"]).after(REQUESTS);
        let stall = proxy.inject(stall);
        let sent = proxy.counts().of("eth_sendRawTransaction");
        let line = (FIRST_DEBT - DEBT_STEP * gone) * 100 / 86;
        besides.set_price(line * 998 / 1_000).await?;
        proxy.wait_for(|counts| counts.of("eth_sendRawTransaction") > sent).await?;
        proxy.lift(stall);
        besides.wait_until_liquidated(usize::try_from(gone)? + 1, &keeper).await?;
    }
    besides.ensure_liquidated(2).await?;
    besides.fixture.ensure_none_reverted(keeper.signer()).await
}

/// Anybody creates a market with a worthless token and an oracle of his own, lends to himself, and so has positions with any
/// bonus that he likes.
#[tokio::test(flavor = "multi_thread")]
async fn positions_with_worthless_collateral_and_high_bonuses_hold_up_no_liquidation() -> eyre::Result<()> {
    let besides = Besides::new().await?;
    let suite = &besides.fixture.suite;
    let (devnet, provider, dollars) = (&suite.devnet, besides.fixture.provider(), besides.market.loanToken);
    let worthless = devnet.deploy("TestToken", ("WORTHLESS".to_owned(), U256::from(18)).abi_encode_params()).await?;
    let swapper = IUniswapV3Swapper::new(suite.contract("UniswapV3Swapper")?, provider);
    let exchange = Exchange::at(devnet, swapper.factory().call().await?).await?;
    let [one, other] = [worthless, dollars].map(|token| Amount { token, units: U256::from(1_000_000) });
    exchange.add_liquidity(3_000, one, other).await?;
    let oracle = devnet.deploy("OneSlotOracle", price(2_000 * DOLLAR).abi_encode()).await?;
    let market = besides.morpho.create_market(devnet, [worthless, dollars], oracle, parse_ether("0.77")?).await?;
    let core = IMorphoBlue::new(besides.morpho.core, provider);
    let (stranger, lent) = (devnet.account(LENDER)?, U256::from(1_000_000 * DOLLAR));
    devnet.mint_and_approve(dollars, stranger, lent, besides.morpho.core).await?;
    mined(core.supply(market.clone(), lent, U256::ZERO, stranger, Bytes::new()).from(stranger)).await?;
    for index in 1..=20_u8 {
        let account = Address::from_word(keccak256([index]));
        provider.anvil_set_balance(account, U256::from(ETHER)).await?;
        let (collateral, debt) = (U256::from(10 * ETHER), U256::from(10_000 * DOLLAR));
        devnet.mint_and_approve(worthless, stranger, collateral, besides.morpho.core).await?;
        let supplied = core.supplyCollateral(market.clone(), collateral, account, Bytes::new());
        mined(supplied.from(stranger)).await?;
        let borrowed = core.borrow(market.clone(), debt, U256::ZERO, account, account).from(account).gas(BORROW_GAS);
        provider.anvil_impersonate_account(account).await?;
        let hash = provider.anvil_send_impersonated_transaction(borrowed.into_transaction_request()).await?;
        provider.watch_pending_transaction(PendingTransactionConfig::new(hash)).await?.await?;
        let receipt = provider.get_transaction_receipt(hash).await?.wrap_err("no receipt")?;
        ensure!(receipt.status(), "{account} could not borrow");
    }
    mined(IOneSlotOracle::new(oracle, provider).set(price(1_100 * DOLLAR)).from(devnet.deployer())).await?;

    let keeper = besides.begin(&besides.setup(None)).await?;
    besides.drop_price_below(1).await?;
    besides.wait_until_liquidated(1, &keeper).await?;
    besides.ensure_liquidated(1).await?;
    besides.fixture.ensure_none_reverted(keeper.signer()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn through_kills_and_a_reorg_positions_of_morpho_blue_are_liquidated_once() -> eyre::Result<()> {
    let besides = Besides::new().await?;
    let mut proxy = Proxy::start(besides.fixture.suite.devnet.node.address()).await?;
    let setup = besides.setup(Some(&proxy));
    let mut keeper = besides.begin(&setup).await?;
    let signer = keeper.signer();
    // In the journal and being sent: first before the node has it, then after, without the keeper knowing.
    for (number, moment) in [(1, Phase::BeforeForwarding), (2, Phase::AfterForwarding)] {
        let stall = proxy.inject(Rule::from(Fault::Stall(moment)).on(&["eth_sendRawTransaction"]));
        besides.drop_price_below(number).await?;
        proxy.wait_for(|counts| counts.acted(stall) > 0).await?;
        drop(keeper);
        proxy.cut_connections().await?;
        proxy.lift(stall);
        keeper = besides.start(&setup).await?;
        besides.wait_until_liquidated(usize::try_from(number)?, &keeper).await?;
    }
    // Mined, and reorged while no keeper runs.
    besides.drop_price_below(3).await?;
    let fallen = besides.fixture.head().await?;
    besides.wait_until_liquidated(3, &keeper).await?;
    drop(keeper);
    let depth = besides.fixture.head().await? - fallen;
    besides.fixture.provider().anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    ensure!(besides.liquidated().await?.len() == 2, "nothing was reorged");
    keeper = besides.start(&setup).await?;
    besides.wait_until_liquidated(3, &keeper).await?;
    // Mined, and reorged before the keeper's eyes.
    besides.drop_price_below(4).await?;
    let fallen = besides.fixture.head().await?;
    besides.wait_until_liquidated(4, &keeper).await?;
    let depth = besides.fixture.head().await? - fallen;
    besides.fixture.provider().anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    besides.wait_until_liquidated(4, &keeper).await?;
    besides.ensure_liquidated(4).await?;
    let journal = besides.fixture.settle_and_end(keeper, &setup).await?;
    besides.fixture.ensure_none_reverted(signer).await?;
    besides.fixture.ensure_journal_is_complete(&journal, signer).await
}

/// What positions there are is on disk once no reorg reaches it. A keeper that is killed goes on there; a file of a block that a
/// deeper reorg has removed, and one that is damaged, are discarded, and all logs are read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_keeper_goes_on_from_its_checkpoint_of_morpho_blue_unless_that_is_reorged_or_damaged()
-> eyre::Result<()> {
    /// More than a reorg removes at most.
    const BLOCKS: u64 = 70;
    let besides = Besides::new().await?;
    let setup = besides.setup(None);
    let provider = besides.fixture.provider();
    let file = setup.store(&besides.fixture.suite).join(format!("morpho-blue-{}.db", besides.morpho.core));
    let is_restored = |keeper: &Keeper| keeper.output().contains("checkpoint restored");
    let mut keeper = besides.begin(&setup).await?;
    ensure!(!is_restored(&keeper), "{}", keeper.output());
    let written = besides.fixture.head().await?;
    provider.anvil_mine(Some(BLOCKS), None).await?;
    besides.mine(&keeper).await?;
    drop(keeper);

    // The block of the checkpoint goes; the loans stay. A block is written down after it was decided on, so the kill may have come
    // between the two, and left the block before.
    let depth = besides.fixture.head().await? - (written - 2);
    provider.anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    keeper = besides.start(&setup).await?;
    besides.mine(&keeper).await?;
    ensure!(is_restored(&keeper) && keeper.output().contains("state rebuilt"), "{}", keeper.output());
    provider.anvil_mine(Some(BLOCKS), None).await?;
    besides.mine(&keeper).await?;
    drop(keeper);

    keeper = besides.start(&setup).await?;
    besides.mine(&keeper).await?;
    ensure!(is_restored(&keeper) && !keeper.output().contains("state rebuilt"), "{}", keeper.output());
    besides.drop_price_below(1).await?;
    besides.wait_until_liquidated(1, &keeper).await?;
    drop(keeper);

    std::fs::write(&file, [0_u8; 4_096])?;
    keeper = besides.start(&setup).await?;
    besides.mine(&keeper).await?;
    ensure!(!is_restored(&keeper) && keeper.output().contains("checkpoint discarded"), "{}", keeper.output());
    ensure!(file.with_extension("db.old").try_exists()?, "the damaged file is gone");
    besides.drop_price_below(2).await?;
    besides.wait_until_liquidated(2, &keeper).await?;
    besides.ensure_liquidated(2).await
}
