//! Random histories with reorgs: what is shown equals the contract's own storage, and what it says of liquidations and of
//! pre-liquidations is what the contracts do.

use alloy::{
    eips::BlockId,
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
};
use plimsoll_keeper::{
    report::watch::{WatchReport, WatchedPosition},
    watch::{Sales, Watcher},
};
use plimsoll_protocols::morpho_blue::{IMorphoBlue, IPreLiquidation};

use super::{
    fixture::{Fixture, Market, PARITY, PreLiquidation},
    newest,
};
use crate::random::Random;

const SEED: u64 = 15;
/// Number of checks, each after some actions and every second one after a reorg.
const CHECKS: u64 = 24;
/// Actions before a check.
const ACTIONS: u64 = 14;
/// The deepest reorg.
const MAX_REORG_DEPTH: u64 = 20;

/// How often what is claimed was seen.
#[derive(Debug, Default)]
struct Seen {
    healthy: u64,
    liquidatable: u64,
    bad_debt: u64,
    reorgs: u64,
    authorised: u64,
    pre_liquidatable: u64,
    pre_liquidated: u64,
}

async fn random_action(fixture: &Fixture, random: &mut Random, seen: &mut Seen) -> eyre::Result<()> {
    let index = usize::try_from(random.below(2))?;
    let (market, contract) = (fixture.market(index), &fixture.pre_liquidations[index]);
    let account = fixture.borrowers[usize::try_from(random.below(fixture.borrowers.len() as u64))?];
    let (params, core, data) = (market.params.clone(), fixture.morpho.core, Bytes::new());
    // From single units to millions, so that every rounding shows.
    let digits = 1 + u32::try_from(random.below(9))?;
    let assets = U256::from(1 + random.below(10_u64.pow(digits)));
    let shares = U256::ZERO;
    // Some of these are refused, which is part of a history.
    let _ = match random.below(16) {
        0..4 => {
            let assets = assets * U256::from(3);
            let supply = IMorphoBlue::supplyCollateralCall { params, assets, onBehalf: account, data };
            fixture.send(account, core, &supply).await?
        }
        4..8 => {
            let borrow = IMorphoBlue::borrowCall { params, assets, shares, onBehalf: account, receiver: account };
            fixture.send(account, core, &borrow).await?
        }
        8 => {
            let owed = IMorphoBlue::new(core, fixture.provider()).position(market.id, account).call().await?;
            let shares = if random.below(2) == 0 { U256::from(owed.borrowShares) } else { U256::ZERO };
            let assets = if shares.is_zero() { assets } else { U256::ZERO };
            let repay = IMorphoBlue::repayCall { params, assets, shares, onBehalf: account, data };
            fixture.send(account, core, &repay).await?
        }
        9 => {
            let withdraw = IMorphoBlue::withdrawCollateralCall { params, assets, onBehalf: account, receiver: account };
            fixture.send(account, core, &withdraw).await?
        }
        10 => {
            let price = PARITY / 10_000 * (3_000 + u128::from(random.below(9_000)));
            fixture.set_price(market, price).await?;
            true
        }
        11..13 => {
            let is_authorised = random.below(3) > 0;
            let authorise =
                IMorphoBlue::setAuthorizationCall { authorized: contract.address, newIsAuthorized: is_authorised };
            fixture.send(account, core, &authorise).await?
        }
        13 => {
            // Near the market's price, as oracles of the same thing are.
            let price = PARITY / 10_000 * (7_000 + u128::from(random.below(6_000)));
            fixture.set_oracle(contract.oracle, price).await?;
            true
        }
        14 => {
            let Some(account) = aim(fixture, index, random).await? else { return Ok(()) };
            let owed = IMorphoBlue::new(core, fixture.provider()).position(market.id, account).call().await?;
            let shares = U256::from(owed.borrowShares) / U256::from(1 + random.below(40));
            let data = Bytes::new();
            let (borrower, none) = (account, U256::ZERO);
            let call = IPreLiquidation::preLiquidateCall { borrower, seizedAssets: none, repaidShares: shares, data };
            let is_done = fixture.send(fixture.devnet.deployer(), contract.address, &call).await?;
            seen.pre_liquidated += u64::from(is_done);
            is_done
        }
        _ => {
            let liquidate = IMorphoBlue::liquidateCall {
                params,
                borrower: account,
                seizedAssets: assets,
                repaidShares: U256::ZERO,
                data,
            };
            fixture.send(fixture.devnet.deployer(), core, &liquidate).await?
        }
    };
    Ok(())
}

