//! The manifest: one TOML file that describes what shall be deployed on one network.
//!
//! This module only reads it. Unknown keys are problems, and every value keeps its position and its parse error, so that
//! [`crate::design`] can report all that is wrong at once, by line and column. `examples/local.toml` explains every key.

pub mod governance;
pub(crate) mod spelling;
mod structure;
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

use units::{
    Amount, BasisPoints, Decimal, Epoch, GasPrice, MaxAge, Multiple, PoolFee, Rate, Reference, Salt, Seconds, Speed,
    YearlyRate,
};

/// A manifest and the text it was read from.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    text: String,
    /// Content of the file.
    pub tables: Tables,
    /// Unknown keys, for which [`crate::design::Design::new`] rejects the manifest.
    pub problems: Vec<Problem>,
}

/// Something that is wrong in a manifest, with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Range in the text, in bytes.
    pub span: Range<usize>,
    /// Problem and remedy.
    pub message: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The content is invalid: one message per problem, with file, line and column.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

impl Manifest {
    /// Reads a manifest from a file. Fails if it is not valid TOML or lacks a key.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = fs::read_to_string(path).map_err(|source| ManifestError::Io { path: path.to_path_buf(), source })?;
        Self::parse(path, text)
    }

    /// Reads a manifest from a text as [`Manifest::read`] does; `path` is for messages.
    pub fn parse(path: &Path, text: String) -> Result<Self, ManifestError> {
        match structure::read(&text) {
            Ok((tables, problems)) => Ok(Self { path: path.to_path_buf(), text, tables, problems }),
            Err(problems) => Err(invalid(path, &text, problems)),
        }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns one error for all problems, in their order in the file.
    #[must_use]
    pub fn invalid(&self, problems: Vec<Problem>) -> ManifestError {
        invalid(&self.path, &self.text, problems)
    }
}

fn invalid(path: &Path, text: &str, mut problems: Vec<Problem>) -> ManifestError {
    problems.sort_by_key(|problem| problem.span.start);
    problems.dedup();
    let line = |problem: Problem| format!("{}: {}", position(path, text, problem.span.start), problem.message);
    ManifestError::Invalid(problems.into_iter().map(line).collect())
}

/// Returns the position of a byte as `file:line:column`.
fn position(path: &Path, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", path.display())
}

/// A value as written, with its position and the result of parsing it.
#[derive(Clone)]
pub struct Parsed<T> {
    /// Range in the text, in bytes.
    pub span: Range<usize>,
    /// The value as written.
    pub text: String,
    /// The parsed value, or the reason that it is invalid.
    pub value: Result<T, String>,
}

impl<T: fmt::Debug> fmt::Debug for Parsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Spanned::<Text>::deserialize(deserializer)?;
        let span = read.span();
        let Text { text, is_float } = read.into_inner();
        let value = if is_float {
            Err(format!("{text} is a floating-point number, which is not exact: put it in quotes"))
        } else {
            text.parse()
        };
        Ok(Self { span, text, value })
    }
}

/// A string or a number of TOML.
struct Text {
    text: String,
    is_float: bool,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text { text: text.to_owned(), is_float: false })
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text { text: number.to_string(), is_float: false })
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
                Ok(Text { text: number.to_string(), is_float: true })
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// Entries of a section by name, with their positions.
pub type Named<T> = BTreeMap<String, Spanned<T>>;

/// All sections of a manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// Network to deploy on.
    pub network: Network,
    /// Account that signs and pays.
    pub deployer: Deployer,
    /// Owner of the core.
    pub owner: Spanned<Owner>,
    /// The `AccessManager` that owns contracts, and its roles.
    pub governance: Option<Spanned<governance::Governance>>,
    /// Named addresses.
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
    /// Vaults for lenders.
    #[serde(default)]
    pub vaults: Named<Vault>,
    /// Exchange for pools.
    pub uniswap_v3: Option<Spanned<UniswapV3>>,
    /// Pools to create on the exchange.
    #[serde(default)]
    pub pools: Named<Pool>,
    /// Staking programmes.
    #[serde(default)]
    pub rewards: Named<Programme>,
    /// Bonds of nodes, and jobs that they answer.
    pub nodes: Option<Spanned<Nodes>>,
}

