//! What is offered for a nonce: fees within the expected gain and the signer's balance; and when a cancellation is worth
//! its gas.

use alloy::primitives::{U256, ruint::UintTryTo};

use super::{
    Core,
    nonce_slot::{NoncePurpose, NonceSlot},
};
use crate::{
    chain::Header,
    intent::{DropReason, Fees, GuardKind, Intent},
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
        let (policy, outbid) = (&self.settings.fees, slot.and_then(NonceSlot::fees_to_outbid));
        let fees = policy.fees_for(intent, head.base_fee, outbid)?;
        self.clamp(fees, policy.least_fee(head.base_fee, outbid), intent.gas_limit, slot)
    }

    /// Returns the fees to offer for a cancellation of a slot's transactions. Where others wait behind it, or where one of
    /// them could be mined now, it is to be mined in the next block. Else it only takes their place in the pools: it is mined,
    /// and paid for, when gas is about as cheap as they wanted it.
    pub(super) fn cancellation_fees(
        &self,
        slot: &NonceSlot,
        head: Header,
        holds_up_others: bool,
    ) -> Result<Fees, DropReason> {
        let (policy, outbid) = (&self.settings.fees, slot.fees_to_outbid());
        let parked = outbid.filter(|_| !holds_up_others && slot.is_below(head.base_fee));
        let (fees, least) = match parked {
            Some(outbid) => {
                let fees = policy.replacement_fees(outbid)?;
                (fees, fees.max_fee_per_gas)
            }
            None => (policy.cancellation_fees(head.base_fee, outbid)?, policy.least_fee(head.base_fee, outbid)),
        };
        self.clamp(fees, least, self.settings.cancel_gas, Some(slot))
    }

    /// Lowers fees to what the signer's balance covers besides its other transactions. Fails if that is below `least`.
    fn clamp(&self, fees: Fees, least: u128, gas_limit: u64, slot: Option<&NonceSlot>) -> Result<Fees, DropReason> {
        if self.is_short_of_funds {
            return Err(DropReason::InsufficientFunds);
        }
        let gas = U256::from(gas_limit.max(1));
        let needed = gas.saturating_mul(U256::from(least));
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
        let last = self.last_pending().unwrap_or_default();
        let used_up = self.free_slots().filter(|slot| slot.nonce < last || self.is_cheaper_to_cancel(slot, head));
        for nonce in used_up.map(|slot| slot.nonce).collect::<Vec<_>>() {
            // A cancellation that is too expensive waits until gas is cheaper.
            self.cancel(nonce, head, nonce < last).ok();
        }
    }

    /// Whether a public pool may have a transaction of a free nonce that would cost more than a cancellation when it is
    /// mined, now or when gas is cheaper: by its revert, or by all of its gas where nothing on chain makes it revert.
    fn is_cheaper_to_cancel(&self, slot: &NonceSlot, head: Header) -> bool {
        let Some(pooled) = slot.fees_to_outbid().filter(|_| slot.is_public) else { return false };
        let fees = &self.settings.fees;
        let Ok(cancellation) = fees.replacement_fees(pooled) else { return false };
        let wasted_gas = slot.holders.iter().map(|holder| match holder.entry.intent.guard {
            GuardKind::OnChain => REVERT_GAS,
            GuardKind::UpTo(_) | GuardKind::None => holder.entry.intent.expected_gas.max(REVERT_GAS),
        });
        let wasted_gas = wasted_gas.max().unwrap_or(REVERT_GAS);
        let cost = |gas: u64, fees: Fees| {
            let paid = fees.max_priority_fee_per_gas.saturating_add(head.base_fee.into()).min(fees.max_fee_per_gas);
            U256::from(gas).saturating_mul(U256::from(paid))
        };
        cost(self.settings.cancel_gas, cancellation) < cost(self.settings.cancel_gas.max(wasted_gas), pooled)
    }

    /// Orders a cancellation that uses the nonce up, or broadcasts again the one that nodes rejected. Fails if its fees
    /// are beyond the limit for cancellations, or if nothing can be tried before the next block.
    pub(super) fn cancel(&mut self, nonce: u64, head: Header, holds_up_others: bool) -> Result<(), DropReason> {
        let Some(slot) = self.slots.get(&nonce) else { return Ok(()) };
        let fees = self.cancellation_fees(slot, head, holds_up_others)?;
        let is_rejected = slot.fees_to_outbid().is_none();
        let rejected = slot.newest_attempt().filter(|newest| newest.kind == AttemptKind::Cancel && is_rejected);
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
