//! A sample view of the keeper with every kind of content.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, I256, U256};
use plimsoll_contracts::MarketId;
use plimsoll_keeper::{
    amount::{Amount, Balance, Health, Price},
    math::guard::OrderKind,
    sender::fleet::{FleetStatus, LeaseStatus, Member},
    strategies::{Decision, Revert, SkipReason, rebalance::Flag},
    survey::DebtDistribution,
    view::{
        ActivityEntry, ActivityKind, ActivityState, AuditView, DayProfit, DecisionCount, DecisionHistory, DecisionView,
        Denomination, EndedView, EndpointView, GovernanceView, HeadView, JobView, JobsView, KeeperView, MarketView,
        NodeHarvestView, OppositionView, OrderView, PositionRow, ProgrammeView, ProtocolView, RecordedDecision,
        RowMarket, SafetyView, ScheduledState, ScheduledView, SignerView, Totals, TriggeredOrders, VaultMarketView,
        VaultView, View, VouchersView, WatchedAccount, Words,
    },
};
use tokio::time::Instant;

/// Timestamp of the newest block.
const NOW: u64 = 1_795_172_400;
const BLOCK: u64 = 24_118_806;
const WAD: u64 = 1_000_000_000_000_000_000;

/// Returns the sample view.
pub(super) fn view() -> View {
    View {
        keeper: KeeperView {
            version: "0.1.0".into(),
            network: "mainnet".into(),
            chain: "Ethereum".into(),
            chain_id: 1,
            genesis: B256::repeat_byte(0x0e),
            core: Some(Address::repeat_byte(0xc0)),
            coin: "ETH".into(),
            explorer: Some("https://etherscan.io".into()),
            watch_below: health(11_000),
            live: true,
            ready_within: Duration::from_secs(120),
        },
        head: Some(HeadView {
            number: BLOCK,
            hash: B256::repeat_byte(0xbb),
            timestamp: NOW,
            base_fee: 12_300_000_000,
            applied: Instant::now(),
        }),
        progress: None,
        markets: markets(),
        decisions: decisions(),
        at_risk: at_risk(),
        history: history(),
        watched_accounts: vec![WatchedAccount {
            account: Address::repeat_byte(0x77),
            market_name: "weth-usdc".into(),
            health: health(13_100),
            below: health(10_500),
        }],
        orders: TriggeredOrders { total: 2, orders: orders() },
        protocols: vec![ProtocolView {
            name: "morpho-blue".into(),
            address: Address::repeat_byte(0xb1),
            block: BLOCK,
            markets: 14,
            positions: 2_310,
            decisions: vec![
                DecisionCount { acts: false, reason: "gain_below_gas".into(), positions: 3 },
                DecisionCount { acts: true, reason: "act".into(), positions: 2 },
            ],
            differences: Vec::new(),
        }],
        programmes: vec![ProgrammeView {
            id: B256::repeat_byte(0x51),
            name: "plim".into(),
            reward_token: "PLIM".into(),
            consenting: 412,
            due: 38,
            decision: Some(DecisionView {
                block: BLOCK,
                acts: false,
                reason: "worth_waiting".into(),
                text: "it is worth waiting: now it would bring 0.0041 ETH and cost 0.0052 ETH".into(),
            }),
        }],
        vaults: vec![vault()],
        governance: Some(governance()),
        jobs: Some(jobs()),
        vouchers: vec![VouchersView { jar: Address::repeat_byte(0xb3), decision: acts() }],
        timeline: timeline(),
        profit: profit(),
        totals: Totals {
            liquidated: 1_284,
            executed: 96,
            harvested: 9_310,
            transactions: 611,
            reverted: 4,
            profit: balance(41_872_000_000_000_000_000),
            gas: ether(6_214_000_000_000_000_000),
            day: balance(1_893_000_000_000_000_000),
        },
        signers: vec![
            signer("liquidations", 0x11, 1_420_000_000_000_000_000, 1),
            signer("harvests", 0x22, 310_000_000_000_000_000, 0),
        ],
        fleet: Some(fleet()),
        held_by_peer: BTreeMap::new(),
        endpoints: vec![
            node("own node", "both", true, 1, None),
            node("wss://eth.example.org", "both", true, 38, None),
            node("https://backup.example.net", "read", false, 412, Some("3 blocks behind the others")),
        ],
        safety: SafetyView {
            stopped: None,
            paused: Vec::new(),
            lost_today: ether(0),
            loss_cap: ether(500_000_000_000_000_000),
            reverts: 1,
            breaker_reverts: 5,
        },
        audit: AuditView { compared: 184_250, last_block: Some(BLOCK), ..AuditView::default() },
    }
}

