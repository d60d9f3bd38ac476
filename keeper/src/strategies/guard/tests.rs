//! Decisions about orders, on a node that executes calls as the contracts would.

use std::{
    collections::{BTreeSet, HashSet},
    sync::atomic::{AtomicUsize, Ordering as Atomic},
};

use alloy::{
    primitives::{B256, Bytes, U256, Uint},
    sol_types::{SolCall, SolError},
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{
    IGuard::{self, IGuardEvents},
    IOrderExecutor,
    IPlimsoll::{self, IPlimsollEvents},
    ISwapper, MarketParams, RateCurve, Risk,
};

use super::*;
use crate::{
    book::{Block, Book},
    chain::{Event, Header},
    intent::{GuardKind, Intent, Priority, Purpose},
    math::liquidation::{ORACLE_SCALE, value_down},
    prices::{Call, CallError, CallResult, ChainReader, NoPrice, Prices, SimulatedCall, Source, Valuer},
    strategies::{
        BlockContext, Decision, Decisions, SkipReason,
        bids::{Bids, Ordering, RaceRecord},
        gas::Costs,
    },
};

const NOW: u64 = 1_000_000;
const EXECUTOR: Address = Address::repeat_byte(0x0e);
const USD: Address = Address::repeat_byte(1);
const WETH: Address = Address::repeat_byte(2);
const DOLLAR: u128 = 1_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// 20 gwei: with ether at 2,000 dollars an execution costs some 13 dollars.
const GAS_PRICE: u128 = 20_000_000_000;
const BPS: u128 = 10_000;

fn price(dollars: u128) -> U256 {
    U256::from(dollars) * ORACLE_SCALE / U256::from(ETHER / DOLLAR)
}

fn account(number: u64) -> Address {
    Address::left_padding_from(&(number + 100).to_be_bytes())
}

/// Loans with orders to protect them above 80 %, of which each brings a premium of 1 %.
struct Fixture {
    book: Book,
    params: MarketParams,
    guard: Guard,
    header: Header,
    price: Result<U256, NoPrice>,
    /// By how much the exchange pays less than the oracle's price, in basis points.
    discount_bps: u128,
    /// Further discount for every order that was sold before in the same sequence.
    further_bps: u128,
    /// Accounts that do not authorise the guard.
    unauthorised: HashSet<Address>,
    requests: AtomicUsize,
}

impl Fixture {
    /// Loans of these dollars at 85 % of their collateral's value at 2,000 dollars an ether.
    fn new(debts: &[u128]) -> Self {
        let risk = Risk::new(8_000, 8_600, DOLLAR).unwrap();
        let curve = RateCurve::new(1_268_391_679, 9_000, 40_000, 500_000).unwrap();
        let params = MarketParams::new(USD, WETH, Address::repeat_byte(3), risk, curve);
        let id = params.id().0;
        let (caller, supplied) = (Address::repeat_byte(9), U256::from(1_u128 << 90));
        let core = Event::Core;
        let mut events = vec![
            core(IPlimsollEvents::CreateMarket(IPlimsoll::CreateMarket { id, params: params.clone() })),
            core(IPlimsollEvents::Supply(IPlimsoll::Supply {
                id,
                caller,
                onBehalf: caller,
                assets: supplied,
                shares: supplied * U256::from(1_000_000),
            })),
        ];
        for (number, debt) in (0..).zip(debts) {
            let borrower = account(number);
            let collateral = debt * ETHER * 100 / (2_000 * 85);
            events.push(core(IPlimsollEvents::SupplyCollateral(IPlimsoll::SupplyCollateral {
                id,
                caller: borrower,
                onBehalf: borrower,
                assets: U256::from(collateral),
            })));
            events.push(core(IPlimsollEvents::Borrow(IPlimsoll::Borrow {
                id,
                caller: borrower,
                onBehalf: borrower,
                receiver: borrower,
                assets: U256::from(debt * DOLLAR),
                shares: U256::from(debt * DOLLAR * 1_000_000),
            })));
            events.push(Event::Guard(IGuardEvents::PlaceOrder(placement(id, borrower, 10_000))));
        }
        let mut book = Book::new();
        book.apply(Block { number: 1, timestamp: NOW }, &events).unwrap();
        let route = SwapRoute {
            swapper: Address::repeat_byte(5),
            path: Bytes::new(),
            pools: 1,
            profit_in_collateral: false,
            spot: None,
        };
        let settings = GuardSettings {
            receiver: Address::repeat_byte(7),
            executor: EXECUTOR,
            markets: [(id, vec![route])].into_iter().collect(),
            gas: GasTable::default(),
            max_slippage_bps: 2_000,
            bid_share_bps: 5_000,
            reverts_are_mined: true,
            deadline_secs: 60,
        };
        Self {
            book,
            params,
            guard: Guard::new(settings),
            header: Header { number: 1, timestamp: NOW, ..Header::default() },
            price: Ok(price(2_000)),
            discount_bps: 10,
            further_bps: 0,
            unauthorised: HashSet::new(),
            requests: AtomicUsize::new(0),
        }
    }

    fn order(&self, number: u64) -> OrderId {
        OrderId { market: self.params.id(), account: account(number), kind: OrderKind::Protect }
    }

    fn apply(&mut self, event: IGuardEvents) {
        self.header.number += 1;
        let block = Block { number: self.header.number, timestamp: self.header.timestamp };
        self.book.apply(block, &[Event::Guard(event)]).unwrap();
    }

    async fn decide(&mut self) -> Decisions<OrderId> {
        self.decide_with(&BTreeSet::new(), None).await
    }

    async fn decide_with(&mut self, busy: &BTreeSet<B256>, excluded: Option<SkipReason>) -> Decisions<OrderId> {
        let prices: Prices = [(self.params.id(), self.price.clone())].into_iter().collect();
        let header = self.header;
        let costs = Costs { gas_price: GAS_PRICE, data_byte_price: 0, margin_bps: 0 };
        let context = BlockContext { header: &header, prices: &prices, costs, room: 13_500_000 };
        let mut valuer = Valuer::new([(USD, Source::fixed(U256::from(ETHER / 2_000), 6).unwrap())].into());
        let bids = Bids::new(500_000, Ordering::Priority, RaceRecord::default());
        // The decision changes the strategy and reads the node, which are one here.
        let fresh = Guard::new(self.guard.settings.clone());
        let mut guard = std::mem::replace(&mut self.guard, fresh);
        // What a token was worth is known from earlier blocks.
        valuer.values(&*self, &header, &[USD]).await.unwrap();
        self.requests.store(0, Atomic::Relaxed);
        let exclusion = move |_| excluded.clone();
        let decisions = guard.decide(&*self, &mut valuer, &self.book, context, (&bids, busy), &exclusion).await;
        self.guard = guard;
        decisions
    }

    /// Executes a call after others of its sequence.
    fn execute(&self, call: &Call, before: u128) -> CallResult {
        assert_eq!(call.to, EXECUTOR);
        let wanted = IOrderExecutor::executeCall::abi_decode(&call.data).unwrap().wanted;
        let reverted = |data: Vec<u8>| Err(CallError::Reverted(data.into()));
        if self.unauthorised.contains(&wanted.account) {
            return reverted(IPlimsoll::Unauthorized { caller: EXECUTOR, onBehalf: wanted.account }.abi_encode());
        }
        let market = self.book.market(self.params.id()).unwrap();
        let kind = OrderKind::from_number(wanted.kind as u8).unwrap();
        let price = self.price.clone().unwrap();
        let Some(order) = market.triggered_order(wanted.account, kind, price, self.header.timestamp) else {
            return reverted(Vec::new());
        };
        let paid_bps = BPS - self.discount_bps - self.further_bps * before;
        let proceeds = value_down(order.execution.sold, price) * paid_bps / BPS;
        let Some(profit) = proceeds.checked_sub(order.execution.payment) else {
            let (offered, needed) = (U256::from(proceeds), U256::from(order.execution.payment));
            return reverted(ISwapper::TooLittleOut { amountOut: offered, minOut: needed }.abi_encode());
        };
        let charged = (U256::from(380_000) * U256::from(GAS_PRICE) * U256::from(wanted.unitsPerWeiX96)) >> 96;
        let profit = U256::from(profit);
        if profit < wanted.minProfit + charged {
            return reverted(Vec::new());
        }
        Ok(IOrderExecutor::executeCall::abi_encode_returns(&profit).into())
    }

    fn succeeds(&self, intent: &Intent) -> bool {
        self.execute(&Call::trial(intent.to, intent.data.clone(), intent.gas_limit), 0).is_ok()
    }
}

fn placement(id: B256, account: Address, premium: u16) -> IGuard::PlaceOrder {
    let order = IGuard::Order {
        triggerLtvBps: 8_000,
        targetLtvBps: 5_000,
        triggerPrice: U256::ZERO,
        premiumStartPpm: premium,
        premiumEndPpm: premium,
        rampBps: 100,
        requireBorrowPrice: false,
        uses: 3,
        expiry: Uint::from(NOW + 1_000_000),
        cooldownSecs: Uint::from(600),
        flatTip: Uint::ZERO,
        maxOwn: Uint::ZERO,
    };
    IGuard::PlaceOrder { id, account, kind: IGuard::Kind::Protect, order }
}

impl ChainReader for Fixture {
    async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        self.requests.fetch_add(usize::from(!sequences.is_empty()), Atomic::Relaxed);
        let run = |calls: &Vec<Call>| {
            let mut before = 0;
            let execute = |call: &Call| {
                let result = self.execute(call, before);
                before += u128::from(result.is_ok());
                SimulatedCall { result, gas_used: 0 }
            };
            calls.iter().map(execute).collect()
        };
        Ok(sequences.iter().map(run).collect())
    }
}

