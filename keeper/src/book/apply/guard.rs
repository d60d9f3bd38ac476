//! Applying the guard's events.

use alloy::primitives::{Address, U256};
use plimsoll_contracts::IGuard::{self, IGuardEvents};

use super::Application;
use crate::{
    book::{at, error::EventError, orders::PlacedOrder, undo_log::Change},
    math::guard::{Order, OrderKind},
};

impl Application<'_> {
    pub(super) fn apply_guard_event(&mut self, event: &IGuardEvents) -> Result<(), EventError> {
        match event {
            IGuardEvents::PlaceOrder(IGuard::PlaceOrder { id, account, kind, order }) => {
                let placed = PlacedOrder { order: terms(order), last_executed: 0 };
                self.set_order(self.market(*id)?, *account, kind_of(*kind)?, Some(placed));
                Ok(())
            }
            IGuardEvents::CancelOrder(IGuard::CancelOrder { id, account, kind }) => {
                // Anybody can cancel an order that never was, of a market that never was.
                if let Ok(market) = self.market(*id) {
                    self.set_order(market, *account, kind_of(*kind)?, None);
                }
                Ok(())
            }
            IGuardEvents::CancelAllOrders(IGuard::CancelAllOrders { account, .. }) => {
                for market in (0..).take(self.book.markets.len()) {
                    for kind in OrderKind::ALL {
                        self.set_order(market, *account, kind, None);
                    }
                }
                Ok(())
            }
            IGuardEvents::ExecuteOrder(event) => self.execute_order(event),
            // Signatures are not in the book.
            IGuardEvents::UseNonce(_) => Ok(()),
        }
    }

    /// Applies an execution, which uses the order once.
    fn execute_order(&mut self, event: &IGuard::ExecuteOrder) -> Result<(), EventError> {
        let (market, account, kind) = (self.market(event.id)?, event.account, kind_of(event.kind)?);
        let timestamp = self.block.timestamp;
        let placed = self.book.markets[at(market)].orders.get(account, kind);
        let executable = placed.filter(|placed| {
            placed.is_valid_at(timestamp) && placed.executable_from() <= timestamp && placed.order.uses != 0
        });
        let PlacedOrder { order, .. } = executable.ok_or(EventError::NotExecutable { account, kind })?;
        let uses = order.uses - 1;
        if event.usesLeft != U256::from(uses) {
            return Err(EventError::NotExecutable { account, kind });
        }
        let left = PlacedOrder { order: Order { uses, ..order }, last_executed: timestamp };
        self.set_order(market, account, kind, (uses != 0).then_some(left));
        Ok(())
    }

    /// Removes the orders that have expired before the block.
    pub(in crate::book) fn expire_orders(&mut self) {
        for market in (0..).take(self.book.markets.len()) {
            while let Some((account, kind)) = self.book.markets[at(market)].orders.expired_before(self.block.timestamp)
            {
                self.set_order(market, account, kind, None);
            }
        }
    }

    fn set_order(&mut self, market: u32, account: Address, kind: OrderKind, order: Option<PlacedOrder>) {
        let before = self.book.markets[at(market)].set_order(account, kind, order);
        if before != order {
            self.changes.push(Change::Order { market, account, kind, before: before.map(Box::new) });
        }
    }
}

fn kind_of(kind: IGuard::Kind) -> Result<OrderKind, EventError> {
    OrderKind::from_number(kind as u8).ok_or(EventError::UnknownOrderKind)
}

fn terms(order: &IGuard::Order) -> Order {
    Order {
        trigger_ltv_bps: order.triggerLtvBps,
        target_ltv_bps: order.targetLtvBps,
        trigger_price: order.triggerPrice,
        premium_start_ppm: order.premiumStartPpm,
        premium_end_ppm: order.premiumEndPpm,
        ramp_bps: order.rampBps,
        require_borrow_price: order.requireBorrowPrice,
        uses: order.uses,
        expiry: order.expiry.to(),
        cooldown_secs: order.cooldownSecs.to(),
        flat_tip: order.flatTip.to(),
        max_own: order.maxOwn.to(),
    }
}
