//! What receipts tell, and the sums over them.

use alloy::primitives::{LogData, U512};

use super::*;
use crate::{
    intent::{GuardKind, Inclusion, Priority, Profit, Receipt},
    prices::Rate,
};

const CONTRACTS: Contracts = Contracts {
    core: Address::repeat_byte(0xc0),
    liquidator: Some(Address::repeat_byte(0x11)),
    rewards: Some(Address::repeat_byte(0xee)),
    guard: Some(Address::repeat_byte(0x91)),
    order_executor: Some(Address::repeat_byte(0x92)),
    executor: Some(Address::repeat_byte(0x93)),
    jobs: Some(Address::repeat_byte(0x94)),
};
const REWARDS: Address = Address::repeat_byte(0xee);
const USD: Address = Address::repeat_byte(1);
const WETH: Address = Address::repeat_byte(2);
const POOL: B256 = B256::repeat_byte(6);
const DAY: u64 = 86_400;
const NOON: u64 = 20_000 * DAY + DAY / 2;

fn rate(wei: u64, units: u64) -> Rate {
    Rate::new(U512::from(wei), U512::from(units)).unwrap()
}

fn log(address: Address, event: &impl SolEvent) -> Log {
    Log { address, data: event.encode_log_data() }
}

fn liquidated(borrower: u8, repaid: u64, seized: u64) -> IPlimsoll::Liquidate {
    IPlimsoll::Liquidate {
        id: B256::ZERO,
        caller: Address::ZERO,
        borrower: Address::repeat_byte(borrower),
        repaid: U256::from(repaid),
        shares: U256::ZERO,
        seized: U256::from(seized),
        badDebt: U256::ZERO,
    }
}

fn flash_profit(profit: u64) -> LiquidateWithoutCapital {
    LiquidateWithoutCapital {
        id: B256::ZERO,
        caller: Address::ZERO,
        receiver: Address::ZERO,
        profitToken: USD,
        repaid: U256::ZERO,
        seized: U256::ZERO,
        profit: U256::from(profit),
    }
}

fn harvested(account: u8, amount: u64, tip: u64) -> IRewards::Harvest {
    IRewards::Harvest {
        pool: POOL,
        rewardToken: WETH,
        account: Address::repeat_byte(account),
        amount: U256::from(amount),
        tip: U256::from(tip),
        compounded: false,
    }
}

/// Reports that an intent with this purpose was mined at a cost of 1,000 wei, with these events.
fn mined(purpose: Purpose, profit: Profit, logs: Vec<Log>) -> Report {
    let intent = Intent {
        purpose,
        priority: Priority::High,
        to: Address::ZERO,
        data: Vec::new().into(),
        gas_limit: 1,
        expected_gas: 1,
        expected_gain: U256::ONE,
        extra_wei: U256::ZERO,
        margin_bps: 0,
        deadline: 1,
        scope: Scope::new("liquidate", B256::ZERO),
        guard: GuardKind::OnChain,
        bid: 0,
        profit: Some(profit),
    };
    let inclusion = Inclusion { hash: B256::repeat_byte(1), block: 1, block_hash: B256::ZERO };
    let receipt = Receipt { inclusion, success: true, gas_used: 10, effective_gas_price: 100, data_fee: 0 };
    Report { id: 1, signer: Address::ZERO, intent, outcome: Outcome::Mined(receipt), logs }
}

fn liquidation() -> Purpose {
    Purpose::Liquidate { market: B256::ZERO, borrowers: vec![Address::repeat_byte(7)] }
}

fn realised(report: &Report) -> Realised {
    Realised::of(report, &CONTRACTS, NOON).unwrap()
}

