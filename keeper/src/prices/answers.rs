//! The answers to a block's own request, and a reader that asks only for what is not among them.

use std::{collections::HashMap, sync::Arc};

use alloy::primitives::B256;
use plimsoll_chain::error::ChainError;

use super::reader::{Call, ChainReader, SimulatedCall};
use crate::chain::Header;

/// Results of sequences of calls in one block. No sequence saw the effects of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    block: B256,
    by_sequence: HashMap<Vec<Call>, Vec<SimulatedCall>>,
}

impl Answers {
    /// Runs calls in a block, all in one request. Fails where no node answers.
    pub async fn request<R: ChainReader>(reader: &R, block: &Header, calls: &[Call]) -> Result<Self, ChainError> {
        let sequences: Vec<_> = calls.iter().map(|call| vec![call.clone()]).collect();
        Self::request_sequences(reader, block, &sequences).await
    }

    /// Runs sequences of calls in a block, all in one request. Fails where no node answers.
    pub async fn request_sequences<R: ChainReader>(
        reader: &R,
        block: &Header,
        sequences: &[Vec<Call>],
    ) -> Result<Self, ChainError> {
        let results = reader.run(block, sequences).await?;
        Ok(Self { block: block.hash, by_sequence: sequences.iter().cloned().zip(results).collect() })
    }
}

/// A reader that knows the answers to a block's own request.
#[derive(Debug, Clone)]
pub struct BlockReader<R> {
    reader: R,
    /// All of one block.
    answers: Vec<Arc<Answers>>,
}

impl<R: ChainReader> BlockReader<R> {
    /// Returns a reader that knows nothing yet, and asks `reader`.
    #[must_use]
    pub fn new(reader: R) -> Self {
        Self { reader, answers: Vec::new() }
    }

    /// Takes the answers of the newest block, in place of those of an earlier one.
    pub fn set_answers(&mut self, answers: Arc<Answers>) {
        self.answers = vec![answers];
    }

    /// Takes answers to another request of the newest block, besides those of the same block. Those of another one are left out.
    pub fn add_answers(&mut self, newest: &Header, answers: Arc<Answers>) {
        if answers.block != newest.hash {
            return;
        }
        self.answers.retain(|known| known.block == answers.block);
        self.answers.push(answers);
    }

    fn known_sequence(&self, block: &Header, calls: &[Call]) -> Option<&Vec<SimulatedCall>> {
        let of_block = self.answers.iter().filter(|answers| answers.block == block.hash);
        of_block.filter_map(|answers| answers.by_sequence.get(calls)).next()
    }
}

impl<R: ChainReader> ChainReader for BlockReader<R> {
    async fn run(&self, block: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let known = |calls: &Vec<Call>| {
            if calls.is_empty() { Some(Vec::new()) } else { self.known_sequence(block, calls).cloned() }
        };
        let results: Vec<_> = sequences.iter().map(known).collect();
        let unknown = sequences.iter().zip(&results).filter(|(_, known)| known.is_none());
        let unknown: Vec<_> = unknown.map(|(calls, _)| calls.clone()).collect();
        let mut asked =
            if unknown.is_empty() { Vec::new() } else { self.reader.run(block, &unknown).await? }.into_iter();
        Ok(results.into_iter().filter_map(|known| known.or_else(|| asked.next())).collect())
    }

    fn known(&self, block: &Header, call: &Call) -> Option<SimulatedCall> {
        self.known_sequence(block, std::slice::from_ref(call))?.first().cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use alloy::primitives::{Address, Bytes};

    use super::*;

    /// A node that returns the calldata, and records what it is asked.
    #[derive(Default)]
    struct Echo(Mutex<Vec<Vec<Vec<u8>>>>);

    impl ChainReader for &Echo {
        async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
            let data = |calls: &Vec<Call>| calls.iter().map(|call| call.data[0]).collect::<Vec<_>>();
            self.0.lock().unwrap().push(sequences.iter().map(data).collect());
            let answer = |call: &Call| SimulatedCall { result: Ok(call.data.clone()), gas_used: 0 };
            Ok(sequences.iter().map(|calls| calls.iter().map(answer).collect()).collect())
        }
    }

    fn call(data: u8) -> Call {
        Call::trial(Address::ZERO, Bytes::from(vec![data]), 1)
    }

    fn block(number: u8) -> Header {
        Header { hash: B256::repeat_byte(number), ..Header::default() }
    }

    #[tokio::test]
    async fn only_what_the_blocks_request_did_not_answer_is_asked() {
        let node = Echo::default();
        let mut reader = BlockReader::new(&node);
        let answers = Answers::request(&&node, &block(1), &[call(1), call(2)]).await.unwrap();
        reader.set_answers(Arc::new(answers));
        // A second request of the same block, which asked for a sequence.
        let further = Answers::request_sequences(&&node, &block(1), &[vec![call(1), call(5)]]).await.unwrap();
        reader.add_answers(&block(1), Arc::new(further));
        let sequences = [vec![call(1), call(5)], vec![call(5)]];
        let results = reader.run(&block(1), &sequences).await.unwrap();
        assert_eq!(results.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(node.0.lock().unwrap().split_off(1), [vec![vec![1, 5]], vec![vec![5]]]);
        let sequences = [vec![call(3)], vec![call(2)], vec![call(1), call(2)], vec![], vec![call(1)]];
        let results = reader.run(&block(1), &sequences).await.unwrap();
        let data = |results: &Vec<SimulatedCall>| {
            results.iter().map(|call| call.result.as_ref().unwrap()[0]).collect::<Vec<_>>()
        };
        assert_eq!(results.iter().map(data).collect::<Vec<_>>(), [vec![3], vec![2], vec![1, 2], vec![], vec![1]]);
        reader.run_each(&block(1), [call(2)]).await.unwrap();
        reader.run_each(&block(2), [call(2)]).await.unwrap();
        let asked = [vec![vec![1], vec![2]], vec![vec![3], vec![1, 2]], vec![vec![2]]];
        assert_eq!(*node.0.lock().unwrap(), asked);
        // Those of another block are not taken, and those of an older one go.
        let newer = Arc::new(Answers::request(&&node, &block(2), &[call(1)]).await.unwrap());
        reader.add_answers(&block(1), Arc::clone(&newer));
        assert!(reader.known(&block(1), &call(1)).is_some());
        reader.add_answers(&block(2), newer);
        assert_eq!(reader.known(&block(1), &call(1)), None);
        assert!(reader.known(&block(2), &call(1)).is_some());
    }
}
