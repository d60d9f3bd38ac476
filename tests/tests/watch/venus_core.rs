//! Venus' core pool on its real bytecode: what is shown equals the comptroller's own view, and what it says of liquidations is what
//! the pool's Liquidator does. Without the package in tools/venus the tests say that they are skipped.

use std::{
    any::Any,
    io::{self, Write},
    sync::Arc,
};

use alloy::{
    eips::BlockId,
    primitives::{Address, U256, aliases::U96},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::{TransactionRequest, anvil::ReorgOptions},
    sol_types::SolCall,
};
use eyre::ContextCompat;
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_keeper::{
    prices::{Call, CallResult, ChainReader, EndpointReader},
    report::watch::{WatchReport, WatchedPosition},
    routing::pool::{Venue, VenueKind},
    stream::newest_header,
    watch::{Sales, Watcher},
};
use plimsoll_protocols::{
    Deployment, ProtocolKind,
    compound_v2::{CompoundV2, IComptroller, IVToken, IVenusLiquidator},
};
use plimsoll_testkit::{
    devnet::{Devnet, ITestToken},
    exchange::Amount,
    pairs::Pairs,
    venus::{ANVIL_ARGUMENTS, Listing, VenusMarket},
    venus_core::{self, ICore, ILiquidatorAdministration, IVai, VenusCore},
};

use super::newest;
use crate::random::Random;

const SEED: u64 = 21;
/// Number of checks, each after some actions and every third one after a reorg.
const CHECKS: u64 = 15;
/// Actions before a check.
const ACTIONS: u64 = 10;
/// The deepest reorg.
const MAX_REORG_DEPTH: u64 = 12;
/// Gas of a call.
const GAS: u64 = 8_000_000;
/// A pool that accounts can choose.
const POOL: u64 = 1;

struct Fixture {
    devnet: Devnet,
    core: VenusCore,
    borrowers: Vec<Address>,
    liquidator: Address,
    first_block: u64,
}

/// How often what is claimed was seen.
#[derive(Debug, Default)]
struct Seen {
    healthy: u64,
    liquidated: u64,
    of_pool: u64,
    reorgs: u64,
}

impl Fixture {
    async fn start() -> eyre::Result<Option<Self>> {
        if !venus_core::is_installed()? {
            writeln!(io::stderr(), "SKIPPED: tools/venus is not installed: run npm ci --ignore-scripts there")?;
            return Ok(None);
        }
        let devnet = Devnet::start_with(&ANVIL_ARGUMENTS).await?;
        let first_block = devnet.provider().get_block_number().await?;
        let mut listings = Vec::new();
        for (name, decimals, price, factors) in
            [("COLL", 18, 2_000, [75, 80]), ("USD", 6, 1, [80, 85]), ("GOLD", 8, 300, [60, 70])]
        {
            let token = devnet.deploy_token(name, decimals).await?;
            listings.push(Listing { token, decimals, price, factors });
        }
        let core = VenusCore::deploy(&devnet, &listings).await?;
        core.make_pool(&devnet, POOL, 0, [85, 115]).await?;
        let borrowers = (2..7).map(|index| devnet.account(index)).collect::<eyre::Result<Vec<_>>>()?;
        let (lender, liquidator) = (devnet.account(1)?, devnet.account(9)?);
        let fixture = Self { devnet, core, borrowers, liquidator, first_block };
        for market in &fixture.core.markets {
            for account in fixture.borrowers.iter().copied().chain([lender]) {
                let amount = U256::from(u128::MAX / 100);
                fixture.devnet.mint_and_approve(market.token, account, amount, market.address).await?;
            }
            let (amount, to) = (U256::from(u128::MAX / 100), fixture.core.liquidator);
            fixture.devnet.mint_and_approve(market.token, liquidator, amount, to).await?;
        }
        for market in &fixture.core.markets {
            let mint = IVToken::mintCall { amount: whole(market, 1_000_000) };
            assert!(fixture.send(lender, market.address, &mint).await?, "the supply is refused");
        }
        Ok(Some(fixture))
    }

