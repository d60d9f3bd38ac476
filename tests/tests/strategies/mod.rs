//! The keeper's decisions on a real chain with a real exchange: transactions have their simulated results.

mod builders;
mod fixture;
mod harvest;
mod pools;
mod requests;

use alloy::primitives::U256;
use plimsoll_contracts::IPlimsoll;
use plimsoll_keeper::{
    prices::{Call, ChainReader, NoPrice, NoValuation, PoolHop, Source, Valuer},
    strategies::{Decision, Decisions, SkipReason, liquidate::LoanId},
};
use plimsoll_testkit::devnet::{ITestToken, mined};

use self::fixture::{DOLLAR, ETHER, Fixture, outcome};

/// Returns the name of every decision with its number of loans.
fn decisions(round: &Decisions<LoanId>) -> Vec<(&'static str, usize)> {
    let mut names: Vec<_> = round
        .verdicts
        .iter()
        .map(|verdict| match &verdict.decision {
            Decision::Act { .. } => "act",
            Decision::Skip(reason) => reason.name(),
        })
        .collect();
    names.sort_unstable();
    names.chunk_by(|one, other| one == other).map(|same| (same[0], same.len())).collect()
}

#[tokio::test]
async fn a_batch_of_twenty_earns_exactly_the_simulated_profit() -> eyre::Result<()> {
    // Twenty loans are liquidatable below 1,744 dollars or earlier, five below 1,628.
    let loans = (0..20).map(|more| 15_000 + more * 10).chain([14_000; 5]);
    let mut fixture = Fixture::new(loans, 100_000).await?;
    assert_eq!(fixture.round().await?, Decisions::default());
    fixture.set_price(1_700).await?;
    fixture.trade_to(1_700).await?;
    let round = fixture.round().await?;
    assert_eq!(decisions(&round), [("act", 20)]);
    let [intent] = round.intents.as_slice() else { panic!("{:?}", round.intents) };
    let receipts = fixture.mine(&round.intents).await?;
    let outcome = outcome(&receipts[0]).unwrap();
    // A dollar is worth 1/1700 of a coin.
    let gain = outcome.profit * U256::from(ETHER) / U256::from(1_700 * DOLLAR);
    assert_eq!(intent.expected_gain, gain);
    // The table is close, and the gas limit is sufficient.
    assert!(receipts[0].gas_used <= intent.expected_gas * 84 / 100, "{} used", receipts[0].gas_used);
    assert!(receipts[0].gas_used >= intent.expected_gas * 68 / 100, "{} used", receipts[0].gas_used);
    assert_eq!(fixture.round().await?, Decisions::default());
    Ok(())
}

#[tokio::test]
async fn the_same_bytes_succeed_only_at_prices_that_the_profit_covers() -> eyre::Result<()> {
    let mut fixture = Fixture::new([15_000, 15_010, 15_020], 100_000).await?;
    fixture.set_price(1_700).await?;
    fixture.trade_to(1_700).await?;
    let [intent] = &fixture.round().await?.intents[..] else { panic!("one batch was expected") };
    let affordable: u128 = (intent.expected_gain / U256::from(intent.expected_gas)).to();
    let mut succeeded = Vec::new();
    for percent in [1, 50, 90, 99, 103, 107, 111, 115, 120, 130, 150, 200, 400] {
        let price = affordable * percent / 100;
        let receipt = fixture.try_at(intent, price).await?;
        if receipt.status() {
            let cost = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
            assert!(cost <= intent.expected_gain, "{percent} %: {cost} for {}", intent.expected_gain);
            succeeded.push(percent);
        }
    }
    // What is affordable by the table's figures passes the contract's guard; half as much again does not.
    assert!(succeeded.contains(&99) && succeeded.iter().all(|percent| *percent < 150), "{succeeded:?}");
    Ok(())
}

#[tokio::test]
async fn a_lost_race_costs_a_quarter_of_a_liquidation() -> eyre::Result<()> {
    let mut fixture = Fixture::new([15_000], 100_000).await?;
    fixture.set_price(1_700).await?;
    fixture.trade_to(1_700).await?;
    let round = fixture.round().await?;
    assert!(fixture.mine(&round.intents).await?[0].status());
    let lost = fixture.try_at(&round.intents[0], 10_000_000_000).await?;
    assert!(!lost.status() && lost.gas_used <= 70_000, "{} gas", lost.gas_used);
    Ok(())
}

