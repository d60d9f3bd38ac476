//! A decision, and the reasons for doing nothing with their figures.

use std::fmt;

use alloy::primitives::{Address, U256, utils::format_ether};
use serde::Serialize;

use super::reverts::Revert;
use crate::{
    amount::{Health, readable},
    prices::{NoPrice, NoValuation},
};

/// What was decided about a loan, or about an account's rewards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Something is sent that includes it.
    Act {
        /// What all of the transaction is to bring, in wei.
        gain_wei: U256,
        /// What the transaction is to cost, in wei.
        gas_wei: U256,
    },
    /// Nothing is.
    WhyNot(WhyNot),
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyNot {
    /// It is healthy.
    Healthy {
        /// Value of the collateral × liquidation LTV ÷ debt, 1e18-scaled.
        health_wad: U256,
    },
    /// Nothing is done in this market or programme: so it is configured.
    SwitchedOff,
    /// There is no price to liquidate by.
    NoPrice(NoPrice),
    /// No way to sell the collateral is configured, and nothing is done from inventory.
    NoRoute,
    /// What would be earned cannot be valued.
    NoValuation {
        /// In this token.
        token: Address,
        /// For this reason.
        problem: NoValuation,
    },
    /// It would bring less than it costs, with the margin that is wanted.
    GainBelowGas {
        /// What it would bring, in wei.
        gain_wei: U256,
        /// What it would cost, in wei.
        gas_wei: U256,
    },
    /// The exchange gives too little, even for the smallest part that was tried.
    SwapTooThin {
        /// How much was to be repaid by that part, in units of the loan token.
        repaid: U256,
        /// What came of it.
        revert: Revert,
    },
    /// The exchange can absorb a part of what there is; others go first.
    OthersFirst {
        /// How much is repaid for them, in units of the loan token.
        repaid: U256,
    },
    /// More own tokens would be needed.
    NotEnoughInventory {
        /// Of this token.
        token: Address,
        /// How much there is and may be taken.
        held: U256,
    },
    /// No part of it can be repaid alone.
    NoPartPossible,
    /// Waiting pays: more tips gather than waiting costs.
    WorthWaiting {
        /// What it would bring now, in wei.
        gain_wei: U256,
        /// What it would cost now, in wei.
        gas_wei: U256,
    },
    /// An attempt failed, and the next is some blocks away.
    BackingOff {
        /// The first block in which it is tried again.
        until_block: u64,
        /// What failed.
        cause: String,
    },
    /// A transaction that includes it is on its way.
    InFlight,
    /// Nothing is sent in a dry run.
    DryRun {
        /// What it would bring, in wei.
        gain_wei: U256,
        /// What it would cost, in wei.
        gas_wei: U256,
    },
    /// A safety rule holds everything back.
    Held {
        /// Which, in words.
        rule: String,
    },
    /// Somebody else was faster, or the debt was repaid.
    LostRace,
    /// The call was tried and would revert.
    Reverts(Revert),
    /// The node did not answer.
    Unanswered {
        /// What it said instead.
        problem: String,
    },
}

impl WhyNot {
    /// The reason's name, without figures.
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
            Self::InFlight => "in_flight",
            Self::DryRun { .. } => "dry_run",
            Self::Held { .. } => "held",
            Self::LostRace => "lost_race",
            Self::Reverts(_) => "reverts",
            Self::Unanswered { .. } => "unanswered",
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coins = |wei: &U256| readable(&format_ether(*wei));
        let units = |units: &dyn fmt::Display| readable(&units.to_string());
        match self {
            Self::Healthy { health_wad } => write!(f, "it is healthy: {}", Health(*health_wad)),
            Self::SwitchedOff => f.write_str("the configuration has it switched off"),
            Self::NoPrice(problem) => problem.fmt(f),
            Self::NoRoute => f.write_str("no way to sell the collateral is configured"),
            Self::NoValuation { token, problem } => write!(f, "{token}: {problem}"),
            Self::GainBelowGas { gain_wei, gas_wei } => {
                write!(f, "it would bring {} coins and cost {}", coins(gain_wei), coins(gas_wei))
            }
            Self::SwapTooThin { repaid, revert } => {
                write!(f, "for a repayment of {} units, {revert}", units(repaid))
            }
            Self::OthersFirst { repaid } => {
                write!(
                    f,
                    "the exchange can absorb a part of what there is: others go first, for {} units",
                    units(repaid)
                )
            }
            Self::NotEnoughInventory { token, held } => {
                write!(
                    f,
                    "the keeper holds {} units of {token} that the core may take, which is not enough",
                    units(held)
                )
            }
            Self::NoPartPossible => f.write_str("no part of it can be repaid alone"),
            Self::WorthWaiting { gain_wei, gas_wei } => {
                write!(f, "waiting pays: now it would bring {} coins and cost {}", coins(gain_wei), coins(gas_wei))
            }
            Self::BackingOff { until_block, cause } => {
                write!(f, "it is tried again from block {until_block} on, because {cause}")
            }
            Self::InFlight => f.write_str("a transaction for it is on its way"),
            Self::DryRun { gain_wei, gas_wei } => {
                write!(f, "this is a dry run: it would bring {} coins and cost {}", coins(gain_wei), coins(gas_wei))
            }
            Self::Held { rule } => f.write_str(rule),
            Self::LostRace => f.write_str("somebody else was faster, or the debt was repaid"),
            Self::Reverts(revert) => revert.fmt(f),
            Self::Unanswered { problem } => write!(f, "the node did not answer: {problem}"),
        }
    }
}
