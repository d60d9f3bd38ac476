//! What the parts of a keeper tell each other about a chain: headers, and events of the followed contracts.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    primitives::{Address, B256, IntoLogData, Log},
    rpc::types::Filter,
    sol_types::{self, SolEventInterface},
};
use plimsoll_contracts::{
    IBrake::IBrakeEvents,
    IERC4626::IERC4626Events,
    IGuard::IGuardEvents,
    IJobs::IJobsEvents,
    INodes::INodesEvents,
    IPlimsoll::IPlimsollEvents,
    IRewards::IRewardsEvents,
    IVault::IVaultEvents,
    governance::{IAccessManager::IAccessManagerEvents, IGovernor::IGovernorEvents},
};
use plimsoll_protocols::LogFilter;

/// The fields of a block's header that the keeper uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// Number of the block.
    pub number: u64,
    /// Hash of the block, which identifies it among blocks of the same number.
    pub hash: B256,
    /// Hash of the previous block.
    pub parent_hash: B256,
    /// Timestamp, in seconds.
    pub timestamp: u64,
    /// Base fee per gas, in wei; 0 on chains without one.
    pub base_fee: u64,
    /// Gas limit of the block.
    pub gas_limit: u64,
    /// Gas used in the block.
    pub gas_used: u64,
}

/// The contracts whose events are followed, and which of their markets and staking programmes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Address of the lending core; zero where other protocols alone are followed.
    pub core: Address,
    /// Address of the staking programmes, if there are any.
    pub rewards: Option<Address>,
    /// Address of the guard, whose orders are followed, if there is one.
    pub guard: Option<Address>,
    /// Addresses of the vaults that are followed.
    pub vaults: BTreeSet<Address>,
    /// The contracts by which the deployment is governed, if that is followed.
    pub governance: Option<GovernanceContracts>,
    /// The contracts of nodes, if those are followed.
    pub nodes: Option<NodesContracts>,
    /// The markets and staking programmes that are followed.
    pub followed: Followed,
    /// The logs of another protocol, which are handed out as they are; with any, nothing else is followed.
    pub foreign: Option<Arc<LogFilter>>,
}

/// The contracts by which a deployment is governed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GovernanceContracts {
    /// Address of the `AccessManager`.
    pub manager: Address,
    /// Addresses of governors.
    pub governors: BTreeSet<Address>,
    /// Addresses of brakes.
    pub brakes: BTreeSet<Address>,
}

/// The contracts of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodesContracts {
    /// Address of `Jobs`.
    pub jobs: Address,
    /// Address of `Nodes`, the registry.
    pub registry: Address,
}

/// The markets and staking programmes that are followed, by id, and the backstops, the guard and the vaults, by address as a
/// word. Anybody can create markets and programmes; what is not followed is not decoded, takes no memory and cannot stop
/// anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Followed {
    /// Every one that is ever created.
    #[default]
    All,
    /// Those with these ids and addresses.
    Only(Arc<BTreeSet<B256>>),
}

/// An event of one of the followed contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An event of the lending core.
    Core(IPlimsollEvents),
    /// An event of the staking programmes.
    Rewards(IRewardsEvents),
    /// An event of the guard.
    Guard(IGuardEvents),
    /// A log of another protocol's contract, which that protocol's own state decodes.
    Foreign(Log),
    /// An event of the vault at an address.
    Vault(Address, VaultEvent),
    /// An event of the manager, governor or brake at an address.
    Governance(Address, GovernanceEvent),
    /// An event of the jobs at an address.
    Job(Address, IJobsEvents),
    /// An event of the registry of the jobs at an address.
    Node(Address, INodesEvents),
}

/// An event of a contract by which the deployment is governed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GovernanceEvent {
    /// One of the manager.
    Manager(IAccessManagerEvents),
    /// One of a governor.
    Governor(IGovernorEvents),
    /// One of a brake.
    Brake(IBrakeEvents),
}

/// An event of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultEvent {
    /// One of the vault's own.
    Own(IVaultEvents),
    /// One of the standards for its shares.
    Shares(IERC4626Events),
}

impl Followed {
    /// Follows what has these ids, or addresses as words.
    #[must_use]
    pub fn only(ids: impl IntoIterator<Item = B256>) -> Self {
        Self::Only(Arc::new(ids.into_iter().collect()))
    }