/// Section `[network]`: the chain and its endpoint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Display name, which is also typed to confirm a deployment.
    pub name: String,
    /// Chain id that the node must report.
    pub chain_id: u64,
    /// Whether test tokens, feeds and pools may be created; the chain must then be a local Anvil.
    #[serde(default)]
    pub local: bool,
    /// URL of a node, without a key in it.
    pub rpc: Option<String>,
    /// Environment variable that holds the URL of a node.
    pub rpc_env: Option<String>,
    /// Number of blocks to wait for a transaction, including its own.
    #[serde(default = "one")]
    pub confirmations: u64,
    /// Salt of the deterministic deployer, which changes every address.
    pub salt: Option<Parsed<Salt>>,
    /// Price of gas on a bad day, at which a liquidation must still pay.
    pub bad_day_gas_price: Option<Parsed<GasPrice>>,
    /// Price of a whole native coin in whole loan tokens, by token.
    #[serde(default)]
    pub native_prices: BTreeMap<String, Parsed<Decimal>>,
}

const fn one() -> u64 {
    1
}

/// Section `[deployer]`: the account that signs and pays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployer {
    /// Address of the account, which must match the key.
    pub address: Parsed<Reference>,
    /// Source of the private key.
    pub key: SignerSource,
}

/// Section `[owner]`: the owner of the core, exactly one of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Existing account.
    pub account: Option<Parsed<Reference>>,
    /// Timelock to deploy.
    pub timelock: Option<Timelock>,
}

/// An OpenZeppelin `TimelockController` without an administrator.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timelock {
    /// Time between proposal and execution.
    pub delay: Parsed<Seconds>,
    /// Accounts that may propose and cancel.
    pub proposers: Vec<Parsed<Reference>>,
    /// Accounts that may execute; `"anyone"` for everybody.
    pub executors: Vec<Parsed<Reference>>,
}

/// An existing token, or – on a local chain – one that anybody can mint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Address of an existing contract.
    pub address: Option<Parsed<Reference>>,
    /// Number of decimals that it must have.
    pub decimals: u8,
}

/// An existing price feed, or – on a local chain – one that the deployer sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Address of an existing contract.
    pub address: Option<Parsed<Reference>>,
    /// First answer of a feed to create.
    pub answer: Option<Parsed<Decimal>>,
    /// Number of decimals that it must have.
    pub decimals: u8,
    /// Description that it must have.
    pub description: String,
    /// Lowest and highest acceptable answer.
    pub between: [Parsed<Decimal>; 2],
}

/// Any contract of this project.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Name of the contract, if it differs from the entry's name.
    pub contract: Option<String>,
    /// Arguments of the constructor by their names in Solidity.
    #[serde(default)]
    pub arguments: BTreeMap<String, Spanned<toml::Value>>,
}

/// An oracle over feeds, at a fixed ratio, or an existing one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oracle {
    /// Token that is priced.
    pub collateral: Parsed<Reference>,
    /// Token that the price is in.
    pub loan: Parsed<Reference>,
    /// Feeds whose product is divided by that of the `quote` feeds.
    #[serde(default)]
    pub base: Vec<OracleFeed>,
    /// Feeds by whose product that of the `base` feeds is divided.
    #[serde(default)]
    pub quote: Vec<OracleFeed>,
    /// Lowest and highest acceptable price of one whole collateral token, in whole loan tokens.
    pub between: Option<[Parsed<Decimal>; 2]>,
    /// Uptime feed of the sequencer, on a layer 2.
    pub sequencer: Option<Sequencer>,
    /// Average price of a pool that borrowing is checked against.
    pub twap: Option<Twap>,
    /// Fixed price of one whole collateral token, in whole loan tokens.
    pub ratio: Option<Parsed<Decimal>>,
    /// Address of an existing oracle.
    pub address: Option<Parsed<Reference>>,
}

/// A feed and the highest ages of its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OracleFeed {
    /// Feed in `[feeds]`.
    pub feed: Parsed<Reference>,
    /// Highest age at which borrowing is possible.
    pub borrow_max_age: Parsed<Seconds>,
    /// Highest age at which liquidation is possible.
    pub liquidation_max_age: Parsed<MaxAge>,
}

