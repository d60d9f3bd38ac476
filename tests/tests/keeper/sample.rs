//! A sample view of the keeper with every kind of content.

use std::time::Duration;

use alloy::primitives::{Address, B256, I256, U256};
use plimsoll_keeper::{
    amount::{Amount, Balance, Health, Price},
    survey::DebtDistribution,
    view::{
        ActivityEntry, ActivityKind, ActivityState, AuditView, DecisionCount, DecisionView, EndpointView, HeadView,
        KeeperView, MarketView, PositionView, ProgrammeView, SafetyView, SignerView, Totals, View, WatchedAccount,
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
            core: Address::repeat_byte(0xc0),
            coin: "ETH".into(),
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
        watched_accounts: vec![WatchedAccount {
            account: Address::repeat_byte(0x77),
            market_name: "weth-usdc".into(),
            health: health(13_100),
            below: health(10_500),
        }],
        programmes: vec![ProgrammeView {
            id: B256::repeat_byte(0x51),
            name: "plim".into(),
            reward_token: "PLIM".into(),
            consenting: 412,
            due: 38,
            decision: Some(decision(
                false,
                "tips_too_small",
                "38 accounts would tip 0.0041 ETH; 0.0052 ETH of gas needs more, in about 3 h",
            )),
        }],
        timeline: timeline(),
        totals: Totals {
            liquidated: 1_284,
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
        endpoints: vec![
            node("own node", "both", true, 1, None),
            node("wss://eth.example.org", "both", true, 38, None),
            node("https://backup.example.net", "read", false, 412, Some("3 blocks behind the others")),
        ],
        safety: SafetyView {
            stopped: None,
            lost_today: ether(0),
            loss_cap: ether(500_000_000_000_000_000),
            reverts: 1,
            breaker_reverts: 5,
        },
        audit: AuditView { compared: 184_250, last_block: Some(BLOCK), mismatches: 0, last: None },
    }
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

fn decision(acts: bool, reason: &str, text: &str) -> DecisionView {
    DecisionView { block: BLOCK, acts, reason: reason.into(), text: text.into() }
}

fn decisions() -> Vec<DecisionCount> {
    let count = |acts, reason: &str, positions| DecisionCount { acts, reason: reason.into(), positions };
    vec![
        count(true, "in_a_batch", 2),
        count(false, "not_worth_the_gas", 1),
        count(false, "backing_off", 1),
        count(false, "above_water", 35),
    ]
}

fn at_risk() -> Vec<PositionView> {
    let rows = [
        (
            0xa1,
            9_712,
            48_210,
            27_405,
            216_073,
            Some(decision(
                true,
                "in_a_batch",
                "one of 2 loans in a transaction that is expected to bring 0.0913 ETH after 0.0118 ETH of gas",
            )),
        ),
        (
            0xa2,
            9_931,
            12_880,
            7_160,
            211_308,
            Some(decision(
                true,
                "in_a_batch",
                "one of 2 loans in a transaction that is expected to bring 0.0913 ETH after 0.0118 ETH of gas",
            )),
        ),
        (
            0xa3,
            9_987,
            140,
            77,
            210_123,
            Some(decision(
                false,
                "not_worth_the_gas",
                "would bring 0.0008 ETH; gas costs 0.0019 ETH, and 10 % more than that is wanted",
            )),
        ),
        (
            0xa4,
            9_990,
            910_400,
            503_700,
            210_060,
            Some(decision(
                false,
                "backing_off",
                "reverted in block 24,118,801 with TooLittleOut(1 980 112 004, 1 981 000 000); tried again from block 24,118,809 on",
            )),
        ),
        (0xa5, 10_123, 77_015, 43_180, 207_300, None),
        (0xa6, 10_480, 5_300, 3_077, 200_239, None),
    ];
    let row = |(byte, safety, debt, collateral, waterline, decision): (u8, u64, u64, u64, u32, _)| PositionView {
        market: B256::repeat_byte(1),
        market_name: "weth-usdc".into(),
        account: Address::repeat_byte(byte),
        debt: usdc(debt),
        collateral: weth(collateral),
        health: health(safety),
        waterline: price(u64::from(waterline)),
        distance_bps: 10_000 - 10_000 * i64::from(waterline) / 209_850,
        decision,
    };
    rows.into_iter().map(row).collect()
}

fn markets() -> Vec<MarketView> {
    let debt =
        [61, 74, 188, 240, 402, 610, 870, 1_120, 1_310, 1_240, 1_015, 930, 720, 610, 430, 380, 240, 160, 120, 610];
    let weth_usdc = MarketView {
        id: B256::repeat_byte(1),
        name: "weth-usdc".into(),
        loan_token: "USDC".into(),
        collateral_token: "WETH".into(),
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
        price: Ok(price(209_850)),
        loans: 3_184,
        liquidatable: 4,
        liquidatable_blocks: 3,
        watched: Ok(()),
        debt: DebtDistribution {
            liquidatable: usdc(971_630),
            bars: debt.iter().map(|thousands| usdc(thousands * 1_000)).collect(),
        },
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
        price: Ok(price(6_480_125)),
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
        price: Err("the oracle reverts with 0x8fb1a9d3".into()),
        loans: 0,
        liquidatable: 0,
        liquidatable_blocks: 0,
        watched: Err("no route from wstETH to WETH; say its `path` under [liquidate.markets.wsteth-weth]".into()),
        debt: DebtDistribution::default(),
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

fn signer(role: &str, byte: u8, wei: u64, pending: u64) -> SignerView {
    SignerView {
        role: role.into(),
        address: Address::repeat_byte(byte),
        balance: Some(ether(wei)),
        nonce: Some(611),
        pending,
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
