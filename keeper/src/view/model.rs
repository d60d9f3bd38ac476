//! The types of the view: plain data that serialises to the API's JSON, which `api/openapi.json` describes.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::{Address, B256, U256};
use plimsoll_contracts::{MarketId, market::BPS};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use super::{
    decisions::DecisionHistory,
    governance::GovernanceView,
    jobs::{JobsView, VouchersView},
    row::PositionRow,
    words::Words,
};
use crate::{
    amount::{Amount, Balance, Health, Price},
    math::guard::OrderKind,
    sender::fleet::FleetStatus,
    strategies::rebalance::Flag,
    survey::DebtDistribution,
};

/// Number of entries that the activity list keeps.
pub const SHOWN_EVENTS: usize = 100;

/// Everything that a keeper shows of itself. Each field is a block of the dashboard, and most are of
/// `/api/v1/status`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct View {
    /// The keeper: version, network, chain, deployment.
    pub keeper: KeeperView,
    /// The last applied block; `None` before the first, and while the book is rebuilt.
    pub head: Option<HeadView>,
    /// What the keeper is doing while there is no block to show, such as reading old events.
    pub progress: Option<String>,
    /// Every configured market.
    pub markets: Vec<MarketView>,
    /// Positions below the watched health factor, the least healthy first. There may be very many, so they are not part of
    /// `/api/v1/status`.
    #[serde(skip)]
    pub at_risk: Arc<[PositionRow]>,
    /// Earlier decisions about positions.
    #[serde(skip)]
    pub history: DecisionHistory,
    /// Number of positions below the watched health, by decision.
    pub decisions: Vec<DecisionCount>,
    /// Accounts that the configuration watches, one entry for each market in which they have debt.
    pub watched_accounts: Vec<WatchedAccount>,
    /// Borrowers' orders whose triggers are met.
    pub orders: TriggeredOrders,
    /// Other protocols whose positions are liquidated.
    pub protocols: Vec<ProtocolView>,
    /// Every configured staking programme, one entry for each reward token.
    pub programmes: Vec<ProgrammeView>,
    /// Every vault that is followed.
    pub vaults: Vec<VaultView>,
    /// What governance waits for; `None` where the deployment has no manager on record.
    pub governance: Option<GovernanceView>,
    /// Jobs of nodes; `None` where the deployment has none on record.
    pub jobs: Option<JobsView>,
    /// The last decisions about published vouchers.
    pub vouchers: Vec<VouchersView>,
    /// Recent transactions and dry-run decisions, the newest first; at most [`SHOWN_EVENTS`].
    pub timeline: Vec<ActivityEntry>,
    /// Sums of what was earned and spent.
    pub totals: Totals,
    /// What was earned and spent on each day with a transaction, the oldest first; see `/api/v1/profit`.
    #[serde(skip)]
    pub profit: Vec<DayProfit>,
    /// Every account that signs, with its balance and next nonce.
    pub signers: Vec<SignerView>,
    /// Keepers that share a database with this one, and their leases; `None` where it shares none.
    pub fleet: Option<FleetStatus>,
    /// Names of the markets in which another keeper's claims keep this one from sending, each with the number of blocks for
    /// which they have.
    #[serde(skip)]
    pub held_by_peer: BTreeMap<String, u64>,
    /// Every endpoint that is read from.
    pub endpoints: Vec<EndpointView>,
    /// Limits and the circuit breaker.
    pub safety: SafetyView,
    /// Result of comparing the book with the chain.
    pub audit: AuditView,
}

/// Which keeper this is, and which deployment it follows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KeeperView {
    /// Version of the program.
    pub version: String,
    /// Name of the deployment.
    pub network: String,
    /// Name of the chain.
    pub chain: String,
    /// Chain id.
    pub chain_id: u64,
    /// Hash of the chain's block 0.
    pub genesis: B256,
    /// Address of the lending core; `None` where the keeper serves other protocols alone.
    pub core: Option<Address>,
    /// Symbol of the chain's native currency.
    pub coin: String,
    /// Address of the chain's block explorer, without a slash at its end; `None` on a chain without one.
    pub explorer: Option<String>,
    /// Health factor below which positions are listed.
    pub watch_below: Health,
    /// Whether transactions are sent; `false` in a dry run.
    pub live: bool,
    /// Longest time without a new block for which the keeper still counts as ready.
    #[serde(skip)]
    pub ready_within: Duration,
}

