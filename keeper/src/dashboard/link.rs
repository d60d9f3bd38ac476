//! Addresses and hashes: shortened, with all of it to copy, and a link to the chain's block explorer where there is one.

use alloy::primitives::{Address, B256};
use maud::{Markup, html};

use crate::view::View;

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

/// Renders a borrower: a link to its page.
pub(super) fn account(view: &View, account: Address) -> Markup {
    let text = account.to_string();
    html! {
        span.id {
            a href={ "/accounts/" (text) } title=(text) { (short(&text)) }
            (copy(&text, "address"))
            (explorer(view, "address", &text))
        }
    }
}

/// Renders an account that may have a page here: a link to it if something is known of the account.
pub(super) fn account_if_known(view: &View, account: Address) -> Markup {
    if view.account(&account.to_string()).is_ok() { self::account(view, account) } else { address(view, account) }
}

/// Renders the name of a market: a link to its page, if it has one.
pub(super) fn market(view: &View, id: B256, name: &str) -> Markup {
    let has_page = view.markets.iter().any(|market| market.id == id);
    html! { @if has_page { a href={ "/markets/" (id) } { (name) } } @else { (name) } }
}

/// Renders an address that has no page here, such as a contract's.
pub(super) fn address(view: &View, address: Address) -> Markup {
    let text = address.to_string();
    html! { span.id { (short(&text)) (copy(&text, "address")) (explorer(view, "address", &text)) } }
}

/// Renders the hash of a transaction.
pub(super) fn transaction(view: &View, hash: B256) -> Markup {
    let text = hash.to_string();
    html! { span.id { (short(&text)) (copy(&text, "transaction hash")) (explorer(view, "tx", &text)) } }
}

/// Renders the number of a block.
pub(super) fn block(view: &View, number: u64) -> Markup {
    let shown = super::format::count(number);
    match &view.keeper.explorer {
        Some(site) => html! { a href={ (site) "/block/" (number) } rel="noreferrer noopener" { (shown) } },
        None => html! { (shown) },
    }
}

/// Renders the beginning and the end of a long hexadecimal text, with all of it as the tooltip.
pub(super) fn short(text: &str) -> Markup {
    let brief = match (text.get(..6), text.len().checked_sub(4).and_then(|at| text.get(at..))) {
        (Some(begin), Some(end)) if text.len() > 14 => format!("{begin}…{end}"),
        _ => text.to_owned(),
    };
    html! { code.hex title=(text) { (brief) } }
}

/// Renders a button that copies a text; it is visible where scripts run.
fn copy(text: &str, what: &str) -> Markup {
    html! {
        button.copy type="button" data-copy=(text) title={ "Copy " (what) } aria-label={ "Copy " (what) " " (text) } {
            svg viewBox="0 0 16 16" aria-hidden="true" {
                rect x="5.5" y="5.5" width="8" height="8.5" rx="1.5" {}
                path d="M3 10.5V3.5A1.5 1.5 0 0 1 4.5 2H10" {}
            }
        }
    }
}

fn explorer(view: &View, kind: &str, text: &str) -> Markup {
    html! {
        @if let Some(site) = &view.keeper.explorer {
            a.out href={ (site) "/" (kind) "/" (text) } rel="noreferrer noopener" title="Open in the block explorer"
                aria-label={ (text) " in the block explorer" } { "↗" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shortened_with_all_of_it_as_the_tooltip() {
        assert_eq!(
            short("0x1234567890abcdef1234").into_string(),
            "<code class=\"hex\" title=\"0x1234567890abcdef1234\">0x1234…1234</code>"
        );
        assert_eq!(short("0x12").into_string(), "<code class=\"hex\" title=\"0x12\">0x12</code>");
    }
}
