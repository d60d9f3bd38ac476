//! Orders in a market whose token or oracle turns hostile: the keeper stays up, pages nobody, asks no more than a little,
//! and executes everybody else's orders.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use alloy::primitives::{Bytes, bytes};
use tokio::net::TcpListener;

use super::*;

const BITCOIN: u128 = 100_000_000;
/// Account of the borrower in the hostile market.
const VICTIM: usize = 2;
const FIRST_HONEST: usize = 3;
/// Code that behaves badly in every call.
const REVERTS: Bytes = bytes!("60006000fd");
const USES_ALL_GAS: Bytes = bytes!("fe");
const NEVER_ENDS: Bytes = bytes!("5b600056");
const RETURNS_A_MEGABYTE: Bytes = bytes!("620f42406000f3");
const REVERTS_WITH_A_MEGABYTE: Bytes = bytes!("620f42406000fd");
/// Blocks in which requests are counted.
const WINDOW: u64 = 32;

/// Receives alerts, of which there should be none.
struct Pager {
    url: String,
    calls: Arc<AtomicUsize>,
}

impl Pager {
    async fn start() -> eyre::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (url, calls) = (format!("http://{}/", listener.local_addr()?), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(Self { url, calls })
    }
}

/// A market with a triggered order, which the keeper follows besides the one of honest borrowers.
struct Hostile {
    guarded: Guarded,
    params: MarketParams,
    /// Those whose orders close their loans, each at a lower price of an ether than the one before.
    honest: Vec<Address>,
    victim: Address,
    proxy: Proxy,
    pager: Pager,
    keeper: Keeper,
    setup: KeeperSetup,
}

impl Hostile {
    async fn start() -> eyre::Result<Self> {
        let guarded = Guarded::new().await?;
        let suite = &guarded.fixture.suite;
        let params = suite.market("wbtc-usdc")?;
        suite.supply(&params, U256::from(1_000_000 * DOLLAR)).await?;
        suite.add_liquidity("wbtc-usdc", U256::from(1_000 * BITCOIN), U256::from(60_000_000 * DOLLAR)).await?;
        // 66.7 % at 60,000 dollars.
        let order = IGuard::Order { triggerLtvBps: 7_000, targetLtvBps: 5_000, ..terms(U256::ZERO) };
        let loan = [BITCOIN, 40_000 * DOLLAR];
        let victim = guarded.borrow_in(&params, loan, VICTIM, IGuard::Kind::Protect, order, true).await?;
        let mut honest = Vec::new();
        for (index, account) in (0_u64..).zip(FIRST_HONEST..8) {
            let order = terms(price(1_951 - 50 * index));
            honest.push(guarded.borrow(account, IGuard::Kind::CloseBelow, order, true).await?);
        }
        let (proxy, pager) = (Proxy::start(suite.devnet.node.address()).await?, Pager::start().await?);
        let target = "[[alerts.targets]]\nname = \"pager\"\nformat = \"json\"\nmin_severity = \"critical\"\nurl_env = \"PAGER\"\n";
        let setup = KeeperSetup {
            endpoints: vec![format!("url = \"{}\"", proxy.ws_url())],
            ..guarded.setup("keeper", [8, 9], target)
        };
        let mut program = program();
        program.env("PAGER", &pager.url);
        let keeper = Keeper::start_with(suite, program, &setup).await?;
        keeper.wait_until_ready().await?;
        guarded.fixture.stop_mining().await?;
        Ok(Self { guarded, params, honest, victim, proxy, pager, keeper, setup })
    }

    /// Sets the price of a bitcoin, in a block of its own.
    async fn set_bitcoin(&self, dollars: u128) -> eyre::Result<()> {
        self.guarded.fixture.suite.send_price("btc-usd", answer(dollars)).await?;
        self.guarded.fixture.mine().await?;
        Ok(())
    }

    /// Lowers the price of an ether so that the next honest order is triggered, and waits until it is executed.
    async fn ensure_next_is_executed(&self, index: usize) -> eyre::Result<()> {
        self.guarded.fixture.set_price(answer(1_950 - 50 * u128::try_from(index)?)).await?;
        let executed = self.guarded.wait_until_executed(index + 1, &[&self.keeper]).await?;
        let accounts: Vec<_> = executed.iter().map(|event| event.account).collect();
        ensure!(accounts == self.honest[..=index], "{accounts:?}");
        Ok(())
    }

