//! Accounts of Morpho Blue that have authorised a pre-liquidation contract, by a stand-in for it, before whole keepers: a part of
//! their debt is repaid before the market's line is reached, others are not touched, and beyond the line all are liquidated the
//! usual way; through a revocation, contracts of strangers, a restart, a reorg and a rival.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    providers::ext::AnvilApi,
    rpc::types::anvil::ReorgOptions,
};
use eyre::ensure;
use plimsoll_protocols::morpho_blue::{
    IMorphoBlue,
    IPreLiquidation::{self, PreLiquidate},
    PreLiquidationParams,
};
use plimsoll_testkit::{keeper::Keeper, morpho_blue::PreLiquidations, proxy::Proxy};
use serde_json::Value;

use super::{
    fixture::{program, soon},
    protocols::{Besides, DOLLAR, FIRST_FEE, LENDER, POLL_INTERVAL},
};
use crate::support::events;

/// Price of an ether at which the first four accounts are beyond 80 %, and none is beyond 86 %.
const IN_THE_ZONE: u128 = 1_790 * DOLLAR;
/// Blocks after which no reorg reaches what is in a checkpoint, and some.
const BLOCKS_TO_CHECKPOINT: u64 = 70;
/// Blocks after which something that should not happen has not happened.
const QUIET_BLOCKS: usize = 3;

struct Scene {
    besides: Besides,
    contract: Address,
}

impl Scene {
    /// With a contract that takes from 20 % to a half of the debt, from 80 % on.
    async fn new() -> eyre::Result<Self> {
        let besides = Besides::new().await?;
        let params = params("0.8", besides.market.oracle)?;
        let devnet = &besides.fixture.suite.devnet;
        let contract = besides.pre_liquidations.create(devnet, besides.market_id(), params).await?;
        Ok(Self { besides, contract })
    }

    /// Has an account authorise a contract or not, in a block of its own.
    async fn authorise(&self, account: usize, contract: Address, is_authorised: bool) -> eyre::Result<()> {
        let core = IMorphoBlue::new(self.besides.morpho.core, self.besides.fixture.provider());
        let call = core.setAuthorization(contract, is_authorised).from(self.besides.borrowers[account]).gas(100_000);
        let pending = call.max_fee_per_gas(2 * FIRST_FEE).max_priority_fee_per_gas(FIRST_FEE).send().await?;
        self.besides.fixture.mine().await?;
        ensure!(pending.get_receipt().await?.status(), "the authorisation is refused");
        Ok(())
    }

    /// Returns how often each borrower was pre-liquidated on the present chain.
    async fn pre_liquidated(&self) -> eyre::Result<BTreeMap<Address, u64>> {
        let mut times = BTreeMap::new();
        for event in events::<PreLiquidate>(self.besides.fixture.provider(), self.contract).await? {
            *times.entry(event.borrower).or_default() += 1;
        }
        Ok(times)
    }

    /// Mines blocks until so many borrowers were pre-liquidated, and then a few more. Checks that they are these, each once.
    async fn ensure_pre_liquidated(&self, accounts: &[usize], keeper: &Keeper) -> eyre::Result<()> {
        soon(async {
            while self.pre_liquidated().await?.len() < accounts.len() {
                self.besides.mine(keeper).await?;
            }
            Ok(())
        })
        .await?;
        for _ in 0..QUIET_BLOCKS {
            self.besides.mine(keeper).await?;
        }
        let expected: BTreeMap<_, _> = accounts.iter().map(|account| (self.besides.borrowers[*account], 1)).collect();
        let found = self.pre_liquidated().await?;
        ensure!(found == expected, "{found:?} and not {expected:?}");
        ensure!(self.besides.liquidated().await?.is_empty(), "liquidated before the market's line");
        Ok(())
    }

    async fn shares_of(&self, account: usize) -> eyre::Result<u128> {
        let core = IMorphoBlue::new(self.besides.morpho.core, self.besides.fixture.provider());
        Ok(core.position(self.besides.market_id(), self.besides.borrowers[account]).call().await?.borrowShares)
    }
}

