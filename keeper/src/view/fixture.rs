//! A deployment with one market and some loans in it, for the tests of view and engine.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use alloy::primitives::{Address, B256, Bytes, U256};
use plimsoll_contracts::{
    IPlimsoll::{self, IPlimsollEvents},
    MarketParams, RateCurve, Risk,
};
use serde_json::json;

use crate::{
    book::{Block, Book},
    chain::{Event, Header},
    config::Config,
    intent::{GuardKind, Intent, Outcome, Priority, Purpose, Receipt, Report, Scope},
    math::liquidation::ORACLE_SCALE,
    prices::Prices,
};

/// Timestamp of the first block, in seconds.
pub(crate) const NOW: u64 = 1_000_000;
pub(crate) const CORE: Address = Address::repeat_byte(0xc0);
pub(crate) const LIQUIDATOR: Address = Address::repeat_byte(0xc1);
pub(crate) const REWARDS: Address = Address::repeat_byte(0xc2);
/// The loan token, of 6 decimals.
pub(crate) const USDC: Address = Address::repeat_byte(0xd1);
/// The collateral token, of 18 decimals.
pub(crate) const WETH: Address = Address::repeat_byte(0xe1);
pub(crate) const DOLLAR: u128 = 1_000_000;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;

/// A receipt of a transaction that used 200,000 gas at 10 gwei, a fee of 0.002 ether.
pub(crate) fn receipt(hash: u8, block: u64, success: bool) -> Receipt {
    let inclusion = json!({ "hash": B256::repeat_byte(hash), "block": block, "block_hash": B256::ZERO });
    let inclusion = serde_json::from_value(inclusion).unwrap();
    Receipt { inclusion, success, gas_used: 200_000, effective_gas_price: 10_000_000_000, data_fee: 0 }
}

/// A configuration and a book for it.
pub(crate) struct Fixture {
    pub(crate) config: Arc<Config>,
    pub(crate) book: Book,
    pub(crate) params: MarketParams,
    /// Number of the last applied block.
    pub(crate) block: u64,
    /// Events of every applied block, the first of which has the number 1.
    pub(crate) applied: Vec<Vec<Event>>,
}

impl Fixture {
    /// A market `weth-usdc` whose loans are secured by one ether each, and owe these dollars: `borrower(0)` the first.
    pub(crate) fn new(debts: &[u128]) -> Self {
        let risk = Risk::new(8_000, 8_600, 100 * DOLLAR).unwrap();
        let curve = RateCurve::new(1_268_391_679, 9_000, 40_000, 500_000).unwrap();
        let params = MarketParams::new(USDC, WETH, Address::repeat_byte(3), risk, curve);
        let mut fixture =
            Self { config: Arc::new(config(&params)), book: Book::new(), params, block: 0, applied: Vec::new() };
        let id = fixture.id();
        let lender = Address::repeat_byte(0x99);
        let supplied = U256::from(1_000_000_000 * DOLLAR);
        let shares = supplied * U256::from(1_000_000);
        let mut events = vec![
            IPlimsollEvents::CreateMarket(IPlimsoll::CreateMarket { id, params: fixture.params.clone() }),
            IPlimsollEvents::Supply(IPlimsoll::Supply {
                id,
                caller: lender,
                onBehalf: lender,
                assets: supplied,
                shares,
            }),
        ];
        for (index, debt) in (0..).zip(debts) {
            let (account, assets) = (borrower(index), U256::from(debt * DOLLAR));
            events.push(IPlimsollEvents::SupplyCollateral(IPlimsoll::SupplyCollateral {
                id,
                caller: account,
                onBehalf: account,
                assets: U256::from(ETHER),
            }));
            events.push(IPlimsollEvents::Borrow(IPlimsoll::Borrow {
                id,
                caller: account,
                onBehalf: account,
                receiver: account,
                assets,
                shares: assets * U256::from(1_000_000),
            }));
        }
        fixture.apply(events);
        fixture
    }

    /// The configuration, to change it before anything shares it.
    pub(crate) fn config_mut(&mut self) -> &mut Config {
        Arc::get_mut(&mut self.config).unwrap()
    }

