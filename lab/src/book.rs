//! Measures the keeper's book: its memory, the events that it applies a second, the time to find the liquidatable loans
//! at a price, and the time to save it to a checkpoint and to load it.
//!
//! The process holds nothing else. In one market every account posts collateral and borrows, and then every account
//! changes its position, in an order without locality. Events are generated one block at a time outside the measured
//! time, with an accrual at the beginning of each block as on a chain.

mod checkpoint;

use std::{
    fmt, fs,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, U256, keccak256};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_contracts::{
    IPlimsoll::{self, IPlimsollEvents},
    MarketId, MarketParams, RateCurve, Risk,
};
use plimsoll_keeper::{
    book::{Block, Book, MarketBook, Position},
    chain::Event,
    math::{
        debt::{saturating_total_after_repay, to_debt_shares_up, to_debt_up},
        types::Market,
    },
};
use serde::Serialize;

/// The number of loans that are liquidatable at the price of the timed query.
const CANDIDATES: usize = 100;
/// How often the query is timed; the median is reported.
const ROUNDS: usize = 1_001;
/// As on a busy chain.
const EVENTS_PER_BLOCK: u64 = 1_000;
const BLOCK_SECS: u64 = 12;
const GENESIS_SECS: u64 = 1_700_000_000;
/// 100 dollars of 6 decimals.
const MIN_DEBT: u128 = 100_000_000;
/// Units of an 18-decimal ether for each unit of a 6-decimal dollar, at 2,000 dollars.
const COLLATERAL_PER_DEBT: u128 = 500_000_000;
/// What is supplied to the market, in units.
const LENT: u128 = 1 << 80;

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of positions in the book.
    pub positions: u64,
    /// Growth of the process's resident memory by the book, in bytes for each position.
    pub bytes_per_position: u64,
    /// Resident memory of the process with the book, in millions of bytes.
    pub rss_mb: u64,
    /// Decoded events applied a second, including the record that is needed to revert them.
    pub apply_events_per_s: u64,
    /// Time from a price to the exact list of loans that are liquidatable at it, in microseconds.
    pub price_to_candidates_us: f64,
    /// Time to write every row of the book to a checkpoint, block by block, in milliseconds.
    pub checkpoint_save_ms: u64,
    /// Time to write a block that changed 10,000 rows to the checkpoint of the whole book, in milliseconds.
    pub checkpoint_changes_ms: u64,
    /// Time from a checkpoint on disk to the book in memory, in milliseconds.
    pub checkpoint_load_ms: u64,
}

/// Runs the measurement.
///
/// # Errors
/// On systems that do not report a process's memory.
pub async fn run(positions: u64) -> eyre::Result<Report> {
    ensure!(positions >= CANDIDATES as u64, "{positions} positions are fewer than the {CANDIDATES} to be found");
    let resident_before = resident_bytes()?;
    let mut filling = Filling::new()?;
    let mut applying = Duration::ZERO;
    let mut applied = 0;
    let mut steps = (0..positions).flat_map(|number| [Step::Post(number), Step::Borrow(number)]).chain(
        // A stride that is coprime to the number of accounts visits each of them once.
        (0..positions).map(|number| Step::Change(number * stride(positions) % positions)),
    );
    loop {
        let events = filling.block_of(steps.by_ref().take(usize::try_from(EVENTS_PER_BLOCK)?));
        if events.len() == 1 {
            break;
        }
        let started = Instant::now();
        filling.book.apply(filling.block, &events)?;
        applying += started.elapsed();
        applied += u64::try_from(events.len())?;
    }
    let resident = resident_bytes()?;

    let market = filling.book.market(filling.id).wrap_err("the market is not in the book")?;
    let price_to_candidates = time_of_answer(market, filling.block.timestamp + BLOCK_SECS)?;
    let checkpoint = checkpoint::times(filling.book, filling.block).await?;
    Ok(Report {
        positions,
        bytes_per_position: resident.saturating_sub(resident_before) / positions,
        rss_mb: resident.div_ceil(1_000_000),
        apply_events_per_s: u64::try_from(u128::from(applied) * 1_000_000 / applying.as_micros().max(1))?,
        price_to_candidates_us: micros(price_to_candidates),
        checkpoint_save_ms: u64::try_from(checkpoint.save.as_millis())?,
        checkpoint_changes_ms: u64::try_from(checkpoint.save_changed.as_millis())?,
        checkpoint_load_ms: u64::try_from(checkpoint.load.as_millis())?,
    })
}

