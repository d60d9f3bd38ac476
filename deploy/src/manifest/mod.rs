//! The manifest: one TOML file that says what shall be on one network.
//!
//! Here it is read and nothing more. Keys that are not known are refused; every single value remembers where it stands
//! and whether it was understood, so that whoever uses it can list all that is wrong at once, by line and column. What
//! each key means is written beside it in `examples/local.toml` and `examples/sepolia.toml`.

pub mod units;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use plimsoll_chain::signer::SignerSource;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use toml::Spanned;

use units::{Amount, BasisPoints, Decimal, Epoch, MaxAge, Multiple, PoolFee, Rate, Reference, Salt, Seconds, Speed};

/// A manifest and the text it was read from.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    text: String,
    /// What it says.
    pub tables: Tables,
}

/// Something in a manifest that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it begins and ends, in bytes.
    pub span: Range<usize>,
    /// What is wrong and what to do.
    pub message: String,
}

/// Why a manifest cannot be used: everything that is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What it says is wrong: one line each, with file, line and column.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

impl Manifest {
    /// Reads a file. Fails where it is not TOML, lacks a key or has one that is not known.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = fs::read_to_string(path).map_err(|source| ManifestError::Io { path: path.to_path_buf(), source })?;
        Self::parse(path, text)
    }

    /// [`Manifest::read`] on a text; `path` is for messages.
    pub fn parse(path: &Path, text: String) -> Result<Self, ManifestError> {
        match toml::from_str(&text) {
            Ok(tables) => Ok(Self { path: path.to_path_buf(), text, tables }),
            Err(error) => {
                let place = place(path, &text, error.span().map_or(0, |span| span.start));
                Err(ManifestError::Wrong(vec![format!("{place}: {}", error.message())]))
            }
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All problems as one error, in the order of the file.
    #[must_use]
    pub fn wrong(&self, mut problems: Vec<Problem>) -> ManifestError {
        problems.sort_by_key(|problem| problem.span.start);
        problems.dedup();
        let line =
            |problem: Problem| format!("{}: {}", place(&self.path, &self.text, problem.span.start), problem.message);
        ManifestError::Wrong(problems.into_iter().map(line).collect())
    }
}

/// `file:line:column` of a byte.
fn place(path: &Path, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", path.display())
}

/// A value as it was written, where, and what it means if it means anything.
#[derive(Clone)]
pub struct Parsed<T> {
    /// Where it stands, in bytes.
    pub span: Range<usize>,
    /// As written.
    pub text: String,
    /// As understood; else why not.
    pub value: Result<T, String>,
}

impl<T: fmt::Debug> fmt::Debug for Parsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Spanned::<Text>::deserialize(deserializer)?;
        let span = text.span();
        let Text(text) = text.into_inner();
        Ok(Self { span, value: text.parse(), text })
    }
}

/// A text or a whole number.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
                Err(E::custom(format!("{number} is a floating-point number, which is not exact: put it in quotes")))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// Things by their names, in the order of names, each with its place in the text.
pub type Named<T> = BTreeMap<String, Spanned<T>>;

/// Everything a manifest can say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// Which chain.
    pub network: Network,
    /// Who sends and pays.
    pub deployer: Deployer,
    /// Who owns the core.
    pub owner: Spanned<Owner>,
    /// Names for addresses.
    #[serde(default)]
    pub accounts: BTreeMap<String, Parsed<Reference>>,
    /// Tokens.
    #[serde(default)]
    pub tokens: Named<Token>,
    /// Price feeds.
    #[serde(default)]
    pub feeds: Named<Feed>,
    /// Contracts, with their constructors' arguments.
    #[serde(default)]
    pub contracts: Named<Contract>,
    /// Oracles.
    #[serde(default)]
    pub oracles: Named<Oracle>,
    /// Markets.
    #[serde(default)]
    pub markets: Named<Market>,
    /// Backstops, with their fee splitters.
    #[serde(default)]
    pub backstops: Named<Backstop>,
    /// The exchange.
    pub uniswap_v3: Option<Spanned<UniswapV3>>,
    /// Pools on that exchange.
    #[serde(default)]
    pub pools: Named<Pool>,
    /// Staking programmes.
    #[serde(default)]
    pub rewards: Named<Programme>,
}

/// Which chain, and how it is reached.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// For people.
    pub name: String,
    /// What the node must say.
    pub chain_id: u64,
    /// Whether tokens, feeds and pools may be made up; then the chain must be a local Anvil.
    #[serde(default)]
    pub local: bool,
    /// A URL without a key in it.
    pub rpc: Option<String>,
    /// The environment variable that holds a URL.
    pub rpc_env: Option<String>,
    /// How many blocks a transaction waits for, its own included.
    #[serde(default = "one")]
    pub confirmations: u64,
    /// Changes every address.
    pub salt: Option<Parsed<Salt>>,
}

const fn one() -> u64 {
    1
}

