//! Real loans: about 500 accounts of Aave v3 with the health factor that Aave reported, opened here with the same
//! collateral, debt and threshold. Their health must be equal, and exactly those below 1 can be liquidated. The keeper's own
//! arithmetic for Aave v3 is compared with the same reports.

use std::{collections::BTreeMap, fs::File, path::PathBuf};

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_units},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol_types::{SolCall, SolEvent, SolValue},
};
use eyre::{ContextCompat, WrapErr, ensure};
use flate2::read::GzDecoder;
use plimsoll_contracts::{
    ILens, IPlimsoll, MarketParams, RateCurve, Risk,
    market::{BORROW_TO_LIQUIDATION_BPS, BPS, MIN_RATE_AT_TARGET},
};
use plimsoll_protocols::aave_v3::{self, Balance, Side, TokenTerms, Version};
use plimsoll_testkit::devnet::{Devnet, IOneSlotOracle, ITestToken, mined};

use crate::support;

/// Values in the file are in dollars; both tokens have 8 decimals.
const DECIMALS: u8 = 8;
/// Initial price, at which every loan can be opened: ten times the later one.
const OPENING_FACTOR: u64 = 10;
/// Tolerance of a health factor, in millionths: at the lowest rate, the interest of some hours, which the test does not
/// take.
const HEALTH_TOLERANCE_PPB: u64 = 1_000;
/// Seconds between blocks, so that interest does not depend on the machine's speed.
const SECONDS_PER_BLOCK: u64 = 1;
/// Gas limit of a block, which holds all transactions of a step.
const BLOCK_GAS_LIMIT: &str = "2000000000";
/// Gas limit of a transaction.
const GAS_LIMIT: u64 = 400_000;

/// A loan as Aave reported it.
struct RealLoan {
    account: Address,
    collateral: U256,
    debt: U256,
    threshold_bps: u16,
    health: U256,
}

fn read_loans(file: PathBuf) -> eyre::Result<Vec<RealLoan>> {
    let mut loans = Vec::new();
    let mut rows = csv::Reader::from_reader(GzDecoder::new(File::open(file)?));
    for row in rows.deserialize::<BTreeMap<String, String>>() {
        let row = row?;
        let field = |name: &str| row.get(name).map(String::as_str).wrap_err_with(|| format!("no column {name}"));
        // Tiny amounts of debt, and their health factors, are written with an exponent.
        if ["debt", "healthf"].map(field).into_iter().collect::<eyre::Result<Vec<_>>>()?.concat().contains('e') {
            continue;
        }
        let number = |name: &str, decimals: u8| -> eyre::Result<U256> {
            let text = field(name)?;
            // Decimals beyond the kept ones are cut off.
            let end = text.find('.').map_or(text.len(), |dot| text.len().min(dot + 1 + usize::from(decimals)));
            let kept = text.get(..end).unwrap_or(text);
            Ok(parse_units(kept, decimals).wrap_err_with(|| format!("{name} = {text}"))?.get_absolute())
        };
        loans.push(RealLoan {
            account: field("user")?.parse()?,
            collateral: number("collateral", DECIMALS)?,
            debt: number("debt", DECIMALS)?,
            threshold_bps: field("threshold")?.parse()?,
            health: number("healthf", 18)?,
        });
    }
    Ok(loans)
}

