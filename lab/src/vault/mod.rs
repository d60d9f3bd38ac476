//! `lab vault`: what a deposit and a withdrawal cost, what depositors earn by the way in which their assets are spread, and
//! how fast these leave a market that lost its price.
//!
//! All of it happens on the real contracts. Borrowers' demand is drawn (`demand`) and the same for every [`Policy`]; it
//! responds to rates, and rates respond to it. Moves are decided by the keeper's own functions and mined as transactions,
//! whose gas is paid out of what the depositors earn. In the end the value by the keeper's arithmetic must be the one that
//! the vault stores, to the unit.

mod chain;
mod demand;
mod metamorpho;
mod policy;

use std::fmt;

use eyre::{ContextCompat, ensure};
use plimsoll_contracts::market::SECONDS_PER_YEAR;
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_keeper::{
    math::interest::{borrow_rate, distance_from_target},
    strategies::rebalance::VaultSnapshot,
};
use serde::Serialize;

pub use self::policy::Policy;
use self::{
    chain::{Chain, Party, TOKEN, gas_cost},
    demand::{Demand, MARKETS, float},
};

/// What the depositors bring, in whole tokens: a third of all supply.
const DEPOSITED: u64 = 20_000_000;
/// What the measured deposits and withdrawals are of, in whole tokens.
const SMALL: u64 = 1_000;
/// Positions of the vault in the last measured deposit.
const POSITIONS: usize = 3;
const HOUR: u64 = 3_600;
/// Seconds from the state that a move is decided on to the block that has it.
const BLOCK: u64 = 12;
/// The market that loses its price.
const FLAGGED: usize = 1;
/// Blocks that are watched after that.
const WATCHED_BLOCKS: u64 = 100;
/// Parts of the liquidity that other lenders withdraw, and of the debt that is repaid, in each of these blocks: one in so
/// many.
const WITHDRAWN: u128 = 50;
const REPAID: u128 = 200;

/// What is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Options {
    /// Days of drawn demand.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=365))]
    pub days: u64,
    /// Number of seeds for the demand, from 1 on.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// By how many percent borrowers want less where a rate is one percent higher. With 1 what a market's borrowers pay
    /// in all does not depend on the rate.
    #[arg(long, default_value_t = 1.0, value_parser = elasticity)]
    pub elasticity: f64,
}

fn elasticity(text: &str) -> Result<f64, String> {
    let range = 0.0..=4.0;
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("{text:?} is no number from 0 to 4"))
}

/// All figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Days of demand.
    pub days: u64,
    /// How strongly borrowers respond to rates.
    pub elasticity: f64,
    /// Gas of depositors' transactions.
    pub gas: Gas,
    /// The same of a MetaMorpho vault over Morpho Blue.
    pub meta_morpho_gas: Gas,
    /// Each seed with each policy.
    pub runs: Vec<Run>,
    /// The mean of all seeds, of each policy.
    pub means: Vec<Earned>,
    /// How each policy left the market that lost its price.
    pub flights: Vec<Flight>,
    /// A depositor's exit with every market used up and every oracle dead.
    pub exit: Exit,
}

/// A redemption in kind while nothing can be withdrawn.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Exit {
    /// What the depositor had, in whole tokens.
    pub had: u64,
    /// What could have been withdrawn, in whole tokens.
    pub withdrawable: u64,
    /// What the depositor has afterwards in the markets and in tokens, in percent of what it had.
    pub kept: f64,
    /// Gas used.
    pub gas: u64,
}

/// Gas used by whole transactions with one, two and three positions.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Gas {
    /// Of deposits.
    pub deposits: Vec<u64>,
    /// Of withdrawals.
    pub withdrawals: Vec<u64>,
}

/// One policy with the demand of one seed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Run {
    /// Seed of the demand.
    pub seed: u64,
    /// What was earned.
    #[serde(flatten)]
    pub earned: Earned,
}

/// What a policy earned.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Earned {
    /// The policy.
    pub policy: Policy,
    /// What the depositors earned, in percent a year without compounding, before gas.
    pub rate: f64,
    /// The same with the gas of all moves paid out of it.
    pub rate_after_gas: f64,
    /// The part of the deposits that could have been withdrawn at once, in percent, on average.
    pub liquid: f64,
    /// Number of moves.
    pub moves: u64,
    /// Gas used by them.
    pub gas: u64,
}