/// An order that is executed, and one whose account does not authorise the guard.
fn orders() -> Vec<OrderView> {
    let order = |account: u8, kind, acts, reason: &str, text: &str| OrderView {
        market: B256::repeat_byte(0x41),
        market_name: "weth-usdc".into(),
        account: Address::repeat_byte(account),
        kind,
        repaid: Amount::new(U256::from(34_429_000_000_u64), 6, "USDC"),
        sold: ether(17_268_000_000_000_000_000),
        premium_ppm: 3_000,
        uses: 3,
        expiry: NOW + 2_592_000,
        decision: DecisionView { block: BLOCK, acts, reason: reason.into(), text: text.into() },
    };
    vec![
        order(0x61, OrderKind::Protect, true, "act", "it is sent: it should bring 0.051 ETH and cost 0.0042 ETH"),
        order(0x62, OrderKind::CloseBelow, false, "reverts", "the call reverts: Unauthorized"),
    ]
}

fn ether(wei: u64) -> Amount {
    Amount::new(U256::from(wei), 18, "ETH")
}

fn balance(wei: u128) -> Balance {
    Balance { units: I256::from_raw(U256::from(wei)), decimals: 18, token: "ETH".into() }
}

fn usdc(dollars: u64) -> Amount {
    Amount::new(U256::from(dollars) * U256::from(1_000_000), 6, "USDC")
}

fn weth(thousandths: u64) -> Amount {
    Amount::new(U256::from(thousandths) * U256::from(WAD / 1_000), 18, "WETH")
}

/// Returns the price of a collateral with 18 decimals in a loan token with 6.
fn price(cents: u64) -> Price {
    Price { raw: U256::from(cents) * U256::from(10).pow(U256::from(22)), collateral_decimals: 18, loan_decimals: 6 }
}

fn health(ten_thousandths: u64) -> Health {
    Health(U256::from(ten_thousandths) * U256::from(WAD / 10_000))
}

fn decisions() -> Vec<DecisionCount> {
    let count = |acts, reason: &str, positions| DecisionCount { acts, reason: reason.into(), positions };
    vec![
        count(true, "act", 2),
        count(false, "gain_below_gas", 1),
        count(false, "backing_off", 1),
        count(false, "healthy", 35),
    ]
}

/// Returns a token of the sample, whose address ends with this byte.
fn token(byte: u8, name: &str, decimals: u8) -> Denomination {
    Denomination { address: Address::repeat_byte(byte), name: name.into(), decimals }
}

/// Returns how decisions of the sample are put into words.
fn words() -> Words {
    let tokens = vec![token(0xd1, "USDC", 6), token(0xe1, "WETH", 18)];
    Words { coin: "ETH".into(), loan: tokens.first().cloned(), tokens, bid_share_bps: 5_000, max_cost_wei: U256::MAX }
}

fn at_risk() -> Arc<[PositionRow]> {
    let milliether = |number: u64| U256::from(number) * U256::from(WAD / 1_000);
    let act = Decision::Act { gain_wei: milliether(91), gas_wei: milliether(12) };
    let rows = [
        (0xa1, 9_712, 48_210, 27_405, 216_073, Some(act.clone())),
        (0xa2, 9_931, 12_880, 7_160, 211_308, Some(act)),
        (
            0xa3,
            9_987,
            140,
            77,
            210_123,
            Some(Decision::Skip(SkipReason::GainBelowGas {
                gain_wei: milliether(1),
                gas_wei: U256::from(1_900_000_000_000_000_u64),
            })),
        ),
        (
            0xa4,
            9_990,
            910_400,
            503_700,
            210_060,
            Some(Decision::Skip(SkipReason::BackingOff {
                until_block: BLOCK + 3,
                cause: "it failed 2 times in a row".into(),
            })),
        ),
        (0xa5, 10_123, 77_015, 43_180, 207_300, None),
        (0xa6, 10_480, 5_300, 3_077, 200_239, None),
    ];
    let market = Arc::new(RowMarket {
        id: B256::repeat_byte(1),
        name: "weth-usdc".into(),
        loan: token(0xd1, "USDC", 6),
        collateral: token(0xe1, "WETH", 18),
        price: price(209_850).raw,
        block: BLOCK,
        words: words(),
    });
    let row = |(byte, safety, debt, collateral, waterline, decision): (u8, u64, u64, u64, u64, Option<Decision>)| {
        PositionRow {
            market: Arc::clone(&market),
            account: Address::repeat_byte(byte),
            debt: usdc(debt).units.to(),
            collateral: weth(collateral).units.to(),
            health_wad: health(safety).0,
            waterline: price(waterline).raw,
            liquidatable_since: (safety < 10_000).then_some(BLOCK - 3),
            decision: decision.map(|decision| Arc::new(RecordedDecision { block: BLOCK, decision })),
        }
    };
    rows.into_iter().map(row).collect()
}