/// The sequencer of a layer 2.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequencer {
    /// Uptime feed of the sequencer.
    pub feed: Parsed<Reference>,
    /// Time after a restart during which borrowing is impossible.
    pub grace: Parsed<Seconds>,
}

/// A time-weighted average price of a pool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twap {
    /// Pool that is observed.
    pub pool: Parsed<Reference>,
    /// Time that the average is taken over.
    pub window: Parsed<Seconds>,
    /// Block time of the chain.
    pub block_time: Parsed<Seconds>,
    /// Highest deviation of the two prices.
    pub max_deviation: Parsed<BasisPoints>,
}

/// A market of the core.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Market {
    /// Token that is lent.
    pub loan: Parsed<Reference>,
    /// Token that secures loans.
    pub collateral: Parsed<Reference>,
    /// Oracle that prices the collateral.
    pub oracle: Parsed<Reference>,
    /// LTV up to which borrowing is possible.
    pub ltv: Parsed<BasisPoints>,
    /// LTV from which a loan is liquidatable.
    pub liquidation_ltv: Parsed<BasisPoints>,
    /// Lowest debt that a loan may have. Called `smallest_debt` in older manifests.
    #[serde(alias = "smallest_debt")]
    pub min_debt: Parsed<Amount>,
    /// How fast the debt may grow; without it, as fast as there is liquidity.
    pub surge_limit: Option<Spanned<Surge>>,
    /// Initial yearly rate at the target utilisation.
    pub rate: Parsed<Rate>,
    /// Rate at full utilisation, as a multiple of that at the target.
    pub steepness: Parsed<Multiple>,
    /// Speed at which the rate follows demand.
    pub speed: Parsed<Speed>,
    /// Share of the interest that goes to the reserve.
    pub fee: Option<Parsed<BasisPoints>>,
    /// Recipient of the reserve above its floor.
    pub fee_recipient: Option<Parsed<Reference>>,
    /// Backstop that covers bad debt.
    pub backstop: Option<Parsed<Reference>>,
}

/// A market's surge limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surge {
    /// Part of the aged debt that may be borrowed at once, besides the floor.
    pub share: Parsed<BasisPoints>,
    /// Part of the limit that does not depend on debt: a multiple of the market's minimum debt.
    pub floor: Parsed<Amount>,
    /// Time in which the limit refills wholly.
    pub period: Parsed<Seconds>,
}

/// A backstop, with its optional fee splitter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backstop {
    /// Token that is deposited.
    pub asset: Parsed<Reference>,
    /// Name of the share token.
    pub name: String,
    /// Symbol of the share token.
    pub symbol: String,
    /// Account that sets the limits of covered markets.
    pub curator: Parsed<Reference>,
    /// Time between the request and a withdrawal.
    pub cooldown: Parsed<Seconds>,
    /// Time during which a withdrawal is then possible.
    pub window: Parsed<Seconds>,
    /// First deposit, whose shares stay for good; a backstop with a splitter needs it.
    pub first_deposit: Option<Parsed<Amount>>,
    /// Highest cover of each market.
    #[serde(default)]
    pub covers: BTreeMap<String, Parsed<Amount>>,
    /// Splitter that shares fees with the treasury.
    pub splitter: Option<Splitter>,
}

/// A vault for lenders over several markets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Token that is deposited.
    pub asset: Parsed<Reference>,
    /// Name of the share token.
    pub name: String,
    /// Symbol of the share token.
    pub symbol: String,
    /// Account that appoints the others and sets the fee.
    pub owner: Parsed<Reference>,
    /// Account that chooses markets and caps.
    pub curator: Parsed<Reference>,
    /// Account that revokes changes and lowers risk.
    pub guardian: Option<Parsed<Reference>>,
    /// Accounts that move assets between markets, keepers among them.
    #[serde(default)]
    pub allocators: Vec<Parsed<Reference>>,
    /// Part of gains that is a fee, for `fee_recipient`.
    pub fee: Option<Parsed<BasisPoints>>,
    /// Account that gets the fee.
    pub fee_recipient: Option<Parsed<Reference>>,
    /// Highest rate at which the vault's value rises, a year.
    pub max_rate: Parsed<YearlyRate>,
    /// Part of a redemption in kind that stays with the others.
    pub penalty: Parsed<BasisPoints>,
    /// Time that changes wait that raise risk.
    pub raise_delay: Parsed<Seconds>,
    /// Step by which the curator may raise a cap without waiting.
    pub nudge: Option<Nudge>,
    /// Market that deposits are supplied to at once.
    pub deposit_market: Option<Spanned<String>>,
    /// First deposit, whose shares stay for good.
    pub first_deposit: Option<Parsed<Amount>>,
    /// Caps of the markets, by name.
    pub markets: BTreeMap<String, Spanned<Cap>>,
    /// Caps of all markets with a collateral token, by its name.
    #[serde(default)]
    pub collateral_caps: BTreeMap<String, Spanned<Cap>>,
    /// Caps of all markets with an oracle, by its name.
    #[serde(default)]
    pub oracle_caps: BTreeMap<String, Spanned<Cap>>,
}

