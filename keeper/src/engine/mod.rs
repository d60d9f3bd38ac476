//! Joins the parts: what the stream brings goes into the book, what strategies make of it to the sender, and what became
//! of that onto the page.
//!
//! ```text
//! stream ──► follow (book, checkpoint) ──► strategies ──► sender
//!    └─head──► feed (prices, ahead) ───────────┘            │ news
//!                                                           ▼
//!              background: audit, receipts ──────────────► ledger, picture ──► View
//! ```
//!
//! One task owns the book and does one thing after another: a block is applied, decided by, handed to the sender, and
//! only then looked at for people. What it does not need at once is asked for in the background.

mod data_fee;
mod feed;
mod follow;
mod ledger;
mod look;
mod picture;
mod reads;
mod start;
mod terms;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256},
    rpc::types::TransactionReceipt,
};
use plimsoll_contracts::MarketId;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Instant},
};

use self::{
    data_fee::DataPrice,
    feed::PriceFeed,
    ledger::{Deed, Ledger},
    picture::Decisions,
};
pub use self::{
    follow::{FollowError, Follower, Loaded, News},
    picture::position_view,
    reads::Endpoints,
    start::{Mode, run},
};
use crate::{
    audit::{Auditor, Difference, compare_totals},
    chain::{Event, Header},
    config::Config,
    intent::{Intent, Purpose},
    outside::{
        AlertKind, AlertSender, Metrics, Notice, Survey, View,
        view::{self, AuditView},
    },
    prices::{Prices, Valuer},
    safety::{BackOff, Cause, Refusal, Subject},
    sender::{
        self, SenderHandle,
        outcome::{Outcome, Report},
    },
    store::Notes,
    strategies::{
        Decision, WhyNot,
        gas::{Costs, room},
        harvest::{self, Harvest, StreamId},
        liquidate::{Liquidate, Moment, Round},
    },
    stream::{BlockEvents, Reader},
};

/// Under what name the store keeps the sums.
const SUMS: &str = "sums";

/// What was handed to the sender is signed, written down and broadcast before anything is made for people: where cores are
/// few, a picture takes one of them.
const SENDING_COMES_FIRST: Duration = Duration::from_millis(50);

/// What is read ahead is not waited for any longer.
const LONGEST_AHEAD: Duration = Duration::from_secs(1);

/// How much the base fee can rise from one block to the next: an eighth.
const BASE_FEE_RISE: u128 = 8;

/// Everything that the one task owns.
struct Engine {
    config: Config,
    follower: Follower,
    endpoint_names: Vec<look::Named>,
    endpoints: Endpoints,
    reader: Reader,
    feed: PriceFeed,
    liquidate: Liquidate,
    /// Where there is anything to harvest.
    harvest: Option<Harvest>,
    /// What was decided last about each reward.
    harvests: HashMap<StreamId, view::Decision>,
    valuer: Valuer,
    data_price: DataPrice,
    sender: SenderHandle,
    notes: Notes,
    /// What was handed to the sender and not yet broadcast: after which block, and when its head was known.
    handed_over: HashMap<u64, (u64, Instant)>,
    /// Loans of transactions that reverted, and the block in which they did.
    reverted: Vec<(u64, MarketId, Vec<Address>)>,
    decisions: Decisions,
    ledger: Ledger,
    survey: Survey,
    auditor: Auditor,
    audited: AuditView,
    /// Markets whose differences somebody was told of, until the totals agree again.
    told_of: HashSet<MarketId>,
    /// Of the newest block that was decided by.
    last: Option<(Header, Arc<Prices>)>,
    /// Nothing was sent in that block, and loans were passed over because something was on its way for them. Not any more
    /// when the book has moved on: another block's prices are not for it.
    is_held_up: bool,
    background: JoinSet<Found>,
    /// When to show what was decided, if that waits for what was handed over to be on its way.
    show_at: Option<Instant>,
    view: View,
    views: watch::Sender<Arc<View>>,
    metrics: Metrics,
    alerts: AlertSender,
}

/// What came of something that was asked for in the background.
enum Found {
    /// Positions were compared with the chain: how many, and what is otherwise.
    Compared { block: u64, positions: u64, differences: Vec<Difference> },
    /// A transaction of ours did this.
    Did { purpose: Purpose, receipt: Box<TransactionReceipt> },
    /// Nobody answered.
    Nothing,
}