    /// Id of the market.
    pub(crate) fn id(&self) -> B256 {
        self.params.id().0
    }

    /// Applies the next block, in the same second as the first so that no interest accrues.
    pub(crate) fn apply(&mut self, events: Vec<IPlimsollEvents>) {
        self.block += 1;
        let events: Vec<_> = events.into_iter().map(Event::Core).collect();
        self.book.apply(Block { number: self.block, timestamp: NOW }, &events).unwrap();
        self.applied.push(events);
    }

    /// A repayment of all that a borrower owes, by itself.
    pub(crate) fn full_repayment(&self, account: Address) -> IPlimsollEvents {
        let market = self.book.market(self.params.id()).unwrap();
        let shares = U256::from(market.position(account).borrow_shares);
        let assets = shares.div_ceil(U256::from(1_000_000));
        IPlimsollEvents::Repay(IPlimsoll::Repay { id: self.id(), caller: account, onBehalf: account, assets, shares })
    }

    /// Header of the last applied block.
    pub(crate) fn header(&self) -> Header {
        Header {
            number: self.block,
            hash: B256::with_last_byte(7),
            parent_hash: B256::ZERO,
            timestamp: NOW,
            base_fee: 1_000_000_000,
            gas_limit: 30_000_000,
            gas_used: 0,
        }
    }

    /// The market's liquidation price.
    pub(crate) fn prices(&self, dollars: u128) -> Prices {
        [(self.params.id(), Ok(price(dollars)))].into_iter().collect()
    }

    /// The purpose of a liquidation of these loans.
    pub(crate) fn liquidation(&self, borrowers: &[Address]) -> Purpose {
        Purpose::Liquidate { market: self.id(), borrowers: borrowers.to_vec() }
    }

    /// A report of the liquidation of the first loan.
    pub(crate) fn report(&self, id: u64, outcome: Outcome) -> Report {
        let intent = Intent {
            purpose: self.liquidation(&[borrower(0)]),
            priority: Priority::High,
            to: LIQUIDATOR,
            data: Bytes::new(),
            gas_limit: 500_000,
            expected_gas: 250_000,
            expected_gain: U256::from(ETHER / 100),
            extra_wei: U256::ZERO,
            margin_bps: 0,
            deadline: NOW + 60,
            scope: Scope::new("liquidate", self.id()),
            guard: GuardKind::None,
            bid: 0,
            profit: None,
        };
        Report { id, signer: Address::repeat_byte(0x55), intent, outcome, logs: Vec::new() }
    }
}

/// A loan token's price in dollars for one ether, as oracles tell it.
pub(crate) fn price(dollars: u128) -> U256 {
    U256::from(dollars) * ORACLE_SCALE / U256::from(ETHER / DOLLAR)
}

pub(crate) fn borrower(index: u64) -> Address {
    Address::left_padding_from(&(index + 100).to_be_bytes())
}

/// A configuration that liquidates in the market, and watches the first two borrowers below a health of 1.5.
fn config(params: &MarketParams) -> Config {
    let id = params.id();
    let text = format!(
        r#"
        [deployment]
        chain_id = 31337
        core = "{CORE}"
        liquidator = "{LIQUIDATOR}"
        rewards = "{REWARDS}"
        [tokens.USDC]
        address = "{USDC}"
        decimals = 6
        rate = "0.0005"
        [tokens.WETH]
        address = "{WETH}"
        decimals = 18
        rate = "1"
        [liquidate.markets.{id}]
        swapper = "{LIQUIDATOR}"
        path = ["WETH", "0.3%", "USDC"]
        [[alerts.watch]]
        account = "{}"
        below = "1.5"
        [[alerts.watch]]
        account = "{}"
        below = "1.5"
        "#,
        borrower(0),
        borrower(1),
    );
    let mut config = Config::parse(Path::new("keeper.toml"), &text, &BTreeMap::new()).unwrap();
    config.deployed.market_names.insert(id, "weth-usdc".to_owned());
    config
}
