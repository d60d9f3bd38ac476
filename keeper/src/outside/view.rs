//! What the keeper shows of itself: one picture, made anew after every block by whoever runs it and published by a
//! `tokio::sync::watch`. Pages, metrics and answers are made of the last one and ask nobody else, so that however many
//! people look, the keeper works on.
//!
//! Nothing in it is secret: endpoints are named, never shown.

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::market::BPS;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use super::{Amount, Balance, Health, Price, survey::DebtPicture};

/// At most so many positions at risk are shown; the rest are counted.
pub const SHOWN_POSITIONS: usize = 200;
/// At most so many events are kept.
pub const SHOWN_EVENTS: usize = 100;

/// Everything that is shown.
#[derive(Debug, Clone, Default, Serialize)]
pub struct View {
    /// Who this is.
    pub keeper: Keeper,
    /// The last block that was applied; `None` before the first.
    pub head: Option<Head>,
    /// What it is doing while there is no block to show yet, such as reading events up to a block.
    pub progress: Option<String>,
    /// Every market.
    pub markets: Vec<MarketView>,
    /// Positions below the watched health, the most endangered first; at most [`SHOWN_POSITIONS`].
    pub at_risk: Vec<PositionView>,
    /// How many positions are below the watched health, by what was decided about them.
    pub decisions: Vec<DecisionCount>,
    /// Accounts that the configuration has watched, where they owe something.
    pub watched_accounts: Vec<WatchedAccount>,
    /// Every staking programme that is looked after.
    pub programmes: Vec<ProgrammeView>,
    /// What happened, the newest first; at most [`SHOWN_EVENTS`].
    pub timeline: Vec<Happening>,
    /// What was earned and spent.
    pub totals: Totals,
    /// Whoever signs.
    pub signers: Vec<SignerView>,
    /// The nodes.
    pub endpoints: Vec<EndpointView>,
    /// What holds it back.
    pub safety: SafetyView,
    /// Whether the book equals the chain.
    pub audit: AuditView,
}

/// Who this is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Keeper {
    /// Its version.
    pub version: String,
    /// The deployment's name.
    pub network: String,
    /// The chain's name.
    pub chain: String,
    /// The chain's id.
    pub chain_id: u64,
    /// The hash of its block 0.
    pub genesis: B256,
    /// The lending core that it looks after.
    pub core: Address,
    /// The name of its coin.
    pub coin: String,
    /// Whether it sends, or only says what it would.
    pub live: bool,
    /// How long without a new block until it is not ready.
    #[serde(skip)]
    pub ready_within: Duration,
}

/// A block that was applied.
#[derive(Debug, Clone, Serialize)]
pub struct Head {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its second. Forks and replays have a clock of their own, so nothing is concluded from it.
    pub timestamp: u64,
    /// What gas costs in it, in wei.
    pub base_fee: u64,
    /// When it was applied, by a clock that nobody can set.
    #[serde(skip)]
    pub applied: Instant,
}

/// A market.
#[derive(Debug, Clone, Serialize)]
pub struct MarketView {
    /// Its id.
    pub id: B256,
    /// Its name, or the beginning of its id.
    pub name: String,
    /// What is lent.
    pub loan_token: String,
    /// What secures it.
    pub collateral_token: String,
    /// From where loans are liquidated, in basis points.
    pub liquidation_ltv_bps: u16,
    /// What suppliers own.
    pub supplied: Amount,
    /// What borrowers owe.
    pub borrowed: Amount,
    /// Which part is lent out, in basis points.
    pub utilisation_bps: u32,
    /// What borrowing costs in a year, in basis points.
    pub borrow_rate_bps: u64,
    /// The price by which loans are liquidated, or why there is none.
    pub price: Result<Price, String>,
    /// How many loans there are.
    pub loans: u64,
    /// How many of them are under water.
    pub under_water: u64,
    /// Whether liquidations in it are switched on and can be carried out; else why not.
    pub watched: Result<(), String>,
    /// How far the price may fall for how much debt.
    pub debt: DebtPicture,
}

