//! A simulation as one page of HTML without anything from elsewhere, to be attached to a post.

use std::fmt::Write as _;

use super::{Severity, Simulation};
use crate::manifest::units::{Seconds, time_text};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;\
background:#fff}h1{font-size:1.5rem;margin-bottom:.25rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:\
collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #d0d7de;\
overflow-wrap:anywhere}li{overflow-wrap:anywhere;margin:.3rem 0}pre{white-space:pre-wrap;font:inherit}.danger{color:\
#a40e26;font-weight:600}.caution{color:#7a4b00;font-weight:600}.meta{color:#57606a}@media(prefers-color-scheme:dark){body\
{background:#0d1117;color:#e6edf3}td,th{border-color:#30363d}.danger{color:#ff7b72}.caution{color:#e3b341}.meta{color:\
#9198a1}}";

/// Returns the page of a simulation. Every text in it, a proposal's title included, is shown as text.
#[must_use]
pub fn page(simulation: &Simulation) -> String {
    let mut html = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body>\n\
         <h1>{title}</h1>\n<p class=\"meta\">By {caller}. Simulated on {network} at block {block}; scheduled then, it could be \
         executed from {time}.</p>\n",
        title = escape(&simulation.title),
        caller = escape(&simulation.caller_text),
        network = escape(&simulation.network),
        block = simulation.block,
        time = time_text(simulation.executable_at),
    );
    if !simulation.description.is_empty() {
        let _ = writeln!(html, "<pre>{}</pre>", escape(&simulation.description));
    }
    harms(&mut html, simulation);
    calls(&mut html, simulation);
    changes(&mut html, simulation);
    html.push_str("<h2>Properties</h2>\n<table><tr><th>Property</th><th>Before</th><th>After</th></tr>\n");
    for property in &simulation.properties {
        let cell = |holds: bool| if holds { "<td>yes</td>" } else { "<td class=\"danger\">no</td>" };
        let (name, before, after) = (escape(&property.name), cell(property.before), cell(property.after));
        let _ = writeln!(html, "<tr><td>{name}</td>{before}{after}</tr>");
    }
    html.push_str("</table>\n</body></html>\n");
    html
}

fn harms(html: &mut String, simulation: &Simulation) {
    html.push_str("<h2>Harms</h2>\n<ul>\n");
    if simulation.harms.is_empty() {
        html.push_str("<li>None that the simulation knows.</li>\n");
    }
    for harm in &simulation.harms {
        let class = match harm.severity {
            Severity::Danger => "danger",
            Severity::Caution => "caution",
        };
        let _ = writeln!(html, "<li><span class=\"{class}\">{}</span>: {}</li>", harm.code, escape(&harm.text));
    }
    html.push_str("</ul>\n");
}

fn calls(html: &mut String, simulation: &Simulation) {
    html.push_str("<h2>Calls</h2>\n<ol>\n");
    for action in &simulation.actions {
        let _ = write!(html, "<li>{}", escape(&action.text));
        let _ = match (action.follows, action.delay_secs) {
            (true, secs) => write!(html, " <span class=\"meta\">then anybody, after {}</span>", Seconds(secs)),
            (false, 0) => Ok(()),
            (false, secs) => write!(html, " <span class=\"meta\">waits {} in the manager</span>", Seconds(secs)),
        };
        if let Some(error) = &action.error {
            let _ = write!(html, " <span class=\"danger\">reverts: {}</span>", escape(error));
        }
        let _ = writeln!(html, "<br><span class=\"meta\">{} to {}</span></li>", action.call.data, action.call.target);
    }
    html.push_str("</ol>\n");
}

fn changes(html: &mut String, simulation: &Simulation) {
    html.push_str("<h2>What changes</h2>\n");
    if simulation.differences.is_empty() && simulation.transfers.is_empty() {
        html.push_str("<p>Nothing that governance may change.</p>\n");
        return;
    }
    html.push_str("<table><tr><th>Of</th><th>What</th><th>Before</th><th>After</th></tr>\n");
    for change in &simulation.differences {
        let of = |value: &Option<String>| escape(value.as_deref().unwrap_or("none"));
        let (subject, what) = (escape(&change.subject), escape(&change.what));
        let (before, after) = (of(&change.before), of(&change.after));
        let _ = writeln!(html, "<tr><td>{subject}</td><td>{what}</td><td>{before}</td><td>{after}</td></tr>");
    }
    html.push_str("</table>\n");
    for transfer in &simulation.transfers {
        let amount = escape(&transfer.amount_text);
        let receivers: Vec<_> = transfer.receivers.iter().map(ToString::to_string).collect();
        let _ = writeln!(html, "<p>{amount} leave {} to {}.</p>", transfer.holder, receivers.join(", "));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
