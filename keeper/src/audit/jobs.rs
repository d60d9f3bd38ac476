//! Jobs of nodes: as the contract stores them, as far as the book does.

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{
    IJobs::{Job, State, jobCall},
    MarketId,
};

use super::{Audited, Mismatch};
use crate::{
    book::{JobStage, JobState},
    chain::Header,
    prices::{Call, ChainReader},
};

/// Gas for reading a job, which uses some twenty thousand.
const JOB_GAS: u64 = 100_000;

/// What book and contract both know of a job.
#[derive(Debug, PartialEq, Eq)]
struct Audit {
    poster: Address,
    kind: B256,
    price: u128,
    seats: u8,
    result: B256,
    stage: Stage,
}

/// What a job waits for; the book keeps of a submitted one when its round was closed, and the contract up to when it can be
/// challenged.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Open { round: u8, draw_block: u64 },
    Drawn { round: u8, deadline: u64, committed: u8, revealed: u8 },
    Submitted,
    Other,
}

/// Returns the call by which a job is read.
#[must_use]
pub fn job_call(jobs: Address, id: u64) -> Call {
    Call::view(jobs, jobCall { id: U256::from(id) }.abi_encode(), JOB_GAS)
}

/// Compares a job after a block with what the block's own request answered. One that cannot be read counts as a mismatch.
/// Returns `None` where they are equal, or the request had no such call.
pub fn compare_job<R: ChainReader>(
    reader: &R,
    jobs: Address,
    (id, job): (u64, &JobState),
    block: &Header,
) -> Option<Mismatch> {
    let answer = reader.known(block, &job_call(jobs, id))?.result.ok();
    let on_chain = answer.and_then(|data| jobCall::abi_decode_returns(&data).ok()).map(|job| of_chain(&job));
    let in_book = of_book(job);
    (on_chain.as_ref() != Some(&in_book)).then(|| Mismatch {
        block: block.number,
        market: MarketId(B256::from(U256::from(id))),
        what: Audited::Job(id),
        in_book: format!("{in_book:?}"),
        on_chain: on_chain.map_or_else(|| "no answer".to_owned(), |read| format!("{read:?}")),
    })
}

fn of_book(job: &JobState) -> Audit {
    let stage = match job.stage {
        JobStage::Open { round, draw_block } => Stage::Open { round, draw_block },
        JobStage::Drawn { round, deadline, committed, revealed } => {
            Stage::Drawn { round, deadline, committed, revealed }
        }
        JobStage::Submitted { .. } => Stage::Submitted,
    };
    Audit { poster: job.poster, kind: job.kind, price: job.price, seats: job.seats, result: job.result, stage }
}

fn of_chain(job: &Job) -> Audit {
    let stage = match job.state {
        State::Open => Stage::Open { round: job.round, draw_block: job.drawBlock },
        State::Drawn => Stage::Drawn {
            round: job.round,
            deadline: job.deadline.to(),
            committed: job.committed,
            revealed: job.revealed,
        },
        State::Submitted => Stage::Submitted,
        _ => Stage::Other,
    };
    Audit { poster: job.poster, kind: job.kind, price: job.price, seats: job.k, result: job.result, stage }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Bytes;
    use plimsoll_chain::error::ChainError;

    use super::*;
    use crate::prices::SimulatedCall;

    const JOBS: Address = Address::repeat_byte(9);

    /// A block's request that read this job.
    struct Read(Option<Job>);

    impl ChainReader for Read {
        async fn run(&self, _: &Header, _: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
            Ok(Vec::new())
        }

        fn known(&self, _: &Header, call: &Call) -> Option<SimulatedCall> {
            let data = self.0.as_ref().map_or_else(Bytes::new, |job| jobCall::abi_encode_returns(job).into());
            (*call == job_call(JOBS, 3)).then_some(SimulatedCall { result: Ok(data), gas_used: 1 })
        }
    }

    fn stored(state: State) -> Job {
        Job {
            poster: Address::repeat_byte(1),
            deadline: alloy::primitives::aliases::U40::from(700),
            k: 3,
            state,
            round: 1,
            committed: 2,
            revealed: 1,
            price: 30_000,
            drawBlock: 100,
            kind: B256::repeat_byte(2),
            roundAt: alloy::primitives::aliases::U40::ZERO,
            result: B256::ZERO,
            claimed: B256::ZERO,
            receipt: B256::ZERO,
            challenger: Address::ZERO,
            accused: 0,
            leaves: 1,
        }
    }

    #[test]
    fn every_part_of_a_job_that_the_book_has_is_compared() {
        let drawn = JobStage::Drawn { round: 1, deadline: 700, committed: 2, revealed: 1 };
        let book = JobState {
            poster: Address::repeat_byte(1),
            kind: B256::repeat_byte(2),
            price: 30_000,
            seats: 3,
            is_challenged: false,
            stage: drawn,
            result: B256::ZERO,
            posted_in: 1,
        };
        let differs = |job: &JobState, stored| {
            let mismatch = compare_job(&Read(stored), JOBS, (3, job), &Header::default());
            mismatch.map(|mismatch| mismatch.to_string())
        };
        assert_eq!(differs(&book, Some(stored(State::Drawn))), None);
        let open = JobState { stage: JobStage::Open { round: 1, draw_block: 100 }, ..book };
        assert_eq!(differs(&open, Some(stored(State::Open))), None);
        let submitted = JobState { stage: JobStage::Submitted { closed_at: 1 }, ..book };
        assert_eq!(differs(&submitted, Some(stored(State::Submitted))), None);
        for wrong in [
            JobState { poster: Address::ZERO, ..book },
            JobState { kind: B256::ZERO, ..book },
            JobState { price: 1, ..book },
            JobState { seats: 1, ..book },
            JobState { result: B256::repeat_byte(1), ..book },
            JobState { stage: JobStage::Drawn { round: 2, deadline: 700, committed: 2, revealed: 1 }, ..book },
            JobState { stage: JobStage::Drawn { round: 1, deadline: 701, committed: 2, revealed: 1 }, ..book },
            JobState { stage: JobStage::Drawn { round: 1, deadline: 700, committed: 1, revealed: 1 }, ..book },
            JobState { stage: JobStage::Drawn { round: 1, deadline: 700, committed: 2, revealed: 2 }, ..book },
            open,
            submitted,
        ] {
            assert!(differs(&wrong, Some(stored(State::Drawn))).is_some_and(|text| text.starts_with("job 3 ")));
        }
        // It has ended on the chain, or cannot be read.
        assert!(differs(&book, Some(stored(State::Completed))).is_some());
        assert!(differs(&book, None).is_some_and(|text| text.contains("no answer")));
    }
}
