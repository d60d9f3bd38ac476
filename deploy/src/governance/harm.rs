//! What a proposal does to those at risk: the rule of risk and delay before and after, and harms by name.

use std::collections::BTreeSet;

use alloy::primitives::{Address, FixedBytes, U256};
use plimsoll_contracts::{governance::ReadCall, quantity::Seconds};
use serde::Serialize;

use super::{
    Governance,
    simulate::Transfer,
    state::{EVERYBODY, Setting, State},
};
use crate::{
    design::governance::{ADMINISTRATOR, MIN_ADMINISTRATOR_SECS, MIN_RAISE_SECS},
    restricted::Effect,
};

/// Part of a holding, in percent, from which its transfer is a danger and not only to be looked at.
const DANGEROUS_PERCENT: u64 = 25;

/// How bad a harm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It takes a protection from those at risk, or their money.
    Danger,
    /// It may be meant, and voters must know it.
    Caution,
}

/// Something that a proposal does to those at risk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Harm {
    /// How bad it is.
    pub severity: Severity,
    /// Name that does not change, for programs.
    pub code: &'static str,
    /// What happens, with names and values.
    pub text: String,
}

/// A property, and whether it is true before and after a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Property {
    /// The property as a sentence.
    pub name: String,
    /// Whether it is true before.
    pub before: bool,
    /// Whether it is true after.
    pub after: bool,
}

/// A change, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Contract, market or role.
    pub subject: String,
    /// What of it changes.
    pub what: String,
    /// Value before; `None` if there was none.
    pub before: Option<String>,
    /// Value after; `None` if there is none.
    pub after: Option<String>,
}

/// The states before and after a proposal.
#[derive(Clone, Copy)]
pub(super) struct Comparison<'a> {
    pub(super) governance: &'a Governance<'a>,
    pub(super) before: &'a State,
    pub(super) after: &'a State,
    /// Longest time in seconds that a depositor needs to leave.
    pub(super) exit: u64,
}

fn danger(code: &'static str, text: String) -> Harm {
    Harm { severity: Severity::Danger, code, text }
}

fn caution(code: &'static str, text: String) -> Harm {
    Harm { severity: Severity::Caution, code, text }
}

