//! What the book keeps besides totals, positions and jobs, part by part, each with the call that reads the same from the
//! chain.

use std::{collections::BTreeSet, fmt, iter};

use alloy::{
    primitives::{Address, B256, U256, Uint},
    sol_types::SolCall,
};
use plimsoll_contracts::{
    IBrake, IGuard,
    INodes::nodeCall,
    IPlimsoll::{backstopCall, coverCall, coverFloorCall, coverLimitCall, feeRecipientCall, marketCall},
    IRewards,
    IVault::{capCall, isAllocatorCall},
    MarketId,
    governance::{IAccessManager, IGovernor},
};

use crate::{
    book::{
        Book, CoverKey, MarketBook, NodeState, Operation, PlacedOrder, PoolBook, Proposal, RewardLedger, StreamBook,
        VaultBook,
    },
    chain::{Followed, GovernanceContracts, Sources},
    math::guard::{Order, OrderKind},
    prices::{Call, CallResult},
};

/// Gas for a call, which uses some ten thousand, and more for each word of calldata of what is scheduled.
const GAS: u64 = 1_000_000;

/// States of a proposal that was cancelled or executed, as OpenZeppelin's governor numbers them.
const ENDED: [u8; 2] = [2, 7];

/// Returns in words what a call returned, if the book differs from it.
type Compare = dyn Fn(&[u8]) -> Option<String> + Send + Sync;

/// A part of the book, and the call that reads it from the chain.
pub(super) struct Check {
    /// Name of the part.
    part: String,
    /// The part in the book.
    in_book: String,
    /// Call that reads the part.
    pub(super) call: Call,
    /// Compares what the call returned, and returns that in words if the book differs.
    compare: Box<Compare>,
}

impl Check {
    /// A part of which the chain must have exactly this.
    fn equal<C: SolCall<Return: fmt::Debug + Send + 'static>>(
        part: String,
        to: Address,
        call: &C,
        in_book: C::Return,
    ) -> Self {
        let expected = C::abi_encode_returns(&in_book);
        let shown = format!("{in_book:?}");
        Self::fitting(part, shown, to, call, move |on_chain| C::abi_encode_returns(on_chain) == expected)
    }

    /// A part that fits what the chain has if `fits` says so.
    fn fitting<C: SolCall<Return: fmt::Debug>>(
        part: String,
        in_book: String,
        to: Address,
        call: &C,
        fits: impl Fn(&C::Return) -> bool + Send + Sync + 'static,
    ) -> Self {
        let compare = move |data: &[u8]| match C::abi_decode_returns(data) {
            Ok(on_chain) => (!fits(&on_chain)).then(|| format!("{on_chain:?}")),
            Err(_) => Some("no answer that can be read".to_owned()),
        };
        let call = Call::view(to, call.abi_encode(), GAS);
        Self { part, in_book, call, compare: Box::new(compare) }
    }

    /// Returns in words how the book differs after a block from what the call returned there; `None` if it does not.
    pub(super) fn difference(&self, block: u64, answer: &CallResult) -> Option<String> {
        let on_chain = match answer {
            Ok(data) => (self.compare)(data)?,
            Err(_) => "no answer".to_owned(),
        };
        let Self { part, in_book, .. } = self;
        Some(format!("{part} after block {block}: {in_book} in the book and {on_chain} on the chain"))
    }
}

/// What is followed must be in the book, if the chain has it.
pub(super) fn followed<'b>(book: &'b Book, sources: &'b Sources) -> impl Iterator<Item = Check> + 'b {
    let ids = match &sources.followed {
        Followed::All => None,
        Followed::Only(ids) => Some(ids),
    };
    let unknown = ids
        .into_iter()
        .flat_map(|ids| ids.iter())
        .filter(|id| book.market(MarketId(**id)).is_none() && book.pool(**id).is_none());
    unknown.flat_map(|id| {
        let (none, part) = ("none".to_owned(), format!("market {id}"));
        let market = Check::fitting(part, none.clone(), sources.core, &marketCall { id: *id }, |market| {
            market.lastUpdate.is_zero()
        });
        let pool = sources.rewards.map(|rewards| {
            Check::fitting(format!("programme {id}"), none, rewards, &IRewards::poolStateCall { pool: *id }, |state| {
                state.stakeToken.is_zero()
            })
        });
        iter::once(market).chain(pool)
    })
}

