//! The dashboard: one HTML page, rendered on the server from the [`View`]. A browser without scripts shows the state at
//! the time of the request; with scripts, sections are replaced as they change.
//!
//! The page loads nothing from other hosts and has no inline styles or scripts, so that its content security policy can
//! forbid both.

mod activity;
mod debt_chart;
mod markets;
mod positions;
mod status;
mod summary;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::view::View;

/// The style sheet, which the lab's report pages share.
pub const STYLE: &str = include_str!("page.css");
/// The script that replaces sections as they change.
pub(crate) const SCRIPT: &str = include_str!("page.js");
/// The icon: a Plimsoll mark.
pub(crate) const ICON: &str = include_str!("icon.svg");

/// A section of the page: its id and its HTML.
pub(crate) type Section = (&'static str, String);

/// Renders all sections in their order on the page.
pub(crate) fn sections(view: &View) -> Vec<Section> {
    let sections: [(&'static str, Markup); 6] = [
        ("top", summary::top(view)),
        ("summary", summary::summary(view)),
        ("markets", markets::markets(view)),
        ("positions", positions::positions(view)),
        ("activity", activity::activity(view)),
        ("status", status::status(view)),
    ];
    sections.into_iter().map(|(id, markup)| (id, markup.into_string())).collect()
}

/// Renders the whole page around its sections.
pub(crate) fn page(view: &View, sections: &[Section]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Plimsoll keeper · " (view.keeper.network) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
            }
            body {
                a.skip href="#positions" { "Skip to the positions at risk" }
                main {
                    @for (_, section) in sections { (PreEscaped(section)) }
                }
                footer {
                    p {
                        "Plimsoll keeper " (view.keeper.version) " · "
                        a href="/api/status" { "status" } " · "
                        a href="/api/markets" { "markets" } " · "
                        a href="/api/positions" { "positions" } " · "
                        a href="/metrics" { "metrics" } " · "
                        a href="/readyz" { "readiness" }
                    }
                    p #connection role="status" {
                        noscript { "Without scripts this page is not updated: reload it for newer figures." }
                    }
                }
            }
        }
    }
    .into_string()
}

/// Renders the Plimsoll mark.
#[must_use]
pub fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 40 40" aria-hidden="true" {
            circle cx="20" cy="20" r="12" {}
            line x1="2" y1="20" x2="38" y2="20" {}
        }
    }
}

/// Formats basis points as a percentage with one decimal, cut: `12.3 %`.
fn percent(bps: impl Into<i128>) -> String {
    let bps: i128 = bps.into();
    let sign = if bps < 0 { "−" } else { "" };
    let tenths = bps.unsigned_abs() / 10;
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

/// Formats a duration in its largest unit.
fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Renders the beginning and the end of a long hexadecimal text, with all of it as the tooltip.
fn short(text: &impl ToString) -> Markup {
    let text = text.to_string();
    let brief = match (text.get(..6), text.len().checked_sub(4).and_then(|at| text.get(at..))) {
        (Some(begin), Some(end)) if text.len() > 14 => format!("{begin}…{end}"),
        _ => text.clone(),
    };
    html! { code.hex title=(text) { (brief) } }
}

/// Formats a number with groups of thousands.
fn count(number: u64) -> String {
    crate::amount::readable(&number.to_string())
}

/// Formats a number with a noun: `1 loan`, `2 loans`.
fn counted(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_element_of_a_section_bears_its_id_so_that_the_script_can_replace_it() {
        for (id, html) in sections(&View::default()) {
            let root = html.split('>').next().unwrap_or_default();
            assert!(root.contains(&format!(" id=\"{id}\"")), "{id}: {root}");
        }
    }

    #[test]
    fn numbers_are_shortened_for_people() {
        assert_eq!(percent(1_234_i64), "12.3 %");
        assert_eq!(percent(-5_i64), "−0.0 %");
        assert_eq!(ago(59), "59 s");
        assert_eq!(ago(7_200), "2 h");
        assert_eq!(counted(1, "loan"), "1 loan");
        assert_eq!(counted(1_200, "loan"), "1,200 loans");
        assert_eq!(
            short(&"0x1234567890abcdef1234").into_string(),
            "<code class=\"hex\" title=\"0x1234567890abcdef1234\">0x1234…1234</code>"
        );
    }
}
