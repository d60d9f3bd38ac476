//! Who may call what after which delay, as a plan prints it.

use std::fmt::Write as _;

use alloy::primitives::{Address, FixedBytes};
use serde::Serialize;

use crate::{
    design::{
        Design,
        governance::{ManagerSetup, administration},
    },
    manifest::units::Seconds,
    restricted::Effect,
};

/// A restricted function, and who may call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PowerReport {
    /// Name of the contract in the manifest.
    pub target: String,
    /// Address of the contract.
    pub address: Address,
    /// Signature of the function; empty for the manager's own.
    pub function: String,
    /// Selector of the function.
    pub selector: FixedBytes<4>,
    /// Whether a call raises or lowers risk.
    pub effect: Effect,
    /// Name of the role.
    pub role: String,
    /// Accounts that have the role.
    pub members: Vec<Address>,
    /// Time in seconds that a call waits.
    pub delay_secs: u32,
    /// Accounts that may cancel a call while it waits.
    pub cancelled_by: Vec<Address>,
}

/// Returns who may call what of the contracts that the manager owns, the manager's own functions last.
pub(super) fn powers(design: &Design) -> Vec<PowerReport> {
    let Some(setup) = design.manager() else { return Vec::new() };
    let of_contracts = setup.powers.iter().filter_map(|power| {
        let role = setup.role(power.role)?;
        Some(PowerReport {
            target: power.target_name.clone(),
            address: power.target,
            function: power.signature.clone(),
            selector: power.selector,
            effect: power.effect,
            role: role.name.clone(),
            members: role.members.clone(),
            delay_secs: role.delay,
            cancelled_by: if role.delay == 0 { Vec::new() } else { setup.cancellers.clone() },
        })
    });
    let own = administration().map(|selector| of_administrators(setup, selector));
    of_contracts.chain(own).collect()
}

fn of_administrators(setup: &ManagerSetup, selector: FixedBytes<4>) -> PowerReport {
    PowerReport {
        target: "governance.manager".to_owned(),
        address: setup.manager,
        function: String::new(),
        selector,
        effect: Effect::Raises,
        role: "administrators".to_owned(),
        members: setup.administrators.clone(),
        delay_secs: setup.administrators_delay,
        cancelled_by: setup.cancellers.clone(),
    }
}

/// Adds the powers to a text, one line for each function and one for the manager's own.
pub(super) fn push(text: &mut String, powers: &[PowerReport]) {
    if powers.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\nWho may do what after which delay:");
    let list = |accounts: &[Address]| accounts.iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
    let mut is_administration_shown = false;
    for power in powers {
        let function = if power.function.is_empty() { "roles, delays and guardians" } else { &power.function };
        if power.function.is_empty() && std::mem::replace(&mut is_administration_shown, true) {
            continue;
        }
        let delay = if power.delay_secs == 0 {
            "at once".to_owned()
        } else {
            format!("after {}, unless {} cancels", Seconds(power.delay_secs.into()), list(&power.cancelled_by))
        };
        let _ = writeln!(text, "  {} {function}: {} ({}) {delay}", power.target, power.role, list(&power.members));
    }
}
