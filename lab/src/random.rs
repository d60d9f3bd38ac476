//! Numbers from a seed, for crowds and prices that can be drawn again.

/// A stream of numbers (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Parts that [`Random::part`] counts in.
    pub const PARTS: u128 = 10_000;

    /// The same seed gives the same numbers.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// Anything from 0 to [`Random::PARTS`].
    pub fn part(&mut self) -> u128 {
        u128::from(self.next_u64()) % (Self::PARTS + 1)
    }
}
