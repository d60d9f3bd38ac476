//! The state of what the keeper depends on and serves: endpoints, signers, limits, the audit, staking programmes, vaults, governance.

use maud::{Markup, html};

use super::{
    format::{count, counted, percent},
    link,
};
use crate::{
    sender::fleet::FleetStatus,
    strategies::rebalance::Flag,
    view::{GovernanceView, ProgrammeView, VaultView, View},
};

/// Number of ended operations that are shown.
const SHOWN_ENDED: usize = 5;

/// Renders one card each for endpoints, signers and limits, and one for staking programmes and vaults each if there are any.
pub(super) fn status(view: &View) -> Markup {
    html! {
        section #status aria-labelledby="status-title" {
            h2 #status-title { "Status" }
            div.cards.small-cards {
                article.card { h3 { "Endpoints" } (endpoints(view)) }
                article.card { h3 { "Signers" } (signers(view)) }
                article.card { h3 { "Limits and audit" } (limits(view)) }
                @if let Some(fleet) = &view.fleet { article.card { h3 { "Fleet" } (members(view, fleet)) } }
                @if !view.programmes.is_empty() {
                    article.card { h3 { "Staking programmes" } @for programme in &view.programmes { (one_programme(programme)) } }
                }
                @if let Some(governance) = &view.governance { article.card { h3 { "Governance" } (waiting(view, governance)) } }
                @for vault in &view.vaults { article.card { h3 { "Vault " (vault.name) } (one_vault(view, vault)) } }
            }
        }
    }
}

fn endpoints(view: &View) -> Markup {
    html! {
        @if view.endpoints.is_empty() { p.empty { "None." } }
        ul.things {
            @for endpoint in &view.endpoints {
                li {
                    p {
                        span class={ "dot " (if endpoint.healthy { "good" } else { "bad" }) } {}
                        strong { (endpoint.name) } " " span.dim { (endpoint.role) }
                        span.visually-hidden { (if endpoint.healthy { " healthy" } else { " not healthy" }) }
                    }
                    p.small {
                        @if let Some(head) = endpoint.head { "block " (count(head)) " · " }
                        @if let Some(latency) = endpoint.latency_ms { (latency) " ms · " }
                        (counted(endpoint.calls, "call")) ", " (counted(endpoint.errors, "error"))
                    }
                    @if let Some(problem) = &endpoint.problem { p.note { (problem) } }
                }
            }
        }
    }
}

fn signers(view: &View) -> Markup {
    html! {
        @if view.signers.is_empty() { p.empty { "None: the keeper shows what it would do and sends nothing." } }
        ul.things {
            @for signer in &view.signers {
                li {
                    p {
                        span class={ "dot " (if signer.problem.is_none() { "good" } else { "bad" }) } {}
                        strong { (signer.role) } " " (link::address(view, signer.address))
                    }
                    p.small {
                        @if let Some(balance) = &signer.balance { (balance) " · " }
                        @if let Some(nonce) = signer.nonce { "nonce " (nonce) " · " }
                        (count(signer.pending)) " pending"
                    }
                    @if let Some(problem) = &signer.problem { p.note { (problem) } }
                }
            }
        }
    }
}

/// The keepers that share the database, each with the signers that it holds.
fn members(view: &View, fleet: &FleetStatus) -> Markup {
    html! {
        p.small { (fleet.server) }
        @if !fleet.is_reachable { p.note { "The database does not answer: nothing is sent." } }
        ul.things {
            @for member in &fleet.members {
                li {
                    p {
                        span class={ "dot " (if member.is_live { "good" } else { "bad" }) } {}
                        strong { (member.name) } " " span.dim { (if member.is_self { "this keeper" } else { "" }) }
                        span.visually-hidden { (if member.is_live { " live" } else { " gone" }) }
                    }
                    p.small { "block " (count(member.head)) " · heartbeat " (member.seen_secs_ago) " s ago" }
                    @for lease in fleet.leases.iter().filter(|lease| lease.holder == member.id && lease.expires_in_ms > 0) {
                        p.small { "signs for " (link::address(view, lease.signer)) }
                    }
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
            div { dt { "Lost today" } dd { (safety.lost_today) span.small { "of " (safety.loss_cap) } } }
            div { dt { "Recent reverts" } dd { (count(safety.reverts)) span.small { "of " (count(safety.breaker_reverts)) } } }
            div { dt { "Audited" } dd { (count(audit.compared)) span.small { "positions" } } }
            @if !safety.paused.is_empty() { div { dt { "Paused" } dd { (safety.paused.join(", ")) } } }
            div { dt { "Mismatches" } dd { (count(audit.mismatches)) } }
        }
    }
}

fn one_programme(programme: &ProgrammeView) -> Markup {
    html! {
        p { strong { (programme.name) } " " span.dim { "pays " (programme.reward_token) } }
        p.small { (counted(programme.consenting, "account")) " opted in, " (count(programme.due)) " due" }
        @if let Some(decision) = &programme.decision { p.note { (decision.text) } }
    }
}

fn one_vault(view: &View, vault: &VaultView) -> Markup {
    html! {
        dl.facts {
            div { dt { "Total" } dd { (vault.total) } }
            div { dt { "Idle" } dd { (vault.idle) } }
            div { dt { "Supply APR" } dd { (percent(i128::from(vault.supply_rate_bps))) } }
            div { dt { "Contract" } dd { (link::address(view, vault.address)) } }
        }
        ul.things {
            @for market in &vault.markets {
                li {
                    p { strong { (market.name) } " " (market.assets) " " span.dim { "at " (percent(i128::from(market.supply_rate_bps))) } }
                    @if let Some(flag) = market.flag { p.note { (flag_text(flag)) } }
                }
            }
        }
        @if let Some(decision) = &vault.decision { p.note { (decision.text) } }
    }
}

/// What is scheduled, and how the last operations ended.
fn waiting(view: &View, governance: &GovernanceView) -> Markup {
    html! {
        p.small { "Manager " (link::address(view, governance.manager)) }
        @if governance.scheduled.is_empty() { p.empty { "Nothing is scheduled." } }
        ul.things {
            @for scheduled in &governance.scheduled {
                li {
                    p { strong { (scheduled.state.name()) } " " span.dim { (scheduled.time()) } }
                    @for call in &scheduled.calls { p.small { (call) } }
                    p.small { "by " (scheduled.caller_name) }
                    @for opposition in &scheduled.opposition {
                        p.small { (opposition.brake) ": " (opposition.weight) " of " (opposition.needed) " shares oppose it" }
                    }
                    @if let Some(decision) = &scheduled.decision { p.note { (decision.text) } }
                }
            }
        }
        @if governance.left_out != 0 { p.note { (counted(governance.left_out, "operation")) " not listed" } }
        @for ended in governance.ended.iter().take(SHOWN_ENDED) { p.small { (ended.text()) } }
    }
}

const fn flag_text(flag: Flag) -> &'static str {
    match flag {
        Flag::NoPrice => "the vault leaves it: there is no price to liquidate at",
        Flag::UsedUp => "the vault leaves it: nearly everything is borrowed",
        Flag::LoansAtRisk => "the vault leaves it: a large part of its debt is near liquidation",
    }
}