impl Engine {
    /// A block was applied.
    async fn applied(&mut self, block: &BlockEvents) {
        self.is_held_up = false;
        self.tell_of_losses(block);
        let Some(header) = block.tip else {
            self.view.progress = Some(format!("reading what happened: block {}", block.number));
            self.publish();
            return;
        };
        let applied = Instant::now();
        self.sender.on_block(header);
        // A node that stalls is found out while prices are waited for; who wants values asks another then.
        let values_ahead = time::timeout(LONGEST_AHEAD, self.valuer.read_ahead(&self.endpoints, &header));
        let ((prices, since), _) = tokio::join!(self.feed.of(&header), values_ahead);
        let arrived = since.unwrap_or(applied);
        let prices = match prices {
            Ok(prices) => prices,
            Err(error) => {
                tracing::warn!(block = header.number, %error, "no prices, so nothing is decided in this block");
                Arc::default()
            }
        };
        self.excuse_lost_races(&header, &prices);
        self.decide(&header, &prices, arrived).await;
        let is_different = self.audit(&header, &prices);
        self.last = Some((header, prices));
        if self.auditor.must_rebuild(header.number, is_different) {
            tracing::error!(block = header.number, "the book is not the chain's and is made anew");
            self.follower.rebuild().await;
            self.begin_anew();
            return;
        }
        self.show_unless_sending();
    }

    /// Where something was handed to the sender the picture follows a moment later.
    fn show_unless_sending(&mut self) {
        if self.show_at.is_none() {
            self.show();
        }
    }

    /// Makes the picture of the newest block.
    fn show(&mut self) {
        self.show_at = None;
        let Some((header, _)) = self.last else { return };
        self.look(&header);
        self.publish();
    }

    /// Decides about every loan under water, and hands over what is worth it.
    async fn decide(&mut self, header: &Header, prices: &Prices, arrived: Instant) {
        let base_fee = u128::from(header.base_fee);
        let costs = Costs {
            gas_price: base_fee + base_fee.div_ceil(BASE_FEE_RISE) + self.config.fees.least_tip,
            data_byte_price: self.data_price.of(&self.endpoints, header).await,
            margin_bps: self.config.liquidate.min_margin_bps,
        };
        let chain = &self.config.chain;
        let room = room(header.gas_limit, chain.transaction_gas_cap, chain.block_gas_share_bps);
        let moment = Moment { header, prices, costs, room };
        let back_off = self.sender.back_off();
        let in_flight = self.sender.in_flight();
        let obstacle = |market: MarketId, borrower| {
            stands_against(&Subject::Loan { market: market.0, borrower }, &in_flight, &back_off, header.number)
        };
        let Round { intents, verdicts } =
            self.liquidate.round(&self.endpoints, &mut self.valuer, self.follower.book(), moment, &obstacle).await;
        let is_calm = intents.is_empty();
        self.is_held_up = is_calm && verdicts.iter().any(|found| found.decision == Decision::WhyNot(WhyNot::InFlight));
        for intent in intents {
            self.submit(intent, header, arrived);
        }
        for verdict in verdicts {
            if verdict.decision == Decision::WhyNot(WhyNot::LostRace) {
                let subject = Subject::Loan { market: verdict.market.0, borrower: verdict.account };
                self.sender.failed(subject, Cause::LostRace);
            }
            let decision = match verdict.decision {
                Decision::Act { gain_wei, gas_wei } if !self.view.keeper.live => {
                    Decision::WhyNot(WhyNot::DryRun { gain_wei, gas_wei })
                }
                decision => decision,
            };
            self.decisions.note(verdict.market, verdict.account, header.number, &decision);
        }
        if is_calm {
            self.harvest(harvest::Moment { header, costs, room }, arrived).await;
        }
    }

    /// A transaction reverted, and a loan in it is not under water any more when its block is applied: somebody else was
    /// faster, and nothing speaks against trying when it is again.
    fn excuse_lost_races(&mut self, header: &Header, prices: &Prices) {
        for (_, id, borrowers) in self.reverted.extract_if(.., |(block, ..)| *block <= header.number) {
            let Some((market, price)) = self.follower.book().market(id).zip(prices.of(id).ok()) else { continue };
            let totals = market.at(header.timestamp);
            for borrower in borrowers {
                if !totals.is_liquidatable(market.position(borrower).loan(), market.terms(), price) {
                    self.sender.failed(Subject::Loan { market: id.0, borrower }, Cause::LostRace);
                }
            }
        }
    }

    /// What was on its way is known to be done: a loan that was done in part goes on in the very next block. Where
    /// something else was sent meanwhile it waits for that, since both would be sold at the same exchange.
    async fn go_on(&mut self) {
        let Some((header, prices)) = self.last.clone().filter(|_| self.is_held_up) else { return };
        self.decide(&header, &prices, Instant::now()).await;
        self.show_unless_sending();
    }