/// How a policy left a market that lost its price, while other lenders left and borrowers repaid.
#[derive(Debug, Clone, Serialize)]
pub struct Flight {
    /// The policy.
    pub policy: Policy,
    /// What the vault had there, in whole tokens.
    pub held: u64,
    /// What it had there after the first block with a move, and after the last that was watched.
    pub after_a_block: u64,
    /// The same after the last block that was watched.
    pub in_the_end: u64,
    /// Seconds until nothing was left; none if something always was.
    pub seconds: Option<u64>,
}

/// Measures everything.
///
/// # Errors
/// When a chain cannot be prepared, a transaction reverts, or the keeper's arithmetic and the vault's differ.
pub async fn run(options: &Options) -> eyre::Result<Report> {
    let Options { days, seeds, elasticity } = *options;
    say("gas of depositors' transactions");
    let (gas, meta_morpho_gas) = gas().await?;
    let mut runs = Vec::new();
    for seed in 1..=seeds {
        let demand = Demand::drawn(seed, days * 24, elasticity);
        let mut liquid_bps = 0;
        for policy in Policy::ALL {
            say(format_args!("demand {seed}, {policy}: {days} days"));
            let earned = earn(policy, &demand, days * 24, liquid_bps).await?;
            if policy == Policy::Rebalance {
                liquid_bps = basis_points(earned.liquid);
            }
            runs.push(Run { seed, earned });
        }
    }
    let mut flights = Vec::new();
    for policy in Policy::INDEPENDENT {
        say(format_args!("a market without a price, {policy}"));
        flights.push(flee(policy).await?);
    }
    say("an exit with every market used up and every oracle dead");
    let exit = exit_in_kind().await?;
    let means = Policy::ALL.map(|policy| Earned::mean(policy, &runs)).into();
    Ok(Report { days, elasticity, gas, meta_morpho_gas, runs, means, flights, exit })
}

/// Measures deposits and withdrawals with cold slots, an hour apart, with up to three positions; in our vault and in a
/// MetaMorpho vault.
async fn gas() -> eyre::Result<(Gas, Gas)> {
    let mut chain = Chain::start().await?;
    borrow_what_is_wanted(&mut chain).await?;
    let time = chain.time() + HOUR;
    chain.deposit(time, Party::Depositor, units(DEPOSITED)).await?;
    chain.deposit(time + 1, Party::Newcomer, units(DEPOSITED)).await?;
    let mut gas = Gas::default();
    chain.set_deposit_market(time + 2, 0).await?;
    for positions in 1..=POSITIONS {
        // Nothing is left idle, so that withdrawals take from a market.
        let snapshot = chain.snapshot(chain.time() + 1, false).await?;
        let mut parts = [0; MARKETS.len()];
        parts[..positions].fill(snapshot.allocations.total() / positions as u128);
        chain.reallocate(chain.time() + 1, policy::to_parts(&snapshot, &parts, chain.time())).await?;
        gas.deposits.push(chain.deposit(chain.time() + HOUR, Party::Newcomer, units(SMALL)).await?);
        gas.withdrawals.push(chain.withdraw(chain.time() + HOUR, Party::Newcomer, units(SMALL)).await?);
    }
    let meta_morpho = metamorpho::gas(&mut chain, POSITIONS).await?;
    Ok((gas, meta_morpho))
}

/// Plays the demand's hours. A policy acts once an hour, on the state that the borrowers left.
async fn earn(policy: Policy, demand: &Demand, hours: u64, liquid_bps: u128) -> eyre::Result<Earned> {
    let mut chain = Chain::start().await?;
    spread_evenly(&mut chain).await?;
    let began = chain.time();
    let before = chain.stored_total(began + 1).await?;
    let (mut moves, mut gas, mut liquid) = (0, 0, 0.0);
    for hour in 0..hours {
        let time = began + (hour + 1) * HOUR;
        let mut debts = Vec::new();
        for index in 0..MARKETS.len() {
            let totals = chain.totals(index, time).await?;
            let curve = chain.curve(index)?;
            let distance = distance_from_target(totals.supply_assets, totals.borrow_assets, curve.target_bps());
            let rate = borrow_rate(totals.rate_at_target, distance, curve.steepness());
            debts.push(demand.debt(usize::try_from(hour)?, index, totals.borrow_assets, rate));
        }
        chain.set_debts(time, &debts).await?;
        let snapshot = chain.snapshot(time, policy.leaves_flagged()).await?;
        if let Some(call) = policy.decide(&snapshot, time, liquid_bps) {
            gas += chain.reallocate(time + BLOCK, call).await?;
            moves += 1;
        }
        liquid += liquid_part(&chain.snapshot(time + BLOCK, false).await?);
    }
    let end = chain.time() + HOUR;
    let expected = chain.snapshot(end, false).await?.allocations.total();
    let after = chain.stored_total(end).await?;
    ensure!(
        after == expected,
        "the vault stores a value of {after} units, and by the keeper's arithmetic it is {expected}"
    );
    let percent_a_year = |units: u128| {
        let years = float((end - began).into()) / float(SECONDS_PER_YEAR.into());
        float(units) / float(before) / years * 100.0
    };
    let rate = percent_a_year(after - before);
    let rate_after_gas = rate - percent_a_year(gas_cost(gas));
    Ok(Earned { policy, rate, rate_after_gas, liquid: liquid / float(hours.into()) * 100.0, moves, gas })
}

