//! Commands of the operator to the running keeper: pauses, the circuit breaker, profit taking, and cancellations.

use alloy::primitives::B256;
use eyre::WrapErr;
use plimsoll_contracts::MarketId;
use plimsoll_protocols::ProtocolKind;
use tracing::info;

use super::Engine;
use crate::{
    config::Config,
    control::{Done, Paused, PendingRequest, Request, Response},
    store::Notes,
};

/// Name under which the store keeps the pauses that hold after a restart.
const PAUSED: &str = "paused";
/// How a pause of everything is named.
const EVERYTHING: &str = "everything";

/// Pauses in effect, and those of them that the next start begins with.
#[derive(Debug)]
pub(super) struct Pauses {
    pub(super) active: Paused,
    kept: Paused,
    notes: Notes,
}

impl Pauses {
    /// Begins with the pauses that the store has. Fails where they cannot be read.
    pub(super) async fn load(notes: Notes) -> eyre::Result<Self> {
        let kept: Paused = match notes.read(PAUSED).await? {
            Some(text) => serde_json::from_str(&text).wrap_err("the pauses in the store's journal")?,
            None => Paused::default(),
        };
        Ok(Self { active: kept.clone(), kept, notes })
    }

    fn pause(&mut self, market: Option<B256>, across_restarts: bool) {
        for paused in [Some(&mut self.active), across_restarts.then_some(&mut self.kept)].into_iter().flatten() {
            match market {
                Some(market) => drop(paused.markets.insert(market)),
                None => paused.everything = true,
            }
        }
    }

    fn resume(&mut self, market: Option<B256>) {
        for paused in [&mut self.active, &mut self.kept] {
            match market {
                Some(market) => drop(paused.markets.remove(&market)),
                None => *paused = Paused::default(),
            }
        }
    }

    async fn save(&self) -> Result<(), String> {
        let text = serde_json::to_string(&self.kept).map_err(|error| error.to_string())?;
        self.notes.write(PAUSED, text).await.map_err(|error| format!("not kept for the next start: {error}"))
    }

    /// Names what is paused, for people.
    pub(super) fn names(&self, config: &Config) -> Vec<String> {
        let everything = self.active.everything.then(|| EVERYTHING.to_owned());
        let markets = self.active.markets.iter().map(|id| config.name_of(*id));
        everything.into_iter().chain(markets).collect()
    }
}

impl Engine {
    /// Does what the operator asks, and responds.
    pub(super) async fn on_control(&mut self, PendingRequest { request, respond }: PendingRequest) {
        info!(?request, "operator's command");
        let response = self.obey(request).await;
        self.refresh_operations();
        // A client that has gone does not change what was done.
        let _ = respond.send(response);
    }

    async fn obey(&mut self, request: Request) -> Response {
        let text = match request {
            Request::Pause { market, across_restarts } => {
                let (id, what) = self.paused_place(market.as_deref())?;
                self.pauses.pause(id, across_restarts);
                self.pauses.save().await?;
                let until = if across_restarts { "also after a restart" } else { "until a restart" };
                format!("nothing new is begun {what}, {until}; what is pending goes on")
            }
            Request::Resume { market } => {
                let (id, what) = self.paused_place(market.as_deref())?;
                if id.is_some() && self.pauses.active.everything {
                    return Err("everything is paused: resume without naming a market".to_owned());
                }
                self.pauses.resume(id);
                self.pauses.save().await?;
                if id.is_some_and(|id| self.follower.book().coverage().missing().contains(&id)) {
                    self.follower.read_again().await;
                    self.on_reset();
                    format!("everything is read again from the first block, after which decisions are made {what}")
                } else {
                    format!("decisions are made again {what}")
                }
            }
            Request::Sweep { tokens } => self.sweep(&tokens).await?,
            // Waits for the signature alone; a signer that does not sign would let no decision through either.
            Request::Cancel { nonce, account } => self.submissions.cancel(nonce, account).await?,
            Request::CloseBreaker => {
                self.submissions.close_breakers();
                "every circuit breaker is closed; reverts are counted from zero".to_owned()
            }
        };
        Ok(Done { text, paused: self.pauses.names(&self.config) })
    }

    /// Whether the record, the book or what is liquidatable elsewhere has something with this id.
    fn is_known(&self, id: B256) -> bool {
        let (deployed, book) = (&self.config.deployed, self.follower.book());
        deployed.market_names.contains_key(&MarketId(id))
            || deployed.programme_names.contains_key(&id)
            || deployed.vault_names.keys().any(|vault| vault.into_word() == id)
            || book.market(MarketId(id)).is_some()
            || book.pool(id).is_some()
            || self.config.protocols.deployments.iter().any(|known| {
                // Markets of Morpho Blue have ids of their own, which the engine does not know.
                known.protocol == ProtocolKind::MorphoBlue || known.address.into_word() == id
            })
    }