    /// Decides about rewards, when nothing more urgent is to be done.
    async fn harvest(&mut self, moment: harvest::Moment<'_>, arrived: Instant) {
        let Some(harvest) = &mut self.harvest else { return };
        let costs = Costs { margin_bps: self.config.harvest.min_margin_bps, ..moment.costs };
        let moment = harvest::Moment { costs, ..moment };
        let back_off = self.sender.back_off();
        let (in_flight, keeper) = (self.sender.in_flight(), harvest.settings().keeper);
        let obstacle = |stream: StreamId, account| {
            let StreamId { pool, reward_token } = stream;
            let account = (account != keeper).then_some(account);
            stands_against(
                &Subject::Rewards { pool, reward_token, account },
                &in_flight,
                &back_off,
                moment.header.number,
            )
        };
        let book = self.follower.book();
        let round = harvest.round(&self.endpoints, &mut self.valuer, book, moment, &obstacle).await;
        let Some(harvest::Round { intents, verdicts }) = round else { return };
        for intent in intents {
            self.submit(intent, moment.header, arrived);
        }
        // One for each reward: what is done, or else why not for the first.
        let mut decided = HashMap::new();
        for verdict in &verdicts {
            let words = picture::in_words(&verdict.decision, moment.header.number);
            let shown = decided.entry(verdict.stream).or_insert_with(|| words.clone());
            if words.acts && !shown.acts {
                *shown = words;
            }
        }
        self.harvests = decided;
    }

    fn submit(&mut self, intent: Intent, header: &Header, arrived: Instant) {
        self.show_at.get_or_insert_with(|| Instant::now() + SENDING_COMES_FIRST);
        let id = self.sender.submit(intent);
        self.handed_over.insert(id, (header.number, arrived));
    }

    /// The sender tells what became of something.
    fn hear(&mut self, news: sender::News) {
        match news {
            sender::News::Alert(alert) => {
                let subject = "sender".to_owned();
                self.alerts.tell(Notice {
                    kind: AlertKind::SignerProblem,
                    subject,
                    over: false,
                    text: alert.to_string(),
                });
            }
            sender::News::Report(report) => self.heard(&report),
        }
        if let (Some((header, _)), None) = (&self.last, self.show_at) {
            let header = *header;
            self.look_at_sender(&header);
            self.publish();
        }
    }

    fn heard(&mut self, report: &Report) {
        let now = self.last.as_ref().map_or(0, |(header, _)| header.timestamp);
        let block = self.last.as_ref().map_or(0, |(header, _)| header.number);
        match &report.outcome {
            Outcome::Sent { .. } => {
                if let Some((_, arrived)) = self.handed_over.get(&report.id) {
                    self.metrics.sent_after(arrived.elapsed());
                }
            }
            Outcome::TakenBack => {}
            outcome => {
                let decided = self.handed_over.remove(&report.id);
                if let (Outcome::Mined(receipt) | Outcome::Reverted(receipt), Some((decided_after, _))) =
                    (outcome, decided)
                {
                    let blocks = receipt.place.block.saturating_sub(decided_after);
                    self.metrics.mined_after(u32::try_from(blocks).unwrap_or(u32::MAX));
                }
            }
        }
        if let Outcome::Refused(refusal) = &report.outcome {
            self.refused(report, refusal, block);
        }
        if let (Purpose::Liquidate { market, borrowers }, Outcome::Reverted(receipt)) =
            (&report.intent.purpose, &report.outcome)
        {
            self.reverted.push((receipt.place.block, MarketId(*market), borrowers.clone()));
            if let Some((header, prices)) = self.last.clone() {
                self.excuse_lost_races(&header, &prices);
            }
        }
        let is_new = self.ledger.note(&self.config, report, now);
        if let (true, Outcome::Mined(receipt)) = (is_new, &report.outcome) {
            self.look_up_deed(report.intent.purpose.clone(), receipt.place.block, receipt.place.hash);
        }
        if is_new {
            self.remember_sums();
        }
    }

    /// Safety kept it from being sent: that is why not. A dry run is known to be one when it decides.
    fn refused(&mut self, report: &Report, refusal: &Refusal, block: u64) {
        let Purpose::Liquidate { market, borrowers } = &report.intent.purpose else { return };
        if *refusal == Refusal::DryRun {
            return;
        }
        let decision = Decision::WhyNot(WhyNot::Held { rule: refusal.to_string() });
        for borrower in borrowers {
            self.decisions.note(MarketId(*market), *borrower, block, &decision);
        }
    }

    /// Asks in the background what a mined transaction did.
    fn look_up_deed(&mut self, purpose: Purpose, block: u64, hash: B256) {
        let reader = self.reader.clone();
        self.background.spawn(async move {
            match reader.ask::<_, Option<TransactionReceipt>>(block, "eth_getTransactionReceipt", (hash,)).await {
                Ok(Some(receipt)) => Found::Did { purpose, receipt: Box::new(receipt) },
                Ok(None) => Found::Nothing,
                Err(error) => {
                    tracing::warn!(%hash, %error, "what a transaction brought could not be read");
                    Found::Nothing
                }
            }
        });
    }

