//! Which calls are simulated for a position, and when. Collateral and debt are one token, so that a sale takes no pool.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::IExecutor;
use plimsoll_protocols::{Deployment, Expected, Liquidation, Loan, Lot, ProtocolKind};

use super::{Seize, SeizeSettings, decide::MAX_LOTS, speculation::MAX_CONSIDERED};
use crate::{
    chain::Header,
    prices::{Call, CallError, ChainReader, Prices, Rate, SimulatedCall, Source, Valuer, Values},
    routing::router::Router,
    strategies::{
        BlockContext, Decisions, Exclusion, SkipReason,
        bids::{Bids, Ordering, RaceRecord},
        gas::{Costs, GasTable},
    },
};

const DEPLOYMENT: Address = Address::repeat_byte(1);
const TOKEN: Address = Address::repeat_byte(2);
/// Debt of every position, in units, of which each is worth a wei.
const OWED: u128 = 10_000_000_000_000_000_000;

/// Settings of a keeper that sends transactions to a public pool, one by one.
pub(super) fn settings() -> SeizeSettings {
    SeizeSettings {
        executor: Address::repeat_byte(3),
        targets: [(DEPLOYMENT, 0)].into(),
        receiver: Address::repeat_byte(4),
        gas: GasTable::default(),
        max_slippage_bps: 5_000,
        bid_share_bps: 5_000,
        exchanged_for: None,
        builders_coin: None,
        reverts_are_mined: false,
        deadline_secs: 60,
    }
}

/// Gives a tenth more than is repaid, and records whose it was asked for.
#[derive(Debug)]
struct Generous(Address, Arc<Mutex<BTreeSet<Address>>>);

impl Loan for Generous {
    fn expect(&self, max_repay: U256) -> Option<Expected> {
        self.1.lock().unwrap().insert(self.0);
        let repaid = max_repay.min(U256::from(OWED));
        let bonus = repaid / U256::from(10);
        let liquidation = Liquidation { repaid, seized: repaid + bonus, bonus, bad_debt: U256::ZERO };
        Some(Expected { liquidation, offered: repaid, data: Bytes::copy_from_slice(self.0.as_slice()) })
    }
}

/// Positions, the nearest to liquidation first.
#[derive(Default)]
struct Positions {
    lots: Vec<Lot>,
    considered: Arc<Mutex<BTreeSet<Address>>>,
}

impl Positions {
    /// Adds a position of a market.
    fn push(&mut self, market: u8, account: u8) {
        let account = Address::repeat_byte(account);
        let loan = Arc::new(Generous(account, Arc::clone(&self.considered)));
        let whole = loan.expect(U256::MAX).unwrap().liquidation;
        let market = B256::repeat_byte(market);
        self.lots.push(Lot { market, account, collateral: TOKEN, debt: TOKEN, whole, obstacle: None, loan });
        self.considered.lock().unwrap().clear();
    }

    fn of_one_market(count: u8) -> Self {
        let mut positions = Self::default();
        (1..=count).for_each(|account| positions.push(1, account));
        positions
    }
}

fn deployment() -> Deployment {
    let (protocol, address) = (ProtocolKind::MorphoBlue, DEPLOYMENT);
    Deployment {
        protocol,
        chain_id: 1,
        name: None,
        address,
        first_block: 1,
        source: None,
        pre_liquidation_factory: None,
    }
}

fn seize() -> Seize {
    Seize::new(settings(), Router::new(Vec::new(), Vec::new()))
}

