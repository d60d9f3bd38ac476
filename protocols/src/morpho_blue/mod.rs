//! Morpho Blue: one immutable contract with isolated markets of one collateral and one debt token.
//!
//! Totals, debt shares and collateral follow from the logs alone, exactly. What logs do not tell is read in each block: the
//! oracle's price, and the totals with interest up to the block, by accruing it in the call. The stored totals are read
//! first and compared with those of the logs.
//!
//! Accounts that have authorised pre-liquidation contracts are followed at those, too.

mod index;
mod interface;
mod loan;
mod math;
mod pre_liquidation;
mod rows;
mod state;

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};

use alloy::{
    primitives::{Address, B256, Bytes, Log, U256, keccak256},
    sol_types::{SolCall, SolValue},
};

pub use self::interface::{
    IMorphoBlue, IMorphoOracle, IPreLiquidation, IPreLiquidationFactory, MarketParams, PreLiquidationParams,
};
use self::{
    index::HealthIndex,
    loan::MorphoBlueLoan,
    math::{Position, Totals, Valuation, WAD},
    pre_liquidation::{MAX_CONTRACTS, PreLiquidation, PreValuation},
    state::{Market, State},
};
use crate::{
    Answer, ApplyError, Block, Call, Deployment, IdentityError, LeastBonus, LogFilter, Lot, Observed, PositionSummary,
    Protocol, RestoreError, Row, Size, TotalsDifference, UndoError, UnpricedMarket,
};

/// Gas for a view of the contract.
const VIEW_GAS: u64 = 100_000;
/// Gas for accruing interest by a rate model, which is any contract that the owner has enabled.
const ACCRUAL_GAS: u64 = 500_000;
/// Gas for an oracle, which is any contract.
const ORACLE_GAS: u64 = 1_000_000;

/// A deployment of Morpho Blue.
#[derive(Debug)]
pub struct MorphoBlue {
    deployment: Deployment,
    state: State,
    /// The terms of each market with debt, or why there are none, as of the last [`Protocol::observe`].
    valuations: BTreeMap<B256, Result<Valuation, String>>,
    /// The terms of each pre-liquidation contract in use that can be valued, as of the same.
    pre_valuations: BTreeMap<Address, PreValuation>,
}

impl MorphoBlue {
    /// Returns a deployment of which nothing is known yet.
    #[must_use]
    pub fn new(deployment: Deployment) -> Self {
        let state = State::new(deployment.pre_liquidation_factory);
        Self { deployment, state, valuations: BTreeMap::new(), pre_valuations: BTreeMap::new() }
    }

    fn borrowed_markets(&self) -> impl Iterator<Item = (B256, &Market)> {
        self.state.markets().iter().filter(|(_, market)| market.borrowers.len() > 0).map(|(id, market)| (*id, market))
    }

    fn valued_markets(&self) -> impl Iterator<Item = (B256, &Market, &Valuation)> {
        self.borrowed_markets().filter_map(|(id, market)| Some((id, market, self.valuations.get(&id)?.as_ref().ok()?)))
    }

    /// Returns the pre-liquidation contracts that can be valued, with their markets.
    fn valued_contracts(&self) -> impl Iterator<Item = (Address, &PreLiquidation, &Market, &PreValuation)> {
        self.state.opt_ins().in_use().filter_map(|(address, contract)| {
            let market = self.state.markets().get(&contract.market)?;
            Some((address, contract, market, self.pre_valuations.get(&address)?))
        })
    }

