//! The keeper's arithmetic equals the contracts' libraries, bit for bit, on random and extreme states.

mod guard;
mod rewards;

use std::fs;

use alloy::{primitives::U256, sol_types::SolValue};
use plimsoll_contracts::{
    RateCurve, Risk, SurgeLimit,
    harness::{
        self,
        IMathHarness::{self, Answer, Case},
    },
    market::{BPS, MAX_LIQUIDATION_LTV_BPS, MAX_RATE_AT_TARGET, MAX_SPEED_PER_YEAR, MAX_STEEPNESS, MIN_RATE_AT_TARGET},
};
use plimsoll_keeper::math::{
    debt, interest, liquidation, shares, surge,
    types::{Loan, Market},
    wide::to_u128,
};
use plimsoll_testkit::devnet::Devnet;

use serde_json::json;

use crate::{app::sources::run_script, random::Random, support};

const CASES: usize = 120_000;
const CASES_PER_CALL: usize = 1_000;
/// Gas limit of a call; a thousand cases use about a tenth of it.
const CALL_GAS: &str = "2000000000";
/// The latest timestamp: the contract stores times in 34 bits.
const MAX_TIME: u64 = (1 << 34) - 1;
const MAX_FEE_BPS: u64 = 2_500;

/// The keeper's input for a case.
#[derive(Debug)]
struct State {
    market: Market,
    curve: RateCurve,
    timestamp: u64,
    loan: Loan,
    amount: u128,
    price: U256,
    risk: Risk,
    limit: u128,
}

impl State {
    /// Returns a random state that the contract's storage can have.
    fn random(random: &mut Random) -> eyre::Result<Self> {
        let supply_assets = random.amount_to(u128::MAX);
        let borrow_shares = random.amount_to(supply_assets.saturating_mul(1_000_000));
        // A debt share is never worth less than a millionth of a unit, and there are no assets without shares.
        let least = borrow_shares.div_ceil(1_000_000);
        let more = if borrow_shares == 0 { 0 } else { random.amount_to(supply_assets - least) };
        let supply_shares = random.amount_to(u128::MAX - shares::VIRTUAL_SHARES);
        let last_update = random.below(MAX_TIME + 1);
        let fees = [0, random.below(MAX_FEE_BPS + 1)];
        let rates = MAX_RATE_AT_TARGET - MIN_RATE_AT_TARGET + 1;
        let market = Market {
            supply_assets,
            supply_shares,
            borrow_assets: least + more,
            borrow_shares,
            last_update,
            fee_bps: u16::try_from(fees[usize::try_from(random.below(2))?])?,
            rate_at_target: MIN_RATE_AT_TARGET + random.below(rates),
            interest_remainder: u32::try_from(random.next_u64() >> 32)?,
            reserve_shares: random.amount_to(supply_shares.min(interest::MAX_RESERVE_SHARES)),
            surge_level: 0,
        };
        let curve = RateCurve::new(
            MIN_RATE_AT_TARGET + random.below(rates),
            u16::try_from(100 + random.below(9_801))?,
            BPS + u32::try_from(random.below(u64::from(MAX_STEEPNESS - BPS + 1)))?,
            u32::try_from(random.amount_to(u128::from(MAX_SPEED_PER_YEAR)))?,
        )?;
        let elapsed = u64::try_from(random.amount_to(u128::from(MAX_TIME - last_update)))?;
        let liquidation_ltv_bps = u16::try_from(2 + random.below(u64::from(MAX_LIQUIDATION_LTV_BPS) - 1))?;
        let loan = Loan { borrow_shares: random.amount_to(borrow_shares), collateral: random.amount_to(u128::MAX) };
        let most = u128::MAX >> random.below(120);
        let min_debt = random.amount_to(most).max(10_000);
        let mut risk = Risk::new(1, liquidation_ltv_bps, min_debt)?;
        let mut market = market;
        if random.below(4) != 0 {
            let most = u128::from(u32::MAX).min(u128::MAX / min_debt);
            risk = risk.with_surge_limit(SurgeLimit {
                share_bps: u16::try_from(random.below(10_001))?,
                period_secs: u32::try_from(3_600 + random.below(30 * 86_400 - 3_600 + 1))?,
                floor_multiple: u32::try_from(random.amount_to(most).max(1))?,
            })?;
            market.surge_level = u32::try_from(random.below(u64::from(surge::FULL) + 1))?;
        }
        let mut state = Self {
            market,
            curve,
            timestamp: last_update + elapsed,
            loan,
            amount: random.amount_to(u128::MAX),
            price: U256::from(1 + random.amount_to(u128::MAX - 1)) << random.below(129),
            risk,
            limit: random.amount_to(u128::MAX),
        };
        // At most prices a loan is either healthy or insolvent, so half of the prices are near the boundaries of the
        // zones.
        let debt = state.market.accrued(risk, curve, state.timestamp).debt_of(loan);
        if random.below(2) == 0 && loan.collateral != 0 && debt != 0 {
            let percent = U256::from(60 + random.below(200));
            let value = U256::from(debt) * percent / U256::from(100);
            let scaled = value.saturating_mul(liquidation::ORACLE_SCALE);
            state.price = (scaled / U256::from(loan.collateral)).max(U256::ONE);
            state.limit = random.amount_to(debt);
        }
        Ok(state)
    }

