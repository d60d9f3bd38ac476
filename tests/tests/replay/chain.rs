//! A small replay on a chain: its report equals the chain's events, and the model's outcome.

use std::process::Command;

use alloy::{primitives::U256, providers::Provider};
use eyre::ContextCompat;
use plimsoll_contracts::{IGuard, ILens, IPlimsoll, quantity::decimal_text};
use plimsoll_lab::replay::{
    chain,
    feed::Feed,
    guard::{GuardShare, Tally},
    min_debt::{self, MAX_DELAY_SECS},
    model,
    outcome::{Liquidation, Outcome},
    params::{DOLLAR, ReplayParams, worth},
    prices::{PRICE_DECIMALS, Prices},
    rules::Rule,
};
use plimsoll_testkit::{devnet::ITestToken, scenario::BLOCK_SECS};

use crate::support::{self, events};

/// A fall, and a gap after which some loans are insolvent. The end leaves time for liquidations in progress.
const PRICES: &str = "ts,price\n0,2000\n600,1900\n1200,1840\n1800,1780\n2400,1710\n3000,1380\n3600,1390\n4800,1385\n";
/// A fall in small steps, so that orders come before liquidations.
const SLIDE: &str =
    "ts,price\n0,2000\n900,1960\n1800,1920\n2700,1880\n3600,1840\n4500,1800\n5400,1760\n6300,1720\n7200,1700\n";
