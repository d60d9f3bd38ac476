//! The command-line options of a replay. They are checked before anything starts: every file is read, and every
//! combination of parameters is possible.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use clap::ValueEnum;
use eyre::ensure;
use plimsoll_contracts::{
    market::{MIN_DEBT_LOWER_BOUND, Risk},
    quantity::Decimal,
};
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_keeper::amount::readable;

use super::{
    feed::Feed,
    guard::GuardShare,
    params::{DOLLAR, ReplayParams},
    prices::{PRICE_DECIMALS, Prices},
    report::PriceSummary,
    rules::Rule,
};

/// Borrow LTV in percent of the liquidation LTV, where only that is given.
const BORROW_PERCENT: u16 = 93;
const DOLLAR_DECIMALS: u8 = 6;
const GWEI_DECIMALS: u8 = 9;
const BPS_DECIMALS: u8 = 2;
/// Decimals of a percentage in millionths.
pub(super) const FEE_DECIMALS: u8 = 4;
/// The fees of Uniswap's pools.
const SWAP_FEES_PPM: [u32; 4] = [100, 500, 3_000, 10_000];
/// Smallest and largest amount, in whole dollars.
const DOLLARS: [u128; 2] = [1_000, 100_000_000_000];
/// Highest gas price, in gwei.
const MAX_GWEI: u128 = 10_000;
/// Largest deviation of a feed.
const MAX_DEVIATION_BPS: u64 = 2_000;
/// The minimum debt whose bonus pays for a liquidation with the other defaults, for an ether of 2,000 dollars.
const DEFAULT_MIN_DEBT: &str = "3000";
/// Smallest average debt, in units of the minimum debt: sizes have a heavy tail, and where many loans were below the
/// minimum, the market would owe much more than it should.
const DEBT_FACTOR: u128 = 2;
/// The most combinations on a chain, each of which takes about a minute.
const MAX_ON_CHAIN: usize = 24;
/// The most combinations in the model, each of which takes about a second.
const MAX_IN_MODEL: usize = 1_000;
/// Range of prices, in dollars, in which the collateral is taken to be ether.
const ETHER_PRICES: [u128; 2] = [20, 20_000];
/// Price of an ether where the collateral is something else, in dollars.
const ETHER_PRICE: u128 = 2_000;
const PRICE_UNIT: u128 = 10_u128.pow(PRICE_DECIMALS as u32);

/// Options of a replay.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Recorded prices of the collateral in dollars: CSV with `ts` and open, high, low and close, or with any column of
    /// prices. Several files are replayed one after the other.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub prices: Vec<PathBuf>,
    /// The column of prices, in files without open, high, low and close or with further ones.
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Borrow LTV and liquidation LTV in percent: 80:86. With the second alone, the borrow LTV is 93 % of it. Every
    /// combination of LTVs, depths, gas prices and files is replayed.
    #[arg(long, value_delimiter = ',', default_value = "80:86", value_name = "BORROW:LIQUIDATION")]
    pub ltv: Vec<Ltv>,
    /// Depth of the exchange: dollars for which collateral can be sold until its price has fallen by 2 %.
    #[arg(long, value_delimiter = ',', default_value = "10M", value_name = "AMOUNT")]
    pub depth: Vec<Dollars>,
    /// Fee of the exchange in percent: one of Uniswap's, 0.01, 0.05, 0.3 or 1.
    #[arg(long, default_value = "0.3", value_name = "PERCENT")]
    pub swap_fee: SwapFee,
    /// Gas price.
    #[arg(long, value_delimiter = ',', default_value = "20", value_name = "GWEI")]
    pub gas_price: Vec<Gwei>,
    /// Number of borrowers.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=5_000), value_name = "N")]
    pub positions: u64,
    /// Total debt, in dollars.
    #[arg(long, default_value = "20M", value_name = "AMOUNT")]
    pub debt: Dollars,
    /// Minimum debt of the market, in dollars. Smaller loans are raised to it.
    #[arg(long, default_value = DEFAULT_MIN_DEBT, value_name = "AMOUNT")]
    pub min_debt: MinDebt,
    /// Seed of the random borrowers.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Heartbeat of the price feed, in seconds.
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(12..=604_800), value_name = "SECS")]
    pub heartbeat: u64,
    /// Deviation at which the price feed answers before its heartbeat.
    #[arg(long, default_value = "0.5", value_name = "PERCENT")]
    pub deviation: Deviation,
    /// Price of an ether in dollars, for gas. By default the collateral is taken to be ether, unless its first price is
    /// below 20 or above 20,000; then an ether costs 2,000.
    #[arg(long, value_name = "PRICE")]
    pub ether_price: Option<EtherPrice>,
    /// Liquidation rules that ours is compared with, in the model.
    #[arg(long, value_enum, default_value_t)]
    pub against: Against,
    /// Part of the borrowers with an order at the guard, in percent: 50%. What they lose is compared with what they lose
    /// without orders, on the chain and in the model.
    #[arg(long, value_name = "PERCENT")]
    pub guard: Option<GuardShare>,
    /// Use the model only, without a chain: a second instead of a minute.
    #[arg(long)]
    pub model: bool,
    /// Save the report as a page with charts, and its figures and charts as files of their own.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}

