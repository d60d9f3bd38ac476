//! Other protocols whose positions are liquidated, with counts of the keeper's decisions.

use maud::{Markup, html};

use super::{format::counted, link};
use crate::view::{ProtocolView, View};

/// Renders the protocols that are followed; an empty section without any.
pub(super) fn followed(view: &View) -> Markup {
    html! {
        section #protocols aria-labelledby="protocols-title" hidden[view.protocols.is_empty()] {
            h2 #protocols-title { "Other protocols" }
            ol.activity { @for protocol in &view.protocols { (row(view, protocol)) } }
        }
    }
}

fn row(view: &View, protocol: &ProtocolView) -> Markup {
    html! {
        li {
            p.when { span.small { "block " (link::block(view, protocol.block)) } }
            div.what {
                p { strong { (protocol.name) } " " (link::address(view, protocol.address)) }
                p.sums {
                    span { (counted(protocol.positions, "loan")) " in " (counted(protocol.markets, "market")) }
                    @for count in &protocol.decisions {
                        span { (count.positions) " " (count.reason.replace('_', " ")) }
                    }
                }
                @for difference in &protocol.differences { p.note { (difference) } }
            }
        }
    }
}
