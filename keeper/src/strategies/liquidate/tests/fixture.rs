//! A book with loans, and a node that executes calls as the contracts would.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering as Atomic},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, U512},
    sol_types::{SolCall, SolError},
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{
    IGasCharge, ILiquidator,
    IPlimsoll::{self, IPlimsollEvents},
    ISwapper, MarketParams, RateCurve, Risk,
};

use super::super::*;
use crate::{
    book::{Block, Book},
    chain::{Event, Header},
    intent::Intent,
    math::{liquidation::ORACLE_SCALE, types::Loan, types::Market, wide::mul_div_down},
    prices::{Call, CallError, CallResult, ChainReader, NoPrice, Prices, SimulatedCall, Source, Valuer},
    routing::{
        pool::{Venue, VenueKind},
        spot_price::SpotRoute,
    },
    strategies::{BlockContext, Decision, Decisions, Exclusion, gas::Costs},
};

pub(super) const NOW: u64 = 1_000_000;
pub(super) const KEEPER: Address = Address::repeat_byte(0xcc);
pub(super) const CORE: Address = Address::repeat_byte(0xc0);
const LIQUIDATOR: Address = Address::repeat_byte(0x11);
/// The loan token, a dollar of 6 decimals.
pub(super) const USD: Address = Address::repeat_byte(1);
/// The collateral token, the wrapped native token of 18 decimals.
pub(super) const WETH: Address = Address::repeat_byte(2);
pub(super) const DOLLAR: u128 = 1_000_000;
pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(super) const MIN_DEBT: u128 = 100 * DOLLAR;
/// 20 gwei: with ether at some 2,000 dollars a single loan costs 9 dollars to liquidate.
pub(super) const GAS_PRICE: u128 = 20_000_000_000;

/// Returns the oracle's price for so many dollars an ether.
pub(super) fn price(dollars: u128) -> U256 {
    U256::from(dollars) * ORACLE_SCALE / U256::from(ETHER / DOLLAR)
}

/// Returns the venue of the fixture's pool.
fn venue() -> Venue {
    let hash = B256::repeat_byte(7);
    Venue { kind: VenueKind::UniswapV3, deployer: Address::repeat_byte(7), pool_init_code_hash: hash, keys: Vec::new() }
}

pub(super) fn borrower(index: u64) -> Address {
    Address::left_padding_from(&(index + 100).to_be_bytes())
}

/// A loan: collateral in thousandths of an ether, debt in dollars.
pub(super) type Opening = (u128, u128);

/// A market with loans, a pool, and everything else that a decision depends on.
pub(super) struct Fixture {
    pub(super) book: Book,
    pub(super) params: MarketParams,
    pub(super) settings: LiquidateSettings,
    pub(super) header: Header,
    pub(super) price: Result<U256, NoPrice>,
    /// Reserves of the constant-product pool: units of WETH and of USD.
    pub(super) pool: (u128, u128),
    /// Units of USD that the keeper holds and the core is allowed to pull.
    pub(super) inventory: u128,
    pub(super) costs: Costs,
    pub(super) room: u64,
    pub(super) sources: BTreeMap<Address, Source>,
    pub(super) node_is_down: AtomicBool,
    /// What was learnt of rivals.
    pub(super) races: RaceRecord,
    number: u64,
}

impl Fixture {
    pub(super) fn new(openings: &[Opening]) -> Self {
        let risk = Risk::new(8_000, 8_600, MIN_DEBT).unwrap();
        let curve = RateCurve::new(1_268_391_679, 9_000, 40_000, 500_000).unwrap();
        let params = MarketParams::new(USD, WETH, Address::repeat_byte(3), risk, curve);
        let id = params.id().0;
        let mut events =
            vec![Event::Core(IPlimsollEvents::CreateMarket(IPlimsoll::CreateMarket { id, params: params.clone() }))];
        let supplied = U256::from(1_u128 << 90);
        let (caller, shares) = (KEEPER, supplied * U256::from(1_000_000));
        events.push(Event::Core(IPlimsollEvents::Supply(IPlimsoll::Supply {
            id,
            caller,
            onBehalf: caller,
            assets: supplied,
            shares,
        })));
        for ((milliether, dollars), account) in openings.iter().zip((0..).map(borrower)) {
            let (collateral, debt) = (milliether * ETHER / 1_000, dollars * DOLLAR);
            events.push(Event::Core(IPlimsollEvents::SupplyCollateral(IPlimsoll::SupplyCollateral {
                id,
                caller: account,
                onBehalf: account,
                assets: U256::from(collateral),
            })));
            events.push(Event::Core(IPlimsollEvents::Borrow(IPlimsoll::Borrow {
                id,
                caller: account,
                onBehalf: account,
                receiver: account,
                assets: U256::from(debt),
                shares: U256::from(debt) * U256::from(1_000_000),
            })));
        }
        let mut book = Book::new();
        book.apply(Block { number: 1, timestamp: NOW }, &events).unwrap();
        let path = [WETH.as_slice(), &[0, 11, 184], USD.as_slice()].concat();
        let route = SwapRoute {
            swapper: Address::repeat_byte(5),
            path: Bytes::from(path.clone()),
            pools: 1,
            profit_in_collateral: false,
            spot: SpotRoute::along(&path, &venue()),
        };
        let market = MarketSettings { routes: vec![route], ..MarketSettings::default() };
        let settings = LiquidateSettings {
            keeper: KEEPER,
            receiver: KEEPER,
            core: CORE,
            liquidator: Some(LIQUIDATOR),
            markets: [(id, market)].into_iter().collect(),
            gas: GasTable::default(),
            max_slippage_bps: 2_000,
            bid_share_bps: 5_000,
            ordering: Ordering::Priority,
            builders_coin: None,
            reverts_are_mined: true,
            deadline_secs: 60,
        };
        let sources = [
            (USD, Source::fixed(U256::from(ETHER / 2_000), 6).unwrap()),
            (WETH, Source::fixed(U256::from(ETHER), 18).unwrap()),
        ];
        let mut fixture = Self {
            book,
            params,
            settings,
            header: header(1),
            price: Ok(price(2_000)),
            pool: (0, 0),
            inventory: 0,
            costs: Costs { gas_price: GAS_PRICE, data_byte_price: 0, margin_bps: 0 },
            room: 13_500_000,
            sources: sources.into(),
            node_is_down: AtomicBool::new(false),
            races: RaceRecord::default(),
            number: 1,
        };
        fixture.set_price(2_000, 1_000_000);
        fixture
    }