/// Settings of a market that are not in its parameters.
pub(super) fn market(core: Address, market: &MarketBook) -> [Check; 2] {
    let id = market.id().0;
    let state = market.state();
    [
        Check::equal(format!("the fee recipient of market {id}"), core, &feeRecipientCall { id }, state.fee_recipient),
        Check::equal(format!("the backstop of market {id}"), core, &backstopCall { id }, state.backstop),
    ]
}

/// Amounts of cover: all in the book, and those of the markets' backstops that are followed.
pub(super) fn cover<'b>(core: Address, book: &'b Book) -> impl Iterator<Item = Check> + 'b {
    let mut keys: BTreeSet<_> = book.covers().map(|(key, _)| key).collect();
    for market in book.markets() {
        let (backstop, token) = (market.state().backstop, market.params().loanToken);
        if !backstop.is_zero() && book.coverage().contains(&backstop.into_word()) {
            keys.extend([
                CoverKey::Amount(backstop, token),
                CoverKey::Floor(backstop, token),
                CoverKey::Limit(backstop, market.id()),
            ]);
        }
    }
    keys.into_iter().map(move |key| {
        let amount = book.cover(key);
        match key {
            CoverKey::Amount(backstop, token) => {
                let part = format!("the cover of backstop {backstop} in {token}");
                Check::equal(part, core, &coverCall { backstop, token }, amount)
            }
            CoverKey::Floor(backstop, token) => {
                let part = format!("the floor of the cover of backstop {backstop} in {token}");
                Check::equal(part, core, &coverFloorCall { backstop, token }, amount)
            }
            CoverKey::Limit(backstop, id) => {
                let part = format!("the limit of backstop {backstop} for market {id}");
                Check::equal(part, core, &coverLimitCall { backstop, id: id.0 }, amount)
            }
        }
    })
}

/// A programme with its streams, without its stakes.
pub(super) fn pool<'b>(rewards: Address, pool: &'b PoolBook, timestamp: u64) -> impl Iterator<Item = Check> + 'b {
    let id = pool.id();
    let state = IRewards::PoolState {
        stakeToken: pool.stake_token(),
        totalStaked: U256::from(pool.state().total_staked),
        rewardTokens: pool.reward_tokens().to_vec(),
    };
    let own = Check::equal(format!("programme {id}"), rewards, &IRewards::poolStateCall { pool: id }, state);
    iter::once(own).chain(pool.streams().flat_map(move |stream| self::stream(rewards, stream, timestamp)))
}

fn stream(rewards: Address, stream: StreamBook<'_>, timestamp: u64) -> [Check; 2] {
    let (pool, token, state) = (stream.pool().id(), stream.reward_token(), stream.state());
    let in_book = IRewards::StreamState {
        accumulator: state.accumulator,
        lastUpdate: U256::from(state.last_update),
        remainder: U256::from(state.remainder),
        epochAmount: U256::from(state.epoch_amount),
        lastFundedEpoch: U256::from(state.last_funded_epoch),
        funded: U256::from(state.funded),
    };
    let part = format!("the stream of {token} in programme {pool}");
    let stored = Check::equal(part, rewards, &IRewards::streamStateCall { pool, rewardToken: token }, in_book);
    let amounts: Vec<_> = stream.schedule(timestamp).into_iter().map(U256::from).collect();
    let (part, shown) = (format!("the schedule of {token} in programme {pool}"), format!("{amounts:?}"));
    let call = IRewards::scheduleCall { pool, rewardToken: token };
    [stored, Check::fitting(part, shown, rewards, &call, move |on_chain| on_chain.amounts == amounts)]
}

