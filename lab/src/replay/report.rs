//! The report of all replays, as text and as JSON. The page shows the same.

use std::{
    collections::BTreeSet,
    fmt::{self, Write},
    path::{Path, PathBuf},
};

use plimsoll_keeper::amount::{Amount, Balance, readable};
use serde::{Serialize, Serializer};

use super::{
    guard::GuardFigures,
    min_debt::{MAX_DELAY_SECS, SmallestMinDebt},
    outcome::{Delay, Figures, Outcome},
    page,
    params::{ReplayParams, dollars, gwei, price},
    prices::Prices,
    rules::Rule,
};
use crate::{
    calendar,
    chart::{Chart, Clock, Colour},
    output::Folder,
    png,
};

/// The earliest timestamp, in 2001, that is shown as a date. Smaller numbers are seconds since an arbitrary beginning.
const FIRST_DATE: u64 = 1_000_000_000;
/// Spaces between a table's columns.
const GAP: usize = 2;

/// The report of all replays.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// One run for each combination of parameters.
    pub runs: Vec<Run>,
    /// The sums of all runs by rule, in the model.
    pub together: Vec<RuleFigures>,
    /// The sums of all runs for borrowers with orders, in the model; none where there are none.
    pub guard: Option<GuardFigures>,
}

/// The result of one combination of parameters.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The replayed prices.
    pub prices: PriceSummary,
    /// The parameters.
    #[serde(rename = "setting")]
    pub params: ReplayParams,
    /// The figures of the real contracts and the real keeper; none for a replay in the model only.
    pub chain: Option<Figures>,
    /// The figures of the model, by our rule and by others.
    pub rules: Vec<RuleFigures>,
    /// The figures of borrowers with orders, in the model; none where there are none.
    pub guard: Option<GuardFigures>,
    /// The same figures of the real contracts and the real keeper; none for a replay in the model only.
    #[serde(rename = "guardOnChain")]
    pub guard_on_chain: Option<GuardFigures>,
    /// The smallest minimum debts, in the model.
    #[serde(rename = "minDebt")]
    pub min_debt: SmallestMinDebt,
    /// The main figures: those of the chain, or else of our rule in the model.
    #[serde(skip)]
    pub figures: Figures,
    /// The chart of the main figures.
    #[serde(skip)]
    pub chart: Chart,
}

/// The figures of a liquidation rule.
#[derive(Debug, Clone, Serialize)]
pub struct RuleFigures {
    /// Name of the rule.
    pub rule: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A summary of recorded prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceSummary {
    /// Name of the file.
    pub file: String,
    /// The chosen column, if any.
    pub column: Option<String>,
    /// Timestamp of the first price, in Unix seconds.
    pub begin: u64,
    /// The period, in seconds.
    pub secs: u64,
    /// The first price.
    #[serde(serialize_with = "as_price")]
    pub first: u128,
    /// The lowest price.
    #[serde(serialize_with = "as_price")]
    pub lowest: u128,
    /// The last price.
    #[serde(serialize_with = "as_price")]
    pub last: u128,
    /// Missing bars, where there are more than a few in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<String>,
}

/// A column of the comparison of runs or rules.
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) cell: fn(&Figures) -> String,
    /// The bar next to the number on the page.
    pub(super) bar: Option<Bar>,
}

/// A bar whose length is proportional to a value.
pub(super) struct Bar {
    pub(super) value: fn(&Figures) -> u128,
    pub(super) colour: Colour,
}

/// A column with a parameter that distinguishes runs.
pub(super) struct Choice {
    pub(super) head: &'static str,
    pub(super) cell: fn(&Run) -> String,
    /// Whether it is shown although it is the same in all runs.
    always: bool,
}

const CHOICES: [Choice; 4] = [
    Choice { head: "borrow LTV", cell: |run| percent(run.params.borrow_ltv_bps.into()), always: true },
    Choice { head: "liquidation LTV", cell: |run| percent(run.params.liquidation_ltv_bps.into()), always: true },
    Choice { head: "depth", cell: |run| whole(&dollars(run.params.depth)), always: false },
    Choice { head: "gas", cell: |run| gwei(run.params.gas_price).to_string(), always: false },
];

