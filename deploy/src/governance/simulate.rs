//! Simulates a proposal on a fork: what it changes once all has taken effect, compared with the same chain at the same time
//! without it.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, Bytes, U256},
    rpc::types::Log,
    sol_types::{SolCall, SolEvent},
};
use eyre::ContextCompat;
use plimsoll_contracts::{
    IBackstop, IERC4626, IVault,
    governance::{IAccessManager, IGovernor, ReadCall},
};
use serde::Serialize;

use super::{
    Governance, Proposal,
    fork::Fork,
    harm::{self, Comparison, Difference, Harm, Property, Severity},
    proposal::Action,
    state::State,
};
use crate::{abi::IToken, manifest::units::time_text, plan::ether, reverts, toolchain::tools::Tools};

/// Time in seconds after which every change that a proposal may start has taken effect: the longest delay of roles, and
/// more than OpenZeppelin's five days for changes of delays.
const SETTLED_SECS: u64 = 40 * 24 * 60 * 60;

/// Result of a simulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Simulation {
    /// The proposal's title.
    pub title: String,
    /// The proposal's description.
    pub description: String,
    /// Network of the deployment.
    pub network: String,
    /// Block whose state was forked.
    pub block: u64,
    /// Account that makes the calls.
    pub caller: Address,
    /// Its name and address.
    pub caller_text: String,
    /// Time from which it could be executed if it were scheduled now, in seconds since 1970.
    pub executable_at: u64,
    /// Calls in order, and those that anybody makes later because of them.
    pub actions: Vec<SimulatedAction>,
    /// Whether a call reverts.
    pub reverts: bool,
    /// What changes.
    pub differences: Vec<Difference>,
    /// Tokens and coins that leave what governance holds.
    pub transfers: Vec<Transfer>,
    /// Properties before and after.
    pub properties: Vec<Property>,
    /// Harms, the worst first.
    pub harms: Vec<Harm>,
}

/// A call that was simulated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SimulatedAction {
    /// The call in words.
    pub text: String,
    /// The call with its arguments.
    pub call: ReadCall,
    /// Coins that go along, in wei.
    pub value: U256,
    /// Whether the manager makes the call.
    pub through_manager: bool,
    /// Time in seconds that it waits in the manager.
    pub delay_secs: u64,
    /// Whether anybody makes it later, as a consequence.
    pub follows: bool,
    /// Why it reverts; `None` if it does not.
    pub error: Option<String>,
}

/// A token that leaves a holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// Account that has less afterwards.
    pub holder: Address,
    /// The token; zero for the chain's coin.
    pub token: Address,
    /// How much less.
    pub amount: U256,
    /// The amount with its unit.
    pub amount_text: String,
    /// What the holder had before.
    pub before: U256,
    /// Accounts that received it.
    pub receivers: Vec<Address>,
}

/// How a call reaches its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// The caller calls the target.
    Direct,
    /// The manager calls it at once.
    Immediate,
    /// The manager calls it once it was scheduled and its delay is over.
    Delayed,
}

impl Governance<'_> {
    /// Returns the route of a call, as the governor chooses it, or as a member of roles has to take it.
    pub(super) async fn route(&self, caller: Address, action: &Action) -> eyre::Result<Route> {
        let Some(selector) = action.data.get(..4).map(alloy::primitives::FixedBytes::from_slice) else {
            return Ok(Route::Direct);
        };
        let target = action.target;
        if let Some(governor) = self.governor.filter(|governor| governor.address == caller) {
            let asked = IAccessManager::canCallCall { caller, target, selector };
            let access = self.chain.read(self.manager, asked).await?.wrap_err("the manager does not answer")?;
            let asked = IGovernor::isAccessManagerIgnoredCall { target, selector };
            let is_ignored = self.chain.read(governor.address, asked).await?.unwrap_or(target == governor.address);
            return Ok(match (access.immediate, access.delay) {
                _ if is_ignored => Route::Direct,
                (true, _) => Route::Immediate,
                (false, 0) => Route::Direct,
                (false, _) => Route::Delayed,
            });
        }
        // What is scheduled already cannot be scheduled again, and waits all the same.
        let id = self.operation_id(caller, action);
        if !self.chain.read(self.manager, IAccessManager::getScheduleCall { id }).await?.unwrap_or_default().is_zero() {
            return Ok(Route::Delayed);
        }
        let schedule = IAccessManager::scheduleCall { target, data: action.data.clone(), when: Default::default() };
        if self.chain.read_from(caller, self.manager, schedule).await?.is_some() {
            return Ok(Route::Delayed);
        }
        let asked = IAccessManager::canCallCall { caller, target, selector };
        let access = self.chain.read(self.manager, asked).await?;
        Ok(if access.is_some_and(|access| access.immediate) { Route::Immediate } else { Route::Direct })
    }

    /// Returns the id of a call as an operation of the manager.
    pub(super) fn operation_id(&self, caller: Address, action: &Action) -> alloy::primitives::B256 {
        use alloy::sol_types::SolValue;
        alloy::primitives::keccak256((caller, action.target, action.data.clone()).abi_encode_params())
    }

    /// Simulates a proposal by `caller` on a fork. Fails if Anvil cannot be started, or the node lacks the state.
    pub async fn simulate(&self, tools: &Tools, proposal: &Proposal, caller: Address) -> eyre::Result<Simulation> {
        let fork = Fork::start(tools, self.chain).await?;
        Run { governance: self, fork: &fork, caller, proposal }.simulate().await
    }
}

