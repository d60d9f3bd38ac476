//! The surge limit against an attacker who borrows all that the contracts let him, whenever they let him.

use std::fs;

use eyre::ensure;
use plimsoll_contracts::{Risk, SurgeLimit};
use plimsoll_keeper::math::{surge as arithmetic, types::Market};
use plimsoll_lab::surge::{self, DEFAULT_INTERVAL_SECS, Limit, Report, Run};
use plimsoll_testkit::workspace::workspace;

/// The page with the figures.
const PAGE: &str = "docs/explanation/surge-limit.md";

#[tokio::test(flavor = "multi_thread")]
async fn unbacked_collateral_takes_all_liquidity_without_a_surge_limit_and_no_more_than_its_bound_with_one()
-> eyre::Result<()> {
    let mut report = surge::run(DEFAULT_INTERVAL_SECS).await?;
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

    ensure_page_has(&report)?;

    // A loss above the bound is noticed.
    let [_, Run { loss, bound: Some(bound), .. }, ..] = &mut report.runs[..] else { panic!("{report:?}") };
    *loss = *bound + 1;
    let error = report.ensure_bounded().err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.starts_with("kelp:")), "{report:?}");
    Ok(())
}

/// Checks that the page's figures of both shapes are those of the runs.
fn ensure_page_has(report: &Report) -> eyre::Result<()> {
    let page = fs::read_to_string(workspace()?.root().join(PAGE))?;
    let millions = |tokens: u64| format!("{}.{:02}", (tokens + 5_000) / 1_000_000, (tokens + 5_000) / 10_000 % 100);
    let mut missing = Vec::new();
    for run in &report.runs {
        let shape = match run.shape {
            "kelp" => "Kelp",
            "resolv" => "Resolv",
            other => other,
        };
        let limit = run.limit.map_or("none", |_| "10 %, 1 million, a day");
        let withdrawn = if run.withdrawn == 0 { "–".to_owned() } else { millions(run.withdrawn) };
        let bound = run.bound.map_or_else(|| "–".to_owned(), millions);
        let (borrowed, loss) = (millions(run.borrowed), millions(run.loss));
        let row = format!("| {shape} | {limit} | {borrowed} | {withdrawn} | {loss} | {bound} |");
        if !page.contains(&row) {
            missing.push(row);
        }
    }
    let [kelp, _, resolv, _] = &report.runs[..] else { panic!("{report:?}") };
    let old = |run: &Run| (run.old_debt_loss + 500_000) / 1_000_000;
    let sentence =
        format!("The old loans lose {} million in Kelp's shape and {} million in Resolv's", old(kelp), old(resolv));
    if !page.contains(&sentence) {
        missing.push(sentence);
    }
    ensure!(missing.is_empty(), "{PAGE} should say: {missing:#?}");
    Ok(())
}

/// Returns the rows of the page's table after the line that begins with this text, without its head, as numbers;
/// percent signs and commas are left out.
fn table_after(page: &str, line: &str) -> eyre::Result<Vec<Vec<f64>>> {
    let lines = page.lines().skip_while(|found| !found.starts_with(line)).skip_while(|found| !found.starts_with('|'));
    let rows = lines.take_while(|found| found.starts_with('|')).skip(2);
    let number = |cell: &str| -> eyre::Result<f64> { Ok(cell.replace([' ', '%', ','], "").parse()?) };
    rows.map(|row| row.trim_matches('|').split('|').map(number).collect()).collect()
}

#[test]
fn the_bound_grows_with_time_as_the_tables_in_the_documents_say() -> eyre::Result<()> {
    const HOUR: u64 = 3_600;
    let page = fs::read_to_string(workspace()?.root().join(PAGE))?;
    // A period of a day, an aged debt of 50 million.
    let bound = |percent: f64, floor: u32, secs: u64| -> eyre::Result<f64> {
        let share_bps = format!("{}", percent * 100.0).parse()?;
        Ok(surge::max_surge(Limit { share_bps, period_secs: 86_400, floor }, 50e6, secs, 1.0))
    };

    let parts = table_after(&page, "N(t) as a part of")?;
    assert_eq!(parts.len(), 4, "{PAGE}");
    for row in parts {
        let [percent, at_once, quarter, one, three, seven] = row[..] else { panic!("{row:?}") };
        let base = 1e6 / (percent / 100.0) + 50e6;
        for (hours, part) in [0, 6, 24, 72, 168].into_iter().zip([at_once, quarter, one, three, seven]) {
            let found = bound(percent, 1_000_000, hours * HOUR)? / base;
            assert!((found - part).abs() < 0.0006, "{percent} % after {hours} hours: {found}, not {part}");
        }
    }

    let amounts = table_after(&page, "N(t) in millions")?;
    assert_eq!(amounts.len(), 4, "{PAGE}");
    for row in amounts {
        let [percent, floor, at_once, alarm, quarter, one, three] = row[..] else { panic!("{row:?}") };
        let floor = format!("{}", floor * 1e6).parse()?;
        let times = [0, 5 * HOUR / 4, 6 * HOUR, 24 * HOUR, 72 * HOUR];
        for (secs, millions) in times.into_iter().zip([at_once, alarm, quarter, one, three]) {
            let found = bound(percent, floor, secs)? / 1e6;
            assert!((found - millions).abs() < 0.051, "{percent} % after {secs} s: {found}, not {millions}");
        }
    }
    Ok(())
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
