//! Search, filter, order and paging of positions and activity, by the parameters of a URL. The API and the dashboard take the
//! same ones.

use std::cmp::{Ordering, Reverse};

use alloy::primitives::{Address, B256, U256};

use super::{
    ActivityEntry,
    model::{MarketView, View},
    row::PositionRow,
};

/// Number of entries of a page if the URL does not say it.
const DEFAULT_LIMIT: usize = 200;
/// Maximum number of entries of a page.
const MAX_LIMIT: usize = 1_000;

/// Why a request cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter has an invalid value.
    #[error("`{name}` cannot be \"{value}\": {expected}")]
    InvalidParameter {
        /// Name of the parameter.
        name: &'static str,
        /// Value that was given.
        value: String,
        /// Description of the values that are allowed.
        expected: String,
    },
    /// There is no parameter of this name.
    #[error("there is no parameter `{name}`; there are {known}")]
    UnknownParameter {
        /// Name that was given.
        name: String,
        /// Names of all parameters.
        known: String,
    },
    /// There is no market of this name or id.
    #[error("there is no market \"{market}\"; there are {known}")]
    UnknownMarket {
        /// Name or id that was given.
        market: String,
        /// Names of all markets.
        known: String,
    },
    /// Nothing is known of an account.
    #[error(
        "nothing is known of {account}: it has no position below a health factor of {below}, and no decision about one \
             was taken since the keeper started"
    )]
    UnknownAccount {
        /// Address of the account.
        account: Address,
        /// Health factor below which positions are listed.
        below: String,
    },
    /// There is no such path.
    #[error("there is no {path}; /api/schema.json describes every path")]
    UnknownPath {
        /// Path that was asked for.
        path: String,
    },
}

/// The figure that positions are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortKey {
    /// Health factor.
    #[default]
    Health,
    /// Number of whole loan tokens owed.
    Debt,
    /// Number of whole collateral tokens.
    Collateral,
    /// Fall in price until the position is liquidatable, relative to the price. The same order as by health factor in one
    /// market.
    Distance,
    /// Block since which the position is liquidatable.
    Since,
    /// Address of the account.
    Account,
    /// Name of the market.
    Market,
}

impl SortKey {
    /// All keys with their names in a URL.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Health, "health"),
        (Self::Debt, "debt"),
        (Self::Collateral, "collateral"),
        (Self::Distance, "distance"),
        (Self::Since, "since"),
        (Self::Account, "account"),
        (Self::Market, "market"),
    ];

    /// Returns the key's name in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(key, _)| *key == self).map_or("", |(_, name)| name)
    }

    fn compare(self, left: &PositionRow, right: &PositionRow) -> Ordering {
        let since = |row: &PositionRow| row.liquidatable_since.unwrap_or(u64::MAX);
        match self {
            Self::Health => left.health_wad.cmp(&right.health_wad),
            Self::Debt => whole_tokens(left.debt, left.market.loan.decimals)
                .cmp(&whole_tokens(right.debt, right.market.loan.decimals)),
            Self::Collateral => whole_tokens(left.collateral, left.market.collateral.decimals)
                .cmp(&whole_tokens(right.collateral, right.market.collateral.decimals)),
            Self::Distance => Reverse(relative_waterline(left)).cmp(&Reverse(relative_waterline(right))),
            Self::Since => since(left).cmp(&since(right)),
            Self::Account => left.account.cmp(&right.account),
            Self::Market => left.market.name.cmp(&right.market.name),
        }
    }
}

/// Amount with 18 decimals, so that tokens with different decimals can be compared.
fn whole_tokens(units: u128, decimals: u8) -> U256 {
    let missing = 18_u8.saturating_sub(decimals);
    let surplus = decimals.saturating_sub(18);
    let scaled = U256::from(units).saturating_mul(U256::from(10).pow(U256::from(missing)));
    U256::from(10).checked_pow(U256::from(surplus)).and_then(|power| scaled.checked_div(power)).unwrap_or_default()
}