    /// Values the pre-liquidation contracts by their markets' terms and the prices of further oracles.
    fn value_contracts(&mut self, prices: &BTreeMap<Address, Result<U256, String>>) -> Vec<UnpricedMarket> {
        let (mut valued, mut unpriced) = (BTreeMap::new(), Vec::new());
        for (address, contract) in self.state.opt_ins().in_use() {
            // Without the market's terms nothing is said of its contracts.
            let Some(market) = self.state.markets().get(&contract.market) else { continue };
            let Some(Ok(valuation)) = self.valuations.get(&contract.market) else { continue };
            let price = if contract.oracle == market.params.oracle {
                Ok(valuation.price)
            } else {
                let unread = || Err(format!("its oracle {} is not read: more debt depends on others", contract.oracle));
                prices.get(&contract.oracle).cloned().unwrap_or_else(unread)
            };
            match price {
                Ok(price) => {
                    valued.insert(address, contract.valuation(market, valuation, price));
                }
                Err(reason) => unpriced.push(UnpricedMarket {
                    market: contract.market,
                    reason: format!("pre-liquidations by {address}: {reason}"),
                    positions: contract.borrowers.len(),
                }),
            }
        }
        self.pre_valuations = valued;
        unpriced
    }

    fn call(&self, call: &impl SolCall, gas: u64) -> Call {
        Call { to: self.deployment.address, data: call.abi_encode().into(), gas }
    }

    /// Returns why the factory is not one of pre-liquidation contracts of this deployment, by its answer.
    fn factory_problem(&self, answer: &[Answer]) -> Option<String> {
        let factory = self.deployment.pre_liquidation_factory?;
        let said = match answer {
            [Ok(said)] => match IPreLiquidationFactory::MORPHOCall::abi_decode_returns(said) {
                Ok(morpho) if morpho == self.deployment.address => return None,
                Ok(morpho) => format!("its MORPHO() is {morpho}"),
                Err(_) => "there is no contract, or one without MORPHO()".to_owned(),
            },
            [Err(failure)] => format!("asked for MORPHO(), {failure}"),
            _ => "it was not asked".to_owned(),
        };
        Some(format!("{factory} is no factory of its pre-liquidation contracts: {said}"))
    }

    /// Returns the domain separator of the contract at its address, which no other contract has.
    fn domain_separator(&self) -> B256 {
        let kind = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
        keccak256((kind, U256::from(self.deployment.chain_id), self.deployment.address).abi_encode())
    }
}

impl Protocol for MorphoBlue {
    fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    fn identity_calls(&self) -> Vec<Call> {
        let unknown = IMorphoBlue::marketCall { id: B256::ZERO };
        let core = [self.call(&IMorphoBlue::DOMAIN_SEPARATORCall {}, VIEW_GAS), self.call(&unknown, VIEW_GAS)];
        let data: Bytes = IPreLiquidationFactory::MORPHOCall {}.abi_encode().into();
        let factory = self.deployment.pre_liquidation_factory;
        core.into_iter().chain(factory.map(|to| Call { to, data, gas: VIEW_GAS })).collect()
    }

    fn check_identity(&mut self, answers: &[Answer]) -> Result<(), IdentityError> {
        let problem = match answers {
            [Ok(separator), Ok(market), factory @ ..] => {
                let expected = self.domain_separator();
                if separator.is_empty() {
                    "there is no contract, or one without DOMAIN_SEPARATOR()".to_owned()
                } else if separator[..] != expected[..] {
                    format!("its DOMAIN_SEPARATOR() is {separator}, and Morpho Blue's here is {expected}")
                } else if IMorphoBlue::marketCall::abi_decode_returns(market).is_err() {
                    format!("its market(0) is {market}, which is not a market's totals")
                } else if let Some(problem) = self.factory_problem(factory) {
                    problem
                } else {
                    return Ok(());
                }
            }
            [Err(failure), ..] => format!("asked for DOMAIN_SEPARATOR(), {failure}"),
            [_, Err(failure), ..] => format!("asked for market(0), {failure}"),
            _ => "it was not asked".to_owned(),
        };
        let Deployment { protocol, chain_id, address, .. } = self.deployment;
        Err(IdentityError { protocol: protocol.to_string(), address, chain_id, problem })
    }

    fn log_filter(&self) -> LogFilter {
        let Deployment { address, pre_liquidation_factory, .. } = self.deployment;
        LogFilter { addresses: pre_liquidation_factory.into_iter().chain([address]).collect(), topics: Vec::new() }
    }

    fn apply(&mut self, block: Block, logs: &[Log]) -> Result<(), ApplyError> {
        self.state.apply(block, logs)
    }

