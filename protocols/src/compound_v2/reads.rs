//! What logs do not tell: the calls of a block, and what their answers say.

use alloy::{
    primitives::{Address, U256, aliases::U96},
    sol_types::SolCall,
};

use super::{
    interface::{ICompoundOracle, IComptroller, IVToken, IVenusLiquidator},
    math::{EXP, LiquidatorTerms, MarketTerms, PoolTerms, Rates, Rules},
    state::{Balance, CoreAccount, Totals},
};
use crate::{Answer, Call, CallFailure, NATIVE_COIN};

/// Gas for a view of the pool or of a market.
pub(super) const VIEW_GAS: u64 = 150_000;
/// Gas for the list of all markets, each of which is a slot of storage.
pub(super) const LIST_GAS: u64 = 2_000_000;
/// Gas for accruing interest by a rate model, which is any contract that the owner has set.
const ACCRUAL_GAS: u64 = 1_000_000;
/// Gas for an oracle, which is any contract.
const ORACLE_GAS: u64 = 2_000_000;
/// Numbers of the actions that Venus can pause.
const REPAY: u8 = 3;
const SEIZE: u8 = 4;
const LIQUIDATE: u8 = 5;

/// A market's answers: those of its own sequence, and those of its price's.
pub(super) struct MarketAnswers<'a> {
    pub(super) market: &'a [Answer],
    pub(super) price: &'a [Answer],
}

/// Returns a view with its gas.
pub(super) fn view(to: Address, call: &impl SolCall) -> Call {
    Call { to, data: call.abi_encode().into(), gas: VIEW_GAS }
}

/// Returns the calls for a pool's terms. `liquidator` is the contract that alone may liquidate in Venus' core pool.
pub(super) fn pool_calls(rules: Rules, comptroller: Address, liquidator: Address) -> Vec<Call> {
    let mut calls = vec![
        view(comptroller, &IComptroller::oracleCall {}),
        view(comptroller, &IComptroller::closeFactorMantissaCall {}),
    ];
    calls.extend(match rules {
        Rules::Plain => vec![view(comptroller, &IComptroller::liquidationIncentiveMantissaCall {})],
        Rules::Isolated => vec![
            view(comptroller, &IComptroller::liquidationIncentiveMantissaCall {}),
            view(comptroller, &IComptroller::minLiquidatableCollateralCall {}),
        ],
        Rules::Core => vec![
            view(comptroller, &IComptroller::liquidatorContractCall {}),
            view(comptroller, &IComptroller::treasuryPercentCall {}),
            view(comptroller, &IComptroller::protocolPausedCall {}),
            view(liquidator, &IVenusLiquidator::treasuryPercentMantissaCall {}),
            view(liquidator, &IVenusLiquidator::forceVAILiquidateCall {}),
            view(liquidator, &IVenusLiquidator::minLiquidatableVAICall {}),
        ],
    });
    calls
}

/// Reads a pool's terms; fails with a reason for people.
pub(super) fn pool_terms(
    rules: Rules,
    oracle: Address,
    liquidator: Address,
    answers: &[Answer],
) -> Result<PoolTerms, String> {
    let found = Address::from_word(number(answers, 0, "oracle()")?.into());
    if found != oracle {
        return Err(format!("the pool's oracle is {found}, and {oracle} by its logs"));
    }
    let terms = PoolTerms {
        rules,
        close_factor: number(answers, 1, "closeFactorMantissa()")?,
        incentive: EXP,
        min_collateral: U256::ZERO,
        liquidator: None,
        redeem_fee: U256::ZERO,
    };
    let incentive = || number(answers, 2, "liquidationIncentiveMantissa()");
    match rules {
        Rules::Plain => Ok(PoolTerms { incentive: incentive()?, ..terms }),
        Rules::Isolated => {
            let min_collateral = number(answers, 3, "minLiquidatableCollateral()")?;
            Ok(PoolTerms { incentive: incentive()?, min_collateral, ..terms })
        }
        Rules::Core => {
            let found = self::liquidator(answers)?;
            if found != liquidator {
                return Err(format!("the pool's liquidatorContract() is {found} and was {liquidator}"));
            }
            if flag(answers, 4, "protocolPaused()")? {
                return Err("the whole protocol is paused".to_owned());
            }
            let liquidator = if liquidator.is_zero() { None } else { Some(liquidator_terms(answers)?) };
            Ok(PoolTerms { liquidator, redeem_fee: number(answers, 3, "treasuryPercent()")?, ..terms })
        }
    }
}