/// Returns earlier decisions about the account `0xa4…`.
fn history() -> DecisionHistory {
    let history = DecisionHistory::default();
    let thin = Decision::Skip(SkipReason::SwapTooThin {
        repaid: usdc(910_400).units,
        revert: Revert::TooLittleOut { offered: usdc(901_112).units, needed: usdc(910_400).units },
    });
    let waits =
        Decision::Skip(SkipReason::BackingOff { until_block: BLOCK + 3, cause: "it failed 2 times in a row".into() });
    for (block, decision) in [(BLOCK - 3, thin.clone()), (BLOCK - 2, thin), (BLOCK, waits)] {
        let decision = Arc::new(RecordedDecision { block, decision });
        history.record(MarketId(B256::repeat_byte(1)), Address::repeat_byte(0xa4), decision);
    }
    history
}

fn markets() -> Vec<MarketView> {
    let debt =
        [61, 74, 188, 240, 402, 610, 870, 1_120, 1_310, 1_240, 1_015, 930, 720, 610, 430, 380, 240, 160, 120, 610];
    let weth_usdc = MarketView {
        id: B256::repeat_byte(1),
        name: "weth-usdc".into(),
        loan_token: "USDC".into(),
        collateral_token: "WETH".into(),
        loan_token_address: Address::repeat_byte(0xd1),
        loan_decimals: 6,
        collateral_token_address: Address::repeat_byte(0xe1),
        collateral_decimals: 18,
        oracle: Address::repeat_byte(0x0a),
        borrow_ltv_bps: 8_000,
        liquidation_ltv_bps: 8_600,
        supplied: usdc(14_310_400),
        borrowed: usdc(12_298_220),
        utilisation_bps: 8_594,
        borrow_rate_bps: 512,
        supply_rate_bps: 396,
        reserve: usdc(8_200),
        cover: Some(usdc(250_000)),
        bad_debt: usdc(0),
        surge_room: Some(usdc(1_204_500)),
        surge_period_secs: Some(86_400),
        price: Some(price(209_850)),
        price_problem: None,
        loans: 3_184,
        liquidatable: 4,
        liquidatable_blocks: 3,
        liquidation_problem: None,
        orders: 412,
        debt: DebtDistribution {
            liquidatable: usdc(971_630),
            bars: debt.iter().map(|thousands| usdc(thousands * 1_000)).collect(),
        },
        words: words(),
    };
    let wbtc_usdc = MarketView {
        id: B256::repeat_byte(2),
        name: "wbtc-usdc".into(),
        collateral_token: "WBTC".into(),
        supplied: usdc(4_100_000),
        borrowed: usdc(2_911_075),
        utilisation_bps: 7_100,
        borrow_rate_bps: 388,
        supply_rate_bps: 248,
        cover: None,
        surge_room: None,
        surge_period_secs: None,
        liquidation_ltv_bps: 8_000,
        price: Some(price(6_480_125)),
        loans: 702,
        liquidatable: 0,
        liquidatable_blocks: 0,
        debt: DebtDistribution {
            liquidatable: usdc(0),
            bars: [0, 0, 0, 12, 40, 77, 160, 240, 260, 300, 340, 410, 380, 290, 180, 110, 80, 30, 2, 0]
                .iter()
                .map(|thousands| usdc(thousands * 1_000))
                .collect(),
        },
        ..weth_usdc.clone()
    };
    let wsteth_weth = MarketView {
        id: B256::repeat_byte(3),
        name: "wsteth-weth".into(),
        loan_token: "WETH".into(),
        collateral_token: "wstETH".into(),
        loan_token_address: Address::repeat_byte(0xe1),
        loan_decimals: 18,
        collateral_token_address: Address::repeat_byte(0xe2),
        collateral_decimals: 18,
        oracle: Address::repeat_byte(0x0b),
        borrow_ltv_bps: 9_200,
        liquidation_ltv_bps: 9_450,
        supplied: weth(2_411_000),
        borrowed: weth(0),
        utilisation_bps: 0,
        borrow_rate_bps: 50,
        supply_rate_bps: 0,
        reserve: weth(0),
        cover: None,
        bad_debt: weth(0),
        surge_room: None,
        surge_period_secs: None,
        price: None,
        price_problem: Some("the oracle reverts with 0x8fb1a9d3".into()),
        loans: 0,
        liquidatable: 0,
        liquidatable_blocks: 0,
        orders: 0,
        liquidation_problem: Some(
            "no route from wstETH to WETH; say its `path` under [liquidate.markets.wsteth-weth]".into(),
        ),
        debt: DebtDistribution::default(),
        words: words(),
    };
    vec![weth_usdc, wbtc_usdc, wsteth_weth]
}