    fn provider(&self) -> &DynProvider {
        self.devnet.provider()
    }

    fn deployment(&self) -> Deployment {
        let (protocol, address) = (ProtocolKind::CompoundV2, self.core.comptroller);
        Deployment {
            protocol,
            chain_id: 31_337,
            name: None,
            address,
            first_block: self.first_block,
            pre_liquidation_factory: None,
            source: None,
        }
    }

    async fn watcher(&self) -> eyre::Result<Watcher> {
        let endpoint = self.devnet.node.ws_url().parse()?;
        Watcher::start(vec![endpoint], self.deployment(), Sales::default()).await
    }

    async fn send(&self, from: Address, to: Address, call: &impl SolCall) -> eyre::Result<bool> {
        let nonce = self.provider().get_transaction_count(from).await?;
        let request = TransactionRequest::default().from(from).to(to).input(call.abi_encode().into());
        let request = request.nonce(nonce).gas_limit(GAS);
        Ok(self.provider().send_transaction(request).await?.get_receipt().await?.status())
    }

    async fn set_price(&self, market: &VenusMarket, cents: u64) -> eyre::Result<()> {
        let set = self.core.price_call(market, cents);
        assert!(self.send(self.devnet.deployer(), self.core.oracle, &set).await?, "the price is refused");
        Ok(())
    }

    async fn open(
        &self,
        account: Address,
        (collateral, supplied): (&VenusMarket, U256),
        (debt, borrowed): (&VenusMarket, U256),
    ) -> eyre::Result<()> {
        let enter = IComptroller::enterMarketsCall { vTokens: vec![collateral.address] };
        assert!(self.send(account, self.core.comptroller, &enter).await?, "the market is refused");
        assert!(self.send(account, collateral.address, &IVToken::mintCall { amount: supplied }).await?);
        assert!(self.send(account, debt.address, &IVToken::borrowCall { amount: borrowed }).await?);
        Ok(())
    }

    /// Tries calls of the liquidator one after another in the newest block.
    async fn try_calls(&self, calls: Vec<Call>) -> eyre::Result<Vec<CallResult>> {
        let endpoint: Arc<Endpoint> = Arc::new(self.devnet.node.http_url().parse()?);
        let header = newest_header(&endpoint).await?;
        let reader = EndpointReader::new(Arc::clone(&endpoint), endpoint.client().await?, self.liquidator);
        let results = reader.run(&header, &[calls]).await?;
        Ok(results.into_iter().flatten().map(|call| call.result).collect())
    }
}

/// Returns whole tokens of a market in units.
fn whole(market: &VenusMarket, tokens: u64) -> U256 {
    U256::from(tokens) * U256::from(10).pow(U256::from(market.decimals))
}

/// A token's price when nothing happens, in hundredths of dollars.
const fn usual(market: &VenusMarket) -> u64 {
    match market.decimals {
        18 => 200_000,
        6 => 100,
        _ => 30_000,
    }
}

fn call(to: Address, call: &impl SolCall) -> Call {
    Call::trial(to, call.abi_encode(), GAS)
}

fn number(result: &CallResult) -> U256 {
    result.as_ref().map_or(U256::ZERO, |data| U256::from_be_slice(data.get(..32).unwrap_or_default()))
}

