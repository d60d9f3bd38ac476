//! The frame of every page: head, navigation, footer.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Section, summary};
use crate::view::View;

/// Renders the overview around its sections.
pub(crate) fn overview(view: &View, sections: &[Section]) -> String {
    page(view, "", html! { @for (_, section) in sections { (PreEscaped(section)) } })
}

/// Renders the answer to a request that cannot be answered: `title` says what kind of error it is.
pub(crate) fn error_page(view: &View, title: &str, message: &str) -> String {
    let content = html! {
        (summary::top(view))
        section.error { h2 { (title) } p.lead { (message) } p { a href="/" { "Back to the overview" } } }
    };
    page(view, title, content)
}

/// Renders a page with its own content below the keeper's name and state.
pub(super) fn subpage(view: &View, title: &str, content: &Markup) -> String {
    page(view, title, html! { (summary::top(view)) (content) })
}

fn page(view: &View, title: &str, content: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { @if !title.is_empty() { (title) " · " } "Plimsoll keeper · " (view.keeper.network) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                nav aria-label="Pages" {
                    a href="/" { "Overview" }
                    a href="/positions" { "Positions" }
                    @for market in &view.markets { a href={ "/markets/" (market.id) } { (market.name) } }
                    a href="/activity" { "Activity" }
                }
                main #content { (content) }
                footer {
                    p {
                        "Plimsoll keeper " (view.keeper.version) " · "
                        a href="/api/v1/status" { "API" } " · "
                        a href="/api/schema.json" { "schema" } " · "
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