    /// Sets the price of oracle and pool, and the depth of the pool in ether.
    pub(super) fn set_price(&mut self, dollars: u128, depth: u128) {
        self.price = Ok(price(dollars));
        self.pool = (depth * ETHER, depth * dollars * DOLLAR);
    }

    pub(super) fn market(&self) -> &crate::book::MarketBook {
        self.book.market(self.params.id()).unwrap()
    }

    pub(super) fn market_settings(&mut self) -> &mut MarketSettings {
        self.settings.markets.get_mut(&self.params.id().0).unwrap()
    }

    pub(super) async fn decide(&self) -> Decisions<LoanId> {
        self.decide_with(&|_| None).await
    }

    pub(super) async fn decide_with(&self, exclusion: Exclusion<'_, LoanId>) -> Decisions<LoanId> {
        let prices: Prices = [(self.params.id(), self.price.clone())].into_iter().collect();
        let context = BlockContext { header: &self.header, prices: &prices, costs: self.costs, room: self.room };
        let mut valuer = Valuer::new(self.sources.clone());
        Liquidate::with_races(self.settings.clone(), self.races.clone())
            .decide(self, &mut valuer, &self.book, context, exclusion)
            .await
    }

    /// Returns whether the contracts would execute an intent.
    pub(super) fn succeeds(&self, intent: &Intent) -> bool {
        let call = Call::trial(intent.to, intent.data.clone(), intent.gas_limit);
        State::of(self).execute(self, &call, self.costs.gas_price).is_ok()
    }

    /// Executes an intent and applies it to the pool and the book. Fails as the contract would.
    pub(super) fn mine(&mut self, intent: &Intent) -> Result<ILiquidator::Outcome, CallError> {
        let mut state = State::of(self);
        let call = Call::trial(intent.to, intent.data.clone(), intent.gas_limit);
        let data = state.execute(self, &call, self.costs.gas_price)?;
        self.pool = state.pool;
        self.number += 1;
        let events: Vec<_> =
            state.events.into_iter().map(|event| Event::Core(IPlimsollEvents::Liquidate(event))).collect();
        let block = Block { number: self.number, timestamp: NOW };
        self.book.apply(block, &events).unwrap();
        Ok(ILiquidator::liquidateCall::abi_decode_returns(&data).unwrap())
    }
}

pub(super) fn header(number: u64) -> Header {
    let hash = B256::with_last_byte(7);
    Header { number, hash, parent_hash: B256::ZERO, timestamp: NOW, base_fee: 0, gas_limit: 30_000_000, gas_used: 0 }
}

/// The state that calls change.
struct State {
    totals: Market,
    loans: BTreeMap<Address, Loan>,
    pool: (u128, u128),
    events: Vec<IPlimsoll::Liquidate>,
}

impl State {
    fn of(fixture: &Fixture) -> Self {
        let market = fixture.market();
        let loans = market.positions().map(|(account, position)| (account, position.loan())).collect();
        Self { totals: market.at(NOW), loans, pool: fixture.pool, events: Vec::new() }
    }

