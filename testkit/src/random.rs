//! Pseudo-random numbers from a seed, for borrowers and prices that can be reproduced.

/// A SplitMix64 generator. The same seed yields the same numbers.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The denominator of the fractions that [`Random::part`] returns.
    pub const PARTS: u128 = 10_000;

    /// Creates a generator from a seed.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a uniformly distributed number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, which must not be 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// Returns a fraction from 0 to 1, in units of 1 / [`Random::PARTS`].
    pub fn part(&mut self) -> u128 {
        u128::from(self.next_u64()) % (Self::PARTS + 1)
    }
}