async fn random_action(fixture: &Fixture, random: &mut Random) -> eyre::Result<()> {
    let market = fixture.core.markets[random.index(3)];
    let account = fixture.borrowers[random.index(fixture.borrowers.len())];
    let pool = fixture.core.comptroller;
    // From a few units to thousands of whole tokens, so that every rounding shows.
    let digits = 1 + u32::try_from(random.below(4))?;
    let dollars = U256::from(random.below(10_u64.pow(digits)) + 1);
    let amount = dollars * whole(&market, 1) * U256::from(100) / U256::from(usual(&market));
    // Some of these are refused, which is part of a history.
    let _ = match random.below(18) {
        0..5 => {
            let enter = IComptroller::enterMarketsCall { vTokens: vec![market.address] };
            fixture.send(account, pool, &enter).await?
                && fixture.send(account, market.address, &IVToken::mintCall { amount }).await?
        }
        5..7 => fixture.send(account, market.address, &IVToken::borrowCall { amount }).await?,
        7..11 => {
            // Nearly as much as there is, so that little is needed for a liquidation.
            let power = IComptroller::new(pool, fixture.provider()).getBorrowingPower(account).call().await?.liquidity;
            let price = U256::from(usual(&market)) * U256::from(10).pow(U256::from(34 - market.decimals));
            let all = power * U256::from(10).pow(U256::from(18)) / price;
            let amount = all * U256::from(90 + random.below(10)) / U256::from(100);
            fixture.send(account, market.address, &IVToken::borrowCall { amount }).await?
        }
        11 => fixture.send(account, market.address, &IVToken::repayBorrowCall { amount }).await?,
        12 => fixture.send(account, market.address, &IVToken::redeemCall { tokens: amount }).await?,
        13 => {
            let to = fixture.borrowers[random.index(fixture.borrowers.len())];
            fixture.send(account, market.address, &IVToken::transferCall { to, amount }).await?
        }
        14 | 15 => fixture.send(account, pool, &ICore::enterPoolCall { pool: U96::from(random.below(2)) }).await?,
        16 => {
            let percent = U256::from(random.below(2)) * U256::from(10).pow(U256::from(15));
            let set = ICore::_setTreasuryDataCall {
                guardian: fixture.devnet.deployer(),
                treasury: fixture.devnet.deployer(),
                percent,
            };
            fixture.send(fixture.devnet.deployer(), pool, &set).await?
        }
        _ => {
            let collateral = fixture.core.markets[random.index(3)].address;
            let liquidate = IVenusLiquidator::liquidateBorrowCall {
                vToken: market.address,
                borrower: account,
                repayAmount: amount,
                vTokenCollateral: collateral,
            };
            fixture.send(fixture.liquidator, fixture.core.liquidator, &liquidate).await?
        }
    };
    Ok(())
}

async fn assert_equal(fixture: &Fixture, watcher: &Watcher, report: &WatchReport, seen: &mut Seen) -> eyre::Result<()> {
    assert_eq!(report.warnings, Vec::<String>::new());
    let protocol: &dyn Any = watcher.protocol();
    let protocol = protocol.downcast_ref::<CompoundV2>().wrap_err("it is another protocol")?;
    let block = BlockId::from(report.block);
    let pool = IComptroller::new(fixture.core.comptroller, fixture.provider());
    let mut with_debt = 0;
    for account in &fixture.borrowers {
        let mut owes = false;
        for market in &fixture.core.markets {
            let market = IVToken::new(market.address, fixture.provider());
            owes |= !market.borrowBalanceStored(*account).block(block).call().await?.is_zero();
        }
        let shown = report.positions.iter().find(|shown| shown.account == *account);
        if !owes {
            assert!(shown.is_none(), "{shown:?} owes nothing");
            continue;
        }
        with_debt += 1;
        let on_chain = pool.getAccountLiquidity(*account).block(block).call().await?;
        let ours = protocol.account_liquidity(*account).wrap_err_with(|| format!("{account} is not valued"))?;
        assert_eq!((ours.liquidity, ours.shortfall), (on_chain.liquidity, on_chain.shortfall), "{account}");
        let chosen = pool.userPoolId(*account).block(block).call().await?;
        seen.of_pool += u64::from(!chosen.is_zero());
        let shown = shown.unwrap_or_else(|| panic!("{account} is missing"));
        assert_liquidation(fixture, shown, seen).await?;
    }
    assert_eq!(report.positions_with_debt, with_debt);
    Ok(())
}