    /// Returns whether what has this id, or address as a word, is followed.
    #[must_use]
    pub fn contains(&self, id: &B256) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(id),
        }
    }
}

impl Event {
    /// Returns the id of the market or staking programme that the event belongs to, or the address of the backstop, guard or vault
    /// as a word; for an event of none, another word or `None`.
    #[must_use]
    pub fn subject(&self) -> Option<B256> {
        let data = match self {
            Self::Core(event) => event.to_log_data(),
            Self::Rewards(event) => event.to_log_data(),
            Self::Guard(event) => event.to_log_data(),
            Self::Foreign(log) => return subject_of(log.topics()),
            Self::Vault(vault, _) => return Some(vault.into_word()),
            Self::Governance(source, _) => return Some(source.into_word()),
            Self::Job(jobs, _) | Self::Node(jobs, _) => return Some(jobs.into_word()),
        };
        subject_of(data.topics())
    }
}

impl VaultEvent {
    fn decode(log: &Log) -> Result<Self, sol_types::Error> {
        let (topics, data) = (log.topics(), &log.data.data);
        let is_of_shares = topics.first().is_some_and(|topic| IERC4626Events::SELECTORS.contains(&topic.0));
        if is_of_shares {
            return IERC4626Events::decode_raw_log(topics, data).map(Self::Shares);
        }
        IVaultEvents::decode_raw_log(topics, data).map(Self::Own)
    }
}

impl GovernanceContracts {
    /// Iterates over the addresses of all of them.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        std::iter::once(self.manager).chain(self.governors.iter().copied()).chain(self.brakes.iter().copied())
    }

    /// Decodes a log of one of them. `None` where it is of another contract, or an event that the keeper does not follow:
    /// a governor may be another version of OpenZeppelin's.
    fn decode(&self, log: &Log) -> Option<GovernanceEvent> {
        let (topics, data) = (log.topics(), &log.data.data);
        if log.address == self.manager {
            return IAccessManagerEvents::decode_raw_log(topics, data).ok().map(GovernanceEvent::Manager);
        }
        if self.governors.contains(&log.address) {
            return IGovernorEvents::decode_raw_log(topics, data).ok().map(GovernanceEvent::Governor);
        }
        let brake = self.brakes.contains(&log.address).then(|| IBrakeEvents::decode_raw_log(topics, data).ok());
        brake.flatten().map(GovernanceEvent::Brake)
    }
}

/// Returns the second topic, which is the id in every event of a market or a staking programme, and the address in those
/// of a backstop and in those of the guard that are of all markets.
fn subject_of(topics: &[B256]) -> Option<B256> {
    topics.get(1).copied()
}

impl Sources {
    /// Follows every market and staking programme of these contracts.
    #[must_use]
    pub const fn all(core: Address, rewards: Option<Address>) -> Self {
        Self {
            core,
            rewards,
            guard: None,
            vaults: BTreeSet::new(),
            governance: None,
            nodes: None,
            followed: Followed::All,
            foreign: None,
        }
    }

    /// Follows the logs of another protocol.
    #[must_use]
    pub fn foreign(logs: LogFilter) -> Self {
        Self { foreign: Some(Arc::new(logs)), ..Self::all(Address::ZERO, None) }
    }

    /// Returns the filters for the logs that are followed, of any block. Together they find each log once. None where nothing
    /// is followed.
    #[must_use]
    pub fn filters(&self) -> Vec<Filter> {
        // A filter without an address would mean any contract.
        if self.addresses().next().is_none() {
            return Vec::new();
        }
        let of = |addresses: Vec<Address>| Filter::new().address(addresses);
        let lending = of(self.lending().collect());
        let lending = match &self.followed {
            Followed::All => return vec![self.filter_of_block()],
            // An empty list of topics would mean any topic, and no id is zero.
            Followed::Only(ids) if ids.is_empty() => lending.topic1(B256::ZERO),
            Followed::Only(ids) => lending.topic1(ids.iter().copied().collect::<Vec<_>>()),
        };
        // Vaults, governance and nodes are followed as a whole, and not all of their events name anything in a topic.
        let whole: Vec<_> = self.whole().collect();
        let whole = (!whole.is_empty()).then(|| of(whole));
        [lending].into_iter().chain(whole).collect()
    }

