//! What a byte of a transaction costs beside gas, on chains that bring their data to another.

use alloy::{
    primitives::{Address, U256, address},
    sol,
    sol_types::SolCall,
};

use crate::{
    chain::Header,
    config::DataFee,
    prices::{Call, Reads},
};

/// Where every chain of the OP Stack has it.
const GAS_PRICE_ORACLE: Address = address!("0x420000000000000000000000000000000000000F");
/// The size that is asked about: about that of a liquidation.
const ASKED_BYTES: u64 = 1_000;
/// The price moves slowly.
const BLOCKS_BETWEEN_LOOKS: u64 = 10;
const GAS: u64 = 1_000_000;

sol! {
    interface IGasPriceOracle {
        function getL1FeeUpperBound(uint256 unsignedTxSize) external view returns (uint256);
    }
}

/// The price of a byte as of the last look.
#[derive(Debug)]
pub(super) struct DataPrice {
    kind: DataFee,
    next_look: u64,
    wei_per_byte: u128,
}

impl DataPrice {
    pub(super) const fn new(kind: DataFee) -> Self {
        Self { kind, next_look: 0, wei_per_byte: 0 }
    }

    /// In wei, rounded up. Where nobody answers it stays what it was.
    pub(super) async fn of<R: Reads>(&mut self, reads: &R, header: &Header) -> u128 {
        if self.kind == DataFee::None || header.number < self.next_look {
            return self.wei_per_byte;
        }
        let data = IGasPriceOracle::getL1FeeUpperBoundCall { unsignedTxSize: U256::from(ASKED_BYTES) };
        let call = Call { from: Address::ZERO, to: GAS_PRICE_ORACLE, data: data.abi_encode().into(), gas: GAS };
        let answer = reads.calls(header.hash, &[call]).await.map(|mut answers| answers.pop());
        let fee = match answer {
            Ok(Some(Ok(data))) => IGasPriceOracle::getL1FeeUpperBoundCall::abi_decode_returns(&data).ok(),
            _ => None,
        };
        match fee {
            Some(fee) => {
                let per_byte = fee.div_ceil(U256::from(ASKED_BYTES));
                self.wei_per_byte = per_byte.try_into().unwrap_or(u128::MAX);
                self.next_look = header.number.saturating_add(BLOCKS_BETWEEN_LOOKS);
            }
            None => tracing::warn!(block = header.number, "the gas price oracle does not say what data costs"),
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
    use crate::prices::{Answer, Trial};

    /// A chain that asks 2,500 wei for a thousand bytes.
    #[derive(Default)]
    struct OpStack(AtomicU64);

    impl Reads for OpStack {
        async fn calls(&self, _: B256, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert_eq!(calls[0].to, GAS_PRICE_ORACLE);
            Ok(vec![Ok(U256::from(2_500).abi_encode().into())])
        }

        async fn sequence(&self, _: &Header, _: &[Call]) -> Result<Option<Vec<Trial>>, ChainError> {
            Ok(None)
        }

        fn error(&self, problem: String) -> ChainError {
            ChainError::Unreachable { endpoint: String::new(), problem }
        }
    }

    fn block(number: u64) -> Header {
        let (hash, parent_hash) = (B256::ZERO, B256::ZERO);
        Header { number, hash, parent_hash, timestamp: 0, base_fee: 0, gas_limit: 0, gas_used: 0 }
    }

    #[tokio::test]
    async fn a_byte_is_paid_for_where_the_chain_asks_for_it_and_it_is_asked_seldom() {
        let chain = OpStack::default();
        let mut price = DataPrice::new(DataFee::OpStack);
        for number in 100..110 {
            assert_eq!(price.of(&chain, &block(number)).await, 3);
        }
        assert_eq!(chain.0.load(Ordering::Relaxed), 1);
        price.of(&chain, &block(110)).await;
        assert_eq!(chain.0.load(Ordering::Relaxed), 2);
        assert_eq!(DataPrice::new(DataFee::None).of(&chain, &block(1)).await, 0);
        assert_eq!(chain.0.load(Ordering::Relaxed), 2);
    }
}