/// Liquidation rules to compare ours with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Against {
    /// Half of the debt at a fixed bonus, and all of it at Morpho's bonus.
    #[default]
    Others,
    /// Our rule with each of its constants lower and higher.
    Constants,
}

/// A borrow LTV and a liquidation LTV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ltv {
    borrow_bps: u16,
    liquidation_bps: u16,
}

/// An amount of dollars, in units of the loan token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dollars(u128);

/// A minimum debt, in units of the loan token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinDebt(u128);

/// A fee of the exchange, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapFee(u32);

/// A gas price, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gwei(u128);

/// A deviation of a price, in basis points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviation(u64);

/// A price of an ether, with a feed's decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtherPrice(u128);

/// One combination of parameters and prices.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) summary: Arc<PriceSummary>,
    pub(super) prices: Arc<Prices>,
    pub(super) params: ReplayParams,
}

impl Against {
    /// Returns our rule and those to compare it with.
    pub(super) fn rules(self) -> Vec<Rule> {
        match self {
            Self::Others => Rule::all(),
            Self::Constants => Rule::variants(),
        }
    }
}

impl Options {
    /// Checks the options and reads the price files, without a chain. Says where files have long gaps.
    ///
    /// # Errors
    /// As [`run`](super::run), before it begins.
    pub fn check(&self) -> eyre::Result<()> {
        self.cases()?;
        for file in &self.prices {
            if let Some(gaps) = Prices::read(file, self.column.as_deref())?.gaps() {
                say(format_args!("{}: {gaps}", file.display()));
            }
        }
        Ok(())
    }

    /// Returns every combination. Fails where a file cannot be used, or there are too many combinations.
    pub(super) fn cases(&self) -> eyre::Result<Vec<Case>> {
        let count = [self.prices.len(), self.ltv.len(), self.depth.len(), self.gas_price.len()];
        let count = count.into_iter().fold(1_usize, usize::saturating_mul);
        let most = if self.model { MAX_IN_MODEL } else { MAX_ON_CHAIN };
        let remedy = if self.model { "" } else { ", or try them first by --model, which needs no chain" };
        ensure!(
            count <= most,
            "files, LTVs, depths and gas prices make {count} combinations, and {most} are played at most: give fewer \
             of them{remedy}"
        );
        let least = self.min_debt.0 * DEBT_FACTOR * u128::from(self.positions);
        ensure!(
            self.debt.0 >= least,
            "--debt is too little for {} loans of at least {} dollars: it has to be {} or more, or --positions or \
             --min-debt smaller",
            self.positions,
            readable(&(self.min_debt.0 / DOLLAR).to_string()),
            readable(&(least / DOLLAR).to_string())
        );
        let mut cases = Vec::new();
        for file in &self.prices {
            let prices = Arc::new(Prices::read(file, self.column.as_deref())?);
            let summary = Arc::new(PriceSummary::of(file, self.column.clone(), &prices));
            let ether_price = self.ether_price(file, prices.first());
            for (ltv, depth, gas_price) in self.chosen() {
                let params = ReplayParams {
                    borrow_ltv_bps: ltv.borrow_bps,
                    liquidation_ltv_bps: ltv.liquidation_bps,
                    depth: depth.0,
                    swap_fee_ppm: self.swap_fee.0,
                    gas_price: gas_price.0,
                    ether_price,
                    feed: Feed { heartbeat_secs: self.heartbeat, deviation_bps: self.deviation.0 },
                    positions: self.positions,
                    debt: self.debt.0,
                    min_debt: self.min_debt.0,
                    seed: self.seed,
                };
                cases.push(Case { summary: Arc::clone(&summary), prices: Arc::clone(&prices), params });
            }
        }
        Ok(cases)
    }

    fn chosen(&self) -> impl Iterator<Item = (Ltv, Dollars, Gwei)> {
        self.ltv.iter().flat_map(move |ltv| {
            let depths = self.depth.iter();
            depths.flat_map(move |depth| self.gas_price.iter().map(move |gas_price| (*ltv, *depth, *gas_price)))
        })
    }

