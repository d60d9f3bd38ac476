//! Aave v3 on its real bytecode: what is shown is what the pool says and does.

use std::process::Command;

use alloy::{
    eips::BlockId,
    primitives::{Address, Bytes, U256, bytes, keccak256},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{Filter, TransactionRequest, anvil::ReorgOptions},
    sol_types::{SolCall, SolEvent},
};
use eyre::ContextCompat;
use plimsoll_keeper::{
    chain::Header,
    prices::{Call, ChainReader, EndpointReader},
    report::watch::{WatchReport, WatchedPosition},
    watch::{Sales, Watcher},
};
use plimsoll_protocols::{
    Deployment, ProtocolKind,
    aave_v3::{IAavePool, IAaveToken},
};
use plimsoll_testkit::{
    aave_v3::{AaveV3, IPoolConfigurator, IPriceOracle, Listing, Release},
    devnet::Devnet,
};
use serde_json::Value;

use super::newest;
use crate::random::Random;

const SEED: u64 = 3;
/// Number of checks, each after some actions and every second one after a reorg.
const CHECKS: u64 = 16;
/// Actions before a check.
const ACTIONS: u64 = 14;
/// The deepest reorg.
const MAX_REORG_DEPTH: u64 = 20;
/// Gas limit of a transaction.
const GAS: u64 = 2_000_000;
/// Interest mode of debt at a variable rate, and at a stable one.
const VARIABLE: u64 = 2;
const STABLE: u64 = 1;
const DOLLAR: u64 = 100_000_000;

struct Fixture {
    devnet: Devnet,
    aave: AaveV3,
    /// A dollar of 6 decimals, a coin of 18, and a token of as few as the release takes.
    tokens: [Address; 3],
    prices: [u64; 3],
    borrowers: Vec<Address>,
    /// Lends, and sets prices.
    lender: Address,
}

impl Fixture {
    async fn start(release: Release) -> eyre::Result<Self> {
        let devnet = Devnet::start().await?;
        let aave = AaveV3::deploy(&devnet, release).await?;
        let few = if release == Release::V3_0 { 2 } else { 6 };
        let mut listings = Vec::new();
        for (name, decimals, price, terms, fee_bps) in [
            ("USD", 6, DOLLAR, [7_500, 8_000, 10_450], 1_000),
            ("COIN", 18, 2_000 * DOLLAR, [8_000, 8_250, 10_500], 1_000),
            ("ODD", few, 7 * DOLLAR, [5_000, 6_501, 11_000], 0),
        ] {
            let token = devnet.deploy_token(name, decimals).await?;
            listings.push(Listing { token, decimals, price, terms, fee_bps });
        }
        aave.list(&devnet, &listings).await?;
        let members = [listings[0].token, listings[2].token];
        aave.set_category(&devnet, 1, [9_000, 9_300, 10_200], &members).await?;
        if release == Release::V3_6 {
            // A reserve may be in several categories.
            let members = [listings[1].token, listings[2].token];
            aave.set_category(&devnet, 2, [8_500, 9_000, 10_300], &members).await?;
        }
        let borrowers = (1..6).map(|index| devnet.account(index)).collect::<eyre::Result<Vec<_>>>()?;
        let tokens = [0, 1, 2].map(|index: usize| listings[index].token);
        let prices = [0, 1, 2].map(|index: usize| listings[index].price);
        let lender = devnet.account(6)?;
        let fixture = Self { devnet, aave, tokens, prices, borrowers, lender };
        let deployer = fixture.devnet.deployer();
        for token in fixture.tokens {
            for account in fixture.borrowers.iter().copied().chain([deployer, lender]) {
                fixture
                    .devnet
                    .mint_and_approve(token, account, U256::from(u128::MAX / 1_000), fixture.aave.pool)
                    .await?;
            }
        }
        for token in fixture.tokens {
            assert!(fixture.supply(lender, token, U256::from(10_u128.pow(27))).await?, "the supply is refused");
        }
        Ok(fixture)
    }

    fn provider(&self) -> &DynProvider {
        self.devnet.provider()
    }

    fn deployment(&self) -> Deployment {
        let (protocol, address) = (ProtocolKind::AaveV3, self.aave.pool);
        Deployment {
            protocol,
            chain_id: 31_337,
            name: None,
            address,
            first_block: 1,
            pre_liquidation_factory: None,
            source: None,
        }
    }

