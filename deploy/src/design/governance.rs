//! The roles of an `AccessManager`, and the rule that they are checked against: what lowers risk is instant, what raises it
//! waits longer than an exit takes, and everything that waits can be cancelled by those at risk.

use std::{collections::BTreeMap, ops::Range};

use alloy::{
    dyn_abi::DynSolValue,
    primitives::{Address, Bytes, FixedBytes, U256},
    sol_types::SolCall,
};

use plimsoll_contracts::governance::IAccessManager;
use toml::Spanned;

use super::{
    Creation, Work,
    build::{Builder, CORE, Resolved},
    section::{DEPLOYER, GOVERNOR, MANAGER, Section, VOTES, unknown},
};
use crate::{
    manifest::{self, Parsed, units::Seconds},
    restricted::{Effect, RESTRICTED, Restricted},
};

const DAY_SECS: u64 = 24 * 60 * 60;
/// Shortest time in which depositors notice an operation and stop it.
pub(crate) const MIN_RAISE_SECS: u64 = 3 * DAY_SECS;
/// Shortest delay of administrators. It outlasts the five days in which OpenZeppelin's delays of grants begin.
pub(crate) const MIN_ADMINISTRATOR_SECS: u64 = 7 * DAY_SECS;
/// Longest delay: what waits longer cannot be governed.
const MAX_DELAY_SECS: u64 = 30 * DAY_SECS;
/// Decimals of shares above those of the asset, in vaults and backstops.
const SHARE_DECIMALS_OFFSET: u8 = 6;

/// Decimals of the token of votes.
pub const VOTE_DECIMALS: u8 = 18;

/// Role of the manager's administrators.
pub const ADMINISTRATOR: u64 = 0;
/// Role of those who may cancel, which may call nothing.
pub const BRAKE: u64 = 1;
/// Role whose guardian is who cancels what the administrators schedule. Its only member is a governor that administers:
/// so it schedules these calls as all others. It gives no right, since the manager asks its administrators about them.
pub const ADMINISTRATION: u64 = 2;
const FIRST_ROLE: u64 = 3;

/// The roles of an `AccessManager`.
#[derive(Debug, Clone)]
pub struct ManagerSetup {
    /// Address of the manager.
    pub manager: Address,
    /// Accounts that may change roles.
    pub administrators: Vec<Address>,
    /// Time in seconds that what they schedule waits.
    pub administrators_delay: u32,
    /// The governor, if there is one.
    pub governor: Option<Address>,
    /// Brakes and other accounts that cancel, and do nothing else.
    pub cancellers: Vec<Address>,
    /// Roles besides those of administrators and cancellers.
    pub roles: Vec<Role>,
    /// Restricted functions, each with its role.
    pub powers: Vec<Power>,
}

/// A role of the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Number in the manager.
    pub id: u64,
    /// Name in the manifest.
    pub name: String,
    /// Accounts that have it.
    pub members: Vec<Address>,
    /// Time in seconds that a call waits.
    pub delay: u32,
}

/// A restricted function of a contract, and the role that may call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Power {
    /// Contract that is called.
    pub target: Address,
    /// Name of the contract in the manifest.
    pub target_name: String,
    /// Signature of the function.
    pub signature: String,
    /// Selector of the function.
    pub selector: FixedBytes<4>,
    /// What a call does.
    pub effect: Effect,
    /// Role that may call it.
    pub role: u64,
}

impl ManagerSetup {
    /// Returns the role with this number, if the manifest describes it.
    #[must_use]
    pub fn role(&self, id: u64) -> Option<&Role> {
        self.roles.iter().find(|role| role.id == id)
    }

    /// Returns the role that may cancel the operations of a role: that of the brakes, if its calls wait.
    #[must_use]
    pub const fn guardian_of(role: &Role) -> u64 {
        if role.delay == 0 { ADMINISTRATOR } else { BRAKE }
    }

