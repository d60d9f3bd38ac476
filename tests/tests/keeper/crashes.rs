//! Crashes of all prices on protocols whose accounts have several collaterals and debts, from their real bytecode: whole
//! keepers liquidate every account that is worth it, and no healthy one, and book what they earn.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use alloy::{
    eips::BlockId,
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
};
use eyre::{ContextCompat, ensure};
use plimsoll_testkit::{
    aave_v3::Release,
    keeper::{Keeper, KeeperSetup},
    protocols::{ANVIL_ARGUMENTS, Lender, Protocols, Tally},
    proxy::Proxy,
    random::Random,
    venus, venus_core,
};

use super::fixture::{EARLY_FINALITY, Fixture, program};

/// Falls of prices in a crash, in basis points of the first ones.
const FALLS: [u64; 3] = [800, 1_600, 2_500];
const ACCOUNTS: usize = 12;
/// Most blocks of a step.
const MAX_BLOCKS: u64 = 60;
/// Blocks in which accounts are liquidated before all of that is reorged: together with the few that the keepers' starts take,
/// fewer than make a transaction final.
const BLOCKS_BEFORE_REORG: u64 = 4;
/// Blocks after which no reorg reaches what is in a checkpoint, and some.
const BLOCKS_TO_CHECKPOINT: u64 = 70;
/// Falls of prices by which accounts come near the line one by one, in basis points of the first ones: less than keeps any out of
/// the keeper's reach before it is liquidatable.
const STEP_BPS: u64 = 40;
/// Blocks in which prices stay before each fall: what the next block's request tries is planned after a block's decisions.
const BLOCKS_TO_PLAN: u64 = 2;
/// Most of these falls.
const MAX_STEPS: u64 = 60;
/// Base fee, in wei, at which a liquidation costs a small part of its bonus.
const BASE_FEE: u128 = 1_000_000_000;

struct Crash {
    protocols: Protocols,
    tallies: BTreeMap<Lender, Tally>,
}

impl Crash {
    async fn new(lenders: &[Lender], release: Release, seed: u64) -> eyre::Result<Self> {
        let arguments = if lenders.iter().any(|lender| lender.is_venus()) { &ANVIL_ARGUMENTS[..] } else { &[] };
        let mut protocols = Protocols::start_with(lenders, release, arguments).await?;
        let mut random = Random::from_seed(seed);
        for lender in lenders {
            protocols.open(*lender, ACCOUNTS, &mut random).await?;
        }
        let provider = protocols.suite.provider();
        provider.anvil_set_auto_mine(false).await?;
        provider.anvil_set_next_block_base_fee_per_gas(BASE_FEE).await?;
        Ok(Self { protocols, tallies: BTreeMap::new() })
    }

    fn setup(&self) -> KeeperSetup {
        let further = format!("{EARLY_FINALITY}{}", self.protocols.keeper_settings());
        KeeperSetup { further, ..KeeperSetup::live(&self.protocols.suite) }
    }

    async fn keeper(&self) -> eyre::Result<Keeper> {
        let keeper = Keeper::start_with(&self.protocols.suite, program(), &self.setup()).await?;
        keeper.wait_until_ready().await?;
        self.protocols.mine(&keeper).await?;
        self.protocols.mine(&keeper).await?;
        Ok(keeper)
    }

    async fn fall(&mut self, fall_bps: u64, keeper: &Keeper) -> eyre::Result<()> {
        self.protocols.fall(fall_bps).await?;
        self.protocols.note(&mut self.tallies, false).await?;
        self.protocols.settle(keeper).await?;
        self.protocols.mine_until_quiet(keeper, MAX_BLOCKS).await?;
        self.protocols.note(&mut self.tallies, true).await
    }