/// The column after those of the figures, in the comparison of runs.
pub(super) const MIN_DEBT: Choice =
    Choice { head: "min debt for 10 min", cell: |run| min_debt_text(run.min_debt.in_time, whole), always: true };

/// The columns of every comparison. Amounts are in whole dollars.
pub(super) const COLUMNS: [Column; 8] = [
    Column {
        head: "bad debt",
        cell: |figures| whole(&figures.bad_debt),
        bar: Some(Bar { value: |figures| units(&figures.bad_debt), colour: Colour::Red }),
    },
    Column {
        head: "stuck",
        cell: |figures| whole(&figures.shortfall),
        bar: Some(Bar { value: |figures| units(&figures.shortfall), colour: Colour::Red }),
    },
    Column { head: "debt liquidated", cell: |figures| percent(figures.liquidated_bps), bar: None },
    Column {
        head: "penalty",
        cell: |figures| whole(&figures.penalty),
        bar: Some(Bar { value: |figures| units(&figures.penalty), colour: Colour::Amber }),
    },
    Column { head: "of all debt", cell: |figures| percent(figures.penalty_of_debt_bps), bar: None },
    Column { head: "again", cell: |figures| count(figures.again), bar: None },
    Column { head: "keeper", cell: |figures| whole_balance(&figures.keeper), bar: None },
    Column { head: "worst delay", cell: |figures| calendar::duration(figures.worst_delay.seconds), bar: None },
];

impl PriceSummary {
    /// Summarises a file.
    pub(super) fn of(file: &Path, column: Option<String>, prices: &Prices) -> Self {
        let name = file.file_name().unwrap_or(file.as_os_str());
        Self {
            file: name.to_string_lossy().into_owned(),
            column,
            begin: prices.begin(),
            secs: prices.end(),
            first: prices.first(),
            lowest: prices.lowest(),
            last: prices.at(prices.end()),
            gaps: prices.gaps().map(|gaps| gaps.to_string()),
        }
    }

    /// Describes the period.
    pub(super) fn when(&self) -> String {
        let length = calendar::duration(self.secs);
        match self.clock() {
            Clock::Beginning => length,
            Clock::Unix(begin) => format!("{length} from {} UTC", calendar::date_and_time(begin)),
        }
    }

    /// Returns how times are shown.
    pub(super) const fn clock(&self) -> Clock {
        if self.begin < FIRST_DATE { Clock::Beginning } else { Clock::Unix(self.begin) }
    }

    /// Describes the course of the price.
    pub(super) fn went(&self) -> String {
        format!("{} → {}, lowest {}", price(self.first), price(self.last), price(self.lowest))
    }
}

impl Run {
    /// Returns the rows of the comparison: the chain's, then the rules'.
    pub(super) fn rows(&self) -> Vec<(&str, &Figures)> {
        let chain = self.chain.iter().map(|figures| ("on the chain", figures));
        chain.chain(self.rules.iter().map(RuleFigures::row)).collect()
    }
}

impl RuleFigures {
    /// Computes the figures of a rule's outcome.
    pub(super) fn of(rule: &Rule, outcome: &Outcome) -> eyre::Result<Self> {
        Ok(Self { rule: rule.name(), figures: outcome.figures()? })
    }

    /// Returns the rule's name and figures.
    pub(super) fn row(&self) -> (&str, &Figures) {
        (&self.rule, &self.figures)
    }
}

