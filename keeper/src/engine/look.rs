//! The view, made of what the engine knows.

use alloy::primitives::U256;
use plimsoll_contracts::MarketId;

use super::{Engine, picture};
use crate::{
    chain::Header,
    intent::Urgency,
    outside::{
        Amount,
        view::{EndpointView, Head, ProgrammeView, SafetyView, SignerView},
    },
    sender::LaneStatus,
    strategies::harvest::StreamId,
    stream::{EndpointHealth, EndpointState},
};

/// Decimals of every chain's coin.
const COIN_DECIMALS: u8 = 18;

impl Engine {
    /// Looks at everything after a block.
    pub(super) fn look(&mut self, header: &Header) {
        let Some((_, prices)) = self.last.clone() else { return };
        let book = self.follower.book();
        let shown = picture::look(&self.config, book, header, &prices, &mut self.decisions, &mut self.survey);
        self.view.markets = shown.markets;
        self.view.at_risk = shown.at_risk;
        self.view.decisions = shown.decisions;
        self.view.watched_accounts = shown.watched_accounts;
        self.view.programmes = self.programmes(header.timestamp);
        self.view.progress = None;
        self.view.head = Some(Head {
            number: header.number,
            hash: header.hash,
            timestamp: header.timestamp,
            base_fee: header.base_fee,
            applied: tokio::time::Instant::now(),
        });
        self.look_at_sender(header);
    }

    /// Looks at what changes without a block.
    pub(super) fn look_at_sender(&mut self, header: &Header) {
        let coin = self.config.chain.coin.clone();
        self.view.timeline = self.ledger.timeline();
        self.view.totals = self.ledger.totals(&coin, header.timestamp);
        self.view.signers = self.signers();
        self.view.safety = self.safety(header.timestamp);
        self.view.audit = self.audited.clone();
        self.look_at_endpoints();
    }

    /// Looks at the nodes.
    pub(super) fn look_at_endpoints(&mut self) {
        let names = &self.endpoint_names;
        let health = self.follower.stream().health();
        self.view.endpoints = health.into_iter().zip(names).map(|(health, named)| endpoint(health, named)).collect();
    }

    fn programmes(&self, timestamp: u64) -> Vec<ProgrammeView> {
        let view = |stream: crate::book::StreamBook<'_>| ProgrammeView {
            id: stream.pool().id(),
            name: self.config.deployed.programme_name(stream.pool().id()),
            reward_token: self.config.tokens.name(stream.reward_token()),
            consenting: picture::count(stream.consenting()),
            due: picture::count(stream.harvestable(timestamp).len()),
            decision: self
                .harvests
                .get(&StreamId { pool: stream.pool().id(), reward_token: stream.reward_token() })
                .cloned(),
        };
        let known = |stream: &crate::book::StreamBook<'_>| {
            self.config.deployed.programme_names.contains_key(&stream.pool().id())
        };
        self.follower.book().rewards().filter(known).map(view).collect()
    }

    fn signers(&self) -> Vec<SignerView> {
        let coin = &self.config.chain.coin;
        let roles = [(Urgency::Urgent, "liquidations"), (Urgency::Patient, "harvests")];
        let role = |lane: &LaneStatus| {
            let signs = |(urgency, _): &&(Urgency, &str)| self.sender.signer(*urgency) == Some(lane.signer);
            roles.iter().filter(signs).map(|(_, name)| *name).collect::<Vec<_>>().join(" and ")
        };
        let view = |lane: LaneStatus| SignerView {
            role: role(&lane),
            address: lane.signer,
            balance: lane.balance.map(|wei| Amount::new(wei, COIN_DECIMALS, coin)),
            nonce: Some(lane.next_nonce),
            pending: picture::count(lane.pending.len()),
            problem: problem_of(&lane, self.config.safety.minimum_balance),
        };
        self.sender.status().into_iter().map(view).collect()
    }

    fn safety(&self, now: u64) -> SafetyView {
        let coin = &self.config.chain.coin;
        let settings = &self.config.safety;
        let killed = settings.kill_file.try_exists().unwrap_or(true);
        let (open_for, lost, reverts) = self
            .sender
            .with_gate(|gate, _| (gate.breaker_open_for(now), gate.lost_on(now), gate.record().reverts.len()));
        let stopped = if killed {
            Some(format!("the kill file {} exists", settings.kill_file.display()))
        } else if let Some(secs) = open_for {
            Some(format!("the breaker is open for {secs} s more"))
        } else if lost >= settings.loss_cap_per_day {
            Some("the day's loss has reached its cap".to_owned())
        } else {
            None
        };
        SafetyView {
            stopped,
            lost_today: Amount::new(lost, COIN_DECIMALS, coin),
            loss_cap: Amount::new(settings.loss_cap_per_day, COIN_DECIMALS, coin),
            reverts: picture::count(reverts),
            breaker_reverts: settings.breaker_reverts,
        }
    }

    /// The markets that are looked after.
    pub(super) fn configured(config: &crate::config::Config) -> Vec<MarketId> {
        config.liquidate.markets.keys().copied().collect()
    }
}

fn problem_of(lane: &LaneStatus, minimum: U256) -> Option<String> {
    if lane.has_failed {
        return Some("the journal cannot be written; repair that and start the keeper again".to_owned());
    }
    let low = lane.balance.filter(|balance| *balance < minimum)?;
    Some(format!("it has {low} wei, less than the {minimum} it is to keep; send coins to it"))
}

/// An endpoint as the configuration names it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) role: String,
}

fn endpoint(health: EndpointHealth, named: &Named) -> EndpointView {
    let problem = match &health.state {
        EndpointState::Good => None,
        EndpointState::Demoted { reason, .. } | EndpointState::Excluded { reason } => Some(reason.clone()),
        EndpointState::Away => Some(health.last_error.clone().unwrap_or_else(|| "it is not connected".to_owned())),
    };
    EndpointView {
        name: named.name.clone(),
        role: named.role.clone(),
        healthy: health.state == EndpointState::Good,
        head: health.head,
        latency_ms: health.latency.map(|latency| u64::try_from(latency.average.as_millis()).unwrap_or(u64::MAX)),
        calls: health.answered + health.failed,
        errors: health.failed + health.lied,
        problem,
    }
}