/// The stake of an account in a programme, with what it has in each stream.
pub(super) fn stake(rewards: Address, pool: &PoolBook, account: Address) -> impl Iterator<Item = Check> {
    let id = pool.id();
    let part = format!("the stake of {account} in programme {id}");
    let staked = U256::from(pool.stake(account));
    let stake = Check::equal(part, rewards, &IRewards::stakedCall { pool: id, account }, staked);
    iter::once(stake).chain(pool.streams().flat_map(move |stream| {
        let (token, RewardLedger { offset, consent }) = (stream.reward_token(), stream.ledger(account));
        let part = format!("the reward offset of {account} for {token} in programme {id}");
        let call = IRewards::rewardOffsetCall { pool: id, rewardToken: token, account };
        let offset = Check::equal(part, rewards, &call, U256::from(offset));
        let part = format!("the harvest consent of {account} for {token} in programme {id}");
        let call = IRewards::harvestConsentCall { pool: id, rewardToken: token, account };
        let consent = IRewards::HarvestConsent {
            enabled: consent.enabled,
            compounds: consent.compounds,
            tipBps: consent.tip_bps,
            smallest: Uint::saturating_from(consent.smallest),
        };
        [offset, Check::equal(part, rewards, &call, consent)]
    }))
}

/// An order of an account at the guard.
pub(super) fn order(
    guard: Address,
    market: &MarketBook,
    (account, kind, placed): (Address, OrderKind, &PlacedOrder),
) -> Check {
    let (id, PlacedOrder { order, last_executed }) = (market.id().0, placed);
    let Order { trigger_price, .. } = *order;
    let terms = IGuard::Order {
        triggerLtvBps: order.trigger_ltv_bps,
        targetLtvBps: order.target_ltv_bps,
        triggerPrice: trigger_price,
        premiumStartPpm: order.premium_start_ppm,
        premiumEndPpm: order.premium_end_ppm,
        rampBps: order.ramp_bps,
        requireBorrowPrice: order.require_borrow_price,
        uses: order.uses,
        expiry: Uint::saturating_from(order.expiry),
        cooldownSecs: Uint::saturating_from(order.cooldown_secs),
        flatTip: Uint::saturating_from(order.flat_tip),
        maxOwn: Uint::saturating_from(order.max_own),
    };
    let part = format!("the order {} of {account} in market {id}", kind.name());
    let number = match kind {
        OrderKind::Protect => IGuard::Kind::Protect,
        OrderKind::CloseBelow => IGuard::Kind::CloseBelow,
        OrderKind::CloseAbove => IGuard::Kind::CloseAbove,
    };
    let call = IGuard::orderCall { account, id, kind: number };
    Check::equal(part, guard, &call, IGuard::orderReturn { _0: terms, lastExecuted: U256::from(*last_executed) })
}

/// Caps and allocators of a vault.
pub(super) fn vault(vault: &VaultBook) -> impl Iterator<Item = Check> + '_ {
    let (address, state) = (vault.address(), vault.state());
    let caps = state.caps.iter().map(move |(id, cap)| {
        let (part, shown) = (format!("the cap {id} of vault {address}"), format!("{cap:?}"));
        let (absolute, relative) = (U256::from(cap.absolute), U256::from(cap.relative_bps));
        Check::fitting(part, shown, address, &capCall { capId: *id }, move |on_chain| {
            (on_chain.absolute, on_chain.relativeBps) == (absolute, relative)
        })
    });
    let allocators = state.allocators.iter().map(move |account| {
        let part = format!("that {account} allocates for vault {address}");
        Check::equal(part, address, &isAllocatorCall { account: *account }, true)
    });
    caps.chain(allocators)
}

/// Compares a registered node: its operator, its kind and its stake.
pub(super) fn node(registry: Address, (id, node): (u32, &NodeState)) -> Check {
    let NodeState { operator, kind, emission_stake, .. } = *node;
    Check::fitting(format!("node {id}"), format!("{node:?}"), registry, &nodeCall { id }, move |on_chain| {
        (on_chain.operator, on_chain.kind, on_chain.emissionStake) == (operator, kind, emission_stake)
    })
}

