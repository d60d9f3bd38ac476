//! What governance may change, as a chain has it: roles and their members, owners, fees, covers, caps, and the governor's own
//! settings.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, FixedBytes, U256, keccak256},
    rpc::types::Log,
    sol_types::{SolCall, SolEvent, SolValue},
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{
    IBackstop, IPlimsoll, IVault,
    deployment::DeployedContract,
    governance::{CallReader, IAccessManager, IGovernor},
    quantity::{BasisPoints, Seconds, decimal_text},
};

use super::Governance;
use crate::{
    abi::IToken,
    connection::Chain,
    design::{
        SHARES_FOR_GOOD,
        governance::{ADMINISTRATOR, administration},
    },
    restricted::{Effect, RESTRICTED},
};

/// Role that every account has.
pub(super) const EVERYBODY: u64 = u64::MAX;
/// Decimals of votes and of ether.
const WHOLE_DECIMALS: u8 = 18;

/// Roles, accounts and functions that have been named so far, which a manager does not list.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) members: BTreeSet<(u64, Address)>,
    pub(super) roles: BTreeSet<u64>,
    pub(super) functions: BTreeSet<(Address, FixedBytes<4>)>,
    pub(super) allocators: BTreeSet<Address>,
}

impl Known {
    /// Adds what an event of the manager names.
    pub(super) fn add(&mut self, log: &Log) {
        if let Ok(event) = IAccessManager::RoleGranted::decode_log(&log.inner) {
            self.members.insert((event.roleId, event.account));
            self.roles.insert(event.roleId);
        } else if let Ok(event) = IAccessManager::TargetFunctionRoleUpdated::decode_log(&log.inner) {
            self.functions.insert((event.target, event.selector));
            self.roles.insert(event.roleId);
        } else if let Ok(event) = IAccessManager::RoleLabel::decode_log(&log.inner) {
            self.roles.insert(event.roleId);
        } else if let Ok(event) = IVault::SetAllocator::decode_log(&log.inner) {
            self.allocators.insert(event.account);
        }
    }
}

/// A value that governance may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Account(Address),
    Bps(U256),
    Percent(U256),
    Secs(u64),
    Amount(Address, U256),
    Votes(U256),
    Number(U256),
    Flag(bool),
}

impl Setting {
    pub(super) fn text(self, reader: &CallReader) -> String {
        match self {
            Self::Account(account) => reader.account_text(account),
            Self::Bps(bps) => match u16::try_from(bps) {
                Ok(bps) => BasisPoints(bps).to_string(),
                Err(_) => format!("{bps} basis points"),
            },
            Self::Percent(percent) => format!("{percent}%"),
            Self::Secs(secs) => Seconds(secs).to_string(),
            Self::Amount(token, amount) => reader.amount_text(token, amount),
            Self::Votes(votes) => format!("{} votes", decimal_text(votes, WHOLE_DECIMALS)),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => (if flag { "yes" } else { "no" }).to_owned(),
        }
    }

    /// Returns its size, where it is a quantity.
    pub(super) const fn quantity(self) -> Option<U256> {
        match self {
            Self::Bps(number)
            | Self::Percent(number)
            | Self::Amount(_, number)
            | Self::Votes(number)
            | Self::Number(number) => Some(number),
            Self::Secs(secs) => Some(U256::from_limbs([secs, 0, 0, 0])),
            Self::Account(_) | Self::Flag(_) => None,
        }
    }
}

/// A role of the manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RoleState {
    /// Members with their delays, as they will be once every change has taken effect.
    pub(super) members: BTreeMap<Address, u32>,
    pub(super) guardian: u64,
    pub(super) admin: u64,
    pub(super) grant_delay: u32,
}

/// A function that somebody may call by a role, and what it does to risk where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FunctionState {
    pub(super) role: u64,
    pub(super) effect: Option<Effect>,
}

