//! What is offered for a nonce: fees within the expected gain and the signer's balance; and when a cancellation is worth
//! its gas.

use alloy::primitives::{U256, ruint::UintTryTo};

use super::{
    Core,
    nonce_slot::{NoncePurpose, NonceSlot},
};
use crate::{
    chain::Header,
    intent::{DropReason, Fees, Intent},
    sender::journal::AttemptKind,
};

/// Gas of a transaction that finds nothing to do: it fails before it moves anything.
const REVERT_GAS: u64 = 60_000;

impl Core {
    /// Returns the fees to offer for an intent with the nonce of a slot, or with a new one.
    pub(super) fn call_fees(
        &self,
        intent: &Intent,
        slot: Option<&NonceSlot>,
        head: Header,
    ) -> Result<Fees, DropReason> {
        let outbid = slot.and_then(NonceSlot::fees_to_outbid);
        let fees = self.settings.fees.fees_for(intent, head.base_fee, outbid)?;
        self.clamp(fees, outbid, intent.gas_limit, slot, head)
    }

    /// Lowers fees to what the signer's balance covers besides its other transactions. Fails if that is too low to be mined
    /// in the next block, or to replace what the slot has.
    pub(super) fn clamp(
        &self,
        fees: Fees,
        outbid: Option<Fees>,
        gas_limit: u64,
        slot: Option<&NonceSlot>,
        head: Header,
    ) -> Result<Fees, DropReason> {
        if self.is_short_of_funds {
            return Err(DropReason::InsufficientFunds);
        }
        let gas = U256::from(gas_limit.max(1));
        let needed = gas.saturating_mul(U256::from(self.settings.fees.least_fee(head.base_fee, outbid)));
        let others = self.slots.values().filter(|other| slot.is_none_or(|slot| slot.nonce != other.nonce));
        let committed =
            others.filter(|other| other.mined.is_none()).map(|other| other.committed(self.settings.cancel_gas));
        let committed = committed.fold(U256::ZERO, U256::saturating_add);
        let available = self.balance.map_or(U256::MAX, |balance| balance.saturating_sub(committed));
        if needed > available {
            return Err(DropReason::Unaffordable { needed, available });
        }
        let limit: u128 = (available / gas).uint_try_to().unwrap_or(u128::MAX);
        Ok(Fees {
            max_fee_per_gas: fees.max_fee_per_gas.min(limit),
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas.min(limit),
        })
    }

    /// Uses up free nonces that are in the way of pending ones, and those whose transaction a public pool may have and
    /// that would cost more if it were mined and reverted. No others: waiting for the next intent costs nothing.
    pub(super) fn use_up_free_nonces(&mut self, head: Header) {
        let last =
            self.slots.values().filter(|slot| slot.is_pending()).map(|slot| slot.nonce).max().unwrap_or_default();
        let free = self.slots.values().filter(|slot| slot.is_free());
        let used_up = free.filter(|slot| slot.nonce < last || self.is_cheaper_to_cancel(slot, head));
        for nonce in used_up.map(|slot| slot.nonce).collect::<Vec<_>>() {
            // A cancellation that is too expensive waits until gas is cheaper.
            self.cancel(nonce, head).ok();
        }
    }

    /// Whether a public pool may have a transaction of a free nonce that could be mined now, and whose revert would cost
    /// more than a cancellation.
    fn is_cheaper_to_cancel(&self, slot: &NonceSlot, head: Header) -> bool {
        let Some(pooled) = slot.fees_to_outbid().filter(|_| slot.is_public) else { return false };
        let fees = &self.settings.fees;
        if pooled.max_fee_per_gas < u128::from(head.base_fee) {
            return false;
        }
        let Ok(cancellation) = fees.cancellation_fees(head.base_fee, Some(pooled)) else { return false };
        let cost = |gas: u64, fees: Fees| {
            let paid = fees.max_priority_fee_per_gas.saturating_add(head.base_fee.into()).min(fees.max_fee_per_gas);
            U256::from(gas).saturating_mul(U256::from(paid))
        };
        cost(self.settings.cancel_gas, cancellation) < cost(self.settings.cancel_gas.max(REVERT_GAS), pooled)
    }

    /// Orders a cancellation that uses the nonce up, or broadcasts again the one that nodes rejected. Fails if its fees
    /// are beyond the limit for cancellations, or if nothing can be tried before the next block.
    pub(super) fn cancel(&mut self, nonce: u64, head: Header) -> Result<(), DropReason> {
        let Some(slot) = self.slots.get(&nonce) else { return Ok(()) };
        let outbid = slot.fees_to_outbid();
        let fees = self.settings.fees.cancellation_fees(head.base_fee, outbid)?;
        let fees = self.clamp(fees, outbid, self.settings.cancel_gas, Some(slot), head)?;
        let rejected = slot.newest_attempt().filter(|newest| newest.kind == AttemptKind::Cancel && outbid.is_none());
        let may_broadcast_again =
            rejected.is_some_and(|newest| !self.settings.fees.is_below_base_fee(newest.fees, head.base_fee));
        let is_tried = rejected.is_some() && slot.last_broadcast == Some(head.number);
        if is_tried {
            return Err(DropReason::RejectedByNodes);
        }
        if let Some(slot) = self.slots.get_mut(&nonce) {
            slot.purpose = NoncePurpose::Cancel;
        }
        if may_broadcast_again {
            self.broadcast(nonce);
        } else {
            self.order_signature(nonce, AttemptKind::Cancel, fees);
        }
        Ok(())
    }
}
