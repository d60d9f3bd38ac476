//! Ways of spreading a vault's assets on the real contracts: what `lab vault` reports, for a day.

use plimsoll_lab::vault::{self, Options, Policy};

#[tokio::test(flavor = "multi_thread")]
async fn rebalancing_leaves_a_market_without_a_price_and_an_exit_in_kind_needs_no_liquidity() -> eyre::Result<()> {
    let report = Box::pin(vault::run(&Options { days: 1, seeds: 1, elasticity: 1.0 })).await?;
    for flight in &report.flights {
        match flight.policy {
            Policy::Rebalance => assert!(flight.seconds.is_some() && flight.in_the_end == 0, "{flight:?}"),
            _ => assert!(flight.seconds.is_none(), "{flight:?}"),
        }
    }
    let exit = report.exit;
    assert!(exit.withdrawable * 5 < exit.had, "only idle tokens could be withdrawn: {exit:?}");
    assert!((99.89..=99.91).contains(&exit.kept), "all but the penalty: {exit:?}");

    let rate = |policy| report.means.iter().find(|mean| mean.policy == policy).map(|mean| mean.rate_after_gas);
    assert!(rate(Policy::Rebalance) > rate(Policy::EqualUtilisation), "{report}");
    let liquid = |policy| report.means.iter().find(|mean| mean.policy == policy).map_or(0.0, |mean| mean.liquid);
    let differ = (liquid(Policy::Rebalance) - liquid(Policy::EquallyLiquid)).abs();
    assert!(differ < 2.5, "as much can be withdrawn within what the bot acts on: {report}");
    let (ours, theirs) = (&report.gas, &report.meta_morpho_gas);
    for (ours, theirs) in [(&ours.deposits, &theirs.deposits), (&ours.withdrawals, &theirs.withdrawals)] {
        assert!(ours.len() == 3 && ours.iter().zip(theirs).all(|(ours, theirs)| ours < theirs), "{report}");
    }
    Ok(())
}
