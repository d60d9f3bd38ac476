//! The logs by which each protocol tells of liquidations, those of rivals included.

use alloy::{
    primitives::{Address, B256, Log},
    sol_types::SolEvent,
};

use crate::{ProtocolKind, aave_v3::IAavePool, compound_v2::IVToken, morpho_blue::IMorphoBlue};

impl ProtocolKind {
    /// Returns the first topic of the logs of liquidations.
    #[must_use]
    pub const fn liquidation_topic(self) -> B256 {
        match self {
            Self::MorphoBlue => IMorphoBlue::Liquidate::SIGNATURE_HASH,
            Self::AaveV3 => IAavePool::LiquidationCall::SIGNATURE_HASH,
            Self::CompoundV2 => IVToken::LiquidateBorrow::SIGNATURE_HASH,
        }
    }

    /// Returns whose position in a [market](crate::Lot::market) was liquidated by a log; `None` of any other log.
    #[must_use]
    pub fn liquidated_account(self, market: B256, log: &Log) -> Option<Address> {
        match self {
            Self::MorphoBlue => {
                let event = IMorphoBlue::Liquidate::decode_log(log).ok()?;
                (event.id == market).then_some(event.borrower)
            }
            Self::AaveV3 => Some(IAavePool::LiquidationCall::decode_log(log).ok()?.user),
            // Venus indexes some fields, and Compound none: what is not in topics is data, in the same order.
            Self::CompoundV2 => match log.topics() {
                [topic, _, borrower, _] if *topic == self.liquidation_topic() => Some(Address::from_word(*borrower)),
                _ => Some(IVToken::LiquidateBorrow::decode_log(log).ok()?.borrower),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{LogData, U256};

    use super::*;

    const ACCOUNT: Address = Address::repeat_byte(5);

    #[test]
    fn the_liquidated_account_is_read_from_each_protocols_log() {
        let market = B256::repeat_byte(1);
        let log = |data| Log { address: Address::repeat_byte(9), data };
        let of_morpho = IMorphoBlue::Liquidate {
            id: market,
            caller: Address::ZERO,
            borrower: ACCOUNT,
            repaidAssets: U256::ONE,
            repaidShares: U256::ONE,
            seizedAssets: U256::ONE,
            badDebtAssets: U256::ZERO,
            badDebtShares: U256::ZERO,
        };
        let of_morpho = log(of_morpho.encode_log_data());
        assert_eq!(ProtocolKind::MorphoBlue.liquidated_account(market, &of_morpho), Some(ACCOUNT));
        assert_eq!(ProtocolKind::MorphoBlue.liquidated_account(B256::ZERO, &of_morpho), None);
        let of_aave = IAavePool::LiquidationCall {
            collateralAsset: Address::repeat_byte(2),
            debtAsset: Address::repeat_byte(3),
            user: ACCOUNT,
            debtToCover: U256::ONE,
            liquidatedCollateralAmount: U256::ONE,
            liquidator: Address::ZERO,
            receiveAToken: false,
        };
        let of_aave = log(of_aave.encode_log_data());
        assert_eq!(ProtocolKind::AaveV3.liquidated_account(market, &of_aave), Some(ACCOUNT));
        assert_eq!(ProtocolKind::CompoundV2.liquidated_account(market, &of_aave), None);
        let of_compound = IVToken::LiquidateBorrow {
            liquidator: Address::ZERO,
            borrower: ACCOUNT,
            repayAmount: U256::ONE,
            vTokenCollateral: Address::repeat_byte(2),
            seizeTokens: U256::ONE,
        };
        assert_eq!(
            ProtocolKind::CompoundV2.liquidated_account(market, &log(of_compound.encode_log_data())),
            Some(ACCOUNT)
        );
        let topic = ProtocolKind::CompoundV2.liquidation_topic();
        let topics = vec![topic, B256::ZERO, ACCOUNT.into_word(), B256::repeat_byte(2)];
        let of_venus = LogData::new_unchecked(topics, [0; 64].into());
        assert_eq!(ProtocolKind::CompoundV2.liquidated_account(market, &log(of_venus)), Some(ACCOUNT));
    }
}