#[tokio::test]
async fn a_thousand_loans_fit_one_transaction_or_three_sequential_batches() -> eyre::Result<()> {
    let mut fixture = Fixture::new((0..1_000).map(|more| 15_000 + more % 100), 10_000_000).await?;
    fixture.set_price(1_700).await?;
    fixture.trade_to(1_700).await?;
    let round = fixture.round().await?;
    assert_eq!(decisions(&round), [("act", 1_000)]);
    assert_eq!(round.intents.len(), 1);

    // As with smaller blocks: three transactions, each simulated after the previous ones.
    fixture.room = 5_000_000;
    let round = fixture.round().await?;
    assert_eq!(decisions(&round), [("act", 1_000)]);
    assert_eq!(round.intents.len(), 3);
    let receipts = fixture.mine(&round.intents).await?;
    for (intent, receipt) in round.intents.iter().zip(&receipts) {
        // They were simulated in separate blocks, so with some seconds of interest.
        let gain = outcome(receipt).unwrap().profit * U256::from(ETHER) / U256::from(1_700 * DOLLAR);
        assert!(gain.abs_diff(intent.expected_gain) < gain / U256::from(1_000_000), "{gain} {}", intent.expected_gain);
        assert!(receipt.gas_used <= intent.gas_limit * 95 / 100, "{} of {}", receipt.gas_used, intent.gas_limit);
    }
    assert_eq!(fixture.round().await?, Decisions::default());
    Ok(())
}

#[tokio::test]
async fn a_thin_pool_takes_a_part_of_the_batch_and_an_unprofitable_one_none() -> eyre::Result<()> {
    let mut fixture = Fixture::new([15_000; 40], 2_000).await?;
    fixture.set_price(1_700).await?;
    fixture.trade_to(1_700).await?;
    let round = fixture.round().await?;
    assert_eq!(round.intents.len(), 1);
    let [("act", some), ("others_first", rest)] = decisions(&round)[..] else { panic!("{:?}", decisions(&round)) };
    assert_eq!(some + rest, 40);
    fixture.mine(&round.intents).await?;
    // Below the oracle's price by more than the incentive.
    fixture.trade_to(1_600).await?;
    let round = fixture.round().await?;
    assert!(round.intents.is_empty());
    assert_eq!(decisions(&round).first().map(|(name, _)| *name), Some("swap_too_thin"));
    Ok(())
}

#[tokio::test]
async fn a_missing_oracle_or_feed_price_is_a_skip_reason_until_it_returns() -> eyre::Result<()> {
    let mut fixture = Fixture::new([15_000; 2], 100_000).await?;
    fixture.set_price(0).await?;
    let (head, id) = (fixture.head().await?, fixture.params.id());
    assert!(matches!(fixture.prices(&head).await?.of(id), Err(NoPrice::Reverted(_))));
    assert_eq!(fixture.round().await?, Decisions::default());

    fixture.set_price(1_700).await?;
    assert_eq!(
        fixture.prices(&fixture.head().await?).await?.of(id),
        Ok(U256::from(1_700) * U256::from(10).pow(U256::from(24)))
    );
    fixture.trade_to(1_700).await?;
    assert_eq!(decisions(&fixture.round().await?), [("act", 2)]);
    // Two days later the oracle still has a price, as configured, but the value of a dollar is unknown.
    fixture.wait(2 * 86_400).await?;
    let round = fixture.round().await?;
    assert_eq!(decisions(&round), [("no_valuation", 2)]);
    let stale = |verdict: &plimsoll_keeper::strategies::Verdict<LoanId>| {
        let Decision::Skip(SkipReason::NoValuation { problem, .. }) = &verdict.decision else { return false };
        matches!(problem, NoValuation::Stale { max_age_secs: 86_400, .. })
    };
    assert!(round.verdicts.iter().all(stale));
    Ok(())
}