    /// Sends a call in a block of its own; returns whether it was successful.
    async fn send(&self, from: Address, to: Address, call: &impl SolCall) -> eyre::Result<bool> {
        let nonce = self.provider().get_transaction_count(from).await?;
        let request = TransactionRequest::default().from(from).to(to).input(call.abi_encode().into());
        let sent = self.provider().send_transaction(request.nonce(nonce).gas_limit(GAS)).await?;
        Ok(sent.get_receipt().await?.status())
    }

    async fn supply(&self, from: Address, asset: Address, amount: U256) -> eyre::Result<bool> {
        let call = IAavePool::supplyCall { asset, amount, onBehalfOf: from, referralCode: 0 };
        self.send(from, self.aave.pool, &call).await
    }

    async fn borrow(&self, from: Address, asset: Address, amount: U256, mode: u64) -> eyre::Result<bool> {
        let call = IAavePool::borrowCall {
            asset,
            amount,
            interestRateMode: U256::from(mode),
            referralCode: 0,
            onBehalfOf: from,
        };
        self.send(from, self.aave.pool, &call).await
    }

    async fn set_price(&self, token: usize, price: u64) -> eyre::Result<()> {
        let set = IPriceOracle::setAssetPriceCall { asset: self.tokens[token], price: U256::from(price) };
        assert!(self.send(self.lender, self.aave.oracle, &set).await?, "the price is refused");
        Ok(())
    }

    /// An account with two coins that owes `dollars`.
    async fn open(&self, account: Address, dollars: u64) -> eyre::Result<()> {
        let [usd, coin, _] = self.tokens;
        assert!(self.supply(account, coin, U256::from(2_000_000_000_000_000_000_u128)).await?);
        assert!(self.borrow(account, usd, U256::from(dollars * 1_000_000), VARIABLE).await?);
        Ok(())
    }

