//! A decision about a loan or reward, and the reasons for skipping one, with the figures behind them.

use std::fmt;

use alloy::primitives::{Address, U256};
use plimsoll_chain::error::ChainError;
use serde::Serialize;

use super::revert::Revert;
use crate::{
    amount::{Amount, Health},
    prices::{NoPrice, NoValuation},
};

/// What is done about a loan, or about an account's reward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A transaction that includes it is sent.
    Act {
        /// Expected gain of the whole transaction before gas, in wei.
        gain_wei: U256,
        /// Expected cost of the whole transaction, in wei.
        gas_wei: U256,
    },
    /// Nothing is sent for it.
    Skip(SkipReason),
}

/// Why nothing is sent for a loan or reward. Every liquidatable loan that is not liquidated has exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The loan is healthy: its health factor is at least 1.
    Healthy {
        /// Health factor: value of the collateral × liquidation LTV ÷ debt, 1e18-scaled.
        health_wad: U256,
    },
    /// The configuration disables the market.
    SwitchedOff,
    /// The market has no liquidation price in this block.
    NoPrice(NoPrice),
    /// The market has no swap route for its collateral, and liquidation from inventory is disabled.
    NoRoute,
    /// The token that the profit is in cannot be valued, so profitability is unknown.
    NoValuation {
        /// Token that the profit, or a tip, is in.
        token: Address,
        /// Why its value is unknown.
        problem: NoValuation,
    },
    /// It is not profitable: the gain does not exceed the cost of gas by the margin.
    GainBelowGas {
        /// Expected gain before gas, in wei.
        gain_wei: U256,
        /// Expected cost, in wei.
        gas_wei: U256,
    },
    /// The swap fails for lack of liquidity, even for the smallest part of the batch that was simulated.
    SwapTooThin {
        /// Expected repayment of that part, in units of the loan token.
        repaid: U256,
        /// How the simulated call of that part reverted.
        revert: Revert,
    },
    /// The swap absorbs only a part of what is liquidatable, and more profitable loans go first.
    OthersFirst {
        /// Repayment of the part that is sent, in units of the loan token.
        repaid: U256,
    },
    /// The keeper's own loan tokens are not enough to liquidate from inventory.
    NotEnoughInventory {
        /// Loan token of the market.
        token: Address,
        /// Units that the keeper holds and that the core is allowed to pull.
        held: U256,
    },
    /// No part of the loan may be repaid on its own.
    NoPartPossible,
    /// The reward is worth harvesting later: what waiting has cost so far is less than the gas of a harvest.
    WorthWaiting {
        /// Expected gain of the harvest now, in wei.
        gain_wei: U256,
        /// Expected cost of the harvest now, in wei.
        gas_wei: U256,
    },
    /// An earlier attempt failed, and the next is due some blocks later.
    BackingOff {
        /// First block in which it is attempted again.
        until_block: u64,
        /// What failed, in words.
        cause: String,
    },
    /// A harvest that includes the account reverts, because the token neither confirms nor reverts its payment
    /// (`TransferFailed`). Others are harvested without it.
    TransferFailed {
        /// Block time in seconds up to which the account is left out.
        until: u64,
    },
    /// A transaction that includes it is pending.
    InFlight,
    /// It would be sent if the keeper were not in a dry run.
    DryRun {
        /// Expected gain of the transaction before gas, in wei.
        gain_wei: U256,
        /// Expected cost of the transaction, in wei.
        gas_wei: U256,
    },
    /// A safety rule stops all sending.
    Held {
        /// The rule, in words.
        rule: String,
    },
    /// A rival liquidated the loan first, or its debt was repaid.
    LostRace,
    /// Rivals bid so much in this market that racing them would cost more than it earns.
    Outbid {
        /// Expected gain after gas, in wei.
        net_wei: U256,
    },
    /// The call reverts in simulation, for a reason other than the swap's liquidity.
    Reverts(Revert),
    /// No endpoint answered what had to be read or simulated.
    Unanswered {
        /// The error of the last endpoint that was asked.
        problem: String,
    },
}

impl SkipReason {
    /// Returns the reason for skipping what could not be read or simulated.
    pub(super) fn unanswered(error: &ChainError) -> Self {
        Self::Unanswered { problem: error.to_string() }
    }

