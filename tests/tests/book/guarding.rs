//! Random orders at the guard, and their execution, which the contracts may refuse.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes, U256, Uint},
    sol_types::SolCall,
};
use eyre::ContextCompat;
use plimsoll_contracts::{
    IGuard::{self, IGuardEvents},
    IPlimsoll,
};
use plimsoll_keeper::{
    book::MarketBook,
    chain::Event,
    math::guard::{Execution, Order, OrderKind},
};

use super::{
    BookFollower,
    simulation::{LocalMarket, Simulation},
};

/// Longest duration of an order, in seconds: some expire within the simulation.
const MAX_DURATION: u64 = 2_000_000;

impl Simulation<'_> {
    /// Places, replaces or cancels an order of a random actor.
    pub(super) async fn random_guard_action(&mut self) -> eyre::Result<()> {
        let index = self.below(self.markets.len());
        let LocalMarket { params, price, scale, .. } = self.markets[index].clone();
        let (id, account) = (params.id().0, self.anybody());
        let kind = self.some_kind();
        let call = match self.random.below(12) {
            0 => IGuard::cancelCall { id, kind: number(kind) }.abi_encode(),
            1 => IGuard::cancelAllCall {}.abi_encode(),
            _ => {
                let order = self.some_order(kind, price, scale);
                IGuard::placeCall { id, kind: number(kind), order }.abi_encode()
            }
        };
        self.enqueue(account, self.guard, call).await
    }

    fn some_kind(&mut self) -> OrderKind {
        OrderKind::ALL[self.below(3)]
    }

    /// Returns the terms of an order; few are refused.
    fn some_order(&mut self, kind: OrderKind, price: U256, scale: u128) -> IGuard::Order {
        let protects = kind == OrderKind::Protect;
        let trigger = if protects { 100 * (30 + self.random.below(60)) } else { 0 };
        let target = if protects && self.below(4) != 0 { self.random.below(trigger) } else { 0 };
        let start = self.random.below(15_000);
        let own = if self.below(3) == 0 { self.random.amount_to(100_000_000 * scale) } else { 0 };
        let tip = if self.below(4) == 0 { self.random.amount_to(2_000 * scale) } else { 0 };
        let duration = 1 + self.random.below(MAX_DURATION);
        let percent = U256::from(85 + self.random.below(30));
        IGuard::Order {
            triggerLtvBps: u16::try_from(trigger).unwrap_or(0),
            targetLtvBps: u16::try_from(target).unwrap_or(0),
            triggerPrice: if protects { U256::ZERO } else { price * percent / U256::from(100) },
            premiumStartPpm: u16::try_from(start).unwrap_or(0),
            premiumEndPpm: u16::try_from(start + self.random.below(15_000)).unwrap_or(0),
            rampBps: u16::try_from(1 + self.random.below(3_000)).unwrap_or(1),
            requireBorrowPrice: self.below(2) == 0,
            uses: u8::try_from(1 + self.random.below(3)).unwrap_or(1),
            expiry: Uint::from(self.timestamp + duration),
            cooldownSecs: Uint::from(600 + self.random.below(100_000)),
            flatTip: Uint::from(tip),
            maxOwn: Uint::from(own),
        }
    }
}