#[tokio::test]
async fn profit_can_be_taken_in_collateral_and_valued_by_a_pool() -> eyre::Result<()> {
    let mut fixture = Fixture::new([15_000; 3], 100_000).await?;
    fixture.set_price(1_700).await?;
    fixture.trade_to(1_700).await?;
    let (weth, usdc) = (fixture.params.collateralToken, fixture.params.loanToken);
    // The value of a dollar by the exchange: at the moment, and on average over a minute without trades.
    let hop = |window_secs| PoolHop { pool: fixture.pool, token_in: usdc, token_out: weth, window_secs };
    fixture.wait(120).await?;
    let exact = U256::from(ETHER / 1_700);
    for window_secs in [None, Some(60)] {
        let mut valuer = Valuer::new([(usdc, Source::Pools(vec![hop(window_secs)]))].into());
        let rate = valuer.values(&fixture.node, &fixture.head().await?, &[usdc]).await?.of(usdc).unwrap();
        let value = rate.value_down(U256::from(DOLLAR));
        // A tick is a hundredth of a percent.
        assert!(value.abs_diff(exact) < exact / U256::from(9_000), "{value} {exact} {window_secs:?}");
    }
    fixture.settings.markets.values_mut().next().unwrap().routes[0].profit_in_collateral = true;
    let round = fixture.round().await?;
    assert_eq!(decisions(&round), [("act", 3)]);
    let receipts = fixture.mine(&round.intents).await?;
    let outcome = outcome(&receipts[0]).unwrap();
    assert_eq!(outcome.profitToken, weth);
    assert_eq!(round.intents[0].expected_gain, outcome.profit);
    Ok(())
}

#[tokio::test]
async fn inventory_pays_where_there_is_no_exchange() -> eyre::Result<()> {
    let mut fixture = Fixture::new([15_000; 3], 1).await?;
    let settings = fixture.settings.markets.values_mut().next().unwrap();
    (settings.routes, settings.from_inventory) = (Vec::new(), true);
    fixture.set_price(1_700).await?;
    assert_eq!(decisions(&fixture.round().await?), [("not_enough_inventory", 3)]);
    let wealth = U256::from(5_000 * DOLLAR);
    fixture
        .suite
        .devnet
        .mint_and_approve(fixture.params.loanToken, fixture.keeper, wealth, fixture.settings.core)
        .await?;
    let round = fixture.round().await?;
    assert_eq!(round.intents.len(), 1, "{:?}", round.verdicts);
    fixture.mine(&round.intents).await?;
    let collateral = ITestToken::new(fixture.params.collateralToken, fixture.suite.devnet.provider());
    let seized = collateral.balanceOf(fixture.keeper).call().await?;
    let loan = ITestToken::new(fixture.params.loanToken, fixture.suite.devnet.provider());
    let repaid = wealth - loan.balanceOf(fixture.keeper).call().await?;
    let gain = seized.saturating_sub(repaid.div_ceil(U256::from(1_700 * DOLLAR)) * U256::from(ETHER));
    assert!(repaid > U256::ZERO && gain < round.intents[0].expected_gain + U256::from(ETHER));
    let worth = seized * U256::from(1_700 * DOLLAR) / U256::from(ETHER);
    assert!(worth > repaid + repaid / U256::from(100), "{worth} for {repaid}");
    Ok(())
}

#[tokio::test]
async fn a_loan_lost_to_a_rival_is_recognised_by_simulation() -> eyre::Result<()> {
    let mut fixture = Fixture::new([15_000; 1], 100_000).await?;
    fixture.set_price(1_700).await?;
    let round = fixture.round().await?;
    // A rival is faster.
    let core = IPlimsoll::new(fixture.settings.core, fixture.suite.devnet.provider());
    let rival = fixture.suite.devnet.node.account(5)?;
    let wealth = U256::from(20_000 * DOLLAR);
    fixture.suite.devnet.mint_and_approve(fixture.params.loanToken, rival, wealth, fixture.settings.core).await?;
    let borrowers = round.verdicts.iter().map(|verdict| verdict.target.account).collect();
    let liquidate = core.liquidate(fixture.params.clone(), borrowers, U256::MAX, U256::ZERO, rival, Default::default());
    mined(liquidate.from(rival)).await?;
    let intent = &round.intents[0];
    let call = Call::trial(intent.to, intent.data.clone(), intent.gas_limit);
    let answers = fixture.node.run_each(&fixture.head().await?, [call]).await?;
    let refusal = answers[0].result.as_ref().unwrap_err();
    assert_eq!(
        plimsoll_keeper::strategies::Revert::decode(refusal),
        plimsoll_keeper::strategies::Revert::NothingToLiquidate
    );
    assert_eq!(fixture.round().await?, Decisions::default());
    Ok(())
}
