//! The sections of a manifest whose entries have names, and the search for a name in them.

use crate::manifest::{Tables, spelling::nearest};

/// A section of a manifest whose entries have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Accounts,
    Tokens,
    Feeds,
    Contracts,
    Oracles,
    Backstops,
    Splitters,
    Pools,
    Exchange,
}

/// All sections, for references to any contract or account.
pub(super) const ALL_SECTIONS: [Section; 9] = [
    Section::Accounts,
    Section::Tokens,
    Section::Feeds,
    Section::Contracts,
    Section::Oracles,
    Section::Backstops,
    Section::Splitters,
    Section::Pools,
    Section::Exchange,
];

/// Name of the deployer's account.
pub(super) const DEPLOYER: &str = "deployer";
/// Name of the owner's account.
pub(super) const OWNER: &str = "owner";
/// Name of the account of the `AccessManager` in `[governance]`.
pub(super) const MANAGER: &str = "manager";
/// Name of the account of the governor in `[governance]`.
pub(super) const GOVERNOR: &str = "governor";
/// Name of the account of the token whose holders vote, in `[governance]`.
pub(super) const VOTES: &str = "votes";
/// Name of the exchange, which has a section of its own.
pub(super) const EXCHANGE: &str = "uniswap_v3";

impl Section {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Tokens => "tokens",
            Self::Feeds => "feeds",
            Self::Contracts => "contracts",
            Self::Oracles => "oracles",
            Self::Backstops => "backstops",
            Self::Splitters => "splitters",
            Self::Pools => "pools",
            Self::Exchange => "exchange",
        }
    }

    fn names(self, tables: &Tables) -> Vec<&str> {
        match self {
            Self::Accounts => {
                let governance = tables.governance.as_ref().map(toml::Spanned::get_ref);
                let manager = governance.map(|_| MANAGER);
                let governor = governance.and_then(|section| section.governor.as_ref()).map(|_| GOVERNOR);
                let votes = governance.and_then(|section| section.token.as_ref()).map(|_| VOTES);
                let accounts = tables.accounts.keys().map(String::as_str).chain([DEPLOYER, OWNER]);
                accounts.chain(manager).chain(governor).chain(votes).collect()
            }
            Self::Tokens => tables.tokens.keys().map(String::as_str).collect(),
            Self::Feeds => tables.feeds.keys().map(String::as_str).collect(),
            Self::Contracts => tables.contracts.keys().map(String::as_str).collect(),
            Self::Oracles => tables.oracles.keys().map(String::as_str).collect(),
            Self::Backstops => tables.backstops.keys().map(String::as_str).collect(),
            Self::Splitters => {
                let with_splitter =
                    tables.backstops.iter().filter(|(_, backstop)| backstop.get_ref().splitter.is_some());
                with_splitter.map(|(name, _)| name.as_str()).collect()
            }
            Self::Pools => tables.pools.keys().map(String::as_str).collect(),
            Self::Exchange => tables.uniswap_v3.iter().map(|_| EXCHANGE).collect(),
        }
    }
}

/// Returns the section and name that a text refers to, among `sections`. A name that occurs in two of them needs its
/// section in front, as in `tokens.WETH`. Fails with a message if the name is unknown or ambiguous.
pub(super) fn find(tables: &Tables, text: &str, sections: &[Section]) -> Result<(Section, String), String> {
    if let Some((first, rest)) = text.split_once('.')
        && let Some(section) = sections.iter().find(|section| section.name() == first)
        && section.names(tables).contains(&rest)
    {
        return Ok((*section, rest.to_owned()));
    }
    let found: Vec<Section> =
        sections.iter().copied().filter(|section| section.names(tables).contains(&text)).collect();
    match found.as_slice() {
        [section] => Ok((*section, text.to_owned())),
        [] => {
            let known = sections.iter().flat_map(|section| section.names(tables));
            Err(unknown(text, &section_list(sections), known))
        }
        several => {
            let choices: Vec<String> = several.iter().map(|section| format!("{}.{text}", section.name())).collect();
            Err(format!("\"{text}\" means several things: write {}", choices.join(" or ")))
        }
    }
}

fn section_list(sections: &[Section]) -> String {
    sections.iter().map(|section| format!("[{}]", section.name())).collect::<Vec<_>>().join(", ")
}

/// Returns the message that a name is unknown, with the most similar name that exists.
pub(super) fn unknown<'a>(text: &str, place: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(text, known) {
        Some(name) => format!("there is no \"{text}\" in {place}: did you mean \"{name}\"?"),
        None => format!("there is no \"{text}\" in {place}: add it, or write an address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_rejected_with_the_most_similar_one() {
        let text = unknown("WTEH", "[tokens]", ["USDC", "WETH", "WBTC"].into_iter());
        assert_eq!(text, "there is no \"WTEH\" in [tokens]: did you mean \"WETH\"?");
        let text = unknown("something", "[tokens]", ["USDC"].into_iter());
        assert!(text.contains("add it"), "{text}");
    }
}
