//! Random histories with reorgs: what is shown equals the contract's own storage, and what it says of liquidations is what the
//! contract does.

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
use plimsoll_protocols::morpho_blue::IMorphoBlue;

use super::{
    fixture::{Fixture, Market, PARITY},
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
}

async fn random_action(fixture: &Fixture, random: &mut Random) -> eyre::Result<()> {
    let market = fixture.market(usize::try_from(random.below(2))?);
    let account = fixture.borrowers[usize::try_from(random.below(fixture.borrowers.len() as u64))?];
    let (params, core, data) = (market.params.clone(), fixture.morpho.core, Bytes::new());
    // From single units to millions, so that every rounding shows.
    let digits = 1 + u32::try_from(random.below(9))?;
    let assets = U256::from(1 + random.below(10_u64.pow(digits)));
    let shares = U256::ZERO;
    // Some of these are refused, which is part of a history.
    let _ = match random.below(12) {
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

/// Compares the report with the chain's own state, in which the interest of every market was just accrued.
async fn assert_equal(fixture: &Fixture, report: &WatchReport, seen: &mut Seen) -> eyre::Result<()> {
    assert_eq!(report.warnings, Vec::<String>::new());
    let block = BlockId::from(report.block);
    let core = IMorphoBlue::new(fixture.morpho.core, fixture.provider());
    let mut with_debt = 0;
    for market in &fixture.markets {
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
            assert_liquidation(fixture, market, shown, U256::from(stored.borrowShares), block, seen).await?;
        }
    }
    assert_eq!(report.positions_with_debt, with_debt);
    let order: Vec<_> = report.positions.iter().map(|shown| shown.health.parse::<f64>()).collect::<Result<_, _>>()?;
    assert!(order.is_sorted(), "{order:?}");
    Ok(())
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
        // In every third check prices have crashed, each market's as far as it may.
        let is_crash = check % 3 == 2;
        if is_crash {
            for market in &fixture.markets {
                fixture.set_price(market, PARITY / 1_000 * (1 + u128::from(random.below(500)))).await?;
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
        if is_crash {
            for market in &fixture.markets {
                fixture.set_price(market, PARITY).await?;
            }
        }
    }
    assert!(seen.healthy > 10 && seen.liquidatable > 3 && seen.bad_debt > 0 && seen.reorgs == CHECKS / 2, "{seen:?}");
    Ok(())
}