struct Run<'a> {
    governance: &'a Governance<'a>,
    fork: &'a Fork,
    caller: Address,
    proposal: &'a Proposal,
}

impl Run<'_> {
    async fn simulate(&self) -> eyre::Result<Simulation> {
        let (governance, fork) = (self.governance, self.fork);
        let head = fork.chain.head().await?;
        let mut actions = Vec::new();
        let mut executable_at = head.timestamp;
        for action in &self.proposal.actions {
            let simulated = self.schedule(action).await?;
            executable_at = executable_at.max(head.timestamp + simulated.delay_secs);
            actions.push(simulated);
        }
        if let Some(governor) = governance.governor.filter(|governor| governor.address == self.caller) {
            let base = governance.chain.read(governor.address, IGovernor::baseDelaySecondsCall {}).await?;
            executable_at = executable_at.max(head.timestamp + u64::from(base.unwrap_or_default()));
        }
        fork.warp(executable_at + 1).await?;
        let kept = fork.keep().await?;
        let mut logs = Vec::new();
        let mut is_fine = actions.iter().all(|action| action.error.is_none());
        for (action, simulated) in self.proposal.actions.iter().zip(&mut actions) {
            if !is_fine {
                break;
            }
            match self.execute(action, simulated.through_manager).await? {
                Ok(found) => logs.extend(found),
                Err(reason) => {
                    let hint = self.hint(action, simulated.through_manager).await?;
                    (simulated.error, is_fine) = (Some(format!("{reason}{hint}")), false);
                }
            }
        }
        if is_fine {
            for action in &self.proposal.actions {
                self.follow(action, &mut actions, &mut logs).await?;
            }
        }
        let holders = self.holders();
        let coins_after = self.coins(&holders).await?;
        let settled = fork.chain.head().await?.timestamp + SETTLED_SECS;
        let mut known = governance.known.clone();
        logs.iter().for_each(|log| known.add(log));
        fork.warp(settled).await?;
        let after = State::read(governance, &fork.chain, &known).await?;
        fork.restore(kept).await?;
        let coins_before = self.coins(&holders).await?;
        let transfers = self.transfers(&holders, &logs, &coins_before, &coins_after).await?;
        fork.warp(settled).await?;
        let before = State::read(governance, &fork.chain, &known).await?;
        let exit = governance.longest_exit().await?;
        let comparison = Comparison { governance, before: &before, after: &after, exit };
        let mut harms = self.harms_of_calls(&actions).await?;
        if is_fine {
            harms.extend(comparison.harms());
            harms.extend(harm::of_transfers(governance, &transfers));
        }
        harms.sort();
        harms.dedup();
        Ok(Simulation {
            title: self.proposal.title.clone(),
            description: self.proposal.description.clone(),
            network: governance.record.network.clone(),
            block: head.number,
            caller: self.caller,
            caller_text: governance.reader.account_text(self.caller),
            executable_at,
            reverts: !is_fine,
            differences: if is_fine { comparison.differences() } else { Vec::new() },
            transfers: if is_fine { transfers } else { Vec::new() },
            properties: comparison.properties(),
            harms,
            actions,
        })
    }

    /// Explains why a call of the governor reverts that the manager made in its place, as the end of a sentence.
    async fn hint(&self, action: &Action, through_manager: bool) -> eyre::Result<&'static str> {
        let (manager, governor) = (self.governance.manager, self.governance.governor);
        let is_governors = governor.is_some_and(|governor| governor.address == self.caller);
        let Some(selector) = action.data.get(..4).map(alloy::primitives::FixedBytes::from_slice) else { return Ok("") };
        if !is_governors || !through_manager || action.target == manager {
            return Ok("");
        }
        let asked = IAccessManager::getTargetFunctionRoleCall { target: action.target, selector };
        Ok(match self.governance.chain.read(manager, asked).await? {
            Some(0) => {
                " – the governor administers, so the manager makes every call that has no role, without the governor's money: \
                 wrap it in `relay` of the governor"
            }
            _ => "",
        })
    }

    /// Schedules a call where it has to wait.
    async fn schedule(&self, action: &Action) -> eyre::Result<SimulatedAction> {
        let (governance, fork) = (self.governance, self.fork);
        let call = governance.reader.read(action.target, &action.data);
        let route = governance.route(self.caller, action).await?;
        let mut simulated = SimulatedAction {
            text: match action.value.is_zero() {
                true => call.to_string(),
                false => format!("{call}, with {} ether", ether(action.value)),
            },
            call,
            value: action.value,
            through_manager: route != Route::Direct,
            delay_secs: 0,
            follows: false,
            error: None,
        };
        if route != Route::Delayed {
            return Ok(simulated);
        }
        let id = governance.operation_id(self.caller, action);
        let mut at =
            fork.chain.read(governance.manager, IAccessManager::getScheduleCall { id }).await?.unwrap_or_default();
        if at.is_zero() {
            let (target, data) = (action.target, action.data.clone());
            let call = IAccessManager::scheduleCall { target, data, when: Default::default() };
            if let Err(reason) = self.send(governance.manager, U256::ZERO, call.abi_encode().into()).await? {
                simulated.error = Some(reason);
                return Ok(simulated);
            }
            at = fork.chain.read(governance.manager, IAccessManager::getScheduleCall { id }).await?.unwrap_or_default();
        }
        simulated.delay_secs = at.to::<u64>().saturating_sub(fork.chain.head().await?.timestamp);
        Ok(simulated)
    }

    async fn execute(&self, action: &Action, through_manager: bool) -> eyre::Result<Result<Vec<Log>, String>> {
        if !through_manager {
            return self.send(action.target, action.value, action.data.clone()).await;
        }
        let call = IAccessManager::executeCall { target: action.target, data: action.data.clone() };
        self.send(self.governance.manager, action.value, call.abi_encode().into()).await
    }

    /// Sends a transaction of the caller. Returns its logs, or why it reverts.
    async fn send(&self, to: Address, value: U256, data: Bytes) -> eyre::Result<Result<Vec<Log>, String>> {
        let sent = self.fork.send(self.caller, to, value, data).await?;
        let explain = |data: Bytes| reverts::explain(self.governance.artifacts, &data);
        Ok(sent.map(|receipt| receipt.inner.logs().to_vec()).map_err(explain))
    }

    /// Carries out what a call announced, once its own delay is over: changes submitted to a vault, and covers announced by
    /// a backstop. Anybody may.
    async fn follow(
        &self,
        action: &Action,
        actions: &mut Vec<SimulatedAction>,
        logs: &mut Vec<Log>,
    ) -> eyre::Result<()> {
        let chain = &self.fork.chain;
        let (delay, data) = if let Ok(submit) = IVault::submitCall::abi_decode(&action.data) {
            let delay = chain.read(action.target, IVault::raiseDelaySecsCall {}).await?;
            (delay, IVault::executeCall { call: submit.call }.abi_encode())
        } else if let Ok(announced) = IBackstop::announceLimitCall::abi_decode(&action.data) {
            let delay = chain.read(action.target, IBackstop::raiseDelaySecsCall {}).await?;
            (delay, IBackstop::applyLimitCall { id: announced.id }.abi_encode())
        } else {
            return Ok(());
        };
        let Some(delay) = delay else { return Ok(()) };
        let delay_secs = delay.saturating_to::<u64>();
        let data = Bytes::from(data);
        let call = self.governance.reader.read(action.target, &data);
        // A lower limit applies at once, and then there is nothing to wait for.
        self.fork.warp(chain.head().await?.timestamp + delay_secs + 1).await?;
        let error = match self.send(action.target, U256::ZERO, data).await? {
            Ok(found) => {
                logs.extend(found);
                None
            }
            Err(reason) => Some(reason),
        };
        actions.push(SimulatedAction {
            text: call.to_string(),
            call,
            value: U256::ZERO,
            through_manager: false,
            delay_secs,
            follows: true,
            error,
        });
        Ok(())
    }

    /// Returns the accounts whose holdings are watched: the caller, and every contract of the record.
    fn holders(&self) -> BTreeSet<Address> {
        let record = self.governance.record;
        let governor = self.governance.governor.map(|governor| governor.address);
        record.contracts.values().map(|contract| contract.address).chain(governor).chain([self.caller]).collect()
    }

    async fn coins(&self, holders: &BTreeSet<Address>) -> eyre::Result<BTreeMap<Address, U256>> {
        let mut coins = BTreeMap::new();
        for holder in holders {
            coins.insert(*holder, self.fork.chain.balance(*holder).await?);
        }
        Ok(coins)
    }

    /// Returns what leaves the holders, by the tokens' events and the balances of coins.
    async fn transfers(
        &self,
        holders: &BTreeSet<Address>,
        logs: &[Log],
        coins_before: &BTreeMap<Address, U256>,
        coins_after: &BTreeMap<Address, U256>,
    ) -> eyre::Result<Vec<Transfer>> {
        let reader = &self.governance.reader;
        let mut moved: BTreeMap<(Address, Address), (U256, U256, BTreeSet<Address>)> = BTreeMap::new();
        for log in logs {
            let Ok(event) = IERC4626::Transfer::decode_log(&log.inner) else { continue };
            // Shares that are made or burnt leave nobody.
            if event.from.is_zero() || event.to.is_zero() {
                continue;
            }
            let token = log.address();
            let out = moved.entry((event.from, token)).or_default();
            out.0 = out.0.saturating_add(event.value);
            out.2.insert(event.to);
            let into = moved.entry((event.to, token)).or_default();
            into.1 = into.1.saturating_add(event.value);
        }
        let mut transfers = Vec::new();
        for ((holder, token), (out, into, receivers)) in moved {
            let Some(amount) = out.checked_sub(into).filter(|amount| !amount.is_zero()) else { continue };
            if !holders.contains(&holder) {
                continue;
            }
            let before = self.fork.chain.read(token, IToken::balanceOfCall { account: holder }).await?;
            let amount_text = format!("{} of {}", reader.amount_text(token, amount), reader.account_text(token));
            let receivers = receivers.into_iter().collect();
            let before = before.unwrap_or_default();
            transfers.push(Transfer { holder, token, amount, amount_text, before, receivers });
        }
        for (holder, before) in coins_before {
            let after = coins_after.get(holder).copied().unwrap_or_default();
            let Some(amount) = before.checked_sub(after).filter(|amount| !amount.is_zero()) else { continue };
            let paid = self.proposal.actions.iter().filter(|action| !action.value.is_zero());
            transfers.push(Transfer {
                holder: *holder,
                token: Address::ZERO,
                amount,
                amount_text: format!("{} ether", ether(amount)),
                before: *before,
                receivers: paid.map(|action| action.target).collect(),
            });
        }
        Ok(transfers)
    }

    async fn harms_of_calls(&self, actions: &[SimulatedAction]) -> eyre::Result<Vec<Harm>> {
        let mut harms = Vec::new();
        for (index, action) in actions.iter().enumerate() {
            let mut calls = vec![&action.call];
            while let Some(call) = calls.pop() {
                let has_code = !self.governance.chain.code(call.target).await?.is_empty();
                harm::of_call(call, has_code, &mut harms);
                calls.extend(&call.inner);
            }
            if let Some(error) = &action.error {
                let text = format!("action {} reverts: {error}. It is {}", index + 1, action.text);
                let (severity, code) = match action.follows {
                    true => (Severity::Caution, "follow-up-reverts"),
                    false => (Severity::Danger, "reverts"),
                };
                harms.push(Harm { severity, code, text });
            }
        }
        Ok(harms)
    }
}