/// Returns the median time of the query for liquidatable loans, at the price at which exactly [`CANDIDATES`] are.
fn time_of_answer(market: &MarketBook, timestamp: u64) -> eyre::Result<Duration> {
    let mut waterlines: Vec<U256> =
        market.positions().map(|(account, _)| market.waterline(account, timestamp)).collect();
    let (_, price, _) = waterlines.select_nth_unstable_by(CANDIDATES - 1, |left, right| right.cmp(left));
    let price = *price;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let found = market.liquidatable(price, timestamp);
        times.push(started.elapsed());
        ensure!(found.len() == CANDIDATES, "{} loans are liquidatable instead of {CANDIDATES}", found.len());
    }
    times.sort_unstable();
    times.get(ROUNDS / 2).copied().wrap_err("nothing was timed")
}

/// An action of an account.
enum Step {
    Post(u64),
    Borrow(u64),
    Change(u64),
}

/// A book, with the generator of the events that fill it.
struct Filling {
    book: Book,
    id: MarketId,
    block: Block,
}

impl Filling {
    /// Creates a market with supply.
    fn new() -> eyre::Result<Self> {
        let risk = Risk::new(8_000, 8_600, MIN_DEBT)?;
        let curve = RateCurve::new(1_268_391_679, 9_000, 40_000, 500_000)?;
        let [loan_token, collateral_token, oracle] = [1, 2, 3].map(Address::with_last_byte);
        let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
        let id = params.id();
        let block = Block { number: 1, timestamp: GENESIS_SECS };
        let lender = Address::with_last_byte(4);
        let assets = U256::from(LENT);
        let shares = assets * U256::from(1_000_000);
        let events = [
            Event::Core(IPlimsollEvents::CreateMarket(IPlimsoll::CreateMarket { id: id.0, params })),
            Event::Core(IPlimsollEvents::Supply(IPlimsoll::Supply {
                id: id.0,
                caller: lender,
                onBehalf: lender,
                assets,
                shares,
            })),
        ];
        let mut book = Book::new();
        book.apply(block, &events)?;
        Ok(Self { book, id, block })
    }

    /// Returns the events of the next block: an accrual and these steps.
    fn block_of(&mut self, steps: impl Iterator<Item = Step>) -> Vec<Event> {
        self.block = Block { number: self.block.number + 1, timestamp: self.block.timestamp + BLOCK_SECS };
        let Some(market) = self.book.market(self.id) else { return Vec::new() };
        let before = market.state().totals;
        let mut totals = market.at(self.block.timestamp);
        let whole = U256::from(totals.borrow_assets - before.borrow_assets) << 32;
        let accrual = Event::Core(IPlimsollEvents::Accrue(IPlimsoll::Accrue {
            id: self.id.0,
            interest: whole | U256::from(totals.interest_remainder),
            feeShares: U256::ZERO,
            rateAtTarget: U256::from(totals.rate_at_target),
            timestamp: U256::from(self.block.timestamp),
        }));
        let events = steps.map(|step| event_of(step, self.id.0, market, &mut totals));
        std::iter::once(accrual).chain(events).collect()
    }
}

