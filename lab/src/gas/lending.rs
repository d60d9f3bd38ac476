//! The gas of the lending core compared with Morpho Blue, verb by verb.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes, U256},
    providers::Provider,
    rpc::types::TransactionReceipt,
};
use eyre::ensure;
use plimsoll_deploy::toolchain::progress::say;

use super::{
    bench::{Bench, PRICE},
    morpho::Morpho,
    plimsoll::Plimsoll,
    report::{Batch, Op, ratio},
};
use plimsoll_testkit::market::units;

/// Numbers of loans in the measured batches.
const BATCHES: [u32; 3] = [2, 10, 40];
/// Collateral of a loan, in ether.
const COLLATERAL_ETHER: u64 = 10;
/// Debt of a loan, in dollars.
const DEBT_DOLLARS: u64 = 15_000;
/// Price at which a loan's health is 0.98, in the ramp zone.
const RAMP_PRICE: u64 = 1_709;
/// Price at which a loan's collateral is worth 1.03 times its debt, in the breakeven zone.
const BREAKEVEN_PRICE: u64 = 1_545;
/// Price at which a loan's collateral is worth 0.8 times its debt, in the insolvent zone.
const INSOLVENT_PRICE: u64 = 1_200;
/// Repayment of a partial liquidation, in dollars.
const PART_DOLLARS: u64 = 2_000;

/// How much of a loan is liquidated.
#[derive(Clone, Copy)]
pub(super) enum Amount {
    /// A repayment in units of the loan token.
    Units(U256),
    /// As much as possible.
    All,
}

/// An action on either side.
#[derive(Clone, Copy)]
pub(super) enum Verb {
    Supply(U256),
    Withdraw(U256),
    SupplyCollateral(U256),
    WithdrawCollateral(U256),
    Borrow(U256),
    Repay(U256),
    Accrue,
    Liquidate(Address, Amount),
    /// A liquidation that seizes all collateral and leaves bad debt.
    LiquidateForAllCollateral(Address),
}

/// One of the two protocols, with its market.
pub(super) trait Side {
    fn core(&self) -> Address;
    /// Returns the calldata of an action.
    async fn calldata(&self, bench: &Bench<'_>, who: Address, verb: Verb) -> eyre::Result<Bytes>;
    /// Returns whether a transaction accrued interest.
    fn accrued(&self, receipt: &TransactionReceipt) -> bool;
}

/// The figures of lending.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) ops: Vec<Op>,
    pub(super) batch: BTreeMap<u32, Batch>,
    pub(super) sizes: BTreeMap<String, usize>,
}

impl Figures {
    fn push(&mut self, op: &str, plimsoll: u64, morpho: u64) {
        self.ops.push(Op { op: op.to_owned(), plimsoll, morpho, ratio: ratio(plimsoll, morpho) });
    }
}

/// Executes an action and returns its gas. Fails where an action that accrues interest accrued none.
async fn gas(bench: &mut Bench<'_>, side: &impl Side, who: Address, verb: Verb) -> eyre::Result<u64> {
    let data = side.calldata(bench, who, verb).await?;
    let receipt = bench.send_raw(who, side.core(), data).await?;
    let without_interest = matches!(verb, Verb::SupplyCollateral(_));
    ensure!(without_interest || side.accrued(&receipt), "no interest was accrued in {}", receipt.transaction_hash);
    Ok(receipt.gas_used)
}