/// The last block that was applied to the book.
#[derive(Debug, Clone, Serialize)]
pub struct HeadView {
    /// Number of the block.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Block timestamp, in seconds. Forks and replays have a clock of their own, so readiness does not depend on it.
    pub timestamp: u64,
    /// Base fee per gas, in wei.
    pub base_fee: u64,
    /// When the block was applied, by the monotonic clock.
    #[serde(skip)]
    pub applied: Instant,
}

/// A market.
#[derive(Debug, Clone, Serialize)]
pub struct MarketView {
    /// Market id.
    pub id: B256,
    /// Name in the deployment's record, or the beginning of the id.
    pub name: String,
    /// Name of the loan token.
    pub loan_token: String,
    /// Name of the collateral token.
    pub collateral_token: String,
    /// Address of the loan token.
    pub loan_token_address: Address,
    /// Decimals of the loan token.
    pub loan_decimals: u8,
    /// Address of the collateral token.
    pub collateral_token_address: Address,
    /// Decimals of the collateral token.
    pub collateral_decimals: u8,
    /// Oracle of the market.
    pub oracle: Address,
    /// Loan-to-value up to which can be borrowed, in basis points.
    pub borrow_ltv_bps: u16,
    /// Loan-to-value from which loans can be liquidated, in basis points.
    pub liquidation_ltv_bps: u16,
    /// Total supplied assets with interest.
    pub supplied: Amount,
    /// Total borrowed assets with interest.
    pub borrowed: Amount,
    /// Borrowed ÷ supplied, in basis points.
    pub utilisation_bps: u32,
    /// Borrow rate for a year without compounding, in basis points.
    pub borrow_rate_bps: u64,
    /// Supply rate for a year without compounding, after the reserve's part, in basis points.
    pub supply_rate_bps: u64,
    /// Assets of the market's reserve, which pays for bad debt first.
    pub reserve: Amount,
    /// The most of bad debt that the market's backstop pays for at present; `None` without a backstop.
    pub cover: Option<Amount>,
    /// Debt of liquidatable loans beyond the value of their collateral.
    pub bad_debt: Amount,
    /// The most that the surge limit lets be borrowed at once; `None` without a limit.
    pub surge_room: Option<Amount>,
    /// Time in which the surge limit refills wholly, in seconds; `None` without a limit.
    pub surge_period_secs: Option<u32>,
    /// Liquidation price; `None` if there is none.
    pub price: Option<Price>,
    /// Why there is no liquidation price.
    pub price_problem: Option<String>,
    /// Number of loans.
    pub loans: u64,
    /// Number of liquidatable loans: those whose health factor is below 1.
    pub liquidatable: u64,
    /// Number of blocks since the loan that has been liquidatable longest became so, counted from when this process saw it
    /// first; 0 without such a loan.
    pub liquidatable_blocks: u64,
    /// Why nothing is liquidated in this market; `None` where liquidations are enabled and possible.
    pub liquidation_problem: Option<String>,
    /// Number of borrowers' orders at the guard.
    pub orders: u64,
    /// Debt by the fall in price that makes it liquidatable.
    pub debt: DebtDistribution,
    /// How decisions about loans of the market are put into words.
    #[serde(skip)]
    pub words: Words,
}

/// A position with debt.
#[derive(Debug, Clone, Serialize)]
pub struct PositionView {
    /// Market id.
    pub market: B256,
    /// Name of the market.
    pub market_name: String,
    /// Borrower.
    pub account: Address,
    /// Debt with interest.
    pub debt: Amount,
    /// Collateral.
    pub collateral: Amount,
    /// Health factor: the position is liquidatable below 1.
    pub health: Health,
    /// Liquidation price (waterline): the highest price at which the position is liquidatable.
    pub waterline: Price,
    /// Fall in price until the position is liquidatable, in basis points of the price; negative where it already is.
    pub distance_bps: i64,
    /// Block since which the position is liquidatable, counted from when the keeper's process saw it first; `None` where it
    /// is not, and in a report that asked no running keeper.
    pub liquidatable_since: Option<u64>,
    /// The last decision about the position; `None` in a report that asked no running keeper, and for a liquidatable
    /// position about which none was taken yet.
    pub decision: Option<DecisionView>,
}