    /// Returns the price of an ether; none where the collateral is taken to be ether.
    fn ether_price(&self, file: &Path, first: u128) -> Option<u128> {
        let [low, high] = ETHER_PRICES.map(|dollars| dollars * PRICE_UNIT);
        match self.ether_price {
            Some(EtherPrice(price)) => Some(price),
            None if (low..=high).contains(&first) => None,
            None => {
                let file = file.display();
                say(format_args!(
                    "{file} does not begin with an ether's price, so for gas an ether is taken to cost {ETHER_PRICE} \
                     dollars; --ether-price says otherwise"
                ));
                Some(ETHER_PRICE * PRICE_UNIT)
            }
        }
    }
}

impl FromStr for Ltv {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bps = |text: &str| {
            let number: Decimal = text.trim().trim_end_matches('%').trim_end().parse()?;
            number.scaled_to::<u16>(BPS_DECIMALS, "an LTV in percent")
        };
        let (borrow_bps, liquidation_bps) = match text.split_once(':') {
            Some((borrow, liquidation)) => (bps(borrow)?, bps(liquidation)?),
            None => {
                let liquidation = bps(text)?;
                (
                    u16::try_from(u32::from(liquidation) * u32::from(BORROW_PERCENT) / 100).unwrap_or(liquidation),
                    liquidation,
                )
            }
        };
        Risk::new(borrow_bps, liquidation_bps, MIN_DEBT_LOWER_BOUND).map_err(|error| error.to_string())?;
        Ok(Self { borrow_bps, liquidation_bps })
    }
}

impl FromStr for Dollars {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = dollars_from(text)?;
        let [least, most] = DOLLARS;
        if !(least * DOLLAR..=most * DOLLAR).contains(&units) {
            let [least, most] = DOLLARS.map(|dollars| readable(&dollars.to_string()));
            return Err(format!("an amount is from {least} to {most} dollars"));
        }
        Ok(Self(units))
    }
}

impl FromStr for MinDebt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = dollars_from(text)?;
        let [_, most] = DOLLARS;
        if !(MIN_DEBT_LOWER_BOUND..=most * DOLLAR).contains(&units) {
            let most = readable(&most.to_string());
            return Err(format!("a minimum debt is from 0.01, the lowest that a market may have, to {most} dollars"));
        }
        Ok(Self(units))
    }
}

/// Parses an amount of dollars to units of the loan token.
fn dollars_from(text: &str) -> Result<u128, String> {
    let text = text.trim();
    let suffixes = [('k', 3), ('M', 6), ('B', 9)];
    let found = suffixes.into_iter().find_map(|(letter, zeros)| Some((text.strip_suffix(letter)?, zeros)));
    let (digits, zeros) = found.unwrap_or((text, 0));
    let wrong = |problem| format!("{problem}; an amount is written 2000000, 2_000_000 or 2M");
    let number: Decimal = digits.trim_end().parse().map_err(wrong)?;
    number.scaled_to(DOLLAR_DECIMALS + zeros, "an amount").map_err(wrong)
}

impl FromStr for SwapFee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: Decimal = text.trim().trim_end_matches('%').trim_end().parse()?;
        let ppm = number.scaled_to(FEE_DECIMALS, "a fee in percent")?;
        if SWAP_FEES_PPM.contains(&ppm) {
            Ok(Self(ppm))
        } else {
            Err("the exchange's fee is 0.01, 0.05, 0.3 or 1 percent, as Uniswap's pools have".to_owned())
        }
    }
}

impl FromStr for Gwei {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: Decimal = text.parse()?;
        let wei = number.scaled_to(GWEI_DECIMALS, "a price of gas")?;
        let most = MAX_GWEI * 10_u128.pow(GWEI_DECIMALS.into());
        if wei > most { Err(format!("gas costs at most {MAX_GWEI} gwei")) } else { Ok(Self(wei)) }
    }
}

impl FromStr for Deviation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: Decimal = text.trim().trim_end_matches('%').trim_end().parse()?;
        match number.scaled_to(BPS_DECIMALS, "a deviation in percent")? {
            bps @ 1..=MAX_DEVIATION_BPS => Ok(Self(bps)),
            _ => Err(format!("a deviation is from 0.01 to {} percent", MAX_DEVIATION_BPS / 100)),
        }
    }
}