/// Measures every verb, first and recurrent, and liquidations of every kind.
pub(super) async fn measure(bench: &mut Bench<'_>) -> eyre::Result<Figures> {
    say("setting up both sides");
    let ours = Plimsoll::deploy(bench).await?;
    let theirs = Morpho::deploy(bench).await?;
    let spenders = [ours.core(), theirs.core()];
    let dollars = |whole| units(whole, 6);
    let ether = |whole| units(whole, 18);

    let lender = bench.account("lender", &spenders).await?;
    gas(bench, &ours, lender, Verb::Supply(dollars(10_000_000))).await?;
    gas(bench, &theirs, lender, Verb::Supply(dollars(10_000_000))).await?;
    let loans = BATCHES.iter().sum::<u32>() + 5;
    say(format_args!("opening {loans} loans on each side"));
    let mut borrowers = Vec::new();
    for index in 0..loans {
        let borrower = bench.account(&format!("borrower {index}"), &spenders).await?;
        for verb in [Verb::SupplyCollateral(ether(COLLATERAL_ETHER)), Verb::Borrow(dollars(DEBT_DOLLARS))] {
            gas(bench, &ours, borrower, verb).await?;
            gas(bench, &theirs, borrower, verb).await?;
        }
        borrowers.push(borrower);
    }
    let liquidator = bench.account("liquidator", &spenders).await?;
    let newcomer = bench.account("newcomer", &spenders).await?;
    let opener = bench.account("opener", &spenders).await?;

    let mut report = Figures::default();
    macro_rules! op {
        ($name:expr, $who:expr, $verb:expr) => {{
            let verb = $verb;
            let plimsoll = gas(bench, &ours, $who, verb).await?;
            let morpho = gas(bench, &theirs, $who, verb).await?;
            report.push($name, plimsoll, morpho);
        }};
    }

    say("measuring verbs");
    op!("firstSupply", newcomer, Verb::Supply(dollars(1_000)));
    op!("supply", newcomer, Verb::Supply(dollars(1_000)));
    op!("firstSupplyCollateral", newcomer, Verb::SupplyCollateral(ether(10)));
    op!("supplyCollateral", newcomer, Verb::SupplyCollateral(ether(10)));
    op!("firstBorrow", newcomer, Verb::Borrow(dollars(1_000)));
    op!("borrow", newcomer, Verb::Borrow(dollars(1_000)));
    op!("repay", newcomer, Verb::Repay(dollars(1_000)));
    op!("withdraw", newcomer, Verb::Withdraw(dollars(1_000)));
    op!("withdrawCollateral", newcomer, Verb::WithdrawCollateral(ether(1)));
    op!("accrue", newcomer, Verb::Accrue);

    let [post, take] = [Verb::SupplyCollateral(ether(COLLATERAL_ETHER)), Verb::Borrow(dollars(DEBT_DOLLARS))];
    let calls = vec![ours.calldata(bench, opener, post).await?, ours.calldata(bench, opener, take).await?];
    let here = bench.send_raw(opener, ours.core(), Plimsoll::multicall(calls)).await?.gas_used;
    let there = gas(bench, &theirs, opener, post).await? + gas(bench, &theirs, opener, take).await?;
    report.push("openLoan", here, there);

    say("measuring liquidations");
    bench.set_price(RAMP_PRICE).await?;
    let mut next = borrowers.into_iter();
    let mut borrower = || next.next().unwrap_or_default();
    let part = Amount::Units(dollars(PART_DOLLARS));
    let first = borrower();
    // The liquidator's balances and allowances are in use before anything is measured.
    gas(bench, &ours, liquidator, Verb::Liquidate(first, part)).await?;
    gas(bench, &theirs, liquidator, Verb::Liquidate(first, part)).await?;
    let one = borrower();
    op!("liquidate", liquidator, Verb::Liquidate(one, part));
    let single = report.ops.last().map_or((0, 0), |op| (op.plimsoll, op.morpho));
    for loans in BATCHES {
        let batch: Vec<Address> = (0..loans).map(|_| borrower()).collect();
        let mut there = 0;
        for loan in &batch {
            there += gas(bench, &theirs, liquidator, Verb::Liquidate(*loan, part)).await?;
        }
        let data = ours.liquidate(batch, U256::MAX, liquidator);
        let receipt = bench.send_raw(liquidator, ours.core(), data).await?;
        ensure!(ours.accrued(&receipt), "no interest was accrued in {}", receipt.transaction_hash);
        let total = receipt.gas_used;
        let marginal = ratio(total.saturating_sub(single.0), u64::from(loans - 1));
        report.batch.insert(loans, Batch { total, marginal, morpho: there });
    }

    // Whole loans: here in the breakeven zone, there wherever collateral remains.
    let (whole, lost) = (borrower(), borrower());
    let there = gas(bench, &theirs, liquidator, Verb::Liquidate(whole, Amount::All)).await?;
    bench.set_price(BREAKEVEN_PRICE).await?;
    let here = gas(bench, &ours, liquidator, Verb::Liquidate(whole, Amount::All)).await?;
    report.push("liquidateWhole", here, there);
    bench.set_price(INSOLVENT_PRICE).await?;
    op!("liquidateWithBadDebt", liquidator, Verb::LiquidateForAllCollateral(lost));
    bench.set_price(PRICE).await?;

    for (name, address) in [("Plimsoll", ours.core()), ("Morpho", theirs.core())] {
        report.sizes.insert(name.to_owned(), bench.provider.get_code_at(address).await?.len());
    }
    Ok(report)
}
