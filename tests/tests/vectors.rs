//! Published test vectors for the same arithmetic, computed by the contracts' own code on a node: the exponential,
//! products over a divisor, compounding, the adaptive rate curve and the liquidation incentive.

use std::fs;

use alloy::{
    primitives::{Address, I256, U256, address, utils::parse_units},
    providers::DynProvider,
    rpc::types::state::{AccountOverride, StateOverride},
    sol,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_deploy::{compile::Artifacts, toolchain::node::Node};
use serde_json::Value;

use crate::support;

const SOURCE: &str = "contracts/test/support/Arithmetic.sol";
/// Address of the harness. It is not deployed; each call overrides the code there.
const ARITHMETIC: Address = address!("000000000000000000000000000000000000a217");
/// Gas limit of a call, for which two months of minutes are computed.
const CALL_GAS: u64 = 2_000_000_000;

const WAD: u64 = 1_000_000_000_000_000_000;
const SECONDS_PER_YEAR: u64 = 365 * 86_400;
/// The rate curve of the vectors: its target, steepness and speed a year.
const TARGET_BPS: u64 = 9_000;
const STEEPNESS: u64 = 40_000;
const SPEED_PER_YEAR: u64 = 500_000;

sol! {
    #[sol(rpc)]
    interface IArithmetic {
        function expWad(int256 x) external pure returns (int256);
        function fullMulDiv(uint256 x, uint256 y, uint256 d) external pure returns (uint256);
        function fullMulDivUp(uint256 x, uint256 y, uint256 d) external pure returns (uint256);
        function compounded(uint256 ratePerSecond, uint256 elapsed) external pure returns (uint256);
        function borrowRate(uint256 rateAtTarget, int256 distance, uint256 steepness) external pure returns (uint256);
        function distanceFromTarget(uint256 supplyAssets, uint256 borrowAssets, uint256 targetBps)
            external pure returns (int256);
        function drift(
            uint256 rateAtTarget, int256 distance, uint256 speedPerYear, uint256 elapsed, uint256 times
        ) external pure returns (uint256 average, uint256 end);
        function maxIncentiveFactor(uint256 liquidationLtvBps) external pure returns (uint256);
    }
}

/// The vectors, and the contracts' arithmetic on a node.
struct Vectors {
    known: Value,
    arithmetic: IArithmetic::IArithmeticInstance<DynProvider>,
    code: StateOverride,
    _node: Node,
}

/// Calls the arithmetic: `ask!(vectors.expWad(x))` is its result, or its error.
macro_rules! ask {
    ($vectors:ident . $function:ident ( $($argument:expr),* )) => {
        $vectors.arithmetic.$function($($argument),*).gas(CALL_GAS).state($vectors.code.clone()).call().await
    };
}

impl Vectors {
    /// Starts a node; `None` where the vectors are not available.
    async fn open() -> eyre::Result<Option<Self>> {
        let Some(file) = support::data_file("vectors/vectors.json")? else { return Ok(None) };
        let known = serde_json::from_str(&fs::read_to_string(file)?)?;
        let tools = support::tools()?;
        let artifacts = Artifacts::compile_with(&tools, &[SOURCE])?;
        let node = Node::start(&tools, &["--gas-limit", &CALL_GAS.to_string()]).await?;
        let account = AccountOverride::default().with_code(artifacts.get("Arithmetic")?.runtime_code.clone());
        let arithmetic = IArithmetic::new(ARITHMETIC, node.provider().clone());
        Ok(Some(Self { known, arithmetic, code: StateOverride::from_iter([(ARITHMETIC, account)]), _node: node }))
    }

    /// Returns the list at a path such as `/mulDiv/floor`. An empty list is an error, because it would test nothing.
    fn list(&self, path: &str) -> eyre::Result<&Vec<Value>> {
        let list = self.known.pointer(path).and_then(Value::as_array);
        list.filter(|list| !list.is_empty()).wrap_err_with(|| format!("vectors.json has no list {path}"))
    }
}

/// Parses a number as the file writes it: `42`, `-41446531673892822312`, `0.5e18`.
fn integer(value: &Value) -> eyre::Result<I256> {
    let text = value.as_str().wrap_err_with(|| format!("{value} is no text"))?;
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: u8 = exponent.parse().wrap_err_with(|| text.to_owned())?;
    if exponent == 0 {
        return text.parse().wrap_err_with(|| text.to_owned());
    }
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |rest| (true, rest));
    let size = I256::try_from(parse_units(digits, exponent).wrap_err_with(|| text.to_owned())?.get_absolute())?;
    Ok(if negative { -size } else { size })
}