    /// Returns the filter for the logs of one block: of ours all, and of another protocol those that it wants.
    #[must_use]
    pub fn filter_of_block(&self) -> Filter {
        let filter = Filter::new().address(self.addresses().collect::<Vec<_>>());
        match &self.foreign {
            Some(foreign) if !foreign.topics.is_empty() => filter.event_signature(foreign.topics.clone()),
            _ => filter,
        }
    }

    /// Returns true if a header's bloom, or what is known of a log, may be of something that is followed: `contains` says so
    /// of an address or a topic.
    pub fn may_match(&self, contains: impl Fn(&[u8]) -> bool) -> bool {
        let is_followed = match &self.followed {
            Followed::All => true,
            Followed::Only(ids) => ids.iter().any(|id| contains(id.as_slice())),
        };
        let is_wanted = self.foreign.as_ref().is_none_or(|foreign| {
            foreign.topics.is_empty() || foreign.topics.iter().any(|topic| contains(topic.as_slice()))
        });
        (is_followed && is_wanted && self.lending().any(|address| contains(address.as_slice())))
            || self.whole().any(|address| contains(address.as_slice()))
    }

    /// Iterates over the addresses of the followed contracts.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.lending().chain(self.whole())
    }

    /// Iterates over the addresses of the contracts all of whose events are followed: vaults, and those of governance and of
    /// nodes.
    fn whole(&self) -> impl Iterator<Item = Address> {
        let governance = self.governance.iter().flat_map(GovernanceContracts::addresses);
        let nodes = self.nodes.iter().flat_map(|nodes| [nodes.jobs, nodes.registry]);
        self.vaults.iter().copied().chain(governance).chain(nodes)
    }

    /// Iterates over the addresses of the contracts of which a part may be followed: core, staking programmes and guard, or
    /// those of another protocol.
    pub fn lending(&self) -> impl Iterator<Item = Address> {
        let ours = if self.foreign.is_some() { [None; 3] } else { [Some(self.core), self.rewards, self.guard] };
        let ours = ours.map(|address| address.filter(|address| !address.is_zero()));
        let foreign = self.foreign.iter().flat_map(|foreign| foreign.addresses.iter().copied());
        ours.into_iter().flatten().chain(foreign)
    }

    /// Decodes a log. Returns `None` if it is of another contract, or of nothing that is followed. Fails if it is none of
    /// the contract's events, which means that the address belongs to something else.
    pub fn decode(&self, log: &Log) -> Result<Option<Event>, sol_types::Error> {
        if self.vaults.contains(&log.address) {
            return VaultEvent::decode(log).map(|event| Some(Event::Vault(log.address, event)));
        }
        if let Some(governance) = &self.governance
            && governance.addresses().any(|address| address == log.address)
        {
            let event = governance.decode(log);
            return Ok(event.map(|event| Event::Governance(log.address, event)));
        }
        if let Some(NodesContracts { jobs, registry }) = self.nodes {
            let (topics, data) = (log.topics(), &log.data.data);
            if log.address == jobs {
                return IJobsEvents::decode_raw_log(topics, data).map(|event| Some(Event::Job(jobs, event)));
            }
            if log.address == registry {
                return INodesEvents::decode_raw_log(topics, data).map(|event| Some(Event::Node(jobs, event)));
            }
        }
        let is_followed = match &self.followed {
            Followed::All => true,
            Followed::Only(ids) => subject_of(log.topics()).is_some_and(|id| ids.contains(&id)),
        };
        if !is_followed {
            return Ok(None);
        }
        if let Some(foreign) = &self.foreign {
            return Ok(foreign.contains(log).then(|| Event::Foreign(log.clone())));
        }
        if log.address == self.core {
            return IPlimsollEvents::decode_raw_log(log.topics(), &log.data.data).map(Event::Core).map(Some);
        }
        if Some(log.address) == self.rewards {
            return IRewardsEvents::decode_raw_log(log.topics(), &log.data.data).map(Event::Rewards).map(Some);
        }
        if Some(log.address) == self.guard {
            return IGuardEvents::decode_raw_log(log.topics(), &log.data.data).map(Event::Guard).map(Some);
        }
        Ok(None)
    }
}
