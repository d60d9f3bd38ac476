//! A book with loans, and a node that does to calls what the contracts would.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{SolCall, SolError},
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{
    ILiquidator,
    IPlimsoll::{self, IPlimsollEvents},
    ISwapper, MarketParams, RateCurve, Risk,
};

use super::super::*;
use crate::{
    book::{Block, Book},
    chain::Event,
    math::{liquidation::ORACLE_SCALE, market::Loan, market::Market, wide::mul_div_down},
    prices::{Answer, Call, NoPrice, Reads, Refusal, Source, Trial, Valuer},
};

pub(super) const NOW: u64 = 1_000_000;
pub(super) const KEEPER: Address = Address::repeat_byte(0xcc);
pub(super) const CORE: Address = Address::repeat_byte(0xc0);
const LIQUIDATOR: Address = Address::repeat_byte(0x11);
/// A dollar of 6 decimals, and a coin of 18.
pub(super) const USD: Address = Address::repeat_byte(1);
pub(super) const COIN: Address = Address::repeat_byte(2);
pub(super) const DOLLAR: u128 = 1_000_000;
pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(super) const SMALLEST_DEBT: u128 = 100 * DOLLAR;
/// 20 gwei: with a coin at some 2,000 dollars a loan alone costs 9 dollars to liquidate.
pub(super) const GAS_PRICE: u128 = 20_000_000_000;

/// Dollars for a coin, as oracles say it.
pub(super) fn price(dollars: u128) -> U256 {
    U256::from(dollars) * ORACLE_SCALE / U256::from(ETHER / DOLLAR)
}

pub(super) fn borrower(index: u64) -> Address {
    Address::left_padding_from(&(index + 100).to_be_bytes())
}

/// A loan: coins in thousandths, dollars.
pub(super) type Opening = (u128, u128);

/// Everything that a round needs.
pub(super) struct Bench {
    pub(super) book: Book,
    pub(super) params: MarketParams,
    pub(super) settings: Settings,
    pub(super) header: Header,
    pub(super) price: Result<U256, NoPrice>,
    /// The exchange: coins and dollars in it.
    pub(super) pool: (u128, u128),
    /// What the keeper holds and the core may take.
    pub(super) inventory: u128,
    pub(super) costs: Costs,
    pub(super) room: u64,
    pub(super) sources: BTreeMap<Address, Source>,
    pub(super) node_is_away: AtomicBool,
    pub(super) knows_sequences: bool,
    number: u64,
}

impl Bench {
    pub(super) fn new(openings: &[Opening]) -> Self {
        let risk = Risk::new(8_000, 8_600, SMALLEST_DEBT).unwrap();
        let curve = RateCurve::new(1_268_391_679, 9_000, 40_000, 500_000).unwrap();
        let params = MarketParams::new(USD, COIN, Address::repeat_byte(3), risk, curve);
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
        let route = Route {
            swapper: Address::repeat_byte(5),
            path: Bytes::from(vec![7; 43]),
            pools: 1,
            profit_in_collateral: false,
        };
        let market = MarketSettings { routes: vec![route], ..MarketSettings::default() };
        let settings = Settings {
            keeper: KEEPER,
            receiver: KEEPER,
            core: CORE,
            liquidator: Some(LIQUIDATOR),
            markets: [(id, market)].into_iter().collect(),
            gas: GasTable::default(),
            slack_bps: 2_000,
            deadline_secs: 60,
        };
        let sources = [
            (USD, Source::fixed(U256::from(ETHER / 2_000), 6).unwrap()),
            (COIN, Source::fixed(U256::from(ETHER), 18).unwrap()),
        ];
        let mut bench = Self {
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
            node_is_away: AtomicBool::new(false),
            knows_sequences: true,
            number: 1,
        };
        bench.at(2_000, 1_000_000);
        bench
    }

    /// Oracle and exchange at a price, the exchange with so many coins.
    pub(super) fn at(&mut self, dollars: u128, coins: u128) {
        self.price = Ok(price(dollars));
        self.pool = (coins * ETHER, coins * dollars * DOLLAR);
    }

    pub(super) fn market(&self) -> &crate::book::MarketBook {
        self.book.market(self.params.id()).unwrap()
    }

    pub(super) fn market_settings(&mut self) -> &mut MarketSettings {
        self.settings.markets.get_mut(&self.params.id().0).unwrap()
    }

    pub(super) async fn round(&self) -> Round {
        self.round_but(&|_, _| None).await
    }

    pub(super) async fn round_but(&self, obstacle: Obstacle<'_>) -> Round {
        let prices: Prices = [(self.params.id(), self.price.clone())].into_iter().collect();
        let moment = Moment { header: &self.header, prices: &prices, costs: self.costs, room: self.room };
        let mut valuer = Valuer::new(self.sources.clone());
        Liquidate::new(self.settings.clone()).round(self, &mut valuer, &self.book, moment, obstacle).await
    }

    /// Whether the contracts would do it.
    pub(super) fn goes_through(&self, intent: &Intent) -> bool {
        let call = Call { from: KEEPER, to: intent.to, data: intent.data.clone(), gas: intent.gas_limit };
        State::of(self).carry_out(self, &call).is_ok()
    }