/// The bound on what a vault supplies; the smaller of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Highest amount that the vault supplies under this cap.
    pub amount: Parsed<Amount>,
    /// Highest part of the vault's value; no bound by default.
    pub part: Option<Parsed<BasisPoints>>,
}

/// A step by which a cap may be raised at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nudge {
    /// Part of the cap.
    pub by: Parsed<BasisPoints>,
    /// Time between two steps.
    pub every: Parsed<Seconds>,
}

/// A fee splitter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splitter {
    /// Account that receives the treasury's part.
    pub treasury: Parsed<Reference>,
    /// Treasury's part of the fees.
    pub treasury_part: Parsed<BasisPoints>,
}

/// An existing exchange, or – on a local chain – one to deploy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniswapV3 {
    /// Address of an existing Uniswap V3 factory.
    pub address: Option<Parsed<Reference>>,
}

/// A pool to create on a local chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Token that is priced.
    pub base: Parsed<Reference>,
    /// Token that the price is in.
    pub quote: Parsed<Reference>,
    /// Swap fee.
    pub fee: Parsed<PoolFee>,
    /// First price of one whole base token, in whole quote tokens.
    pub price: Parsed<Decimal>,
}

/// A staking programme.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Programme {
    /// Token that is staked.
    pub stake: Parsed<Reference>,
    /// Tokens that are paid as rewards.
    pub rewards: Vec<Parsed<Reference>>,
    /// Distinguishes programmes of the same tokens.
    pub salt: Option<Parsed<Salt>>,
    /// Payments, each made once.
    #[serde(default)]
    pub funding: Vec<Spanned<Funding>>,
}

/// One payment into a programme.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// Key in the record: what was paid under it is never paid again.
    pub id: String,
    /// Token that is paid.
    pub token: Parsed<Reference>,
    /// Amount that is paid.
    pub amount: Parsed<Amount>,
    /// Number of weeks over which it is paid out.
    pub epochs: u64,
    /// Thursday on which it begins; otherwise the next one.
    pub starts: Option<Parsed<Epoch>>,
}