/// Tries the liquidation by the Liquidator: it is accepted exactly if it is shown so, with the amounts that are shown.
async fn assert_liquidation(fixture: &Fixture, shown: &WatchedPosition, seen: &mut Seen) -> eyre::Result<()> {
    let market_of = |token: Address| {
        let market = fixture.core.markets.iter().find(|market| market.token == token).copied();
        market.wrap_err_with(|| format!("{token} has no market"))
    };
    let (debt, collateral) = (market_of(shown.debt.token)?, market_of(shown.collateral.token)?);
    let liquidate = |repay: U256| {
        let liquidate = IVenusLiquidator::liquidateBorrowCall {
            vToken: debt.address,
            borrower: shown.account,
            repayAmount: repay,
            vTokenCollateral: collateral.address,
        };
        call(fixture.core.liquidator, &liquidate)
    };
    let held = |token: Address| call(token, &ITestToken::balanceOfCall { account: fixture.liquidator });
    let receipts = call(collateral.address, &IVToken::balanceOfCall { account: fixture.liquidator });
    let Some(liquidation) = &shown.liquidation else { return Ok(()) };
    let (repaid, seized) = (liquidation.repaid.units.parse::<U256>()?, liquidation.seized.units.parse::<U256>()?);
    if !shown.liquidatable {
        let refused = fixture.try_calls(vec![liquidate(U256::ONE)]).await?;
        assert!(refused[0].is_err(), "{shown:?}");
        seen.healthy += 1;
        return Ok(());
    }
    // The market itself refuses every caller but the Liquidator: by a code, or by a revert.
    let direct = IVToken::liquidateBorrowCall {
        borrower: shown.account,
        repay: U256::ONE,
        vTokenCollateral: collateral.address,
    };
    let direct = fixture.try_calls(vec![call(debt.address, &direct)]).await?;
    assert!(direct[0].is_err() || !number(&direct[0]).is_zero(), "{shown:?}");
    let first = fixture
        .try_calls(vec![receipts.clone(), held(debt.token), liquidate(repaid), receipts, held(debt.token)])
        .await?;
    assert!(first[2].is_ok(), "{shown:?}: {:?}", first[2]);
    let tokens = number(&first[3]) - number(&first[0]);
    let redeem = call(collateral.address, &IVToken::redeemCall { tokens });
    let calls = vec![liquidate(repaid), held(collateral.token), redeem, held(collateral.token)];
    let redeemed = fixture.try_calls(calls).await?;
    if debt.token != collateral.token {
        assert_eq!(number(&first[1]) - number(&first[4]), repaid, "{shown:?}");
    }
    assert_eq!(number(&redeemed[3]) - number(&redeemed[1]), seized, "{shown:?}");
    // A unit more than the close factor allows is refused.
    let more = fixture.try_calls(vec![liquidate(shown.debt.units.parse::<U256>()?)]).await?;
    assert!(more[0].is_err(), "{shown:?}");
    seen.liquidated += 1;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_core_pool_equals_its_contracts_through_random_histories_and_reorgs() -> eyre::Result<()> {
    let Some(fixture) = Fixture::start().await? else { return Ok(()) };
    let first = fixture.provider().get_block_number().await?;
    let mut watcher = fixture.watcher().await?;
    let (mut random, mut seen) = (Random::from_seed(SEED), Seen::default());
    for check in 0..CHECKS {
        for _ in 0..ACTIONS {
            random_action(&fixture, &mut random).await?;
        }
        match check % 3 {
            1 => {
                // The watcher has seen the blocks that go.
                newest(fixture.provider(), &mut watcher).await?;
                let depth = 1 + random.below(MAX_REORG_DEPTH);
                let replaceable = fixture.provider().get_block_number().await? - first;
                let options = ReorgOptions { depth: depth.min(replaceable), tx_block_pairs: Vec::new() };
                fixture.provider().anvil_reorg(options).await?;
                seen.reorgs += 1;
            }
            // One that begins now knows what one knows that was there all the time.
            2 if check % 2 == 0 => watcher = fixture.watcher().await?,
            _ => {}
        }
        let fallen = fixture.core.markets[random.index(3)];
        fixture.set_price(&fallen, usual(&fallen) * (50 + random.below(70)) / 100).await?;
        // Interest that is in no storage yet.
        fixture.provider().anvil_mine(Some(1 + random.below(50)), None).await?;
        let report = newest(fixture.provider(), &mut watcher).await?;
        assert_equal(&fixture, &watcher, &report, &mut seen).await?;
        fixture.set_price(&fallen, usual(&fallen)).await?;
    }
    assert!(seen.healthy > 5 && seen.liquidated > 2 && seen.of_pool > 2 && seen.reorgs == CHECKS / 3, "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_the_core_pool_that_owes_vai_is_said_to_be_left_out_until_it_owes_none() -> eyre::Result<()> {
    let Some(fixture) = Fixture::start().await? else { return Ok(()) };
    let [coll, usd, _] = fixture.core.markets[..] else { eyre::bail!("too few markets") };
    let [account, other, ..] = fixture.borrowers[..] else { eyre::bail!("too few accounts") };
    for account in [account, other] {
        fixture.open(account, (&coll, whole(&coll, 10)), (&usd, whole(&usd, 5_000))).await?;
    }
    let mut watcher = fixture.watcher().await?;
    let report = newest(fixture.provider(), &mut watcher).await?;
    assert_equal(&fixture, &watcher, &report, &mut Seen::default()).await?;
    let mint = IVai::mintVAICall { amount: U256::from(10).pow(U256::from(18)) };
    assert!(fixture.send(account, fixture.core.vai, &mint).await?, "VAI is refused");
    for watcher in [&mut watcher, &mut fixture.watcher().await?] {
        let report = newest(fixture.provider(), watcher).await?;
        assert_eq!(report.positions.iter().map(|shown| shown.account).collect::<Vec<_>>(), [other]);
        assert!(format!("{report:?}").contains("they owe VAI"), "{report:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_of_a_liquidation_in_the_core_pool_is_that_by_its_liquidator() -> eyre::Result<()> {
    let Some(fixture) = Fixture::start().await? else { return Ok(()) };
    let [coll, usd, _] = fixture.core.markets[..] else { eyre::bail!("too few markets") };
    let Pairs { factory, init_code_hash } = Pairs::deploy(&fixture.devnet).await?;
    let reserves = [(&coll, 1_000), (&usd, 2_000_000)];
    let reserves = reserves.map(|(market, tokens)| Amount { token: market.token, units: whole(market, tokens) });
    Pairs { factory, init_code_hash }.create(&fixture.devnet, reserves).await?;
    fixture.open(fixture.borrowers[0], (&coll, whole(&coll, 10)), (&usd, whole(&usd, 14_000))).await?;
    let venue =
        Venue { kind: VenueKind::UniswapV2, deployer: factory, pool_init_code_hash: init_code_hash, keys: vec![3_000] };
    let sales = Sales { venues: vec![venue], wrapped_coin: Some(coll.token), ..Sales::default() };
    let endpoint = fixture.devnet.node.ws_url().parse()?;
    let mut watcher = Watcher::start(vec![endpoint], fixture.deployment(), sales).await?;
    let report = newest(fixture.provider(), &mut watcher).await?;
    let block = fixture.provider().get_block(BlockId::from(report.block)).await?.wrap_err("no block")?;
    let base_fee = block.header.base_fee_per_gas.wrap_err("no base fee")?;
    let after_gas = report.positions.first().and_then(|shown| shown.after_gas.as_ref());
    let gas_wei = after_gas.wrap_err_with(|| format!("{report:?}"))?.gas_wei.parse::<u64>()?;
    assert_eq!(gas_wei / base_fee, 675_000, "as measured, and not that of an isolated pool");
    Ok(())
}

/// What the Liquidator says of an account that it could liquidate: shown, and tried.
async fn assert_refused(
    fixture: &Fixture,
    watcher: &mut Watcher,
    account: Address,
    by: Option<&str>,
) -> eyre::Result<()> {
    let report = newest(fixture.provider(), watcher).await?;
    assert_eq!(report.warnings, Vec::<String>::new());
    let shown = report.positions.iter().find(|shown| shown.account == account).wrap_err("it is not shown")?;
    let lots = watcher.protocol().liquidatable(&|_| Some(U256::ONE));
    let lot = lots.iter().find(|lot| lot.account == account).wrap_err("it is not liquidatable")?;
    match by {
        None => {
            assert_eq!(lot.obstacle, None);
            assert_liquidation(fixture, shown, &mut Seen::default()).await
        }
        Some(rule) => {
            assert!(lot.obstacle.is_some_and(|obstacle| obstacle.contains(rule)), "{lot:?}");
            assert!(shown.remark.as_ref().is_some_and(|remark| remark.contains(rule)), "{shown:?}");
            let [coll, usd, _] = fixture.core.markets[..] else { eyre::bail!("too few markets") };
            let liquidate = IVenusLiquidator::liquidateBorrowCall {
                vToken: usd.address,
                borrower: account,
                repayAmount: whole(&usd, 100),
                vTokenCollateral: coll.address,
            };
            let refused = fixture.try_calls(vec![call(fixture.core.liquidator, &liquidate)]).await?;
            assert!(refused[0].is_err(), "{refused:?}");
            Ok(())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_liquidator_of_the_core_pool_refuses_is_said_while_it_does_and_another_liquidator_is_followed()
-> eyre::Result<()> {
    let Some(mut fixture) = Fixture::start().await? else { return Ok(()) };
    let [coll, usd, _] = fixture.core.markets[..] else { eyre::bail!("too few markets") };
    let [account, ..] = fixture.borrowers[..] else { eyre::bail!("too few accounts") };
    let second = fixture.core.deploy_liquidator(&fixture.devnet, 20).await?;
    fixture.devnet.mint_and_approve(usd.token, fixture.liquidator, whole(&usd, 100_000), second).await?;
    fixture.open(account, (&coll, whole(&coll, 10)), (&usd, whole(&usd, 14_000))).await?;
    fixture.set_price(&coll, 160_000).await?;
    let mut watcher = fixture.watcher().await?;
    assert_refused(&fixture, &mut watcher, account, None).await?;

    let (owner, first) = (fixture.devnet.deployer(), fixture.core.liquidator);
    let restrict = ILiquidatorAdministration::restrictLiquidationCall { borrower: account };
    assert!(fixture.send(owner, first, &restrict).await?);
    assert_refused(&fixture, &mut watcher, account, Some("chosen callers alone")).await?;
    // One that begins now knows it, too.
    assert_refused(&fixture, &mut fixture.watcher().await?, account, Some("chosen callers alone")).await?;
    let free = ILiquidatorAdministration::unrestrictLiquidationCall { borrower: account };
    assert!(fixture.send(owner, first, &free).await?);
    assert_refused(&fixture, &mut watcher, account, None).await?;

    // With a minimum of nothing, an account that owes no VAI owes too much of it.
    assert!(fixture.send(owner, first, &ILiquidatorAdministration::resumeForceVAILiquidateCall {}).await?);
    assert_refused(&fixture, &mut watcher, account, Some("nothing but VAI")).await?;
    let minimum = ILiquidatorAdministration::setMinLiquidatableVAICall { minimum: U256::ONE };
    assert!(fixture.send(owner, first, &minimum).await?);
    assert_refused(&fixture, &mut watcher, account, None).await?;

    assert!(fixture.send(owner, first, &restrict).await?);
    assert_refused(&fixture, &mut watcher, account, Some("chosen callers alone")).await?;
    let name = ICore::_setLiquidatorContractCall { liquidator: second };
    assert!(fixture.send(owner, fixture.core.comptroller, &name).await?);
    fixture.core.liquidator = second;
    assert_refused(&fixture, &mut watcher, account, None).await?;
    assert!(fixture.send(owner, second, &restrict).await?);
    assert_refused(&fixture, &mut watcher, account, Some("chosen callers alone")).await?;
    Ok(())
}