/// Returns the event that the contract would emit for a step, and updates the market's totals.
fn event_of(step: Step, id: B256, market: &MarketBook, totals: &mut Market) -> Event {
    match step {
        Step::Post(number) => {
            let (account, assets) = (account(number), U256::from(loan(number).collateral));
            supplied(id, account, assets)
        }
        Step::Borrow(number) => {
            let (account, assets) = (account(number), loan(number).debt);
            let shares = to_debt_shares_up(assets, totals.borrow_assets, totals.borrow_shares);
            totals.borrow_assets += assets;
            totals.borrow_shares += shares;
            let (assets, shares) = (U256::from(assets), U256::from(shares));
            let (caller, receiver) = (account, account);
            Event::Core(IPlimsollEvents::Borrow(IPlimsoll::Borrow {
                id,
                caller,
                onBehalf: account,
                receiver,
                assets,
                shares,
            }))
        }
        // Half of the accounts repay a tenth, the others add a tenth of their collateral.
        Step::Change(number) if number % 2 == 0 => {
            let account = account(number);
            let Position { borrow_shares, .. } = market.position(account);
            let shares = borrow_shares / 10;
            let assets = to_debt_up(shares, totals.borrow_assets, totals.borrow_shares);
            totals.borrow_shares -= shares;
            totals.borrow_assets = saturating_total_after_repay(totals.borrow_assets, assets, totals.borrow_shares);
            let (assets, shares) = (U256::from(assets), U256::from(shares));
            Event::Core(IPlimsollEvents::Repay(IPlimsoll::Repay {
                id,
                caller: account,
                onBehalf: account,
                assets,
                shares,
            }))
        }
        Step::Change(number) => supplied(id, account(number), U256::from(loan(number).collateral / 10)),
    }
}

fn supplied(id: B256, account: Address, assets: U256) -> Event {
    Event::Core(IPlimsollEvents::SupplyCollateral(IPlimsoll::SupplyCollateral {
        id,
        caller: account,
        onBehalf: account,
        assets,
    }))
}

/// The size of a loan.
struct LoanSize {
    debt: u128,
    collateral: u128,
}

/// Returns the size of an account's loan: a debt from 100 dollars to 1.6 million, with collateral worth 1.3 to 3.3
/// times as much.
fn loan(number: u64) -> LoanSize {
    let drawn = keccak256(number.to_le_bytes());
    let [size, debt, ratio] = [0, 8, 16].map(|from| u128::from(limb(&drawn, from)));
    let debt = (MIN_DEBT + debt % MIN_DEBT) << (size % 14);
    let millionths = 1_300_000 + ratio % 2_000_000;
    LoanSize { debt, collateral: debt * COLLATERAL_PER_DEBT * millionths / 1_000_000 }
}

fn account(number: u64) -> Address {
    Address::from_word(keccak256((!number).to_le_bytes()))
}

fn limb(hash: &B256, from: usize) -> u64 {
    hash.iter().skip(from).take(8).fold(0, |limb, byte| (limb << 8) | u64::from(*byte))
}

/// Returns about 0.618 of the number of positions, so that neighbours are far apart, and coprime to it.
fn stride(positions: u64) -> u64 {
    const fn divisor(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    (positions * 618 / 1_000..).find(|stride| divisor(*stride, positions) == 1).unwrap_or(1)
}

/// Returns the resident memory of this process, in bytes.
pub(crate) fn resident_bytes() -> eyre::Result<u64> {
    let status = fs::read_to_string("/proc/self/status").wrap_err("a process's memory is only known on Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).wrap_err("no VmRSS in the status")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().wrap_err_with(|| format!("VmRSS:{line}"))?;
    Ok(kibibytes * 1_024)
}

/// Returns microseconds, rounded to a tenth.
fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000_000.0).round() / 10.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "positions            {:>12}", self.positions)?;
        writeln!(f, "bytes a position     {:>12}", self.bytes_per_position)?;
        writeln!(f, "memory, MB           {:>12}", self.rss_mb)?;
        writeln!(f, "events a second      {:>12}", self.apply_events_per_s)?;
        writeln!(f, "price to candidates  {:>12} µs", self.price_to_candidates_us)?;
        writeln!(f, "checkpoint, save     {:>12} ms", self.checkpoint_save_ms)?;
        writeln!(f, "– of 10,000 changes  {:>12} ms", self.checkpoint_changes_ms)?;
        write!(f, "checkpoint, load     {:>12} ms", self.checkpoint_load_ms)
    }
}