/// What governance may change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) roles: BTreeMap<u64, RoleState>,
    pub(super) functions: BTreeMap<(Address, FixedBytes<4>), FunctionState>,
    pub(super) closed: BTreeMap<Address, bool>,
    pub(super) admin_delays: BTreeMap<Address, u32>,
    /// By name of a contract or market, and name of the setting.
    pub(super) settings: BTreeMap<(String, String), Setting>,
    /// Whether a depositor can leave, by name of the vault or backstop.
    pub(super) exits: BTreeMap<String, bool>,
}

impl State {
    /// Returns who may call a function after which delay in seconds.
    pub(super) fn access(&self, target: Address, selector: FixedBytes<4>, manager: Address) -> BTreeMap<Address, u32> {
        if target == manager {
            return self.roles.get(&ADMINISTRATOR).map(|role| role.members.clone()).unwrap_or_default();
        }
        if self.closed.get(&target).copied().unwrap_or_default() {
            return BTreeMap::new();
        }
        let Some(function) = self.functions.get(&(target, selector)) else { return BTreeMap::new() };
        if function.role == EVERYBODY {
            return BTreeMap::from([(Address::ZERO, 0)]);
        }
        self.roles.get(&function.role).map(|role| role.members.clone()).unwrap_or_default()
    }

    /// Returns who may cancel a call of a function while it waits, the administrators left out.
    pub(super) fn cancellers(&self, target: Address, selector: FixedBytes<4>) -> BTreeSet<Address> {
        let role = self.functions.get(&(target, selector)).map(|function| function.role).unwrap_or_default();
        let guardian = self.roles.get(&role).map(|role| role.guardian).unwrap_or_default();
        if guardian == ADMINISTRATOR {
            return BTreeSet::new();
        }
        self.roles.get(&guardian).map(|role| role.members.keys().copied().collect()).unwrap_or_default()
    }

    /// Reads the state of a chain, which may be a fork of the one that `governance` is of.
    pub(super) async fn read(governance: &Governance<'_>, chain: &Chain, known: &Known) -> Result<Self, ChainError> {
        let mut state = Self::default();
        let mut reading = Reading { governance, chain, known, state: &mut state };
        reading.manager().await?;
        for (name, contract) in &governance.record.contracts {
            match contract.contract.as_str() {
                "Plimsoll" => reading.core(name, contract.address).await?,
                "Vault" => reading.vault(name, contract).await?,
                "Backstop" => reading.backstop(name, contract.address).await?,
                _ => {}
            }
        }
        if let Some(governor) = governance.governor {
            reading.governor(governor.address).await?;
        }
        Ok(state)
    }
}

struct Reading<'a> {
    governance: &'a Governance<'a>,
    chain: &'a Chain,
    known: &'a Known,
    state: &'a mut State,
}

