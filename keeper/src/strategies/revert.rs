//! Decodes the revert reasons of simulated calls.

use std::fmt;

use alloy::{
    hex,
    primitives::{Address, Bytes, U256},
    sol_types::{GenericRevertReason, SolError},
};
use plimsoll_contracts::{
    IChainlinkOracle::IChainlinkOracleErrors, IExecutor, IExecutor::IExecutorErrors, IGasCharge,
    IGasCharge::IGasChargeErrors, IGuard::IGuardErrors, ILiquidator::ILiquidatorErrors, IPlimsoll,
    IPlimsoll::IPlimsollErrors, IRewards, IRewards::IRewardsErrors, ISwapper, ISwapper::ISwapperErrors,
    ISwapperClient::ISwapperClientErrors, IUniswapV3Swapper, IUniswapV3Swapper::IUniswapV3SwapperErrors,
};
use serde::Serialize;

use super::Wording;
use crate::prices::CallError;

/// Length of an error's selector, in bytes.
const SELECTOR_BYTES: usize = 4;

/// Why a simulated call reverted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Revert {
    /// None of the loans is liquidatable any more: a rival was faster, or the debts were repaid.
    NothingToLiquidate,
    /// The swap's proceeds are less than the repayment.
    TooLittleOut {
        /// Proceeds of the swap, in units of the loan token.
        offered: U256,
        /// Repayment that they must cover, in units of the loan token.
        needed: U256,
    },
    /// The swap takes more collateral than is seized.
    TooMuchIn,
    /// The pools' liquidity does not suffice at any price.
    TooShallow,
    /// The profit is below the call's minimum profit guard.
    ProfitTooLow {
        /// Profit, in units of the token that it is in.
        profit: U256,
        /// Minimum profit that the call demands, in the same units.
        least: U256,
    },
    /// A token does not confirm a transfer.
    TransferFailed {
        /// Token that was to be transferred.
        token: Address,
        /// Receiver of the transfer.
        to: Address,
    },
    /// Any other revert: the error's name where it is one of ours, the contract's text, or the selector; or why there is
    /// no revert data.
    Other(String),
}

impl Revert {
    /// Decodes the error of a call; says in words what is wrong where there is no revert data.
    #[must_use]
    pub fn decode(error: &CallError) -> Self {
        match error {
            CallError::Reverted(data) if data.len() >= SELECTOR_BYTES => Self::decode_data(data),
            _ => Self::Other(error.to_string()),
        }
    }

    fn decode_data(data: &Bytes) -> Self {
        let is_gone = [IPlimsoll::NothingToLiquidate::SELECTOR, IExecutor::StaleDebt::SELECTOR];
        if is_gone.iter().any(|selector| data.starts_with(selector)) {
            return Self::NothingToLiquidate;
        }
        if let Ok(error) = ISwapper::TooLittleOut::abi_decode(data) {
            return Self::TooLittleOut { offered: error.amountOut, needed: error.minOut };
        }
        if data.starts_with(&ISwapper::TooMuchIn::SELECTOR) {
            return Self::TooMuchIn;
        }
        let is_shallow = [IUniswapV3Swapper::PoolTooShallow::SELECTOR, IExecutor::PoolTooShallow::SELECTOR];
        if is_shallow.iter().any(|selector| data.starts_with(selector)) {
            return Self::TooShallow;
        }
        if let Ok(error) = IGasCharge::ProfitTooLow::abi_decode(data) {
            return Self::ProfitTooLow { profit: error.profit, least: error.required };
        }
        if let Ok(error) = IRewards::TransferFailed::abi_decode(data) {
            return Self::TransferFailed { token: error.token, to: error.to };
        }
        Self::Other(error_name(data))
    }

    /// Puts the revert into words, with amounts of the market's tokens.
    #[must_use]
    pub(super) fn text(&self, words: &impl Wording) -> String {
        match self {
            Self::TooLittleOut { offered, needed } => {
                format!("the swap brings {}, and {} must be repaid", words.loan(*offered), words.loan(*needed))
            }
            Self::ProfitTooLow { profit, least } => {
                format!("the profit is {}, below the minimum of {}", words.loan(*profit), words.loan(*least))
            }
            other => other.to_string(),
        }
    }

    /// Returns whether the swap's liquidity is what the call failed on, so that a smaller part may succeed.
    #[must_use]
    pub const fn is_lack_of_liquidity(&self) -> bool {
        matches!(self, Self::TooLittleOut { .. } | Self::TooMuchIn | Self::TooShallow | Self::ProfitTooLow { .. })
    }
}

/// Returns the name of one of our contracts' errors, else the text that the contract reverted with, else the selector in
/// hexadecimal.
fn error_name(data: &Bytes) -> String {
    let known = data.first_chunk().and_then(|selector| {
        IPlimsollErrors::name_by_selector(*selector)
            .or_else(|| ILiquidatorErrors::name_by_selector(*selector))
            .or_else(|| IGasChargeErrors::name_by_selector(*selector))
            .or_else(|| ISwapperClientErrors::name_by_selector(*selector))
            .or_else(|| ISwapperErrors::name_by_selector(*selector))
            .or_else(|| IUniswapV3SwapperErrors::name_by_selector(*selector))
            .or_else(|| IChainlinkOracleErrors::name_by_selector(*selector))
            .or_else(|| IRewardsErrors::name_by_selector(*selector))
            .or_else(|| IGuardErrors::name_by_selector(*selector))
            .or_else(|| IExecutorErrors::name_by_selector(*selector))
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
                write!(f, "the swap brings {offered} units of the loan token, and {needed} must be repaid")
            }
            Self::TooMuchIn => f.write_str("the swap takes more collateral than would be seized"),
            Self::TooShallow => f.write_str("the pools have too little liquidity at any price"),
            Self::ProfitTooLow { profit, least } => write!(f, "the profit is {profit}, below the minimum of {least}"),
            Self::TransferFailed { token, to } => write!(f, "the token {token} does not confirm a transfer to {to}"),
            Self::Other(error) => write!(f, "the call reverts: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(data: Vec<u8>) -> Revert {
        Revert::decode(&CallError::Reverted(data.into()))
    }

    #[test]
    fn reverts_are_decoded_by_error_text_selector_or_message() {
        assert_eq!(decode(IPlimsoll::NothingToLiquidate {}.abi_encode()), Revert::NothingToLiquidate);
        let thin = ISwapper::TooLittleOut { amountOut: U256::from(3), minOut: U256::from(4) };
        assert_eq!(decode(thin.abi_encode()), Revert::TooLittleOut { offered: U256::from(3), needed: U256::from(4) });
        let (token, from, to) = (Address::repeat_byte(1), Address::repeat_byte(2), Address::repeat_byte(3));
        let failed = IRewards::TransferFailed { token, from, to, amount: U256::ONE };
        assert_eq!(decode(failed.abi_encode()), Revert::TransferFailed { token, to });
        let foreign = plimsoll_contracts::ISwapperClient::SwapperNotListed { swapper: Address::ZERO };
        assert_eq!(decode(foreign.abi_encode()), Revert::Other("SwapperNotListed".into()));
        assert_eq!(decode(vec![1, 2, 3, 4]), Revert::Other("error 0x01020304".into()));
        let text = alloy::sol_types::Revert::from("LOK").abi_encode();
        assert!(decode(text).to_string().contains("LOK"));
        assert_eq!(decode(Vec::new()), Revert::Other("it reverts without a reason".into()));
        assert_eq!(Revert::decode(&CallError::NotRun), Revert::Other(CallError::NotRun.to_string()));
    }
}