/// Liquidation price relative to the price, in parts of 2^64.
fn relative_waterline(row: &PositionRow) -> U256 {
    row.waterline.saturating_mul(U256::from(1) << 64).checked_div(row.market.price).unwrap_or(U256::MAX)
}

/// Selection of positions, and their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionsQuery {
    /// Id of the market; positions of all markets without it.
    pub market: Option<B256>,
    /// Name or id of the market as it was given.
    pub market_text: String,
    /// Part of the account's address or of the market's name, in lower case; empty for all.
    pub search: String,
    /// Stable name of the reason for the last decision; empty for all.
    pub reason: String,
    /// Whether liquidatable positions are meant (`true`) or healthy ones (`false`); both without it.
    pub liquidatable: Option<bool>,
    /// The figure that they are ordered by.
    pub sort: SortKey,
    /// Whether the largest comes first.
    pub is_descending: bool,
    /// Number of positions that are left out at the beginning.
    pub offset: usize,
    /// Maximum number of positions.
    pub limit: usize,
}

impl Default for PositionsQuery {
    fn default() -> Self {
        Self {
            market: None,
            market_text: String::new(),
            search: String::new(),
            reason: String::new(),
            liquidatable: None,
            sort: SortKey::default(),
            is_descending: false,
            offset: 0,
            limit: DEFAULT_LIMIT,
        }
    }
}

/// A page of what a query selects.
#[derive(Debug, Clone)]
pub struct Selection<'a, T> {
    /// Number of all entries that it selects.
    pub total: usize,
    /// The entries of the page.
    pub page: Vec<&'a T>,
}

impl PositionsQuery {
    /// Reads a query from the parameters of a URL; an empty one counts as missing, as a form sends it. Fails if one is
    /// unknown or invalid.
    pub fn parse<'p>(
        view: &View,
        parameters: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            match name {
                "market" => {
                    query.market = Some(view.find_market(value)?.id);
                    query.market_text = value.to_owned();
                }
                "search" => query.search = value.trim().to_lowercase(),
                "reason" => query.reason = value.to_owned(),
                "liquidatable" => query.liquidatable = Some(boolean("liquidatable", value)?),
                "sort" => query.sort = sort_key(value)?,
                "order" => query.is_descending = order(value)?,
                "offset" => query.offset = number("offset", value, usize::MAX)?,
                "limit" => query.limit = number("limit", value, MAX_LIMIT)?,
                _ => {
                    let known = "market, search, reason, liquidatable, sort, order, offset and limit".to_owned();
                    return Err(QueryError::UnknownParameter { name: name.to_owned(), known });
                }
            }
        }
        Ok(query)
    }

    /// Selects the positions of a view.
    #[must_use]
    pub fn select<'v>(&self, view: &'v View) -> Selection<'v, PositionRow> {
        let mut rows: Vec<_> = view.at_risk.iter().filter(|row| self.selects(row)).collect();
        // The view has them by health factor already. A stable sort keeps that order between equals.
        match (self.sort, self.is_descending) {
            (SortKey::Health, false) => {}
            (SortKey::Health, true) => rows.reverse(),
            (key, false) => rows.sort_by(|left, right| key.compare(left, right)),
            (key, true) => rows.sort_by(|left, right| key.compare(right, left)),
        }
        page_of(rows, self.offset, self.limit)
    }

    fn selects(&self, row: &PositionRow) -> bool {
        let is_found = || {
            let account = || format!("{:#x}", row.account).contains(&self.search);
            self.search.is_empty() || row.market.name.to_lowercase().contains(&self.search) || account()
        };
        self.market.is_none_or(|market| row.market.id == market)
            && self.liquidatable.is_none_or(|wanted| row.is_liquidatable() == wanted)
            && (self.reason.is_empty() || row.reason().1 == self.reason)
            && is_found()
    }

    /// Returns the parameters of the URL of this query, without a question mark; empty if all have their defaults.
    #[must_use]
    pub fn to_url(&self) -> String {
        let mut url = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.parameters() {
            url.append_pair(name, &value);
        }
        url.finish()
    }

    /// Returns the parameters of the URL of this query that differ from their defaults.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let pairs = [
            ("market", self.market_text.clone()),
            ("search", self.search.clone()),
            ("reason", self.reason.clone()),
            ("liquidatable", self.liquidatable.map(|wanted| wanted.to_string()).unwrap_or_default()),
            ("sort", if self.sort == SortKey::default() { String::new() } else { self.sort.name().to_owned() }),
            ("order", if self.is_descending { "desc".to_owned() } else { String::new() }),
            ("offset", if self.offset == 0 { String::new() } else { self.offset.to_string() }),
            ("limit", if self.limit == DEFAULT_LIMIT { String::new() } else { self.limit.to_string() }),
        ];
        pairs.into_iter().filter(|(_, value)| !value.is_empty())
    }
}