/// Proposals of another contract than a known governor, in words: what that says of itself is worth nothing.
pub(super) fn strangers<'b>(contracts: &'b GovernanceContracts, book: &'b Book) -> impl Iterator<Item = String> + 'b {
    let proposals = book.governance().proposals.iter();
    proposals.filter(|(_, proposal)| !contracts.governors.contains(&proposal.governor)).map(|(id, proposal)| {
        format!("the governor of proposal {id}: {} in the book, which is none of the configuration", proposal.governor)
    })
}

/// Compares what is scheduled and proposed, as far as it has not expired at a time: that it waits, and that its calls are
/// those of the book.
pub(super) fn governance<'b>(
    contracts: &'b GovernanceContracts,
    book: &'b Book,
    timestamp: u64,
) -> impl Iterator<Item = Check> + 'b {
    let state = book.governance();
    let operations = state.operations.iter().filter(move |(_, operation)| operation.expires() > timestamp);
    let operations = operations.flat_map(move |(id, found)| operation(contracts, *id, found));
    let proposals = state.proposals.iter().filter(move |(_, proposal)| proposal.expires() > timestamp);
    operations.chain(proposals.flat_map(move |(id, found)| proposal(*id, found)))
}

fn operation(contracts: &GovernanceContracts, id: B256, operation: &Operation) -> impl Iterator<Item = Check> {
    let Operation { nonce, due, caller, call, opposition } = operation;
    let manager = contracts.manager;
    let hash = IAccessManager::hashOperationCall { caller: *caller, target: call.target, data: call.data.clone() };
    let own = [
        Check::equal(format!("the call of operation {id}"), manager, &hash, id),
        Check::equal(
            format!("the due time of operation {id}"),
            manager,
            &IAccessManager::getScheduleCall { id },
            Uint::saturating_from(*due),
        ),
        Check::equal(format!("the nonce of operation {id}"), manager, &IAccessManager::getNonceCall { id }, *nonce),
    ];
    let at_brakes = contracts.brakes.iter().map(|brake| {
        let weight = opposition.get(brake).map_or(U256::ZERO, |found| found.weight);
        let operation = IBrake::Operation { caller: *caller, target: call.target, data: call.data.clone() };
        let part = format!("the weight that opposes operation {id} at {brake}");
        Check::fitting(part, weight.to_string(), *brake, &IBrake::oppositionCall { operation }, move |on_chain| {
            // The end of a round has no event.
            on_chain.endsAt.is_zero() || on_chain.weight == weight
        })
    });
    own.into_iter().chain(at_brakes.collect::<Vec<_>>())
}

fn proposal(id: B256, proposal: &Proposal) -> Vec<Check> {
    let Proposal { governor, proposer, calls, description_hash, due, .. } = proposal;
    let (number, asked) = (U256::from_be_bytes(id.0), *governor);
    let hash = IGovernor::hashProposalCall {
        targets: calls.iter().map(|call| call.target).collect(),
        values: calls.iter().map(|call| call.value).collect(),
        calldatas: calls.iter().map(|call| call.data.clone()).collect(),
        descriptionHash: *description_hash,
    };
    let is_open = |state: &u8| !ENDED.contains(state);
    vec![
        Check::equal(format!("the calls of proposal {id}"), asked, &hash, number),
        Check::equal(
            format!("the proposer of proposal {id}"),
            asked,
            &IGovernor::proposalProposerCall { proposalId: number },
            *proposer,
        ),
        Check::equal(
            format!("the due time of proposal {id}"),
            asked,
            &IGovernor::proposalEtaCall { proposalId: number },
            U256::from(due.unwrap_or(0)),
        ),
        Check::fitting(
            format!("the state of proposal {id}"),
            "neither cancelled nor executed".to_owned(),
            asked,
            &IGovernor::stateCall { proposalId: number },
            is_open,
        ),
    ]
}