fn skipped(decisions: &Decisions<OrderId>) -> Vec<(OrderId, &'static str)> {
    let mut skipped = Vec::new();
    for verdict in &decisions.verdicts {
        if let Decision::Skip(reason) = &verdict.decision {
            skipped.push((verdict.target, reason.name()));
        }
    }
    skipped
}

fn executed(decisions: &Decisions<OrderId>) -> Vec<Address> {
    let account = |intent: &Intent| match intent.purpose {
        Purpose::ExecuteOrder { account, .. } => account,
        ref other => panic!("{other:?}"),
    };
    decisions.intents.iter().map(account).collect()
}

#[tokio::test]
async fn an_order_that_pays_is_executed_with_a_guard_that_the_expected_profit_meets() {
    let mut fixture = Fixture::new(&[50_000]);
    let decisions = fixture.decide().await;
    let [intent] = &decisions.intents[..] else { panic!("{decisions:?}") };
    assert_eq!((intent.to, intent.priority, intent.guard), (EXECUTOR, Priority::Low, GuardKind::OnChain));
    let OrderId { market, account, kind } = fixture.order(0);
    assert_eq!(intent.purpose, Purpose::ExecuteOrder { market: market.0, account, kind });
    assert!(fixture.succeeds(intent));
    // With half of the profit less it would cost more than it brings, or the slippage is beyond what is accepted.
    fixture.discount_bps = 90;
    assert!(!fixture.succeeds(intent));
    assert!(skipped(&decisions).is_empty());
}