/// Takes a market's price away and watches how the vault leaves it. A policy acts with every block.
async fn flee(policy: Policy) -> eyre::Result<Flight> {
    let mut chain = Chain::start().await?;
    spread_evenly(&mut chain).await?;
    let mut time = chain.time() + HOUR;
    for _ in 0..2 {
        let snapshot = chain.snapshot(time, policy.leaves_flagged()).await?;
        time += BLOCK;
        if let Some(call) = policy.decide(&snapshot, time, 0) {
            chain.reallocate(time, call).await?;
        }
    }
    let began = time + BLOCK;
    chain.stop_oracle(began, FLAGGED).await?;
    let held = holding(&chain, began).await?;
    let (mut after_a_block, mut left, mut seconds) = (None, held, None);
    for block in 0..WATCHED_BLOCKS {
        // The last block shows what the next is decided on.
        let time = began + block * BLOCK;
        let snapshot = chain.snapshot(time, policy.leaves_flagged()).await?;
        if let Some(call) = policy.decide(&snapshot, time, 0) {
            chain.reallocate(time + 1, call).await?;
        }
        left = holding(&chain, time + 1).await?;
        after_a_block.get_or_insert(left);
        if left <= 1 {
            seconds.get_or_insert(time + BLOCK - began);
        }
        let totals = chain.totals(FLAGGED, time + 2).await?;
        let leaving = (totals.supply_assets - totals.borrow_assets) / WITHDRAWN;
        if leaving >= TOKEN {
            chain.withdraw_others(time + 2, FLAGGED, leaving).await?;
        }
        let mut debts = Vec::new();
        for index in 0..MARKETS.len() {
            let debt = chain.totals(index, time + 3).await?.borrow_assets;
            debts.push(if index == FLAGGED { debt - debt / REPAID } else { debt });
        }
        chain.set_debts(time + 3, &debts).await?;
    }
    let whole = |units: u128| u64::try_from(units / TOKEN);
    let after_a_block = whole(after_a_block.unwrap_or(held))?;
    Ok(Flight { policy, held: whole(held)?, after_a_block, in_the_end: whole(left)?, seconds })
}

/// Has a depositor leave in kind when all that was supplied is borrowed and no oracle has a price.
async fn exit_in_kind() -> eyre::Result<Exit> {
    let mut chain = Chain::start().await?;
    chain.deposit(chain.time() + 1, Party::Newcomer, units(DEPOSITED / 4)).await?;
    spread_evenly(&mut chain).await?;
    chain.set_debts(chain.time() + 1, &[u128::MAX; MARKETS.len()]).await?;
    for index in 0..MARKETS.len() {
        chain.stop_oracle(chain.time() + 1, index).await?;
    }
    let (had, withdrawable) = chain.worth(Party::Newcomer).await?;
    let (gas, has) = chain.redeem_in_kind(chain.time() + 1, Party::Newcomer).await?;
    let whole = |units: u128| u64::try_from(units / TOKEN);
    let (had, kept) = (whole(had)?, float(has) / float(had) * 100.0);
    Ok(Exit { had, withdrawable: whole(withdrawable)?, kept, gas })
}

/// Borrows what is wanted, deposits, and supplies the same amount to every market.
async fn spread_evenly(chain: &mut Chain) -> eyre::Result<()> {
    chain.deposit(chain.time() + HOUR, Party::Depositor, units(DEPOSITED)).await?;
    let time = chain.time() + 1;
    let snapshot = chain.snapshot(time, false).await?;
    let allocations = &snapshot.allocations;
    let each = (allocations.total() - allocations.min_idle) / MARKETS.len() as u128;
    chain.reallocate(time, policy::to_parts(&snapshot, &[each; MARKETS.len()], time)).await?;
    borrow_what_is_wanted(chain).await
}

