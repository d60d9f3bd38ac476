//! The keeper's arithmetic of orders equals the guard's library, bit for bit, on random and extreme states: computed by
//! the library on a node, and in the other direction by vectors that the Solidity tests read.

use std::{env, fs};

use alloy::primitives::U256;
use eyre::ensure;
use plimsoll_contracts::harness::IGuardMathHarness::{self, Answer, Case};
use plimsoll_keeper::math::{
    guard::{Execution, MAX_PREMIUM_BPS, Order, OrderKind},
    liquidation::ORACLE_SCALE,
    types::{Loan, Market},
};
use plimsoll_testkit::{devnet::Devnet, workspace::workspace};
use serde_json::json;

use super::{BPS, CALL_GAS, CASES, CASES_PER_CALL};
use crate::random::Random;

/// Bounds of an order's terms, as the guard has them.
const MAX_TRIGGER_LTV_BPS: u64 = 9_700;
const MIN_GAP_BPS: u64 = 100;
const MAX_FLAT_TIP: u128 = (1 << 96) - 1;
const PPM_PER_BPS: u64 = 100;
/// The vectors in git, which forge reads from the workspace's root.
const VECTORS: &str = "contracts/test/guard/vectors.json";
const VECTOR_ROWS: usize = 300;

/// The keeper's input for a case.
#[derive(Debug)]
struct State {
    market: Market,
    loan: Loan,
    order: Order,
    kind: OrderKind,
    price: U256,
    min_debt: u128,
    budget: u128,
}

/// How often each branch was reached.
#[derive(Debug, Default)]
struct Reached {
    untriggered: usize,
    own_alone: usize,
    own_and_payment: usize,
    part: usize,
    whole: usize,
    all_collateral: usize,
}