fn unsigned(value: &Value) -> eyre::Result<U256> {
    let text = value.as_str().wrap_err_with(|| format!("{value} is no text"))?;
    text.parse().wrap_err_with(|| text.to_owned())
}

/// Parses a JSON number such as 0.22976, times 1e18.
fn wad(value: &Value) -> eyre::Result<U256> {
    Ok(parse_units(&value.to_string(), 18).wrap_err_with(|| value.to_string())?.get_absolute())
}

fn numbers<const N: usize>(row: &Value) -> eyre::Result<[U256; N]> {
    let row = row.as_array().wrap_err("a row is no list")?;
    let numbers = row.iter().map(unsigned).collect::<eyre::Result<Vec<_>>>()?;
    numbers.try_into().map_err(|row| eyre::eyre!("{row:?} does not have {N} numbers"))
}

/// Returns whether two numbers differ by at most this part of the second, where 1e18 is all of it.
fn ensure_close(what: &str, got: U256, wanted: U256, tolerance: U256) -> eyre::Result<()> {
    let apart = got.abs_diff(wanted) * U256::from(WAD);
    ensure!(apart <= wanted * tolerance, "{what}: {got} instead of {wanted}");
    Ok(())
}

#[tokio::test]
async fn the_exponential_equals_that_of_two_libraries() -> eyre::Result<()> {
    let Some(vectors) = Vectors::open().await? else { return Ok(()) };
    for row in vectors.list("/expWad/solady")? {
        let (x, exp) = (integer(&row[0])?, integer(&row[1])?);
        assert_eq!(ask!(vectors.expWad(x))?, exp, "exp({x})");
    }
    // The other library computes by powers of two and is inexact in the last digits.
    for row in vectors.list("/expWad/prb")? {
        let (x, exp) = (integer(&row[0])?, integer(&row[1])?.into_raw());
        let got = ask!(vectors.expWad(x))?.into_raw();
        ensure!(got.abs_diff(exp) <= exp / U256::from(10 * WAD / 1_000) + U256::ONE, "exp({x}): {got}, not {exp}");
    }
    Ok(())
}

#[tokio::test]
async fn products_over_a_divisor_are_exact_or_refused() -> eyre::Result<()> {
    let Some(vectors) = Vectors::open().await? else { return Ok(()) };
    for row in vectors.list("/mulDiv/floor")? {
        let [x, y, d, floor] = numbers(row)?;
        assert_eq!(ask!(vectors.fullMulDiv(x, y, d))?, floor, "{x} × {y} ÷ {d}");
    }
    for row in vectors.list("/mulDiv/ceil")? {
        let [x, y, d, ceil] = numbers(row)?;
        assert_eq!(ask!(vectors.fullMulDivUp(x, y, d))?, ceil, "{x} × {y} ÷ {d}");
    }
    for row in vectors.list("/mulDiv/revert")? {
        let [x, y, d] = numbers(row)?;
        assert!(ask!(vectors.fullMulDiv(x, y, d)).is_err(), "{x} × {y} ÷ {d}");
        assert!(ask!(vectors.fullMulDivUp(x, y, d)).is_err(), "{x} × {y} ÷ {d}");
    }
    for row in vectors.list("/mulDiv/revert_only_when_rounding_up")? {
        let [x, y, d] = numbers(row)?;
        assert!(ask!(vectors.fullMulDiv(x, y, d)).is_ok(), "{x} × {y} ÷ {d}");
        assert!(ask!(vectors.fullMulDivUp(x, y, d)).is_err(), "{x} × {y} ÷ {d}");
    }
    Ok(())
}