/// Section `[nodes]`: bonds of nodes, jobs and audits that they answer, and the emission for their bonds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// Token of bonds, prices and emission.
    pub token: Parsed<Reference>,
    /// Account that receives what slashes leave.
    pub sink: Parsed<Reference>,
    /// Smallest bond of an operator.
    pub min_bond: Parsed<Amount>,
    /// Time between leaving and withdrawing.
    pub cooldown: Parsed<Seconds>,
    /// Smallest fee of a seat in a job.
    pub min_fee: Parsed<Amount>,
    /// Blocks between the posting of a job and the block whose randomness draws its nodes.
    pub draw_delay: u64,
    /// Time for commitments.
    pub commit: Parsed<Seconds>,
    /// Time for reveals after the commitments.
    pub reveal: Parsed<Seconds>,
    /// Time for challenges of a result.
    pub challenge: Parsed<Seconds>,
    /// Payments of emission, each made once.
    #[serde(default)]
    pub emission: Vec<Spanned<Funding>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str =
        "[network]\nname = \"a\"\nchain_id = 1\n[deployer]\naddress = \"me\"\nkey = { anvil = 0 }\n[owner]\n";

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(Path::new("a.toml"), text.to_owned())
    }

    #[test]
    fn all_unknown_keys_are_found_at_once_with_their_positions_and_the_nearest_known_ones() {
        let text = SMALLEST.replace("name = \"a\"", "name = \"a\"\ngas_price = 3\nrcp = \"http://x\"");
        let more = "acount = \"x\"\n[market.a]\n[backstops.a]\nasset = \"USDC\"\nname = \"a\"\nsymbol = \"a\"\ncurator = \"x\"\n\
                    cooldwn = \"1 day\"\nwindow = \"1 day\"\nsplitter = { treasry = \"x\", treasury_part = \"1%\" }\n\
                    [rewards.a]\nstake = \"a\"\nrewards = []\nfunding = [{ id = \"1\", tokn = \"a\", amount = \"1\", epochs = 1 }]\n";
        let manifest = parse(&(text + more)).unwrap_err().to_string();
        // What is misspelt counts as given, so that only the market's keys are missing.
        let expected = [
            "a.toml:3:1: unknown key `gas_price`: the keys here are name, chain_id, local, rpc, rpc_env, confirmations, salt, \
             bad_day_gas_price, native_prices",
            "a.toml:4:1: unknown key `rcp`: did you mean `rpc`?",
            "a.toml:10:1: unknown key `acount`: did you mean `account`?",
            "a.toml:11:2: unknown key `market`: did you mean `markets`?",
            "a.toml:11:1: missing field `loan`",
            "a.toml:17:1: unknown key `cooldwn`: did you mean `cooldown`?",
            "a.toml:23:24: unknown key `tokn`: did you mean `token`?",
        ];
        for line in expected {
            assert!(manifest.lines().any(|found| found.starts_with(line)), "{line} is not in:\n{manifest}");
        }
        let without_market = format!("{SMALLEST}{more}").replace("[market.a]\n", "");
        let problems = parse(&without_market).unwrap().problems;
        let mut messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        messages.sort_unstable();
        assert_eq!(
            messages,
            [
                "unknown key `acount`: did you mean `account`?",
                "unknown key `cooldwn`: did you mean `cooldown`?",
                "unknown key `tokn`: did you mean `token`?",
                "unknown key `treasry`: did you mean `treasury`?",
            ]
        );
    }

    #[test]
    fn a_floating_point_number_is_rejected_with_the_remedy() {
        let manifest = parse(&format!("{SMALLEST}account = 0.5\n")).unwrap();
        let said = manifest.tables.owner.get_ref().account.as_ref().unwrap();
        let problem = said.value.as_ref().unwrap_err();
        assert!(
            problem.starts_with("0.5 is a floating-point number") && problem.contains("put it in quotes"),
            "{problem}"
        );
    }

    #[test]
    fn an_invalid_value_keeps_its_position() {
        let text = format!("{SMALLEST}account = \"0x12\"\n[tokens.\"ünlü\"]\ndecimals = 6\naddress = \"0x34\"\n");
        let manifest = Manifest::parse(Path::new("a.toml"), text).unwrap();
        let mut problems = Vec::new();
        for said in [
            manifest.tables.tokens["ünlü"].get_ref().address.as_ref().unwrap(),
            manifest.tables.owner.get_ref().account.as_ref().unwrap(),
        ] {
            problems.push(Problem { span: said.span.clone(), message: said.value.clone().unwrap_err() });
        }
        let text = manifest.invalid(problems).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("a.toml:8:11: 0x12 is not an address"), "{text}");
        assert!(lines[1].starts_with("a.toml:11:11: 0x34 is not an address"), "{text}");
    }

    /// Returns the keys that a table may have, from the parser's message about an unknown one.
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
            keys_of::<governance::Governance>(),
            keys_of::<governance::Role>(),
            keys_of::<governance::Governor>(),
            keys_of::<governance::VotesToken>(),
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
            keys_of::<Vault>(),
            keys_of::<Cap>(),
            keys_of::<Nudge>(),
            keys_of::<UniswapV3>(),
            keys_of::<Pool>(),
            keys_of::<Programme>(),
            keys_of::<Funding>(),
            keys_of::<Nodes>(),
        ];
        let words: Vec<&str> = manifest.text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        // The former name of `min_debt` is read, and not advertised.
        for key in keys.iter().flatten().filter(|key| *key != "smallest_debt") {
            assert!(words.contains(&key.as_str()), "examples/local.toml does not say what `{key}` is");
        }
        assert!(keys.iter().all(|keys| !keys.is_empty()));
    }
}
