//! The works: nodes, signers, limits, the audit, staking programmes.

use maud::{Markup, html};

use super::{count, counted, short};
use crate::outside::view::{ProgrammeView, View};

/// Everything that it takes.
pub(super) fn works(view: &View) -> Markup {
    html! {
        section #works aria-labelledby="works-title" {
            h2 #works-title { "The works" }
            div.cards.small-cards {
                article.card { h3 { "Nodes" } (nodes(view)) }
                article.card { h3 { "Signers" } (signers(view)) }
                article.card { h3 { "Limits" } (limits(view)) }
                @if !view.programmes.is_empty() {
                    article.card { h3 { "Staking programmes" } @for programme in &view.programmes { (one_programme(programme)) } }
                }
            }
        }
    }
}

fn nodes(view: &View) -> Markup {
    html! {
        @if view.endpoints.is_empty() { p.empty { "None." } }
        ul.things {
            @for node in &view.endpoints {
                li {
                    p {
                        span class={ "dot " (if node.healthy { "good" } else { "bad" }) } {}
                        strong { (node.name) } " " span.dim { (node.role) }
                        span.visually-hidden { (if node.healthy { " healthy" } else { " not healthy" }) }
                    }
                    p.small {
                        @if let Some(head) = node.head { "block " (count(head)) " · " }
                        @if let Some(latency) = node.latency_ms { (latency) " ms · " }
                        (counted(node.calls, "call")) ", " (counted(node.errors, "error"))
                    }
                    @if let Some(problem) = &node.problem { p.note { (problem) } }
                }
            }
        }
    }
}

fn signers(view: &View) -> Markup {
    html! {
        @if view.signers.is_empty() { p.empty { "None: it looks on and says what it would do." } }
        ul.things {
            @for signer in &view.signers {
                li {
                    p {
                        span class={ "dot " (if signer.problem.is_none() { "good" } else { "bad" }) } {}
                        strong { (signer.role) } " " (short(&signer.address))
                    }
                    p.small {
                        @if let Some(balance) = &signer.balance { (balance) " · " }
                        @if let Some(nonce) = signer.nonce { "nonce " (nonce) " · " }
                        (count(signer.pending)) " on their way"
                    }
                    @if let Some(problem) = &signer.problem { p.note { (problem) } }
                }
            }
        }
    }
}

fn limits(view: &View) -> Markup {
    let safety = &view.safety;
    let audit = &view.audit;
    html! {
        dl.facts {
            div { dt { "lost today" } dd { (safety.lost_today) span.small { "of " (safety.loss_cap) } } }
            div { dt { "reverts" } dd { (count(safety.reverts)) span.small { "of " (count(safety.breaker_reverts)) } } }
            div { dt { "audited" } dd { (count(audit.compared)) span.small { "positions" } } }
            div { dt { "differences" } dd { (count(audit.mismatches)) } }
        }
    }
}

fn one_programme(programme: &ProgrammeView) -> Markup {
    html! {
        p { strong { (programme.name) } " " span.dim { "pays " (programme.reward_token) } }
        p.small { (counted(programme.consenting, "account")) " agreed, " (count(programme.due)) " due" }
        @if let Some(decision) = &programme.decision { p.note { (decision.text) } }
    }
}
