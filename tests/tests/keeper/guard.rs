//! Borrowers' orders at the guard, executed by whole keepers: each kind of trigger; through kills and reorgs; while the
//! borrow price is not available; against others; beside orders that never succeed.

mod hostile;

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256, Uint},
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
    sol_types::SolValue,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IGuard, IOracle, IOrderExecutor, IPlimsoll, MarketParams};
use plimsoll_keeper::strategies::{gas::GasTable, guard::LOST_RACE_GAS};
use plimsoll_testkit::{
    devnet::{IOneSlotOracle, ITestToken, mined},
    exchange::route,
    keeper::{Keeper, KeeperSetup},
    observer::Observer,
    proxy::{Fault, Phase, Proxy, Rule},
};

use super::fixture::{EARLY_FINALITY, ETHER, Fixture, program, soon};
use crate::support::events;

const DOLLAR: u128 = 1_000_000;
/// Base fee, in wei, at which an execution costs about a hundredth of the lowest premium.
const BASE_FEE: u128 = 1_000_000_000;
/// Number of the first borrower's account.
const BORROWER: usize = 4;
/// Ether and dollars of every borrower: 75 % at 2,000 dollars an ether.
const LOAN: [u128; 2] = [10 * ETHER, 15_000 * DOLLAR];

/// A suite whose borrowers have orders.
pub(super) struct Guarded {
    pub(super) fixture: Fixture,
    pub(super) guard: Address,
}

/// From 78 % back to 60 %, or at a price the whole loan, for 0.5 % at the trigger to 2 % at a distance of 4 %.
pub(super) fn terms(trigger_price: U256) -> IGuard::Order {
    let is_price = !trigger_price.is_zero();
    IGuard::Order {
        triggerLtvBps: if is_price { 0 } else { 7_800 },
        targetLtvBps: if is_price { 0 } else { 6_000 },
        triggerPrice: trigger_price,
        premiumStartPpm: 5_000,
        premiumEndPpm: 20_000,
        rampBps: 400,
        requireBorrowPrice: false,
        uses: 3,
        expiry: Uint::ZERO,
        cooldownSecs: Uint::from(600),
        flatTip: Uint::ZERO,
        maxOwn: Uint::ZERO,
    }
}

/// The oracle's price for so many dollars an ether. Orders keep a little less, so that one to close below a price is given a
/// higher one.
fn price(dollars: u64) -> U256 {
    U256::from(dollars) * U256::from(10).pow(U256::from(24))
}

impl Guarded {
    async fn new() -> eyre::Result<Self> {
        let fixture = Fixture::new(&[]).await?;
        let guard = fixture.suite.contract("Guard")?;
        Ok(Self { fixture, guard })
    }

    /// Opens a loan of an account, and places an order that expires in a day. The account authorises the guard if it is
    /// said to.
    pub(super) async fn borrow(
        &self,
        account: usize,
        kind: IGuard::Kind,
        order: IGuard::Order,
        authorises: bool,
    ) -> eyre::Result<Address> {
        self.borrow_in(&self.fixture.params, LOAN, account, kind, order, authorises).await
    }

    /// As [`Guarded::borrow`], in a market and with units of collateral and debt.
    async fn borrow_in(
        &self,
        params: &MarketParams,
        loan: [u128; 2],
        account: usize,
        kind: IGuard::Kind,
        order: IGuard::Order,
        authorises: bool,
    ) -> eyre::Result<Address> {
        let Fixture { suite, core, .. } = &self.fixture;
        let account = suite.devnet.account(account)?;
        let [collateral, debt] = loan.map(U256::from);
        suite.devnet.mint_and_approve(params.collateralToken, account, collateral, *core).await?;
        let plimsoll = IPlimsoll::new(*core, suite.devnet.provider());
        let supplied = plimsoll.supplyCollateral(params.clone(), collateral, account, Default::default());
        mined(supplied.from(account)).await?;
        mined(plimsoll.borrow(params.clone(), debt, U256::ZERO, account, account).from(account)).await?;
        if authorises {
            mined(plimsoll.setAuthorization(self.guard, U256::MAX).from(account)).await?;
        }
        let expiry = self.now().await? + 86_400;
        let guard = IGuard::new(self.guard, suite.devnet.provider());
        let order = IGuard::Order { expiry: Uint::from(expiry), ..order };
        mined(guard.place(params.id().0, kind, order).from(account)).await?;
        Ok(account)
    }

