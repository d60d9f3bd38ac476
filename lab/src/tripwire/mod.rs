//! Measures the tripwire index of accounts with several collaterals and debts: how many it evaluates in quiet ticks and in a
//! crash, its time beside a full scan, and its memory. In every tick its answer is compared with the full scan's.

mod aave_v3;
mod compound_v2;

use std::{fmt, time::Instant};

use alloy::primitives::Address;
use eyre::{bail, ensure};
use plimsoll_protocols::{
    ProtocolKind,
    tripwire::{EffectivePrice, SafetyBound, Side, Tripwires},
};
use plimsoll_testkit::random::Random;
use serde::Serialize;

use self::{aave_v3::AaveV3, compound_v2::CompoundV2};
use crate::book::resident_bytes;

const SEED: u64 = 7;
/// Tokens of the population; the last ones are stable.
const TOKENS: u16 = 12;
const STABLE_TOKENS: u16 = 3;
/// A volatile token's price, in dollars.
const PRICE: u128 = 100;
/// Health factor in basis points above which an account is not wanted.
const HEALTHY_BPS: u16 = 10_000;
const TOKEN: u128 = 1_000_000_000_000_000_000;
const THRESHOLD_BPS: u16 = 8_000;
/// Quiet ticks that are measured, each of 12 seconds.
const QUIET_TICKS: u32 = 200;
/// Greatest move of a volatile price in a quiet tick, in millionths, and of a stable one.
const QUIET_MOVE: u64 = 500;
const QUIET_STABLE_MOVE: u64 = 20;
/// Debt's growth in a quiet tick: 5 % a year, in billionths.
const INTEREST_PPB: u128 = 19;
/// Falls of all volatile tokens at once, then of one token, in percent.
const CRASHES: [u128; 3] = [5, 10, 20];
const ONE_TOKEN_FALL: u128 = 10;

/// A protocol's terms and accounts, as its index has them.
trait Model {
    /// A token's terms.
    type Terms: Clone;
    /// An account's balances.
    type Account;

    /// Returns terms at a price in dollars, with a liquidation threshold in basis points, and nothing accrued.
    fn terms(dollars: u128, threshold_bps: u16) -> Self::Terms;

    /// Multiplies a price, in millionths.
    fn move_price(terms: &mut Self::Terms, millionths: u128);

    /// Has debts grow, in billionths.
    fn accrue(terms: &mut Self::Terms, billionths: u128);

    /// Returns an account with balances in 10⁻¹⁸ tokens.
    fn account(balances: &[(u16, Side, u128)]) -> Self::Account;

    fn effective_price(terms: &Self::Terms) -> EffectivePrice;

    fn bound(account: &Self::Account, tokens: &[Self::Terms], health: u16) -> Option<SafetyBound>;

    fn is_liquidatable(account: &Self::Account, tokens: &[Self::Terms]) -> bool;
}

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whose rules the accounts have.
    pub protocol: ProtocolKind,
    /// Number of accounts, of one to four collaterals and one or two debts.
    pub accounts: u32,
    /// Bytes of resident memory for each account.
    pub bytes_per_account: u64,
    /// Ticks in which prices hardly move.
    pub quiet: Quiet,
    /// Crashes, each from the initial prices.
    pub crashes: Vec<Crash>,
    /// Accounts that the full scan finds liquidatable and the index does not, in all ticks.
    pub missed: usize,
    /// Accounts that the index calls liquidatable and the full scan does not, in all ticks.
    pub wrong: usize,
}

/// Evaluations in quiet ticks.
#[derive(Debug, Clone, Serialize)]
pub struct Quiet {
    /// Number of ticks.
    pub ticks: u32,
    /// Evaluated accounts of a tick, on average.
    pub mean_evaluated: f64,
    /// Evaluated accounts of the worst tick.
    pub max_evaluated: usize,
    /// Liquidatable accounts of a tick, on average; they are evaluated in every tick.
    pub mean_liquidatable: f64,
    /// Time of a tick, on average, in microseconds.
    pub mean_us: f64,
    /// Time of a full scan, on average, in microseconds.
    pub full_scan_us: f64,
}

/// One fall of prices.
#[derive(Debug, Clone, Serialize)]
pub struct Crash {
    /// What falls.
    pub what: String,
    /// Liquidatable accounts.
    pub liquidatable: usize,
    /// Evaluated accounts.
    pub evaluated: usize,
    /// Evaluated accounts for each liquidatable one.
    pub evaluated_per_liquidatable: f64,
    /// Time from the prices to the liquidatable accounts, in milliseconds.
    pub ms: f64,
    /// Time of a full scan, in milliseconds.
    pub full_scan_ms: f64,
}

/// Compares the index's answers with the full scan's.
#[derive(Debug, Default)]
struct Comparison {
    missed: usize,
    wrong: usize,
}

