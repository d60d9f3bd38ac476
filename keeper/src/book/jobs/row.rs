//! Jobs and nodes as bytes of a checkpoint.

use super::{JobStage, JobState, NodeState};
use crate::book::row::Field;

const OPEN: u8 = 0;
const DRAWN: u8 = 1;
const SUBMITTED: u8 = 2;

impl Field for JobState {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { poster, kind, price, seats, is_challenged, stage, result, posted_in } = self;
        (*poster, (*kind, *price)).write(bytes);
        (*seats, *is_challenged).write(bytes);
        stage.write(bytes);
        (*result, *posted_in).write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (poster, (kind, price)) = Field::read(bytes)?;
        let (seats, is_challenged) = Field::read(bytes)?;
        let stage = Field::read(bytes)?;
        let (result, posted_in) = Field::read(bytes)?;
        Some(Self { poster, kind, price, seats, is_challenged, stage, result, posted_in })
    }
}

impl Field for JobStage {
    fn write(&self, bytes: &mut Vec<u8>) {
        match *self {
            Self::Open { round, draw_block } => (OPEN, (round, draw_block)).write(bytes),
            Self::Drawn { round, deadline, committed, revealed } => {
                (DRAWN, (round, deadline)).write(bytes);
                (committed, revealed).write(bytes);
            }
            Self::Submitted { closed_at } => (SUBMITTED, closed_at).write(bytes),
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match u8::read(bytes)? {
            OPEN => {
                let (round, draw_block) = Field::read(bytes)?;
                Some(Self::Open { round, draw_block })
            }
            DRAWN => {
                let (round, deadline) = Field::read(bytes)?;
                let (committed, revealed) = Field::read(bytes)?;
                Some(Self::Drawn { round, deadline, committed, revealed })
            }
            SUBMITTED => Some(Self::Submitted { closed_at: Field::read(bytes)? }),
            _ => None,
        }
    }
}

impl Field for NodeState {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { operator, kind, emission_stake, harvested_at } = self;
        (*operator, *kind).write(bytes);
        (*emission_stake, *harvested_at).write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (operator, kind) = Field::read(bytes)?;
        let (emission_stake, harvested_at) = Field::read(bytes)?;
        Some(Self { operator, kind, emission_stake, harvested_at })
    }
}
