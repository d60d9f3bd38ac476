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
    wei_per_byte: u128,
}

impl L1DataFee {
    pub(super) const fn new(kind: DataFee) -> Self {
        Self { kind, next_read: 0, wei_per_byte: 0 }
    }

    /// Data fee in wei for each byte of a transaction, rounded up. Where no endpoint answers it stays as it was.
    pub(super) async fn wei_per_byte<R: ChainReader>(&mut self, reader: &R, header: &Header) -> u128 {
        if self.kind == DataFee::None || header.number < self.next_read {
            return self.wei_per_byte;
        }
        let data = IGasPriceOracle::getL1FeeUpperBoundCall { unsignedTxSize: U256::from(SAMPLE_BYTES) };
        let call = Call { from: Address::ZERO, to: GAS_PRICE_ORACLE, data: data.abi_encode().into(), gas: GAS };
        let answer = reader.simulate_independent(header.hash, &[call]).await.map(|mut answers| answers.pop());
        let fee = match answer {
            Ok(Some(Ok(data))) => IGasPriceOracle::getL1FeeUpperBoundCall::abi_decode_returns(&data).ok(),
            _ => None,
        };
        match fee {
            Some(fee) => {
                let per_byte = fee.div_ceil(U256::from(SAMPLE_BYTES));
                self.wei_per_byte = per_byte.try_into().unwrap_or(u128::MAX);
                self.next_read = header.number.saturating_add(REFRESH_BLOCKS);
            }
            None => tracing::warn!(wei_per_byte = self.wei_per_byte, "data fee not read, the last one stays in effect"),
        }
        self.wei_per_byte
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use alloy::{primitives::B256, sol_types::SolValue};
    use plimsoll_chain::error::ChainError;

    use super::*;
    use crate::prices::{CallResult, SimulatedCall};

    /// A chain whose oracle charges 2,500 wei for 1,000 bytes. Counts how often it is asked.
    #[derive(Default)]
    struct OpStack(AtomicU64);

    impl ChainReader for OpStack {
        async fn simulate_independent(&self, _: B256, calls: &[Call]) -> Result<Vec<CallResult>, ChainError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert_eq!(calls[0].to, GAS_PRICE_ORACLE);
            Ok(vec![Ok(U256::from(2_500).abi_encode().into())])
        }

        async fn simulate_sequential(&self, _: &Header, _: &[Call]) -> Result<Option<Vec<SimulatedCall>>, ChainError> {
            Ok(None)
        }

        fn invalid_response(&self, problem: String) -> ChainError {
            ChainError::Unreachable { endpoint: String::new(), problem }
        }
    }

    fn block(number: u64) -> Header {
        let (hash, parent_hash) = (B256::ZERO, B256::ZERO);
        Header { number, hash, parent_hash, timestamp: 0, base_fee: 0, gas_limit: 0, gas_used: 0 }
    }

    #[tokio::test]
    async fn the_data_fee_is_read_once_in_ten_blocks_and_never_on_a_chain_without_one() {
        let chain = OpStack::default();
        let mut fee = L1DataFee::new(DataFee::OpStack);
        for number in 100..110 {
            assert_eq!(fee.wei_per_byte(&chain, &block(number)).await, 3);
        }
        assert_eq!(chain.0.load(Ordering::Relaxed), 1);
        fee.wei_per_byte(&chain, &block(110)).await;
        assert_eq!(chain.0.load(Ordering::Relaxed), 2);
        assert_eq!(L1DataFee::new(DataFee::None).wei_per_byte(&chain, &block(1)).await, 0);
        assert_eq!(chain.0.load(Ordering::Relaxed), 2);
    }
}