    async fn now(&self) -> eyre::Result<u64> {
        let head = self.fixture.provider().get_block(alloy::eips::BlockId::latest()).await?;
        Ok(head.wrap_err("a chain has a head")?.header.timestamp)
    }

    fn setup(&self, folder: &str, signers: [usize; 2], further: &str) -> KeeperSetup {
        KeeperSetup {
            folder: folder.to_owned(),
            signers: KeeperSetup::anvil_signers(signers),
            further: format!("{EARLY_FINALITY}{further}"),
            ..KeeperSetup::live(&self.fixture.suite)
        }
    }

    async fn start(&self, setup: &KeeperSetup) -> eyre::Result<Keeper> {
        let keeper = Keeper::start_with(&self.fixture.suite, program(), setup).await?;
        keeper.wait_until_ready().await?;
        Ok(keeper)
    }

    /// Returns what the guard executed on the present chain.
    async fn executed(&self) -> eyre::Result<Vec<IGuard::ExecuteOrder>> {
        events(self.fixture.provider(), self.guard).await
    }

    /// Mines blocks, each when the keepers have applied the last, until the guard has executed a number of orders.
    async fn wait_until_executed(&self, number: usize, keepers: &[&Keeper]) -> eyre::Result<Vec<IGuard::ExecuteOrder>> {
        soon(async {
            loop {
                let executed = self.executed().await?;
                if executed.len() >= number {
                    return Ok(executed);
                }
                let head = self.fixture.mine().await?;
                for keeper in keepers {
                    keeper.wait_for_block(head).await?;
                    keeper.wait_for_response(self.fixture.provider(), head).await?;
                }
            }
        })
        .await
    }

    /// Returns debt and collateral of an account.
    async fn loan(&self, account: Address) -> eyre::Result<[U256; 2]> {
        let Fixture { params, core, .. } = &self.fixture;
        let plimsoll = IPlimsoll::new(*core, self.fixture.provider());
        let (market, position) =
            (plimsoll.market(params.id().0).call().await?, plimsoll.position(params.id().0, account).call().await?);
        let owed = position.borrowShares * market.borrowAssets;
        Ok([owed.checked_div(market.borrowShares).unwrap_or_default(), position.collateral])
    }

    /// Returns debt in basis points of the collateral's value.
    async fn ltv_bps(&self, account: Address) -> eyre::Result<u64> {
        let [debt, collateral] = self.loan(account).await?;
        let price = IOracle::new(self.fixture.params.oracle, self.fixture.provider()).liquidationPrice().call().await?;
        let value = collateral * price / U256::from(10).pow(U256::from(36));
        Ok((debt * U256::from(10_000) / value).to())
    }

    async fn dollars_of(&self, account: Address) -> eyre::Result<U256> {
        let token = ITestToken::new(self.fixture.params.loanToken, self.fixture.provider());
        Ok(token.balanceOf(account).call().await?)
    }
}