impl Report {
    /// Saves the page, the figures as JSON, and the chart of each run that is shown on the page. Returns the page's
    /// path.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Folder) -> eyre::Result<PathBuf> {
        folder.save("report.json", serde_json::to_string_pretty(self)?)?;
        for (number, run) in (1..).zip(&self.runs).take(page::MAX_SHOWN) {
            let picture = run.chart.file();
            folder.save(&format!("run-{number}.svg"), &picture)?;
            png::write(&picture, &folder.path().join(format!("run-{number}.png")))?;
        }
        folder.save("report.html", page::page(self))
    }

    /// Returns the parameters that distinguish runs, besides their prices.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let differ = |choice: &Choice| {
            let cells: BTreeSet<_> = self.runs.iter().map(choice.cell).collect();
            cells.len() > 1
        };
        CHOICES.into_iter().filter(|choice| choice.always || differ(choice)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [run] = self.runs.as_slice() {
            return write!(f, "{run}");
        }
        let choices = self.choices();
        let heads = ["run"].into_iter().chain(choices.iter().map(|choice| choice.head));
        let heads = heads.chain(COLUMNS.iter().map(|column| column.head)).chain([MIN_DEBT.head]).map(str::to_owned);
        let mut rows = vec![heads.collect::<Vec<_>>()];
        rows.extend((1_usize..).zip(&self.runs).map(|(number, run)| {
            let chosen = choices.iter().map(|choice| (choice.cell)(run)).collect();
            let min_debt = (MIN_DEBT.cell)(run);
            [vec![format!("{number}: {}", run.prices.file)], chosen, cells(&run.figures), vec![min_debt]].concat()
        }));
        let base = if self.runs.iter().all(|run| run.chain.is_some()) { "on the chain" } else { "arithmetic" };
        write!(f, "{base}; amounts in dollars\n\n{}\n\n", table(&rows))?;
        let together: Vec<_> = self.together.iter().map(RuleFigures::row).collect();
        write!(f, "all together by rule, in arithmetic\n{}", by_rule(&together))?;
        write_guard(f, self.guard.as_ref())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prices, params, .. } = self;
        let column = prices.column.iter().fold(String::new(), |_, column| format!(", column {column}"));
        writeln!(f, "prices                {}{column}, {}", prices.file, prices.when())?;
        if let Some(gaps) = &prices.gaps {
            writeln!(f, "gaps                  {gaps}")?;
        }
        writeln!(f, "collateral            {}", prices.went())?;
        writeln!(f, "market                {}", market(params))?;
        writeln!(f, "around it             {}", around(params))?;
        writeln!(f, "\n{}\n{}", if self.chain.is_some() { "on the chain" } else { "in arithmetic" }, self.figures)?;
        let SmallestMinDebt { in_time, at_once } = self.min_debt;
        let [in_time, at_once] = [in_time, at_once].map(|amount| min_debt_text(amount, Amount::to_string));
        writeln!(f, "\nsmallest minimum debt (arithmetic; each loan alone in the market)")?;
        writeln!(f, "delay below {}    {in_time}", calendar::duration(MAX_DELAY_SECS))?;
        writeln!(f, "bonus pays at once    {at_once}")?;
        let rows = by_rule(&self.rows());
        write!(f, "\nunder other rules (arithmetic; the same prices, loans and costs), in dollars\n{rows}")?;
        if let Some(figures) = &self.guard_on_chain {
            write!(f, "\n\nwith orders at the guard (on the chain)\n{figures}")?;
        }
        write_guard(f, self.guard.as_ref())
    }
}

/// Writes the figures of borrowers with orders, if there are any, below others.
fn write_guard(f: &mut fmt::Formatter<'_>, guard: Option<&GuardFigures>) -> fmt::Result {
    match guard {
        Some(figures) => write!(f, "\n\nwith orders at the guard (arithmetic)\n{figures}"),
        None => Ok(()),
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [liquidated, of_repaid, of_debt] =
            [self.liquidated_bps, self.penalty_of_repaid_bps, self.penalty_of_debt_bps].map(percent);
        writeln!(f, "loans                 {}, owing {}", self.loans, self.debt)?;
        writeln!(f, "liquidatable          {}; {} at the end", self.liquidatable, self.left_liquidatable)?;
        writeln!(
            f,
            "liquidated            {} loans in {} liquidations",
            count(self.liquidated),
            count(self.liquidations)
        )?;
        writeln!(f, "  again after safety  {} times", count(self.again))?;
        writeln!(f, "debt repaid           {}, {liquidated} of all", self.repaid)?;
        writeln!(f, "borrowers' penalty    {}, {of_repaid} of the debt repaid, {of_debt} of all", self.penalty)?;
        writeln!(f, "bad debt              {}", self.bad_debt)?;
        writeln!(f, "  stuck               {}", self.shortfall)?;
        writeln!(f, "keeper's transactions {}, {} reverted", self.transactions, self.reverted)?;
        writeln!(f, "keeper's profit       {}, after gas for {}", self.keeper, self.gas)?;
        write!(f, "worst delay           {}", delay(self.worst_delay))
    }
}

