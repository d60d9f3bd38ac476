//! Decisions of low priority: about orders, vaults that leave a flagged market, what governance has due and jobs of nodes,
//! and in blocks in which nothing else is sent about all vaults and about rewards.

use std::collections::BTreeSet;

use alloy::primitives::B256;
use tokio::time::Instant;

use super::{Engine, pricing::Pricing};
use crate::strategies::{BlockContext, Decisions, gas::Costs};

impl Engine {
    /// Decides about orders in markets that are not `busy` with liquidations, about vaults, and about rewards where nothing
    /// else is sent. Submits what pays. When many loans are liquidated, vaults must still be able to leave, but not to
    /// look for a better rate.
    pub(super) async fn decide_low_priority(
        &mut self,
        context: BlockContext<'_>,
        head_at: Instant,
        busy: &BTreeSet<B256>,
        sends_nothing: bool,
    ) {
        let executes_nothing = self.execute_orders(context, head_at, busy).await;
        let is_quiet = sends_nothing && executes_nothing;
        self.rebalance(context, head_at, is_quiet).await;
        self.execute_operations(context, head_at).await;
        self.advance_jobs(context, head_at).await;
        if is_quiet {
            self.collect_vouchers(context, head_at).await;
        }
        if is_quiet && self.strategies.harvests_rewards() {
            self.harvest(context, head_at).await;
        }
    }

    /// Decides about orders, and submits what pays. Returns whether that is nothing.
    async fn execute_orders(&mut self, context: BlockContext<'_>, head_at: Instant, busy: &BTreeSet<B256>) -> bool {
        let costs = Costs { margin_bps: self.config.guard.min_margin_bps, ..context.costs };
        let context = BlockContext { costs, ..context };
        let exclusion = self.submissions.exclusion(context.header.number, &self.pauses.active);
        let Pricing { harvest_reader: reader, valuer, .. } = &mut self.pricing;
        let book = self.follower.book();
        let round = self.strategies.orders(reader, valuer, book, context, &exclusion, busy).await;
        let Some(Decisions { intents, verdicts, .. }) = round else { return true };
        let sends_nothing = intents.is_empty();
        for intent in intents {
            self.submit(intent, context.header, head_at, costs.gas_price);
        }
        let decisions = verdicts.into_iter().map(|verdict| (verdict.target, verdict.decision)).collect();
        self.view.record_order_decisions(decisions, context.header.number);
        sends_nothing
    }

    /// Decides about vaults, in a block that is not quiet about those only that leave a flagged market, and submits what
    /// pays.
    async fn rebalance(&mut self, context: BlockContext<'_>, head_at: Instant, is_quiet: bool) {
        let costs = Costs { margin_bps: self.config.rebalance.min_margin_bps, ..context.costs };
        let context = BlockContext { costs, ..context };
        let exclusion = self.submissions.exclusion(context.header.number, &self.pauses.active);
        let Pricing { harvest_reader: reader, valuer, .. } = &mut self.pricing;
        let book = self.follower.book();
        let results = self.ledger.results();
        let round = self.strategies.rebalances(reader, valuer, book, context, (&exclusion, results), is_quiet).await;
        let Some(Decisions { intents, verdicts, .. }) = round else { return };
        for intent in intents {
            self.submit(intent, context.header, head_at, costs.gas_price);
        }
        for verdict in verdicts {
            self.view.record_vault_decision(verdict.target, verdict.decision, context.header.number);
        }
    }

    /// Decides about what governance has due, and submits it within its budget. Without anything due no request is made.
    async fn execute_operations(&mut self, context: BlockContext<'_>, head_at: Instant) {
        let exclusion = self.submissions.exclusion(context.header.number, &self.pauses.active);
        let (reader, results) = (&self.pricing.harvest_reader, self.ledger.results());
        let round = self.strategies.operations(reader, self.follower.book(), context, (&exclusion, results)).await;
        let Some(Decisions { intents, verdicts, .. }) = round else { return };
        for intent in intents {
            self.submit(intent, context.header, head_at, context.costs.gas_price);
        }
        let decisions = verdicts.into_iter().map(|verdict| (verdict.target, verdict.decision)).collect();
        self.view.record_operation_decisions(decisions, context.header.number);
    }

    /// Decides about jobs of nodes, and submits what pays or what the budget pays for. Without anything due no request is
    /// made.
    async fn advance_jobs(&mut self, context: BlockContext<'_>, head_at: Instant) {
        let costs = Costs { margin_bps: self.config.jobs.min_margin_bps, ..context.costs };
        let context = BlockContext { costs, ..context };
        let exclusion = self.submissions.exclusion(context.header.number, &self.pauses.active);
        let Pricing { harvest_reader: reader, valuer, .. } = &mut self.pricing;
        let (book, results) = (self.follower.book(), self.ledger.results());
        let refuted = self.verifier.refuted(book.jobs(), context.header.timestamp);
        let round = self.strategies.jobs(reader, valuer, book, context, &refuted, (&exclusion, results)).await;
        let Some(Decisions { intents, verdicts, .. }) = round else { return };
        for intent in intents {
            self.submit(intent, context.header, head_at, costs.gas_price);
        }
        let decisions = verdicts.into_iter().map(|verdict| (verdict.target, verdict.decision)).collect();
        self.view.record_job_decisions(decisions, context.header.number);
    }

    /// Decides about vouchers that services have published, and submits what pays.
    async fn collect_vouchers(&mut self, context: BlockContext<'_>, head_at: Instant) {
        let batches = self.publishers.batches();
        let costs = Costs { margin_bps: self.config.vouchers.min_margin_bps, ..context.costs };
        let context = BlockContext { costs, ..context };
        let exclusion = self.submissions.exclusion(context.header.number, &self.pauses.active);
        let Pricing { harvest_reader: reader, valuer, .. } = &mut self.pricing;
        let results = self.ledger.results();
        let round = self.strategies.vouchers(reader, valuer, &batches, context, (&exclusion, results)).await;
        let Some(Decisions { intents, verdicts, .. }) = round else { return };
        for intent in intents {
            self.submit(intent, context.header, head_at, costs.gas_price);
        }
        let decisions = verdicts.into_iter().map(|verdict| (verdict.target, verdict.decision)).collect();
        self.view.record_voucher_decisions(decisions, context.header.number);
    }

    /// Decides about rewards, and submits what pays.
    async fn harvest(&mut self, context: BlockContext<'_>, head_at: Instant) {
        let costs = Costs { margin_bps: self.config.harvest.min_margin_bps, ..context.costs };
        let context = BlockContext { costs, ..context };
        let exclusion = self.submissions.exclusion(context.header.number, &self.pauses.active);
        let Pricing { harvest_reader: reader, valuer, .. } = &mut self.pricing;
        let round = self.strategies.harvests(reader, valuer, self.follower.book(), context, &exclusion).await;
        let Some(Decisions { intents, verdicts, .. }) = round else { return };
        for intent in intents {
            self.submit(intent, context.header, head_at, costs.gas_price);
        }
        let decisions = verdicts.iter().map(|verdict| (verdict.target.stream, &verdict.decision));
        self.view.record_reward_decisions(decisions, context.header.number);
    }
}