    /// Returns the number of requests to the node in some blocks in which nothing happens.
    async fn requests(&self) -> eyre::Result<u64> {
        self.proxy.reset_counts();
        self.guarded.fixture.mine_blocks(WINDOW, &self.keeper).await?;
        Ok(self.proxy.counts().total())
    }

    /// Lets an address behave in each of these ways while honest orders are triggered; then gives it its code back, upon
    /// which the order of its market is executed, too.
    async fn suffer(self, address: Address, behaviours: &[Bytes]) -> eyre::Result<()> {
        let provider = self.guarded.fixture.provider();
        let code = provider.get_code_at(address).await?;
        let usual = self.requests().await?;
        for (index, behaviour) in behaviours.iter().enumerate() {
            provider.anvil_set_code(address, behaviour.clone()).await?;
            self.set_bitcoin(56_000 - u128::try_from(index)?).await?;
            self.ensure_next_is_executed(index).await?;
        }
        let requests = self.requests().await?;
        ensure!(requests <= usual + WINDOW, "{requests} requests, and {usual} without a triggered order");
        provider.anvil_set_code(address, code).await?;
        self.set_bitcoin(55_900).await?;
        let executed = self.guarded.wait_until_executed(behaviours.len() + 1, &[&self.keeper]).await?;
        ensure!(executed.last().is_some_and(|event| event.account == self.victim), "{executed:?}");
        self.end().await
    }

    async fn end(self) -> eyre::Result<()> {
        let fixture = &self.guarded.fixture;
        fixture.settle_and_end(self.keeper, &self.setup).await?;
        fixture.ensure_none_reverted(fixture.suite.devnet.account(9)?).await?;
        ensure!(self.pager.calls.load(Ordering::SeqCst) == 0, "somebody was paged");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_collateral_token_keeps_no_other_order_waiting() -> eyre::Result<()> {
    let hostile = Hostile::start().await?;
    let token = hostile.params.collateralToken;
    hostile.suffer(token, &[REVERTS, USES_ALL_GAS, NEVER_ENDS, RETURNS_A_MEGABYTE, REVERTS_WITH_A_MEGABYTE]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_oracle_keeps_no_other_order_waiting() -> eyre::Result<()> {
    let hostile = Hostile::start().await?;
    let oracle = hostile.params.oracle;
    hostile.suffer(oracle, &[REVERTS, USES_ALL_GAS, NEVER_ENDS, RETURNS_A_MEGABYTE, REVERTS_WITH_A_MEGABYTE]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oscillating_oracle_costs_no_transaction_that_reverts() -> eyre::Result<()> {
    let hostile = Hostile::start().await?;
    let (fixture, keeper) = (&hostile.guarded.fixture, &hostile.keeper);
    let (provider, address) = (fixture.provider(), hostile.params.oracle);
    provider.anvil_set_auto_mine(true).await?;
    let model = fixture.suite.devnet.deploy("OneSlotOracle", U256::ZERO.abi_encode()).await?;
    provider.anvil_set_code(address, provider.get_code_at(model).await?).await?;
    fixture.stop_mining().await?;
    let oracle = IOneSlotOracle::new(address, provider);
    // Of units of dollars for one of bitcoin, 1e36-scaled: 71.4 % and 66.7 %.
    let scaled = |dollars: u64| U256::from(dollars) * U256::from(10).pow(U256::from(34));
    for round in 0..2 * hostile.honest.len() {
        let dollars = if round % 2 == 0 { 60_000 } else { 56_000 };
        let _pending = oracle.set(scaled(dollars)).from(fixture.suite.devnet.deployer()).send().await?;
        if round % 2 == 0 {
            fixture.set_price(answer(1_950 - 25 * u128::try_from(round)?)).await?;
        }
        fixture.mine_blocks(1, keeper).await?;
    }
    let is_done = |executed: &[IGuard::ExecuteOrder]| {
        hostile.honest.iter().all(|account| executed.iter().any(|event| event.account == *account))
    };
    let mut executed = hostile.guarded.executed().await?;
    while !is_done(&executed) {
        executed = hostile.guarded.wait_until_executed(executed.len() + 1, &[keeper]).await?;
    }
    hostile.end().await
}