/// The last decision about a position, an order, a reward or a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    /// Block on which the decision is based.
    pub block: u64,
    /// Whether a transaction includes it.
    pub acts: bool,
    /// Stable machine-readable reason, such as `no_route`; `act` where a transaction includes it.
    pub reason: String,
    /// The reason as a sentence with figures.
    pub text: String,
}

/// An account that the configuration watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchedAccount {
    /// Borrower.
    pub account: Address,
    /// Name of the market.
    pub market_name: String,
    /// Health factor of the account's position in that market.
    pub health: Health,
    /// Health factor below which an alert is raised.
    pub below: Health,
}

/// Number of positions at risk that share a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DecisionCount {
    /// Whether transactions include them.
    pub acts: bool,
    /// Stable machine-readable reason, as in [`DecisionView::reason`].
    pub reason: String,
    /// Number of positions.
    pub positions: u64,
}

/// Another protocol whose positions are liquidated, as of its newest block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProtocolView {
    /// Name of the protocol, such as `morpho-blue`.
    pub name: String,
    /// Address of its main contract.
    pub address: Address,
    /// Number of the block.
    pub block: u64,
    /// Number of its markets.
    pub markets: u64,
    /// Number of its positions with debt.
    pub positions: u64,
    /// Number of positions that can be liquidated with a bonus that is worth it, by decision.
    pub decisions: Vec<DecisionCount>,
    /// Where the chain contradicts what is known, so that nothing is decided; empty as long as everything adds up.
    pub differences: Vec<String>,
}

/// Borrowers' orders whose triggers are met.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TriggeredOrders {
    /// Number of those about which something was decided.
    pub total: u64,
    /// The first of them, those that are executed at the beginning.
    pub orders: Vec<OrderView>,
}

/// An order at the guard whose trigger is met.
#[derive(Debug, Clone, Serialize)]
pub struct OrderView {
    /// Market id.
    pub market: B256,
    /// Name of the market.
    pub market_name: String,
    /// Account that placed it.
    pub account: Address,
    /// Its trigger.
    pub kind: OrderKind,
    /// What an execution repays.
    pub repaid: Amount,
    /// Collateral that it sells for that, where no own tokens of the account are used.
    pub sold: Amount,
    /// Premium in millionths of the payment.
    pub premium_ppm: u64,
    /// How often it may still be executed.
    pub uses: u8,
    /// Last second at which it may be executed.
    pub expiry: u64,
    /// The last decision about it.
    pub decision: DecisionView,
}

/// A reward token of a staking programme.
#[derive(Debug, Clone, Serialize)]
pub struct ProgrammeView {
    /// Pool id.
    pub id: B256,
    /// Name in the deployment's record, or the beginning of the id.
    pub name: String,
    /// Name of the reward token.
    pub reward_token: String,
    /// Number of accounts that allow keepers to harvest for them.
    pub consenting: u64,
    /// Number of those accounts that can be harvested now.
    pub due: u64,
    /// The last decision about the reward.
    pub decision: Option<DecisionView>,
}

/// A vault that the keeper rebalances, with its decision about it.
#[derive(Debug, Clone, Serialize)]
pub struct VaultView {
    /// Address of the vault.
    pub address: Address,
    /// Name in the deployment's record, or the beginning of the address.
    pub name: String,
    /// Assets that belong to its shares.
    pub total: Amount,
    /// Assets that are not supplied.
    pub idle: Amount,
    /// What the depositors earn in a year without compounding, in basis points of the total, before the vault's fee.
    pub supply_rate_bps: u64,
    /// Its markets, in the order of its list; those that are not followed are not among them.
    pub markets: Vec<VaultMarketView>,
    /// The last decision about the vault.
    pub decision: Option<DecisionView>,
}

/// A market of a vault.
#[derive(Debug, Clone, Serialize)]
pub struct VaultMarketView {
    /// Market id.
    pub id: B256,
    /// Name in the deployment's record, or the beginning of the id.
    pub name: String,
    /// What the vault's supply is worth.
    pub assets: Amount,
    /// Supply rate for a year without compounding, in basis points.
    pub supply_rate_bps: u64,
    /// Why the vault leaves the market: `no_price`, `used_up` or `loans_at_risk`; `None` where it does not.
    pub flag: Option<Flag>,
}