/// Reads which contract alone may liquidate in Venus' core pool; zero if everybody may.
pub(super) fn liquidator(answers: &[Answer]) -> Result<Address, String> {
    number(answers, 2, "liquidatorContract()").map(|word| Address::from_word(word.into()))
}

fn liquidator_terms(answers: &[Answer]) -> Result<LiquidatorTerms, String> {
    let share = number(answers, 5, "treasuryPercentMantissa()")?;
    // One that lacks the functions has no such rule.
    let is_forced = flag(answers, 6, "forceVAILiquidate()").unwrap_or(false);
    let vai_first_from = number(answers, 7, "minLiquidatableVAI()").ok().filter(|_| is_forced);
    Ok(LiquidatorTerms { share, vai_first_from })
}

/// Returns the calls for the terms that accounts of one of the core pool's further pools have.
pub(super) fn chosen_pool_calls(comptroller: Address, id: u64, markets: impl Iterator<Item = Address>) -> Vec<Call> {
    let id = U96::from(id);
    let mut calls = vec![view(comptroller, &IComptroller::poolsCall { id })];
    calls.extend(markets.map(|market| view(comptroller, &IComptroller::poolMarketsCall { id, vToken: market })));
    calls
}

/// Reads a market's terms for the accounts of a further pool, which are those of the core pool where it has none of its own.
pub(super) fn chosen_pool_terms(core: &MarketTerms, place: usize, answers: &[Answer]) -> Result<MarketTerms, String> {
    let pool = words(answers, 0, "pools()")?;
    let own = words(answers, 1 + place, "poolMarkets()")?;
    let ([_, is_active, falls_back, ..], [is_listed, _, _, threshold, incentive, ..]) = (&pool[..], &own[..]) else {
        return Err("asked for pools() and poolMarkets(), the pool returns too few words".to_owned());
    };
    if is_active.is_zero() || (is_listed.is_zero() && !falls_back.is_zero()) {
        return Ok(*core);
    }
    Ok(MarketTerms { weight: *threshold, incentive: *incentive, ..*core })
}

/// Returns the calls for a market's terms in one sequence: its storage, the accrual of interest, its storage afterwards, and
/// what the pool says of it.
pub(super) fn market_calls(rules: Rules, comptroller: Address, market: Address) -> Vec<Call> {
    let accrual = Call { gas: ACCRUAL_GAS, ..view(market, &IVToken::accrueInterestCall {}) };
    let rates = [
        view(market, &IVToken::exchangeRateStoredCall {}),
        view(market, &IVToken::borrowIndexCall {}),
        view(market, &IVToken::totalBorrowsCall {}),
    ];
    let paused = |action| view(comptroller, &IComptroller::actionPausedCall { market, action });
    let mut calls = rates.to_vec();
    calls.push(accrual);
    calls.extend(rates);
    calls.extend([
        view(market, &IVToken::totalSupplyCall {}),
        view(market, &IVToken::getCashCall {}),
        view(market, &IVToken::totalReservesCall {}),
        view(market, &IVToken::protocolSeizeShareMantissaCall {}),
        view(market, &IVToken::underlyingCall {}),
        view(comptroller, &IComptroller::marketsCall { vToken: market }),
    ]);
    calls.extend(match rules {
        Rules::Isolated => vec![
            view(market, &IVToken::badDebtCall {}),
            view(comptroller, &IComptroller::isForcedLiquidationEnabledCall { vToken: market }),
            paused(SEIZE),
            paused(LIQUIDATE),
            paused(REPAY),
        ],
        Rules::Core => vec![
            view(comptroller, &IComptroller::isForcedLiquidationEnabledCall { vToken: market }),
            paused(SEIZE),
            paused(LIQUIDATE),
            paused(REPAY),
        ],
        Rules::Plain => vec![
            view(market, &IVToken::reserveFactorMantissaCall {}),
            view(comptroller, &IComptroller::borrowGuardianPausedCall { vToken: market }),
            view(comptroller, &IComptroller::seizeGuardianPausedCall {}),
        ],
    });
    calls
}