fn in_block<T>(act: impl FnOnce(BlockContext<'_>) -> T) -> T {
    let (header, prices) = (Header::default(), Prices::default());
    let costs = Costs { gas_price: 1_000_000_000, data_byte_price: 0, margin_bps: 0 };
    act(BlockContext { header: &header, prices: &prices, costs, room: 16_000_000 })
}

/// Whose liquidations are tried along with a block's request.
fn tried(near: &[Lot], liquidatable: &[Lot], exclusion: Exclusion<'_, super::PositionId>) -> Vec<Address> {
    let values: Values = [(TOKEN, Ok(Rate::ONE))].into_iter().collect();
    let calls = in_block(|context| seize().speculate(&deployment(), (near, liquidatable), &values, context, exclusion));
    calls.iter().map(borrower).collect()
}

fn item(call: &Call) -> IExecutor::Item {
    IExecutor::executeCall::abi_decode(&call.data).unwrap().job.items.remove(0)
}

fn borrower(call: &Call) -> Address {
    Address::from_slice(&item(call).data)
}

#[test]
fn trials_of_positions_near_the_line_are_one_each_and_end_with_the_gas_of_a_request() {
    let positions = Positions::of_one_market(30);
    let accounts = |range: std::ops::RangeInclusive<u8>| range.map(Address::repeat_byte).collect::<Vec<_>>();
    // Twelve times three million gas.
    assert_eq!(tried(&positions.lots, &[], &|_| None), accounts(1..=12));
    assert_eq!(positions.considered.lock().unwrap().len(), MAX_CONSIDERED);
    let excluded = |id: super::PositionId| (id.account == Address::repeat_byte(1)).then_some(SkipReason::InFlight);
    assert_eq!(tried(&positions.lots, &[], &excluded), accounts(2..=13));
}

#[test]
fn no_market_keeps_the_nearest_position_of_another_from_being_tried() {
    let mut positions = Positions::of_one_market(30);
    positions.push(2, 100);
    assert!(tried(&positions.lots, &[], &|_| None).contains(&Address::repeat_byte(100)));
}

#[test]
fn what_stays_liquidatable_is_tried_with_every_size_within_gas_of_its_own() {
    let positions = Positions::of_one_market(2);
    // One position with three sizes takes nine million gas of twelve.
    assert_eq!(tried(&[], &positions.lots, &|_| None), [Address::repeat_byte(1); 3]);
    let many = Positions::of_one_market(u8::try_from(MAX_LOTS).unwrap() + 1);
    assert!(tried(&[], &many.lots, &|_| None).is_empty(), "not all of them are decided on in a block");
}

/// A node on which liquidations of more than this succeed or do not, and which records what it is asked.
struct Node {
    most: U256,
    requests: Mutex<Vec<Vec<U256>>>,
}

impl ChainReader for &Node {
    async fn run(&self, _: &Header, sequences: &[Vec<Call>]) -> Result<Vec<Vec<SimulatedCall>>, ChainError> {
        let answer = |call: &Call| {
            let repaid = U256::from(item(call).maxRepay);
            let outcome = IExecutor::Outcome {
                profit: repaid / U256::from(10),
                toBuilder: U256::ZERO,
                done: U256::ONE,
                results: Vec::new(),
            };
            let done = IExecutor::executeCall::abi_encode_returns(&outcome).into();
            let result = if repaid > self.most { Err(CallError::Reverted(Bytes::new())) } else { Ok(done) };
            SimulatedCall { result, gas_used: 200_000 }
        };
        let asked = sequences.iter().flatten().map(|call| U256::from(item(call).maxRepay)).collect::<Vec<_>>();
        if !asked.is_empty() {
            self.requests.lock().unwrap().push(asked);
        }
        Ok(sequences.iter().map(|calls| calls.iter().map(answer).collect()).collect())
    }
}

async fn decided(most: U256) -> (Decisions<super::PositionId>, Vec<Vec<U256>>) {
    let node = Node { most, requests: Mutex::default() };
    let positions = Positions::of_one_market(1);
    let mut valuer = Valuer::new([(TOKEN, Source::Fixed(Rate::ONE))].into());
    let bids = Bids::new(500_000, Ordering::Priority, RaceRecord::default());
    let (header, prices) = (Header::default(), Prices::default());
    let costs = Costs { gas_price: 1_000_000_000, data_byte_price: 0, margin_bps: 0 };
    let context = BlockContext { header: &header, prices: &prices, costs, room: 16_000_000 };
    let (deployment, mut seize) = (deployment(), seize());
    let lots = (&deployment, positions.lots.as_slice());
    let decisions = seize.decide(&&node, &mut valuer, lots, context, &bids, &|_| None).await;
    let requests = node.requests.lock().unwrap().clone();
    (decisions, requests)
}

#[tokio::test]
async fn smaller_parts_are_tried_only_where_the_most_promising_call_does_not_pay() {
    let whole = U256::from(OWED);
    let (decisions, requests) = decided(whole).await;
    assert_eq!((decisions.intents.len(), requests), (1, vec![vec![whole]]));
    let (decisions, requests) = decided(whole / U256::from(3)).await;
    assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
    let repaid = IExecutor::executeCall::abi_decode(&decisions.intents[0].data).unwrap().job.items[0].maxRepay;
    assert!(U256::from(repaid) <= whole / U256::from(4) && repaid > OWED / 5, "{repaid}");
    let (decisions, requests) = decided(U256::ZERO).await;
    assert!(decisions.intents.is_empty() && requests.len() == 2);
    assert_eq!(decisions.verdicts.len(), 1, "one position, one reason");
}
