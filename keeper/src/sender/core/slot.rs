//! One nonce: who holds it, what was signed for it, and what became of it.

use alloy::primitives::B256;

use crate::{
    intent::Urgency,
    sender::{
        journal::{Attempt, Entry, Fees, Kind, State},
        outcome::Receipt,
        verdict::Verdict,
    },
};

/// What a nonce is being used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// To carry its holder's intent out.
    Call,
    /// To be used up.
    Cancel,
    /// For nothing: nodes refuse everything that was signed for it. Whoever comes next may have it.
    Vacant,
}

/// What is known of a signed transaction's way into pools. It is not journalled, and unknown after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A pool may have it.
    Unknown,
    /// A pool has it.
    Taken,
    /// Refused for its price: what replaces it must offer more.
    TooCheap,
    /// Refused by all.
    Refused,
}

/// An entry that holds or held the nonce.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) entry: Entry,
    /// Whether it was reported to be over.
    pub(super) is_told: bool,
}

impl Claim {
    pub(super) fn has(&self, hash: B256) -> bool {
        self.entry.attempts.iter().any(|attempt| attempt.hash == hash)
    }
}

/// Nothing is final about a slot while it exists.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) nonce: u64,
    /// In turn; the last holds the nonce now.
    pub(super) claims: Vec<Claim>,
    pub(super) aim: Aim,
    /// The newest attempt's standing is the last; one for each attempt of every claim.
    standings: Vec<(B256, Fees, Standing)>,
    /// What is being signed.
    pub(super) signing: Option<(Kind, Fees)>,
    /// The receipt of the attempt that is in a block now.
    pub(super) mined: Option<Receipt>,
    /// Since which block a transaction that is not ours has the nonce.
    pub(super) taken_since: Option<u64>,
    /// The block at which something was broadcast last since the start, and how often the price was raised in it.
    pub(super) shown_at: Option<u64>,
    pub(super) raised: u32,
}

impl Slot {
    pub(super) fn new(entry: Entry) -> Self {
        let mut slot = Self {
            nonce: entry.nonce,
            claims: Vec::new(),
            aim: Aim::Call,
            standings: Vec::new(),
            signing: None,
            mined: None,
            taken_since: None,
            shown_at: None,
            raised: 0,
        };
        slot.hand_to(entry);
        slot
    }

    /// Gives the nonce to another entry. Everything signed before stays: any of it may still be mined.
    pub(super) fn hand_to(&mut self, entry: Entry) {
        let cancels = entry.attempts.last().is_some_and(|last| last.kind == Kind::Cancel);
        self.aim = if cancels { Aim::Cancel } else { Aim::Call };
        self.standings.extend(entry.attempts.iter().map(|attempt| (attempt.hash, attempt.fees, Standing::Unknown)));
        self.claims.push(Claim { entry, is_told: false });
    }

    /// Who holds the nonce.
    pub(super) fn holder(&self) -> Option<&Claim> {
        self.claims.last()
    }

    pub(super) fn holder_mut(&mut self) -> Option<&mut Claim> {
        self.claims.last_mut()
    }

    /// Whether it waits to be mined.
    pub(super) const fn is_pending(&self) -> bool {
        self.mined.is_none() && self.taken_since.is_none() && !matches!(self.aim, Aim::Vacant)
    }

    /// Whether anybody may have it.
    pub(super) const fn is_vacant(&self) -> bool {
        self.mined.is_none() && self.taken_since.is_none() && matches!(self.aim, Aim::Vacant)
    }

    /// Whether an urgent intent may have it.
    pub(super) fn is_displaceable(&self) -> bool {
        let is_patient = self.holder().is_some_and(|claim| claim.entry.intent.urgency == Urgency::Patient);
        self.is_pending() && self.aim == Aim::Call && is_patient
    }