fn bps(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

impl State {
    /// Returns an order that the guard accepts, and a loan that the core can hold.
    fn random(random: &mut Random) -> Self {
        let borrow_shares = random.amount_to(u128::MAX).max(1);
        // A debt share is never worth less than a millionth of a unit.
        let least = borrow_shares.div_ceil(1_000_000);
        let borrow_assets = least + random.amount_to(u128::MAX - least);
        let market = Market { borrow_assets, borrow_shares, ..Market::default() };
        let loan =
            Loan { borrow_shares: random.amount_to(borrow_shares).max(1), collateral: random.amount_to(u128::MAX) };
        let debt = market.debt_of(loan);
        let kind = OrderKind::ALL[random.index(3)];
        let premium_end = random.below(u64::from(MAX_PREMIUM_BPS) * PPM_PER_BPS + 1);
        let mut order = Order {
            premium_start_ppm: bps(random.below(premium_end + 1)),
            premium_end_ppm: bps(premium_end),
            ramp_bps: bps(1 + random.below(u64::from(BPS))),
            flat_tip: [0, random.amount_to(MAX_FLAT_TIP), random.amount_to(debt.min(MAX_FLAT_TIP))][random.index(3)],
            uses: 1,
            ..Order::default()
        };
        let mut price = U256::from(1 + random.amount_to(u128::MAX - 1)) << random.below(129);
        let trigger = 2 * MIN_GAP_BPS + random.below(MAX_TRIGGER_LTV_BPS - 2 * MIN_GAP_BPS + 1);
        if kind == OrderKind::Protect {
            order.trigger_ltv_bps = bps(trigger);
            if random.below(4) != 0 {
                order.target_ltv_bps = bps(MIN_GAP_BPS + random.below(trigger - 2 * MIN_GAP_BPS + 1));
            }
        }
        // At most prices a loan is either safe or insolvent, so most prices are near the trigger.
        if random.below(4) != 0 && loan.collateral != 0 {
            let near = trigger * (9_900 + random.below(1_000)) / 10_000;
            let value = U256::from(debt) * U256::from(BPS) / U256::from(near.max(1));
            price = (value.saturating_mul(ORACLE_SCALE) / U256::from(loan.collateral)).max(U256::ONE);
        }
        if kind != OrderKind::Protect {
            let factor = U256::from(9_500 + random.below(1_000));
            let near = (price / U256::from(BPS)).saturating_mul(factor).max(U256::ONE);
            order.trigger_price =
                [near, price, U256::from(1 + random.amount_to(u128::MAX - 1)) << random.below(129)][random.index(3)];
        }
        let budget = [0, random.amount_to(u128::MAX), random.amount_to(debt)][random.index(3)];
        // Half of the loans are much larger than the minimum debt.
        let most = u128::MAX >> random.below(120);
        let min_debt = random.amount_to(most).max(10_000);
        let min_debt = if random.below(2) == 0 { min_debt.min(debt / 100 + 1) } else { min_debt };
        Self { market, loan, order, kind, price, min_debt, budget }
    }

    fn case(&self) -> Case {
        let Self { market, loan, order, .. } = self;
        Case {
            kind: U256::from(self.kind.number()),
            triggerLtvBps: U256::from(order.trigger_ltv_bps),
            targetLtvBps: U256::from(order.target_ltv_bps),
            triggerPrice: order.trigger_price,
            premiumStartPpm: U256::from(order.premium_start_ppm),
            premiumEndPpm: U256::from(order.premium_end_ppm),
            rampBps: U256::from(order.ramp_bps),
            flatTip: U256::from(order.flat_tip),
            totalBorrowAssets: U256::from(market.borrow_assets),
            totalBorrowShares: U256::from(market.borrow_shares),
            borrowShares: U256::from(loan.borrow_shares),
            collateral: U256::from(loan.collateral),
            price: self.price,
            minDebt: U256::from(self.min_debt),
            budget: U256::from(self.budget),
        }
    }

    fn execution(&self) -> Option<Execution> {
        let Self { market, loan, order, kind, price, min_debt, budget } = self;
        market.execute_order(*loan, order, *kind, *price, *min_debt, *budget)
    }

    /// Computes the harness's answer in Rust.
    fn answer(&self) -> Answer {
        let Execution { premium, own, own_reward, payment, sold } = self.execution().unwrap_or_default();
        Answer {
            triggered: U256::from(self.execution().is_some()),
            premium: U256::from(premium),
            own: U256::from(own),
            ownReward: U256::from(own_reward),
            payment: U256::from(payment),
            sold: U256::from(sold),
        }
    }

    /// Returns inputs and results, in the order of the Solidity structs.
    fn row(&self) -> Vec<U256> {
        let Case {
            kind,
            triggerLtvBps,
            targetLtvBps,
            triggerPrice,
            premiumStartPpm,
            premiumEndPpm,
            rampBps,
            flatTip,
            totalBorrowAssets,
            totalBorrowShares,
            borrowShares,
            collateral,
            price,
            minDebt,
            budget,
        } = self.case();
        let order = [kind, triggerLtvBps, targetLtvBps, triggerPrice, premiumStartPpm, premiumEndPpm, rampBps, flatTip];
        let loan = [totalBorrowAssets, totalBorrowShares, borrowShares, collateral, price, minDebt, budget];
        let Answer { triggered, premium, own, ownReward, payment, sold } = self.answer();
        [&order[..], &loan, &[triggered, premium, own, ownReward, payment, sold]].concat()
    }
}

impl Reached {
    fn count(&mut self, state: &State) {
        let Some(Execution { own, payment, sold, .. }) = state.execution() else {
            self.untriggered += 1;
            return;
        };
        self.own_alone += usize::from(payment == 0);
        self.own_and_payment += usize::from(own != 0 && payment != 0);
        let is_whole = own + payment == state.market.debt_of(state.loan);
        *(if is_whole { &mut self.whole } else { &mut self.part }) += 1;
        self.all_collateral += usize::from(sold != 0 && sold == state.loan.collateral);
    }

    fn least(&self) -> usize {
        let Self { untriggered, own_alone, own_and_payment, part, whole, all_collateral } = self;
        let all = [untriggered, own_alone, own_and_payment, part, whole, all_collateral];
        all.into_iter().copied().min().unwrap_or(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_computes_executions_as_the_guard_does() -> eyre::Result<()> {
    let devnet = Devnet::start_with(&["--gas-limit", CALL_GAS]).await?;
    let address = devnet.deploy("GuardMathHarness", Vec::new()).await?;
    let harness = IGuardMathHarness::new(address, devnet.provider());
    let (mut random, mut reached) = (Random::from_seed(17), Reached::default());
    for _ in 0..CASES / CASES_PER_CALL {
        let states: Vec<_> = (0..CASES_PER_CALL).map(|_| State::random(&mut random)).collect();
        let answers = harness.answers(states.iter().map(State::case).collect()).call().await?;
        ensure!(answers.len() == states.len(), "{} answers to {} cases", answers.len(), states.len());
        for (state, answer) in states.iter().zip(answers) {
            assert_eq!(state.answer(), answer, "{state:?}");
            reached.count(state);
        }
    }
    ensure!(reached.least() > CASES / 200, "a branch was hardly reached: {reached:?}");
    Ok(())
}

#[test]
fn the_vectors_that_the_solidity_tests_read_are_the_keepers_executions() -> eyre::Result<()> {
    let mut random = Random::from_seed(18);
    let rows = (0..VECTOR_ROWS).flat_map(|_| State::random(&mut random).row());
    let numbers: Vec<_> = rows.map(|number| number.to_string()).collect();
    let text = format!("{}\n", json!({ "executions": numbers }));
    let file = workspace()?.root().join(VECTORS);
    if env::var("PLIMSOLL_UPDATE").is_ok() {
        fs::write(&file, &text)?;
    }
    ensure!(fs::read_to_string(&file)? == text, "{VECTORS} has other executions: run this test with PLIMSOLL_UPDATE=1");
    Ok(())
}
