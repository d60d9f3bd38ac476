//! `lab surge`: what lenders lose while unbacked collateral is poured into a market, with and without a surge limit.
//!
//! Two attacks of 2026 are played in shape, on the real contracts: [`Shape::KELP`] and [`Shape::RESOLV`]. The market is
//! the same in all runs. An attacker borrows as much as the market lends whenever it may, at an oracle that does not
//! notice; then the collateral gets its true price and every loan is liquidated. With a limit, the loss is compared with
//! the most that the limit allows ([`max_surge`]).

mod chain;

use std::fmt;

use eyre::ensure;
use plimsoll_contracts::{SurgeLimit, market::BPS};
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_keeper::math::types::Market;
use serde::Serialize;

use chain::{Chain, MIN_DEBT, Party, TOKEN, liquidity};

/// Seconds between two of the attacker's loans, unless another number is given.
pub const DEFAULT_INTERVAL_SECS: u64 = 60;
/// What lenders supply, in whole tokens.
const SUPPLIED: u64 = 80_000_000;
/// What is borrowed against good collateral before the attack, in whole tokens.
const OLD_DEBT: u64 = 50_000_000;
/// The debt of the old loans against the value of their collateral, before the attack.
const OLD_LTV_BPS: u32 = 5_000;
/// The same of the attacker's loans: 1 % below the borrow LTV, so that interest does not come in between.
const ATTACKER_LTV_BPS: u32 = 7_920;
/// Seconds between two of the loans with which the old debt grows: a period of the limit.
const GROWTH_STEP_SECS: u64 = 86_400;
/// The advised limit.
const LIMIT: Limit = Limit { share_bps: 1_000, period_secs: 86_400, floor: 1_000_000 };

/// A surge limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Part of the aged debt that may be borrowed at once, in basis points.
    pub share_bps: u16,
    /// Time in which the limit refills wholly, in seconds.
    pub period_secs: u32,
    /// Part of the limit that does not depend on debt, in whole tokens.
    pub floor: u32,
}

/// How an attack proceeds.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The name.
    pub name: &'static str,
    /// Time until people act, in minutes.
    pub minutes: u64,
    /// The most that the attacker borrows in an hour, in whole tokens; `None` if that is whatever the market lends.
    pub borrowed_per_hour: Option<u64>,
    /// What lenders withdraw in an hour as long as there is liquidity, in whole tokens.
    pub withdrawn_per_hour: u64,
    /// What the collateral is worth in the end, in percent of the price that the oracle reported all the time.
    pub true_value_percent: u8,
}

impl Shape {
    /// Kelp's restaked ether, 18 April 2026: a forged bridge message mints collateral without limit, which is borrowed
    /// against at once and without end, until the market is stopped after 75 minutes. It is worth nothing.
    pub const KELP: Self =
        Self { name: "kelp", minutes: 75, borrowed_per_hour: None, withdrawn_per_hour: 0, true_value_percent: 0 };
    /// Resolv's dollar, 22 March 2026: an unbacked mint is sold off at a quarter of a dollar, and oracles with a fixed
    /// price value it at a dollar for hours, in which others buy it and borrow against it step by step, and lenders
    /// leave.
    pub const RESOLV: Self = Self {
        name: "resolv",
        minutes: 360,
        borrowed_per_hour: Some(10_000_000),
        withdrawn_per_hour: 6_000_000,
        true_value_percent: 25,
    };
}

/// The figures of all runs.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Each shape without and with the limit.
    pub runs: Vec<Run>,
}

/// The figures of one run, in whole tokens, rounded to the nearest.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Name of the shape.
    pub shape: &'static str,
    /// The market's surge limit, if any.
    pub limit: Option<Limit>,
    /// Time from the first of the attacker's loans until people act, in minutes.
    pub minutes: u64,
    /// What the market could lend when the attack began.
    pub liquidity: u64,
    /// What the attacker borrowed.
    pub borrowed: u64,
    /// What lenders withdrew meanwhile.
    pub withdrawn: u64,
    /// What lenders lost by the attacker's loans, accrued interest included.
    pub loss: u64,
    /// What lenders lost by loans that were there before, which no surge limit limits.
    pub old_debt_loss: u64,
    /// The most that the limit allows `loss` to be.
    pub bound: Option<u64>,
}

/// Plays both shapes without and with the limit. The attacker and the lenders act every `interval` seconds.
///
/// # Errors
/// When a chain cannot be prepared or a transaction reverts. A loss above the bound is no error here: see
/// [`Report::ensure_bounded`].
pub async fn run(interval: u64) -> eyre::Result<Report> {
    ensure!(interval >= 2, "{interval} seconds are too few for a borrowing and a withdrawal: choose at least 2");
    let mut runs = Vec::new();
    for shape in [Shape::KELP, Shape::RESOLV] {
        for limit in [None, Some(LIMIT)] {
            let with = if limit.is_some() { "with" } else { "without" };
            say(format_args!("{}, {with} a surge limit: {} minutes", shape.name, shape.minutes));
            runs.push(play(&shape, limit, interval).await?);
        }
    }
    Ok(Report { runs })
}

