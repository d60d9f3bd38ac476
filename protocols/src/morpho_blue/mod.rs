//! Morpho Blue: one immutable contract with isolated markets of one collateral and one debt token.
//!
//! Totals, debt shares and collateral follow from the logs alone, exactly. What logs do not tell is read in each block: the
//! oracle's price, and the totals with interest up to the block, by accruing it in the call. The stored totals are read
//! first and compared with those of the logs.
//!
//! Anybody creates markets, with any oracle. So a keeper reads those whose debt can pay for a liquidation, most of them in each
//! block by the size of their debt and the others in turn, however many there are.
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
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};

use alloy::{
    primitives::{Address, B256, Bytes, Log, U256, keccak256, uint},
    sol_types::{SolCall, SolValue},
};

pub use self::interface::{
    IMorphoBlue, IMorphoOracle, IPreLiquidation, IPreLiquidationFactory, MarketParams, PreLiquidationParams,
};
use self::{
    index::{HealthIndex, Holder},
    loan::MorphoBlueLoan,
    math::{Position, Totals, Valuation, WAD},
    pre_liquidation::{MAX_CONTRACTS, OptIn, PreValuation},
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
/// Markets that are read in every block, those with the most debt.
const MAX_MARKETS: usize = 256;
/// Further markets that are read in a block, in turn.
const MARKETS_IN_TURN: usize = 64;
/// What a market's debt may have grown to by interest that no log has told yet, as a multiple.
const MAX_GROWTH: U256 = uint!(2_U256);
/// Highest share × 10¹⁸ of what is repaid that a liquidation of the market itself may bring.
const HIGHEST_BONUS: U256 = uint!(150_000_000_000_000_000_U256);

/// A deployment of Morpho Blue.
#[derive(Debug)]
pub struct MorphoBlue {
    deployment: Deployment,
    state: State,
    /// The terms of each market with debt, or why there are none, as of the last [`Protocol::observe`].
    valuations: BTreeMap<B256, Result<Valuation, String>>,
    /// The prices of further oracles, of pre-liquidation contracts, or why there are none, as of the same.
    further_prices: BTreeMap<Address, Result<U256, String>>,
    /// The least bonus that pays, by debt token; `None` while everything is read.
    least_bonuses: Option<Arc<BTreeMap<Address, U256>>>,
}

/// Positions in one market that pre-liquidation contracts value by one oracle.
#[derive(Debug, Clone, Copy)]
struct ValuedOptIns<'a> {
    id: B256,
    market: &'a Market,
    /// The market's terms.
    valuation: &'a Valuation,
    oracle: Address,
    /// The oracle's price.
    price: U256,
    positions: &'a HealthIndex<OptIn>,
}

impl ValuedOptIns<'_> {
    /// Returns the terms by which positions are ordered, but for each one's line.
    const fn line(&self) -> Valuation {
        Valuation { price: self.price, ..*self.valuation }
    }
}

impl MorphoBlue {
    /// Returns a deployment of which nothing is known yet.
    #[must_use]
    pub fn new(deployment: Deployment) -> Self {
        let state = State::new(deployment.pre_liquidation_factory);
        Self { deployment, state, valuations: BTreeMap::new(), further_prices: BTreeMap::new(), least_bonuses: None }
    }

    fn borrowed_markets(&self) -> impl Iterator<Item = (B256, &Market)> {
        self.state.borrowed_markets()
    }

    /// Returns the markets with debt that are read in a block, by their ids.
    fn read_markets(&self, block: u64) -> Vec<(B256, &Market)> {
        let Some(least) = &self.least_bonuses else { return self.borrowed_markets().collect() };
        let rank = |(id, market): (B256, &'_ Market)| {
            let least = *least.get(&market.params.loanToken)?;
            // A power of two, so that a market is not read and left out in turn as the price of gas moves.
            let least = least.checked_log2().map_or(U256::ZERO, |bits| U256::ONE << bits);
            let debt = U256::from(market.totals.borrow_assets);
            let most = self.highest_bonus(id, market).saturating_mul(debt).saturating_mul(MAX_GROWTH) / WAD;
            (most >= least).then(|| debt.checked_div(least).unwrap_or(U256::MAX))
        };
        let mut read: Vec<_> = self
            .borrowed_markets()
            .filter_map(|(id, market)| Some((Reverse(rank((id, market))?), id, market)))
            .collect();
        if read.len() > MAX_MARKETS {
            read.sort_unstable_by_key(|(rank, id, _)| (*rank, *id));
            let mut others = read.split_off(MAX_MARKETS);
            others.sort_unstable_by_key(|(_, id, _)| *id);
            let turns = others.len().div_ceil(MARKETS_IN_TURN);
            let turn = usize::try_from(block).unwrap_or_default() % turns;
            read.extend(others.into_iter().skip(turn * MARKETS_IN_TURN).take(MARKETS_IN_TURN));
            read.sort_unstable_by_key(|(_, id, _)| *id);
        }
        read.into_iter().map(|(_, id, market)| (id, market)).collect()
    }

