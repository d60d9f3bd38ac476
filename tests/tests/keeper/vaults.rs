//! A keeper moves a vault's assets to the market that pays more, and out of one whose oracle has no price.

use std::path::Path;

use alloy::{
    primitives::{Address, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IPlimsoll, IVault};
use plimsoll_deploy::manifest::Manifest;
use plimsoll_testkit::{
    deployment::Suite,
    devnet::mined,
    keeper::{Keeper, KeeperSetup},
    market::units,
    market_env::MarketEnv,
    workspace::workspace,
};
use serde_json::Value;

use super::fixture::{program, soon};

/// Anvil's account 9, which signs harvests and rebalances.
const VAULT: &str = r#"
[vaults.usdc]
asset = "USDC"
name = "Plimsoll USDC Vault"
symbol = "plvUSDC"
owner = "owner"
curator = "owner"
allocators = ["0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"]
max_rate = "100%"
penalty = "0.1%"
raise_delay = "3 days"
deposit_market = "weth-usdc"
markets = { weth-usdc = { amount = "10000000 USDC" }, wbtc-usdc = { amount = "10000000 USDC" } }
"#;
const SETTINGS: &str = "[rebalance]\ninterval = \"1 second\"\n";
/// A dollar in units of a feed.
const DOLLAR_E8: u128 = 100_000_000;
/// The account that deposits into the vault.
const DEPOSITOR: usize = 3;

struct Fixture {
    suite: Suite,
    vault: Address,
}

impl Fixture {
    /// A vault with a million dollars in the market `weth-usdc`, where little is borrowed, while most of `wbtc-usdc` is.
    async fn new() -> eyre::Result<Self> {
        let path = workspace()?.root().join("examples/local.toml");
        let text = std::fs::read_to_string(&path)?
            .replace("# Vaults: one deposit", &format!("{VAULT}\n# Vaults: one deposit"));
        let manifest = Box::new(Manifest::parse(Path::new("local.toml"), text)?);
        let suite = Suite::start_from(&manifest, &[]).await?;
        let vault = suite.deployment.address("vaults.usdc").wrap_err("the vault is not on record")?;
        let (calm, busy) = (suite.market("weth-usdc")?, suite.market("wbtc-usdc")?);
        suite.supply(&busy, units(1_000_000, 6)).await?;
        suite.open_loan(&busy, suite.devnet.account(4)?, units(100, 8), units(950_000, 6)).await?;
        let depositor = suite.devnet.account(DEPOSITOR)?;
        let assets = units(1_000_000, 6);
        suite.devnet.mint_and_approve(calm.loanToken, depositor, assets, vault).await?;
        let contract = IVault::new(vault, suite.provider());
        mined(contract.deposit(assets, depositor, U256::ZERO).from(depositor)).await?;
        suite.open_loan(&calm, suite.devnet.account(5)?, units(200, 18), units(200_000, 6)).await?;
        Ok(Self { suite, vault })
    }

    /// Returns what the vault has in each market: `weth-usdc` and `wbtc-usdc`.
    async fn holdings(&self) -> eyre::Result<[IVault::Holding; 2]> {
        let holdings = IVault::new(self.vault, self.suite.provider()).holdings().call().await?;
        let of = |name: &str| {
            let id = self.suite.market(name)?.id().0;
            holdings.iter().find(|holding| holding.id == id).cloned().wrap_err("no such market")
        };
        Ok([of("weth-usdc")?, of("wbtc-usdc")?])
    }

    /// Mines blocks, each when the keeper has answered the last, until its status meets a condition. Returns how many.
    async fn mine_until(
        &self,
        keeper: &Keeper,
        condition: impl AsyncFn(&Value) -> eyre::Result<bool>,
    ) -> eyre::Result<u64> {
        soon(async {
            let provider = self.suite.provider();
            let mut blocks = 0;
            loop {
                blocks += 1;
                provider.evm_mine(None).await?;
                keeper.wait_for_response(provider, provider.get_block_number().await?).await?;
                if condition(&keeper.api("status").await?).await? {
                    return Ok(blocks);
                }
            }
        })
        .await
    }
}

fn decision(status: &Value) -> &str {
    status["vaults"][0]["decision"]["reason"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_is_moved_to_the_better_market_and_out_of_one_without_a_price() -> eyre::Result<()> {
    let fixture = Box::pin(Fixture::new()).await?;
    let setup = KeeperSetup { further: SETTINGS.to_owned(), ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    fixture.mine_until(&keeper, async |status| Ok(decision(status) == "rates_are_level")).await?;

    let [calm, busy] = fixture.holdings().await?;
    ensure!(busy.assets > units(100_000, 6), "{busy:?}");
    let status = keeper.api("status").await?;
    let rates: Vec<_> =
        (0..2).filter_map(|index| status["vaults"][0]["markets"][index]["supply_rate_bps"].as_u64()).collect();
    let [one, other] = rates[..] else { eyre::bail!("{status}") };
    ensure!(one.abs_diff(other) <= 20, "{rates:?}");
    let idle = IVault::new(fixture.vault, fixture.suite.provider()).state().call().await?.idle;
    ensure!(idle >= (calm.assets + busy.assets) / U256::from(60), "{idle}");

    // A bitcoin for nothing: the oracle reverts.
    fixture.suite.set_price("btc-usd", "0").await?;
    let left = async |_: &Value| {
        let [_, busy] = fixture.holdings().await?;
        Ok(busy.withdrawable <= U256::ONE)
    };
    let blocks = fixture.mine_until(&keeper, left).await?;
    // One in which the keeper sees the price, and one with its transaction, however many fit into the interval.
    ensure!(blocks <= 2, "{blocks} blocks");
    let status = keeper.api("status").await?;
    ensure!(status["audit"]["mismatches"] == 0, "{}", status["audit"]);
    let activity: Vec<_> =
        status["timeline"].as_array().into_iter().flatten().map(|entry| entry["kind"].as_str()).collect();
    ensure!(activity.iter().filter(|kind| **kind == Some("rebalance")).count() >= 2, "{activity:?}");
    keeper.shut_down().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_leaves_a_flagged_market_in_the_block_in_which_loans_are_liquidated() -> eyre::Result<()> {
    let fixture = Box::pin(Fixture::new()).await?;
    let (suite, provider) = (&fixture.suite, fixture.suite.provider());
    let market_env = MarketEnv::open(suite, "weth-usdc", "eth-usd", [units(10_000, 18), units(20_000_000, 6)]).await?;
    suite.open_loan(&market_env.market, suite.devnet.account(6)?, units(10, 18), units(15_900, 6)).await?;
    let setup = KeeperSetup { further: SETTINGS.to_owned(), ..KeeperSetup::live(suite) };
    let keeper = Keeper::start_with(suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    fixture.mine_until(&keeper, async |status| Ok(decision(status) == "rates_are_level")).await?;
    let [_, busy] = fixture.holdings().await?;
    ensure!(busy.assets > units(100_000, 6), "{busy:?}");
    market_env.trade_to(1_830 * DOLLAR_E8).await?;

    // One block has both: a loan becomes liquidatable, and the market of bitcoin has no price.
    provider.anvil_set_auto_mine(false).await?;
    let first = provider.get_block_number().await? + 1;
    suite.send_price("eth-usd", 1_830 * DOLLAR_E8).await?;
    suite.send_price("btc-usd", 0).await?;
    provider.evm_mine(None).await?;
    let both_signers = async || {
        for signer in keeper.signers() {
            let pending = provider.get_transaction_count(signer).pending().await?;
            if pending == provider.get_transaction_count(signer).await? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    ensure!(keeper.wait_until_sent(first, both_signers).await?, "{}", keeper.api("status").await?);
    provider.evm_mine(None).await?;

    let filter = Filter::new().select(first + 1);
    let logs = provider.get_logs(&filter).await?;
    let count = |signature| logs.iter().filter(|log| log.topic0() == Some(&signature)).count();
    ensure!(count(IPlimsoll::Liquidate::SIGNATURE_HASH) == 1, "{logs:?}");
    ensure!(count(IVault::Deallocate::SIGNATURE_HASH) >= 1, "{logs:?}");
    let [_, busy] = fixture.holdings().await?;
    ensure!(busy.withdrawable <= U256::ONE, "{busy:?}");
    keeper.shut_down().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_is_no_allocator_says_so_and_a_dry_run_sends_nothing() -> eyre::Result<()> {
    let fixture = Box::pin(Fixture::new()).await?;
    let others = KeeperSetup {
        signers: KeeperSetup::anvil_signers([8, 7]),
        further: SETTINGS.to_owned(),
        ..KeeperSetup::live(&fixture.suite)
    };
    let keeper = Keeper::start_with(&fixture.suite, program(), &others).await?;
    keeper.wait_until_ready().await?;
    fixture.mine_until(&keeper, async |status| Ok(decision(status) == "not_allocator")).await?;
    keeper.shut_down().await?;
    let dry = KeeperSetup {
        live: false,
        folder: "dry".to_owned(),
        further: SETTINGS.to_owned(),
        ..KeeperSetup::live(&fixture.suite)
    };
    let keeper = Keeper::start_with(&fixture.suite, program(), &dry).await?;
    keeper.wait_until_ready().await?;
    fixture.mine_until(&keeper, async |status| Ok(decision(status) == "dry_run")).await?;
    let [_, busy] = fixture.holdings().await?;
    ensure!(busy.assets.is_zero(), "{busy:?}");
    keeper.shut_down().await
}
