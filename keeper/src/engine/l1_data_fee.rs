//! The fee for publishing a transaction's data on another chain, on top of gas: the L1 data fee of the OP Stack.

use alloy::{
    primitives::{Address, U256, address},
    sol,
    sol_types::SolCall,
};

use crate::{
    chain::Header,
    config::DataFee,
    prices::{Call, ChainReader},
};

/// Address of the gas price oracle on every chain of the OP Stack.
const GAS_PRICE_ORACLE: Address = address!("0x420000000000000000000000000000000000000F");
/// Size of the transaction whose fee is asked for, in bytes: about that of a liquidation.
const SAMPLE_BYTES: u64 = 1_000;
/// Number of blocks for which a price is used; it moves slowly.
const REFRESH_BLOCKS: u64 = 10;
/// Gas limit of the call to the oracle.
const GAS: u64 = 1_000_000;

sol! {
    interface IGasPriceOracle {
        function getL1FeeUpperBound(uint256 unsignedTxSize) external view returns (uint256);
    }
}

/// The data fee of a chain, as last read.
#[derive(Debug)]
pub(super) struct L1DataFee {
    kind: DataFee,
    /// First block in which it is read again.
    next_read: u64,
    /// `None` until it was read for the first time.
    wei_per_byte: Option<u128>,
}

impl L1DataFee {
    pub(super) const fn new(kind: DataFee) -> Self {
        Self { kind, next_read: 0, wei_per_byte: None }
    }

    /// Returns the call by which the fee is read, in the blocks in which it is due, for the block's own request.
    pub(super) fn call(&self, block: u64) -> Option<Call> {
        if self.kind == DataFee::None || block < self.next_read {
            return None;
        }
        let data = IGasPriceOracle::getL1FeeUpperBoundCall { unsignedTxSize: U256::from(SAMPLE_BYTES) };
        Some(Call::view(GAS_PRICE_ORACLE, data.abi_encode(), GAS))
    }

    /// Data fee in wei for each byte of a transaction, rounded up: the newest that a block's own request has answered. A
    /// request of its own is made only before it is known at all; where no endpoint answers that, it is taken for 0.
    pub(super) async fn wei_per_byte<R: ChainReader>(&mut self, reader: &R, header: &Header) -> u128 {
        let Some(call) = self.call(header.number) else { return self.wei_per_byte.unwrap_or_default() };
        let answer = match reader.known(header, &call) {
            None if self.wei_per_byte.is_none() => {
                reader.run_each(header, [call]).await.ok().and_then(|mut one| one.pop())
            }
            known => known,
        };
        let data = answer.and_then(|answer| answer.result.ok());
        let fee = data.and_then(|data| IGasPriceOracle::getL1FeeUpperBoundCall::abi_decode_returns(&data).ok());
        match fee {
            Some(fee) => {
                let per_byte = fee.div_ceil(U256::from(SAMPLE_BYTES));
                self.wei_per_byte = Some(per_byte.try_into().unwrap_or(u128::MAX));
                self.next_read = header.number.saturating_add(REFRESH_BLOCKS);
            }
            None => tracing::warn!(wei_per_byte = self.wei_per_byte, "data fee not read, the last one stays in effect"),
        }
        self.wei_per_byte.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use alloy::sol_types::SolValue;
    use plimsoll_chain::error::ChainError;

    use super::*;
    use crate::prices::{Answers, BlockReader, SimulatedCall};

    /// A chain whose oracle charges 2,500 wei for 1,000 bytes. Counts how often it is asked.
    #[derive(Default)]
    struct OpStack(AtomicU64);

    impl ChainReader for &OpStack {
        async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert_eq!(sequences[0][0].to, GAS_PRICE_ORACLE);
            let fee = SimulatedCall { result: Ok(U256::from(2_500).abi_encode().into()), gas_used: 0 };
            Ok(vec![vec![fee]])
        }
    }

    fn block(number: u64) -> Header {
        Header { number, ..Header::default() }
    }

    #[tokio::test]
    async fn the_data_fee_is_due_once_in_ten_blocks_and_never_on_a_chain_without_one() {
        let chain = OpStack::default();
        let mut fee = L1DataFee::new(DataFee::OpStack);
        assert_eq!(fee.wei_per_byte(&&chain, &block(100)).await, 3);
        assert!((101..110).all(|number| fee.call(number).is_none()) && fee.call(110).is_some());
        assert!(L1DataFee::new(DataFee::None).call(1).is_none());
        assert_eq!(L1DataFee::new(DataFee::None).wei_per_byte(&&chain, &block(1)).await, 0);
        assert_eq!(chain.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn once_known_the_data_fee_comes_from_the_blocks_own_request_alone() {
        let chain = OpStack::default();
        let mut reader = BlockReader::new(&chain);
        let mut fee = L1DataFee { wei_per_byte: Some(7), ..L1DataFee::new(DataFee::OpStack) };
        assert_eq!(fee.wei_per_byte(&reader, &block(1)).await, 7);
        assert_eq!(chain.0.load(Ordering::Relaxed), 0, "no decision waits for it");
        let answers = Answers::request(&&chain, &block(2), &[fee.call(2).unwrap()]).await.unwrap();
        reader.set_answers(Arc::new(answers));
        assert_eq!(fee.wei_per_byte(&reader, &block(2)).await, 3);
        assert_eq!(chain.0.load(Ordering::Relaxed), 1);
    }
}