#[tokio::test]
async fn interest_is_compounded_by_three_terms() -> eyre::Result<()> {
    let Some(vectors) = Vectors::open().await? else { return Ok(()) };
    for row in vectors.list("/wTaylorCompounded/points_computed_from_formula")? {
        let [rate, elapsed, growth] = numbers(row)?;
        assert_eq!(ask!(vectors.compounded(rate, elapsed))?, growth, "{rate} a second for {elapsed} seconds");
    }
    Ok(())
}

#[tokio::test]
async fn the_highest_incentive_factor_is_morphos() -> eyre::Result<()> {
    let Some(vectors) = Vectors::open().await? else { return Ok(()) };
    for known in vectors.list("/morpho_adaptive_curve_irm/liquidation_incentive_factor")? {
        let ltv_bps = unsigned(&known["lltv"])? * U256::from(10_000) / U256::from(WAD);
        assert_eq!(ask!(vectors.maxIncentiveFactor(ltv_bps))?, unsigned(&known["LIF"])?);
    }
    Ok(())
}

/// The published cases of the model that the curve is built on, each within the tolerance given with it.
#[tokio::test]
async fn the_rate_curve_moves_as_published() -> eyre::Result<()> {
    let Some(vectors) = Vectors::open().await? else { return Ok(()) };
    let start = unsigned(&vectors.known["morpho_adaptive_curve_irm"]["constants"]["INITIAL_RATE_AT_TARGET"])?;
    let (steepness, speed) = (U256::from(STEEPNESS), U256::from(SPEED_PER_YEAR));
    let (day, year) = (U256::from(86_400), U256::from(SECONDS_PER_YEAR));
    let mut seen = 0;
    for case in vectors.list("/morpho_adaptive_curve_irm/cases")? {
        let distance = ask!(vectors.distanceFromTarget(U256::from(WAD), wad(&case["util"])?, U256::from(TARGET_BPS)))?;
        let days = |name: &str| case.get(name).map(wad).transpose().map(|days| days.map(|d| d * day / U256::from(WAD)));
        let rate = |at_target: U256| ask_rate(&vectors, at_target, distance, steepness);
        if case.get("first_interaction").is_some() {
            // Before any drift: four times the rate at full utilisation, a quarter of it at none.
            let wanted = if distance.is_negative() { start / U256::from(4) } else { start * U256::from(4) };
            ensure_close("first rate", rate(start).await?, wanted, U256::from(WAD / 10_000))?;
        } else if case.get("any_elapsed").is_some() {
            let drifted = ask!(vectors.drift(start, distance, speed, U256::from(45) * day, U256::ONE))?;
            assert_eq!((drifted.average, drifted.end), (start, start), "at the target");
        } else if let Some(wanted) = case.get("avg_rate_annual") {
            let elapsed = days("elapsed_days")?.wrap_err("a case without a time")?;
            let drifted = ask!(vectors.drift(start, distance, speed, elapsed, U256::ONE))?;
            let average = rate(drifted.average).await? * year;
            ensure_close("average rate", average, wad(wanted)?, wad(&case["tol_rel"])?)?;
        } else if let Some(wanted) = case.get("rate_at_target_annual") {
            let elapsed = days("elapsed_days")?.wrap_err("a case without a time")?;
            let drifted = ask!(vectors.drift(start, distance, speed, elapsed, U256::ONE))?;
            ensure_close("rate at target", drifted.end * year, wad(wanted)?, wad(&case["tol_rel"])?)?;
        } else if let Some(minutes) = days("ping_every_minute_for_days")?.map(|secs| secs / U256::from(60)) {
            let drifted = ask!(vectors.drift(start, distance, speed, U256::from(60), minutes))?;
            let wanted = wad(&case["rate_at_target_annual_ge"])?;
            ensure_close("rate at target, every minute", drifted.end * year, wanted, wad(&case["tol_rel"])?)?;
        } else {
            eyre::bail!("nothing is known about the case {case}");
        }
        seen += 1;
    }
    ensure!(seen >= 7, "only {seen} cases");
    Ok(())
}

async fn ask_rate(vectors: &Vectors, at_target: U256, distance: I256, steepness: U256) -> eyre::Result<U256> {
    Ok(ask!(vectors.borrowRate(at_target, distance, steepness))?)
}