/// Has an account with a debt authorise a contract, mostly, and sets the prices of the contract's oracle and of its market's so
/// that its LTV is somewhere about the two lines. Returns the account; `None` if none has a debt worth it.
async fn aim(fixture: &Fixture, index: usize, random: &mut Random) -> eyre::Result<Option<Address>> {
    const LEAST_DEBT: u64 = 1_000;
    let (market, contract) = (fixture.market(index), &fixture.pre_liquidations[index]);
    let core = IMorphoBlue::new(fixture.morpho.core, fixture.provider());
    let totals = core.market(market.id).call().await?;
    let first = usize::try_from(random.below(fixture.borrowers.len() as u64))?;
    for account in fixture.borrowers.iter().cycle().skip(first).take(fixture.borrowers.len()) {
        let position = core.position(market.id, *account).call().await?;
        let debt = U256::from(position.borrowShares) * U256::from(totals.totalBorrowAssets)
            / U256::from(totals.totalBorrowShares.max(1));
        if debt < U256::from(LEAST_DEBT) || position.collateral == 0 {
            continue;
        }
        let authorise =
            IMorphoBlue::setAuthorizationCall { authorized: contract.address, newIsAuthorized: random.below(4) > 0 };
        fixture.send(*account, fixture.morpho.core, &authorise).await?;
        let thousandths = U256::from(680 + random.below(220));
        let value = debt * U256::from(1_000) / thousandths;
        let price = value * U256::from(PARITY) / U256::from(position.collateral);
        let price = u128::try_from(price).unwrap_or(PARITY).clamp(PARITY / 1_000_000, PARITY * 300);
        fixture.set_oracle(contract.oracle, price).await?;
        if contract.oracle != market.params.oracle {
            fixture.set_price(market, price / 100 * (95 + u128::from(random.below(12)))).await?;
        }
        return Ok(Some(*account));
    }
    Ok(None)
}

/// Compares the report with the chain's own state, in which the interest of every market was just accrued.
async fn assert_equal(fixture: &Fixture, report: &WatchReport, seen: &mut Seen) -> eyre::Result<()> {
    assert_eq!(report.warnings, Vec::<String>::new());
    let block = BlockId::from(report.block);
    let core = IMorphoBlue::new(fixture.morpho.core, fixture.provider());
    let mut with_debt = 0;
    for (market, contract) in fixture.markets.iter().zip(&fixture.pre_liquidations) {
        let totals = core.market(market.id).block(block).call().await?;
        let (assets, shares) = (U256::from(totals.totalBorrowAssets), U256::from(totals.totalBorrowShares));
        for account in &fixture.borrowers {
            let stored = core.position(market.id, *account).block(block).call().await?;
            let shown = report.positions.iter().find(|shown| (shown.market, shown.account) == (market.id, *account));
            if stored.borrowShares == 0 {
                assert!(shown.is_none(), "{shown:?} owes nothing");
                continue;
            }
            with_debt += 1;
            let shown = shown.unwrap_or_else(|| panic!("{account} in {} is missing", market.id));
            let virtual_shares = shares + U256::from(1_000_000);
            let debt = (U256::from(stored.borrowShares) * (assets + U256::ONE)).div_ceil(virtual_shares);
            assert_eq!(shown.debt.units, debt.to_string(), "{shown:?}");
            assert_eq!(shown.collateral.units, stored.collateral.to_string(), "{shown:?}");
            let shares = U256::from(stored.borrowShares);
            let is_authorised = core.isAuthorized(*account, contract.address).block(block).call().await?;
            seen.authorised += u64::from(is_authorised);
            let largest =
                if is_authorised { pre_liquidation(fixture, contract, (*account, shares), block).await } else { None };
            if let Some(largest) = largest {
                assert!(shown.liquidatable, "{shown:?} and {largest:?}");
            }
            if shown.remark.is_some() {
                assert!(is_authorised, "{shown:?} has not authorised");
                assert_pre_liquidation(contract, shown, largest);
                seen.pre_liquidatable += u64::from(largest.is_some());
            } else {
                assert_liquidation(fixture, market, shown, shares, block, seen).await?;
            }
        }
    }
    assert_eq!(report.positions_with_debt, with_debt);
    let order: Vec<_> = report.positions.iter().map(|shown| shown.health.parse::<f64>()).collect::<Result<_, _>>()?;
    assert!(order.is_sorted(), "{order:?}");
    Ok(())
}

/// Returns what the largest pre-liquidation seizes and repays that the contract accepts, or the largest half, quarter and so on
/// of it; `None` if it accepts none.
async fn pre_liquidation(
    fixture: &Fixture,
    contract: &PreLiquidation,
    (borrower, all): (Address, U256),
    block: BlockId,
) -> Option<(U256, U256)> {
    let contract = IPreLiquidation::new(contract.address, fixture.provider());
    let attempt = async |shares: U256| {
        let call = contract.preLiquidate(borrower, U256::ZERO, shares, Bytes::new());
        call.from(fixture.devnet.deployer()).block(block).call().await
    };
    let most = match attempt(all).await {
        Ok(done) => return Some((done.seized, done.repaid)),
        Err(error) => match error.as_decoded_error::<IPreLiquidation::PreLiquidationTooLarge>() {
            Some(error) => error.repayableShares,
            None => all,
        },
    };
    for halvings in 0..=12 {
        if let Ok(done) = attempt(most >> halvings).await {
            return Some((done.seized, done.repaid));
        }
    }
    None
}