/// Returns the calls for a market's price: as it is, and where oracles are brought up to date by a liquidation, afterwards.
pub(super) fn price_calls(rules: Rules, oracle: Address, market: Address) -> Vec<Call> {
    let price = Call { gas: ORACLE_GAS, ..view(oracle, &ICompoundOracle::getUnderlyingPriceCall { vToken: market }) };
    let update = Call { gas: ORACLE_GAS, ..view(oracle, &ICompoundOracle::updatePriceCall { vToken: market }) };
    match rules {
        Rules::Plain | Rules::Core => vec![price],
        Rules::Isolated => vec![price.clone(), update, price],
    }
}

/// Reads a market's stored totals.
pub(super) fn stored_totals(answers: &MarketAnswers<'_>) -> Result<Totals, String> {
    Ok(Totals {
        borrow_index: number(answers.market, 1, "borrowIndex()")?,
        borrows: number(answers.market, 2, "totalBorrows()")?,
    })
}

/// Reads a market's terms; fails with a reason for people.
pub(super) fn market_terms(pool: &PoolTerms, answers: &MarketAnswers<'_>) -> Result<MarketTerms, String> {
    let rules = pool.rules;
    let MarketAnswers { market, price } = *answers;
    let accrual = number(market, 3, "accrueInterest()")?;
    if !accrual.is_zero() {
        return Err(format!("interest cannot be accrued: accrueInterest() returns the error {accrual}"));
    }
    let rates = |first: usize| -> Result<Rates, String> {
        Ok(Rates {
            exchange_rate: number(market, first, "exchangeRateStored()")?,
            borrow_index: number(market, first + 1, "borrowIndex()")?,
        })
    };
    let (borrows, cash) = (number(market, 6, "totalBorrows()")?, number(market, 8, "getCash()")?);
    let reserves = number(market, 9, "totalReserves()")?;
    let listed = words(market, 12, "markets()")?;
    let [is_listed, factor, third, ..] = listed[..] else {
        return Err("asked for markets(), the pool returns fewer than three words".to_owned());
    };
    let (weight, incentive) = match (rules, &listed[3..]) {
        (Rules::Plain, _) => (factor, pool.incentive),
        (Rules::Isolated, _) => (third, pool.incentive),
        (Rules::Core, [threshold, incentive, ..]) => (*threshold, *incentive),
        (Rules::Core, _) => return Err("asked for markets(), the pool returns fewer than five words".to_owned()),
    };
    let bad_debt = if rules == Rules::Isolated { number(market, 13, "badDebt()")? } else { U256::ZERO };
    let assets =
        cash.checked_add(borrows).and_then(|sum| sum.checked_add(bad_debt)).and_then(|sum| sum.checked_sub(reserves));
    let assets = assets.ok_or("its reserves are more than its cash and debts")?;
    let (is_forced, seizing_paused, debt_paused) = match rules {
        Rules::Isolated => (
            flag(market, 14, "isForcedLiquidationEnabled()")?,
            flag(market, 15, "actionPaused()")?,
            flag(market, 16, "actionPaused()")? || flag(market, 17, "actionPaused()")?,
        ),
        Rules::Core => (
            flag(market, 13, "isForcedLiquidationEnabled()")?,
            flag(market, 14, "actionPaused()")?,
            flag(market, 15, "actionPaused()")? || flag(market, 16, "actionPaused()")?,
        ),
        Rules::Plain => {
            // A market is deprecated that gives nothing to borrowers nor to suppliers any more. Old pools have no pauses.
            let keeps_all = number(market, 13, "reserveFactorMantissa()")? == EXP;
            let is_deprecated = factor.is_zero() && keeps_all && flag(market, 14, "").unwrap_or(false);
            (is_deprecated, flag(market, 15, "").unwrap_or(false), false)
        }
    };
    let viewed_price = oracle_price(price, 0)?;
    Ok(MarketTerms {
        is_listed: !is_listed.is_zero(),
        // Only a market of the chain's own coin has no such function, or returns zero.
        underlying: number(market, 11, "underlying()").map_or(NATIVE_COIN, |word| Address::from_word(word.into())),
        weight,
        incentive,
        viewed_price,
        price: if rules == Rules::Isolated { oracle_price(price, 2)? } else { viewed_price },
        stored: rates(0)?,
        accrued: rates(4)?,
        supply: number(market, 7, "totalSupply()")?,
        assets,
        // Old markets keep nothing of what is seized.
        seize_share: number(market, 10, "protocolSeizeShareMantissa()").unwrap_or_default(),
        is_forced,
        debt_paused,
        seizing_paused,
    })
}