    fn undo_to(&mut self, block: u64) -> Result<(), UndoError> {
        self.state.undo_to(block)
    }

    fn reset(&mut self) {
        *self = Self::new(self.deployment.clone());
    }

    fn changed_rows(&self) -> Vec<Row> {
        self.state.changed_rows()
    }

    fn restore(&mut self, block: Block, rows: &[Row]) -> Result<(), RestoreError> {
        self.state = State::restored(self.state.factory(), block, rows)?;
        Ok(())
    }

    fn tip(&self) -> Option<Block> {
        self.state.tip()
    }

    fn size(&self) -> Size {
        let markets = self.state.markets();
        Size { markets: markets.len(), positions: markets.values().map(|market| market.borrowers.len()).sum() }
    }

    /// For each market with debt: its stored totals, the accrual and its totals afterwards in one sequence, and its price. Then
    /// the prices of further oracles of pre-liquidation contracts.
    fn reads(&self) -> Vec<Vec<Call>> {
        let price_of = |to| Call { to, data: IMorphoOracle::priceCall {}.abi_encode().into(), gas: ORACLE_GAS };
        let further = self.state.opt_ins().oracles(self.state.markets());
        let sequences = self.borrowed_markets().flat_map(|(id, market)| {
            let params = market.params.clone();
            let totals = self.call(&IMorphoBlue::marketCall { id }, VIEW_GAS);
            let accrual = self.call(&IMorphoBlue::accrueInterestCall { params }, ACCRUAL_GAS);
            [vec![totals.clone(), accrual, totals], vec![price_of(market.params.oracle)]]
        });
        sequences.chain(further.into_iter().map(|oracle| vec![price_of(oracle)])).collect()
    }

    fn observe(&mut self, answers: &[Vec<Answer>]) -> Observed {
        let mut observed = Observed::default();
        let mut valuations = BTreeMap::new();
        let (of_markets, of_oracles) = answers.split_at(answers.len().min(2 * self.borrowed_markets().count()));
        let mut answers = of_markets.chunks(2);
        for (id, market) in self.borrowed_markets() {
            let valuation = match answers.next() {
                Some([totals, price]) => {
                    if let [Ok(stored), ..] = totals.as_slice()
                        && let Ok(stored) = decode_totals(stored)
                    {
                        observed.differences.extend(differences(id, market.totals, stored));
                    }
                    valuation(totals, price, market.params.lltv)
                }
                _ => Err("it was not read".to_owned()),
            };
            if let Err(reason) = &valuation {
                let (reason, positions) = (reason.clone(), market.borrowers.len());
                observed.unpriced.push(UnpricedMarket { market: id, reason, positions });
            }
            valuations.insert(id, valuation);
        }
        self.valuations = valuations;
        let oracles = self.state.opt_ins().oracles(self.state.markets());
        let prices = oracles.into_iter().zip(of_oracles).map(|(oracle, answer)| (oracle, decode_price(answer)));
        observed.unpriced.extend(self.value_contracts(&prices.collect()));
        observed
    }

    fn positions_below(&self, health: U256, limit: usize) -> Vec<PositionSummary> {
        let mut by_market = Nearest::new(health, limit);
        for (id, market, valuation) in self.valued_markets() {
            by_market.search(&market.borrowers, valuation, (id, None));
        }
        let summary = |(health, (id, _), account): (U256, (B256, Option<Address>), Address)| {
            let market = self.state.markets().get(&id)?;
            let valuation = self.valuations.get(&id)?.as_ref().ok()?;
            summary(id, market, valuation, account, health)
        };
        let mut found: Vec<_> = by_market.found.into_sorted_vec().into_iter().filter_map(summary).collect();
        // An account is found once for each contract, and shown once.
        let mut by_contract = Nearest::new(health, limit.saturating_mul(MAX_CONTRACTS));
        for (address, contract, _, valuation) in self.valued_contracts() {
            by_contract.search(&contract.borrowers, &valuation.line(), (contract.market, Some(address)));
        }
        if by_contract.found.is_empty() {
            return found;
        }
        let summary = |(health, (id, contract), account): (U256, (B256, Option<Address>), Address)| {
            let (market, contract) = (self.state.markets().get(&id)?, contract?);
            let valuation = self.pre_valuations.get(&contract)?;
            pre_liquidation::summary((id, market), (contract, valuation), account, health)
        };
        found.extend(by_contract.found.into_sorted_vec().into_iter().filter_map(summary));
        found.sort_by_key(|position| (position.health, position.market, position.account));
        let mut seen = BTreeSet::new();
        found.retain(|position| seen.insert((position.market, position.account)));
        found.truncate(limit);
        found
    }

