//! The page: everything at a glance, made on the server. A browser without scripts sees the same, as of the moment it
//! asked; with them, sections are exchanged as they change.
//!
//! Nothing on it comes from elsewhere, and no style or script stands in it, so that its policy can forbid both.

mod events;
mod figures;
mod markets;
mod picture;
mod positions;
mod works;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::view::View;

/// How it looks, and how other pages of ours do.
pub const STYLE: &str = include_str!("page.css");
/// What exchanges its sections.
pub(super) const SCRIPT: &str = include_str!("page.js");
/// The mark on a ship's side.
pub(super) const ICON: &str = include_str!("icon.svg");

/// A section that is exchanged when it changes: its id, and its HTML.
pub(super) type Section = (&'static str, String);

/// All sections, in their order.
pub(super) fn sections(view: &View) -> Vec<Section> {
    let sections: [(&'static str, Markup); 6] = [
        ("top", figures::top(view)),
        ("figures", figures::figures(view)),
        ("markets", markets::markets(view)),
        ("positions", positions::positions(view)),
        ("events", events::events(view)),
        ("works", works::works(view)),
    ];
    sections.into_iter().map(|(id, markup)| (id, markup.into_string())).collect()
}

/// The whole page.
pub(super) fn page(view: &View, sections: &[Section]) -> String {
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
                        noscript { "Without scripts this page stands still: reload it for newer figures." }
                    }
                }
            }
        }
    }
    .into_string()
}

/// The mark on a ship's side, as every page of ours bears it.
#[must_use]
pub fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 40 40" aria-hidden="true" {
            circle cx="20" cy="20" r="12" {}
            line x1="2" y1="20" x2="38" y2="20" {}
        }
    }
}

/// Basis points as a percentage with one decimal: `12.3 %`.
fn percent(bps: impl Into<i128>) -> String {
    let bps: i128 = bps.into();
    let sign = if bps < 0 { "−" } else { "" };
    let tenths = bps.unsigned_abs() / 10;
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

/// A length of time in the largest unit that says something.
fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The beginning and the end of a long hexadecimal text, all of it for whoever points at it or copies it.
fn short(text: &impl ToString) -> Markup {
    let text = text.to_string();
    let brief = match (text.get(..6), text.len().checked_sub(4).and_then(|at| text.get(at..))) {
        (Some(begin), Some(end)) if text.len() > 14 => format!("{begin}…{end}"),
        _ => text.clone(),
    };
    html! { code.hex title=(text) { (brief) } }
}

/// A number with groups of thousands.
fn count(number: u64) -> String {
    crate::amount::readable(&number.to_string())
}

/// `1 loan`, `2 loans`.
fn counted(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_cut_to_what_they_say() {
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
