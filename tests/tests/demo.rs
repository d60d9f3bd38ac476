//! The demo with few borrowers: its report equals what the chain says.

use std::{fs, time::Duration};

use alloy::primitives::{I256, U256};
use plimsoll_contracts::{IGuard, ILens, IPlimsoll};
use plimsoll_lab::{
    demo::{self, Options},
    output::Folder,
};
use plimsoll_testkit::devnet::ITestToken;

use crate::support::{self, events};

#[tokio::test(flavor = "multi_thread")]
async fn after_the_demo_no_loan_is_liquidatable_and_the_report_equals_the_chain() -> eyre::Result<()> {
    let options = Options { positions: 30, seed: 1, steps: 48, pace: Duration::ZERO };
    let mut keeper = support::keeper();
    keeper.env("RUST_LOG", "warn");
    let demo = demo::run(&options, keeper).await?;
    let (report, suite) = (&demo.report, &demo.suite);
    let (provider, core) = (suite.devnet.provider(), suite.contract("Plimsoll")?);
    let market = suite.market("weth-usdc")?.id().0;

    let borrowers = events::<IPlimsoll::Borrow>(provider, core).await?.into_iter().map(|event| event.onBehalf);
    let borrowers: Vec<_> = borrowers.collect();
    // After the day one more borrows all that is left.
    assert_eq!(report.loans + 1, u64::try_from(borrowers.len())?);
    let lines = ILens::new(suite.contract("Lens")?, provider).liquidatable(market, borrowers).call().await?.lines;
    assert_eq!(lines.iter().filter(|line| line.liquidatable).count(), 0);
    assert_eq!((report.left_liquidatable, report.keeper.reverted), (0, 0), "{report:?}");
    // A loan that an order repays in the same block is not liquidated.
    assert!(report.liquidated > 0 && report.liquidated <= report.liquidatable, "{report:?}");

    let liquidations = events::<IPlimsoll::Liquidate>(provider, core).await?;
    assert_eq!(report.liquidations, u64::try_from(liquidations.len())?);
    let sum = |part: fn(&IPlimsoll::Liquidate) -> U256| liquidations.iter().map(part).sum::<U256>();
    let (repaid, bad) = (sum(|event| event.repaid), sum(|event| event.badDebt));
    assert_eq!((report.repaid.units, report.seized.units), (repaid, sum(|event| event.seized)));
    // Debt is still owed, was repaid or was written off; a day's interest is less than a thousandth.
    let [before, after] = [report.debt_before.units, report.debt_after.units];
    let executed = events::<IGuard::ExecuteOrder>(provider, suite.contract("Guard")?).await?;
    let by_orders: U256 = executed.iter().map(|event| event.execution.own + event.execution.payment).sum();
    let guard = &report.guard;
    assert_eq!((guard.executions, guard.repaid.units), (u64::try_from(executed.len())?, by_orders));
    assert!(guard.executions > 0 && guard.guarded == 10, "{guard:?}");
    let [lost, twins_lost] = [(&guard.loss, &guard.bad_debt), (&guard.twins_loss, &guard.twins_bad_debt)]
        .map(|(loss, bad_debt)| loss.units + bad_debt.units);
    assert!(lost < twins_lost && guard.bad_debt.units <= guard.twins_bad_debt.units, "{guard:?}");
    assert_eq!(guard.saved.units, I256::try_from(twins_lost - lost)?);
    let interest = after + repaid + by_orders + bad - before;
    assert!(interest > U256::ZERO && interest < before / U256::from(1_000), "{report:?}");

    // The penalty of 0.1 % and roundings are all that leaving in kind costs.
    let exit = &report.exit;
    assert!(exit.withdrawable.units < exit.had.units / U256::from(100), "{exit:?}");
    assert!(exit.has.units >= exit.had.units * U256::from(9_989) / U256::from(10_000), "{exit:?}");

    let payers = &report.bad_debt;
    assert_eq!(payers.total.units, bad);
    assert_eq!(payers.from_reserve.units + payers.from_backstop.units + payers.from_lenders.units, bad);
    let [liquidator, _] = demo.keeper.signers();
    let earned = ITestToken::new(suite.token("USDC")?, provider).balanceOf(liquidator).call().await?;
    assert_eq!(report.keeper.profit.units, earned);
    assert!(report.harvests > 0, "{report:?}");

    let folder = tempfile::tempdir()?;
    let [vector, raster] = demo.save_chart(&Folder::ready(folder.path())?)?;
    let chart = fs::read_to_string(vector)?;
    assert!(chart.starts_with("<svg") && chart.ends_with("</svg>\n"), "{chart}");
    assert!(fs::read(raster)?.starts_with(b"\x89PNG"));
    Ok(())
}