    /// Executes a call in a transaction that pays this price for its gas.
    fn execute(&mut self, fixture: &Fixture, call: &Call, gas_price: u128) -> CallResult {
        if call.to == CORE {
            let wanted = IPlimsoll::liquidateCall::abi_decode(&call.data).unwrap();
            let (repaid, seized) = self.liquidate(fixture, &wanted.borrowers, wanted.maxRepay)?;
            assert!(repaid <= U256::from(fixture.inventory));
            assert!(mul_div_down(seized, ORACLE_SCALE, repaid) >= wanted.minSeizedPerRepaid);
            return Ok(IPlimsoll::liquidateCall::abi_encode_returns(&(repaid, seized).into()).into());
        }
        assert_eq!(call.to, LIQUIDATOR);
        let wanted = ILiquidator::liquidateCall::abi_decode(&call.data).unwrap().liquidation;
        let (repaid, seized) = self.liquidate(fixture, &wanted.borrowers, wanted.maxRepay)?;
        let sold: u128 = seized.to();
        let (weth, usd) = self.pool;
        let bought = mul_div_down(U256::from(usd), seized, U256::from(weth + sold));
        if bought < repaid {
            return Err(revert(&ISwapper::TooLittleOut { amountOut: bought, minOut: repaid }));
        }
        self.pool = (weth + sold, usd - bought.to::<u128>());
        let outcome = ILiquidator::Outcome { repaid, seized, profit: bought - repaid };
        // The contract measures the gas, which is what the table has for loans that are still there.
        let gas = U256::from(fixture.settings.gas.liquidation_gas(self.events.len(), 1)) + wanted.gasOverhead;
        let cost = gas * U256::from(gas_price) + wanted.extraWei;
        let required = wanted.minProfit + ((cost * U256::from(wanted.unitsPerWeiX96)) >> 96);
        if outcome.profit < required {
            return Err(revert(&IGasCharge::ProfitTooLow { profit: outcome.profit, required }));
        }
        Ok(ILiquidator::liquidateCall::abi_encode_returns(&outcome).into())
    }

    fn liquidate(&mut self, fixture: &Fixture, borrowers: &[Address], limit: U256) -> Result<(U256, U256), CallError> {
        let (market, id) = (fixture.market(), fixture.params.id().0);
        let price = fixture.price.clone().unwrap();
        let (mut repaid, mut seized) = (U256::ZERO, U256::ZERO);
        for borrower in borrowers {
            let left: u128 = limit.saturating_sub(repaid).saturating_to();
            let Some(loan) = self.loans.get_mut(borrower) else { continue };
            let Some(done) = self.totals.liquidate(loan, market.liquidation_incentive(), price, MIN_DEBT, left) else {
                continue;
            };
            repaid += U256::from(done.repaid);
            seized += U256::from(done.seized);
            self.events.push(IPlimsoll::Liquidate {
                id,
                caller: KEEPER,
                borrower: *borrower,
                repaid: U256::from(done.repaid),
                shares: U256::from(done.shares),
                seized: U256::from(done.seized),
                badDebt: U256::from(done.bad_debt),
            });
        }
        if repaid.is_zero() && seized.is_zero() {
            return Err(revert(&IPlimsoll::NothingToLiquidate {}));
        }
        Ok((repaid, seized))
    }
}

fn revert(error: &impl SolError) -> CallError {
    CallError::Reverted(error.abi_encode().into())
}

impl ChainReader for Fixture {
    async fn run(&self, block: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        assert_eq!(block.hash, self.header.hash);
        if self.node_is_down.load(Atomic::Relaxed) && !sequences.is_empty() {
            return Err(ChainError::Unreachable { endpoint: "fixture".into(), problem: "down".into() });
        }
        let run = |calls: &Vec<Call>| {
            let mut state = State::of(self);
            calls.iter().map(|call| self.simulate(&mut state, call)).collect()
        };
        Ok(sequences.iter().map(run).collect())
    }
}

impl Fixture {
    /// Runs a call on a state, which stays as it is where the call reverts.
    fn simulate(&self, state: &mut State, call: &Call) -> SimulatedCall {
        // Balances and allowances.
        if call.to == USD {
            return SimulatedCall { result: Ok(U256::from(self.inventory).to_be_bytes_vec().into()), gas_used: 0 };
        }
        // The pool, whose lower token is the dollar.
        if call.to == venue().pool_of(WETH, USD, 3_000) {
            let (weth, usd) = state.pool;
            let squared: U512 = (U512::from(weth) << 192) / U512::from(usd);
            let root: U256 = squared.root(2).to();
            return SimulatedCall { result: Ok([B256::from(root), B256::ZERO].concat().into()), gas_used: 0 };
        }
        let before = (state.totals, state.loans.clone(), state.pool);
        let result = state.execute(self, call, 0);
        if result.is_err() {
            (state.totals, state.loans, state.pool) = before;
        }
        SimulatedCall { result, gas_used: call.gas }
    }
}

/// Returns for every account the name of its skip reason, or "act". Fails where an account has two verdicts.
pub(super) fn reasons(decisions: &Decisions<LoanId>) -> BTreeMap<Address, String> {
    let mut reasons = BTreeMap::new();
    for verdict in &decisions.verdicts {
        let name = match &verdict.decision {
            Decision::Act { .. } => "act",
            Decision::Skip(reason) => reason.name(),
        };
        let account = verdict.target.account;
        let before = reasons.insert(account, name.to_owned());
        assert_eq!(before, None, "two verdicts about {account}");
    }
    reasons
}
