//! Random histories with reorgs: what is shown equals the contracts' own views, and what it says of liquidations is what the
//! contracts do.

use std::{any::Any, sync::Arc};

use alloy::{
    eips::BlockId,
    primitives::{Address, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
    sol_types::SolCall,
};
use eyre::ContextCompat;
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_keeper::{
    prices::{Call, CallResult, ChainReader, EndpointReader},
    report::watch::{WatchReport, WatchedPosition},
    stream::newest_header,
    watch::{Sales, Watcher},
};
use plimsoll_protocols::compound_v2::{CompoundV2, ICompoundOracle, IComptroller, IVToken, LiquidationOrder};
use plimsoll_testkit::{
    devnet::ITestToken,
    venus::{Listing, VenusMarket},
};

use super::{
    super::newest,
    fixture::{Fixture, whole},
};
use crate::random::Random;

const SEED: u64 = 15;
/// Number of checks, each after some actions and every third one after a reorg.
const CHECKS: u64 = 30;
/// Actions before a check.
const ACTIONS: u64 = 10;
/// The deepest reorg.
const MAX_REORG_DEPTH: u64 = 12;
/// Gas of a call that is tried.
const GAS: u64 = 5_000_000;

/// How often what is claimed was seen.
#[derive(Debug, Default)]
struct Seen {
    healthy: u64,
    liquidated: u64,
    healed: u64,
    whole_accounts: u64,
    several_collaterals: u64,
    reorgs: u64,
}

/// A token's price when nothing happens, in hundredths of dollars.
const fn usual(market: &VenusMarket) -> u64 {
    match market.decimals {
        18 => 200_000,
        6 => 100,
        _ => 30_000,
    }
}

async fn random_action(fixture: &Fixture, random: &mut Random) -> eyre::Result<()> {
    let market = *fixture.market(random.index(3));
    let account = fixture.borrowers[random.index(fixture.borrowers.len())];
    let pool = fixture.venus.comptroller;
    // From a few units to thousands of whole tokens, so that every rounding shows.
    let digits = 1 + u32::try_from(random.below(4))?;
    let dollars = U256::from(random.below(10_u64.pow(digits)) + 1);
    let amount = if random.below(8) == 0 {
        dollars
    } else {
        dollars * whole(&market, 1) * U256::from(100) / U256::from(usual(&market))
    };
    // Some of these are refused, which is part of a history.
    let _ = match random.below(20) {
        0..4 => {
            let enter = IComptroller::enterMarketsCall { vTokens: vec![market.address] };
            fixture.send(account, pool, &enter).await?
                && fixture.send(account, market.address, &IVToken::mintCall { amount }).await?
        }
        4..6 => fixture.send(account, market.address, &IVToken::borrowCall { amount }).await?,
        6..10 => {
            // Nearly as much as there is, so that little is needed for a liquidation.
            let power = IComptroller::new(pool, fixture.provider()).getBorrowingPower(account).call().await?.liquidity;
            let oracle = ICompoundOracle::new(fixture.venus.oracle, fixture.provider());
            let price = oracle.getUnderlyingPrice(market.address).call().await?;
            let all = power * U256::from(10).pow(U256::from(18)) / price;
            let amount = all * U256::from(90 + random.below(10)) / U256::from(100);
            fixture.send(account, market.address, &IVToken::borrowCall { amount }).await?
        }
        10 => fixture.send(account, market.address, &IVToken::repayBorrowCall { amount }).await?,
        11 => fixture.send(account, market.address, &IVToken::redeemCall { tokens: amount }).await?,
        12 => {
            let to = fixture.borrowers[random.index(fixture.borrowers.len())];
            fixture.send(account, market.address, &IVToken::transferCall { to, amount }).await?
        }
        13 => fixture.send(account, pool, &IComptroller::exitMarketCall { vToken: market.address }).await?,
        14 => {
            fixture.donate(account, &market, amount).await?;
            true
        }
        15 => {
            let collateral = fixture.market(random.index(3)).address;
            let liquidate =
                IVToken::liquidateBorrowCall { borrower: account, repay: amount, vTokenCollateral: collateral };
            fixture.send(fixture.liquidator, market.address, &liquidate).await?
        }
        16 => fixture.send(fixture.liquidator, pool, &IComptroller::healAccountCall { user: account }).await?,
        17 => {
            let factor = random.below(70);
            let percent = |percent: u64| U256::from(percent) * U256::from(10).pow(U256::from(16));
            let set = IComptroller::setCollateralFactorCall {
                vToken: market.address,
                factor: percent(factor),
                threshold: percent(factor + random.below(20)),
            };
            fixture.send(fixture.devnet.deployer(), pool, &set).await?
        }
        _ => {
            let around = if market.decimals == 18 {
                200_000
            } else if market.decimals == 6 {
                100
            } else {
                30_000
            };
            fixture.set_price(&market, around * (40 + random.below(80)) / 100 + 1).await?;
            true
        }
    };
    Ok(())
}

/// Compares the report with the contracts' own views, of which interest since the last accrual is part or not as they please.
async fn assert_equal(fixture: &Fixture, watcher: &Watcher, report: &WatchReport, seen: &mut Seen) -> eyre::Result<()> {
    assert_eq!(report.warnings, Vec::<String>::new());
    let protocol: &dyn Any = watcher.protocol();
    let protocol = protocol.downcast_ref::<CompoundV2>().wrap_err("it is another protocol")?;
    let block = BlockId::from(report.block);
    let pool = IComptroller::new(fixture.venus.comptroller, fixture.provider());
    let mut with_debt = 0;
    for account in &fixture.borrowers {
        let (mut owes, mut collaterals) = (false, 0);
        for market in &fixture.venus.markets {
            let market = IVToken::new(market.address, fixture.provider());
            owes |= !market.borrowBalanceStored(*account).block(block).call().await?.is_zero();
            let is_member = pool.checkMembership(*account, *market.address()).block(block).call().await?;
            let has_tokens = !market.balanceOf(*account).block(block).call().await?.is_zero();
            collaterals += u64::from(is_member && has_tokens);
        }
        let shown = report.positions.iter().find(|shown| shown.account == *account);
        if !owes {
            assert!(shown.is_none(), "{shown:?} owes nothing");
            continue;
        }
        with_debt += 1;
        seen.several_collaterals += u64::from(collaterals > 1);
        let on_chain = pool.getAccountLiquidity(*account).block(block).call().await?;
        let ours = protocol.account_liquidity(*account).wrap_err_with(|| format!("{account} is not valued"))?;
        assert_eq!((ours.liquidity, ours.shortfall), (on_chain.liquidity, on_chain.shortfall), "{account}");
        let shown = shown.unwrap_or_else(|| panic!("{account} is missing"));
        assert_liquidation(fixture, shown, seen).await?;
    }
    assert_eq!(report.positions_with_debt, with_debt);
    Ok(())
}

/// Tries calls of the liquidator one after another in the newest block.
async fn try_calls(fixture: &Fixture, calls: Vec<Call>) -> eyre::Result<Vec<CallResult>> {
    let endpoint: Arc<Endpoint> = Arc::new(fixture.devnet.node.http_url().parse()?);
    let header = newest_header(&endpoint).await?;
    let reader = EndpointReader::new(Arc::clone(&endpoint), endpoint.client().await?, fixture.liquidator);
    let results = reader.run(&header, &[calls]).await?;
    Ok(results.into_iter().flatten().map(|call| call.result).collect())
}

fn call(to: Address, call: &impl SolCall) -> Call {
    Call::trial(to, call.abi_encode(), GAS)
}

fn number(result: &CallResult) -> U256 {
    result.as_ref().map_or(U256::ZERO, |data| U256::from_be_slice(data.get(..32).unwrap_or_default()))
}

fn market_of(fixture: &Fixture, token: Address) -> &VenusMarket {
    let market = fixture.venus.markets.iter().find(|market| market.token == token);
    market.unwrap_or_else(|| panic!("{token} has no market"))
}

/// Tries the liquidation on the contracts themselves: it is accepted exactly if it is shown so, with the amounts that are shown.
async fn assert_liquidation(fixture: &Fixture, shown: &WatchedPosition, seen: &mut Seen) -> eyre::Result<()> {
    let borrower = shown.account;
    let [debt, collateral] = [shown.debt.token, shown.collateral.token].map(|token| *market_of(fixture, token));
    let owed = try_calls(
        fixture,
        vec![
            call(debt.address, &IVToken::accrueInterestCall {}),
            call(debt.address, &IVToken::borrowBalanceStoredCall { account: borrower }),
            call(collateral.address, &IVToken::balanceOfCall { account: fixture.liquidator }),
            call(collateral.token, &ITestToken::balanceOfCall { account: fixture.liquidator }),
            call(debt.token, &ITestToken::balanceOfCall { account: fixture.liquidator }),
        ],
    );
    let owed = owed.await?;
    assert_eq!(shown.debt.units, number(&owed[1]).to_string(), "{shown:?}");
    assert_eq!(shown.health.starts_with('0'), shown.liquidatable, "{shown:?}");

    let heal = call(fixture.venus.comptroller, &IComptroller::healAccountCall { user: borrower });
    let least = IVToken::liquidateBorrowCall { borrower, repay: U256::ONE, vTokenCollateral: collateral.address };
    let refused = try_calls(fixture, vec![call(debt.address, &least)]).await?;
    let healing = try_calls(fixture, vec![heal.clone()]).await?;
    if !shown.liquidatable {
        assert!(refused[0].is_err() && healing[0].is_err(), "{shown:?}: {refused:?} {healing:?}");
        seen.healthy += 1;
        return Ok(());
    }
    let remark = shown.remark.as_deref().unwrap_or_default();
    let Some(liquidation) = &shown.liquidation else {
        // Too little to be seized for a unit of the debt, or none of it.
        assert!(refused[0].is_err(), "{shown:?}");
        return Ok(());
    };
    let (repaid, seized) = (liquidation.repaid.units.parse::<U256>()?, liquidation.seized.units.parse::<U256>()?);
    let liquidate = if remark.contains("healAccount") {
        seen.healed += 1;
        heal
    } else if remark.contains("liquidateAccount") {
        seen.whole_accounts += 1;
        assert!(refused[0].is_err(), "{shown:?}");
        let orders = vec![LiquidationOrder {
            vTokenCollateral: collateral.address,
            vTokenBorrowed: debt.address,
            repayAmount: repaid,
        }];
        call(fixture.venus.comptroller, &IComptroller::liquidateAccountCall { borrower, orders })
    } else {
        seen.liquidated += 1;
        call(
            debt.address,
            &IVToken::liquidateBorrowCall { borrower, repay: repaid, vTokenCollateral: collateral.address },
        )
    };
    // What was received is redeemed, as far as the market has it.
    let received = try_calls(
        fixture,
        vec![
            liquidate.clone(),
            call(collateral.address, &IVToken::balanceOfCall { account: fixture.liquidator }),
            call(debt.token, &ITestToken::balanceOfCall { account: fixture.liquidator }),
        ],
    );
    let received = received.await?;
    if remark.contains("liquidateAccount") && received[0].is_err() {
        // Several debts or collaterals, of which one order is not enough.
        return Ok(());
    }
    assert!(received[0].is_ok(), "{shown:?}: {:?}", received[0]);
    if debt.token != collateral.token {
        assert_eq!(number(&owed[4]) - number(&received[2]), repaid, "{shown:?}");
    }
    let tokens = number(&received[1]) - number(&owed[2]);
    let redeemed = try_calls(
        fixture,
        vec![
            liquidate,
            call(collateral.token, &ITestToken::balanceOfCall { account: fixture.liquidator }),
            call(collateral.address, &IVToken::redeemCall { tokens }),
            call(collateral.token, &ITestToken::balanceOfCall { account: fixture.liquidator }),
        ],
    );
    let redeemed = redeemed.await?;
    if redeemed[2].is_ok() {
        assert_eq!(number(&redeemed[3]) - number(&redeemed[1]), seized, "{shown:?}");
    } else {
        assert!(seized.is_zero(), "{shown:?}: {redeemed:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_pool_equals_its_contracts_through_random_histories_and_reorgs() -> eyre::Result<()> {
    let Some(fixture) = Fixture::start().await? else { return Ok(()) };
    let first = fixture.provider().get_block_number().await?;
    let endpoint = || fixture.devnet.node.ws_url().parse();
    let mut watcher = Watcher::start(vec![endpoint()?], fixture.deployment(), Sales::default()).await?;
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
            2 if check % 2 == 0 => {
                watcher = Watcher::start(vec![endpoint()?], fixture.deployment(), Sales::default()).await?
            }
            _ => {}
        }
        let fallen = *fixture.market(random.index(3));
        fixture.set_price(&fallen, usual(&fallen) * (30 + random.below(90)) / 100).await?;
        // Collateral below this is too small for a liquidation of one debt.
        let dollars = U256::from([100, 20_000, 1_000_000][random.index(3)]);
        let least = dollars * U256::from(10).pow(U256::from(18));
        fixture.administer(&IComptroller::setMinLiquidatableCollateralCall { dollars: least }).await?;
        // Interest that is in no storage yet.
        fixture.provider().anvil_mine(Some(1 + random.below(50)), None).await?;
        let report = newest(fixture.provider(), &mut watcher).await?;
        assert_equal(&fixture, &watcher, &report, &mut seen).await?;
    }
    assert!(seen.healthy > 0 && seen.liquidated > 0 && seen.healed > 0 && seen.several_collaterals > 0, "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_is_listed_while_the_pool_is_watched_is_followed() -> eyre::Result<()> {
    let Some(mut fixture) = Fixture::start().await? else { return Ok(()) };
    let mut watcher =
        Watcher::start(vec![fixture.devnet.node.ws_url().parse()?], fixture.deployment(), Sales::default()).await?;
    assert_eq!(newest(fixture.provider(), &mut watcher).await?.markets, 3);
    let token = fixture.devnet.deploy_token("SILVER", 10).await?;
    let listing = Listing { token, decimals: 10, price: 40, factors: [50, 60] };
    let silver = fixture.venus.list(&fixture.devnet, &listing).await?;
    let (account, usd) = (fixture.borrowers[0], *fixture.market(1));
    fixture.devnet.mint_and_approve(token, account, whole(&silver, 100), silver.address).await?;
    fixture.open(account, (&silver, whole(&silver, 100)), (&usd, whole(&usd, 1_500))).await?;
    let report = newest(fixture.provider(), &mut watcher).await?;
    assert_eq!((report.markets, report.positions.len(), report.warnings.len()), (4, 1, 0), "{report:?}");
    let shown = &report.positions[0];
    assert_eq!((shown.collateral.token, shown.liquidatable), (token, false), "{shown:?}");
    assert_equal(&fixture, &watcher, &report, &mut Seen::default()).await
}