    /// What a transaction does, and on the book, too. Fails as the contract would.
    pub(super) fn mine(&mut self, intent: &Intent) -> Result<ILiquidator::Outcome, Refusal> {
        let mut state = State::of(self);
        let call = Call { from: KEEPER, to: intent.to, data: intent.data.clone(), gas: intent.gas_limit };
        let answer = state.carry_out(self, &call)?;
        self.pool = state.pool;
        self.number += 1;
        let events: Vec<_> =
            state.events.into_iter().map(|event| Event::Core(IPlimsollEvents::Liquidate(event))).collect();
        let block = Block { number: self.number, timestamp: NOW };
        self.book.apply(block, &events).unwrap();
        Ok(ILiquidator::liquidateCall::abi_decode_returns(&answer).unwrap())
    }
}

pub(super) fn header(number: u64) -> Header {
    let hash = B256::with_last_byte(7);
    Header { number, hash, parent_hash: B256::ZERO, timestamp: NOW, base_fee: 0, gas_limit: 30_000_000, gas_used: 0 }
}

/// What calls change.
struct State {
    totals: Market,
    loans: BTreeMap<Address, Loan>,
    pool: (u128, u128),
    events: Vec<IPlimsoll::Liquidate>,
}

impl State {
    fn of(bench: &Bench) -> Self {
        let market = bench.market();
        let loans = market.positions().map(|(account, position)| (account, position.loan())).collect();
        Self { totals: market.at(NOW), loans, pool: bench.pool, events: Vec::new() }
    }

    fn carry_out(&mut self, bench: &Bench, call: &Call) -> Answer {
        if call.to == CORE {
            let wanted = IPlimsoll::liquidateCall::abi_decode(&call.data).unwrap();
            let (repaid, seized) = self.liquidate(bench, &wanted.borrowers, wanted.maxRepay)?;
            assert!(repaid <= U256::from(bench.inventory));
            assert!(mul_div_down(seized, ORACLE_SCALE, repaid) >= wanted.minSeizedPerRepaid);
            return Ok(IPlimsoll::liquidateCall::abi_encode_returns(&(repaid, seized).into()).into());
        }
        assert_eq!(call.to, LIQUIDATOR);
        let wanted = ILiquidator::liquidateCall::abi_decode(&call.data).unwrap().liquidation;
        let (repaid, seized) = self.liquidate(bench, &wanted.borrowers, wanted.maxRepay)?;
        let sold: u128 = seized.to();
        let (coins, dollars) = self.pool;
        let bought = mul_div_down(U256::from(dollars), seized, U256::from(coins + sold));
        if bought < repaid {
            return Err(revert(&ISwapper::TooLittleOut { amountOut: bought, minOut: repaid }));
        }
        self.pool = (coins + sold, dollars - bought.to::<u128>());
        let outcome = ILiquidator::Outcome { repaid, seized, profit: bought - repaid };
        if outcome.profit < wanted.minProfit {
            return Err(revert(&ILiquidator::ProfitTooLow { profit: outcome.profit, minProfit: wanted.minProfit }));
        }
        Ok(ILiquidator::liquidateCall::abi_encode_returns(&outcome).into())
    }

    fn liquidate(&mut self, bench: &Bench, borrowers: &[Address], limit: U256) -> Result<(U256, U256), Refusal> {
        let (market, id) = (bench.market(), bench.params.id().0);
        let price = bench.price.clone().unwrap();
        let (mut repaid, mut seized) = (U256::ZERO, U256::ZERO);
        for borrower in borrowers {
            let left: u128 = limit.saturating_sub(repaid).saturating_to();
            let Some(loan) = self.loans.get_mut(borrower) else { continue };
            let Some(done) = self.totals.liquidate(loan, market.terms(), price, SMALLEST_DEBT, left) else { continue };
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

fn revert(error: &impl SolError) -> Refusal {
    Refusal { message: "execution reverted".into(), data: Some(error.abi_encode().into()) }
}

impl Reads for Bench {
    async fn calls(&self, block: B256, calls: &[Call]) -> Result<Vec<Answer>, ChainError> {
        assert_eq!(block, self.header.hash);
        if self.node_is_away.load(Ordering::Relaxed) && !calls.is_empty() {
            return Err(self.error("away".into()));
        }
        let answer = |call: &Call| {
            // Balances and allowances.
            if call.to == USD {
                return Ok(U256::from(self.inventory).to_be_bytes_vec().into());
            }
            State::of(self).carry_out(self, call)
        };
        Ok(calls.iter().map(answer).collect())
    }

    async fn sequence(&self, _: &Header, calls: &[Call]) -> Result<Option<Vec<Trial>>, ChainError> {
        let mut state = State::of(self);
        let trial = |call: &Call| {
            let before = (state.totals, state.loans.clone(), state.pool);
            let answer = state.carry_out(self, call);
            if answer.is_err() {
                (state.totals, state.loans, state.pool) = before;
            }
            Trial { answer, gas_used: call.gas }
        };
        Ok(self.knows_sequences.then(|| calls.iter().map(trial).collect()))
    }

    fn error(&self, problem: String) -> ChainError {
        ChainError::Unreachable { endpoint: "bench".into(), problem }
    }
}

/// Every reason with the accounts that have it; each account has one decision.
pub(super) fn reasons(round: &Round) -> BTreeMap<Address, String> {
    let mut reasons = BTreeMap::new();
    for verdict in &round.verdicts {
        let reason = match &verdict.decision {
            Decision::Act { .. } => "act",
            Decision::WhyNot(why_not) => why_not.name(),
        };
        let before = reasons.insert(verdict.account, reason.to_owned());
        assert_eq!(before, None, "two decisions about {}", verdict.account);
    }
    reasons
}