    async fn watch(&self, pool: Address, arguments: &[&str]) -> eyre::Result<(bool, String, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keeper_bin"));
        command.args(["watch", "--protocol", "aave-v3", "--once", "--from-block", "1", "--address"]);
        command.arg(pool.to_string()).args(arguments).env_clear().env("ETH_RPC_URL", self.devnet.node.http_url());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        Ok((output.status.success(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    }

    async fn report(&self) -> eyre::Result<Value> {
        let (success, out, err) = self.watch(self.aave.pool, &["--json", "--below", "10"]).await?;
        assert!(success, "{err}");
        Ok(serde_json::from_str(&out)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_of_aave_are_shown_with_exact_health_and_what_a_liquidation_brings() -> eyre::Result<()> {
    let fixture = Fixture::start(Release::V3_0).await?;
    let account = fixture.borrowers[0];
    fixture.open(account, 3_000).await?;
    assert!(fixture.supply(account, fixture.tokens[2], U256::from(10_000)).await?);
    fixture.set_price(1, 1_500 * DOLLAR).await?;
    let report = fixture.report().await?;
    let position = &report["positions"][0];
    // 3,000 at 82.5 % and 700 at 65.01 %: an average threshold of 79.19 %, 2,930.03 of 3,000.
    assert!(position["health"].as_str().is_some_and(|health| health.starts_with("0.9766")), "{report}");
    assert_eq!(position["liquidatable"], true);
    let repaid = position["liquidation"]["repaid"]["amount"].as_str().unwrap_or_default();
    assert!(repaid.starts_with("1500"), "half of the debt near the line: {position}");
    assert_eq!(
        position["further"][0]["amount"]["symbol"],
        if position["collateral"]["symbol"] == "COIN" { "ODD" } else { "COIN" }
    );
    assert!(position["further"][0]["liquidation_price"].is_string(), "{position}");
    assert_eq!(report["warnings"], Value::Array(Vec::new()));

    // A reserve that is paused, then an oracle without a price, then debt at a stable rate.
    let [usd, coin, _] = fixture.tokens;
    fixture
        .aave
        .configure(&fixture.devnet, &IPoolConfigurator::setReservePauseCall { asset: usd, paused: true })
        .await?;
    let report = fixture.report().await?;
    assert_eq!(report["positions"][0]["liquidatable"], false);
    let remark = report["positions"][0]["remark"].as_str().unwrap_or_default();
    assert!(remark.contains("is paused"), "{report}");
    fixture
        .aave
        .configure(&fixture.devnet, &IPoolConfigurator::setReservePauseCall { asset: usd, paused: false })
        .await?;
    let frozen = IPoolConfigurator::setReserveFreezeCall { asset: coin, frozen: true };
    fixture.aave.configure(&fixture.devnet, &frozen).await?;
    assert_eq!(fixture.report().await?["positions"][0]["liquidatable"], true, "a frozen reserve is liquidated");
    fixture.set_price(2, 0).await?;
    let report = fixture.report().await?;
    let reason = report["without_price"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("price of") && report["positions"] == Value::Array(Vec::new()), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_of_aave_is_said_and_never_guessed() -> eyre::Result<()> {
    let fixture = Fixture::start(Release::V3_0).await?;
    let [usd, ..] = fixture.tokens;
    for other in [usd, Address::repeat_byte(0x77)] {
        let (success, _, err) = fixture.watch(other, &[]).await?;
        assert!(!success && err.contains("is not aave-v3"), "{err}");
    }
    // A contract that answers 12 to everything.
    let later = Address::repeat_byte(0x55);
    fixture.provider().anvil_set_code(later, bytes!("600c5f5260205ff3")).await?;
    let (success, _, err) = fixture.watch(later, &[]).await?;
    assert!(!success && err.contains("POOL_REVISION() is 12"), "{err}");

    // Debt at a stable rate, beside a position without.
    let enabled = IPoolConfigurator::setReserveStableRateBorrowingCall { asset: usd, enabled: true };
    fixture.aave.configure(&fixture.devnet, &enabled).await?;
    fixture.open(fixture.borrowers[0], 1_000).await?;
    fixture.open(fixture.borrowers[1], 1_000).await?;
    assert!(fixture.borrow(fixture.borrowers[1], usd, U256::from(5), STABLE).await?, "the loan is refused");
    let report = fixture.report().await?;
    assert_eq!(report["positions"].as_array().map(Vec::len), Some(1), "{report}");
    assert!(
        report["without_price"][0]["reason"].as_str().is_some_and(|reason| reason.contains("stable rate")),
        "{report}"
    );

    // Logs that the node does not have: the debt token says that there is more.
    let late = fixture.provider().get_block_number().await?.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keeper_bin"));
    command.args(["watch", "--protocol", "aave-v3", "--once", "--json", "--from-block", &late, "--address"]);
    command.arg(fixture.aave.pool.to_string()).env_clear().env("ETH_RPC_URL", fixture.devnet.node.http_url());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let out = String::from_utf8(output.stdout)?;
    assert!(out.contains("the scaled debt") && out.contains("may have pruned logs"), "{out}");
    Ok(())
}

/// The rules that came with 3.3, on 3.6: what is shown is what the pool does, and what it refuses it refuses for the dust.
#[tokio::test(flavor = "multi_thread")]
async fn aave_3_6_refuses_dust_closes_small_positions_whole_and_writes_bad_debt_off() -> eyre::Result<()> {
    let fixture = Fixture::start(Release::V3_6).await?;
    let ([usd, coin, odd], provider) = (fixture.tokens, fixture.provider());
    let coins = |thousandths: u64| U256::from(thousandths) * U256::from(10_u64.pow(15));
    let units = |tokens: u64| U256::from(tokens) * U256::from(1_000_000);
    let [split, small, insolvent, ..] = fixture.borrowers[..] else { eyre::bail!("too few accounts") };
    for (account, collateral, debt) in [(split, 1_050, 2_350), (small, 1_200, 1_900), (insolvent, 1_000, 1_000)] {
        assert!(fixture.supply(account, coin, coins(collateral)).await?);
        if account == split {
            assert!(fixture.supply(account, odd, units(200)).await?);
        }
        assert!(fixture.borrow(account, usd, units(debt), VARIABLE).await?, "{debt} are refused");
    }
    assert!(fixture.borrow(insolvent, odd, units(5), VARIABLE).await?);
    let url = fixture.devnet.node.ws_url().parse()?;
    let mut watcher = Watcher::start(vec![url], fixture.deployment(), Sales::default()).await?;
    let mut seen = Seen::default();
    let liquidate = |user: Address| IAavePool::liquidationCallCall {
        collateralAsset: coin,
        debtAsset: usd,
        user,
        debtToCover: U256::MAX,
        receiveAToken: false,
    };
    let liquidator = fixture.devnet.deployer();

    // 2,100 and 900 of collateral and 2,350 of debt. Half would seize 1,234 of the first and leave 866.
    fixture.set_price(2, 450_000_000).await?;
    let report = newest(provider, &mut watcher).await?;
    assert_equal(&fixture, &report, &mut seen).await?;
    let shown = |report: &WatchReport, account: Address| {
        report.positions.iter().find(|shown| shown.account == account).cloned().wrap_err("the account is not shown")
    };
    let shown_split = shown(&report, split)?;
    assert!(shown_split.liquidatable && shown_split.collateral.token == odd, "{shown_split:?}");
    let request = TransactionRequest::default().from(liquidator).to(fixture.aave.pool);
    let refused = provider.call(request.input(liquidate(split).abi_encode().into())).await;
    let data = refused.err().and_then(|error| error.as_error_resp()?.as_revert_data()).unwrap_or_default();
    assert_eq!(data[..], keccak256("MustNotLeaveDust()")[..4]);

    // 1,900 of debt, below 2,000: all of it is repaid although the health factor is above 0.95.
    fixture.set_price(2, 7 * DOLLAR).await?;
    fixture.set_price(1, 1_900 * DOLLAR).await?;
    let report = newest(provider, &mut watcher).await?;
    assert_equal(&fixture, &report, &mut seen).await?;
    let shown_small = shown(&report, small)?;
    let repaid = shown_small.liquidation.as_ref().map(|whole| whole.repaid.units.parse::<u64>());
    // 0.99, or a little less once interest shows.
    assert!(["0.98", "0.99"].iter().any(|start| shown_small.health.starts_with(start)), "{shown_small:?}");
    assert!(repaid.is_some_and(|repaid| repaid.is_ok_and(|repaid| repaid >= 1_900_000_000)), "{shown_small:?}");
    fixture.set_price(1, 2_000 * DOLLAR).await?;

    // 500 of collateral and 1,035 of debt, of which the pool writes off in both tokens what is not repaid.
    fixture.set_price(1, 500 * DOLLAR).await?;
    assert!(fixture.send(liquidator, fixture.aave.pool, &liquidate(insolvent)).await?);
    let created = Filter::new().address(fixture.aave.pool).event_signature(IAavePool::DeficitCreated::SIGNATURE_HASH);
    assert_eq!(provider.get_logs(&created.from_block(0)).await?.len(), 2);
    let report = newest(provider, &mut watcher).await?;
    assert_equal(&fixture, &report, &mut seen).await?;
    assert!(shown(&report, insolvent).is_err() && report.positions_with_debt == 2, "{report:?}");
    assert!(seen.liquidations >= 4, "{seen:?}");
    Ok(())
}

/// How often what is claimed was seen.
#[derive(Debug, Default)]
struct Seen {
    healthy: u64,
    liquidatable: u64,
    liquidations: u64,
    several: u64,
    reorgs: u64,
}

async fn random_action(fixture: &Fixture, random: &mut Random) -> eyre::Result<()> {
    let token = usize::try_from(random.below(3))?;
    let (asset, pool) = (fixture.tokens[token], fixture.aave.pool);
    let pick = |random: &mut Random| fixture.borrowers[usize::try_from(random.below(5)).unwrap_or_default()];
    let account = pick(random);
    // About so many cents, from single units to hundred thousands.
    let digits = 1 + u32::try_from(random.below(7))?;
    let cents = 1 + random.below(10_u64.pow(digits));
    let unit = [4_u32, 13, if fixture.aave.release == Release::V3_0 { 0 } else { 4 }][token];
    let amount = U256::from(cents) * U256::from(10_u128.pow(unit));
    // Some of these are refused, which is part of a history.
    let _ = match random.below(16) {
        0..4 => fixture.supply(account, asset, amount * U256::from(2)).await?,
        4..9 => fixture.borrow(account, asset, amount, VARIABLE).await?,
        9 => {
            let amount = if random.below(2) == 0 { U256::MAX } else { amount };
            let repay =
                IAavePool::repayCall { asset, amount, interestRateMode: U256::from(VARIABLE), onBehalfOf: account };
            fixture.send(account, pool, &repay).await?
        }
        10 => fixture.send(account, pool, &IAavePool::withdrawCall { asset, amount, to: account }).await?,
        11 => {
            let categories = if fixture.aave.release == Release::V3_0 { 2 } else { 3 };
            let category = u8::try_from(random.below(categories))?;
            fixture.send(account, pool, &IAavePool::setUserEModeCall { categoryId: category }).await?
        }
        12 => {
            let is_used = random.below(2) == 0;
            let call = IAavePool::setUserUseReserveAsCollateralCall { asset, useAsCollateral: is_used };
            fixture.send(account, pool, &call).await?
        }
        13 => {
            // A transfer of what was supplied, of which the pool itself logs nothing as a rule.
            let data = IAavePool::new(pool, fixture.provider()).getReserveData(asset).call().await?;
            let transfer = ITransfer::transferCall { to: pick(random), amount };
            fixture.send(account, data.aTokenAddress, &transfer).await?
        }
        14 => {
            let price = fixture.prices[token] / 100 * (40 + random.below(80));
            fixture.set_price(token, price).await?;
            true
        }
        _ => {
            let liquidate = IAavePool::liquidationCallCall {
                collateralAsset: fixture.tokens[usize::try_from(random.below(3))?],
                debtAsset: asset,
                user: account,
                debtToCover: amount,
                receiveAToken: random.below(2) == 0,
            };
            fixture.send(fixture.devnet.deployer(), pool, &liquidate).await?
        }
    };
    Ok(())
}

alloy::sol! {
    interface ITransfer {
        function transfer(address to, uint256 amount) external returns (bool);
    }
}

/// Compares the report with the pool's own view of every account, and tries the liquidations that are shown.
async fn assert_equal(fixture: &Fixture, report: &WatchReport, seen: &mut Seen) -> eyre::Result<()> {
    assert_eq!(report.warnings, Vec::<String>::new());
    let block = BlockId::from(report.block);
    let pool = IAavePool::new(fixture.aave.pool, fixture.provider());
    let mut with_debt = 0;
    for account in fixture.borrowers.iter().copied().chain([fixture.devnet.deployer(), fixture.lender]) {
        let stated = pool.getUserAccountData(account).block(block).call().await?;
        let shown = report.positions.iter().find(|shown| shown.account == account);
        let Some(shown) = shown else {
            assert_eq!(stated.totalDebtBase, U256::ZERO, "{account} is missing");
            continue;
        };
        with_debt += 1;
        let health = plimsoll_contracts::quantity::decimal_text(stated.healthFactor, 18);
        assert_eq!(shown.health, health, "{shown:?}");
        seen.several += u64::from(shown.further.len() >= 2);
        if shown.liquidatable {
            seen.liquidatable += 1;
            assert_liquidation(fixture, report, shown, seen).await?;
        } else {
            seen.healthy += 1;
        }
    }
    assert_eq!(report.positions_with_debt, with_debt);
    Ok(())
}

/// Tries the whole liquidation on the pool itself, in the block of the report: it moves the amounts that are shown.
async fn assert_liquidation(
    fixture: &Fixture,
    report: &WatchReport,
    shown: &WatchedPosition,
    seen: &mut Seen,
) -> eyre::Result<()> {
    let block = fixture
        .provider()
        .get_block(BlockId::from(report.block))
        .await?
        .wrap_err("the node does not have the block")?;
    let header = Header {
        number: report.block,
        hash: block.header.hash,
        parent_hash: block.header.parent_hash,
        timestamp: block.header.timestamp,
        ..Header::default()
    };
    let endpoint: plimsoll_chain::endpoint::Endpoint = fixture.devnet.node.http_url().parse()?;
    let client = endpoint.client().await?;
    let liquidator = fixture.devnet.deployer();
    let reader = EndpointReader::new(endpoint.into(), client, liquidator);
    let (collateral, debt) = (shown.collateral.token, shown.debt.token);
    let call = |to: Address, data: Vec<u8>| Call::trial(to, data, 3_000_000);
    let balances =
        || [collateral, debt].map(|token| call(token, IAaveToken::balanceOfCall { user: liquidator }.abi_encode()));
    let liquidate = IAavePool::liquidationCallCall {
        collateralAsset: collateral,
        debtAsset: debt,
        user: shown.account,
        debtToCover: U256::MAX,
        receiveAToken: false,
    };
    let mut sequence: Vec<Call> = balances().into();
    sequence.push(call(fixture.aave.pool, liquidate.abi_encode()));
    sequence.extend(balances());
    let answers = reader.run(&header, &[sequence]).await?.remove(0);
    let Some(whole) = &shown.liquidation else {
        assert!(answers[2].result.is_err(), "the pool liquidates what is shown without a liquidation: {shown:?}");
        return Ok(());
    };
    let word = |index: usize| -> eyre::Result<U256> {
        let data: Bytes = answers[index].result.clone().map_err(|error| eyre::eyre!("{error:?}: {shown:?}"))?;
        Ok(U256::try_from_be_slice(&data).unwrap_or_default())
    };
    answers[2].result.as_ref().unwrap_or_else(|error| panic!("{error:?}: {shown:?}"));
    let [collateral_before, debt_before, collateral_after, debt_after] = [word(0)?, word(1)?, word(3)?, word(4)?];
    if collateral == debt {
        return Ok(());
    }
    assert_eq!((collateral_after - collateral_before).to_string(), whole.seized.units, "{shown:?}");
    assert_eq!((debt_before - debt_after).to_string(), whole.repaid.units, "{shown:?}");
    seen.liquidations += 1;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn aave_that_is_watched_equals_the_pool_through_random_histories_reorgs_and_restarts() -> eyre::Result<()> {
    equals_the_pool(Release::V3_0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn aave_3_6_that_is_watched_equals_the_pool_through_random_histories_reorgs_and_restarts() -> eyre::Result<()> {
    equals_the_pool(Release::V3_6).await
}

async fn equals_the_pool(release: Release) -> eyre::Result<()> {
    let fixture = Fixture::start(release).await?;
    let start = async || -> eyre::Result<Watcher> {
        Watcher::start(vec![fixture.devnet.node.ws_url().parse()?], fixture.deployment(), Sales::default()).await
    };
    let first = fixture.provider().get_block_number().await?;
    let mut watcher = start().await?;
    let (mut random, mut seen) = (Random::from_seed(SEED), Seen::default());
    for check in 0..CHECKS {
        for _ in 0..ACTIONS {
            random_action(&fixture, &mut random).await?;
        }
        if check % 2 == 1 {
            // The watcher has seen the blocks that go.
            newest(fixture.provider(), &mut watcher).await?;
            let depth = 1 + random.below(MAX_REORG_DEPTH);
            let replaceable = fixture.provider().get_block_number().await? - first;
            let options = ReorgOptions { depth: depth.min(replaceable), tx_block_pairs: Vec::new() };
            fixture.provider().anvil_reorg(options).await?;
            seen.reorgs += 1;
        }
        // In every third check prices have crashed, those of debts besides collaterals.
        if check % 3 == 2 {
            for token in [1, 2] {
                fixture.set_price(token, fixture.prices[token] / 100 * (3 + random.below(40))).await?;
            }
        } else {
            fixture.provider().anvil_mine(Some(1), None).await?;
        }
        if check % 5 == 4 {
            watcher = start().await?;
        }
        let report = newest(fixture.provider(), &mut watcher).await?;
        assert_equal(&fixture, &report, &mut seen).await?;
        // What is insolvent by now is liquidated, which from 3.3 on writes the rest of all its debts off.
        for shown in report.positions.iter().filter(|shown| shown.liquidatable) {
            let liquidate = IAavePool::liquidationCallCall {
                collateralAsset: shown.collateral.token,
                debtAsset: shown.debt.token,
                user: shown.account,
                debtToCover: U256::MAX,
                receiveAToken: false,
            };
            let _ = fixture.send(fixture.devnet.deployer(), fixture.aave.pool, &liquidate).await?;
        }
        for token in 0..3 {
            fixture.set_price(token, fixture.prices[token]).await?;
        }
    }
    assert!(
        seen.healthy > 10
            && seen.liquidatable > 2
            && seen.liquidations > 1
            && seen.several > 3
            && seen.reorgs == CHECKS / 2,
        "{seen:?}"
    );
    Ok(())
}
