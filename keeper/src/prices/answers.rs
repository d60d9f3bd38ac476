//! The answers to a block's own request, and a reader that asks only for what is not among them.

use std::{collections::HashMap, sync::Arc};

use alloy::primitives::B256;
use plimsoll_chain::error::ChainError;

use super::reader::{Call, ChainReader, SimulatedCall};
use crate::chain::Header;

/// Results of independent calls in one block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    block: B256,
    by_call: HashMap<Call, SimulatedCall>,
}

impl Answers {
    /// Runs calls in a block, all in one request. Fails where no node answers.
    pub async fn request<R: ChainReader>(reader: &R, block: &Header, calls: &[Call]) -> Result<Self, ChainError> {
        let results = reader.run_each(block, calls.iter().cloned()).await?;
        Ok(Self { block: block.hash, by_call: calls.iter().cloned().zip(results).collect() })
    }
}

/// A reader that knows the answers to a block's own request.
#[derive(Debug, Clone)]
pub struct BlockReader<R> {
    reader: R,
    answers: Arc<Answers>,
}

impl<R: ChainReader> BlockReader<R> {
    /// Returns a reader that knows nothing yet, and asks `reader`.
    #[must_use]
    pub fn new(reader: R) -> Self {
        Self { reader, answers: Arc::default() }
    }

    /// Takes the answers of the newest block, in place of those of an earlier one.
    pub fn set_answers(&mut self, answers: Arc<Answers>) {
        self.answers = answers;
    }
}

impl<R: ChainReader> ChainReader for BlockReader<R> {
    async fn run(&self, block: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let known = |calls: &Vec<Call>| match calls.as_slice() {
            [] => Some(Vec::new()),
            [call] => self.known(block, call).map(|result| vec![result]),
            _ => None,
        };
        let results: Vec<_> = sequences.iter().map(known).collect();
        let unknown = sequences.iter().zip(&results).filter(|(_, known)| known.is_none());
        let unknown: Vec<_> = unknown.map(|(calls, _)| calls.clone()).collect();
        let mut asked =
            if unknown.is_empty() { Vec::new() } else { self.reader.run(block, &unknown).await? }.into_iter();
        Ok(results.into_iter().filter_map(|known| known.or_else(|| asked.next())).collect())
    }

    fn known(&self, block: &Header, call: &Call) -> Option<SimulatedCall> {
        self.answers.by_call.get(call).filter(|_| self.answers.block == block.hash).cloned()
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
        Call { to: Address::ZERO, data: Bytes::from(vec![data]), gas: 1 }
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
    }
}