/// Returns the calls for an account's balance in a market of a pool with this comptroller and this Liquidator.
pub(super) fn balance_calls(
    rules: Rules,
    [comptroller, liquidator]: [Address; 2],
    market: Address,
    account: Address,
) -> Vec<Call> {
    let mut calls = vec![
        view(market, &IVToken::getAccountSnapshotCall { account }),
        view(comptroller, &IComptroller::checkMembershipCall { account, vToken: market }),
    ];
    if rules == Rules::Core {
        calls.push(view(comptroller, &IComptroller::userPoolIdCall { account }));
        calls.push(view(comptroller, &IComptroller::mintedVAIsCall { account }));
        calls.push(view(liquidator, &IVenusLiquidator::liquidationRestrictedCall { borrower: account }));
    }
    calls
}

/// Reads a balance, and the debt at the stored index; fails with a reason for people.
pub(super) fn balance(rules: Rules, answers: &[Answer]) -> Result<(Balance, U256), String> {
    let snapshot = words(answers, 0, "getAccountSnapshot()")?;
    let [error, tokens, debt, ..] = snapshot[..] else {
        return Err("asked for getAccountSnapshot(), it returns too few words".to_owned());
    };
    if !error.is_zero() {
        return Err(format!("getAccountSnapshot() returns the error {error}"));
    }
    let core = if rules == Rules::Core {
        let pool = number(answers, 2, "userPoolId()")?;
        let pool = u64::try_from(pool).map_err(|_| format!("its userPoolId() is {pool}"))?;
        // A contract that lacks the function, and the address zero, restrict nobody.
        let is_restricted = flag(answers, 4, "liquidationRestricted()").unwrap_or(false);
        CoreAccount { pool, owes_vai: flag(answers, 3, "mintedVAIs()")?, is_restricted }
    } else {
        CoreAccount::default()
    };
    Ok((Balance { tokens, is_member: flag(answers, 1, "checkMembership()")?, core }, debt))
}

fn oracle_price(answers: &[Answer], place: usize) -> Result<U256, String> {
    let price = answer(answers, place, "getUnderlyingPrice()").map_err(|reason| format!("its oracle: {reason}"))?;
    match first_word(price) {
        Some(price) if !price.is_zero() => Ok(price),
        Some(_) => Err("its oracle's price is 0".to_owned()),
        None => Err("its oracle returns no price".to_owned()),
    }
}

fn answer<'a>(answers: &'a [Answer], place: usize, function: &str) -> Result<&'a [u8], String> {
    match answers.get(place) {
        Some(Ok(data)) => Ok(data),
        Some(Err(failure @ (CallFailure::Reverted(_) | CallFailure::NotRun))) => {
            Err(format!("asked for {function}, {failure}"))
        }
        None => Err(format!("it was not asked for {function}")),
    }
}

fn first_word(data: &[u8]) -> Option<U256> {
    data.first_chunk::<32>().map(|word| U256::from_be_bytes(*word))
}

/// Reads the word that a call returns; fails with a reason for people.
pub(super) fn number(answers: &[Answer], place: usize, function: &str) -> Result<U256, String> {
    first_word(answer(answers, place, function)?).ok_or_else(|| format!("asked for {function}, it returns nothing"))
}

fn flag(answers: &[Answer], place: usize, function: &str) -> Result<bool, String> {
    number(answers, place, function).map(|word| !word.is_zero())
}

/// Most words that are read of what a call returns.
const MAX_WORDS: usize = 5;

/// Reads the first words that a call returns.
fn words(answers: &[Answer], place: usize, function: &str) -> Result<Vec<U256>, String> {
    let (words, _) = answer(answers, place, function)?.as_chunks::<32>();
    Ok(words.iter().take(MAX_WORDS).map(|word| U256::from_be_bytes(*word)).collect())
}