    /// Returns all members of roles, with their delays.
    pub fn members(&self) -> impl Iterator<Item = (u64, Address, u32)> {
        let of_role = |role: &'_ Role| {
            let (id, delay) = (role.id, role.delay);
            role.members.clone().into_iter().map(move |member| (id, member, delay))
        };
        let cancellers = self.cancellers.iter().map(|account| (BRAKE, *account, 0));
        let administrators = self.administrators.iter().map(|it| (ADMINISTRATOR, *it, self.administrators_delay));
        let governor = self.governor.filter(|governor| self.administrators.contains(governor));
        let governor = governor.map(|governor| (ADMINISTRATION, governor, self.administrators_delay));
        cancellers.chain(governor).chain(self.roles.iter().flat_map(of_role)).chain(administrators)
    }

    /// Returns the calls that set the manager up. The last one takes the deployer's role, so that all of them are one
    /// transaction or none.
    #[must_use]
    pub fn calls(&self, deployer: Address) -> Vec<Bytes> {
        let mut calls: Vec<Vec<u8>> = Vec::new();
        let label =
            |id, label: &str| IAccessManager::labelRoleCall { roleId: id, label: label.to_owned() }.abi_encode();
        calls.extend([label(BRAKE, "brake"), label(ADMINISTRATION, "administration")]);
        calls.extend(self.roles.iter().map(|role| label(role.id, &role.name)));
        let mut by_target: BTreeMap<(Address, u64), Vec<FixedBytes<4>>> = BTreeMap::new();
        for power in &self.powers {
            by_target.entry((power.target, power.role)).or_default().push(power.selector);
        }
        by_target.insert((self.manager, ADMINISTRATION), administration().to_vec());
        calls.extend(by_target.into_iter().map(|((target, role), selectors)| {
            IAccessManager::setTargetFunctionRoleCall { target, selectors, roleId: role }.abi_encode()
        }));
        let waiting = self.roles.iter().filter(|role| role.delay != 0).map(|role| role.id);
        calls.extend(
            waiting
                .chain([ADMINISTRATION])
                .map(|role| IAccessManager::setRoleGuardianCall { roleId: role, guardian: BRAKE }.abi_encode()),
        );
        calls.extend(self.members().map(|(role, account, delay)| {
            IAccessManager::grantRoleCall { roleId: role, account, executionDelay: delay }.abi_encode()
        }));
        let renounce = IAccessManager::renounceRoleCall { roleId: ADMINISTRATOR, callerConfirmation: deployer };
        calls.push(renounce.abi_encode());
        calls.into_iter().map(Bytes::from).collect()
    }
}

/// Returns the manager's own restricted functions. Who may call them is fixed – the administrators –, and their role says
/// who may cancel them.
#[must_use]
pub const fn administration() -> [FixedBytes<4>; 10] {
    use IAccessManager as Manager;
    [
        FixedBytes(Manager::labelRoleCall::SELECTOR),
        FixedBytes(Manager::grantRoleCall::SELECTOR),
        FixedBytes(Manager::revokeRoleCall::SELECTOR),
        FixedBytes(Manager::setRoleAdminCall::SELECTOR),
        FixedBytes(Manager::setRoleGuardianCall::SELECTOR),
        FixedBytes(Manager::setGrantDelayCall::SELECTOR),
        FixedBytes(Manager::setTargetAdminDelayCall::SELECTOR),
        FixedBytes(Manager::setTargetClosedCall::SELECTOR),
        FixedBytes(Manager::setTargetFunctionRoleCall::SELECTOR),
        FixedBytes(Manager::updateAuthorityCall::SELECTOR),
    ]
}

/// A contract that the manager owns.
struct Governed {
    name: String,
    contract: String,
    address: Address,
}

impl<'a> Builder<'a> {
    /// Adds the manager's creation. The deployer is its administrator until its roles are set up.
    pub(super) fn resolve_manager(&mut self) -> Option<Resolved> {
        let entry = self.manifest.tables.governance.as_ref()?;
        if let Some(taken) = self.manifest.tables.accounts.get(MANAGER) {
            return self.reject(&taken.span, "\"manager\" is the AccessManager of [governance]: rename this account");
        }
        let deployer = self.resolve(Section::Accounts, DEPLOYER)?;
        let values = vec![("initialAdmin", DynSolValue::Address(deployer.address))];
        self.create("governance.manager".to_owned(), "AccessManager", values, &entry.span(), [deployer])
    }

