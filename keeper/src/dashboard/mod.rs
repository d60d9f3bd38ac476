//! The dashboard: HTML pages, rendered on the server from the [`View`]. A browser without scripts shows the state at the
//! time of the request, and search, filters, order and paging work by links and a form; with scripts, sections of the
//! overview are replaced as they change, and addresses can be copied.
//!
//! The pages load nothing from other hosts and have no inline styles or scripts, so that their content security policy can
//! forbid both. Only links lead elsewhere: to the chain's block explorer.

mod account;
mod activity;
mod debt_chart;
mod format;
mod layout;
mod link;
mod market;
mod orders;
mod positions;
mod profit;
mod protocols;
mod status;
mod summary;

use maud::Markup;

pub use self::link::mark;
pub(crate) use self::{
    account::account_page,
    activity::activity_page,
    layout::{error_page, overview},
    market::market_page,
    positions::positions_page,
};
use crate::view::View;

/// The style sheet, which the lab's report pages share.
pub const STYLE: &str = concat!(include_str!("theme.css"), include_str!("page.css"));
/// The script that replaces sections as they change, and copies addresses.
pub(crate) const SCRIPT: &str = include_str!("page.js");
/// The icon: a Plimsoll mark.
pub(crate) const ICON: &str = include_str!("icon.svg");

/// A section of the overview: its id and its HTML.
pub(crate) type Section = (&'static str, String);

/// Renders all sections of the overview in their order, what needs attention first.
pub(crate) fn sections(view: &View) -> Vec<Section> {
    let sections: [(&'static str, Markup); 9] = [
        ("top", summary::top(view)),
        ("summary", summary::summary(view)),
        ("positions", positions::most_at_risk(view)),
        ("markets", market::markets(view)),
        ("orders", orders::triggered(view)),
        ("protocols", protocols::followed(view)),
        ("activity", activity::newest(view)),
        ("profit", profit::profit(view)),
        ("status", status::status(view)),
    ];
    sections.into_iter().map(|(id, markup)| (id, markup.into_string())).collect()
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
}