    /// Returns the reason's name without its figures, as metrics and the API have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Healthy { .. } => "healthy",
            Self::SwitchedOff => "switched_off",
            Self::NoPrice(_) => "no_price",
            Self::NoRoute => "no_route",
            Self::NoValuation { .. } => "no_valuation",
            Self::GainBelowGas { .. } => "gain_below_gas",
            Self::SwapTooThin { .. } => "swap_too_thin",
            Self::OthersFirst { .. } => "others_first",
            Self::NotEnoughInventory { .. } => "not_enough_inventory",
            Self::NoPartPossible => "no_part_possible",
            Self::WorthWaiting { .. } => "worth_waiting",
            Self::BackingOff { .. } => "backing_off",
            Self::TransferFailed { .. } => "transfer_failed",
            Self::InFlight => "in_flight",
            Self::DryRun { .. } => "dry_run",
            Self::Held { .. } => "held",
            Self::LostRace => "lost_race",
            Self::Outbid { .. } => "outbid",
            Self::Reverts(_) => "reverts",
            Self::Unanswered { .. } => "unanswered",
        }
    }
}

/// How the amounts of a decision are shown.
#[derive(Clone, Copy)]
pub struct Wording<'a> {
    /// Symbol of the chain's native currency.
    pub coin: &'a str,
    /// Loan token of the market that the decision is about; zero where it is about a reward.
    pub loan_token: Address,
    /// Labels a number of a token's units with its symbol and decimals.
    pub amount: &'a dyn Fn(Address, U256) -> Amount,
}

impl Wording<'_> {
    /// Shows an amount of the market's loan token.
    pub(super) fn loan(&self, units: U256) -> String {
        (self.amount)(self.loan_token, units).to_string()
    }

    /// Shows the symbol of a token, or its address if it has none.
    fn token(&self, token: Address) -> String {
        (self.amount)(token, U256::ZERO).token
    }

    /// Shows an amount of the native currency.
    fn native(&self, wei: &U256) -> String {
        Amount::of_wei(*wei, self.coin).to_string()
    }
}

impl fmt::Debug for Wording<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wording")
            .field("coin", &self.coin)
            .field("loan_token", &self.loan_token)
            .finish_non_exhaustive()
    }
}

impl Decision {
    /// Puts the decision into words.
    #[must_use]
    pub fn text(&self, wording: &Wording<'_>) -> String {
        match self {
            Self::Act { gain_wei, gas_wei } => {
                let (gain, gas) = (wording.native(gain_wei), wording.native(gas_wei));
                format!("it is sent: it should bring {gain} and cost {gas}")
            }
            Self::Skip(reason) => reason.text(wording),
        }
    }
}

impl SkipReason {
    /// Puts the reason into words.
    #[must_use]
    pub fn text(&self, wording: &Wording<'_>) -> String {
        let native = |wei| wording.native(wei);
        match self {
            Self::Healthy { health_wad } => format!("it is healthy: health factor {}", Health(*health_wad)),
            Self::SwitchedOff => "the market is disabled in the configuration".to_owned(),
            Self::NoPrice(problem) => problem.to_string(),
            Self::NoRoute => "no route to swap the collateral is configured".to_owned(),
            Self::NoValuation { token, problem } => format!("{}: {problem}", wording.token(*token)),
            Self::GainBelowGas { gain_wei, gas_wei } => {
                format!("it would bring {} and cost {}", native(gain_wei), native(gas_wei))
            }
            Self::SwapTooThin { repaid, revert } => {
                format!("for a repayment of {}, {}", wording.loan(*repaid), revert.text(wording))
            }
            Self::OthersFirst { repaid } => format!(
                "the swap absorbs a part of what is liquidatable: more profitable loans go first, with a repayment of {}",
                wording.loan(*repaid)
            ),
            Self::NotEnoughInventory { token, held } => format!(
                "the keeper holds {} that the core is allowed to pull, which is not enough",
                (wording.amount)(*token, *held)
            ),
            Self::NoPartPossible => "no part of it may be repaid on its own".to_owned(),
            Self::WorthWaiting { gain_wei, gas_wei } => {
                format!("it is worth waiting: now it would bring {} and cost {}", native(gain_wei), native(gas_wei))
            }
            Self::BackingOff { until_block, cause } => {
                format!("it is attempted again from block {until_block} on, because {cause}")
            }
            Self::TransferFailed { until } => format!(
                "the token does not confirm its payment, so it is left out of harvests until {until} (Unix time)"
            ),
            Self::InFlight => "a transaction for it is pending".to_owned(),
            Self::DryRun { gain_wei, gas_wei } => {
                format!("this is a dry run: it would bring {} and cost {}", native(gain_wei), native(gas_wei))
            }
            Self::Held { rule } => rule.clone(),
            Self::LostRace => "a rival was faster, or the debt was repaid".to_owned(),
            Self::Outbid { net_wei } => {
                format!("it would bring {} after gas, and rivals here bid more than that is worth", native(net_wei))
            }
            Self::Reverts(revert) => revert.text(wording),
            Self::Unanswered { problem } => format!("the node did not answer: {problem}"),
        }
    }
}