    /// Returns the highest share × 10¹⁸ of what is repaid that a liquidation in a market may bring.
    fn highest_bonus(&self, id: B256, market: &Market) -> U256 {
        match self.state.opt_ins().in_market(id) {
            Some(_) => HIGHEST_BONUS.max(pre_liquidation::highest_bonus(market.params.lltv)),
            None => HIGHEST_BONUS,
        }
    }

    fn tip_number(&self) -> u64 {
        self.state.tip().map_or(0, |tip| tip.number)
    }

    /// Returns the reads in a block with this number, if it changes nothing.
    fn reads_in(&self, block: u64) -> Vec<Vec<Call>> {
        let price_of = |to| Call { to, data: IMorphoOracle::priceCall {}.abi_encode().into(), gas: ORACLE_GAS };
        let markets = self.read_markets(block);
        let further = self.state.opt_ins().oracles(&markets);
        let sequences = markets.into_iter().flat_map(|(id, market)| {
            let params = market.params.clone();
            let totals = self.call(&IMorphoBlue::marketCall { id }, VIEW_GAS);
            let accrual = self.call(&IMorphoBlue::accrueInterestCall { params }, ACCRUAL_GAS);
            [vec![totals.clone(), accrual, totals], vec![price_of(market.params.oracle)]]
        });
        sequences.chain(further.into_iter().map(|oracle| vec![price_of(oracle)])).collect()
    }

    fn valued_markets(&self) -> impl Iterator<Item = (B256, &Market, &Valuation)> {
        self.borrowed_markets().filter_map(|(id, market)| Some((id, market, self.valuations.get(&id)?.as_ref().ok()?)))
    }