/// 2,000 dollars.
const FIRST_PRICE: u128 = 2_000 * 100_000_000;
/// The node's account that signs for the keeper only.
const SIGNER: usize = 8;
/// Tolerance between chain and model, as a part of the larger value: the model has no interest and no rounding of
/// shares.
const TOLERANCE: u128 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_replays_report_equals_the_chain_and_the_model() -> eyre::Result<()> {
    let params = params();
    let prices = Prices::parse(PRICES, None)?;
    let suite = chain::empty_market(&params, &prices).await?;
    let outcome = chain::play_on(&suite, None, &params, &prices, keeper()).await?;

    let (provider, core) = (suite.devnet.provider(), suite.contract("Plimsoll")?);
    let market = suite.market(chain::MARKET)?;
    let liquidations = events::<IPlimsoll::Liquidate>(provider, core).await?;
    let told: Vec<_> = outcome.liquidations.iter().map(|done| [done.repaid, done.seized, done.bad_debt]).collect();
    let said = liquidations.iter().map(|event| [event.repaid, event.seized, event.badDebt].map(|part| part.to()));
    assert_eq!(told, said.collect::<Vec<_>>());
    let losses = events::<IPlimsoll::RealiseLoss>(provider, core).await?;
    let [repaid, bad_debt] = [sum(&outcome, |done| done.repaid), sum(&outcome, |done| done.bad_debt)];
    assert_eq!(losses.iter().map(|event| event.loss).sum::<U256>(), U256::from(bad_debt));
    assert!(bad_debt > 0, "the gap is to leave some with less than they owe");

    let borrowers = events::<IPlimsoll::Borrow>(provider, core).await?.into_iter().map(|event| event.onBehalf);
    let borrowers: Vec<_> = borrowers.collect();
    let lens = ILens::new(suite.contract("Lens")?, provider);
    let lines = lens.liquidatable(market.id().0, borrowers.clone()).call().await?.lines;
    assert!(lines.iter().all(|line| !line.liquidatable), "{lines:?}");
    assert_eq!((outcome.left_liquidatable, outcome.shortfall, outcome.reverted), (0, 0, 0));
    let owed: U256 = lines.iter().map(|line| line.debt).sum();
    let last = outcome.snapshots.last().map_or(0, |snapshot| snapshot.debt);
    assert!(owed.abs_diff(U256::from(last)) < U256::from(borrowers.len()), "{owed} {last}");
    // Debt is still owed, was repaid or was written off; an hour's interest is less than a ten-thousandth.
    let interest = last + repaid + bad_debt - outcome.debt;
    assert!(interest > 0 && interest < outcome.debt / 10_000, "{interest}");
    let lines = lens.positions(market.id().0, borrowers).call().await?.lines;
    let left: U256 = lines.iter().map(|line| line.collateral).sum();
    let pledged: u128 = params.loans(prices.first()).iter().map(|loan| loan.collateral).sum();
    assert_eq!(left + U256::from(sum(&outcome, |done| done.seized)), U256::from(pledged));

    let signer = suite.devnet.node.account(SIGNER)?;
    let earned = ITestToken::new(market.loanToken, provider).balanceOf(signer).call().await?;
    assert_eq!(U256::from(outcome.profit), earned);
    assert_eq!(outcome.transactions, provider.get_transaction_count(signer).await?);

    let model = model::play(&Rule::Plimsoll, &params, &prices)?;
    assert_eq!((&outcome.ever_liquidatable, outcome.loans), (&model.ever_liquidatable, model.loans));
    // A loan that is liquidated in parts waits while others are sold; in the model it does not.
    let [chain, arithmetic] = [&outcome, &model].map(|outcome| outcome.worst_delay.blocks);
    assert!((arithmetic..=2 * arithmetic).contains(&chain), "{chain} blocks, {arithmetic} in the model");
    let parts: [fn(&Liquidation) -> u128; 4] =
        [|done| done.repaid, |done| done.seized, |done| done.bad_debt, Liquidation::penalty];
    for part in parts {
        let [chain, model] = [sum(&outcome, part), sum(&model, part)];
        assert!(chain.abs_diff(model) <= chain.max(model) / TOLERANCE, "{chain} on the chain, {model} in the model");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_executed_on_the_chain_and_their_borrowers_lose_less() -> eyre::Result<()> {
    // Beside a thin exchange or dear gas an order waits for the premium that pays for it.
    let params = ReplayParams { depth: 30_000_000 * DOLLAR, gas_price: 1_000_000_000, ..params() };
    let prices = Prices::parse(SLIDE, None)?;
    let suite = chain::empty_market(&params, &prices).await?;
    let share: GuardShare = "50%".parse().map_err(|error: String| eyre::eyre!(error))?;
    let with = chain::play_on(&suite, Some(share), &params, &prices, keeper()).await?;
    let executed = events::<IGuard::ExecuteOrder>(suite.devnet.provider(), suite.contract("Guard")?).await?;
    let said: Vec<U256> = executed.iter().map(|event| event.execution.own + event.execution.payment).collect();
    let told: Vec<_> = with.executions.iter().map(|done| U256::from(done.repaid)).collect();
    assert_eq!((told, with.reverted), (said, 0));

    let without = chain::play(&params, &prices, keeper()).await?;
    let chain = Tally::of(share, &with, &without).figures();
    let model = Tally::of_model(share, &params, &prices)?.figures();
    assert!(chain.executions > 0 && chain.worse == 0 && chain.loss.units < chain.loss_without.units, "{chain:?}");
    assert_eq!((chain.protected, chain.liquidated), (model.protected, model.liquidated), "{chain:?} {model:?}");
    // The keeper tries orders one after another; the model executes all that pay in a block.
    let [on_chain, arithmetic] = [&chain, &model].map(|figures| figures.loss.units.to::<u128>());
    assert!(on_chain.abs_diff(arithmetic) <= on_chain / 10, "{chain:?} {model:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_loan_is_liquidated_in_parts_over_several_blocks() -> eyre::Result<()> {
    let params = ReplayParams { depth: 100_000 * DOLLAR, positions: 1, seed: 4, ..params() };
    let prices = Prices::parse("ts,price\n0,2000\n600,1350\n1200,1350\n", None)?;
    let outcome = chain::play(&params, &prices, keeper()).await?;
    let seconds: Vec<_> = outcome.liquidations.iter().map(|done| done.second).collect();
    let blocks = (0..u64::try_from(seconds.len())?).map(|block| 600 + BLOCK_SECS * (block + 1));
    assert_eq!(seconds, blocks.collect::<Vec<_>>());
    assert!(seconds.len() > 5, "{seconds:?}");
    let model = model::play(&Rule::Plimsoll, &params, &prices)?;
    assert_eq!((outcome.worst_delay, outcome.left_liquidatable), (model.worst_delay, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minimum_debt_that_the_model_finds_keeps_delays_short_on_the_chain_and_half_of_it_does_not()
-> eyre::Result<()> {
    // The price falls until the loan is barely liquidatable, and stays there.
    let alone = ReplayParams { depth: 10_000_000 * DOLLAR, positions: 1, seed: 4, ..params() };
    let loan = alone.loans(FIRST_PRICE).into_iter().next().wrap_err("there is no loan")?;
    let least_worth = loan.debt * 10_000 / u128::from(alone.liquidation_ltv_bps);
    let line = FIRST_PRICE * least_worth / worth(loan.collateral, FIRST_PRICE);
    let last = decimal_text(U256::from(line * 995 / 1_000), PRICE_DECIMALS);
    let prices = Prices::parse(&format!("ts,price\n0,2000\n60,{last}\n1500,{last}\n"), None)?;
    let least = min_debt::find(&alone, &prices)?.in_time.wrap_err("no minimum debt suffices")?;
    // Interest, rounding and the least priority fee are not in the model.
    for (min_debt, is_in_time) in [(least + least / 50, true), (least / 2, false)] {
        let params = ReplayParams { min_debt, debt: min_debt, ..alone.clone() };
        let outcome = chain::play(&params, &prices, keeper()).await?;
        assert_eq!(outcome.ever_liquidatable.len(), 1);
        assert_eq!(outcome.liquidations.len(), usize::from(is_in_time), "{min_debt}");
        assert_eq!(outcome.worst_delay.seconds < MAX_DELAY_SECS, is_in_time, "{min_debt}: {:?}", outcome.worst_delay);
    }
    Ok(())
}

fn params() -> ReplayParams {
    ReplayParams {
        borrow_ltv_bps: 8_000,
        liquidation_ltv_bps: 8_600,
        depth: 200_000 * DOLLAR,
        swap_fee_ppm: 3_000,
        gas_price: 20_000_000_000,
        ether_price: None,
        feed: Feed { heartbeat_secs: 3_600, deviation_bps: 50 },
        positions: 12,
        debt: 1_000_000 * DOLLAR,
        min_debt: 100 * DOLLAR,
        seed: 3,
    }
}

fn keeper() -> Command {
    let mut keeper = support::keeper();
    keeper.env("RUST_LOG", "warn");
    keeper
}

fn sum(outcome: &Outcome, part: fn(&Liquidation) -> u128) -> u128 {
    outcome.liquidations.iter().map(part).sum()
}