impl Comparison<'_> {
    fn account(&self, account: Address) -> String {
        if account.is_zero() { "everybody".to_owned() } else { self.governance.reader.account_text(account) }
    }

    fn function(&self, target: Address, selector: FixedBytes<4>) -> String {
        let name = self.governance.reader.name_of(target).map_or_else(|| target.to_string(), str::to_owned);
        format!("{name} {}", self.governance.reader.function_text(selector))
    }

    /// Returns whether the manager decides who may call a contract, before or after.
    fn is_governed(&self, target: Address) -> bool {
        let manager = self.governance.manager;
        let name = self.governance.reader.name_of(target).unwrap_or_default().to_owned();
        let is_owner = |state: &State, role: &str| {
            state.settings.get(&(name.clone(), role.to_owned())) == Some(&Setting::Account(manager))
        };
        let roles = ["owner", "curator"];
        target == manager || roles.iter().any(|role| is_owner(self.before, role) || is_owner(self.after, role))
    }

    fn required_secs(&self, target: Address) -> u64 {
        if target == self.governance.manager { MIN_ADMINISTRATOR_SECS } else { MIN_RAISE_SECS.max(self.exit + 1) }
    }

    fn functions(&self, effect: Effect) -> Vec<(Address, FixedBytes<4>)> {
        let all = self.after.functions.iter().filter(|(_, function)| function.effect == Some(effect));
        all.map(|(key, _)| *key).filter(|(target, _)| self.is_governed(*target)).collect()
    }

    /* PROPERTIES */

    pub(super) fn properties(&self) -> Vec<Property> {
        let of = |name: String, holds: &dyn Fn(&State) -> bool| Property {
            name,
            before: holds(self.before),
            after: holds(self.after),
        };
        let manager = self.governance.manager;
        let waits = |state: &State| {
            self.functions(Effect::Raises).into_iter().all(|(target, selector)| {
                let required = self.required_secs(target);
                state.access(target, selector, manager).values().all(|delay| u64::from(*delay) >= required)
            })
        };
        let is_instant = |state: &State| {
            self.functions(Effect::Lowers)
                .into_iter()
                .all(|(target, selector)| state.access(target, selector, manager).values().any(|delay| *delay == 0))
        };
        let is_braked = |state: &State| {
            self.functions(Effect::Raises).into_iter().all(|(target, selector)| {
                let cancellers = state.cancellers(target, selector);
                cancellers.iter().any(|account| self.governance.is_brake(*account))
            })
        };
        let is_administered =
            |state: &State| state.roles.get(&ADMINISTRATOR).is_some_and(|role| !role.members.is_empty());
        let mut properties = vec![
            of(
                format!(
                    "What raises risk waits {} or longer, administrators {}",
                    Seconds(MIN_RAISE_SECS.max(self.exit)),
                    Seconds(MIN_ADMINISTRATOR_SECS)
                ),
                &waits,
            ),
            of("What lowers risk waits for nothing".to_owned(), &is_instant),
            of("Somebody administers the manager".to_owned(), &is_administered),
        ];
        if self.governance.has_brakes() {
            properties.push(of("Depositors can cancel whatever raises risk".to_owned(), &is_braked));
        }
        for name in self.before.exits.keys() {
            let can_leave = |state: &State| state.exits.get(name).copied().unwrap_or_default();
            properties.push(of(format!("A depositor of {name} can leave"), &can_leave));
        }
        properties
    }

    /* HARMS */

    pub(super) fn harms(&self) -> Vec<Harm> {
        let mut harms = Vec::new();
        self.raises(&mut harms);
        self.lowers(&mut harms);
        self.cancellers(&mut harms);
        self.roles(&mut harms);
        self.settings(&mut harms);
        for (name, could_leave) in &self.before.exits {
            if *could_leave && self.after.exits.get(name) != Some(&true) {
                harms.push(danger("exit-blocked", format!("a depositor of {name} can leave before, and not after")));
            }
        }
        harms
    }

    /// Finds accounts that could raise risk sooner than the rule allows, and could not before.
    fn raises(&self, harms: &mut Vec<Harm>) {
        let manager = self.governance.manager;
        let mut told = BTreeSet::new();
        for (target, selector) in self.functions(Effect::Raises) {
            let required = self.required_secs(target);
            let (before, after) =
                (self.before.access(target, selector, manager), self.after.access(target, selector, manager));
            for (account, delay) in &after {
                if u64::from(*delay) >= required || before.get(account).is_some_and(|was| was <= delay) {
                    continue;
                }
                let (account, function) = (self.account(*account), self.function(target, selector));
                let delay = match delay {
                    0 => "at once".to_owned(),
                    secs => format!("after {}", Seconds((*secs).into())),
                };
                if target == manager {
                    let text = format!(
                        "{account} administers roles, delays and guardians {delay}; depositors need {} to notice and leave",
                        Seconds(required)
                    );
                    if told.insert(text.clone()) {
                        harms.push(danger("administrators-too-soon", text));
                    }
                    continue;
                }
                let code = if self.after.functions[&(target, selector)].role == EVERYBODY {
                    "function-freed"
                } else {
                    "raises-too-soon"
                };
                let text = format!(
                    "{account} may call {function} {delay}: this raises risk, and must wait longer than {}",
                    Seconds(required.saturating_sub(1).max(MIN_RAISE_SECS))
                );
                harms.push(danger(code, text));
            }
            if !before.is_empty() && after.is_empty() && !self.is_closed_now(target) {
                harms.push(caution("frozen", format!("nobody may call {} any more", self.function(target, selector))));
            }
        }
    }

    fn is_closed_now(&self, target: Address) -> bool {
        self.after.closed.get(&target) == Some(&true) && self.before.closed.get(&target) != Some(&true)
    }

    fn lowers(&self, harms: &mut Vec<Harm>) {
        let manager = self.governance.manager;
        for target in self.after.closed.keys().filter(|target| self.is_closed_now(**target)) {
            let name = self.account(*target);
            harms.push(danger("target-closed", format!("{name} is closed: what lowers its risk is closed, too")));
        }
        for (target, selector) in self.functions(Effect::Lowers) {
            let is_instant = |state: &State| {
                let access = state.access(target, selector, manager);
                access.values().any(|delay| *delay == 0)
            };
            if is_instant(self.before) && !is_instant(self.after) && !self.is_closed_now(target) {
                let function = self.function(target, selector);
                let text = format!("nobody may call {function} at once any more: this lowers risk, and must not wait");
                harms.push(danger("lowering-stopped", text));
            }
        }
    }

    /// Finds who could cancel something before, and cannot after.
    fn cancellers(&self, harms: &mut Vec<Harm>) {
        let functions = self.functions(Effect::Raises);
        let all = |state: &State| -> BTreeSet<Address> {
            functions.iter().flat_map(|(target, selector)| state.cancellers(*target, *selector)).collect()
        };
        for account in all(self.before) {
            let lost: Vec<_> = functions
                .iter()
                .filter(|(target, selector)| {
                    self.before.cancellers(*target, *selector).contains(&account)
                        && !self.after.cancellers(*target, *selector).contains(&account)
                })
                .map(|(target, selector)| self.function(*target, *selector))
                .collect();
            if lost.is_empty() {
                continue;
            }
            let what = if lost.len() > 3 { format!("{} functions", lost.len()) } else { lost.join(", ") };
            let name = self.account(account);
            harms.push(if self.governance.is_brake(account) {
                let text = format!("{name}: depositors cannot cancel calls of {what} any more");
                danger("brake-removed", text)
            } else {
                caution("guardian-removed", format!("{name} cannot cancel calls of {what} any more"))
            });
        }
        for account in all(self.after).difference(&all(self.before)) {
            let text = format!("{} may cancel what is scheduled", self.account(*account));
            harms.push(caution("canceller-added", text));
        }
    }

    fn roles(&self, harms: &mut Vec<Harm>) {
        let members =
            |state: &State| state.roles.get(&ADMINISTRATOR).map(|role| role.members.clone()).unwrap_or_default();
        let (before, after) = (members(self.before), members(self.after));
        for account in after.keys().filter(|account| !before.contains_key(*account)) {
            let text = format!("{} becomes an administrator, who may change every role", self.account(*account));
            harms.push(danger("administrator-added", text));
        }
        if after.is_empty() && !before.is_empty() {
            let text = "nobody administers the manager any more: its roles stay as they are for good".to_owned();
            harms.push(caution("administrators-removed", text));
        }
        for (account, delay) in &after {
            let Some(was) = before.get(account).filter(|was| delay < *was) else { continue };
            let (account, was, delay) = (self.account(*account), Seconds((*was).into()), Seconds((*delay).into()));
            harms.push(caution(
                "administrators-faster",
                format!("{account} administers after {delay} instead of {was}"),
            ));
        }
        for (id, role) in &self.after.roles {
            let (name, before) = (self.governance.reader.role_text(*id), self.before.roles.get(id));
            let was = before.map(|role| role.admin).unwrap_or_default();
            if role.admin != was && role.admin != ADMINISTRATOR {
                let admin = self.governance.reader.role_text(role.admin);
                let text =
                    format!("members of the role {admin} may give and take the role {name} without the administrators");
                harms.push(danger("role-admin-changed", text));
            }
            if let Some(before) = before.filter(|before| role.grant_delay < before.grant_delay) {
                let text = format!(
                    "who gets the role {name} has it after {} instead of {}",
                    Seconds(role.grant_delay.into()),
                    Seconds(before.grant_delay.into())
                );
                harms.push(caution("grant-delay-lowered", text));
            }
        }
        for (target, delay) in &self.after.admin_delays {
            if let Some(was) = self.before.admin_delays.get(target).filter(|was| delay < *was) {
                let text = format!(
                    "changes of who may call {} wait {} instead of {}",
                    self.account(*target),
                    Seconds((*delay).into()),
                    Seconds((*was).into())
                );
                harms.push(caution("admin-delay-lowered", text));
            }
        }
    }

    fn settings(&self, harms: &mut Vec<Harm>) {
        for ((subject, what), after) in &self.after.settings {
            let before = self.before.settings.get(&(subject.clone(), what.clone()));
            if before == Some(after) {
                continue;
            }
            let text = |setting: Setting| setting.text(&self.governance.reader);
            let change = format!(
                "{subject}: {what} becomes {} (it was {})",
                text(*after),
                before.map_or_else(|| "unknown".to_owned(), |before| text(*before))
            );
            let rises = before.and_then(|before| before.quantity()) < after.quantity();
            let is_nobody = *after == Setting::Account(Address::ZERO);
            let is_manager = *after == Setting::Account(self.governance.manager);
            let harm = match what.as_str() {
                "owner" | "curator" if !is_manager => Some(danger("owner-changed", change)),
                "pending owner" | "pending curator" if !is_nobody && !is_manager => {
                    Some(danger("owner-changed", change))
                }
                "guardian" if is_nobody => Some(danger("guardian-removed", change)),
                "guardian" => Some(caution("guardian-changed", change)),
                "fee recipient" => Some(caution("fee-recipient-changed", change)),
                "fee" if rises => Some(caution("fee-raised", change)),
                "maximum rate" if rises => Some(caution("maximum-rate-raised", change)),
                "backstop" if is_nobody => Some(danger("backstop-removed", change)),
                "backstop" => Some(caution("backstop-changed", change)),
                "proposal guardian"
                | "voting delay"
                | "voting period"
                | "quorum"
                | "base delay"
                | "proposal threshold"
                | "late quorum extension"
                    if !rises || what == "proposal guardian" =>
                {
                    Some(caution("governor-weakened", change))
                }
                _ if what.starts_with("cap of") && rises => Some(caution("cap-raised", change)),
                _ if what.starts_with("cover of") && rises => Some(caution("cover-raised", change)),
                _ if what.starts_with("cover of") => Some(caution("cover-lowered", change)),
                _ if what.starts_with("allocator") && *after == Setting::Flag(true) => {
                    Some(caution("allocator-added", change))
                }
                _ if what.ends_with("enabled") && *after == Setting::Flag(true) => {
                    Some(caution("market-enabled", change))
                }
                _ => None,
            };
            harms.extend(harm);
        }
    }

    /* DIFFERENCES */

    pub(super) fn differences(&self) -> Vec<Difference> {
        let reader = &self.governance.reader;
        let mut differences = Vec::new();
        let mut push = |subject: &str, what: String, before: Option<String>, after: Option<String>| {
            if before != after {
                differences.push(Difference { subject: subject.to_owned(), what, before, after });
            }
        };
        let keys: BTreeSet<_> = self.before.settings.keys().chain(self.after.settings.keys()).collect();
        for key in keys {
            let text = |state: &State| state.settings.get(key).map(|setting| setting.text(reader));
            push(&key.0, key.1.clone(), text(self.before), text(self.after));
        }
        let roles: BTreeSet<_> = self.before.roles.keys().chain(self.after.roles.keys()).collect();
        for id in roles {
            let subject = format!("role {}", reader.role_text(*id));
            let (before, after) = (self.before.roles.get(id), self.after.roles.get(id));
            let members = |role: Option<&super::state::RoleState>| -> BTreeSet<Address> {
                role.map(|role| role.members.keys().copied().collect()).unwrap_or_default()
            };
            for account in members(before).union(&members(after)) {
                let text = |role: Option<&super::state::RoleState>| {
                    role.and_then(|role| role.members.get(account)).map(|delay| match delay {
                        0 => "member without delay".to_owned(),
                        secs => format!("member with a delay of {}", Seconds((*secs).into())),
                    })
                };
                push(&subject, self.account(*account), text(before), text(after));
            }
            let zero = super::state::RoleState::default();
            let (before, after) = (before.unwrap_or(&zero), after.unwrap_or(&zero));
            let of = |id: u64| Some(reader.role_text(id));
            push(&subject, "guardian".to_owned(), of(before.guardian), of(after.guardian));
            push(&subject, "administrator".to_owned(), of(before.admin), of(after.admin));
            let secs = |secs: u32| Some(Seconds(secs.into()).to_string());
            push(&subject, "delay of grants".to_owned(), secs(before.grant_delay), secs(after.grant_delay));
        }
        for ((target, selector), after) in &self.after.functions {
            let before =
                self.before.functions.get(&(*target, *selector)).map(|function| reader.role_text(function.role));
            push(
                &self.account(*target),
                format!("role of {}", reader.function_text(*selector)),
                before,
                Some(reader.role_text(after.role)),
            );
        }
        for (target, closed) in &self.after.closed {
            let text = |closed: bool| Some((if closed { "closed" } else { "open" }).to_owned());
            let was = self.before.closed.get(target).copied().unwrap_or_default();
            push(&self.account(*target), "access".to_owned(), text(was), text(*closed));
            let secs = |secs: u32| Some(Seconds(secs.into()).to_string());
            let was = self.before.admin_delays.get(target).copied().unwrap_or_default();
            let now = self.after.admin_delays.get(target).copied().unwrap_or_default();
            push(&self.account(*target), "delay of changes to its roles".to_owned(), secs(was), secs(now));
        }
        differences
    }
}

