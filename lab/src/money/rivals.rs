//! Rivals, each with its own way of bidding.

use plimsoll_testkit::random::Random;

/// One whole, in the millionths that shares of a profit are counted in.
pub(super) const WHOLE: u128 = 1_000_000;

/// How a rival bids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    /// There is none.
    None,
    /// 30 % of the profit in every race.
    Constant,
    /// About 20 %, more or less.
    Noisy,
    /// 49 %, just below the keeper's cap, in one of ten races.
    Baiter,
    /// A thousandth more than the keeper's pending transaction.
    Copier,
}

/// All rivals, in the order of the report.
pub(super) const RIVALS: [Rival; 5] = [Rival::None, Rival::Constant, Rival::Noisy, Rival::Baiter, Rival::Copier];

/// What a rival does in one race.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bid {
    /// Nothing.
    Absent,
    /// It bids this share of the profit, in millionths.
    Share(u128),
    /// It bids a thousandth more than what it sees in the pool.
    Copy,
}

impl Rival {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Constant => "constant",
            Self::Noisy => "noisy",
            Self::Baiter => "baiter",
            Self::Copier => "copier",
        }
    }

    /// Returns the bid in a race.
    pub(super) fn bid(self, race: u64, random: &mut Random) -> Bid {
        match self {
            Self::None => Bid::Absent,
            Self::Constant => Bid::Share(300_000),
            // The mean of four uniform numbers from 0 to 40 %.
            Self::Noisy => Bid::Share(u128::from((0..4).map(|_| random.below(400_000)).sum::<u64>() / 4)),
            Self::Baiter if race % 10 == 5 => Bid::Share(490_000),
            Self::Baiter => Bid::Absent,
            Self::Copier => Bid::Copy,
        }
    }
}