impl Simulation {
    /// Returns the result as text.
    #[must_use]
    pub fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{}\n", self.title);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "by {}, on {} at block {}", self.caller_text, self.network, self.block);
        let _ = writeln!(text, "scheduled now, it could be executed from {}\n\nCalls:", time_text(self.executable_at));
        for (index, action) in self.actions.iter().enumerate() {
            let when = match (action.follows, action.delay_secs) {
                (true, secs) => format!(" [then anybody, after {}]", crate::manifest::units::Seconds(secs)),
                (false, 0) => String::new(),
                (false, secs) => format!(" [waits {} in the manager]", crate::manifest::units::Seconds(secs)),
            };
            let _ = writeln!(text, "  {}. {}{when}", index + 1, action.text);
            if let Some(error) = &action.error {
                let _ = writeln!(text, "     reverts: {error}");
            }
        }
        let _ = writeln!(text, "\nWhat changes:");
        if self.differences.is_empty() && self.transfers.is_empty() {
            let _ = writeln!(text, "  nothing that governance may change");
        }
        for change in &self.differences {
            let of = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            let _ =
                writeln!(text, "  {}: {}: {} → {}", change.subject, change.what, of(&change.before), of(&change.after));
        }
        for transfer in &self.transfers {
            let _ = writeln!(text, "  {} leave {}", transfer.amount_text, transfer.holder);
        }
        let _ = writeln!(text, "\nProperties, before → after:");
        for property in &self.properties {
            let of = |holds: bool| if holds { "yes" } else { "NO" };
            let _ = writeln!(text, "  {} → {}  {}", of(property.before), of(property.after), property.name);
        }
        let _ = writeln!(text, "\nHarms:");
        if self.harms.is_empty() {
            let _ = writeln!(text, "  none that this knows");
        }
        for harm in &self.harms {
            let severity = match harm.severity {
                Severity::Danger => "DANGER ",
                Severity::Caution => "caution",
            };
            let _ = writeln!(text, "  {severity} {}: {}", harm.code, harm.text);
        }
        text
    }
}
