//! Speculation: the simulations that a decision would begin with, if what is nearest to liquidation became liquidatable, are
//! made along with the block's own request. A decision on these positions finds the answers there and asks for nothing.
//!
//! Decisions do not depend on it: they are made of the same calls in the same block, and it does not matter which request was
//! answered. So calls are made to be the same from block to block: amounts have few significant digits, and a simulation has
//! no deadline.
//!
//! What strangers can add to a request is bounded by [`GAS`], and what is considered for it by [`MAX_CONSIDERED`]. Of each
//! market the nearest position comes first, and of these that for which the pools pay most.

use std::cmp::Reverse;

use alloy::primitives::map::B256Map;
use plimsoll_protocols::{Deployment, Lot};

use super::{
    PositionId, Seize, by_position,
    decide::{Candidates, MAX_LOTS},
    job::{Candidate, Target},
};
use crate::{
    prices::{Call, Values},
    strategies::{BlockContext, Exclusion},
};

/// Most gas of the simulations of positions that are near to liquidation: enough for one with every variant of its calls. With
/// [`REPEATED_GAS`] it is less than most nodes allow in a request.
const GAS: u64 = 36_000_000;
/// The same of positions that are liquidatable, and were not liquidated: they are simulated in each block.
const REPEATED_GAS: u64 = 12_000_000;
/// Most positions whose simulations are considered, which the engine computes in every block.
pub(super) const MAX_CONSIDERED: usize = 16;

/// Lots of a protocol in a block: of positions that are near to liquidation, the nearest first, and those that are liquidatable.
type Lots<'a> = (&'a [Lot], &'a [Lot]);

impl Seize {
    /// Returns the simulations to make with the next block's request.
    #[must_use]
    pub fn speculate(
        &self,
        deployment: &Deployment,
        (near, liquidatable): Lots<'_>,
        values: &Values,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, PositionId>,
    ) -> Vec<Call> {
        let Some(target) = self.target(deployment).filter(|_| context.room > 0) else { return Vec::new() };
        let trials =
            |lots, is_repeated| self.trials((deployment, target), lots, values, context, exclusion, is_repeated);
        let mut calls = trials(near, false);
        if liquidatable.len() <= MAX_LOTS {
            calls.extend(trials(liquidatable, true));
        }
        calls
    }

    /// Returns the simulations of so many positions as there is gas for, of each all or none: where they are repeated, those
    /// included that a decision makes when none of the likely ones pays.
    fn trials(
        &self,
        (deployment, target): (&Deployment, Target),
        lots: &[Lot],
        values: &Values,
        context: BlockContext<'_>,
        exclusion: Exclusion<'_, PositionId>,
        is_repeated: bool,
    ) -> Vec<Call> {
        let positions = by_position(deployment.address, lots);
        let allowed = positions.into_iter().filter(|(id, _)| exclusion(*id).is_none());
        let mut of_market: B256Map<usize> = B256Map::default();
        let mut placed: Vec<(usize, PositionId, Vec<&Lot>)> = Vec::new();
        for (id, lots) in allowed {
            let place = of_market.entry(id.market).or_default();
            placed.push((*place, id, lots));
            *place += 1;
        }
        placed.sort_by_key(|(place, ..)| *place);
        let mut found = Vec::new();
        for (place, id, lots) in placed.into_iter().take(MAX_CONSIDERED) {
            if let Ok(candidates) = self.candidates(target, (id, &lots), values, context) {
                found.push(((place, Reverse(candidates.promise), id), candidates));
            }
        }
        found.sort_by_key(|(rank, _)| *rank);
        let calls = |Candidates { likely, others, .. }| {
            let others = if is_repeated { others } else { Vec::new() };
            [likely, others].into_iter().flat_map(|calls| self.calls(calls, context)).collect::<Vec<_>>()
        };
        let (mut gas, most_gas) = (0_u64, if is_repeated { REPEATED_GAS } else { GAS });
        let fitting = found.into_iter().map(|(_, candidates)| calls(candidates)).take_while(|trials| {
            gas = trials.iter().map(|call| call.gas).fold(gas, u64::saturating_add);
            gas <= most_gas
        });
        fitting.flatten().collect()
    }

    /// Returns the simulations of calls with all their variants, as a decision makes them.
    fn calls(&self, calls: Vec<Candidate<'_>>, context: BlockContext<'_>) -> Vec<Call> {
        let variants = self.with_variants(calls, context);
        variants.iter().map(|candidate| self.settings.trial(candidate, context)).collect()
    }
}
