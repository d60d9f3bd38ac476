//! What needs the operator's attention: the dashboard says "healthy" only where this list is empty.

use alloy::primitives::U256;
use serde::Serialize;

use super::model::View;
use crate::{amount::counted, sender::fleet::FleetProblem};

/// Number of blocks after which a loan that stays liquidatable is a problem. Within it a transaction is mined or cancelled.
const STUCK_AFTER_BLOCKS: u64 = 10;
/// Number of blocks by which an endpoint may be behind the newest one.
const MAX_BLOCKS_BEHIND: u64 = 2;

/// How urgent a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemLevel {
    /// Liquidations are missed, or will be.
    Critical,
    /// Something works less well than it should.
    Warning,
}

/// Something that needs the operator's attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How urgent it is.
    pub level: ProblemLevel,
    /// What is wrong, with the figures.
    pub text: String,
}

/// Loans of a market that stay liquidatable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StuckLoans<'a> {
    /// Name of the market.
    pub(super) market: &'a str,
    /// Number of loans that have been liquidatable for at least the blocks that were asked for.
    pub(super) loans: u64,
    /// Block since which the first of them is liquidatable.
    pub(super) since: u64,
    /// Stable name of the reason for most of them.
    pub(super) reason: &'static str,
}

impl View {
    /// Returns the loans that have been liquidatable for at least so many blocks, by market.
    pub(super) fn stuck_loans(&self, blocks: u64) -> Vec<StuckLoans<'_>> {
        let Some(head) = &self.head else { return Vec::new() };
        let mut found: Vec<(StuckLoans<'_>, Vec<(&'static str, u64)>)> = Vec::new();
        // The rows come in the order of their health factors, so the liquidatable ones are first.
        for row in self.at_risk.iter().take_while(|row| row.is_liquidatable()) {
            let Some(since) = row.liquidatable_since.filter(|since| head.number.saturating_sub(*since) >= blocks)
            else {
                continue;
            };
            let (_, reason) = row.reason();
            let index = found.iter().position(|(stuck, _)| stuck.market == row.market.name).unwrap_or_else(|| {
                found.push((StuckLoans { market: &row.market.name, loans: 0, since, reason }, Vec::new()));
                found.len() - 1
            });
            let Some((stuck, reasons)) = found.get_mut(index) else { continue };
            stuck.loans += 1;
            stuck.since = stuck.since.min(since);
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, number)) => *number += 1,
                None => reasons.push((reason, 1)),
            }
        }
        let with_most_frequent = found.into_iter().map(|(stuck, reasons)| {
            let reason = reasons.into_iter().max_by_key(|(_, number)| *number).map_or("none", |(reason, _)| reason);
            StuckLoans { reason, ..stuck }
        });
        with_most_frequent.collect()
    }

    /// Lists what is wrong with the keepers that share the database with this one, if any do.
    pub(crate) fn fleet_problems(&self) -> Vec<FleetProblem> {
        let signers: Vec<_> = self.signers.iter().map(|signer| signer.address).collect();
        self.fleet.as_ref().map(|fleet| fleet.problems(&signers)).unwrap_or_default()
    }

    /// Lists everything that needs the operator's attention, the most urgent first.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |level, text: String| problems.push(Problem { level, text });
        self.add_operational(&mut add);
        self.add_markets(&mut add);
        self.add_endpoints(&mut add);
        problems.sort_by_key(|problem| problem.level);
        problems
    }

    fn add_operational(&self, add: &mut impl FnMut(ProblemLevel, String)) {
        if let Some(reason) = self.readiness().reason {
            add(ProblemLevel::Critical, format!("Not ready: {reason}"));
        }
        if let Some(reason) = &self.safety.stopped {
            add(ProblemLevel::Critical, format!("Sending is stopped: {reason}."));
        }
        for signer in &self.signers {
            if let Some(problem) = &signer.problem {
                add(ProblemLevel::Critical, format!("The signer for {}: {problem}.", signer.role));
            } else if let Some(balance) = signer.balance.as_ref().filter(|_| signer.low) {
                let text = format!("The signer for {} has {balance} left: send {} to it.", signer.role, balance.token);
                add(ProblemLevel::Warning, text);
            }
        }
        if !self.safety.paused.is_empty() {
            let text = format!(
                "Paused by the operator: {}. `plimsoll-keeper resume` ends a pause.",
                self.safety.paused.join(", ")
            );
            add(ProblemLevel::Warning, text);
        }
        for problem in self.fleet_problems() {
            let level = match problem {
                FleetProblem::MemberGone { .. } => ProblemLevel::Warning,
                FleetProblem::Unreachable | FleetProblem::NobodySigns { .. } => ProblemLevel::Critical,
            };
            add(level, format!("Fleet: {problem}."));
        }
        if self.audit.mismatches > 0 {
            let last = self.audit.last.as_deref().unwrap_or_default();
            let places = counted(self.audit.mismatches, "place");
            add(ProblemLevel::Critical, format!("The book differed from the chain in {places}. {last}"));
        }
        for account in self.watched_accounts.iter().filter(|account| account.health < account.below) {
            let (of, place) = (account.account, &account.market_name);
            let text = format!("The health factor of {of} in {place} is {}, below {}.", account.health, account.below);
            add(ProblemLevel::Critical, text);
        }
    }

    fn add_markets(&self, add: &mut impl FnMut(ProblemLevel, String)) {
        for market in &self.markets {
            let name = &market.name;
            if let Some(problem) = market.price_problem.as_ref().filter(|_| market.loans > 0) {
                add(ProblemLevel::Critical, format!("{name} has no price, so nothing is liquidated in it: {problem}."));
            }
            if let Some(problem) = market.liquidation_problem.as_ref().filter(|_| market.liquidatable > 0) {
                let loans = counted(market.liquidatable, "liquidatable loan");
                add(ProblemLevel::Critical, format!("{name} has {loans}, and nothing is liquidated in it: {problem}."));
            }
            if market.bad_debt.units > U256::ZERO {
                let text = format!("Loans in {name} owe {} more than their collateral is worth.", market.bad_debt);
                add(ProblemLevel::Warning, text);
            }
        }
        for StuckLoans { market, loans, since, reason } in self.stuck_loans(STUCK_AFTER_BLOCKS) {
            let have = if loans == 1 { "has" } else { "have" };
            let loans = counted(loans, "loan");
            let reason = if reason == "none" { "no decision".to_owned() } else { reason.replace('_', " ") };
            let text = format!(
                "{loans} in {market} {have} been liquidatable for {STUCK_AFTER_BLOCKS} blocks and more, the first since \
                 block {since}; most because of: {reason}."
            );
            add(ProblemLevel::Critical, text);
        }
        let of_reason = |reason: &str| {
            let is_meant = |count: &&super::DecisionCount| count.reason == reason;
            self.decisions.iter().filter(is_meant).map(|count| count.positions).sum::<u64>()
        };
        for (reason, meaning) in [
            ("none", "without a decision yet"),
            ("backing_off", "in back-off after failed attempts"),
            ("unanswered", "not decided, because no endpoint answered the simulation"),
            ("held", "not liquidated, because a pause, a safety limit or another keeper of the fleet prevents it"),
        ] {
            let loans = of_reason(reason);
            if loans > 0 {
                add(ProblemLevel::Warning, format!("{} {meaning}.", counted(loans, "loan")));
            }
        }
    }

    fn add_endpoints(&self, add: &mut impl FnMut(ProblemLevel, String)) {
        if !self.endpoints.is_empty() && self.endpoints.iter().all(|endpoint| !endpoint.healthy) {
            add(ProblemLevel::Critical, "No endpoint is healthy.".to_owned());
        }
        let newest = self.endpoints.iter().filter_map(|endpoint| endpoint.head).max().unwrap_or_default();
        for endpoint in &self.endpoints {
            let behind = endpoint.head.map_or(0, |head| newest - head);
            if let Some(problem) = &endpoint.problem {
                add(ProblemLevel::Warning, format!("The endpoint {} is not used as usual: {problem}.", endpoint.name));
            } else if behind > MAX_BLOCKS_BEHIND {
                add(ProblemLevel::Warning, format!("The endpoint {} is {behind} blocks behind.", endpoint.name));
            }
        }
    }
}