/// A price in dollars of 8 decimals.
const fn answer(dollars: u128) -> u128 {
    dollars * 100_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_every_kind_are_executed_when_their_triggers_are_met_and_not_before() -> eyre::Result<()> {
    let guarded = Guarded::new().await?;
    let fixture = &guarded.fixture;
    // The exchange takes ether at 2,000 dollars, from which an order above that could not be executed.
    fixture.set_price(answer(1_960)).await?;
    let protect = guarded.borrow(BORROWER, IGuard::Kind::Protect, terms(U256::ZERO), true).await?;
    let below = guarded.borrow(BORROWER + 1, IGuard::Kind::CloseBelow, terms(price(1_941)), true).await?;
    let above = guarded.borrow(BORROWER + 2, IGuard::Kind::CloseAbove, terms(price(1_980)), true).await?;
    let setup = guarded.setup("keeper", [8, 9], "");
    let keeper = guarded.start(&setup).await?;
    let signer = fixture.suite.devnet.account(9)?;
    fixture.stop_mining().await?;

    fixture.set_price(answer(1_950)).await?;
    fixture.mine_blocks(3, &keeper).await?;
    ensure!(guarded.executed().await?.is_empty(), "no trigger is met");
    let status = keeper.api("status").await?;
    ensure!(status["orders"]["total"] == 0 && status["markets"][0]["orders"].is_u64(), "{}", status["orders"]);

    fixture.set_price(answer(1_940)).await?;
    let executed = guarded.wait_until_executed(1, &[&keeper]).await?;
    ensure!(executed.iter().all(|event| event.account == below), "{executed:?}");
    ensure!(guarded.loan(below).await?[0].is_zero(), "the loan is closed");

    // 15,000 ÷ 19,000 is 78.9 %.
    fixture.set_price(answer(1_900)).await?;
    guarded.wait_until_executed(2, &[&keeper]).await?;
    let ltv = guarded.ltv_bps(protect).await?;
    ensure!((5_999..=6_000).contains(&ltv), "the loan is brought to its target: {ltv}");

    fixture.set_price(answer(1_980)).await?;
    let executed = guarded.wait_until_executed(3, &[&keeper]).await?;
    ensure!(executed.iter().any(|event| event.account == above), "{executed:?}");

    soon(keeper.wait_until("status", |status| status["totals"]["executed"] == 3)).await?;
    let activity = keeper.api("activity").await?;
    let kinds: Vec<_> = activity["activity"].as_array().into_iter().flatten().map(|entry| &entry["kind"]).collect();
    ensure!(kinds == ["order"; 3], "{kinds:?}");
    ensure!(guarded.dollars_of(signer).await? > U256::ZERO, "the executor has the profit");
    let gas: Vec<_> = fixture.mined_transactions(signer).await?.values().map(|(_, _, gas)| *gas).collect();
    ensure!(gas.iter().all(|gas| *gas < 340_000), "{gas:?}");
    let journal = fixture.settle_and_end(keeper, &setup).await?;
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_executed_while_the_borrow_price_is_not_available() -> eyre::Result<()> {
    let guarded = Guarded::new().await?;
    let fixture = &guarded.fixture;
    let account = guarded.borrow(BORROWER, IGuard::Kind::Protect, terms(U256::ZERO), true).await?;
    fixture.stop_mining().await?;
    fixture.set_price(answer(1_900)).await?;
    // The feed is three hours old, and borrowing stops after two.
    fixture.provider().anvil_set_next_block_timestamp(guarded.now().await? + 10_800).await?;
    fixture.mine().await?;
    let oracle = IOracle::new(fixture.params.oracle, fixture.provider());
    ensure!(oracle.borrowPrice().call().await.is_err(), "the borrow price is available");
    let keeper = guarded.start(&guarded.setup("keeper", [8, 9], "")).await?;
    guarded.wait_until_executed(1, &[&keeper]).await?;
    ensure!(guarded.ltv_bps(account).await? <= 6_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_keeper_and_a_reorg_do_not_execute_an_order_twice() -> eyre::Result<()> {
    let guarded = Guarded::new().await?;
    let fixture = &guarded.fixture;
    let accounts = [
        guarded.borrow(BORROWER, IGuard::Kind::CloseBelow, terms(price(1_951)), true).await?,
        guarded.borrow(BORROWER + 1, IGuard::Kind::CloseBelow, terms(price(1_901)), true).await?,
        guarded.borrow(BORROWER + 2, IGuard::Kind::CloseBelow, terms(price(1_851)), true).await?,
    ];
    let signer = fixture.suite.devnet.account(9)?;
    let mut proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let setup =
        KeeperSetup { endpoints: vec![format!("url = \"{}\"", proxy.ws_url())], ..guarded.setup("keeper", [8, 9], "") };
    fixture.stop_mining().await?;
    let mut keeper = guarded.start(&setup).await?;

    // In the journal and being sent.
    let stall = proxy.inject(Rule::from(Fault::Stall(Phase::AfterForwarding)).on(&["eth_sendRawTransaction"]));
    fixture.set_price(answer(1_950)).await?;
    soon(proxy.wait_for(|counts| counts.acted(stall) > 0)).await?;
    drop(keeper);
    proxy.cut_connections().await?;
    proxy.lift(stall);
    keeper = guarded.start(&setup).await?;
    guarded.wait_until_executed(1, &[&keeper]).await?;

    // Mined, just before the keeper notices.
    let mut observer = Observer::start(&fixture.suite.devnet.node).await?;
    fixture.set_price(answer(1_900)).await?;
    soon(observer.next_pending()).await?;
    fixture.mine().await?;
    drop(keeper);
    keeper = guarded.start(&setup).await?;
    guarded.wait_until_executed(2, &[&keeper]).await?;

    // Mined, and reorged while no keeper runs.
    fixture.set_price(answer(1_850)).await?;
    let fallen = fixture.head().await?;
    guarded.wait_until_executed(3, &[&keeper]).await?;
    drop(keeper);
    let depth = fixture.head().await? - fallen;
    fixture.provider().anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    ensure!(guarded.executed().await?.len() < 3, "nothing was reorged");
    keeper = guarded.start(&setup).await?;
    guarded.wait_until_executed(3, &[&keeper]).await?;

    let journal = fixture.settle_and_end(keeper, &setup).await?;
    let mut times = BTreeMap::<Address, u32>::new();
    for event in guarded.executed().await? {
        *times.entry(event.account).or_default() += 1;
    }
    ensure!(times == accounts.into_iter().map(|account| (account, 1)).collect(), "{times:?}");
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_trigger_is_no_longer_met_frees_its_nonce() -> eyre::Result<()> {
    let guarded = Guarded::new().await?;
    let fixture = &guarded.fixture;
    guarded.borrow(BORROWER, IGuard::Kind::Protect, terms(U256::ZERO), true).await?;
    let proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let lost = proxy.inject(Rule::from(Fault::Reset(Phase::BeforeForwarding)).on(&["eth_sendRawTransaction"]));
    let read = format!("url = \"{}\"\nrole = \"read\"", fixture.suite.devnet.node.ws_url());
    let send = format!("url = \"{}\"\nrole = \"private\"", proxy.http_url());
    let setup = KeeperSetup { endpoints: vec![read, send], ..guarded.setup("keeper", [8, 9], "") };
    let keeper = guarded.start(&setup).await?;
    fixture.stop_mining().await?;
    fixture.set_price(answer(1_900)).await?;
    soon(proxy.wait_for(|counts| counts.of("eth_sendRawTransaction") > 0)).await?;
    soon(keeper.wait_until("status", |status| status["signers"][1]["pending"] == 1)).await?;
    fixture.set_price(answer(2_000)).await?;
    soon(keeper.wait_until("status", |status| status["signers"][1]["pending"] == 0)).await?;
    proxy.lift(lost);
    fixture.mine_blocks(3, &keeper).await?;
    ensure!(guarded.executed().await?.is_empty(), "an order was executed whose trigger is not met");
    fixture.set_price(answer(1_900)).await?;
    guarded.wait_until_executed(1, &[&keeper]).await?;
    let journal = fixture.settle_and_end(keeper, &setup).await?;
    ensure!(journal.iter().all(|entry| entry.nonce == 0), "the nonce was not used again: {journal:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keepers_gas_of_an_order_and_of_a_lost_race_is_that_of_the_contracts() -> eyre::Result<()> {
    let guarded = Guarded::new().await?;
    let Fixture { suite, params, .. } = &guarded.fixture;
    let fee = suite.deployment.pools.get("weth-usdc").wrap_err("there is no such pool")?.fee;
    let executor = suite.contract("OrderExecutor")?;
    let caller = suite.devnet.account(9)?;
    // The first one pays the executor's own balance of the token for the first time; orders of several uses, and of one.
    for (index, (account, uses)) in [(BORROWER, 3), (BORROWER + 1, 3), (BORROWER + 2, 1)].into_iter().enumerate() {
        let order = IGuard::Order { uses, ..terms(U256::ZERO) };
        let account = guarded.borrow(account, IGuard::Kind::Protect, order, true).await?;
        guarded.fixture.set_price(answer(1_900)).await?;
        let wanted = IOrderExecutor::OrderExecution {
            params: params.clone(),
            account,
            kind: IGuard::Kind::Protect,
            swapper: suite.contract("UniswapV3Swapper")?,
            route: route(params.collateralToken, fee, params.loanToken),
            minProfit: U256::ONE,
            unitsPerWeiX96: 1 << 68,
            gasOverhead: U256::from(40_000),
            extraWei: U256::ONE,
            receiver: caller,
            deadline: U256::MAX,
        };
        let contract = IOrderExecutor::new(executor, suite.devnet.provider());
        let call = contract.execute(wanted).from(caller).gas(1_000_000);
        let [executed, late] = [call.send().await?.get_receipt().await?, call.send().await?.get_receipt().await?];
        ensure!(executed.status() && !late.status(), "{executed:?} {late:?}");
        let [used, lost] = [executed.gas_used, late.gas_used];
        let table = GasTable::default().order_gas(1);
        // What a first receipt of tokens takes besides is in the gas limit's headroom.
        ensure!(index == 0 || (table * 85 / 100..=table).contains(&used), "{used} gas, and {table} in the table");
        ensure!((LOST_RACE_GAS * 80 / 100..=LOST_RACE_GAS).contains(&lost), "{lost} gas, and {LOST_RACE_GAS} taken");
        guarded.fixture.set_price(answer(2_000)).await?;
    }
    Ok(())
}

/// Lets the price fall by 2 dollars a block until the order of a borrower was executed by one of the keepers, which want
/// these margins. Returns the premium, 1e18-scaled.
async fn premium_among(margins: &[&str]) -> eyre::Result<U256> {
    let guarded = Guarded::new().await?;
    let fixture = &guarded.fixture;
    guarded.borrow(BORROWER, IGuard::Kind::Protect, terms(U256::ZERO), true).await?;
    let mut keepers = Vec::new();
    for (number, margin) in (0_usize..).zip(margins) {
        let signers = [6 + 2 * (number % 2), 7 + 2 * (number % 2)];
        let further = format!("[guard]\nmin_margin = \"{margin}\"\n");
        keepers.push(guarded.start(&guarded.setup(&format!("keeper{number}"), signers, &further)).await?);
    }
    fixture.stop_mining().await?;
    // What a keeper wants depends on the base fee, which would fall with every block that is almost empty.
    let base_fee = || fixture.provider().anvil_set_next_block_base_fee_per_gas(BASE_FEE);
    base_fee().await?;
    fixture.mine().await?;
    for dollars in (1_800..1_926).rev().step_by(2) {
        base_fee().await?;
        // At a price of its own: the node's suggestion is for the base fee of before.
        fixture.suite.send_price_first("eth-usd", answer(dollars)).await?;
        fixture.mine().await?;
        let head = fixture.head().await?;
        for keeper in &keepers {
            keeper.wait_for_block(head).await?;
            keeper.wait_for_response(fixture.provider(), head).await?;
        }
        fixture.mine().await?;
        if let Some(event) = guarded.executed().await?.first() {
            return Ok(event.execution.premium);
        }
    }
    eyre::bail!("nobody executed the order")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_keeper_that_is_content_with_less_lowers_the_premium_that_the_account_pays() -> eyre::Result<()> {
    let alone = premium_among(&["20000%"]).await?;
    let contested = premium_among(&["20000%", "10%"]).await?;
    ensure!(contested < alone, "{contested} with two keepers, {alone} with one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_never_succeed_have_a_reason_and_keep_nobody_else_waiting() -> eyre::Result<()> {
    let guarded = Guarded::new().await?;
    let fixture = &guarded.fixture;
    let stranger = guarded.borrow(BORROWER, IGuard::Kind::Protect, terms(U256::ZERO), false).await?;
    let honest = guarded.borrow(BORROWER + 1, IGuard::Kind::Protect, terms(U256::ZERO), true).await?;
    let keeper = guarded.start(&guarded.setup("keeper", [8, 9], "")).await?;
    fixture.stop_mining().await?;
    fixture.set_price(answer(1_900)).await?;
    let executed = guarded.wait_until_executed(1, &[&keeper]).await?;
    ensure!(executed.iter().all(|event| event.account == honest), "{executed:?}");
    let is_explained = |status: &serde_json::Value| {
        let orders = status["orders"]["orders"].as_array().into_iter().flatten();
        let mut of_stranger = orders.filter(|order| {
            order["account"].as_str().and_then(|account| account.parse::<Address>().ok()) == Some(stranger)
        });
        of_stranger.any(|order| {
            let text = order["decision"]["text"].as_str().unwrap_or_default();
            order["decision"]["reason"] == "reverts" && text.contains("Unauthorized")
        })
    };
    soon(keeper.wait_until("status", is_explained)).await?;
    // An order in a market that is not followed is not in the book.
    let unknown = B256::repeat_byte(7);
    let guard = IGuard::new(guarded.guard, fixture.provider());
    fixture.provider().anvil_set_auto_mine(true).await?;
    mined(guard.cancel(unknown, IGuard::Kind::Protect).from(stranger)).await?;
    mined(guard.cancelAll().from(stranger)).await?;
    let head = fixture.head().await?;
    keeper.wait_for_block(head).await?;
    soon(keeper.wait_until("status", |status| status["orders"]["total"] == 0)).await?;
    Ok(())
}