/// A position.
#[derive(Debug, Clone, Serialize)]
pub struct PositionView {
    /// In which market.
    pub market: B256,
    /// Its name.
    pub market_name: String,
    /// Whose.
    pub account: Address,
    /// What is owed.
    pub debt: Amount,
    /// What secures it.
    pub collateral: Amount,
    /// How safe it is: below 1 anyone may liquidate.
    pub health: Health,
    /// The highest price at which it can be liquidated.
    pub waterline: Price,
    /// How much of the price is left above the waterline, in basis points; negative under water.
    pub distance_bps: i64,
    /// What was decided about it last; `None` while it need not be.
    pub decision: Option<Decision>,
}

/// What was decided about a position, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// After which block.
    pub block: u64,
    /// Whether something is done.
    pub acts: bool,
    /// A word for it that never changes, such as `no_route`: for metrics and programs.
    pub reason: String,
    /// The same for people, with figures.
    pub text: String,
}

/// An account that the configuration has watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchedAccount {
    /// Whose.
    pub account: Address,
    /// In which market.
    pub market_name: String,
    /// How safe its position is.
    pub health: Health,
    /// Below which health it is told of.
    pub below: Health,
}

/// How many positions one thing was decided about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DecisionCount {
    /// Whether something is done.
    pub acts: bool,
    /// A word for it that never changes.
    pub reason: String,
    /// So many.
    pub positions: u64,
}

/// A staking programme.
#[derive(Debug, Clone, Serialize)]
pub struct ProgrammeView {
    /// Its id.
    pub id: B256,
    /// Its name, or the beginning of its id.
    pub name: String,
    /// What is paid.
    pub reward_token: String,
    /// How many accounts agreed to be harvested.
    pub consenting: u64,
    /// How many of them can be harvested now.
    pub due: u64,
    /// What was decided about them last.
    pub decision: Option<Decision>,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Happening {
    /// In which order; the same transaction keeps its number.
    pub id: u64,
    /// The second, by the chain.
    pub at: u64,
    /// The block, once it is in one.
    pub block: Option<u64>,
    /// What it was.
    pub kind: Kind,
    /// What became of it.
    pub state: HappeningState,
    /// Where: a market or a programme.
    pub place: String,
    /// How many accounts it was about.
    pub accounts: u64,
    /// What was paid back or claimed.
    pub moved: Option<Amount>,
    /// What it brought, in the chain's coin, before gas.
    pub profit: Option<Balance>,
    /// What it cost.
    pub gas: Option<Amount>,
    /// The transaction, if it was sent.
    pub transaction: Option<B256>,
    /// More, where there is more to say.
    pub note: Option<String>,
}

/// What something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Loans were liquidated.
    Liquidation,
    /// Others' rewards were harvested.
    Harvest,
    /// Own rewards were claimed.
    Claim,
    /// Somebody else did it.
    Elsewhere,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HappeningState {
    /// It would have been sent.
    Dry,
    /// It is on its way.
    Sent,
    /// It is in a block.
    Mined,
    /// It is in a block that is not taken back any more.
    Final,
    /// It is in a block and did nothing.
    Reverted,
    /// It will not happen.
    Dropped,
}

/// What was earned and spent since the journal was begun, and in the last day.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Loans that were liquidated.
    pub liquidated: u64,
    /// Accounts whose rewards were harvested.
    pub harvested: u64,
    /// Transactions that were mined.
    pub transactions: u64,
    /// Those of them that reverted.
    pub reverted: u64,
    /// What it all brought, in the chain's coin, before gas.
    pub profit: Balance,
    /// What gas cost.
    pub gas: Amount,
    /// What is left of the last day.
    pub day: Balance,
}