fn timeline() -> Vec<ActivityEntry> {
    let happening = |id: u8, ago: u64, kind, state, place: &str, accounts| ActivityEntry {
        id: id.into(),
        at: NOW - ago,
        block: Some(BLOCK - ago / 12),
        kind,
        state,
        place: place.into(),
        market: (kind != ActivityKind::Harvest).then_some(B256::repeat_byte(1)),
        borrowers: [].into(),
        accounts,
        moved: None,
        profit: None,
        gas: None,
        transaction: Some(B256::repeat_byte(id)),
        note: None,
    };
    vec![
        ActivityEntry {
            block: None,
            moved: Some(usdc(31_114)),
            ..happening(211, 0, ActivityKind::Liquidation, ActivityState::Sent, "weth-usdc", 2)
        },
        ActivityEntry {
            moved: Some(usdc(204_880)),
            profit: Some(balance(1_204_000_000_000_000_000)),
            gas: Some(ether(18_400_000_000_000_000)),
            ..happening(210, 36, ActivityKind::Liquidation, ActivityState::Mined, "weth-usdc", 17)
        },
        ActivityEntry {
            gas: Some(ether(2_100_000_000_000_000)),
            note: Some("TooLittleOut: the pool gave less than when it was tried".into()),
            ..happening(209, 60, ActivityKind::Liquidation, ActivityState::Reverted, "weth-usdc", 1)
        },
        ActivityEntry {
            transaction: None,
            market: Some(B256::repeat_byte(2)),
            borrowers: [Address::repeat_byte(0xb1)].into(),
            moved: Some(usdc(9_020)),
            ..happening(208, 240, ActivityKind::Elsewhere, ActivityState::Final, "wbtc-usdc", 1)
        },
        ActivityEntry {
            moved: Some(Amount::new(U256::from(5_120) * U256::from(WAD), 18, "PLIM")),
            profit: Some(balance(8_030_000_000_000_000)),
            gas: Some(ether(6_110_000_000_000_000)),
            ..happening(207, 7_320, ActivityKind::Harvest, ActivityState::Final, "plim", 84)
        },
    ]
}

/// Returns three weeks with a loss on one day.
fn profit() -> Vec<DayProfit> {
    let day = |number: u64| {
        let milliether = WAD / 1_000;
        let (earned, spent) =
            ((number * 7919 % 131) * 20 * milliether, if number == 9 { 1_700 } else { 90 } * milliether);
        let net = I256::unchecked_from(earned) - I256::unchecked_from(spent);
        DayProfit {
            date: format!("2026-11-{:02}", number + 1),
            profit: balance(earned.into()),
            gas: ether(spent),
            net: Balance { units: net, ..balance(0) },
        }
    };
    (0..21).map(day).collect()
}

