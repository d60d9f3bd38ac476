//! What a contract means by refusing.

use std::fmt;

use alloy::{
    hex,
    primitives::{Bytes, U256},
    sol_types::{GenericRevertReason, SolError},
};
use plimsoll_contracts::{
    IChainlinkOracle::IChainlinkOracleErrors, ILiquidator, ILiquidator::ILiquidatorErrors, IPlimsoll,
    IPlimsoll::IPlimsollErrors, IRewards::IRewardsErrors, ISwapper, ISwapper::ISwapperErrors, IUniswapV3Swapper,
    IUniswapV3Swapper::IUniswapV3SwapperErrors,
};
use serde::Serialize;

use crate::prices::Refusal;

/// Bytes of an error's selector.
const SELECTOR_BYTES: usize = 4;

/// Why a call that was tried did not go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Revert {
    /// None of the loans can be liquidated: somebody was faster, or debts were repaid.
    NothingToLiquidate,
    /// The exchange gives less than the repayment.
    TooLittleOut {
        /// What it gives.
        offered: U256,
        /// What is to be repaid.
        needed: U256,
    },
    /// The exchange takes more than was seized.
    TooMuchIn,
    /// The exchange has not so much at any price.
    TooShallow,
    /// The profit is below what was set.
    ProfitTooLow {
        /// What it is.
        profit: U256,
        /// What it must be.
        least: U256,
    },
    /// Anything else, by its name.
    Other(String),
}

impl Revert {
    /// Reads what a node says about a call that did not go through.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        match &refusal.data {
            Some(data) if data.len() >= SELECTOR_BYTES => Self::of_data(data),
            _ => Self::Other(refusal.message.clone()),
        }
    }

    fn of_data(data: &Bytes) -> Self {
        if data.starts_with(&IPlimsoll::NothingToLiquidate::SELECTOR) {
            return Self::NothingToLiquidate;
        }
        if let Ok(error) = ISwapper::TooLittleOut::abi_decode(data) {
            return Self::TooLittleOut { offered: error.amountOut, needed: error.minOut };
        }
        if data.starts_with(&ISwapper::TooMuchIn::SELECTOR) {
            return Self::TooMuchIn;
        }
        if data.starts_with(&IUniswapV3Swapper::PoolTooShallow::SELECTOR) {
            return Self::TooShallow;
        }
        if let Ok(error) = ILiquidator::ProfitTooLow::abi_decode(data) {
            return Self::ProfitTooLow { profit: error.profit, least: error.minProfit };
        }
        Self::Other(name_of(data))
    }

    /// Whether the exchange is what it failed on: a smaller part may go through.
    #[must_use]
    pub const fn is_of_the_exchange(&self) -> bool {
        matches!(self, Self::TooLittleOut { .. } | Self::TooMuchIn | Self::TooShallow | Self::ProfitTooLow { .. })
    }
}

/// An error of ours by its name; the text that a contract gave; else the selector.
fn name_of(data: &Bytes) -> String {
    let known = data.first_chunk().and_then(|selector| {
        IPlimsollErrors::name_by_selector(*selector)
            .or_else(|| ILiquidatorErrors::name_by_selector(*selector))
            .or_else(|| ISwapperErrors::name_by_selector(*selector))
            .or_else(|| IUniswapV3SwapperErrors::name_by_selector(*selector))
            .or_else(|| IChainlinkOracleErrors::name_by_selector(*selector))
            .or_else(|| IRewardsErrors::name_by_selector(*selector))
    });
    if let Some(name) = known {
        return name.to_owned();
    }
    match GenericRevertReason::decode(data) {
        Some(GenericRevertReason::ContractError(reason)) => reason.to_string(),
        _ => format!("error 0x{}", hex::encode(data.get(..SELECTOR_BYTES).unwrap_or_default())),
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToLiquidate => f.write_str("there is nothing to liquidate any more"),
            Self::TooLittleOut { offered, needed } => {
                write!(f, "the exchange gives {offered} units of the loan token, and {needed} are to be repaid")
            }
            Self::TooMuchIn => f.write_str("the exchange takes more than would be seized"),
            Self::TooShallow => f.write_str("the exchange has not so much at any price"),
            Self::ProfitTooLow { profit, least } => write!(f, "the profit is {profit}, and {least} were wanted"),
            Self::Other(what) => write!(f, "the call reverts: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;

    fn of(data: Vec<u8>) -> Revert {
        Revert::of(&Refusal { message: "execution reverted".into(), data: Some(data.into()) })
    }

    #[test]
    fn what_contracts_say_is_understood() {
        assert_eq!(of(IPlimsoll::NothingToLiquidate {}.abi_encode()), Revert::NothingToLiquidate);
        let thin = ISwapper::TooLittleOut { amountOut: U256::from(3), minOut: U256::from(4) };
        assert_eq!(of(thin.abi_encode()), Revert::TooLittleOut { offered: U256::from(3), needed: U256::from(4) });
        let foreign = ILiquidator::SwapperNotListed { swapper: Address::ZERO };
        assert_eq!(of(foreign.abi_encode()), Revert::Other("SwapperNotListed".into()));
        assert_eq!(of(vec![1, 2, 3, 4]), Revert::Other("error 0x01020304".into()));
        let text = alloy::sol_types::Revert::from("LOK").abi_encode();
        assert!(of(text).to_string().contains("LOK"));
        let silent = Refusal { message: "out of gas".into(), data: None };
        assert_eq!(Revert::of(&silent), Revert::Other("out of gas".into()));
    }
}