/// Returns the harms of money that leaves.
pub(super) fn of_transfers(governance: &Governance<'_>, transfers: &[Transfer]) -> Vec<Harm> {
    let of = |transfer: &Transfer| {
        let percent = transfer.before.checked_div(U256::from(100)).filter(|one| !one.is_zero());
        let part = percent.map_or(U256::from(100), |one| transfer.amount / one);
        let holder = governance.reader.account_text(transfer.holder);
        let text = format!(
            "{} leave {holder}, {}% of what it has, to {}",
            transfer.amount_text,
            part.min(U256::from(100)),
            transfer.receivers.iter().map(|to| governance.reader.account_text(*to)).collect::<Vec<_>>().join(", ")
        );
        if part >= U256::from(DANGEROUS_PERCENT) {
            danger("treasury-drained", text)
        } else {
            caution("treasury-spent", text)
        }
    };
    transfers.iter().map(of).collect()
}

/// Returns the harms that a call names by itself.
pub(super) fn of_call(call: &ReadCall, has_code: bool, harms: &mut Vec<Harm>) {
    if !has_code && !call.data.is_empty() {
        let text = format!("{} has no code: the call succeeds and does nothing", call.target_text);
        harms.push(danger("code-less-target", text));
    } else if call.selector.is_some() && call.signature.is_none() {
        harms.push(caution("unreadable-call", format!("what this does cannot be read: {call}")));
    }
    let name = call.signature.as_deref().and_then(|signature| signature.split('(').next()).unwrap_or_default();
    if ["approve", "increaseAllowance", "setAuthorization", "permit"].contains(&name) {
        harms.push(danger("approval", format!("somebody else may take money from then on: {call}")));
    }
    if name == "schedule" {
        harms.push(caution("schedules-more", format!("this only schedules what happens later: {call}")));
    }
}