/// Formats a smallest minimum debt.
pub(super) fn min_debt_text(units: Option<u128>, format: fn(&Amount) -> String) -> String {
    units.map_or_else(|| "none".to_owned(), |units| format(&dollars(units)))
}

/// Describes the market.
pub(super) fn market(params: &ReplayParams) -> String {
    let [borrow, liquidation] = [params.borrow_ltv_bps, params.liquidation_ltv_bps].map(|bps| percent(bps.into()));
    format!("borrow LTV {borrow}, liquidation LTV {liquidation}")
}

/// Describes the market's surroundings.
pub(super) fn around(params: &ReplayParams) -> String {
    let ether = params.ether_price.map_or_else(String::new, |ether| format!(", an ether {}", price(ether)));
    let [depth, gas] = [dollars(params.depth), gwei(params.gas_price)];
    let (deviation, heartbeat) = (percent(params.feed.deviation_bps), calendar::duration(params.feed.heartbeat_secs));
    let fee = percent(u64::from(params.swap_fee_ppm / 100));
    format!(
        "2 % of depth for {depth} at a fee of {fee}; gas costs {gas}{ether}; the oracle answers by {deviation} and {heartbeat}"
    )
}

fn cells(figures: &Figures) -> Vec<String> {
    COLUMNS.iter().map(|column| (column.cell)(figures)).collect()
}

/// Formats a table of rules.
fn by_rule(rows: &[(&str, &Figures)]) -> String {
    let heads = COLUMNS.iter().map(|column| column.head.to_owned());
    let heads = [[String::new()].into_iter().chain(heads).collect()];
    let rows = rows.iter().map(|(rule, figures)| [vec![(*rule).to_owned()], cells(figures)].concat());
    table(&heads.into_iter().chain(rows).collect::<Vec<_>>())
}

/// Formats a table. The first column is aligned left, the others right.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let mut table = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = match column {
                0 => write!(line, "{cell:<width$}", width = width(column)),
                _ => write!(line, "{cell:>width$}", width = width(column) + GAP),
            };
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table.truncate(table.trim_end().len());
    table
}

/// Formats basis points as a percentage: `86 %`, `0.41 %`.
pub(super) fn percent(bps: u64) -> String {
    let (whole, part) = (bps / 100, bps % 100);
    match (part, part % 10) {
        (0, _) => format!("{whole} %"),
        (_, 0) => format!("{whole}.{} %", part / 10),
        _ => format!("{whole}.{part:02} %"),
    }
}

/// Formats a delay.
pub(super) fn delay(delay: Delay) -> String {
    match delay.blocks {
        0 => "none".to_owned(),
        1 => format!("{}, 1 block", calendar::duration(delay.seconds)),
        blocks => format!("{}, {} blocks", calendar::duration(delay.seconds), count(blocks)),
    }
}

/// Formats a number with groups of thousands.
pub(super) fn count(number: u64) -> String {
    readable(&number.to_string())
}

/// Formats whole tokens, rounded down.
pub(super) fn whole(amount: &Amount) -> String {
    let exact = amount.exact();
    readable(exact.split('.').next().unwrap_or(&exact))
}

fn whole_balance(balance: &Balance) -> String {
    let sign = if balance.units.is_negative() { "−" } else { "" };
    let amount = Amount { units: balance.units.unsigned_abs(), decimals: balance.decimals, token: String::new() };
    format!("{sign}{}", whole(&amount))
}

/// Returns an amount for a bar.
pub(super) fn units(amount: &Amount) -> u128 {
    u128::try_from(amount.units).unwrap_or(u128::MAX)
}

fn as_price<S: Serializer>(units: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    price(*units).serialize(serializer)
}