#[test]
fn a_flash_swap_brings_the_profit_of_its_event_and_events_of_tokens_are_not_believed() {
    let logs = vec![
        log(CONTRACTS.core, &liquidated(7, 900, 3)),
        log(CONTRACTS.core, &liquidated(8, 100, 1)),
        log(USD, &liquidated(9, 1_000_000, 1)),
        log(USD, &flash_profit(1_000_000)),
        log(CONTRACTS.liquidator.unwrap(), &flash_profit(30)),
        Log { address: CONTRACTS.core, data: LogData::new_unchecked(vec![B256::repeat_byte(1)], Vec::new().into()) },
    ];
    let execution = Execution::of(&logs, &CONTRACTS, None);
    assert_eq!(execution.borrowers, [Address::repeat_byte(7), Address::repeat_byte(8)]);
    assert_eq!((execution.repaid, execution.seized), (U256::from(1_000), U256::from(4)));
    let result = realised(&mined(
        liquidation(),
        Profit { token: USD, rate: rate(50, 1), repaid: None, builder_share_bps: 0 },
        logs.clone(),
    ));
    assert_eq!((result.liquidated, result.gain_wei, result.cost_wei), (2, U256::from(1_500), U256::from(1_000)));
    // A profit in another token than the one that was decided on has no known value.
    let other = realised(&mined(
        liquidation(),
        Profit { token: WETH, rate: rate(50, 1), repaid: None, builder_share_bps: 0 },
        logs,
    ));
    assert_eq!(other.gain_wei, U256::ZERO);
}

#[test]
fn a_liquidation_from_inventory_brings_what_the_collateral_is_worth_beyond_the_repayment() {
    let logs = vec![log(CONTRACTS.core, &liquidated(7, 900, 3))];
    let profit = Profit { token: WETH, rate: rate(2_000, 1), repaid: Some(rate(5, 1)), builder_share_bps: 0 };
    let result = realised(&mined(liquidation(), profit, logs));
    assert_eq!((result.liquidated, result.gain_wei), (1, U256::from(3 * 2_000 - 900 * 5)));
}

#[test]
fn a_harvest_brings_its_tips_and_a_claim_of_own_rewards_all_of_them() {
    let profit = Profit { token: WETH, rate: Rate::ONE, repaid: None, builder_share_bps: 0 };
    let tips = vec![log(REWARDS, &harvested(1, 100, 3)), log(REWARDS, &harvested(2, 200, 4))];
    let purpose = Purpose::Harvest { pool: POOL, reward_token: WETH, accounts: Vec::new() };
    let result = realised(&mined(purpose, profit, tips.clone()));
    assert_eq!((result.harvested, result.liquidated, result.gain_wei), (2, 0, U256::from(7)));
    assert_eq!(Execution::of(&tips, &CONTRACTS, None).claimed, Some((WETH, U256::from(300))));
    let claim = IRewards::Claim {
        pool: POOL,
        rewardToken: WETH,
        onBehalf: Address::ZERO,
        receiver: Address::ZERO,
        amount: U256::from(50),
    };
    let own = Purpose::ClaimOwn { pool: POOL, reward_token: WETH };
    let result = realised(&mined(own, profit, vec![log(REWARDS, &claim)]));
    assert_eq!((result.harvested, result.gain_wei), (1, U256::from(50)));
}

#[test]
fn sums_are_of_all_time_of_the_day_and_of_the_scope_and_are_taken_back_by_a_reorg() {
    let mut ledger = ResultsLedger::default();
    let result = |number: u8, market: u8, day: u64, gain: u64| Realised {
        intent: number.into(),
        hash: B256::repeat_byte(number),
        scope: Scope::new("liquidate", B256::repeat_byte(market)),
        day: NOON / DAY + day,
        liquidated: 1,
        executed: 0,
        harvested: 0,
        has_reverted: gain == 0,
        gain_wei: U256::from(gain),
        cost_wei: U256::from(10),
    };
    let sums = |gain: u64, cost: u64, lost: u64| Sums {
        gain_wei: U256::from(gain),
        cost_wei: U256::from(cost),
        lost_wei: U256::from(lost),
    };
    assert!(ledger.record(result(1, 1, 0, 4)));
    assert!(ledger.record(result(2, 1, 1, 100)));
    assert!(ledger.record(result(3, 2, 1, 0)));
    assert!(!ledger.record(result(3, 2, 1, 0)));
    assert_eq!(ledger.lifetime().sums, sums(104, 30, 16));
    assert_eq!((ledger.lifetime().transactions, ledger.lifetime().reverted), (3, 1));
    assert_eq!(ledger.on_day(NOON + DAY), sums(100, 20, 10));
    assert_eq!(ledger.of_scope(&Scope::new("liquidate", B256::repeat_byte(2)), NOON + DAY), sums(0, 10, 10));
    assert_eq!(ledger.on_day(NOON + 2 * DAY), Sums::default());
    assert!(ledger.take_back(3) && !ledger.take_back(3));
    assert_eq!(ledger.on_day(NOON + DAY), sums(100, 10, 0));
    // What is taken back on a later day leaves that day's sums alone.
    assert!(ledger.take_back(1));
    assert_eq!((ledger.on_day(NOON + DAY), ledger.lifetime().sums), (sums(100, 10, 0), sums(100, 10, 0)));
    let written = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<ResultsLedger>(&written).unwrap(), ledger);
}