#[tokio::test]
async fn every_triggered_order_that_is_not_executed_has_a_reason() {
    // At a premium of 1 % half of the debt brings 1 dollar.
    let mut fixture = Fixture::new(&[200]);
    assert_eq!(skipped(&fixture.decide().await), [(fixture.order(0), "gain_below_gas")]);
    assert_eq!(fixture.requests.load(Atomic::Relaxed), 0, "nothing is simulated that cannot pay");

    let mut fixture = Fixture::new(&[50_000]);
    let market = BTreeSet::from([fixture.params.id().0]);
    let order = fixture.order(0);
    let decisions = fixture.decide_with(&market, None).await;
    assert_eq!(skipped(&decisions), [(order, "liquidations_first")]);
    let decisions = fixture.decide_with(&BTreeSet::new(), Some(SkipReason::InFlight)).await;
    assert_eq!(skipped(&decisions), [(order, "in_flight")]);
    fixture.discount_bps = 200;
    assert_eq!(skipped(&fixture.decide().await), [(order, "swap_too_thin")]);
    // The discount leaves a profit, and less than the gas.
    let mut fixture = Fixture::new(&[5_000]);
    fixture.discount_bps = 60;
    assert_eq!(skipped(&fixture.decide().await), [(order, "gain_below_gas")]);

    let mut fixture = Fixture::new(&[50_000]);
    fixture.apply(IGuardEvents::ExecuteOrder(IGuard::ExecuteOrder {
        id: order.market.0,
        account: order.account,
        kind: IGuard::Kind::Protect,
        executor: EXECUTOR,
        receiver: EXECUTOR,
        execution: IGuard::Execution::default(),
        usesLeft: U256::from(2),
    }));
    assert_eq!(skipped(&fixture.decide().await), [(order, "cooling_down")]);
    fixture.header.timestamp += 600;
    assert_eq!(executed(&fixture.decide().await), [order.account]);
}

#[tokio::test]
async fn without_a_price_or_a_met_trigger_nothing_is_decided_and_nothing_asked() {
    let mut fixture = Fixture::new(&[50_000]);
    fixture.price = Ok(price(2_200));
    assert_eq!(fixture.decide().await, Decisions::default());
    fixture.price = Err(NoPrice::NotAsked);
    assert_eq!(fixture.decide().await, Decisions::default());
    assert_eq!(fixture.requests.load(Atomic::Relaxed), 0);
}

#[tokio::test]
async fn orders_that_always_revert_do_not_keep_the_others_from_being_tried() {
    let debts: Vec<_> = (0..60).map(|_| 60_000).chain([50_000]).collect();
    let mut fixture = Fixture::new(&debts);
    fixture.unauthorised = (0..60).map(account).collect();
    let honest = account(60);
    let mut blocks = 0;
    while executed(&fixture.decide().await) != [honest] {
        fixture.header.number += 1;
        blocks += 1;
        assert!(blocks < 5, "16 of 60 are tried in a block, and failed ones wait");
    }
}

#[tokio::test]
async fn dust_costs_a_block_nothing() {
    let debts: Vec<_> = vec![10; 3_000];
    let mut fixture = Fixture::new(&debts);
    assert_eq!(fixture.decide().await, Decisions::default());
    assert_eq!(fixture.requests.load(Atomic::Relaxed), 0);
}

#[tokio::test]
async fn as_many_orders_are_executed_as_the_exchange_absorbs_one_after_another() {
    let mut fixture = Fixture::new(&[50_000, 49_000, 48_000]);
    assert_eq!(executed(&fixture.decide().await), [account(0), account(1), account(2)]);
    fixture.header.number += 1;
    fixture.further_bps = 45;
    let decisions = fixture.decide().await;
    assert_eq!(executed(&decisions), [account(0), account(1)]);
    assert_eq!(skipped(&decisions), [(fixture.order(2), "tried_later")]);
}