    fn liquidatable(&self, least_bonus: LeastBonus<'_>) -> Vec<Lot> {
        let mut lots = Vec::new();
        for (id, market, valuation) in self.valued_markets() {
            let Some(least) = least_bonus(market.params.loanToken) else { continue };
            market.borrowers.visit_below(valuation, valuation.least_shares(least), WAD, |account, health| {
                if health < WAD {
                    lots.extend(lot(id, market, valuation, account).filter(|lot| lot.whole.bonus >= least));
                }
                WAD
            });
        }
        let Some(factory) = self.deployment.pre_liquidation_factory else { return lots };
        for (address, contract, market, valuation) in self.valued_contracts() {
            let Some(least) = least_bonus(market.params.loanToken) else { continue };
            let (id, line) = (contract.market, valuation.line());
            contract.borrowers.visit_below(&line, valuation.least_shares(least), WAD, |account, health| {
                if health < WAD {
                    let lot = pre_liquidation::lot((id, market), (factory, address, valuation), account);
                    lots.extend(lot.filter(|lot| lot.whole.bonus >= least));
                }
                WAD
            });
        }
        lots
    }

    fn nearly_liquidatable(&self, health: U256, limit: usize, least_bonus: LeastBonus<'_>) -> Vec<Lot> {
        let mut nearest = Vec::new();
        for (id, market, valuation) in self.valued_markets() {
            let Some(least) = least_bonus(market.params.loanToken) else { continue };
            // The unhealthiest so far; the healthiest of them is on top.
            let mut lots: BTreeMap<(U256, Address), Lot> = BTreeMap::new();
            let mut bound = health;
            market.borrowers.visit_below(valuation, valuation.least_shares(least), bound, |account, found| {
                if found >= WAD && found < bound {
                    let lot = lot_at_line(id, market, valuation, account).filter(|lot| lot.whole.bonus >= least);
                    lots.extend(lot.map(|lot| ((found, account), lot)));
                    if lots.len() > limit {
                        lots.pop_last();
                    }
                    if lots.len() == limit {
                        // Among equals the account decides, so that they are looked at.
                        let last = lots.last_key_value();
                        bound = last.map_or(U256::ZERO, |((top, _), _)| top.saturating_add(U256::ONE)).min(bound);
                    }
                }
                bound
            });
            nearest.extend(lots.into_iter().map(|((health, _), lot)| (health, lot)));
        }
        nearest.sort_by_key(|(health, lot)| (*health, lot.market, lot.account));
        nearest.into_iter().map(|(_, lot)| lot).collect()
    }
}

/// The least healthy positions of several indices.
struct Nearest {
    limit: usize,
    bound: U256,
    /// The healthiest of them is on top.
    found: BinaryHeap<(U256, (B256, Option<Address>), Address)>,
}

impl Nearest {
    const fn new(bound: U256, limit: usize) -> Self {
        Self { limit, bound, found: BinaryHeap::new() }
    }

    fn search(&mut self, borrowers: &HealthIndex, valuation: &Valuation, place: (B256, Option<Address>)) {
        let Self { limit, bound, found } = self;
        borrowers.visit_below(valuation, 0, *bound, |account, health| {
            if health < *bound {
                found.push((health, place, account));
                if found.len() > *limit {
                    found.pop();
                }
                if found.len() == *limit {
                    // Among equals the ids decide, so that they are looked at.
                    *bound = found.peek().map_or(U256::ZERO, |(top, ..)| top.saturating_add(U256::ONE)).min(*bound);
                }
            }
            *bound
        });
    }
}

