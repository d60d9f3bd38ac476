//! A model that is no model and needs no download, for tests of everything around one.

use crate::generation::{Model, Vocabulary};

/// The model: bytes are its tokens, and what follows depends on all that came before.
#[derive(Debug, Default)]
pub(crate) struct Script {
    state: u64,
    salt: u64,
}

impl Script {
    /// A model of other weights, which gives other answers.
    #[cfg_attr(not(feature = "demonstration"), expect(dead_code, reason = "demonstrations alone have other weights"))]
    pub(crate) fn salted(salt: u64) -> Self {
        Self { state: 0, salt }
    }
}

/// Its vocabulary: every byte.
#[derive(Debug)]
pub(crate) struct Letters(Vec<u8>);

impl Default for Letters {
    fn default() -> Self {
        Self((0..=255).collect())
    }
}

impl Vocabulary for Letters {
    fn encode(&self, text: &str) -> eyre::Result<Vec<u32>> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn bytes(&self, token: u32) -> &[u8] {
        usize::try_from(token).ok().and_then(|at| self.0.get(at..=at)).unwrap_or_default()
    }
}

impl Model for Script {
    fn logits(&mut self, tokens: &[u32], position: usize) -> eyre::Result<Vec<f32>> {
        if position == 0 {
            self.state = self.salt;
        }
        for token in tokens {
            self.state = (self.state ^ u64::from(*token)).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        // Letters and spaces; the end of the text is token 2.
        let mut logits = vec![-50.0; 256];
        let mut state = self.state;
        for letter in b"abcdefghijklmnopqrstuvwxyz  \x02" {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let score = f32::from(u16::try_from(state >> 48)?) / 16_384.0;
            logits[usize::from(*letter)] = score;
        }
        Ok(logits)
    }
}
