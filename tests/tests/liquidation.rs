//! Our liquidation rule compared with others: the claims of `docs/explanation/liquidation.md`.

use std::path::Path;

use eyre::ensure;
use plimsoll_lab::replay::{
    feed::Feed,
    model,
    outcome::Liquidation,
    params::{DOLLAR, ReplayParams},
    prices::Prices,
    rules::Rule,
};
use plimsoll_testkit::workspace::workspace;

use crate::support;

/// The recorded crashes of ETH and USDC.
const CRASHES: [&str; 4] = [
    "prices/2020-03-12_black_thursday__binance_ETHUSDT_1h_cdd.csv",
    "prices/2020-03-12_black_thursday__binance_ETHUSDT_perp_1m_partial.csv",
    "prices/2021-05-19_leverage_flush__binance_ETHUSDT_30m.csv",
    "prices/2023-03-11_usdc_depeg__implied_USDCUSD_1m.csv",
];
const GAPS: [&str; 4] = ["gap-12.csv", "gap-17.csv", "gap-20.csv", "gap-25.csv"];
/// Depths of the exchange, from a sixtieth of the debt to more than all of it.
const DEPTHS: [u128; 3] = [300_000, 3_000_000, 30_000_000];
/// Borrow LTV and liquidation LTV.
const LTVS: [[u16; 2]; 4] = [[7_500, 8_000], [8_000, 8_600], [8_800, 9_150], [9_300, 9_450]];
/// The price of an ether, for crashes of other assets.
const ETHER: u128 = 2_000 * 100_000_000;
/// The most that borrowers lose, relative to Morpho's bonus.
const PROMISED_PERCENT: u128 = 35;

/// The losses of a replay, in units of the loan token.
struct Cost {
    borrowers: u128,
    /// Debt that is written off or will never be repaid.
    lenders: u128,
}

fn cost(rule: Rule, [borrow_ltv_bps, liquidation_ltv_bps]: [u16; 2], depth: u128, file: &Path) -> eyre::Result<Cost> {
    let prices = Prices::read(file, None)?;
    let params = ReplayParams {
        borrow_ltv_bps,
        liquidation_ltv_bps,
        depth: depth * DOLLAR,
        swap_fee_ppm: 3_000,
        gas_price: 20_000_000_000,
        ether_price: (prices.first() < ETHER / 100).then_some(ETHER),
        feed: Feed { heartbeat_secs: 3_600, deviation_bps: 50 },
        positions: 200,
        debt: 20_000_000 * DOLLAR,
        min_debt: 3_000 * DOLLAR,
        seed: 1,
    };
    let outcome = model::play(&rule, &params, &prices)?;
    ensure!(!outcome.liquidations.is_empty(), "nobody was liquidated in {}", file.display());
    let sum = |part: fn(&Liquidation) -> u128| outcome.liquidations.iter().map(part).sum::<u128>();
    Ok(Cost { borrowers: sum(Liquidation::penalty), lenders: sum(|done| done.bad_debt) + outcome.shortfall })
}

#[test]
fn in_recorded_crashes_borrowers_pay_a_third_of_morphos_penalty_and_lenders_nothing() -> eyre::Result<()> {
    for name in CRASHES {
        let Some(file) = support::data_file(name)? else { return Ok(()) };
        for depth in DEPTHS {
            let [ours, morphos] = [Rule::Plimsoll, Rule::Morpho].map(|rule| cost(rule, [8_000, 8_600], depth, &file));
            let (ours, morphos) = (ours?, morphos?);
            assert_eq!((ours.lenders, morphos.lenders), (0, 0), "{name}, depth {depth}");
            let most = morphos.borrowers * PROMISED_PERCENT / 100;
            assert!(ours.borrowers <= most, "{name}, depth {depth}: {} of {}", ours.borrowers, morphos.borrowers);
        }
    }
    Ok(())
}

#[test]
fn after_a_price_gap_neither_borrowers_nor_lenders_lose_more_than_by_morphos_rule() -> eyre::Result<()> {
    let folder = workspace()?.root().join("examples/prices");
    for name in GAPS {
        for (ltv, depth) in LTVS.into_iter().flat_map(|ltv| DEPTHS.map(|depth| (ltv, depth))) {
            let [ours, morphos] = [Rule::Plimsoll, Rule::Morpho].map(|rule| cost(rule, ltv, depth, &folder.join(name)));
            let (ours, morphos) = (ours?, morphos?);
            let told = format!("{name}, LTV {ltv:?}, depth {depth}");
            assert!(ours.lenders <= morphos.lenders, "{told}: {} of {}", ours.lenders, morphos.lenders);
            assert!(ours.borrowers < morphos.borrowers, "{told}: {} of {}", ours.borrowers, morphos.borrowers);
        }
    }
    Ok(())
}