async fn play(shape: &Shape, limit: Option<Limit>, interval: u64) -> eyre::Result<Run> {
    let mut chain = Chain::start(limit.map(Limit::of_market).transpose()?, units(SUPPLIED)).await?;
    let began = grow_old_debt(&mut chain).await?;
    let before = chain.totals(began).await?;

    let of_interval = |per_hour: u64| units(per_hour) * u128::from(interval) / 3_600;
    let most_borrowed = shape.borrowed_per_hour.map_or(u128::MAX, of_interval);
    let most_withdrawn = of_interval(shape.withdrawn_per_hour);
    let until = began + shape.minutes * 60;
    let (mut borrowed, mut withdrawn) = (0, 0);
    for time in (began..=until).step_by(usize::try_from(interval)?) {
        let assets = chain.max_borrow(time).await?.min(most_borrowed);
        // Less is not worth a transaction.
        if assets >= MIN_DEBT {
            chain.borrow(time, Party::Attacker, assets, ATTACKER_LTV_BPS).await?;
            borrowed += assets;
        }
        let assets = liquidity(&chain.totals(time + 1).await?).min(most_withdrawn);
        if assets >= MIN_DEBT {
            chain.withdraw(time + 1, assets).await?;
            withdrawn += assets;
        }
    }

    chain.revalue(until + 2, shape.true_value_percent.into()).await?;
    let after = chain.totals(until + 3).await?;
    let loss = chain.liquidate(until + 3, Party::Attacker).await?;
    let old_debt_loss = chain.liquidate(until + 4, Party::Borrower).await?;
    let bound = limit.map(|limit| {
        let old_debt = whole(before.borrow_assets);
        nearest(max_surge(limit, old_debt, shape.minutes * 60, share_price(&after) / share_price(&before)))
    });
    Ok(Run {
        shape: shape.name,
        limit,
        minutes: shape.minutes,
        liquidity: nearest(whole(liquidity(&before))),
        borrowed: nearest(whole(borrowed)),
        withdrawn: nearest(whole(withdrawn)),
        loss: nearest(whole(loss)),
        old_debt_loss: nearest(whole(old_debt_loss)),
        bound,
    })
}

/// Opens the old loans as fast as the market allows, one each day, and waits until the limit is refilled. Returns the
/// timestamp of the next transaction.
async fn grow_old_debt(chain: &mut Chain) -> eyre::Result<u64> {
    let mut time = chain.time() + 1;
    loop {
        let missing = units(OLD_DEBT).saturating_sub(chain.totals(time).await?.borrow_assets);
        let assets = missing.min(chain.max_borrow(time).await?);
        if assets < MIN_DEBT {
            return Ok(time);
        }
        chain.borrow(time, Party::Borrower, assets, OLD_LTV_BPS).await?;
        time += GROWTH_STEP_SECS;
    }
}

/// Returns the most that a market's debt can grow by new loans within `secs`, those that are written off included, in
/// tokens: `(F / s + B) × ((1 + s) × e^(s × t / P) × growth − 1)` for a floor F, a share s > 0, a period P and an old
/// debt B in tokens. `growth` is the factor by which interest raises a debt in that time.
#[must_use]
pub fn max_surge(limit: Limit, old_debt: f64, secs: u64, growth: f64) -> f64 {
    let share = f64::from(limit.share_bps) / f64::from(BPS);
    let periods = float(secs.into()) / f64::from(limit.period_secs);
    (f64::from(limit.floor) / share + old_debt) * ((1.0 + share) * (share * periods).exp() * growth - 1.0)
}

impl Limit {
    /// Returns the limit as the market's parameters have it.
    fn of_market(self) -> eyre::Result<SurgeLimit> {
        let floor_multiple = u32::try_from(units(self.floor.into()) / MIN_DEBT)?;
        Ok(SurgeLimit { share_bps: self.share_bps, period_secs: self.period_secs, floor_multiple })
    }
}

impl Report {
    /// Checks that no run exceeds the bound of its limit.
    ///
    /// # Errors
    /// Names the first that does, with its figures.
    pub fn ensure_bounded(&self) -> eyre::Result<()> {
        for Run { shape, borrowed, loss, bound, .. } in &self.runs {
            let most = bound.unwrap_or(u64::MAX);
            ensure!(
                *borrowed <= most && *loss <= most,
                "{shape}: {borrowed} tokens borrowed and {loss} lost exceed the bound of {most}: the surge limit does \
                 not hold, or the formula is wrong"
            );
        }
        Ok(())
    }
}

/// Returns a number of whole tokens in units.
fn units(tokens: u64) -> u128 {
    u128::from(tokens) * TOKEN
}

/// Returns units in tokens.
fn whole(units: u128) -> f64 {
    float(units) / float(TOKEN)
}

/// Returns the price of a borrow share.
fn share_price(totals: &Market) -> f64 {
    float(totals.borrow_assets) / float(totals.borrow_shares)
}

#[allow(clippy::cast_precision_loss, reason = "15 digits are enough for figures that are printed in whole tokens")]
const fn float(number: u128) -> f64 {
    number as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts of the market are positive and small"
)]
fn nearest(tokens: f64) -> u64 {
    tokens.round() as u64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10}{:<8}{:>8}{:>14}{:>14}{:>14}{:>14}{:>14}{:>14}",
            "shape", "limit", "minutes", "liquidity", "borrowed", "withdrawn", "loss", "bound", "old debt lost"
        )?;
        for run in &self.runs {
            let limit = run.limit.map_or("none", |_| "yes");
            let bound = run.bound.map_or_else(|| "–".to_owned(), |bound| bound.to_string());
            let Run { shape, minutes, liquidity, borrowed, withdrawn, loss, old_debt_loss, .. } = run;
            writeln!(
                f,
                "{shape:<10}{limit:<8}{minutes:>8}{liquidity:>14}{borrowed:>14}{withdrawn:>14}{loss:>14}{bound:>14}{old_debt_loss:>14}"
            )?;
        }
        let Limit { share_bps, period_secs, floor } = LIMIT;
        write!(f, "\nlimit: a share of {share_bps} bps, a period of {period_secs} s, a floor of {floor} tokens")
    }
}
