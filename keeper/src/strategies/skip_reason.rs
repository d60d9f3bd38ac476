//! A decision about a loan or reward, and the reasons for skipping one, with the figures behind them.

use alloy::primitives::{Address, U256};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::quantity::decimal_text;
use serde::Serialize;

use super::revert::Revert;
use crate::{
    amount::Health,
    prices::{NoPrice, NoValuation},
};

/// What is done about a loan, about an account's reward or about a vault.
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

/// Why nothing is sent for a loan, a reward or a vault. Every liquidatable loan that is not liquidated has exactly one.
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
    /// The protocol liquidates it by a call that the executor contract does not make.
    Unsupported {
        /// The call, in words.
        problem: String,
    },
    /// The debt is so small that no liquidation of it could pay for a place in a transaction. Such loans are counted, not
    /// looked at.
    Dust {
        /// The smallest debt that could, to a power of four, in units of the loan token.
        least_debt: U256,
    },
    /// The reward is worth harvesting later: what waiting has cost so far is less than the gas of a harvest.
    WorthWaiting {
        /// Expected gain of the harvest now, in wei.
        gain_wei: U256,
        /// Expected cost of the harvest now, in wei.
        gas_wei: U256,
    },
    /// The order was executed a short time ago, and may be executed again later.
    CoolingDown {
        /// Block time in seconds from which it may be executed again.
        from: u64,
    },
    /// What brings more is tried first.
    TriedLater,
    /// A liquidation is sent in the order's market, and would be sold at the same exchange.
    LiquidationsFirst,
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
    /// The vault does not let this account reallocate.
    NotAllocator {
        /// Account that signs rebalances.
        account: Address,
    },
    /// Only the account that scheduled the operation can execute it.
    NotScheduler {
        /// Account that scheduled it.
        account: Address,
    },
    /// The vault's assets are where they should be, or cannot be moved.
    NothingToMove,
    /// The supply rates of the vault's markets differ by less than the dead band.
    RatesAreLevel {
        /// Difference in basis points a year.
        spread_bps: u64,
    },
    /// Level rates would earn the depositors less: the vault supplies most of a market.
    LevellingEarnsLess,
    /// The day's budget for the vault does not suffice for the transaction.
    BudgetSpent {
        /// What was spent on the vault today, in wei.
        spent_wei: U256,
        /// What may be spent in a day, in wei.
        budget_wei: U256,
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
    /// Name of [`SkipReason::Dust`], under which loans are counted.
    pub const DUST: &str = "dust";

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
            Self::Unsupported { .. } => "unsupported",
            Self::Dust { .. } => Self::DUST,
            Self::WorthWaiting { .. } => "worth_waiting",
            Self::CoolingDown { .. } => "cooling_down",
            Self::TriedLater => "tried_later",
            Self::LiquidationsFirst => "liquidations_first",
            Self::BackingOff { .. } => "backing_off",
            Self::TransferFailed { .. } => "transfer_failed",
            Self::NotAllocator { .. } => "not_allocator",
            Self::NotScheduler { .. } => "not_scheduler",
            Self::NothingToMove => "nothing_to_move",
            Self::RatesAreLevel { .. } => "rates_are_level",
            Self::LevellingEarnsLess => "levelling_earns_less",
            Self::BudgetSpent { .. } => "budget_spent",
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

/// How figures of decisions are put into words.
pub trait Wording {
    /// Formats an amount of the native currency, in wei.
    fn coin(&self, wei: U256) -> String;
    /// Formats an amount of the market's loan token, in its smallest units.
    fn loan(&self, units: U256) -> String;
    /// Formats an amount of a token, in its smallest units.
    fn token(&self, token: Address, units: U256) -> String;
    /// The most that may be bid for a transaction besides its gas, in wei, by its gain and its cost in gas.
    fn highest_bid(&self, gain_wei: U256, gas_wei: U256) -> U256;
}

impl Decision {
    /// Puts the decision into words.
    #[must_use]
    pub fn text(&self, words: &impl Wording) -> String {
        match self {
            Self::Act { gain_wei, gas_wei } => {
                format!("it is sent: it should bring {}", gain_and_cost(*gain_wei, *gas_wei, words))
            }
            Self::Skip(reason) => reason.text(words),
        }
    }
}

/// Formats a gain, its cost in gas, and the bid that may come on top of it.
fn gain_and_cost(gain_wei: U256, gas_wei: U256, words: &impl Wording) -> String {
    let (gain, gas) = (words.coin(gain_wei), words.coin(gas_wei));
    let bid = words.highest_bid(gain_wei, gas_wei);
    if bid.is_zero() {
        format!("{gain} and cost {gas}")
    } else {
        format!("{gain} and cost {gas} of gas, with a bid of at most {} on top", words.coin(bid))
    }
}

impl SkipReason {
    /// Puts the reason into words.
    #[must_use]
    pub fn text(&self, words: &impl Wording) -> String {
        match self {
            Self::Healthy { health_wad } => format!("it is healthy: health factor {}", Health(*health_wad)),
            Self::SwitchedOff => "the market is disabled in the configuration".to_owned(),
            Self::NoPrice(problem) => problem.to_string(),
            Self::NoRoute => "no route to swap the collateral is configured".to_owned(),
            Self::NoValuation { token, problem } => format!("{token}: {problem}"),
            Self::GainBelowGas { gain_wei, gas_wei } => {
                format!("it would bring {} and cost {}", words.coin(*gain_wei), words.coin(*gas_wei))
            }
            Self::SwapTooThin { repaid, revert } => {
                format!("for a repayment of {}, {}", words.loan(*repaid), revert.text(words))
            }
            Self::Outbid { net_wei } => format!(
                "it would bring {} after gas, and rivals here bid more than that is worth",
                words.coin(*net_wei)
            ),
            Self::OthersFirst { repaid } => format!(
                "the swap absorbs a part of what is liquidatable: more profitable loans go first, with a repayment of {}",
                words.loan(*repaid)
            ),
            Self::NotEnoughInventory { token, held } => format!(
                "the keeper holds {} that the core is allowed to pull, which is not enough",
                words.token(*token, *held)
            ),
            Self::NoPartPossible => "no part of it may be repaid on its own".to_owned(),
            Self::Dust { least_debt } => format!(
                "a debt below {} does not pay for a place in a transaction, so that such loans are only counted",
                words.loan(*least_debt)
            ),
            Self::WorthWaiting { gain_wei, gas_wei } => format!(
                "it is worth waiting: now it would bring {} and cost {}",
                words.coin(*gain_wei),
                words.coin(*gas_wei)
            ),
            Self::CoolingDown { from } => {
                format!("it was executed a short time ago, and may be executed again from {from} (Unix time) on")
            }
            Self::TriedLater => "what brings more is tried first".to_owned(),
            Self::LiquidationsFirst => "a liquidation in this market is sent first".to_owned(),
            Self::BackingOff { until_block, cause } => {
                format!("it is attempted again from block {until_block} on, because {cause}")
            }
            Self::TransferFailed { until } => format!(
                "the token does not confirm its payment, so it is left out of harvests until {until} (Unix time)"
            ),
            Self::NotAllocator { account } => {
                format!("{account} is no allocator of the vault: its owner submits setAllocator")
            }
            Self::NotScheduler { account } => format!("only {account}, which scheduled it, can execute it"),
            Self::NothingToMove => "its assets are where they should be, or cannot be moved".to_owned(),
            Self::RatesAreLevel { spread_bps } => format!(
                "the rates of its markets differ by {} % a year, less than the dead band",
                decimal_text(U256::from(*spread_bps), 2)
            ),
            Self::LevellingEarnsLess => {
                "level rates would earn the depositors less, since the vault supplies most of a market".to_owned()
            }
            Self::BudgetSpent { spent_wei, budget_wei } => {
                format!("{} of the day's budget of {} are spent on it", words.coin(*spent_wei), words.coin(*budget_wei))
            }
            Self::InFlight => "a transaction for it is pending".to_owned(),
            Self::DryRun { gain_wei, gas_wei } => {
                format!("this is a dry run: it would bring {}", gain_and_cost(*gain_wei, *gas_wei, words))
            }
            Self::Held { rule } => rule.clone(),
            Self::Unsupported { problem } => problem.clone(),
            Self::LostRace => "a rival was faster, or the debt was repaid".to_owned(),
            Self::Reverts(revert) => revert.text(words),
            Self::Unanswered { problem } => format!("the node did not answer: {problem}"),
        }
    }
}