    pub(super) fn governor_entry(&self) -> Option<&'a Spanned<manifest::governance::Governor>> {
        self.manifest.tables.governance.as_ref()?.get_ref().governor.as_ref()
    }

    pub(super) fn votes_entry(&self) -> Option<&'a Spanned<manifest::governance::VotesToken>> {
        self.manifest.tables.governance.as_ref()?.get_ref().token.as_ref()
    }

    /// Adds the creation of the token whose holders vote.
    pub(super) fn resolve_votes(&mut self) -> Option<Resolved> {
        let entry = self.votes_entry()?;
        if let Some(taken) = self.manifest.tables.accounts.get(VOTES) {
            return self.reject(&taken.span, "\"votes\" is the token of [governance.token]: rename this account");
        }
        let token = entry.get_ref();
        let receiver = self.address(&token.receiver, &[Section::Accounts, Section::Contracts])?;
        let supply = self.whole_votes(&token.supply)?;
        let values = vec![
            ("name_", DynSolValue::String(token.name.clone())),
            ("symbol_", DynSolValue::String(token.symbol.clone())),
            ("receiver", DynSolValue::Address(receiver.address)),
            ("supply", DynSolValue::Uint(supply, 256)),
        ];
        self.create("governance.token".to_owned(), "VotesToken", values, &entry.span(), [receiver])
    }

    /// Adds the creation of the governor.
    pub(super) fn resolve_governor(&mut self) -> Option<Resolved> {
        let entry = self.governor_entry()?;
        if let Some(taken) = self.manifest.tables.accounts.get(GOVERNOR) {
            return self.reject(&taken.span, "\"governor\" is that of [governance.governor]: rename this account");
        }
        let governor = entry.get_ref();
        let manager = self.resolve(Section::Accounts, MANAGER)?;
        let token = match (&governor.token, self.votes_entry()) {
            (Some(said), _) => self.address(said, &[Section::Accounts, Section::Contracts])?,
            (None, Some(_)) => self.resolve(Section::Accounts, VOTES)?,
            (None, None) => {
                return self.reject(&entry.span(), "a governor needs a `token`, or [governance.token] to make one");
            }
        };
        let guardian = match &governor.guardian {
            Some(said) => self.address(said, &[Section::Accounts, Section::Contracts])?.address,
            None => Address::ZERO,
        };
        for said in [&governor.voting_delay, &governor.voting_period] {
            if self.value(said)?.0 < DAY_SECS {
                let message = "a vote is announced a day before, and lasts a day, at least: nobody shall vote with tokens that \
                               he holds for a moment";
                return self.reject(&said.span, message);
            }
        }
        let quorum = self.value(&governor.quorum)?.0;
        if quorum == 0 || !quorum.is_multiple_of(100) {
            return self.reject(&governor.quorum.span, "a quorum is a whole percentage above 0");
        }
        let threshold = self.whole_votes(&governor.proposal_threshold)?;
        if threshold.is_zero() {
            return self
                .reject(&governor.proposal_threshold.span, "without a threshold anybody fills the list of proposals");
        }
        let secs = |secs: u32, bits: usize| DynSolValue::Uint(U256::from(secs), bits);
        let setup = DynSolValue::Tuple(vec![
            DynSolValue::String(governor.name.clone()),
            DynSolValue::Address(manager.address),
            DynSolValue::Address(token.address),
            secs(self.delay(&governor.voting_delay)?, 48),
            secs(self.delay(&governor.voting_period)?, 32),
            secs(self.delay(&governor.late_quorum_extension)?, 48),
            DynSolValue::Uint(threshold, 256),
            DynSolValue::Uint(U256::from(quorum / 100), 256),
            secs(self.delay(&governor.base_delay)?, 32),
            DynSolValue::Address(guardian),
        ]);
        let places = [manager, token];
        self.create("governance.governor".to_owned(), "PlimsollGovernor", vec![("setup", setup)], &entry.span(), places)
    }

    fn whole_votes(&mut self, said: &Parsed<manifest::units::Decimal>) -> Option<U256> {
        match self.value(said)?.scaled(VOTE_DECIMALS) {
            Ok(votes) => Some(votes),
            Err(problem) => self.reject(&said.span, problem),
        }
    }

    /// Adds the brakes and the step that sets up the manager's roles, after all that the deployer does as administrator.
    pub(super) fn governance(&mut self) -> Option<()> {
        let entry = self.manifest.tables.governance.as_ref()?;
        let (span, section) = (entry.span(), entry.get_ref());
        let manager = self.resolve(Section::Accounts, MANAGER)?;
        let governed = self.governed(&span, manager.address)?;
        let administrators = self.holders(&section.administrators, "administrators", &span);
        let administrators_delay = self.delay(&section.administrators_delay);
        let roles = self.roles(section);
        let mut cancellers = self.brakes(section, &manager)?;
        for said in &section.guardians {
            cancellers.push(self.address(said, &[Section::Accounts, Section::Contracts])?.address);
        }
        if cancellers.is_empty() {
            return self.reject(
                &span,
                "nobody could cancel what is scheduled: give the depositors `brakes`, or name `guardians`",
            );
        }
        let (administrators, administrators_delay, roles) = (administrators?, administrators_delay?, roles?);
        let governor = match section.governor {
            Some(_) => Some(self.resolve(Section::Accounts, GOVERNOR)?.address),
            None => None,
        };
        if section.token.is_some() {
            self.resolve(Section::Accounts, VOTES)?;
        }
        let longest = roles.iter().map(|(role, _)| role.delay).max().unwrap_or_default();
        if u64::from(administrators_delay) < MIN_ADMINISTRATOR_SECS.max(longest.into()) {
            let message = format!(
                "administrators grant every role, so they wait at least as long as the slowest role and {}: raise \
                 `administrators_delay`",
                Seconds(MIN_ADMINISTRATOR_SECS)
            );
            return self.reject(&section.administrators_delay.span, message);
        }
        let powers = self.powers(&span, section, &governed, &roles)?;
        let setup = ManagerSetup {
            manager: manager.address,
            administrators,
            administrators_delay,
            governor,
            cancellers,
            roles: roles.into_iter().map(|(role, _)| role).collect(),
            powers,
        };
        self.step("governance.roles".to_owned(), Work::SetUpManager(setup));
        Some(())
    }

    /// Returns the contracts that the manager owns. Records a problem if there are none, or if somebody else has a role
    /// beside it.
    fn governed(&mut self, span: &Range<usize>, manager: Address) -> Option<Vec<Governed>> {
        let created = self.steps.iter().filter_map(|step| match &step.work {
            Work::Create(creation) => Some((step.name.clone(), creation.clone())),
            _ => None,
        });
        let mut governed = Vec::new();
        for (name, creation) in created.collect::<Vec<_>>() {
            let owners = owners(&creation);
            if owners.is_empty() {
                continue;
            }
            if creation.vault_setup().is_some_and(|setup| setup.allocators.contains(&manager)) {
                let message =
                    format!("{name}: an allocator acts within minutes, which a manager does not: name the keeper");
                return self.reject(span, message);
            }
            match owners.iter().filter(|owner| **owner == manager).count() {
                0 => self.warnings.push(format!(
                    "{name} does not belong to the manager of [governance]: its owner acts without delay, and no depositor can stop that"
                )),
                count if count == owners.len() => {
                    governed.push(Governed { name, contract: creation.contract, address: creation.address });
                }
                _ => {
                    return self.reject(
                        span,
                        format!(
                            "{name}: the manager is owner or curator and the other is not: make \"{MANAGER}\" both, or neither"
                        ),
                    );
                }
            }
        }
        if governed.is_empty() {
            return self.reject(
                span,
                "nothing belongs to the manager: write account = \"manager\" in [owner], or make it owner and curator of a \
                 vault, or curator of a backstop",
            );
        }
        Some(governed)
    }

    fn holders(
        &mut self,
        list: &[Parsed<manifest::units::Reference>],
        what: &str,
        span: &Range<usize>,
    ) -> Option<Vec<Address>> {
        if list.is_empty() {
            return self
                .reject(span, format!("without {what} this would be frozen for good: name at least one account"));
        }
        let deployer = self.resolve(Section::Accounts, DEPLOYER)?.address;
        let mut holders = Vec::new();
        for said in list {
            let address = self.address(said, &[Section::Accounts, Section::Contracts])?.address;
            if address == deployer {
                return self.reject(
                    &said.span,
                    format!("the deployer's key keeps no role: name other {what}, such as a Safe or the governor"),
                );
            }
            holders.push(address);
        }
        Some(holders)
    }

    fn delay(&mut self, said: &Parsed<Seconds>) -> Option<u32> {
        let delay = self.value(said)?.0;
        match u32::try_from(delay) {
            Ok(secs) if delay <= MAX_DELAY_SECS => Some(secs),
            _ => self.reject(&said.span, format!("what waits longer than {} is frozen", Seconds(MAX_DELAY_SECS))),
        }
    }

    /// Returns the roles with the positions of their entries, in the order of their names.
    fn roles(&mut self, section: &manifest::governance::Governance) -> Option<Vec<(Role, Range<usize>)>> {
        let mut roles = Vec::new();
        for (id, (name, entry)) in (FIRST_ROLE..).zip(&section.roles) {
            let members = self.holders(&entry.get_ref().members, "members", &entry.span())?;
            let delay = match &entry.get_ref().delay {
                Some(said) => self.delay(said)?,
                None => 0,
            };
            roles.push((Role { id, name: name.clone(), members, delay }, entry.span()));
        }
        Some(roles)
    }

    fn brakes(&mut self, section: &manifest::governance::Governance, manager: &Resolved) -> Option<Vec<Address>> {
        let mut brakes = Vec::new();
        for (name, entry) in &section.brakes {
            let span = entry.span();
            let asset = match name.split_once('.') {
                Some(("vaults", vault)) => self.manifest.tables.vaults.get(vault).map(|it| &it.get_ref().asset),
                Some(("backstops", backstop)) => {
                    self.manifest.tables.backstops.get(backstop).map(|it| &it.get_ref().asset)
                }
                _ => None,
            };
            let Some(asset) = asset else {
                return self
                    .reject(&span, format!("\"{name}\" has no depositors: write vaults.NAME or backstops.NAME"));
            };
            let decimals = self.token(asset)?.decimals.saturating_add(SHARE_DECIMALS_OFFSET);
            let min_supply = match self.value(entry.get_ref())?.scaled(decimals) {
                Ok(min_supply) if !min_supply.is_zero() => min_supply,
                Ok(_) => {
                    return self.reject(&span, "with a least supply of 0, ten dollars in an empty vault are a veto");
                }
                Err(problem) => return self.reject(&span, problem),
            };
            let shares = self.steps.iter().find_map(|step| match &step.work {
                Work::Create(creation) if step.name == *name => {
                    Some(Resolved { address: creation.address, depends_on: creation.depends_on.clone() })
                }
                _ => None,
            })?;
            let values = vec![
                ("manager_", DynSolValue::Address(manager.address)),
                ("sharesToken_", DynSolValue::Address(shares.address)),
                ("minSupply_", DynSolValue::Uint(U256::from(min_supply), 256)),
            ];
            let places = [manager.clone(), shares];
            brakes.push(self.create(format!("governance.brakes.{name}"), "Brake", values, &span, places)?.address);
        }
        Some(brakes)
    }

    /// Returns who may call what, after checking the rule for every restricted function of every governed contract.
    fn powers(
        &mut self,
        span: &Range<usize>,
        section: &manifest::governance::Governance,
        governed: &[Governed],
        roles: &[(Role, Range<usize>)],
    ) -> Option<Vec<Power>> {
        let mut assigned: BTreeMap<&str, (usize, Range<usize>)> = BTreeMap::new();
        let known: Vec<String> = RESTRICTED.iter().map(full_name).collect();
        for (index, entry) in section.roles.values().enumerate() {
            for said in &entry.get_ref().functions {
                let name = said.get_ref().as_str();
                if !known.iter().any(|known| known == name) {
                    let message =
                        unknown(name, "the functions of owners and curators", known.iter().map(String::as_str));
                    return self.reject(&said.span(), message);
                }
                if let Some((other, _)) = assigned.insert(name, (index, said.span())) {
                    let message =
                        format!("{name} has the role {} already: a function has one role", roles[other].0.name);
                    return self.reject(&said.span(), message);
                }
            }
        }
        let exit = self.longest_exit()?;
        let mut powers = Vec::new();
        let mut is_fine = true;
        for target in governed {
            for restricted in RESTRICTED.iter().filter(|it| it.contract == target.contract) {
                let name = full_name(restricted);
                let artifacts = self.artifacts;
                let abi = &artifacts.get(restricted.contract).ok()?.abi;
                let function = abi.function(restricted.function).and_then(|overloads| overloads.first())?;
                let (signature, selector) = (function.signature(), function.selector());
                let Some((index, at)) = assigned.get(name.as_str()) else {
                    is_fine = false;
                    let _: Option<()> = self.reject(
                        span,
                        format!(
                            "no role has {name} ({selector}): it would be the administrators', and no brake could cancel it. \
                             Add it to the `functions` of a role"
                        ),
                    );
                    continue;
                };
                let role = &roles[*index].0;
                if let Err(problem) = check(restricted, selector, role, exit) {
                    is_fine = false;
                    let _: Option<()> = self.reject(at, problem);
                }
                powers.push(Power {
                    target: target.address,
                    target_name: target.name.clone(),
                    signature,
                    selector,
                    effect: restricted.effect,
                    role: role.id,
                });
            }
        }
        is_fine.then_some(powers)
    }

    /// Returns the longest time in seconds from the decision to leave a backstop to the last moment to do so.
    fn longest_exit(&mut self) -> Option<u64> {
        let mut longest = 0;
        for entry in self.manifest.tables.backstops.values() {
            let (cooldown, window) = (self.value(&entry.get_ref().cooldown)?.0, self.value(&entry.get_ref().window)?.0);
            longest = longest.max(cooldown.saturating_add(window));
        }
        Some(longest)
    }
}