fn params(lltv: &str, oracle: Address) -> eyre::Result<PreLiquidationParams> {
    Ok(PreLiquidationParams {
        preLltv: parse_ether(lltv)?,
        preLCF1: parse_ether("0.2")?,
        preLCF2: parse_ether("0.5")?,
        preLIF1: parse_ether("1.03")?,
        preLIF2: parse_ether("1.05")?,
        preLiquidationOracle: oracle,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_authorised_are_pre_liquidated_and_no_others() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let (besides, contract) = (&scene.besides, scene.contract);
    let devnet = &besides.fixture.suite.devnet;
    // A contract of a factory that nobody named takes from 10 % on.
    let strangers = PreLiquidations::deploy(devnet, &besides.morpho).await?;
    let theirs = strangers.create(devnet, besides.market_id(), params("0.1", besides.market.oracle)?).await?;
    let setup = besides.setup(None);
    besides.stop_mining().await?;
    scene.authorise(0, contract, true).await?;
    scene.authorise(1, theirs, true).await?;
    scene.authorise(2, contract, true).await?;
    let mut keeper = besides.start(&setup).await?;
    let signer = keeper.signer();
    besides.mine(&keeper).await?;
    // A keeper that runs hears of a revocation.
    scene.authorise(2, contract, false).await?;
    besides.mine(&keeper).await?;
    besides.set_price(IN_THE_ZONE).await?;
    let whole = scene.shares_of(0).await?;
    scene.ensure_pre_liquidated(&[0], &keeper).await?;
    let left = scene.shares_of(0).await?;
    ensure!(left > whole / 2 && left < whole * 7 / 10, "{left} shares of {whole} are left");
    ensure!(besides.dollars_of(signer).await? > U256::from(50 * DOLLAR), "no profit");
    ensure!(besides.dollars_of(besides.executor).await?.is_zero(), "something is left in the executor");

    // After a restart it knows who has authorised, before and since.
    drop(keeper);
    scene.authorise(3, contract, true).await?;
    keeper = besides.start(&setup).await?;
    scene.ensure_pre_liquidated(&[0, 3], &keeper).await?;

    // Beyond the market's line everybody is liquidated the usual way: 1, 2, and the remaining loans of those who authorised.
    besides.set_price(1_480 * DOLLAR * 100 / 86 * 99 / 100).await?;
    soon(async {
        while besides.liquidated().await?.is_empty() {
            besides.mine(&keeper).await?;
        }
        Ok(())
    })
    .await?;
    ensure!(besides.liquidated().await?.contains_key(&besides.borrowers[1]), "{:?}", besides.liquidated().await?);
    ensure!(scene.shares_of(1).await? == 0, "not liquidated whole");
    let journal = besides.fixture.settle_and_end(keeper, &setup).await?;
    besides.fixture.ensure_none_reverted(signer).await?;
    besides.fixture.ensure_journal_is_complete(&journal, signer).await
}

/// Contracts, authorisations and revocations are in the checkpoint: a keeper that is killed and starts again asks for no log
/// before it, and hears of what happened since.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_keeper_pre_liquidates_by_what_its_checkpoint_has_and_reads_only_later_logs() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let besides = &scene.besides;
    let provider = besides.fixture.provider();
    let proxy = Proxy::start(besides.fixture.suite.devnet.node.address()).await?;
    let setup = besides.setup(Some(&proxy));
    besides.stop_mining().await?;
    for account in [0, 1, 2] {
        scene.authorise(account, scene.contract, true).await?;
    }
    scene.authorise(1, scene.contract, false).await?;
    let known = besides.fixture.head().await?;
    let keeper = besides.start(&setup).await?;
    provider.anvil_mine(Some(BLOCKS_TO_CHECKPOINT), None).await?;
    besides.mine(&keeper).await?;
    drop(keeper);

    // While no keeper runs, one account revokes what the checkpoint has, and another one authorises.
    scene.authorise(2, scene.contract, false).await?;
    scene.authorise(3, scene.contract, true).await?;
    proxy.reset_counts();
    let keeper = besides.start(&setup).await?;
    besides.mine(&keeper).await?;
    ensure!(keeper.output().contains("checkpoint restored"), "{}", keeper.output());
    for contract in [besides.morpho.core, besides.pre_liquidations.factory] {
        let from = proxy.counts().logs_from(contract);
        ensure!(from.is_some_and(|from| from > known), "logs of {contract} from block {from:?}, after {known}");
    }
    besides.set_price(IN_THE_ZONE).await?;
    scene.ensure_pre_liquidated(&[0, 3], &keeper).await?;
    let signer = keeper.signer();
    let journal = besides.fixture.settle_and_end(keeper, &setup).await?;
    besides.fixture.ensure_none_reverted(signer).await?;
    besides.fixture.ensure_journal_is_complete(&journal, signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_takes_an_authorisation_back_and_with_it_the_pre_liquidation() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let besides = &scene.besides;
    let setup = besides.setup(None);
    besides.stop_mining().await?;
    let keeper = besides.start(&setup).await?;
    besides.mine(&keeper).await?;
    besides.set_price(IN_THE_ZONE).await?;
    for _ in 0..QUIET_BLOCKS {
        besides.mine(&keeper).await?;
    }
    let before = besides.fixture.head().await?;
    scene.authorise(1, scene.contract, true).await?;
    scene.ensure_pre_liquidated(&[1], &keeper).await?;
    let depth = besides.fixture.head().await? - before;
    besides.fixture.provider().anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    ensure!(scene.pre_liquidated().await?.is_empty(), "nothing was reorged");
    scene.ensure_pre_liquidated(&[], &keeper).await?;
    scene.authorise(2, scene.contract, true).await?;
    scene.ensure_pre_liquidated(&[2], &keeper).await
}

/// The rival's transaction stands before ours in the same block.
#[tokio::test(flavor = "multi_thread")]
async fn a_rivals_pre_liquidation_leaves_nothing_to_do_twice() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let besides = &scene.besides;
    let (devnet, provider) = (&besides.fixture.suite.devnet, besides.fixture.provider());
    let rival = devnet.account(LENDER)?;
    let funds = U256::from(10_000 * DOLLAR);
    devnet.mint_and_approve(besides.market.loanToken, rival, funds, scene.contract).await?;
    let setup = besides.setup(None);
    besides.stop_mining().await?;
    scene.authorise(0, scene.contract, true).await?;
    let keeper = besides.start(&setup).await?;
    let signer = keeper.signer();
    besides.mine(&keeper).await?;
    besides.mine(&keeper).await?;
    besides.set_price(IN_THE_ZONE).await?;
    soon(async {
        while !besides.has_pending(signer).await? {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    })
    .await?;
    // So much that the account is not beyond the line any more.
    let shares = U256::from(scene.shares_of(0).await? / 3);
    let theirs = IPreLiquidation::new(scene.contract, provider);
    let call = theirs.preLiquidate(besides.borrowers[0], U256::ZERO, shares, Bytes::new()).from(rival).gas(1_000_000);
    let pending = call.max_fee_per_gas(2 * FIRST_FEE).max_priority_fee_per_gas(FIRST_FEE).send().await?;
    scene.ensure_pre_liquidated(&[0], &keeper).await?;
    ensure!(pending.get_receipt().await?.status(), "the rival failed");
    ensure!(besides.dollars_of(signer).await?.is_zero(), "a profit of a race that was lost");
    let journal = besides.fixture.settle_and_end(keeper, &setup).await?;
    besides.fixture.ensure_journal_is_complete(&journal, signer).await
}

/// An executor that does not list the factory liquidates at the market's line alone, and `check` says so.
#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_an_executor_without_the_factory_leaves_out() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let besides = &scene.besides;
    let setup = besides.setup(None);
    let file = besides.fixture.suite.scratch().join("keeper.toml");
    let strangers = PreLiquidations::deploy(&besides.fixture.suite.devnet, &besides.morpho).await?;
    let written = |factory: Address| {
        let further = setup.further.replace(&besides.pre_liquidations.factory.to_string(), &factory.to_string());
        std::fs::write(
            &file,
            format!("[deployment]\n{}\n[[endpoints]]\n{}\n{further}", setup.deployment, setup.endpoints[0]),
        )?;
        let said = program().args(["check", "--json", "--config"]).arg(&file).output()?;
        let report: Value = serde_json::from_slice(&said.stdout)?;
        let found: Vec<_> = report["findings"].as_array().into_iter().flatten().collect();
        let of_protocols = found.iter().filter(|finding| finding["area"] == "protocols");
        eyre::Ok(of_protocols.map(|finding| format!("{}: {}", finding["what"], finding["remedy"])).collect::<String>())
    };
    let right = written(besides.pre_liquidations.factory)?;
    ensure!(!right.contains("factory"), "{right}");
    let unlisted = written(strangers.factory)?;
    ensure!(unlisted.contains(&format!("does not list {}", strangers.factory)), "{unlisted}");
    let wrong = written(besides.morpho.core)?;
    ensure!(wrong.contains("is no factory of its pre-liquidation contracts"), "{wrong}");
    Ok(())
}