fn summary(
    id: B256,
    market: &Market,
    valuation: &Valuation,
    account: Address,
    health: U256,
) -> Option<PositionSummary> {
    let position: Position = market.positions.get(&account).copied()?;
    let liquidation_price = valuation.liquidation_price(position);
    let price = liquidation_price.map_or(valuation.price, |liquidatable| liquidatable.min(valuation.price));
    Some(PositionSummary {
        market: id,
        account,
        collateral_token: market.params.collateralToken,
        collateral: U256::from(position.collateral),
        debt_token: market.params.loanToken,
        debt: valuation.debt(position)?,
        health,
        is_liquidatable: health < WAD,
        price: valuation.price,
        liquidation_price,
        liquidation: Valuation { price, ..*valuation }.liquidation(position),
        further: Vec::new(),
        remark: None,
    })
}

/// Returns the lot of a liquidatable position; `None` if the contract refuses to liquidate it.
fn lot(id: B256, market: &Market, valuation: &Valuation, account: Address) -> Option<Lot> {
    let position = market.positions.get(&account).copied()?;
    Some(Lot {
        market: id,
        account,
        collateral: market.params.collateralToken,
        debt: market.params.loanToken,
        whole: valuation.liquidation(position)?,
        obstacle: None,
        loan: Arc::new(MorphoBlueLoan { market: market.params.clone(), account, position, valuation: *valuation }),
    })
}

/// Returns the lot of a healthy position as if the price had just fallen to where it is liquidatable.
fn lot_at_line(id: B256, market: &Market, valuation: &Valuation, account: Address) -> Option<Lot> {
    let price = valuation.liquidation_price(market.positions.get(&account).copied()?)?;
    lot(id, market, &Valuation { price, ..*valuation }, account)
}

/// Reads a market's terms from the answers to its calls; fails with a reason for people.
fn valuation(totals: &[Answer], price: &[Answer], lltv: U256) -> Result<Valuation, String> {
    let [stored, accrual, accrued] = totals else { return Err("it was not read".to_owned()) };
    stored.as_ref().map_err(|failure| format!("asked for its totals, {failure}"))?;
    accrual.as_ref().map_err(|failure| format!("interest cannot be accrued: {failure}"))?;
    let accrued = accrued.as_ref().map_err(|failure| format!("asked for its totals, {failure}"))?;
    let totals = decode_totals(accrued)?;
    Ok(Valuation { totals, price: decode_price(price)?, lltv })
}

/// Reads an oracle's answer; fails with a reason for people.
fn decode_price(answer: &[Answer]) -> Result<U256, String> {
    match answer {
        [Ok(price)] => IMorphoOracle::priceCall::abi_decode_returns(price)
            .map_err(|_| format!("its oracle returns no price but {price}")),
        [Err(failure)] => Err(format!("its oracle gives no price: {failure}")),
        _ => Err("its price was not read".to_owned()),
    }
}

fn decode_totals(data: &[u8]) -> Result<Totals, String> {
    let market = IMorphoBlue::marketCall::abi_decode_returns(data)
        .map_err(|error| format!("its totals cannot be decoded: {error}"))?;
    Ok(Totals {
        supply_assets: market.totalSupplyAssets,
        supply_shares: market.totalSupplyShares,
        borrow_assets: market.totalBorrowAssets,
        borrow_shares: market.totalBorrowShares,
    })
}

fn differences(market: B256, from_logs: Totals, on_chain: Totals) -> impl Iterator<Item = TotalsDifference> {
    let quantities = [
        ("the supply", on_chain.supply_assets, from_logs.supply_assets),
        ("the supply in shares", on_chain.supply_shares, from_logs.supply_shares),
        ("the debt", on_chain.borrow_assets, from_logs.borrow_assets),
        ("the debt in shares", on_chain.borrow_shares, from_logs.borrow_shares),
    ];
    quantities
        .into_iter()
        .filter(|(_, on_chain, from_logs)| on_chain != from_logs)
        .map(move |(quantity, on_chain, from_logs)| TotalsDifference { market, quantity, on_chain, from_logs })
}