/// Compares what is shown of a position at a pre-liquidation contract with what it accepts.
fn assert_pre_liquidation(contract: &PreLiquidation, shown: &WatchedPosition, largest: Option<(U256, U256)>) {
    let (seized, repaid) = shown
        .liquidation
        .as_ref()
        .map_or_else(Default::default, |whole| (whole.seized.units.clone(), whole.repaid.units.clone()));
    assert_eq!(shown.liquidatable, largest.is_some(), "{shown:?}: {largest:?}");
    assert!(shown.remark.as_ref().is_some_and(|remark| remark.contains(&contract.address.to_string())), "{shown:?}");
    if let Some(largest) = largest {
        assert_eq!((seized, repaid), (largest.0.to_string(), largest.1.to_string()), "{shown:?}");
    }
}

/// Tries the liquidation on the contract itself: it is accepted exactly if it is shown so, with the amounts that are shown.
async fn assert_liquidation(
    fixture: &Fixture,
    market: &Market,
    shown: &WatchedPosition,
    shares: U256,
    block: BlockId,
    seen: &mut Seen,
) -> eyre::Result<()> {
    let core = IMorphoBlue::new(fixture.morpho.core, fixture.provider());
    let liquidate = async |borrower: Address, seized: U256, repaid_shares: U256| {
        let call = core.liquidate(market.params.clone(), borrower, seized, repaid_shares, Bytes::new());
        call.from(fixture.devnet.deployer()).block(block).call().await
    };
    let least = liquidate(shown.account, U256::ZERO, U256::ONE).await;
    assert_eq!(least.is_ok(), shown.liquidatable, "{shown:?}: {least:?}");
    assert_eq!(shown.health.starts_with("0"), shown.liquidatable, "{shown:?}");
    if !shown.liquidatable {
        seen.healthy += 1;
        return Ok(());
    }
    seen.liquidatable += 1;
    let collateral = shown.collateral.units.parse::<U256>()?;
    let Some(whole) = &shown.liquidation else {
        let both = [
            liquidate(shown.account, U256::ZERO, shares).await,
            liquidate(shown.account, collateral, U256::ZERO).await,
        ];
        assert!(both.iter().all(Result::is_err), "{shown:?}: {both:?}");
        return Ok(());
    };
    let done = match liquidate(shown.account, U256::ZERO, shares).await {
        Ok(done) => done,
        Err(_) => liquidate(shown.account, collateral, U256::ZERO).await?,
    };
    assert_eq!(whole.seized.units, done.seized.to_string(), "{shown:?}");
    assert_eq!(whole.repaid.units, done.repaid.to_string(), "{shown:?}");
    seen.bad_debt += u64::from(whole.bad_debt.units != "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_equals_the_contract_through_random_histories_and_reorgs() -> eyre::Result<()> {
    let fixture = Fixture::start().await?;
    let first = fixture.provider().get_block_number().await?;
    let endpoint = fixture.devnet.node.ws_url().parse()?;
    let mut watcher = Watcher::start(vec![endpoint], fixture.deployment(), Sales::default()).await?;
    let (mut random, mut seen) = (Random::from_seed(SEED), Seen::default());
    for check in 0..CHECKS {
        for _ in 0..ACTIONS {
            random_action(&fixture, &mut random, &mut seen).await?;
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
        // In every third check prices have crashed, each market's as far as it may.
        let is_crash = check % 3 == 2;
        if is_crash {
            for market in &fixture.markets {
                fixture.set_price(market, PARITY / 1_000 * (1 + u128::from(random.below(500)))).await?;
            }
        } else {
            for index in 0..fixture.markets.len() {
                aim(&fixture, index, &mut random).await?;
            }
        }
        fixture.provider().anvil_set_auto_mine(false).await?;
        for (market, account) in fixture.markets.iter().zip(&fixture.borrowers) {
            let accrue = IMorphoBlue::accrueInterestCall { params: market.params.clone() };
            let request = fixture.request(*account, fixture.morpho.core, &accrue).await?;
            let _pending = fixture.provider().send_transaction(request).await?;
        }
        fixture.provider().anvil_mine(Some(1), None).await?;
        fixture.provider().anvil_set_auto_mine(true).await?;
        let report = newest(fixture.provider(), &mut watcher).await?;
        assert_equal(&fixture, &report, &mut seen).await?;
        for market in &fixture.markets {
            fixture.set_price(market, PARITY).await?;
        }
    }
    assert!(seen.authorised > 20 && seen.pre_liquidatable > 2 && seen.pre_liquidated > 0, "{seen:?}");
    assert!(seen.healthy > 10 && seen.liquidatable > 3 && seen.bad_debt > 0 && seen.reorgs == CHECKS / 2, "{seen:?}");
    Ok(())
}