/// Selection of activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Id of the market; activity of all markets and programmes without it.
    pub market: Option<B256>,
    /// Number of entries that are left out at the beginning.
    pub offset: usize,
    /// Maximum number of entries.
    pub limit: usize,
}

impl Default for ActivityQuery {
    fn default() -> Self {
        Self { market: None, offset: 0, limit: DEFAULT_LIMIT }
    }
}

impl ActivityQuery {
    /// Reads a query from the parameters of a URL, as [`PositionsQuery::parse`] does.
    pub fn parse<'p>(
        view: &View,
        parameters: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            match name {
                "market" => query.market = Some(view.find_market(value)?.id),
                "offset" => query.offset = number("offset", value, usize::MAX)?,
                "limit" => query.limit = number("limit", value, MAX_LIMIT)?,
                _ => {
                    let known = "market, offset and limit".to_owned();
                    return Err(QueryError::UnknownParameter { name: name.to_owned(), known });
                }
            }
        }
        Ok(query)
    }

    /// Selects the activity of a view.
    #[must_use]
    pub fn select<'v>(&self, view: &'v View) -> Selection<'v, ActivityEntry> {
        let is_of = |entry: &&ActivityEntry| self.market.is_none_or(|market| entry.market == Some(market));
        page_of(view.timeline.iter().filter(is_of).collect(), self.offset, self.limit)
    }
}

impl View {
    /// Returns the market of this name or id. Fails if there is none.
    pub fn find_market(&self, text: &str) -> Result<&MarketView, QueryError> {
        let is_meant = |market: &&MarketView| market.name == text || market.id.to_string() == text.to_lowercase();
        self.markets.iter().find(is_meant).ok_or_else(|| {
            let known: Vec<_> = self.markets.iter().map(|market| market.name.as_str()).collect();
            let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
            QueryError::UnknownMarket { market: text.to_owned(), known }
        })
    }
}

fn page_of<T>(all: Vec<&T>, offset: usize, limit: usize) -> Selection<'_, T> {
    Selection { total: all.len(), page: all.into_iter().skip(offset).take(limit).collect() }
}

fn boolean(name: &'static str, value: &str) -> Result<bool, QueryError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(name, value, "it is true or false")),
    }
}

fn order(value: &str) -> Result<bool, QueryError> {
    match value {
        "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(invalid("order", value, "it is asc or desc")),
    }
}

fn sort_key(value: &str) -> Result<SortKey, QueryError> {
    let known = SortKey::ALL.iter().find(|(_, name)| *name == value).map(|(key, _)| *key);
    known.ok_or_else(|| {
        let names: Vec<_> = SortKey::ALL.iter().map(|(_, name)| *name).collect();
        invalid("sort", value, format!("it is one of {}", names.join(", ")))
    })
}

fn number(name: &'static str, value: &str, max: usize) -> Result<usize, QueryError> {
    let least = usize::from(name == "limit");
    let expected = || match max {
        usize::MAX => "it is a whole number".to_owned(),
        max => format!("it is a whole number from {least} to {max}"),
    };
    let number = value.parse().ok().filter(|number| (least..=max).contains(number));
    number.ok_or_else(|| invalid(name, value, expected()))
}

fn invalid(name: &'static str, value: &str, expected: impl Into<String>) -> QueryError {
    QueryError::InvalidParameter { name, value: value.to_owned(), expected: expected.into() }
}