/// Who sends and pays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployer {
    /// The account; the key must be its.
    pub address: Parsed<Reference>,
    /// Where the key is.
    pub key: SignerSource,
}

/// Who owns the core.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// An account that exists.
    pub account: Option<Parsed<Reference>>,
    /// A timelock of our own.
    pub timelock: Option<Timelock>,
}

/// OpenZeppelin's `TimelockController`, without an administrator.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timelock {
    /// How long what was proposed waits.
    pub delay: Parsed<Seconds>,
    /// Who may propose and cancel.
    pub proposers: Vec<Parsed<Reference>>,
    /// Who may execute what waited long enough; `"anyone"` for everybody.
    pub executors: Vec<Parsed<Reference>>,
}

/// A token: one that exists, or – on a local chain – one that anybody mints.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Where it is.
    pub address: Option<Parsed<Reference>>,
    /// How many decimals it must have.
    pub decimals: u8,
}

/// A price feed: one that exists, or – on a local chain – one that its owner sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Where it is.
    pub address: Option<Parsed<Reference>>,
    /// What it answers first.
    pub answer: Option<Parsed<Decimal>>,
    /// How many decimals it must have.
    pub decimals: u8,
    /// What it must say of itself.
    pub description: String,
    /// The answer must lie between these.
    pub between: [Parsed<Decimal>; 2],
}

/// Any contract of the project.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Which, where the entry's name does not say.
    pub contract: Option<String>,
    /// Its constructor's arguments by their names in Solidity.
    #[serde(default)]
    pub arguments: BTreeMap<String, Spanned<toml::Value>>,
}

/// An oracle: over feeds, at a fixed ratio, or one that exists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oracle {
    /// What is priced.
    pub collateral: Parsed<Reference>,
    /// What it is priced in.
    pub loan: Parsed<Reference>,
    /// Feeds whose product is divided …
    #[serde(default)]
    pub base: Vec<OracleFeed>,
    /// … by the product of these.
    #[serde(default)]
    pub quote: Vec<OracleFeed>,
    /// One whole collateral token must be worth between these many whole loan tokens.
    pub between: Option<[Parsed<Decimal>; 2]>,
    /// On a layer 2: the feed that says whether the sequencer runs.
    pub sequencer: Option<Sequencer>,
    /// A second opinion from a pool.
    pub twap: Option<Twap>,
    /// Whole loan tokens for one whole collateral token, for ever.
    pub ratio: Option<Parsed<Decimal>>,
    /// An oracle that exists.
    pub address: Option<Parsed<Reference>>,
}

/// A feed and how old its answer may be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OracleFeed {
    /// Which.
    pub feed: Parsed<Reference>,
    /// For borrowing.
    pub borrow_max_age: Parsed<Seconds>,
    /// For liquidation.
    pub liquidation_max_age: Parsed<MaxAge>,
}

/// A layer 2's sequencer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequencer {
    /// Its uptime feed.
    pub feed: Parsed<Reference>,
    /// How long borrowing waits after it came back.
    pub grace: Parsed<Seconds>,
}

/// An average price of a pool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twap {
    /// Which pool.
    pub pool: Parsed<Reference>,
    /// What the average is taken over.
    pub window: Parsed<Seconds>,
    /// How long a block takes.
    pub block_time: Parsed<Seconds>,
    /// How far the two prices may lie apart.
    pub max_deviation: Parsed<BasisPoints>,
}

/// A market.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Market {
    /// What is lent.
    pub loan: Parsed<Reference>,
    /// What secures it.
    pub collateral: Parsed<Reference>,
    /// What prices it.
    pub oracle: Parsed<Reference>,
    /// Up to where one may borrow.
    pub ltv: Parsed<BasisPoints>,
    /// From where anyone may liquidate.
    pub liquidation_ltv: Parsed<BasisPoints>,
    /// Minimum debt of a loan, in the loan token. `smallest_debt`, the former name, is still accepted.
    #[serde(alias = "smallest_debt")]
    pub min_debt: Parsed<Amount>,
    /// What borrowing costs at first, at which utilisation.
    pub rate: Parsed<Rate>,
    /// The rate when everything is lent out, as a multiple.
    pub steepness: Parsed<Multiple>,
    /// How fast the rate follows demand.
    pub speed: Parsed<Speed>,
    /// The part of the interest that goes to the reserve.
    pub fee: Option<Parsed<BasisPoints>>,
    /// Who gets the reserve above its floor.
    pub fee_recipient: Option<Parsed<Reference>>,
    /// Which backstop covers it.
    pub backstop: Option<Parsed<Reference>>,
}

/// A backstop.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backstop {
    /// What is deposited.
    pub asset: Parsed<Reference>,
    /// The shares' name.
    pub name: String,
    /// The shares' symbol.
    pub symbol: String,
    /// Who chooses covered markets.
    pub curator: Parsed<Reference>,
    /// How long shares cool down.
    pub cooldown: Parsed<Seconds>,
    /// How long they may then leave.
    pub window: Parsed<Seconds>,
    /// How much of the cover each market may use.
    #[serde(default)]
    pub covers: BTreeMap<String, Parsed<Amount>>,
    /// What divides markets' income with the treasury.
    pub splitter: Option<Splitter>,
}