/// Sends transactions without waiting, those of an account in their order. A later block contains all of them.
async fn enqueue(provider: &DynProvider, from: Address, calls: [(Address, Vec<u8>); 3]) -> eyre::Result<()> {
    for (nonce, (to, data)) in (0..).zip(calls) {
        let data = Bytes::from(data);
        let request =
            TransactionRequest::default().from(from).to(to).nonce(nonce).gas_limit(GAS_LIMIT).input(data.into());
        let _pending = provider.send_transaction(request).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn real_loans_have_aaves_health_and_only_the_unhealthy_are_liquidated() -> eyre::Result<()> {
    let Some(file) = support::data_file("positions/lido_aave_steth_aave_v3.csv.gz")? else { return Ok(()) };
    let loans = read_loans(file)?;
    let min_debt = u128::from(10u64.pow(u32::from(DECIMALS)));
    // Accounts without a counterpart here are left out: those without debt, or with a threshold that no market can
    // have.
    let loans: Vec<_> = loans.into_iter().filter(|loan| loan.debt >= U256::from(min_debt)).collect();
    ensure!(loans.len() > 400, "only {} loans were read", loans.len());

    let devnet = Devnet::start_with(&["--gas-limit", BLOCK_GAS_LIMIT]).await?;
    let anybody = devnet.node.impersonating().await?;
    anybody.anvil_set_block_timestamp_interval(SECONDS_PER_BLOCK).await?;
    let core = devnet.deploy("Plimsoll", devnet.deployer().abi_encode()).await?;
    let lens = ILens::new(devnet.deploy("Lens", core.abi_encode()).await?, devnet.provider());
    let loan_token = devnet.deploy_token("USD", DECIMALS).await?;
    let collateral_token = devnet.deploy_token("Collateral", DECIMALS).await?;
    let par = U256::from(10).pow(U256::from(36));
    let opening_price = par * U256::from(OPENING_FACTOR);
    let oracle = devnet.deploy("OneSlotOracle", opening_price.abi_encode()).await?;
    let plimsoll = IPlimsoll::new(core, devnet.provider());

    // A market for each threshold, with as much supply as its borrowers need.
    let mut by_threshold: BTreeMap<u16, Vec<&RealLoan>> = BTreeMap::new();
    for loan in &loans {
        by_threshold.entry(loan.threshold_bps).or_default().push(loan);
    }
    let lender = devnet.deployer();
    devnet.mint_and_approve(loan_token, lender, U256::from(u128::MAX), core).await?;
    let mut markets = Vec::new();
    for (threshold_bps, loans) in by_threshold {
        let borrow_ltv_bps = u16::try_from(u32::from(threshold_bps) * BORROW_TO_LIQUIDATION_BPS / BPS)?;
        let risk = Risk::new(borrow_ltv_bps, threshold_bps, min_debt)?;
        let curve = RateCurve::new(MIN_RATE_AT_TARGET, 9_000, BPS, 0)?;
        let params = MarketParams::new(loan_token, collateral_token, oracle, risk, curve);
        mined(plimsoll.createMarket(params.clone()).from(lender)).await?;
        let lent = loans.iter().map(|loan| loan.debt).sum::<U256>() * U256::from(2);
        mined(plimsoll.supply(params.clone(), lent, U256::ZERO, lender, Bytes::new()).from(lender)).await?;
        markets.push((params, loans));
    }

    anybody.anvil_set_auto_mine(false).await?;
    for (params, loans) in &markets {
        for loan in loans {
            anybody.anvil_set_balance(loan.account, U256::from(10).pow(U256::from(20))).await?;
            let (account, assets) = (loan.account, loan.collateral);
            let post = IPlimsoll::supplyCollateralCall {
                params: params.clone(),
                assets,
                onBehalf: account,
                data: Bytes::new(),
            };
            let take = IPlimsoll::borrowCall {
                params: params.clone(),
                assets: loan.debt,
                shares: U256::ZERO,
                onBehalf: account,
                receiver: account,
            };
            let calls = vec![post.abi_encode().into(), take.abi_encode().into()];
            let mint = ITestToken::mintCall { to: account, amount: assets }.abi_encode();
            let approve = ITestToken::approveCall { spender: core, amount: U256::MAX }.abi_encode();
            let open = IPlimsoll::multicallCall { calls }.abi_encode();
            let steps = [(collateral_token, mint), (collateral_token, approve), (core, open)];
            enqueue(&anybody, account, steps).await?;
        }
    }
    anybody.evm_mine(None).await?;
    anybody.anvil_set_auto_mine(true).await?;

    // At the prices of that day nobody was liquidatable; after a fall by a tenth some are.
    let mut liquidated_in_all = 0;
    for tenths in [10, 9] {
        let price = par * U256::from(tenths) / U256::from(10);
        mined(IOneSlotOracle::new(oracle, devnet.provider()).set(price).from(lender)).await?;
        for (params, loans) in &markets {
            let accounts: Vec<Address> = loans.iter().map(|loan| loan.account).collect();
            let positions = lens.positions(params.id().0, accounts.clone()).call().await?;
            let mut unhealthy = Vec::new();
            for (loan, line) in loans.iter().zip(&positions.lines) {
                assert_eq!(line.collateral, loan.collateral, "{} has its loan", loan.account);
                let expected = loan.health * U256::from(tenths) / U256::from(10);
                let off = line.health.abs_diff(expected) * U256::from(1_000_000_000);
                assert!(
                    off <= expected * U256::from(HEALTH_TOLERANCE_PPB),
                    "{}: health is {}, by Aave's figures {expected}",
                    loan.account,
                    line.health
                );
                if line.health < U256::from(10).pow(U256::from(18)) {
                    unhealthy.push(loan.account);
                }
            }
            let liquidate =
                plimsoll.liquidate(params.clone(), accounts, U256::MAX, U256::ZERO, lender, Bytes::new()).from(lender);
            if unhealthy.is_empty() {
                let refused = liquidate.call().await.err().wrap_err("healthy loans were liquidated")?;
                assert!(refused.as_decoded_error::<IPlimsoll::NothingToLiquidate>().is_some(), "{refused}");
                continue;
            }
            let receipt = mined(liquidate).await?;
            let liquidated: Vec<Address> = receipt
                .logs()
                .iter()
                .filter_map(|log| IPlimsoll::Liquidate::decode_log(&log.inner).ok())
                .map(|log| log.borrower)
                .collect();
            assert_eq!(liquidated, unhealthy, "exactly those below 1 are liquidated, in the order given");
            liquidated_in_all += liquidated.len();
        }
        assert_eq!(liquidated_in_all > 0, tenths == 9, "{liquidated_in_all} at {tenths} tenths of the price");
    }
    Ok(())
}

/// What the keeper computes of the same accounts by the rules of Aave 3.0, at their averaged thresholds, is what the pool
/// reported, to the last digit of the 64-bit floating-point number that was recorded.
#[test]
fn health_factors_that_aaves_pool_reported_are_computed_to_the_last_recorded_digit() -> eyre::Result<()> {
    let Some(file) = support::data_file("positions/lido_aave_steth_aave_v3.csv.gz")? else { return Ok(()) };
    let loans: Vec<_> = read_loans(file)?.into_iter().filter(|loan| !loan.debt.is_zero()).collect();
    ensure!(loans.len() > 450, "only {} accounts were read", loans.len());
    const RAY: u128 = 10_u128.pow(27);
    for loan in loans {
        // Values in dollars, as a token that is worth one.
        let terms = TokenTerms {
            price: 10_u128.pow(u32::from(DECIMALS)),
            decimals: DECIMALS,
            threshold_bps: loan.threshold_bps,
            incentive_bps: 10_500,
            fee_bps: 0,
            liquidity_index: RAY,
            borrow_index: RAY,
        };
        let balance = |token, side, units: U256| eyre::Ok(Balance { token, side, scaled: units.try_into()? });
        let balances = [balance(0, Side::Collateral, loan.collateral)?, balance(1, Side::Debt, loan.debt)?];
        let own = aave_v3::health(&balances, |_| Some(&terms), Version::V3_0);
        let own = own.wrap_err_with(|| format!("{} has no health factor", loan.account))?;
        // A digit of a floating-point number with 52 binary digits, and one of the 18 decimals that are kept.
        let digit = (loan.health >> 52) + U256::ONE;
        ensure!(own.abs_diff(loan.health) <= digit, "{}: {own}, and Aave says {}", loan.account, loan.health);
    }
    Ok(())
}