impl FromStr for EtherPrice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: Decimal = text.parse()?;
        let price = number.scaled_to(PRICE_DECIMALS, "a price")?;
        if (PRICE_UNIT..=1_000_000 * PRICE_UNIT).contains(&price) {
            Ok(Self(price))
        } else {
            Err("an ether costs from 1 to 1,000,000 dollars".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Result<Options, String> {
        let line = ["replay"].iter().chain(arguments);
        Line::try_parse_from(line).map(|line| line.options).map_err(|error| error.to_string())
    }

    /// Returns the cases for a file with a constant price and further arguments.
    fn cases(price: &str, arguments: &[&str]) -> eyre::Result<Vec<Case>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("day.csv");
        std::fs::write(&file, format!("ts,price\n0,{price}\n60,{price}\n"))?;
        let file = file.to_string_lossy().into_owned();
        options(&[&["--prices", &file], arguments].concat()).map_err(eyre::Report::msg)?.cases()
    }

    #[test]
    fn every_combination_is_a_case_and_lists_take_commas_or_repetition() {
        let cases =
            cases("200", &["--ltv", "75,80:86", "--ltv", "91.5%", "--depth", "2_000_000,0.5M", "--gas-price", "1.5"]);
        let cases = cases.unwrap();
        let told: Vec<_> = cases
            .iter()
            .map(|Case { params, .. }| (params.borrow_ltv_bps, params.liquidation_ltv_bps, params.depth / DOLLAR))
            .collect();
        let expected = [(6_975, 7_500), (8_000, 8_600), (8_509, 9_150)]
            .into_iter()
            .flat_map(|(borrow, liquidation)| [2_000_000, 500_000].map(|depth| (borrow, liquidation, depth)));
        assert_eq!(told, expected.collect::<Vec<_>>());
        assert!(cases.iter().all(|case| case.params.gas_price == 1_500_000_000 && case.params.ether_price.is_none()));
    }

    #[test]
    fn gas_is_paid_in_ether_whatever_the_collateral() {
        let ether = |price, arguments: &[&str]| {
            cases(price, arguments).unwrap().first().unwrap().params.ether_price.map(|price| price / PRICE_UNIT)
        };
        assert_eq!(ether("19.99", &[]), Some(2_000));
        assert_eq!(ether("20", &[]), None);
        assert_eq!(ether("60000", &[]), Some(2_000));
        assert_eq!(ether("1", &["--ether-price", "1500.5"]), Some(1_500));
    }

    #[test]
    fn impossible_options_are_refused_with_a_reason() {
        for (arguments, told) in [
            (&["--ltv", "0"][..], "the borrow LTV is 0"),
            (&["--ltv", "86:86"], "must be at most 99.5 % of the liquidation LTV of 8600 bps"),
            (&["--ltv", "98.5"], "the liquidation LTV of 9850 bps must be at most 9800"),
            (&["--ltv", "0.80:0.86x"], "\"0.86x\" is not a number"),
            (&["--ltv", "80.123"], "80.123 has more than the 2 decimals"),
            (&["--depth", "lots"], "\"lots\" is not a number: write one like 1000.5 or 1_000; an amount is written"),
            (&["--depth", "999"], "an amount is from 1,000 to 100,000,000,000 dollars"),
            (&["--debt", "2000000B"], "an amount is from 1,000"),
            (&["--swap-fee", "0.25"], "the exchange's fee is 0.01, 0.05, 0.3 or 1 percent"),
            (&["--gas-price", "10001"], "gas costs at most 10000 gwei"),
            (&["--deviation", "0"], "a deviation is from 0.01 to 20 percent"),
            (&["--ether-price", "0.5"], "an ether costs from 1"),
            (&["--positions", "0"], "0 is not in 1..=5000"),
            (&["--positions", "5001"], "5001 is not in 1..=5000"),
            (&["--heartbeat", "11"], "11 is not in 12..=604800"),
            (
                &["--positions", "5000", "--min-debt", "1000", "--debt", "9.9M"],
                "--debt is too little for 5000 loans of at least 1,000 dollars: it has to be 10,000,000 or more",
            ),
            (&["--min-debt", "0.009"], "a minimum debt is from 0.01, the lowest that a market may have"),
            (&["--ltv", "1,2,3,4,5", "--depth", "1M,2M,3M,4M,5M"], "make 25 combinations, and 24 are played at most"),
            (&["--guard", "101"], "\"101\" is no share of the borrowers: it is a whole percentage from 1 to 100"),
            (&["--column", "close"], "line 1: there is no column close, only ts, price"),
        ] {
            let error = format!("{:#}", cases("200", arguments).unwrap_err());
            assert!(error.contains(told), "{arguments:?}: {error}");
        }
        let missing = options(&["--prices", "/nowhere/day.csv"]).unwrap().cases().unwrap_err();
        assert!(format!("{missing:#}").contains("the prices cannot be read from /nowhere/day.csv"), "{missing:#}");
        assert!(options(&[]).unwrap_err().contains("--prices"));
    }

    #[test]
    fn the_model_plays_more_combinations_than_the_chain() {
        let many = ["--ltv", "1,2,3,4,5", "--depth", "1M,2M,3M,4M,5M", "--model"];
        assert_eq!(cases("200", &many).unwrap().len(), 25);
    }
}