async fn borrow_what_is_wanted(chain: &mut Chain) -> eyre::Result<()> {
    let wanted = MARKETS.map(|terms| units(terms.wanted));
    chain.set_debts(chain.time() + 1, &wanted).await
}

/// Returns what the vault has in the market that loses its price.
async fn holding(chain: &Chain, time: u64) -> eyre::Result<u128> {
    let snapshot = chain.snapshot(time, false).await?;
    Ok(snapshot.allocations.markets.get(FLAGGED).wrap_err("no such market")?.held)
}

/// Returns the part of a vault's assets that could be withdrawn.
fn liquid_part(snapshot: &VaultSnapshot) -> f64 {
    let allocations = &snapshot.allocations;
    let held: Vec<_> = allocations.markets.iter().map(|allocated| allocated.held).collect();
    float(policy::liquid(allocations, &held)) / float(allocations.total())
}

/// Returns percents in basis points.
fn basis_points(percent: f64) -> u128 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of all, at most 100 percent")]
    let basis_points = (percent * 100.0).round() as u128;
    basis_points
}

/// Returns a number of whole tokens in units.
fn units(tokens: u64) -> u128 {
    u128::from(tokens) * TOKEN
}

impl Earned {
    fn mean(policy: Policy, runs: &[Run]) -> Self {
        let of: Vec<_> = runs.iter().map(|run| run.earned).filter(|earned| earned.policy == policy).collect();
        let count = of.len().max(1);
        let mean = |of_one: fn(&Self) -> f64| of.iter().map(of_one).sum::<f64>() / float(count as u128);
        let sum = |of_one: fn(&Self) -> u64| of.iter().map(of_one).sum::<u64>() / count as u64;
        Self {
            policy,
            rate: mean(|one| one.rate),
            rate_after_gas: mean(|one| one.rate_after_gas),
            liquid: mean(|one| one.liquid),
            moves: sum(|one| one.moves),
            gas: sum(|one| one.gas),
        }
    }
}

impl Report {
    /// Returns by how many percentage points a year the keeper's way earns more than another, gas paid.
    #[must_use]
    pub fn advantage_over(&self, other: Policy) -> f64 {
        let of = |policy| self.means.iter().find(|mean| mean.policy == policy).map_or(0.0, |mean| mean.rate_after_gas);
        of(Policy::Rebalance) - of(other)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24}{:>12}{:>12}{:>12}", "gas, positions", 1, 2, 3)?;
        for (whose, Gas { deposits, withdrawals }) in [("", &self.gas), ("MetaMorpho ", &self.meta_morpho_gas)] {
            for (name, gas) in [("deposit", deposits), ("withdrawal", withdrawals)] {
                write!(f, "{:<24}", format!("{whose}{name}"))?;
                gas.iter().try_for_each(|gas| write!(f, "{gas:>12}"))?;
                writeln!(f)?;
            }
        }
        writeln!(
            f,
            "\n{:<6}{:<20}{:>10}{:>12}{:>10}{:>8}{:>14}",
            "seed", "policy", "% a year", "after gas", "liquid %", "moves", "gas"
        )?;
        let lines = self.runs.iter().map(|run| (run.seed.to_string(), &run.earned));
        for (seed, earned) in lines.chain(self.means.iter().map(|mean| ("mean".to_owned(), mean))) {
            let Earned { policy, rate, rate_after_gas, liquid, moves, gas } = earned;
            writeln!(f, "{seed:<6}{policy:<20}{rate:>10.3}{rate_after_gas:>12.3}{liquid:>10.2}{moves:>8}{gas:>14}")?;
        }
        writeln!(
            f,
            "over equal utilisation: {:+.3} points a year; with the same liquidity: {:+.3}",
            self.advantage_over(Policy::EqualUtilisation),
            self.advantage_over(Policy::EquallyLiquid)
        )?;
        writeln!(
            f,
            "\n{:<20}{:>14}{:>18}{:>16}{:>12}",
            "without a price", "tokens there", "after a block", "after 20 min", "out after"
        )?;
        for Flight { policy, held, after_a_block, in_the_end, seconds } in &self.flights {
            let out = seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds} s"));
            writeln!(f, "{policy:<20}{held:>14}{after_a_block:>18}{in_the_end:>16}{out:>12}")?;
        }
        let Exit { had, withdrawable, kept, gas } = self.exit;
        write!(
            f,
            "\nall borrowed, no prices: of {had} tokens {withdrawable} could be withdrawn; in kind {kept:.3} % left, for {gas} gas"
        )
    }
}
