//! Rust and the core agree on the parameters of a market: the same limits, the same packed words, the same id.

use alloy::primitives::U256;
use eyre::ensure;
use plimsoll_contracts::{
    IPlimsoll, MarketParams, RateCurve, Risk,
    market::{MAX_RATE_AT_TARGET, MAX_SPEED_PER_YEAR, MIN_RATE_AT_TARGET},
};
use plimsoll_testkit::{devnet::Devnet, market::LocalMarket};

/// Positions of the fields in the packed words, from `Risk.sol` and `RateCurve.sol`.
const LIQUIDATION_LTV: usize = 128;
const BORROW_LTV: usize = 144;
const TARGET: usize = 40;
const STEEPNESS: usize = 56;
const SPEED: usize = 80;

fn risk(borrow_ltv: u64, liquidation_ltv: u64, min_debt: u128) -> U256 {
    (U256::from(borrow_ltv) << BORROW_LTV) | (U256::from(liquidation_ltv) << LIQUIDATION_LTV) | U256::from(min_debt)
}

fn curve(start: u64, target: u64, steepness: u64, speed: u64) -> U256 {
    (U256::from(speed) << SPEED)
        | (U256::from(steepness) << STEEPNESS)
        | (U256::from(target) << TARGET)
        | U256::from(start)
}

/// Returns the word with each of its bits flipped, one at a time.
fn neighbours(word: U256) -> impl Iterator<Item = U256> {
    (0..256).map(move |bit| word ^ (U256::ONE << bit))
}

#[tokio::test]
async fn rust_and_the_core_accept_the_same_markets_with_the_same_ids() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let market = LocalMarket::deploy(&devnet).await?;
    let core = IPlimsoll::new(market.core, devnet.provider());
    let (good_risk, good_curve) =
        (risk(7_000, 8_000, 1_000_000), curve(MIN_RATE_AT_TARGET * 2, 9_000, 40_000, 500_000));
    let speed = u64::from(MAX_SPEED_PER_YEAR);

    // Every limit, from both sides.
    let mut risks = vec![risk(0, 8_000, 10_000), risk(1, 8_000, 10_000), risk(1, 1, 10_000), risk(1, 2, 10_000)];
    risks.extend([risk(7_960, 8_000, 10_000), risk(7_961, 8_000, 10_000), risk(9_751, 9_800, 10_000)]);
    risks.extend([risk(9_752, 9_800, 10_000), risk(9_000, 9_801, 10_000), risk(9_000, 9_800, 9_999)]);
    risks.push(risk(9_000, 9_800, u128::MAX));
    let mut curves = vec![curve(MIN_RATE_AT_TARGET, 100, 10_000, 0), curve(MAX_RATE_AT_TARGET, 9_900, 100_000, speed)];
    curves.extend([MIN_RATE_AT_TARGET - 1, MAX_RATE_AT_TARGET + 1].map(|start| curve(start, 100, 10_000, 0)));
    curves.extend([99, 9_901].map(|target| curve(MIN_RATE_AT_TARGET, target, 10_000, 0)));
    curves.extend([9_999, 100_001].map(|steepness| curve(MIN_RATE_AT_TARGET, 100, steepness, 0)));
    curves.push(curve(MIN_RATE_AT_TARGET, 100, 10_000, speed + 1));
    risks.extend(neighbours(good_risk));
    curves.extend(neighbours(good_curve));

    let words = risks.into_iter().map(|risk| (risk, good_curve));
    let words = words.chain(curves.into_iter().map(|curve| (good_risk, curve)));
    let (mut taken, mut refused) = (0, 0);
    for (risk, curve) in words {
        let params = MarketParams { risk, curve, ..market.params.clone() };
        let valid = Risk::from_word(risk).is_ok() && RateCurve::from_word(curve).is_ok();
        match core.createMarket(params.clone()).call().await {
            Ok(id) => {
                ensure!(valid, "the core takes the risk {risk:#x} with the curve {curve:#x}, and Rust does not");
                assert_eq!(id, params.id().0);
                taken += 1;
            }
            Err(error) => {
                ensure!(!valid, "the core refuses the risk {risk:#x} with the curve {curve:#x}: {error}");
                refused += 1;
            }
        }
    }
    ensure!(taken > 100 && refused > 100, "{taken} were taken and {refused} refused");
    Ok(())
}