/// Runs the measurement.
///
/// # Errors
/// On systems that do not report a process's memory, without accounts, and of a protocol without such an index.
pub fn run(protocol: ProtocolKind, accounts: u32) -> eyre::Result<Report> {
    ensure!(accounts > 0, "no account is nothing to measure");
    match protocol {
        ProtocolKind::AaveV3 => measure::<AaveV3>(protocol, accounts),
        ProtocolKind::CompoundV2 => measure::<CompoundV2>(protocol, accounts),
        ProtocolKind::MorphoBlue => {
            bail!("positions of {protocol} have one collateral and one debt, and an index without tripwires")
        }
    }
}

fn measure<M: Model>(protocol: ProtocolKind, accounts: u32) -> eyre::Result<Report> {
    let before = resident_bytes()?;
    let population = population::<M>(accounts);
    let tokens: Vec<_> = (0..TOKENS).map(initial_terms::<M>).collect();
    let filled = || Indexed::<M>::new(&population, &tokens);
    let held_by_population = resident_bytes()?.saturating_sub(before);
    let index = filled();
    let bytes = resident_bytes()?.saturating_sub(before + held_by_population);
    let mut comparison = Comparison::default();
    let quiet = quiet_ticks(index, tokens.clone(), &mut comparison);
    let mut crashes = Vec::new();
    for fall in CRASHES {
        let volatile = |place: u16| !is_stable(place);
        crashes.push(crash(
            filled(),
            &tokens,
            format!("all volatile tokens −{fall} %"),
            fall,
            volatile,
            &mut comparison,
        ));
    }
    let what = format!("one token −{ONE_TOKEN_FALL} %");
    crashes.push(crash(filled(), &tokens, what, ONE_TOKEN_FALL, |place| place == 0, &mut comparison));
    let Comparison { missed, wrong } = comparison;
    Ok(Report { protocol, accounts, bytes_per_account: bytes / u64::from(accounts), quiet, crashes, missed, wrong })
}

fn initial_terms<M: Model>(place: u16) -> M::Terms {
    M::terms(dollars(place), THRESHOLD_BPS)
}

/// Returns the initial price of a token.
const fn dollars(place: u16) -> u128 {
    if is_stable(place) { 1 } else { PRICE }
}

const fn is_stable(place: u16) -> bool {
    place >= TOKENS - STABLE_TOKENS
}

/// The accounts with their index. An account's address is its number.
struct Indexed<'a, M: Model> {
    population: &'a [M::Account],
    index: Tripwires,
}

/// What a tick found.
struct Tick {
    /// Numbers of the liquidatable accounts, in ascending order.
    liquidatable: Vec<usize>,
    evaluated: usize,
}

impl<'a, M: Model> Indexed<'a, M> {
    fn new(population: &'a [M::Account], tokens: &[M::Terms]) -> Self {
        let mut index = Tripwires::default();
        index.tick(&prices::<M>(tokens));
        for (number, account) in population.iter().enumerate() {
            index.set(Address::left_padding_from(&number.to_be_bytes()), M::bound(account, tokens, HEALTHY_BPS));
        }
        Self { population, index }
    }

    fn tick(&mut self, tokens: &[M::Terms]) -> Tick {
        let due = self.index.tick(&prices::<M>(tokens));
        let number = |account: &Address| {
            let digits = account.last_chunk::<8>().copied().unwrap_or_default();
            usize::try_from(u64::from_be_bytes(digits)).unwrap_or(usize::MAX)
        };
        let evaluated = due.len();
        let mut liquidatable: Vec<_> =
            due.iter().map(number).filter(|number| self.is_liquidatable(*number, tokens)).collect();
        liquidatable.sort_unstable();
        Tick { liquidatable, evaluated }
    }

    /// Evaluates every account, as a keeper without an index does.
    fn full_scan(&self, tokens: &[M::Terms]) -> Vec<usize> {
        (0..self.population.len()).filter(|number| self.is_liquidatable(*number, tokens)).collect()
    }

    fn is_liquidatable(&self, number: usize, tokens: &[M::Terms]) -> bool {
        self.population.get(number).is_some_and(|account| M::is_liquidatable(account, tokens))
    }
}

fn prices<M: Model>(tokens: &[M::Terms]) -> Vec<EffectivePrice> {
    tokens.iter().map(M::effective_price).collect()
}

/// Returns accounts whose health factors lie between 1.0005 and 3, denser towards 1.
fn population<M: Model>(accounts: u32) -> Vec<M::Account> {
    let mut random = Random::from_seed(SEED);
    (0..accounts).map(|_| M::account(&account(&mut random))).collect()
}