/// Mines a block with a single execution of an order whose trigger is met, if there is one. Its amounts must equal those
/// of the keeper's arithmetic.
pub(super) async fn execute_order(
    follower: &mut BookFollower,
    simulation: &mut Simulation<'_>,
) -> eyre::Result<Vec<Event>> {
    let index = simulation.below(simulation.markets.len());
    let LocalMarket { params, price, .. } = simulation.markets[index].clone();
    let timestamp = simulation.next_timestamp();
    let market = follower.book.market(params.id()).wrap_err("the market is not in the book")?;
    let mut executable = market.triggered_orders(price, timestamp, 0);
    // The core sells no less than a unit.
    executable.retain(|order| order.placed.executable_from() <= timestamp && order.execution.sold != 0);
    let mut expected = BTreeMap::<Address, Execution>::new();
    if !executable.is_empty() {
        let order = executable[simulation.below(executable.len())];
        let (totals, min_debt, terms) = (market.at(timestamp), market.risk().min_debt(), order.placed.order);
        // Every actor has more of every token than any order uses, and has approved the guard.
        let execution = totals.execute_order(order.loan, &terms, order.kind, price, min_debt, terms.max_own);
        expected.insert(order.account, execution.wrap_err("the trigger is met")?);
        let caller = simulation.anybody();
        let call = IGuard::executeCall {
            params,
            account: order.account,
            kind: number(order.kind),
            minSold: U256::ZERO,
            receiver: caller,
            data: Bytes::new(),
        };
        simulation.enqueue(caller, simulation.guard, call.abi_encode()).await?;
    }
    simulation.mine_at(timestamp).await?;
    let events = follower.apply_new_blocks(simulation).await?;
    let mut done = BTreeMap::new();
    for event in &events {
        if let Event::Guard(IGuardEvents::ExecuteOrder(event)) = event {
            let IGuard::Execution { premium, own, ownReward, payment, sold } = &event.execution;
            let execution = Execution {
                premium: premium.try_into()?,
                own: own.try_into()?,
                own_reward: ownReward.try_into()?,
                payment: payment.try_into()?,
                sold: sold.try_into()?,
            };
            done.insert(event.account, execution);
        }
    }
    assert_eq!(done, expected);
    Ok(events)
}

/// Asserts that the orders of all actors equal the guard's storage, but for those that have expired, and that those whose
/// triggers are met are found.
pub(super) async fn assert_same_orders(
    market: &MarketBook,
    price: U256,
    simulation: &Simulation<'_>,
) -> eyre::Result<()> {
    let guard = IGuard::new(simulation.guard, simulation.provider());
    let (timestamp, totals) = (simulation.timestamp, market.at(simulation.timestamp));
    let mut triggered = Vec::new();
    for account in &simulation.actors {
        for kind in OrderKind::ALL {
            let on_chain = guard.order(*account, market.id().0, number(kind)).call().await?;
            let (stored, last_executed): (IGuard::Order, u64) = (on_chain._0, on_chain.lastExecuted.to());
            let found = market.order(*account, kind);
            if stored.uses == 0 || stored.expiry.to::<u64>() < timestamp {
                assert_eq!(found, None, "{account} {kind:?}");
                continue;
            }
            let placed = found.wrap_err_with(|| format!("{account} has an order to {}", kind.name()))?;
            assert_eq!((as_stored(&placed.order), placed.last_executed), (stored, last_executed), "{account} {kind:?}");
            let loan = market.position(*account).loan();
            if totals.execute_order(loan, &placed.order, kind, price, market.risk().min_debt(), 0).is_some() {
                triggered.push((*account, kind));
            }
        }
    }
    let found = market.triggered_orders(price, timestamp, 0);
    let mut found: Vec<_> = found.iter().map(|order| (order.account, order.kind)).collect();
    found.sort_unstable();
    triggered.sort_unstable();
    assert_eq!(found, triggered);
    Ok(())
}

fn as_stored(order: &Order) -> IGuard::Order {
    IGuard::Order {
        triggerLtvBps: order.trigger_ltv_bps,
        targetLtvBps: order.target_ltv_bps,
        triggerPrice: order.trigger_price,
        premiumStartPpm: order.premium_start_ppm,
        premiumEndPpm: order.premium_end_ppm,
        rampBps: order.ramp_bps,
        requireBorrowPrice: order.require_borrow_price,
        uses: order.uses,
        expiry: Uint::from(order.expiry),
        cooldownSecs: Uint::from(order.cooldown_secs),
        flatTip: Uint::from(order.flat_tip),
        maxOwn: Uint::from(order.max_own),
    }
}

const fn number(kind: OrderKind) -> IGuard::Kind {
    match kind {
        OrderKind::Protect => IGuard::Kind::Protect,
        OrderKind::CloseBelow => IGuard::Kind::CloseBelow,
        OrderKind::CloseAbove => IGuard::Kind::CloseAbove,
    }
}

/// Returns the call to the core by which an actor authorises the guard.
pub(super) fn authorisation(guard: Address) -> Vec<u8> {
    IPlimsoll::setAuthorizationCall { authorized: guard, expiry: U256::MAX }.abi_encode()
}