    /// Checks that every account that was worth it was liquidated, and no healthy one was.
    async fn ensure_liquidated(&mut self, keeper: &Keeper) -> eyre::Result<()> {
        self.protocols.note_liquidations(&mut self.tallies).await?;
        let status = keeper.api("status").await?["protocols"].to_string();
        for (lender, tally) in &self.tallies {
            let name = lender.name();
            ensure!(!tally.liquidatable.is_empty(), "{name}: no account could be liquidated");
            ensure!(tally.missed.is_empty(), "{name}: {:?} were missed\n{status}", tally.missed);
            ensure!(tally.healthy_touched.is_empty(), "{name}: {:?} were healthy", tally.healthy_touched);
            ensure!(tally.liquidated.is_superset(&tally.liquidatable), "{name}: {tally:?}\n{status}");
        }
        Ok(())
    }

    /// Checks that the keeper booked what its account received, and lost nothing.
    async fn ensure_booked(&self, keeper: &Keeper) -> eyre::Result<()> {
        let earnings = self.protocols.earnings(keeper).await?;
        ensure!(earnings.reverted == 0 && earnings.transactions > 0, "{earnings:?}");
        ensure!(earnings.book_differs.is_empty() && earnings.successful_with_loss.is_empty(), "{earnings:?}");
        Ok(())
    }
}

