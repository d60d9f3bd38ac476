//! The surge limit against an attacker who borrows all that the contracts let him, whenever they let him.

use plimsoll_contracts::{Risk, SurgeLimit};
use plimsoll_keeper::math::{surge as arithmetic, types::Market};
use plimsoll_lab::surge::{self, Limit, Run};

/// Seconds between two of the attacker's loans.
const INTERVAL: u64 = 900;

#[tokio::test(flavor = "multi_thread")]
async fn unbacked_collateral_takes_all_liquidity_without_a_surge_limit_and_no_more_than_its_bound_with_one()
-> eyre::Result<()> {
    let mut report = surge::run(INTERVAL).await?;
    report.ensure_bounded()?;
    let [kelp, kelp_limited, resolv, resolv_limited] = &report.runs[..] else { panic!("{report:?}") };
    for (shape, run) in [("kelp", kelp), ("kelp", kelp_limited), ("resolv", resolv), ("resolv", resolv_limited)] {
        assert_eq!(run.shape, shape);
        // A token each for what is rounded, and for what is not worth a transaction.
        assert!(run.borrowed + run.withdrawn <= run.liquidity + 101, "{run:?}");
    }

    assert!(kelp.limit.is_none() && kelp.bound.is_none());
    assert_eq!(kelp.borrowed, kelp.liquidity, "everything was lent out");
    assert!(kelp.loss >= kelp.borrowed, "and lost, with interest: {kelp:?}");
    // Lenders and the attacker take turns until nothing is left.
    assert!(resolv.borrowed + resolv.withdrawn + 101 >= resolv.liquidity, "{resolv:?}");

    for (open, limited) in [(kelp, kelp_limited), (resolv, resolv_limited)] {
        let bound = limited.bound.expect("a limit has a bound");
        // The attacker used the limit to the full, so that the comparison with the bound says something.
        assert!(limited.borrowed > bound * 9 / 10, "{limited:?}");
        assert!(0 < limited.loss && limited.loss <= bound && limited.loss * 2 < open.loss, "{limited:?}");
    }
    assert!(resolv_limited.withdrawn > resolv.withdrawn, "the limit leaves liquidity to lenders: {report:?}");

    // A loss above the bound is noticed.
    let [_, Run { loss, bound: Some(bound), .. }, ..] = &mut report.runs[..] else { panic!("{report:?}") };
    *loss = *bound + 1;
    let error = report.ensure_bounded().err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.starts_with("kelp:")), "{report:?}");
    Ok(())
}

#[test]
fn the_bound_grows_with_time_as_the_table_in_the_documents_says() {
    // Parts of F / s + B₀, for a period of a day: at once, after 6 hours, 1, 3 and 7 days.
    let table = [
        (1_000, [0.100, 0.128, 0.216, 0.485, 1.215]),
        (2_500, [0.250, 0.331, 0.605, 1.646, 6.193]),
        (5_000, [0.500, 0.700, 1.473, 5.723, 48.673]),
        (10_000, [1.000, 1.568, 4.437, 39.171, 2_192.266]),
    ];
    for (share_bps, parts) in table {
        let limit = Limit { share_bps, period_secs: 86_400, floor: 1_000_000 };
        let base = 1e6 / (f64::from(share_bps) / 1e4) + 50e6;
        for (hours, part) in [0, 6, 24, 72, 168].into_iter().zip(parts) {
            let bound = surge::max_surge(limit, 50e6, hours * 3_600, 1.0) / base;
            assert!((bound - part).abs() < 0.0006, "{share_bps} bps after {hours} hours: {bound}, not {part}");
        }
    }
}

#[test]
fn borrowing_each_refill_at_once_and_the_whole_limit_last_comes_within_a_thousandth_of_the_bound() -> eyre::Result<()> {
    const TOKEN: u128 = 1_000_000;
    const STEP_SECS: u64 = 60;
    let limit = SurgeLimit { share_bps: 1_000, period_secs: 86_400, floor_multiple: 10_000 };
    let risk = Risk::new(8_000, 8_600, 100 * TOKEN)?.with_surge_limit(limit)?;
    let mut market = Market { borrow_assets: 50_000_000 * TOKEN, ..Market::default() };
    let mut borrowed = 0;
    let mut borrow = |market: &mut Market, assets: u128| {
        market.surge_level = arithmetic::level_after_borrow(market, risk, limit, assets);
        assert!(market.surge_level <= arithmetic::FULL, "the limit refuses {assets}");
        market.borrow_assets += assets;
        borrowed += assets;
    };
    let secs = 3 * u64::from(limit.period_secs);
    for _ in 0..secs / STEP_SECS {
        let refill = arithmetic::room(&market, risk, limit) * u128::from(STEP_SECS) / u128::from(limit.period_secs);
        borrow(&mut market, refill);
        market.surge_level = arithmetic::refilled(market.surge_level, limit, STEP_SECS);
    }
    let room = arithmetic::room(&market, risk, limit);
    borrow(&mut market, room);

    let bound = surge::max_surge(Limit { share_bps: 1_000, period_secs: 86_400, floor: 1_000_000 }, 50e6, secs, 1.0);
    let part = f64::from(u32::try_from(borrowed / TOKEN)?) / bound;
    assert!((0.999..=1.0).contains(&part), "{part} of the bound");
    Ok(())
}
