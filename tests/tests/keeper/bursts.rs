//! Many loans that become liquidatable in one block.

use std::process::Command;

use plimsoll_lab::burst;

fn keeper() -> Command {
    Command::new(env!("CARGO_BIN_EXE_keeper_bin"))
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_liquidatable_loans_among_dust_are_liquidated_within_four_blocks() -> eyre::Result<()> {
    let report = burst::run(20, 100, keeper()).await?;
    assert_eq!((report.liquidated, report.reverted, report.sent_twice), (20, 0, 0), "{report:?}");
    assert!(report.blocks <= 4, "{report:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_liquidatable_loans_are_liquidated_within_four_blocks() -> eyre::Result<()> {
    let report = burst::run(1_000, 0, keeper()).await?;
    assert_eq!((report.liquidated, report.reverted, report.sent_twice), (1_000, 0, 0), "{report:?}");
    assert!(report.blocks <= 4, "{report:?}");
    Ok(())
}
