//! The report as a self-contained page: charts included, without scripts and requests. It looks like the keeper's page.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plimsoll_keeper::{
    amount::Amount,
    dashboard::{STYLE, mark},
};

use super::{
    guard::GuardFigures,
    min_debt::{MAX_DELAY_SECS, SmallestMinDebt},
    outcome::Figures,
    params::{ReplayParams, dollars, gwei, price},
    report::{
        Bar, COLUMNS, Column, MIN_DEBT, PriceSummary, Report, RuleFigures, Run, count, delay, min_debt_text, percent,
        units, whole,
    },
};
use crate::{
    calendar,
    chart::{self, Chart, Colour},
};

/// Styles besides those of the keeper's page.
const FURTHER_STYLE: &str = include_str!("page.css");
/// Widths of charts in pixels, with their classes: for desktops and for phones.
const WIDTHS: [(u64, &str); 2] = [(chart::WIDE, "wide"), (400, "narrow")];
/// The most runs that are shown in detail; all of them are in the table.
pub(super) const MAX_SHOWN: usize = 12;
/// The content security policy: nothing is loaded, whatever the name of a file contains.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
const PERMILLE: u128 = 1_000;
/// The columns of the figures of borrowers with orders.
const GUARD_HEADS: [&str; 6] =
    ["lost without orders", "lost with orders", "of it", "liquidated", "executions", "worse than liquidated"];

/// Renders the page.
pub(super) fn page(report: &Report) -> String {
    let several = report.runs.len() > 1;
    let chain = report.runs.iter().all(|run| run.chain.is_some());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Plimsoll replay" }
                style { (PreEscaped(STYLE)) (PreEscaped(chart::STYLE)) (PreEscaped(FURTHER_STYLE)) }
            }
            body {
                main {
                    (top(chain))
                    @if several {
                        (comparison(report))
                        (together(report))
                    }
                    (guarded(report))
                    @for (number, run) in (1_usize..).zip(&report.runs).take(MAX_SHOWN) {
                        (section(run, number, several))
                    }
                    @if report.runs.len() > MAX_SHOWN {
                        p.lead.apart { "The other runs are in the table above, and in report.json with all their figures." }
                    }
                    (reading())
                }
                footer { p { "Plimsoll " (env!("CARGO_PKG_VERSION")) } p { "The figures are in report.json, too." } }
            }
        }
    }
    .into_string()
}

fn top(chain: bool) -> Markup {
    html! {
        header #top {
            div.name {
                (mark())
                div {
                    h1 { "What would this market have done?" }
                    p { "Recorded prices, drawn borrowers, and a keeper that pays its costs" }
                }
            }
            div.state {
                @if chain {
                    span.pill.good { "real contracts, real keeper" }
                } @else {
                    span.pill.warn { "arithmetic only, no chain" }
                }
            }
        }
    }
}