/// Whoever signs.
#[derive(Debug, Clone, Serialize)]
pub struct SignerView {
    /// For what.
    pub role: String,
    /// Who.
    pub address: Address,
    /// What it has, as of the last look.
    pub balance: Option<Amount>,
    /// The next nonce.
    pub nonce: Option<u64>,
    /// Transactions on their way.
    pub pending: u64,
    /// Why it sends nothing, where it does not.
    pub problem: Option<String>,
}

/// A node.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointView {
    /// Its name in the configuration.
    pub name: String,
    /// What it is for.
    pub role: String,
    /// Whether it is trusted with questions now.
    pub healthy: bool,
    /// Its newest block.
    pub head: Option<u64>,
    /// How long it takes to answer, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Questions it was asked.
    pub calls: u64,
    /// Questions it did not answer well.
    pub errors: u64,
    /// What was wrong with it last.
    pub problem: Option<String>,
}

/// What holds the keeper back.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SafetyView {
    /// Why nothing is sent, where nothing is: the breaker, a cap, the kill file.
    pub stopped: Option<String>,
    /// What gas cost today (UTC) for transactions that reverted or were cancelled.
    pub lost_today: Amount,
    /// How much that may be.
    pub loss_cap: Amount,
    /// Reverts that the breaker counts now.
    pub reverts: u64,
    /// At how many it opens.
    pub breaker_reverts: u64,
}

/// Whether the book equals the chain.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AuditView {
    /// How many positions were compared.
    pub compared: u64,
    /// After which block last.
    pub last_block: Option<u64>,
    /// How many were otherwise.
    pub mismatches: u64,
    /// The last of them, with both values.
    pub last: Option<String>,
}

/// Whether the keeper is ready, by its own clock.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    /// Whether it is.
    pub ready: bool,
    /// How long ago the last new block was applied, in milliseconds.
    pub block_age_ms: Option<u64>,
    /// Why it is not.
    pub reason: Option<String>,
}

impl View {
    /// Whether a new block was applied recently.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let Some(head) = &self.head else {
            let reason = self.progress.clone().unwrap_or_else(|| "no block was applied yet".to_owned());
            return Readiness { ready: false, block_age_ms: None, reason: Some(reason) };
        };
        let age = head.age();
        let limit = self.keeper.ready_within;
        let reason = (age > limit).then(|| {
            format!(
                "no new block for {} s, which is more than {} s: is the chain standing still, or are all nodes away?",
                age.as_secs(),
                limit.as_secs()
            )
        });
        let block_age_ms = Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Readiness { ready: reason.is_none(), block_age_ms, reason }
    }

    /// How many positions are under water.
    #[must_use]
    pub fn under_water(&self) -> u64 {
        self.markets.iter().map(|market| market.under_water).sum()
    }

    /// How many positions are below the watched health.
    #[must_use]
    pub fn watched(&self) -> u64 {
        self.decisions.iter().map(|count| count.positions).sum()
    }
}

impl PositionView {
    /// How much of a price lies above a waterline, in basis points; below 0 where the price is under it.
    #[must_use]
    pub fn distance_bps(price: U256, waterline: U256) -> i64 {
        let part = |difference: U256| {
            let bps = difference.saturating_mul(U256::from(BPS)).checked_div(price).unwrap_or(U256::MAX);
            i64::try_from(bps).unwrap_or(i64::MAX)
        };
        // What is liquidated at exactly this price is under water.
        if waterline >= price { -part(waterline - price).max(1) } else { part(price - waterline) }
    }
}

impl Head {
    /// How long ago it was applied.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.applied.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_at_the_waterline_is_under_water() {
        let distance =
            |price: u64, waterline: u64| PositionView::distance_bps(U256::from(price), U256::from(waterline));
        assert_eq!(distance(2_000, 1_000), 5_000);
        assert_eq!(distance(2_000, 0), 10_000);
        assert_eq!(distance(2_000, 2_000), -1);
        assert_eq!(distance(2_000, 3_000), -5_000);
        assert_eq!(PositionView::distance_bps(U256::from(1), U256::MAX), -i64::MAX);
    }
}