    fn case(&self) -> Case {
        Case {
            market: stored(&self.market),
            curve: self.curve.word(),
            timestamp: U256::from(self.timestamp),
            borrowShares: U256::from(self.loan.borrow_shares),
            collateral: U256::from(self.loan.collateral),
            amount: U256::from(self.amount),
            price: self.price,
            risk: self.risk.word(),
            limit: U256::from(self.limit),
        }
    }

    /// Computes the harness's answer in Rust.
    fn answer(&self) -> Answer {
        let mut market = self.market;
        let accrued = market.accrue(self.risk, self.curve, self.timestamp);
        let Market { supply_assets, supply_shares, borrow_assets, borrow_shares, .. } = market;
        let amount = self.amount;
        let owing = borrow_assets != 0;
        let conversions = [
            shares::to_shares_down(amount, supply_assets, supply_shares),
            shares::to_shares_up(amount, supply_assets, supply_shares),
            shares::to_assets_down(amount, supply_assets, supply_shares),
            shares::to_assets_up(amount, supply_assets, supply_shares),
            debt::to_debt_shares_up(amount, borrow_assets, borrow_shares),
            debt::to_debt_shares_down(amount, borrow_assets, borrow_shares),
            if owing { debt::to_debt_up(amount, borrow_assets, borrow_shares) } else { 0 },
        ];
        let debt = market.debt_of(self.loan);
        let terms = liquidation::LiquidationIncentive::of(self.risk);
        let value = liquidation::value_down(self.loan.collateral, self.price);
        let healthy = liquidation::is_healthy(debt, value, terms.ltv_bps);
        let (mut ceiling, mut bonus, mut repaid, mut seized) = (0, 0, 0, 0);
        if !healthy {
            let min_debt = self.risk.min_debt();
            let most = liquidation::max_repay_of(&terms, debt, value, min_debt);
            ceiling = most.repay;
            bonus = most.incentive_factor().unwrap_or_default();
            repaid = liquidation::repay_within_down(most, debt, self.limit, min_debt);
            seized = most.incentive_factor().map_or(0, |bonus| liquidation::seized_down(repaid, bonus, self.price));
        }
        Answer {
            accrued: stored(&market),
            interest: U256::from(accrued.interest),
            feeShares: U256::from(accrued.fee_shares),
            conversions: conversions.map(U256::from),
            debt: U256::from(debt),
            totalAfterRepay: U256::from(debt::saturating_total_after_repay(
                borrow_assets,
                debt,
                borrow_shares - self.loan.borrow_shares,
            )),
            value: U256::from(value),
            healthy,
            maxRepay: U256::from(ceiling),
            incentiveFactor: U256::from(bonus),
            repaid: U256::from(repaid),
            seized: U256::from(seized),
            surge: self.surge(&market),
        }
    }
}