impl Reading<'_> {
    fn set(&mut self, subject: &str, name: &str, setting: Option<Setting>) {
        if let Some(setting) = setting {
            self.state.settings.insert((subject.to_owned(), name.to_owned()), setting);
        }
    }

    async fn account<C: SolCall<Return = Address>>(
        &mut self,
        subject: &str,
        name: &str,
        at: Address,
        call: C,
    ) -> Result<(), ChainError> {
        let found = self.chain.read(at, call).await?;
        self.set(subject, name, found.map(Setting::Account));
        Ok(())
    }

    async fn manager(&mut self) -> Result<(), ChainError> {
        let (chain, manager, known) = (self.chain, self.governance.manager, self.known);
        let mut functions: BTreeMap<(Address, FixedBytes<4>), Option<Effect>> =
            known.functions.iter().map(|key| (*key, None)).collect();
        for contract in self.governance.record.contracts.values() {
            for restricted in RESTRICTED.iter().filter(|it| it.contract == contract.contract) {
                let Ok(artifact) = self.governance.artifacts.get(restricted.contract) else { continue };
                let function = artifact.abi.function(restricted.function).and_then(|forms| forms.first());
                if let Some(function) = function {
                    functions.insert((contract.address, function.selector()), Some(restricted.effect));
                }
            }
        }
        functions.extend(administration().map(|selector| ((manager, selector), Some(Effect::Raises))));
        let mut roles = known.roles.clone();
        roles.insert(ADMINISTRATOR);
        for ((target, selector), effect) in functions {
            let asked = IAccessManager::getTargetFunctionRoleCall { target, selector };
            let role = chain.read(manager, asked).await?.unwrap_or_default();
            roles.insert(role);
            self.state.functions.insert((target, selector), FunctionState { role, effect });
        }
        let targets: BTreeSet<Address> = self.state.functions.keys().map(|(target, _)| *target).collect();
        for target in targets {
            let is_closed = chain.read(manager, IAccessManager::isTargetClosedCall { target }).await?;
            self.state.closed.insert(target, is_closed.unwrap_or_default());
            let delay = chain.read(manager, IAccessManager::getTargetAdminDelayCall { target }).await?;
            self.state.admin_delays.insert(target, delay.unwrap_or_default());
        }
        roles.remove(&EVERYBODY);
        for id in roles {
            let mut role = RoleState {
                guardian: chain
                    .read(manager, IAccessManager::getRoleGuardianCall { roleId: id })
                    .await?
                    .unwrap_or_default(),
                admin: chain.read(manager, IAccessManager::getRoleAdminCall { roleId: id }).await?.unwrap_or_default(),
                grant_delay: chain
                    .read(manager, IAccessManager::getRoleGrantDelayCall { roleId: id })
                    .await?
                    .unwrap_or_default(),
                members: BTreeMap::new(),
            };
            for (_, account) in known.members.iter().filter(|(of, _)| *of == id) {
                let asked = IAccessManager::getAccessCall { roleId: id, account: *account };
                let Some(access) = chain.read(manager, asked).await? else { continue };
                if !access.since.is_zero() {
                    let delay = if access.effect.is_zero() { access.currentDelay } else { access.pendingDelay };
                    role.members.insert(*account, delay);
                }
            }
            self.state.roles.insert(id, role);
        }
        Ok(())
    }

    async fn core(&mut self, name: &str, core: Address) -> Result<(), ChainError> {
        self.account(name, "owner", core, IPlimsoll::ownerCall {}).await?;
        self.account(name, "pending owner", core, IPlimsoll::pendingOwnerCall {}).await?;
        for (market, record) in &self.governance.record.markets {
            let (subject, id) = (format!("markets.{market}"), record.id);
            let found = self.chain.read(core, IPlimsoll::marketCall { id }).await?;
            self.set(&subject, "fee", found.map(|market| Setting::Bps(market.feeBps)));
            self.account(&subject, "fee recipient", core, IPlimsoll::feeRecipientCall { id }).await?;
            self.account(&subject, "backstop", core, IPlimsoll::backstopCall { id }).await?;
        }
        Ok(())
    }

    async fn vault(&mut self, name: &str, contract: &DeployedContract) -> Result<(), ChainError> {
        let (chain, vault) = (self.chain, contract.address);
        self.account(name, "owner", vault, IVault::ownerCall {}).await?;
        self.account(name, "pending owner", vault, IVault::pendingOwnerCall {}).await?;
        self.account(name, "curator", vault, IVault::curatorCall {}).await?;
        self.account(name, "guardian", vault, IVault::guardianCall {}).await?;
        self.account(name, "fee recipient", vault, IVault::feeRecipientCall {}).await?;
        let found = chain.read(vault, IVault::stateCall {}).await?;
        self.set(name, "fee", found.as_ref().map(|state| Setting::Bps(state.feeBps)));
        self.set(name, "maximum rate", found.as_ref().map(|state| Setting::Number(state.maxRatePerSecond)));
        let mut caps: BTreeMap<String, B256> = BTreeMap::new();
        let enabled = chain.read(vault, IVault::marketsCall {}).await?.unwrap_or_default();
        for (market, record) in &self.governance.record.markets {
            let is_enabled = enabled.iter().any(|params| params.id().0 == record.id);
            self.set(name, &format!("market {market} enabled"), Some(Setting::Flag(is_enabled)));
            let cap_of = |kind: U256, of: Address| keccak256((kind, of).abi_encode());
            caps.insert(format!("cap of {market}"), record.id);
            let text = |of| self.governance.reader.account_text(of);
            caps.insert(
                format!("cap of collateral {}", text(record.collateral_token)),
                cap_of(U256::ZERO, record.collateral_token),
            );
            caps.insert(format!("cap of oracle {}", text(record.oracle)), cap_of(U256::ONE, record.oracle));
        }
        for (cap, id) in caps {
            let found = chain.read(vault, IVault::capCall { capId: id }).await?;
            self.set(name, &cap, found.as_ref().map(|cap| Setting::Amount(vault, cap.absolute)));
            self.set(name, &format!("{cap}, part of the vault"), found.map(|cap| Setting::Bps(cap.relativeBps)));
        }
        let first = IVault::Setup::abi_decode(&contract.arguments).map(|setup| setup.allocators).unwrap_or_default();
        for account in first.into_iter().chain(self.known.allocators.iter().copied()) {
            let found = chain.read(vault, IVault::isAllocatorCall { account }).await?;
            let text = format!("allocator {}", self.governance.reader.account_text(account));
            self.set(name, &text, found.map(Setting::Flag));
        }
        self.exit(name, vault).await
    }

    async fn backstop(&mut self, name: &str, backstop: Address) -> Result<(), ChainError> {
        self.account(name, "curator", backstop, IBackstop::curatorCall {}).await?;
        self.account(name, "pending curator", backstop, IBackstop::pendingCuratorCall {}).await?;
        for (market, record) in &self.governance.record.markets {
            let found = self.chain.read(backstop, IBackstop::limitCall { id: record.id }).await?;
            let setting = found.map(|limit| Setting::Amount(record.loan_token, limit));
            self.set(name, &format!("cover of {market}"), setting);
        }
        Ok(())
    }

    /// Reads whether the holder of a vault's first shares could redeem what is withdrawable now.
    async fn exit(&mut self, name: &str, vault: Address) -> Result<(), ChainError> {
        use plimsoll_contracts::IERC4626;
        let owner = SHARES_FOR_GOOD;
        let Some(held) = self.chain.read(vault, IToken::balanceOfCall { account: owner }).await? else { return Ok(()) };
        if held.is_zero() {
            return Ok(());
        }
        let redeem = IERC4626::redeemCall { shares: held, receiver: owner, owner };
        let can_leave = self.chain.read_from(owner, vault, redeem).await?.is_some();
        self.state.exits.insert(name.to_owned(), can_leave);
        Ok(())
    }

    async fn governor(&mut self, governor: Address) -> Result<(), ChainError> {
        const NAME: &str = "governor";
        let chain = self.chain;
        let secs = |found: Option<U256>| found.map(|secs| Setting::Secs(secs.saturating_to()));
        let delay = chain.read(governor, IGovernor::votingDelayCall {}).await?;
        self.set(NAME, "voting delay", secs(delay));
        let period = chain.read(governor, IGovernor::votingPeriodCall {}).await?;
        self.set(NAME, "voting period", secs(period));
        let threshold = chain.read(governor, IGovernor::proposalThresholdCall {}).await?;
        self.set(NAME, "proposal threshold", threshold.map(Setting::Votes));
        let quorum = chain.read(governor, IGovernor::quorumNumeratorCall {}).await?;
        self.set(NAME, "quorum", quorum.map(Setting::Percent));
        let base = chain.read(governor, IGovernor::baseDelaySecondsCall {}).await?;
        self.set(NAME, "base delay", base.map(|secs| Setting::Secs(secs.into())));
        let late = chain.read(governor, IGovernor::lateQuorumVoteExtensionCall {}).await?;
        self.set(NAME, "late quorum extension", late.map(|secs| Setting::Secs(secs.to())));
        self.account(NAME, "proposal guardian", governor, IGovernor::proposalGuardianCall {}).await
    }
}