/// Renders the table of all runs.
fn comparison(report: &Report) -> Markup {
    let choices = report.choices();
    let all: Vec<_> = report.runs.iter().map(|run| &run.figures).collect();
    let columns = 1 + choices.len() + COLUMNS.len() + 1;
    let same = |one: &Run, other: &Run| one.prices == other.prices;
    // Number of the first run of each file.
    let firsts = report.runs.chunk_by(same).scan(1, |next, runs| {
        let first = *next;
        *next += runs.len();
        Some(first)
    });
    html! {
        section {
            h2 { "Side by side" }
            p.lead { "A row is a run; amounts are in dollars. The lowest penalty is of no use where lenders pay instead." }
            table.compared.runs {
                thead {
                    tr {
                        th { "run" }
                        @for choice in &choices { th.number { (choice.head) } }
                        @for column in &COLUMNS { th.number { (column.head) } }
                        th.number { (MIN_DEBT.head) }
                    }
                }
                @for (first, runs) in firsts.zip(report.runs.chunk_by(same)) {
                    tbody {
                        @for run in runs.iter().take(1) { tr.source { th colspan=(columns) { (run.prices.file) } } }
                        @for (number, run) in (first..).zip(runs) {
                            tr {
                                td data-label="run" {
                                    @if number <= MAX_SHOWN {
                                        a href={ "#run-" (number) } { "Run " (number) }
                                    } @else {
                                        "Run " (number)
                                    }
                                }
                                @for choice in &choices { td.number data-label=(choice.head) { ((choice.cell)(run)) } }
                                @for column in &COLUMNS { (cell(column, &run.figures, &all)) }
                                td.number data-label=(MIN_DEBT.head) { ((MIN_DEBT.cell)(run)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders a run.
fn section(run: &Run, number: usize, several: bool) -> Markup {
    let Run { prices, params, .. } = run;
    html! {
        section.run id={ "run-" (number) } {
            h2 {
                @if several { "Run " (number) " · " }
                "Borrow LTV " (percent(params.borrow_ltv_bps.into()))
                ", liquidation LTV " (percent(params.liquidation_ltv_bps.into()))
            }
            p.lead { (source(prices)) }
            (tiles(&run.figures))
            div.card.picture { (charts(&run.chart)) }
            p.words { (words(params)) }
            (min_debt(&run.min_debt))
            (rules(run))
        }
    }
}

fn source(prices: &PriceSummary) -> Markup {
    html! {
        (prices.file)
        @if let Some(column) = &prices.column { ", column " (column) }
        ": " (prices.when()) ", " (prices.went())
        @if let Some(gaps) = &prices.gaps { "; " (gaps) }
    }
}

/// Renders the main figures.
fn tiles(figures: &Figures) -> Markup {
    let lost = !figures.bad_debt.units.is_zero() || !figures.shortfall.units.is_zero();
    let stuck = if figures.shortfall.units.is_zero() {
        "nothing is stuck".to_owned()
    } else {
        format!("and {} stuck", figures.shortfall)
    };
    let tile = |bad: bool, name: &str, value: String, more: String| {
        html! { div class=[bad.then_some("bad")] { dt { (name) } dd { (value) } dd.more { (more) } } }
    };
    let times = |number: u64| if number == 1 { "once".to_owned() } else { format!("{} times", count(number)) };
    html! {
        div.figures {
            dl {
                (tile(lost, "bad debt", figures.bad_debt.to_string(), stuck))
                (tile(
                    false,
                    "debt liquidated",
                    percent(figures.liquidated_bps),
                    format!("{} of {}", figures.repaid, figures.debt),
                ))
                (tile(
                    false,
                    "borrowers’ penalty",
                    figures.penalty.to_string(),
                    format!("{} of what was repaid, {} of all debt", percent(figures.penalty_of_repaid_bps), percent(figures.penalty_of_debt_bps)),
                ))
                (tile(
                    figures.left_liquidatable > 0,
                    "liquidatable",
                    format!("{} of {} loans", count(figures.liquidatable), count(figures.loans)),
                    format!("{} at the end", count(figures.left_liquidatable)),
                ))
                (tile(
                    false,
                    "liquidated",
                    format!("{} loans", count(figures.liquidated)),
                    format!("in {} liquidations; again after being healthy: {}", count(figures.liquidations), times(figures.again)),
                ))
                (tile(false, "worst delay", delay(figures.worst_delay), "from liquidatable to healthy".to_owned()))
                (tile(
                    figures.keeper.units.is_negative(),
                    "keeper’s profit",
                    figures.keeper.to_string(),
                    format!("after the exchange, and gas for {}", figures.gas),
                ))
                (tile(
                    false,
                    "transactions",
                    count(figures.transactions),
                    format!("{} reverted", count(figures.reverted)),
                ))
            }
        }
    }
}

fn charts(chart: &Chart) -> Markup {
    html! { @for (width, class) in WIDTHS { div class=(class) { (PreEscaped(chart.inline(width))) } } }
}

/// Renders the smallest minimum debts.
fn min_debt(found: &SmallestMinDebt) -> Markup {
    let text = |units| min_debt_text(units, ToString::to_string);
    let within = calendar::duration(MAX_DELAY_SECS);
    html! {
        h3 { "The smallest minimum debt" }
        p.words {
            "In arithmetic, each loan alone in the market. Under these prices none is liquidatable for " (within) ": "
            strong { (text(found.in_time)) }
            ". The lowest bonus pays for a liquidation at once, whatever prices do: " strong { (text(found.at_once)) } "."
        }
    }
}

/// Describes the parameters.
fn words(params: &ReplayParams) -> Markup {
    let deviation = percent(params.feed.deviation_bps);
    html! {
        (count(params.positions)) " random loans of the seed " (params.seed) " begin with "
        (dollars(params.debt)) " of debt, none with less than " (dollars(params.min_debt)) ": few are large, and most are close to the line. The oracle answers when the price is off by "
        (deviation) ", and at the latest after " (calendar::duration(params.feed.heartbeat_secs))
        ". The exchange takes " (dollars(params.depth)) " until its price has fallen by 2 %, keeps "
        (percent(u64::from(params.swap_fee_ppm / 100)))
        " of each trade, and is back at the recorded price a block later. Gas costs " (gwei(params.gas_price))
        @if let Some(ether) = params.ether_price { ", an ether " (price(ether)) }
        "."
    }
}

/// Renders the comparison with other rules.
fn rules(run: &Run) -> Markup {
    html! {
        h3 { "Under other rules" }
        p.lead {
            "The same prices, loans and costs, in arithmetic; amounts are in dollars."
            @if run.chain.is_some() { " The first row is what happened on the chain." }
        }
        (by_rule(&run.rows()))
    }
}

/// Renders the sums of all runs by rule.
fn together(report: &Report) -> Markup {
    html! {
        section {
            h2 { "All runs together" }
            p.lead { "By every rule, in arithmetic: the sums, and the worst delay." }
            (by_rule(&report.together.iter().map(RuleFigures::row).collect::<Vec<_>>()))
        }
    }
}

/// Renders what borrowers with orders lost in each run, and what they lose without; nothing where there are none.
fn guarded(report: &Report) -> Markup {
    let rows = (1_usize..).zip(&report.runs).flat_map(|(number, run)| {
        let figures = [("on the chain", &run.guard_on_chain), ("arithmetic", &run.guard)];
        figures.into_iter().filter_map(move |(by, found)| Some((number, run, by, found.as_ref()?)))
    });
    let rows: Vec<(usize, &Run, &str, &GuardFigures)> = rows.collect();
    let most = rows.iter().flat_map(|(_, _, _, found)| [units(&found.loss), units(&found.loss_without)]).max();
    let loss = |amount: &Amount, colour: Colour| {
        html! {
            (whole(amount))
            @if let Some(width) = units(amount).saturating_mul(PERMILLE).checked_div(most.unwrap_or_default()) {
                svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                    rect class=(colour) width=(width) height="10" {}
                }
            }
        }
    };
    html! {
        @if let Some((_, _, _, first)) = rows.first() {
            section #guard {
                h2 { "With orders at the guard" }
                p.lead {
                    "What the " (count(first.guarded)) " borrowers with orders lost, in dollars, and what the same borrowers lose without orders."
                }
                table.compared {
                    thead {
                        tr {
                            th { "prices" }
                            th { "by" }
                            @for head in GUARD_HEADS { th.number { (head) } }
                        }
                    }
                    tbody {
                        @for (number, run, by, found) in &rows {
                            tr {
                                td data-label="prices" { (number) ": " (run.prices.file) ", depth " (whole(&dollars(run.params.depth))) }
                                td data-label="by" { (by) }
                                td.number data-label=(GUARD_HEADS[0]) { (loss(&found.loss_without, Colour::Red)) }
                                td.number data-label=(GUARD_HEADS[1]) { (loss(&found.loss, Colour::Amber)) }
                                td.number data-label=(GUARD_HEADS[2]) {
                                    (found.loss_ratio_bps.map_or_else(|| "–".to_owned(), percent))
                                }
                                td.number data-label=(GUARD_HEADS[3]) { (found.liquidated_without) " → " (found.liquidated) }
                                td.number data-label=(GUARD_HEADS[4]) { (count(found.executions)) }
                                td.number data-label=(GUARD_HEADS[5]) {
                                    (count(found.worse))
                                    @if let Some(own) = found.worse_by_own_order { ", " (count(own)) " by own orders" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn by_rule(rows: &[(&str, &Figures)]) -> Markup {
    let all: Vec<_> = rows.iter().map(|(_, figures)| *figures).collect();
    html! {
        table.compared {
            thead { tr { th { "rule" } @for column in &COLUMNS { th.number { (column.head) } } } }
            tbody {
                @for (rule, figures) in rows {
                    tr {
                        td data-label="rule" { strong { (rule) } }
                        @for column in &COLUMNS { (cell(column, figures, &all)) }
                    }
                }
            }
        }
    }
}

/// Renders a figure, with a bar relative to the largest of its column.
fn cell(column: &Column, figures: &Figures, all: &[&Figures]) -> Markup {
    html! {
        td.number data-label=(column.head) {
            ((column.cell)(figures))
            @if let Some(Bar { value, colour }) = &column.bar {
                @let most = all.iter().map(|figures| value(figures)).max().unwrap_or_default();
                @if let Some(width) = value(figures).saturating_mul(PERMILLE).checked_div(most) {
                    svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                        rect class=(colour) width=(width) height="10" {}
                    }
                }
            }
        }
    }
}

/// Renders the explanations.
fn reading() -> Markup {
    html! {
        section {
            h2 { "How to read this" }
            dl.reading {
                dt { "bad debt" } dd { "Debt that was written off because no collateral was left for it. Lenders pay it: the market has neither reserve nor backstop here." }
                dt { "stuck" } dd { "Debt beyond the value of the collateral that is not written off yet, because the loans are still open." }
                dt { "penalty" } dd { "What borrowers lost: the value of the seized collateral, at the oracle’s price, less the debt that was repaid or written off." }
                dt { "again" } dd { "How often a loan was liquidated again after it had been healthy." }
                dt { "worst delay" } dd { "The longest that a loan was liquidatable, in recorded time. Where it is long, liquidating was not worth its costs, or the exchange was too thin." }
                dt { "min debt for 10 min" } dd { "The smallest minimum debt with which no loan is liquidatable for ten minutes, if each is alone in the market and shares the gas of its liquidation with no other. Smaller loans have a bonus that does not pay for gas." }
                dt { "keeper" } dd { "Profit of liquidations after the exchange’s fee, the price impact of selling, and gas. The keeper has no rivals here." }
                dt { "arithmetic" } dd { "The same replay without a chain, so that rules can be compared. It leaves out interest and rounding." }
            }
        }
    }
}