impl State {
    /// Computes the room and the levels, as far as a level can be: the core refuses what is above a full one.
    fn surge(&self, market: &Market) -> [U256; 3] {
        let Some(limit) = self.risk.surge_limit() else { return [U256::ZERO; 3] };
        let room = surge::room(market, self.risk, limit);
        let borrowed = surge::level_after_borrow(market, self.risk, limit, self.amount);
        let paid_in = surge::level_after_payment(market, self.risk, limit, self.amount);
        [U256::from(room), U256::from(borrowed.min(surge::FULL + 1)), U256::from(paid_in)]
    }
}

fn stored(market: &Market) -> harness::Market {
    harness::Market {
        supplyAssets: U256::from(market.supply_assets),
        supplyShares: U256::from(market.supply_shares),
        borrowAssets: U256::from(market.borrow_assets),
        borrowShares: U256::from(market.borrow_shares),
        lastUpdate: U256::from(market.last_update),
        feeBps: U256::from(market.fee_bps),
        rateAtTarget: U256::from(market.rate_at_target),
        interestRemainder: U256::from(market.interest_remainder),
        reserveShares: U256::from(market.reserve_shares),
        surgeLevel: U256::from(market.surge_level),
    }
}

/// Amounts that the contract refuses to store saturate here.
fn storable(answer: Answer) -> Answer {
    let within = |amount: U256| U256::from(to_u128(amount));
    let [room, borrowed, paid_in] = answer.surge;
    let surge = [within(room), borrowed.min(U256::from(surge::FULL + 1)), paid_in];
    Answer { conversions: answer.conversions.map(within), seized: within(answer.seized), surge, ..answer }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_computes_what_the_contracts_compute() -> eyre::Result<()> {
    let devnet = Devnet::start_with(&["--gas-limit", CALL_GAS]).await?;
    let harness = IMathHarness::new(devnet.deploy("MathHarness", Vec::new()).await?, devnet.provider());
    let mut random = Random::from_seed(1);
    let mut unhealthy = [0; 3];
    for _ in 0..CASES / CASES_PER_CALL {
        let states: Vec<State> = (0..CASES_PER_CALL).map(|_| State::random(&mut random)).collect::<Result<_, _>>()?;
        let answers = harness.answers(states.iter().map(State::case).collect()).call().await?;
        assert_eq!(answers.len(), states.len());
        for (state, answer) in states.iter().zip(answers) {
            if !answer.healthy {
                let below_ceiling = usize::from(answer.repaid < answer.maxRepay);
                unhealthy[if answer.incentiveFactor.is_zero() { 2 } else { below_ceiling }] += 1;
            }
            assert_eq!(state.answer(), storable(answer), "{state:?}");
        }
    }
    // The rare branches were reached, and often.
    assert!(unhealthy.iter().all(|cases| *cases > CASES / 100), "ramp, slices, whole positions: {unhealthy:?}");
    Ok(())
}

/// Cases that the page is compared on.
const PAGE_CASES: usize = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_app_computes_what_the_contracts_compute() -> eyre::Result<()> {
    let devnet = Devnet::start_with(&["--gas-limit", CALL_GAS]).await?;
    let harness = IMathHarness::new(devnet.deploy("MathHarness", Vec::new()).await?, devnet.provider());
    let mut random = Random::from_seed(2);
    let (mut cases, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..PAGE_CASES / CASES_PER_CALL {
        let some: Vec<Case> =
            (0..CASES_PER_CALL).map(|_| Ok(State::random(&mut random)?.case())).collect::<eyre::Result<_>>()?;
        answers.extend(harness.answers(some.clone()).call().await?);
        cases.extend(some);
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cases.json");
    let encoded = json!({
        "cases": alloy::hex::encode_prefixed(cases.abi_encode()),
        "answers": alloy::hex::encode_prefixed(answers.abi_encode()),
    });
    fs::write(&file, encoded.to_string())?;
    let vectors = support::tools()?.workspace().root().join("contracts/test/proofs/vectors.json");
    run_script("arithmetic.ts", &[&vectors, &file])?;
    Ok(())
}