    /// Shows that there is no book yet.
    fn begin_anew(&mut self) {
        (self.last, self.show_at, self.is_held_up) = (None, None, false);
        self.view.head = None;
        self.view.progress = Some("the book is made anew".to_owned());
        self.publish();
    }

    /// Compares totals with what the prices' snapshot says, and has a sample of positions compared in the background.
    /// Whether any totals differ.
    fn audit(&mut self, header: &Header, prices: &Prices) -> bool {
        let book = self.follower.book();
        let totals =
            book.markets().filter_map(|market| compare_totals(header.number, market, prices.stored(market.id())?));
        let totals: Vec<_> = totals.collect();
        let is_different = !totals.is_empty();
        if !is_different {
            self.told_of.clear();
        }
        self.differ(totals);
        let every = self.config.audit.every;
        if every == 0 || !header.number.is_multiple_of(every) {
            return is_different;
        }
        let size = usize::try_from(self.config.audit.positions).unwrap_or(usize::MAX);
        let Some(sample) = self.auditor.sample(self.follower.book(), *header, size) else { return is_different };
        let (endpoints, lens) = (self.endpoints.clone(), self.config.deployed.lens);
        self.background.spawn(async move {
            let block = sample.header.number;
            let differences = match sample.ask(&endpoints, lens).await {
                Ok(answer) => sample.compare(&answer),
                Err(error) => {
                    tracing::warn!(%error, "a sample of the book could not be compared with the chain");
                    return Found::Nothing;
                }
            };
            Found::Compared { block, positions: picture::count(sample.positions.len()), differences }
        });
        is_different
    }

    /// Something that was asked for in the background is there.
    async fn found(&mut self, found: Found) {
        match found {
            Found::Compared { block, positions, differences } => {
                self.audited.compared += positions;
                self.audited.last_block = Some(block);
                self.differ(differences);
            }
            Found::Did { purpose, receipt } => {
                let Some((header, _)) = self.last.clone() else { return };
                let market = purpose.market().and_then(|id| self.follower.book().market(id));
                let deed = Deed::of(&receipt, &self.config.deployed);
                let deed = market.map_or(deed.clone(), |market| deed.in_token(market.params().loanToken));
                let tokens: Vec<_> = deed.profit.iter().map(|(token, _)| *token).collect();
                let values = self.valuer.values(&self.endpoints, &header, &tokens).await.unwrap_or_default();
                let gain = deed.gain(&values);
                self.ledger.deed(&self.config, receipt.transaction_hash, &purpose, &deed, gain, header.timestamp);
                self.remember_sums();
                self.look_at_sender(&header);
                self.publish();
            }
            Found::Nothing => {}
        }
    }

    fn differ(&mut self, differences: Vec<Difference>) {
        for difference in differences {
            tracing::error!("{difference}");
            self.audited.mismatches += 1;
            let text = difference.to_string();
            self.audited.last = Some(text.clone());
            if !self.told_of.insert(difference.market) {
                continue;
            }
            let subject = difference.market.to_string();
            self.alerts.tell(Notice { kind: AlertKind::AuditMismatch, subject, over: false, text });
        }
    }

    fn tell_of_losses(&self, block: &BlockEvents) {
        for event in &block.events {
            if let Event::Core(plimsoll_contracts::IPlimsoll::IPlimsollEvents::RealiseLoss(loss)) = event {
                let market = self.config.deployed.market_name(MarketId(loss.id));
                let text = format!(
                    "in block {} a loss of {} units was realised in {market}: {} came from its reserve, {} from its \
                     backstop, the rest from its suppliers",
                    block.number, loss.loss, loss.fromReserve, loss.fromCover
                );
                self.alerts.tell(Notice { kind: AlertKind::BadDebt, subject: market, over: false, text });
            }
        }
    }

    fn remember_sums(&mut self) {
        let Ok(text) = serde_json::to_string(self.ledger.sums()) else { return };
        let notes = self.notes.clone();
        self.background.spawn(async move {
            if let Err(error) = notes.write(SUMS, text).await {
                tracing::error!(%error, "the sums of what was earned and spent are not written");
            }
            Found::Nothing
        });
    }

    fn publish(&self) {
        self.views.send_replace(Arc::new(self.view.clone()));
    }
}

/// Why nothing is decided about something now.
fn stands_against(
    subject: &Subject,
    in_flight: &HashMap<Subject, u64>,
    back_off: &BackOff,
    block: u64,
) -> Option<WhyNot> {
    if in_flight.contains_key(subject) {
        return Some(WhyNot::InFlight);
    }
    let wait = back_off.wait(subject, block)?;
    let cause = format!("it failed {} times in a row", wait.reverts.max(1));
    Some(WhyNot::BackingOff { until_block: wait.until_block, cause })
}

/// The least time between two looks at what changes without a block.
const TICK: Duration = Duration::from_secs(1);
