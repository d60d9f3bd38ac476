//! Versions of the pool, and what differs between them.

use alloy::primitives::U256;

/// A version of the pool. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 3.0.0 to 3.0.2.
    V3_0,
    /// 3.1: a grace period after a pause.
    V3_1,
    /// 3.2: a reserve may be in several e-mode categories, and there is no debt at a stable rate.
    V3_2,
    /// 3.3: the close factor is that of the whole position, small remainders are refused, and bad debt is written off.
    V3_3,
    /// 3.4: every reserve's debt is its scaled balance times the index.
    V3_4,
    /// 3.5: debt is rounded up and collateral down, and the health factor does not go through an average threshold.
    V3_5,
    /// 3.6: a reserve may be collateral in an e-mode category alone.
    V3_6,
    /// 3.7: every rounding of a liquidation is against the liquidator.
    V3_7,
}

impl Version {
    /// Returns the version of a pool by its `POOL_REVISION()`; `None` of a later pool, or of another contract.
    #[must_use]
    pub fn of_revision(revision: U256) -> Option<Self> {
        // 3 is both 3.0.2 and the first 3.1, which differ in nothing that is not asked for by itself.
        Some(match u8::try_from(revision).ok()? {
            1..=3 => Self::V3_0,
            4 => Self::V3_1,
            5 => Self::V3_2,
            6 => Self::V3_3,
            7 => Self::V3_4,
            8 | 9 => Self::V3_5,
            10 => Self::V3_6,
            11 => Self::V3_7,
            _ => return None,
        })
    }

    /// Whether an account's thresholds are averaged, and the average rounded down to a basis point.
    pub(super) fn averages_thresholds(self) -> bool {
        self < Self::V3_5
    }

    /// Whether debt is rounded up and collateral down, and not half up.
    pub(super) fn rounds_for_lenders(self) -> bool {
        self >= Self::V3_5
    }

    /// Whether the close factor is of the whole position, and small remainders are refused.
    pub(super) fn closes_positions(self) -> bool {
        self >= Self::V3_3
    }

    /// Whether what a liquidation seizes is rounded down, and the protocol's fee up.
    pub(super) fn rounds_against_liquidators(self) -> bool {
        self >= Self::V3_7
    }

    /// Whether a reserve that is no collateral outside its e-mode category may be collateral in it.
    pub(super) fn has_independent_e_modes(self) -> bool {
        self >= Self::V3_6
    }

    /// Whether a reserve without virtual accounting has debt that is not its scaled balance times the index.
    pub(super) fn has_discounted_debt(self) -> bool {
        (Self::V3_1..=Self::V3_3).contains(&self)
    }

    /// Whether a reserve names one e-mode category, and not each category its reserves.
    pub(super) fn has_single_e_modes(self) -> bool {
        self < Self::V3_2
    }

    /// Whether the pool asks a sentinel about the sequencer of a rollup.
    pub(super) fn asks_sentinel(self) -> bool {
        self < Self::V3_7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_revision_is_of_no_known_version() {
        let of = |revision: u64| Version::of_revision(U256::from(revision));
        assert_eq!((of(1), of(6), of(11)), (Some(Version::V3_0), Some(Version::V3_3), Some(Version::V3_7)));
        assert_eq!((of(0), of(12), Version::of_revision(U256::MAX)), (None, None, None));
    }
}
