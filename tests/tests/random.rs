//! Pseudo-random numbers of every magnitude that are the same in every run, with frequent extremes.

/// A SplitMix64 generator.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, which must not be 0.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// Returns an index of a list with a length, which must not be 0.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        let end = u64::try_from(count).unwrap_or(u64::MAX);
        usize::try_from(self.below(end)).unwrap_or(0)
    }

    /// Returns a number from 0 to `most`, of any magnitude, sometimes one of the ends.
    pub(crate) fn amount_to(&mut self, most: u128) -> u128 {
        match self.below(16) {
            0 => 0,
            1 => most,
            2 => 1.min(most),
            _ => {
                let wide = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
                let shorter = wide >> self.below(128);
                if shorter <= most { shorter } else { wide % most.saturating_add(1).max(1) }
            }
        }
    }
}
