//! The loans with the lowest health factors.

use alloy::primitives::U256;
use proptest::prelude::*;

use super::{super::at_risk, fixture::*};
use crate::math::wide::WAD;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Compared with a scan of all positions.
    #[test]
    fn the_lowest_health_factors_below_a_bound_come_in_order(
        openings in prop::collection::vec((1_000_u128..20_000, 200_u128..20_000), 1..60),
        dollars in 1_u128..4_000, bound_percent in 100_u64..300, most in 0_usize..40,
    ) {
        let fixture = Fixture::new(&openings);
        let (market, price) = (fixture.market(), price(dollars));
        let below = U256::from(WAD / 100 * bound_percent);
        let found = at_risk(market, price, NOW, below, most);
        let totals = market.at(NOW);
        let mut all: Vec<_> = market
            .positions()
            .map(|(account, position)| (totals.health_wad(position.loan(), market.liquidation_incentive(), price), account))
            .filter(|(health_wad, _)| *health_wad < below)
            .collect();
        all.sort_unstable();
        all.truncate(most);
        let close = |health_wad: U256| below - health_wad < U256::from(WAD / 1_000_000);
        // Loans whose health factor is the bound to six digits may be left out by rounding.
        prop_assert!(found.len() == all.len() || all.iter().skip(found.len()).all(|(health_wad, _)| close(*health_wad)));
        for (loan, (health_wad, account)) in found.iter().zip(&all) {
            prop_assert_eq!((loan.health_wad, loan.account), (*health_wad, *account));
            let is_liquidatable = market.liquidatable(price, NOW).iter().any(|other| other.account == loan.account);
            prop_assert_eq!(loan.health_wad < U256::from(WAD), is_liquidatable);
            prop_assert_eq!(loan.waterline >= price, is_liquidatable);
        }
    }
}