/// An entry of the activity list: one intent and its latest state.
#[derive(Debug, Clone, Serialize)]
pub struct ActivityEntry {
    /// Intent id; a replacement or a rebroadcast keeps it. 0 of another liquidator's.
    pub id: u64,
    /// Time of the latest change, in seconds of the chain's clock.
    pub at: u64,
    /// Block that includes the transaction, once it is mined.
    pub block: Option<u64>,
    /// What the transaction does, and whether another liquidator sent it.
    pub kind: ActivityKind,
    /// What has become of the transaction so far.
    pub state: ActivityState,
    /// Name of the market, of the staking programme or of the vault.
    pub place: String,
    /// Id of the market; `None` of anything but a liquidation.
    pub market: Option<B256>,
    /// Borrowers of the loans, of which there may be very many.
    #[serde(skip)]
    pub borrowers: Arc<[Address]>,
    /// Number of accounts that the transaction is about.
    pub accounts: u64,
    /// Amount that was repaid or claimed, once the receipt was read.
    pub moved: Option<Amount>,
    /// Profit before gas, in the native currency: expected at first, realised once the receipt was read; none of a transaction that
    /// reverted or was cancelled.
    pub profit: Option<Balance>,
    /// Transaction fee.
    pub gas: Option<Amount>,
    /// Transaction hash, once it was broadcast.
    pub transaction: Option<B256>,
    /// Reason for the state, where there is more to say than the state itself.
    pub note: Option<String>,
}

impl ActivityEntry {
    /// Whether the transaction was mined and succeeded.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, ActivityState::Mined | ActivityState::Final)
    }
}

/// Kind of operation in the activity list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    /// Liquidation of one or more loans.
    Liquidation,
    /// Execution of a borrower's order at the guard.
    Order,
    /// Harvest of others' rewards for their tips.
    Harvest,
    /// Claim of the keeper's own rewards.
    Claim,
    /// Move of a vault's assets between its markets.
    Rebalance,
    /// Execution of an operation or a proposal that was due.
    Governance,
    /// Step of a job of nodes.
    Job,
    /// Claim of nodes' emission.
    Emission,
    /// Claim of vouchers for a service.
    Vouchers,
    /// Transfer of profits to their receiver.
    Sweep,
    /// Liquidation by another liquidator.
    Elsewhere,
}

impl ActivityKind {
    /// Returns the name of the kind in JSON and CSV.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Liquidation => "liquidation",
            Self::Order => "order",
            Self::Harvest => "harvest",
            Self::Claim => "claim",
            Self::Rebalance => "rebalance",
            Self::Governance => "governance",
            Self::Job => "job",
            Self::Emission => "emission",
            Self::Vouchers => "vouchers",
            Self::Sweep => "sweep",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// State of an entry in the activity list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityState {
    /// Nothing was sent, because this is a dry run.
    Dry,
    /// The transaction was broadcast and is pending.
    Sent,
    /// The transaction was mined and succeeded.
    Mined,
    /// The transaction was mined in a block that is final.
    Final,
    /// The transaction was mined and reverted.
    Reverted,
    /// The intent was given up without effect on the chain.
    Dropped,
}

impl ActivityState {
    /// Returns the name of the state in JSON and CSV.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dry => "dry",
            Self::Sent => "sent",
            Self::Mined => "mined",
            Self::Final => "final",
            Self::Reverted => "reverted",
            Self::Dropped => "dropped",
        }
    }
}

/// Sums over the lifetime of the journal, and of the current day.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Number of liquidated loans.
    pub liquidated: u64,
    /// Number of borrowers' orders that were executed.
    pub executed: u64,
    /// Number of accounts whose rewards were harvested.
    pub harvested: u64,
    /// Number of mined transactions.
    pub transactions: u64,
    /// Number of mined transactions that reverted.
    pub reverted: u64,
    /// Profit before gas, in the native currency.
    pub profit: Balance,
    /// Transaction fees.
    pub gas: Amount,
    /// Profit after transaction fees of the current day (UTC, by the chain's clock).
    pub day: Balance,
}

/// A signer.
#[derive(Debug, Clone, Serialize)]
pub struct SignerView {
    /// What it signs: liquidations, harvests or both.
    pub role: String,
    /// Address of the signer.
    pub address: Address,
    /// Balance as last read; `None` before the first read.
    pub balance: Option<Amount>,
    /// Nonce of its next new transaction.
    pub nonce: Option<u64>,
    /// Number of pending transactions.
    pub pending: u64,
    /// Whether its balance is below `low_balance` in `[alerts]`.
    pub low: bool,
    /// Why it cannot send, where it cannot.
    pub problem: Option<String>,
}