/// A fee splitter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splitter {
    /// Who gets what the backstop does not.
    pub treasury: Parsed<Reference>,
    /// Which part that is.
    pub treasury_part: Parsed<BasisPoints>,
}

/// The exchange: one that exists, or – on a local chain – one of our own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniswapV3 {
    /// The factory.
    pub address: Option<Parsed<Reference>>,
}

/// A pool to create on a local chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The token that is priced …
    pub base: Parsed<Reference>,
    /// … in this one.
    pub quote: Parsed<Reference>,
    /// What a swap costs.
    pub fee: Parsed<PoolFee>,
    /// The first price: whole quote tokens for one whole base token.
    pub price: Parsed<Decimal>,
}

/// A staking programme.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Programme {
    /// What is staked.
    pub stake: Parsed<Reference>,
    /// What is paid.
    pub rewards: Vec<Parsed<Reference>>,
    /// Tells pools of the same tokens apart.
    pub salt: Option<Parsed<Salt>>,
    /// What is paid in, each once.
    #[serde(default)]
    pub funding: Vec<Spanned<Funding>>,
}

/// One payment into a programme.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// Its name in the record: what has been paid under a name is never paid again.
    pub id: String,
    /// Which token.
    pub token: Parsed<Reference>,
    /// How much.
    pub amount: Parsed<Amount>,
    /// Over how many weeks.
    pub epochs: u64,
    /// From which Thursday on; else from the next.
    pub starts: Option<Parsed<Epoch>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str =
        "[network]\nname = \"a\"\nchain_id = 1\n[deployer]\naddress = \"me\"\nkey = { anvil = 0 }\n[owner]\n";

    fn refusal(text: &str) -> String {
        Manifest::parse(Path::new("a.toml"), text.to_owned()).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_by_line_and_column() {
        let text = refusal(&format!("{SMALLEST}acount = \"x\"\n"));
        assert!(text.starts_with("a.toml:8:1: unknown field `acount`"), "{text}");
        assert!(text.contains("account") && text.contains("timelock"), "{text}");
    }

    #[test]
    fn a_floating_point_number_is_refused_with_the_remedy() {
        let text = refusal(&format!("{SMALLEST}account = 0.5\n"));
        assert!(text.starts_with("a.toml:8:11: 0.5 is a floating-point number"), "{text}");
        assert!(text.contains("put it in quotes"), "{text}");
    }

    #[test]
    fn a_value_that_is_not_understood_remembers_where_it_stands() {
        let text = format!("{SMALLEST}account = \"0x12\"\n[tokens.\"ünlü\"]\ndecimals = 6\naddress = \"0x34\"\n");
        let manifest = Manifest::parse(Path::new("a.toml"), text).unwrap();
        let mut problems = Vec::new();
        for said in [
            manifest.tables.tokens["ünlü"].get_ref().address.as_ref().unwrap(),
            manifest.tables.owner.get_ref().account.as_ref().unwrap(),
        ] {
            problems.push(Problem { span: said.span.clone(), message: said.value.clone().unwrap_err() });
        }
        let text = manifest.wrong(problems).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("a.toml:8:11: 0x12 is not an address"), "{text}");
        assert!(lines[1].starts_with("a.toml:11:11: 0x34 is not an address"), "{text}");
    }

    /// The keys that a table may have, as the reader itself names them when it meets another.
    fn keys_of<T: serde::de::DeserializeOwned>() -> Vec<String> {
        let error = toml::from_str::<T>("no_such_key = 1").err().unwrap().message().to_owned();
        let known = error.split_once("expected").unwrap().1;
        known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_key_is_explained_in_the_local_example() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/local.toml"));
        let manifest = Manifest::read(path).unwrap();
        let keys = [
            keys_of::<Tables>(),
            keys_of::<Network>(),
            keys_of::<Deployer>(),
            keys_of::<Owner>(),
            keys_of::<Timelock>(),
            keys_of::<Token>(),
            keys_of::<Feed>(),
            keys_of::<Contract>(),
            keys_of::<Oracle>(),
            keys_of::<OracleFeed>(),
            keys_of::<Sequencer>(),
            keys_of::<Twap>(),
            keys_of::<Market>(),
            keys_of::<Backstop>(),
            keys_of::<Splitter>(),
            keys_of::<UniswapV3>(),
            keys_of::<Pool>(),
            keys_of::<Programme>(),
            keys_of::<Funding>(),
        ];
        let words: Vec<&str> = manifest.text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        // The former name of `min_debt` is read, and not advertised.
        for key in keys.iter().flatten().filter(|key| *key != "smallest_debt") {
            assert!(words.contains(&key.as_str()), "examples/local.toml does not say what `{key}` is");
        }
        assert!(keys.iter().all(|keys| !keys.is_empty()));
    }
}