fn signer(role: &str, byte: u8, wei: u64, pending: u64) -> SignerView {
    SignerView {
        role: role.into(),
        address: Address::repeat_byte(byte),
        balance: Some(ether(wei)),
        nonce: Some(611),
        pending,
        low: false,
        problem: None,
    }
}

fn node(name: &str, role: &str, healthy: bool, latency: u64, problem: Option<&str>) -> EndpointView {
    EndpointView {
        name: name.into(),
        role: role.into(),
        healthy,
        head: Some(if healthy { BLOCK } else { BLOCK - 3 }),
        latency_ms: Some(latency),
        calls: 81_204,
        errors: if healthy { 2 } else { 318 },
        problem: problem.map(Into::into),
    }
}

/// An operation that depositors oppose, and one that was executed.
fn jobs() -> JobsView {
    JobsView {
        contract: Address::repeat_byte(0xb0),
        open: 1,
        drawn: 0,
        submitted: 0,
        nodes: 12,
        jobs: vec![JobView {
            id: 31,
            poster: Address::repeat_byte(0xb1),
            kind: B256::repeat_byte(0xb2),
            state: "open",
            round: 1,
            seats: 3,
            stake: "300000000000000000000".into(),
            decision: None,
        }],
        harvests: vec![NodeHarvestView { node: 2, decision: acts() }],
    }
}

fn acts() -> DecisionView {
    DecisionView { block: BLOCK, acts: true, reason: "act".into(), text: "it is sent".into() }
}

fn governance() -> GovernanceView {
    GovernanceView {
        manager: Address::repeat_byte(0xa0),
        scheduled: vec![ScheduledView {
            id: B256::repeat_byte(0x71),
            nonce: 2,
            is_proposal: false,
            is_of_proposal: false,
            state: ScheduledState::Due,
            calls: vec!["contracts.Plimsoll: setFee(params: weth-usdc, feeBps: 1200)".into()],
            caller: Address::repeat_byte(0x5a),
            caller_name: "contracts.Governor".into(),
            due: NOW - 60,
            expires: NOW + 604_740,
            opposition: vec![OppositionView {
                brake: "governance.brakes.vaults.usdc".into(),
                weight: "41000000000".into(),
                needed: "96246000000".into(),
            }],
            decision: Some(DecisionView {
                block: BLOCK,
                acts: true,
                reason: "act".into(),
                text: "it is executed, which should cost 0.0011 ETH".into(),
            }),
        }],
        ended: vec![EndedView {
            id: B256::repeat_byte(0x72),
            nonce: 1,
            how: "braked",
            brake: Some("governance.brakes.vaults.usdc".into()),
            calls: vec!["vaults.usdc: submit(setFee(feeBps: 2500))".into()],
            at: NOW - 86_400,
        }],
        left_out: 0,
    }
}

fn vault() -> VaultView {
    let dollars = |whole: u64| Amount::new(whole * 1_000_000, 6, "USDC".to_owned());
    VaultView {
        address: Address::repeat_byte(0x7a),
        name: "usdc".into(),
        total: dollars(4_812_300),
        idle: dollars(96_246),
        supply_rate_bps: 541,
        markets: vec![VaultMarketView {
            id: B256::repeat_byte(0x11),
            name: "weth-usdc".into(),
            assets: dollars(4_716_054),
            supply_rate_bps: 552,
            flag: Some(Flag::LoansAtRisk),
        }],
        decision: Some(DecisionView {
            block: BLOCK,
            acts: false,
            reason: "rates_are_level".into(),
            text: "the rates of its markets differ by 0.04 % a year, less than the dead band".into(),
        }),
    }
}

/// Two keepers that share a database, of which the other signs.
fn fleet() -> FleetStatus {
    let member = |name: &str, is_self| Member {
        id: format!("{name}-1"),
        name: name.to_owned(),
        head: BLOCK,
        seen_secs_ago: 1,
        is_live: true,
        is_self,
    };
    let lease =
        LeaseStatus { signer: Address::repeat_byte(0x51), holder: "oslo-1".to_owned(), fence: 7, expires_in_ms: 4_200 };
    FleetStatus {
        server: "db.example.org:5432/plimsoll".to_owned(),
        is_reachable: true,
        members: vec![member("oslo", false), member("paris", true)],
        leases: vec![lease],
    }
}