/// An endpoint that is read from.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointView {
    /// Name in the configuration.
    pub name: String,
    /// Role in the configuration: what it is used for.
    pub role: String,
    /// Whether it is used in its normal order; `false` while demoted, excluded or disconnected.
    pub healthy: bool,
    /// Number of its newest block.
    pub head: Option<u64>,
    /// Average latency, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Number of calls.
    pub calls: u64,
    /// Number of calls that failed or were answered wrongly.
    pub errors: u64,
    /// Why it is not healthy.
    pub problem: Option<String>,
}

/// Limits on sending, and how far they are used up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SafetyView {
    /// Why sending is stopped, where it is: kill file or daily loss cap; or of which strategy in which market, by its circuit
    /// breaker or its own cap.
    pub stopped: Option<String>,
    /// Names of markets in which an operator has paused the keeper, or `everything`.
    pub paused: Vec<String>,
    /// Loss of today's (UTC) transactions that cost more than they brought.
    pub lost_today: Amount,
    /// Daily cap on [`Self::lost_today`].
    pub loss_cap: Amount,
    /// Number of reverts within the circuit breaker's window.
    pub reverts: u64,
    /// Number of reverts at which the circuit breaker opens.
    pub breaker_reverts: u64,
}

/// Result of comparing the book with the chain since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AuditView {
    /// Number of compared positions.
    pub compared: u64,
    /// Block of the last compared sample.
    pub last_block: Option<u64>,
    /// Number of differences.
    pub mismatches: u64,
    /// The last difference, with both values.
    pub last: Option<String>,
    /// A difference of each market that differs now.
    #[serde(skip)]
    pub differing: BTreeMap<MarketId, String>,
}

/// What was earned and spent on a day (UTC, by the chain's clock).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DayProfit {
    /// The day, such as `2026-02-28`.
    pub date: String,
    /// Profit before gas, in the native currency.
    pub profit: Balance,
    /// Transaction fees.
    pub gas: Amount,
    /// Profit after gas.
    pub net: Balance,
}

/// Whether the keeper is ready, by the monotonic clock.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    /// Whether a new block was applied recently.
    pub ready: bool,
    /// Time since the last new block was applied, in milliseconds.
    pub block_age_ms: Option<u64>,
    /// Why the keeper is not ready.
    pub reason: Option<String>,
}

impl View {
    /// Tells whether a new block was applied within [`KeeperView::ready_within`].
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

    /// Number of the last applied block.
    #[must_use]
    pub fn block(&self) -> Option<u64> {
        self.head.as_ref().map(|head| head.number)
    }

    /// Counts the liquidatable positions of all markets.
    #[must_use]
    pub fn liquidatable(&self) -> u64 {
        self.markets.iter().map(|market| market.liquidatable).sum()
    }

    /// Counts the positions below the watched health factor.
    #[must_use]
    pub fn watched(&self) -> u64 {
        self.decisions.iter().map(|count| count.positions).sum()
    }
}

impl PositionView {
    /// Computes by how much a price may fall until it reaches a liquidation price, in basis points of the price;
    /// negative where it has reached it. Clamped to the range of `i64`.
    #[must_use]
    pub fn distance_bps(price: U256, waterline: U256) -> i64 {
        let part = |difference: U256| {
            let bps = difference.saturating_mul(U256::from(BPS)).checked_div(price).unwrap_or(U256::MAX);
            i64::try_from(bps).unwrap_or(i64::MAX)
        };
        // A position is liquidatable at exactly its liquidation price.
        if waterline >= price { -part(waterline - price).max(1) } else { part(price - waterline) }
    }
}

impl HeadView {
    /// Time since the block was applied.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.applied.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_liquidatable_at_exactly_its_liquidation_price() {
        let distance =
            |price: u64, waterline: u64| PositionView::distance_bps(U256::from(price), U256::from(waterline));
        assert_eq!(distance(2_000, 1_000), 5_000);
        assert_eq!(distance(2_000, 0), 10_000);
        assert_eq!(distance(2_000, 2_000), -1);
        assert_eq!(distance(2_000, 3_000), -5_000);
        assert_eq!(PositionView::distance_bps(U256::from(1), U256::MAX), -i64::MAX);
    }
}