#[test]
fn the_ledger_remembers_a_bounded_number_of_transactions() {
    let mut ledger = ResultsLedger::default();
    for number in 0..2_000_u64 {
        let hash = B256::from(U256::from(number));
        let report = mined(
            liquidation(),
            Profit { token: USD, rate: Rate::ONE, repaid: None, builder_share_bps: 0 },
            Vec::new(),
        );
        ledger.record(Realised { hash, ..realised(&report) });
    }
    assert_eq!((ledger.recent.len(), ledger.by_scope.len(), ledger.lifetime.transactions), (MAX_RECENT, 1, 2_000));
}

#[test]
fn what_the_builder_was_paid_is_part_of_the_gain_and_of_the_cost() {
    let paid = BuilderPaid { builder: Address::ZERO, amount: U256::from(400) };
    let profit = Profit { token: USD, rate: rate(50, 1), repaid: None, builder_share_bps: 3_000 };
    let [liquidator, core] = [CONTRACTS.liquidator.unwrap(), CONTRACTS.core];
    let logs = vec![log(core, &liquidated(7, 100, 10)), log(liquidator, &paid), log(liquidator, &flash_profit(20))];
    let result = realised(&mined(liquidation(), profit, logs));
    // 20 units at 50 wei were left; the receipt's fee is 1,000 wei.
    assert_eq!((result.gain_wei, result.cost_wei), (U256::from(1_400), U256::from(1_400)));
    // An event of another contract is not believed.
    let logs = vec![log(core, &paid), log(liquidator, &flash_profit(20))];
    let result = realised(&mined(liquidation(), profit, logs));
    assert_eq!((result.gain_wei, result.cost_wei), (U256::from(1_000), U256::from(1_000)));
}

#[test]
fn an_executors_job_is_booked_in_the_token_that_was_received_with_what_the_builder_was_paid() {
    let executed = |profit_token, profit: u64, to_builder: u64| IExecutor::Executed {
        caller: Address::ZERO,
        receiver: Address::ZERO,
        profitToken: profit_token,
        profit: U256::from(profit),
        toBuilder: U256::from(to_builder),
        done: U256::from(0b101),
    };
    let purpose = Purpose::Seize {
        deployment: Address::repeat_byte(1),
        market: B256::ZERO,
        accounts: vec![Address::repeat_byte(7), Address::repeat_byte(8), Address::repeat_byte(9)],
    };
    let profit = Profit { token: WETH, rate: Rate::ONE, repaid: None, builder_share_bps: 3_000 };
    let executor = CONTRACTS.executor.unwrap();
    let result = |event| realised(&mined(purpose.clone(), profit, vec![log(executor, &event)]));
    let booked = result(executed(WETH, 5_000, 400));
    assert_eq!((booked.liquidated, booked.gain_wei, booked.cost_wei), (2, U256::from(5_400), U256::from(1_400)));
    // A profit in another token than the one that was decided on has no known value.
    assert_eq!(result(executed(USD, 5_000, 0)).gain_wei, U256::ZERO);
}