    /// The id of a market that is named or given by its id, and how it is called in a sentence.
    fn paused_place(&self, market: Option<&str>) -> Result<(Option<B256>, String), String> {
        let Some(text) = market else { return Ok((None, "anywhere".to_owned())) };
        let names = &self.config.deployed.market_names;
        let by_name = names.iter().find(|(_, name)| *name == text).map(|(id, _)| id.0);
        match by_name.or_else(|| text.parse().ok()) {
            Some(id) if self.is_known(id) => Ok((Some(id), format!("in {}", self.config.name_of(id)))),
            // One that is not known yet, or one with a mistake: a pause is never refused, and says that it may be of nothing.
            Some(id) => Ok((Some(id), format!("in {id}, of which nothing is known here – is it the right id? –"))),
            None => {
                let known: Vec<_> = names.values().map(String::as_str).collect();
                Err(match &known[..] {
                    [] => format!("there is no market {text}: give the id of one"),
                    known => format!("there is no market {text}; the record has {}", known.join(", ")),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_protocols::{ProtocolKind, known_deployments_on};
    use tokio::sync::oneshot;

    use crate::{
        control::{Done, PendingRequest, Request},
        engine::{operator::Pauses, tests::Site},
        intent::Subject,
        strategies::SkipReason,
        view::fixture::{Fixture, borrower},
    };

    async fn ask(site: &mut Site, request: Request) -> Result<Done, String> {
        let (respond, response) = oneshot::channel();
        site.engine.on_control(PendingRequest { request, respond }).await;
        response.await.unwrap()
    }

    fn pause(market: Option<&str>, across_restarts: bool) -> Request {
        Request::Pause { market: market.map(str::to_owned), across_restarts }
    }

    fn is_paused(site: &Site) -> bool {
        let loan = Subject::Loan { market: site.fixture.id(), borrower: borrower(0) };
        let exclusion = site.engine.submissions.exclusion(1, &site.engine.pauses.active);
        matches!(exclusion.skip_reason(&loan), Some(SkipReason::Held { .. }))
    }

    #[tokio::test]
    async fn a_pause_of_a_market_or_of_everything_holds_until_it_is_ended() {
        let mut site = Site::new(&[1_900]).await;
        assert!(!is_paused(&site));
        let done = ask(&mut site, pause(Some("weth-usdc"), false)).await.unwrap();
        assert_eq!(done.paused, ["weth-usdc"]);
        assert!(is_paused(&site) && site.engine.pauses.active.includes(&site.fixture.id()));
        assert_eq!(site.view().safety.paused, ["weth-usdc"]);
        ask(&mut site, pause(None, false)).await.unwrap();
        let one = Request::Resume { market: Some("weth-usdc".to_owned()) };
        assert!(ask(&mut site, one).await.unwrap_err().contains("everything is paused"));
        let done = ask(&mut site, Request::Resume { market: None }).await.unwrap();
        assert!(done.paused.is_empty() && !is_paused(&site));
        let unknown = ask(&mut site, pause(Some("weth"), false)).await.unwrap_err();
        assert!(unknown.contains("no market weth") && unknown.contains("weth-usdc"), "{unknown}");
        let mistaken = alloy::primitives::B256::repeat_byte(7).to_string();
        let done = ask(&mut site, pause(Some(&mistaken), false)).await.unwrap();
        assert!(done.text.contains("nothing is known here"), "{}", done.text);
    }

    #[tokio::test]
    async fn of_other_protocols_what_is_in_no_market_is_known_by_its_address() {
        let mut site = Site::new(&[]).await;
        let pool = known_deployments_on(ProtocolKind::AaveV3, 1).next().unwrap().clone();
        let (address, id) = (pool.address, pool.address.into_word().to_string());
        let mut fixture = Fixture::new(&[]);
        fixture.config_mut().protocols.deployments = vec![pool];
        site.engine.config = fixture.config;
        let done = ask(&mut site, pause(Some(&id), false)).await.unwrap();
        assert!(done.text.contains("in aave-v3,") && done.paused == ["aave-v3"], "{done:?}");
        let other = address.create(0);
        let done = ask(&mut site, pause(Some(&other.into_word().to_string()), false)).await.unwrap();
        assert!(done.text.contains("nothing is known here"), "{}", done.text);
        assert!(done.paused.contains(&other.to_string()), "{done:?}");
    }

    #[tokio::test]
    async fn a_dry_run_sweeps_nothing() {
        let mut site = Site::new(&[]).await;
        let sweep = Request::Sweep { tokens: vec!["USDC".to_owned()] };
        assert!(ask(&mut site, sweep).await.unwrap_err().contains("dry run"));
    }

    #[tokio::test]
    async fn a_quarantined_market_is_resumed_by_reading_its_events_again() {
        let mut site = Site::new(&[]).await;
        let id = site.fixture.id();
        site.engine.follower.quarantine(id);
        assert!(!site.engine.follower.book().coverage().contains(&id));
        let one = Request::Resume { market: Some("weth-usdc".to_owned()) };
        let done = ask(&mut site, one.clone()).await.unwrap();
        assert!(done.text.contains("from the first block"), "{}", done.text);
        assert!(site.engine.follower.book().coverage().contains(&id) && site.engine.latest.is_none());
        assert!(!ask(&mut site, one).await.unwrap().text.contains("from the first block"));
    }

    #[tokio::test]
    async fn only_a_pause_that_was_meant_to_survives_a_restart() {
        let mut site = Site::new(&[]).await;
        ask(&mut site, pause(None, false)).await.unwrap();
        assert_eq!(Pauses::load(site.notes.clone()).await.unwrap().active, Default::default());
        ask(&mut site, pause(Some("weth-usdc"), true)).await.unwrap();
        let next = Pauses::load(site.notes.clone()).await.unwrap();
        assert!(!next.active.everything && next.active.includes(&site.fixture.id()));
        assert_eq!(next.names(&Arc::clone(&site.engine.config)), ["weth-usdc"]);
    }
}