    /// Returns the positions at pre-liquidation contracts that can be valued.
    fn valued_opt_ins(&self) -> impl Iterator<Item = ValuedOptIns<'_>> {
        let of_markets = self.state.opt_ins().in_use().filter_map(|(id, opt_ins)| {
            let market = self.state.markets().get(&id)?;
            let valuation = self.valuations.get(&id)?.as_ref().ok()?;
            let own = market.params.oracle;
            let further = opt_ins
                .oracles(own)
                .filter_map(|oracle| Some((oracle, *self.further_prices.get(&oracle)?.as_ref().ok()?)));
            let valued = further.chain([(own, valuation.price)]).filter_map(move |(oracle, price)| {
                let positions = opt_ins.valued_by(oracle)?;
                Some(ValuedOptIns { id, market, valuation, oracle, price, positions })
            });
            Some(valued)
        });
        of_markets.flatten()
    }

    /// Returns the terms of a pre-liquidation contract.
    fn pre_valuation(&self, opt_ins: &ValuedOptIns<'_>, contract: Address) -> Option<PreValuation> {
        let contract = self.state.opt_ins().contract(contract)?;
        Some(contract.valuation(opt_ins.market, opt_ins.valuation, opt_ins.price))
    }

    /// Returns the markets with positions at pre-liquidation contracts that cannot be valued. Without a market's own terms
    /// nothing is said of its contracts.
    fn unpriced_opt_ins(&self) -> Vec<UnpricedMarket> {
        let mut unpriced = Vec::new();
        for (market, opt_ins) in self.state.opt_ins().in_use() {
            let Some(own) = self.state.markets().get(&market).map(|market| market.params.oracle) else { continue };
            if !matches!(self.valuations.get(&market), Some(Ok(_))) {
                continue;
            }
            let len = |oracle| opt_ins.valued_by(oracle).map_or(0, HealthIndex::len);
            let mut unread = opt_ins.positions().saturating_sub(len(own));
            for oracle in opt_ins.oracles(own) {
                unread = unread.saturating_sub(len(oracle));
                let problem = match self.further_prices.get(&oracle) {
                    Some(Ok(_)) => continue,
                    Some(Err(problem)) => problem,
                    None => "its price was not read",
                };
                let reason = format!("pre-liquidations by the oracle {oracle}: {problem}");
                unpriced.push(UnpricedMarket { market, reason, positions: len(oracle) });
            }
            if unread > 0 {
                let reason = "pre-liquidations by further oracles, which are not read: more debt depends on others";
                unpriced.push(UnpricedMarket { market, reason: reason.to_owned(), positions: unread });
            }
        }
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
        let least_bonuses = self.least_bonuses.take();
        *self = Self { least_bonuses, ..Self::new(self.deployment.clone()) };
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
        let positions = self.borrowed_markets().map(|(_, market)| market.borrowers.len()).sum();
        Size { markets: self.state.markets().len(), positions }
    }

    fn set_least_bonuses(&mut self, least: &Arc<BTreeMap<Address, U256>>) {
        // Before any value is known nothing is left out.
        self.least_bonuses = Some(Arc::clone(least)).filter(|least| !least.is_empty());
    }

    /// For each market that is read: its stored totals, the accrual and its totals afterwards in one sequence, and its price.
    /// Then the prices of further oracles of pre-liquidation contracts.
    fn reads(&self) -> Vec<Vec<Call>> {
        self.reads_in(self.tip_number())
    }

    fn reads_ahead(&self) -> Vec<Vec<Call>> {
        self.reads_in(self.tip_number().saturating_add(1))
    }

    fn observe(&mut self, answers: &[Vec<Answer>]) -> Observed {
        let mut observed = Observed::default();
        let mut valuations = BTreeMap::new();
        let markets = self.read_markets(self.tip_number());
        let (of_markets, of_oracles) = answers.split_at(answers.len().min(2 * markets.len()));
        let oracles = self.state.opt_ins().oracles(&markets);
        let mut answers = of_markets.chunks(2);
        for (id, market) in markets {
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
        self.further_prices =
            oracles.into_iter().zip(of_oracles).map(|(oracle, answer)| (oracle, decode_price(answer))).collect();
        observed.unpriced.extend(self.unpriced_opt_ins());
        observed
    }

    fn positions_below(&self, health: U256, limit: usize) -> Vec<PositionSummary> {
        let mut by_market = Nearest::new(health, limit);
        for (id, market, valuation) in self.valued_markets() {
            by_market.search(&market.borrowers, valuation, |account| (id, account));
        }
        let summary = |(health, (id, account)): (U256, (B256, Address))| {
            let market = self.state.markets().get(&id)?;
            let valuation = self.valuations.get(&id)?.as_ref().ok()?;
            summary(id, market, valuation, account, health)
        };
        let mut found: Vec<_> = by_market.found.into_sorted_vec().into_iter().filter_map(summary).collect();
        // An account is found once for each contract, and shown once.
        let mut by_contract = Nearest::new(health, limit.saturating_mul(MAX_CONTRACTS));
        let valued: BTreeMap<_, _> =
            self.valued_opt_ins().map(|opt_ins| ((opt_ins.id, opt_ins.oracle), opt_ins)).collect();
        for (place, opt_ins) in &valued {
            by_contract.search(opt_ins.positions, &opt_ins.line(), |opt_in| (*place, opt_in.contract, opt_in.account));
        }
        if by_contract.found.is_empty() {
            return found;
        }
        let summary = |(health, (place, contract, account)): (U256, ((B256, Address), Address, Address))| {
            let opt_ins = valued.get(&place)?;
            let valuation = self.pre_valuation(opt_ins, contract)?;
            pre_liquidation::summary((opt_ins.id, opt_ins.market), (contract, &valuation), account, health)
        };
        found.extend(by_contract.found.into_sorted_vec().into_iter().filter_map(summary));
        found.sort_by_key(|position| (position.health, position.market, position.account));
        let mut seen = BTreeSet::new();
        found.retain(|position| seen.insert((position.market, position.account)));
        found.truncate(limit);
        found
    }

    fn liquidation_gas(&self) -> u64 {
        190_000
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
        for opt_ins in self.valued_opt_ins() {
            let ValuedOptIns { id, market, valuation, .. } = opt_ins;
            let Some(least) = least_bonus(market.params.loanToken) else { continue };
            let least_shares = pre_liquidation::least_shares(valuation, least);
            opt_ins.positions.visit_below(&opt_ins.line(), least_shares, WAD, |opt_in, health| {
                let OptIn { contract, account, .. } = opt_in;
                if health < WAD
                    && let Some(terms) = self.pre_valuation(&opt_ins, contract)
                {
                    let lot = pre_liquidation::lot((id, market), (factory, contract, &terms), account);
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

/// The least healthy positions of several indices, by what tells them apart.
struct Nearest<P> {
    limit: usize,
    bound: U256,
    /// The healthiest of them is on top.
    found: BinaryHeap<(U256, P)>,
}

impl<P: Ord> Nearest<P> {
    const fn new(bound: U256, limit: usize) -> Self {
        Self { limit, bound, found: BinaryHeap::new() }
    }

    fn search<H: Holder>(&mut self, positions: &HealthIndex<H>, valuation: &Valuation, place: impl Fn(H) -> P) {
        let Self { limit, bound, found } = self;
        positions.visit_below(valuation, 0, *bound, |holder, health| {
            if health < *bound {
                found.push((health, place(holder)));
                if found.len() > *limit {
                    found.pop();
                }
                if found.len() == *limit {
                    // Among equals the ids decide, so that they are looked at.
                    *bound = found.peek().map_or(U256::ZERO, |(top, _)| top.saturating_add(U256::ONE)).min(*bound);
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

#[cfg(test)]
mod tests {
    use alloy::primitives::IntoLogData;

    use super::*;
    use crate::ProtocolKind;

    const DOLLAR: Address = Address::repeat_byte(1);

    /// A deployment with markets, each of a loan token, a debt and an oracle of this number.
    fn with_markets(markets: impl IntoIterator<Item = (Address, u64, u64)>) -> MorphoBlue {
        let deployment = Deployment {
            protocol: ProtocolKind::MorphoBlue,
            chain_id: 1,
            name: None,
            address: Address::ZERO,
            first_block: 1,
            pre_liquidation_factory: None,
            source: None,
        };
        let mut morpho = MorphoBlue::new(deployment);
        let logs = markets.into_iter().flat_map(|(loan, debt, oracle)| {
            let params = MarketParams { loanToken: loan, oracle: oracle_of(oracle), ..MarketParams::default() };
            let (id, account) = (keccak256(params.abi_encode()), Address::repeat_byte(7));
            let (assets, shares) = (U256::from(debt), U256::from(debt) * U256::from(1_000_000));
            let created = IMorphoBlue::CreateMarket { id, marketParams: params };
            let (caller, receiver) = (account, account);
            let borrowed = IMorphoBlue::Borrow { id, caller, onBehalf: account, receiver, assets, shares };
            [created.to_log_data(), borrowed.to_log_data()].map(|data| Log { address: Address::ZERO, data })
        });
        morpho.apply(Block { number: 1, timestamp: 1 }, &logs.collect::<Vec<_>>()).unwrap();
        morpho
    }

    fn oracle_of(number: u64) -> Address {
        Address::left_padding_from(&number.to_be_bytes())
    }

    /// Returns the oracles that are read.
    fn read(reads: &[Vec<Call>]) -> BTreeSet<Address> {
        reads.iter().map(|sequence| sequence[0].to).filter(|to| *to != Address::ZERO).collect()
    }

    fn oracles(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Address> {
        numbers.into_iter().map(oracle_of).collect()
    }

    fn least(bonus: u64) -> Arc<BTreeMap<Address, U256>> {
        Arc::new(BTreeMap::from([(DOLLAR, U256::from(bonus))]))
    }

    /// A bonus of 15 % at most, of debts that have not doubled since.
    #[test]
    fn markets_whose_debt_cannot_pay_for_a_liquidation_are_not_read() {
        let worthless = Address::repeat_byte(2);
        let mut morpho =
            with_markets([(DOLLAR, 1, 1), (DOLLAR, 3_412, 2), (DOLLAR, 3_415, 3), (worthless, 1 << 60, 4)]);
        assert_eq!(read(&morpho.reads()), oracles(1..=4));
        // 1,024 ÷ 0.3 is 3,413.3; a higher bonus changes nothing before it has doubled.
        for bonus in [1_024, 1_025, 2_047] {
            morpho.set_least_bonuses(&least(bonus));
            assert_eq!(read(&morpho.reads()), oracles([3]), "{bonus}");
        }
        morpho.set_least_bonuses(&least(2_048));
        assert!(morpho.reads().is_empty());
        morpho.set_least_bonuses(&least(0));
        assert_eq!(read(&morpho.reads()), oracles(1..=3));
    }

    /// Strangers lend to themselves in any number of markets. What a block reads is bounded, the largest debts are always read, and
    /// every other market in its turn, as was planned for it.
    #[test]
    fn the_markets_with_most_debt_are_read_in_every_block_and_the_others_in_turn() {
        let strangers = 1_000_u64;
        let (most, others) = (MAX_MARKETS as u64, strangers - MAX_MARKETS as u64);
        let mut morpho = with_markets((1..=strangers).map(|number| (DOLLAR, 1_000_000 + number, number)));
        morpho.set_least_bonuses(&least(1));
        let mut seen = BTreeSet::new();
        for number in 2..2 + others.div_ceil(MARKETS_IN_TURN as u64) {
            let planned = morpho.reads_ahead();
            morpho.apply(Block { number, timestamp: number }, &[]).unwrap();
            let now = read(&morpho.reads());
            assert_eq!(now, read(&planned));
            assert!(now.len() <= MAX_MARKETS + MARKETS_IN_TURN);
            assert!(now.is_superset(&oracles(strangers - most + 1..=strangers)));
            seen.extend(now);
        }
        assert_eq!(seen, oracles(1..=strangers));
    }
}