async fn crash(lenders: &[Lender], seed: u64) -> eyre::Result<Protocols> {
    let mut crash = Box::pin(Crash::new(lenders, Release::V3_0, seed)).await?;
    let keeper = crash.keeper().await?;
    for fall_bps in FALLS {
        crash.fall(fall_bps, &keeper).await?;
    }
    crash.ensure_liquidated(&keeper).await?;
    crash.ensure_booked(&keeper).await?;
    Ok(crash.protocols)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_crash_every_account_of_aave_that_is_worth_it_is_liquidated_and_no_healthy_one() -> eyre::Result<()> {
    Box::pin(crash(&[Lender::AaveV3], 1)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_crash_every_account_of_venus_that_is_worth_it_is_liquidated_and_no_healthy_one() -> eyre::Result<()> {
    if !has_venus()? {
        return Ok(());
    }
    Box::pin(crash(&[Lender::Venus], 2)).await?;
    Ok(())
}

/// A keeper is killed with transactions in the pool; then what it liquidated is reorged while none runs.
#[tokio::test(flavor = "multi_thread")]
async fn through_a_kill_and_a_reorg_accounts_of_aave_3_6_are_liquidated_and_nothing_is_sent_twice() -> eyre::Result<()>
{
    Box::pin(kill_and_reorg(Lender::AaveV3, 3)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_kill_and_a_reorg_accounts_of_venus_are_liquidated_and_nothing_is_sent_twice() -> eyre::Result<()> {
    if !has_venus()? {
        return Ok(());
    }
    Box::pin(kill_and_reorg(Lender::Venus, 4)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_crash_every_account_of_venus_core_pool_that_is_worth_it_is_liquidated_and_no_healthy_one()
-> eyre::Result<()> {
    if !has_venus()? {
        return Ok(());
    }
    let (mut repaid, mut seized) = (0, 0);
    for seed in [9, 12] {
        let protocols = Box::pin(crash(&[Lender::VenusCore], seed)).await?;
        let [of_debts, of_collateral] = protocols.coin_liquidations().await?;
        (repaid, seized) = (repaid + of_debts, seized + of_collateral);
    }
    ensure!(repaid > 0 && seized > 0, "{repaid} liquidations repaid the chain's own coin, and {seized} seized it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_kill_and_a_reorg_accounts_of_venus_core_pool_are_liquidated_and_nothing_is_sent_twice()
-> eyre::Result<()> {
    if !has_venus()? {
        return Ok(());
    }
    Box::pin(kill_and_reorg(Lender::VenusCore, 6)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_aave_near_the_line_is_liquidated_by_what_one_request_of_the_block_has_answered()
-> eyre::Result<()> {
    Box::pin(one_request(Lender::AaveV3, 5)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_venus_near_the_line_is_liquidated_by_what_one_request_of_the_block_has_answered()
-> eyre::Result<()> {
    if !has_venus()? {
        return Ok(());
    }
    Box::pin(one_request(Lender::Venus, 6)).await
}

/// Prices fall a little at a time. In a block in which that makes an account liquidatable the node is asked, until the broadcast,
/// for what the book reads and for what the protocol reads, at the same time, and for nothing after that.
async fn one_request(lender: Lender, seed: u64) -> eyre::Result<()> {
    const REQUESTS: u64 = 2;
    let mut crash = Box::pin(Crash::new(&[lender], Release::V3_0, seed)).await?;
    let provider = crash.protocols.suite.provider().clone();
    let proxy = Proxy::start(crash.protocols.suite.devnet.node.address()).await?;
    let setup = KeeperSetup { endpoints: vec![format!("url = \"{}\"", proxy.ws_url())], ..crash.setup() };
    let keeper = Keeper::start_with(&crash.protocols.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    // Interest and splits of a sale change a call now and then, which then was not tried ahead: another account's shows it.
    let mut requests = Vec::new();
    for step in 1..=MAX_STEPS {
        for _ in 0..BLOCKS_TO_PLAN {
            crash.protocols.mine(&keeper).await?;
        }
        let sent = proxy.counts().of("eth_sendRawTransaction");
        crash.protocols.fall(step * STEP_BPS).await?;
        let head = provider.get_block(BlockId::latest()).await?.wrap_err("no block")?.header.hash;
        if !crash.protocols.settle(&keeper).await? || proxy.counts().of("eth_sendRawTransaction") == sent {
            continue;
        }
        requests.push(proxy.counts().calls_before_sending(head));
        crash.protocols.mine_until_quiet(&keeper, MAX_BLOCKS).await?;
        if requests.contains(&REQUESTS) {
            break;
        }
    }
    ensure!(requests.contains(&REQUESTS) && requests.iter().all(|count| *count >= REQUESTS), "{requests:?}");
    crash.protocols.note_liquidations(&mut crash.tallies).await?;
    crash.ensure_booked(&keeper).await
}

/// Whether the packages of Venus are there; says so if they are not.
fn has_venus() -> eyre::Result<bool> {
    let is_installed = venus::is_installed()? && venus_core::is_installed()?;
    if !is_installed {
        writeln!(io::stderr(), "SKIPPED: tools/venus is not installed: run npm ci --ignore-scripts there")?;
    }
    Ok(is_installed)
}

async fn kill_and_reorg(lender: Lender, seed: u64) -> eyre::Result<()> {
    let mut crash = Box::pin(Crash::new(&[lender], Release::V3_6, seed)).await?;
    let setup = crash.setup();
    let keeper = crash.keeper().await?;
    let signer = keeper.signer();
    // So many blocks later what is known of the accounts is in the checkpoint.
    crash.protocols.suite.provider().anvil_mine(Some(BLOCKS_TO_CHECKPOINT), None).await?;
    crash.protocols.mine(&keeper).await?;
    crash.protocols.fall(FALLS[2]).await?;
    crash.protocols.note(&mut crash.tallies, false).await?;
    let fallen = crash.protocols.suite.provider().get_block_number().await?;
    ensure!(crash.protocols.settle(&keeper).await?, "nothing is sent");
    drop(keeper);
    let keeper = crash.keeper().await?;
    ensure!(keeper.output().contains("checkpoint restored"), "{}", keeper.output());
    crash.protocols.mine_until_quiet(&keeper, BLOCKS_BEFORE_REORG).await?;
    let before = crash.protocols.liquidations(lender).await?.len();
    drop(keeper);
    let depth = crash.protocols.suite.provider().get_block_number().await? - fallen;
    crash.protocols.suite.provider().anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    ensure!(before > 0 && crash.protocols.liquidations(lender).await?.is_empty(), "nothing was reorged");
    let keeper = crash.keeper().await?;
    crash.protocols.mine_until_quiet(&keeper, MAX_BLOCKS).await?;
    crash.protocols.note(&mut crash.tallies, true).await?;
    crash.ensure_liquidated(&keeper).await?;
    let fixture = Fixture::in_market(crash.protocols.suite, "weth-usdc")?;
    let journal = fixture.settle_and_end(keeper, &setup).await?;
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}