/// Returns an account's tokens, each with its side and units.
fn account(random: &mut Random) -> Vec<(u16, Side, u128)> {
    let mut tokens: Vec<u16> = (0..TOKENS).collect();
    let mut pick =
        |random: &mut Random| tokens.swap_remove(usize::try_from(random.next_u64()).unwrap_or_default() % tokens.len());
    let (collaterals, debts) = (1 + random.below(4), 1 + random.below(2));
    let (mut terms, mut allowed) = (Vec::new(), 0);
    for _ in 0..collaterals {
        // By value, in dollars.
        let value = TOKEN / 100 * u128::from(1 + random.below(100_000));
        allowed += value / 10_000 * u128::from(THRESHOLD_BPS);
        let token = pick(random);
        terms.push((token, Side::Collateral, worth(value, token)));
    }
    // Health − 1 is the square of a uniform number: a quarter of all accounts is within 12.5 % of the line.
    let part = random.part();
    let health = 10_005 + 20_000 * part / Random::PARTS * part / Random::PARTS;
    for _ in 0..debts {
        let value = allowed * 10_000 / health / u128::from(debts);
        let token = pick(random);
        terms.push((token, Side::Debt, worth(value, token)));
    }
    terms
}

/// Returns units of a token for a value in 10⁻¹⁸ dollars.
const fn worth(value: u128, token: u16) -> u128 {
    value / dollars(token)
}

fn quiet_ticks<M: Model>(mut index: Indexed<'_, M>, mut tokens: Vec<M::Terms>, comparison: &mut Comparison) -> Quiet {
    let mut random = Random::from_seed(SEED);
    let (mut evaluated, mut most, mut liquidatable, mut time, mut scan_time) = (0, 0, 0, 0.0, 0.0);
    for _ in 0..QUIET_TICKS {
        for (place, token) in (0..).zip(&mut tokens) {
            let most = if is_stable(place) { QUIET_STABLE_MOVE } else { QUIET_MOVE };
            let part = u128::from(1_000_000 - most + random.below(2 * most + 1));
            M::move_price(token, part);
            M::accrue(token, INTEREST_PPB);
        }
        let started = Instant::now();
        let tick = index.tick(&tokens);
        time += started.elapsed().as_secs_f64() * 1e6;
        let started = Instant::now();
        let scanned = index.full_scan(&tokens);
        scan_time += started.elapsed().as_secs_f64() * 1e6;
        comparison.record(&tick.liquidatable, &scanned);
        evaluated += tick.evaluated;
        most = most.max(tick.evaluated);
        liquidatable += tick.liquidatable.len();
    }
    let mean = |sum: usize| ratio(sum, usize::try_from(QUIET_TICKS).unwrap_or(1));
    Quiet {
        ticks: QUIET_TICKS,
        mean_evaluated: mean(evaluated),
        max_evaluated: most,
        mean_liquidatable: mean(liquidatable),
        mean_us: time / f64::from(QUIET_TICKS),
        full_scan_us: scan_time / f64::from(QUIET_TICKS),
    }
}

fn crash<M: Model>(
    mut index: Indexed<'_, M>,
    tokens: &[M::Terms],
    what: String,
    percent: u128,
    falls: impl Fn(u16) -> bool,
    comparison: &mut Comparison,
) -> Crash {
    let mut tokens = tokens.to_vec();
    for (_, token) in (0..).zip(&mut tokens).filter(|(place, _)| falls(*place)) {
        M::move_price(token, (100 - percent) * 10_000);
    }
    let started = Instant::now();
    let tick = index.tick(&tokens);
    let ms = started.elapsed().as_secs_f64() * 1e3;
    let started = Instant::now();
    let scanned = index.full_scan(&tokens);
    let full_scan_ms = started.elapsed().as_secs_f64() * 1e3;
    comparison.record(&tick.liquidatable, &scanned);
    let liquidatable = tick.liquidatable.len();
    let evaluated_per_liquidatable = ratio(tick.evaluated, liquidatable.max(1));
    Crash { what, liquidatable, evaluated: tick.evaluated, evaluated_per_liquidatable, ms, full_scan_ms }
}

impl Comparison {
    /// Both lists are in ascending order.
    fn record(&mut self, found: &[usize], scanned: &[usize]) {
        self.missed += scanned.iter().filter(|account| found.binary_search(account).is_err()).count();
        self.wrong += found.iter().filter(|account| scanned.binary_search(account).is_err()).count();
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quiet { ticks, mean_evaluated, max_evaluated, mean_liquidatable, mean_us, full_scan_us } = &self.quiet;
        writeln!(f, "accounts             {:>12}", self.accounts)?;
        writeln!(f, "bytes an account     {:>12}", self.bytes_per_account)?;
        writeln!(
            f,
            "{ticks} quiet ticks: {mean_evaluated:.1} evaluated on average, {max_evaluated} at most, \
                     {mean_liquidatable:.1} liquidatable; {mean_us:.0} µs, a full scan {full_scan_us:.0} µs"
        )?;
        for Crash { what, liquidatable, evaluated, evaluated_per_liquidatable, ms, full_scan_ms } in &self.crashes {
            writeln!(
                f,
                "{what}: {evaluated} evaluated, {liquidatable} liquidatable ({evaluated_per_liquidatable:.2} each); \
                         {ms:.1} ms, a full scan {full_scan_ms:.1} ms"
            )?;
        }
        write!(f, "missed               {:>12}\nwrong                {:>12}", self.missed, self.wrong)
    }
}