    /// Whether an urgent intent waits in it.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_pending() && self.holder().is_some_and(|claim| claim.entry.intent.urgency == Urgency::Urgent)
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.claims.iter().flat_map(|claim| &claim.entry.attempts)
    }

    pub(super) fn has(&self, hash: B256) -> bool {
        self.attempts().any(|attempt| attempt.hash == hash)
    }

    /// Notes what was signed for the holder.
    pub(super) fn push(&mut self, attempt: Attempt, now: u64) {
        self.standings.push((attempt.hash, attempt.fees, Standing::Unknown));
        if let Some(claim) = self.holder_mut() {
            claim.entry.attempts.push(attempt);
            claim.entry.state = State::Sent;
            claim.entry.changed_at = now;
        }
    }

    /// The newest that was signed.
    pub(super) fn newest(&self) -> Option<&Attempt> {
        self.claims.iter().rev().find_map(|claim| claim.entry.attempts.last())
    }

    /// What of the holder's attempts to show to nodes: the newest that serves the aim and was not refused, or else the
    /// newest that serves the aim.
    pub(super) fn to_show(&self) -> Option<&Attempt> {
        let kind = if self.aim == Aim::Cancel { Kind::Cancel } else { Kind::Call };
        let attempts = &self.holder()?.entry.attempts;
        let find = |hash| attempts.iter().find(|attempt| attempt.hash == hash && attempt.kind == kind);
        let newest_first = || self.standings.iter().rev();
        let not_refused = newest_first().filter(|(_, _, standing)| *standing != Standing::Refused);
        not_refused.chain(newest_first()).find_map(|(hash, ..)| find(*hash))
    }

    /// What a replacement must outbid, where there may be something to replace.
    pub(super) fn floor(&self) -> Option<Fees> {
        let counted = self.standings.iter().filter(|(_, _, standing)| *standing != Standing::Refused);
        counted
            .map(|(_, fees, _)| *fees)
            .reduce(|a, b| Fees { max_fee: a.max_fee.max(b.max_fee), tip: a.tip.max(b.tip) })
    }

    /// Notes an answer. The nonce becomes vacant when nodes have refused everything; the answer is whether it just did.
    pub(super) fn judge(&mut self, hash: B256, verdict: Verdict) -> bool {
        let Some((_, _, standing)) = self.standings.iter_mut().find(|(known, ..)| *known == hash) else { return false };
        match verdict {
            Verdict::Accepted => *standing = Standing::Taken,
            Verdict::TooCheap if *standing == Standing::Unknown => *standing = Standing::TooCheap,
            Verdict::NoFunds | Verdict::Never => *standing = Standing::Refused,
            _ => {}
        }
        let is_refused = |(_, _, standing): &(B256, Fees, Standing)| *standing == Standing::Refused;
        let becomes_vacant = self.is_pending() && self.standings.iter().all(is_refused);
        if becomes_vacant {
            self.aim = Aim::Vacant;
        }
        becomes_vacant
    }

    /// What was mined no longer is: it holds the nonce again, and is shown again before anything else. Nobody knows what
    /// pools still have.
    pub(super) fn take_back(&mut self, mined: B256) {
        for (_, _, standing) in &mut self.standings {
            *standing = Standing::Unknown;
        }
        if let Some(at) = self.standings.iter().position(|(hash, ..)| *hash == mined) {
            let shown = self.standings.remove(at);
            self.standings.push(shown);
        }
        let Some(at) = self.claims.iter().position(|claim| claim.has(mined)) else { return };
        let mut winner = self.claims.remove(at);
        winner.is_told = false;
        if let Some(last) = self.claims.last() {
            winner.entry.turn = winner.entry.turn.max(last.entry.turn.saturating_add(1));
        }
        let cancelled = |attempt: &Attempt| attempt.hash == mined && attempt.kind == Kind::Cancel;
        self.aim = if winner.entry.attempts.iter().any(cancelled) { Aim::Cancel } else { Aim::Call };
        self.claims.push(winner);
    }
}