/// Checks the rule for a function and its role. `exit` is the longest time in seconds that a depositor needs to leave.
fn check(restricted: &Restricted, selector: FixedBytes<4>, role: &Role, exit: u64) -> Result<(), String> {
    let (name, delay) = (full_name(restricted), u64::from(role.delay));
    let role = &role.name;
    match restricted.effect {
        Effect::Lowers if delay > 0 => Err(format!(
            "{name} ({selector}) lowers risk, and the role {role} would wait {} for it: move it to a role without `delay`",
            Seconds(delay)
        )),
        Effect::Raises if delay < MIN_RAISE_SECS || delay <= exit => Err(format!(
            "{name} ({selector}) raises risk, and the role {role} could do it after {}, sooner than depositors can stop it \
             ({}) or leave ({}): raise the role's `delay`, or move it to a slower role",
            Seconds(delay),
            Seconds(MIN_RAISE_SECS),
            Seconds(exit)
        )),
        _ => Ok(()),
    }
}

fn full_name(restricted: &Restricted) -> String {
    format!("{}.{}", restricted.contract, restricted.function)
}

/// Returns who may change the settings of a contract; nobody if it has none.
fn owners(creation: &Creation) -> Vec<Address> {
    if let Some(setup) = creation.vault_setup() {
        return vec![setup.owner, setup.curator];
    }
    let argument = match creation.contract.as_str() {
        CORE => "firstOwner",
        "Backstop" => "firstCurator",
        _ => return Vec::new(),
    };
    let value = creation.arguments.iter().find(|(name, _)| name == argument);
    value.and_then(|(_, value)| value.as_address()).into_iter().collect()
}
