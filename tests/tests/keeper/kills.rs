//! The keeper is killed by SIGKILL at the worst moments. Whatever it was doing, after a restart every loan is
//! liquidated exactly once (K2).

use alloy::{
    network::TransactionResponse as _,
    primitives::Address,
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
};
use eyre::ensure;
use plimsoll_keeper::store::{ResultRow, read_results};
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    observer::{Observation, Observer},
    proxy::{Fault, Phase, Proxy, Rule},
};

use super::fixture::{EARLY_FINALITY, Fixture, program, soon};

/// The number of observations after which each keeper in a burst is killed.
const KILLED_AFTER: [usize; 6] = [3, 1, 5, 2, 8, 4];

/// Settings that make a burst last: small transactions, and few pending ones.
const SMALL_BATCHES: &str = "transaction_gas_cap = 480000\n[safety]\nmax_pending = 2\n";

/// Configures a keeper that reaches the suite's node through a proxy.
fn behind(proxy: &Proxy, fixture: &Fixture) -> KeeperSetup {
    let endpoints = vec![format!("url = \"{}\"", proxy.ws_url())];
    KeeperSetup { endpoints, further: EARLY_FINALITY.to_owned(), ..KeeperSetup::live(&fixture.suite) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_killed_between_any_two_steps_liquidates_every_loan_once() -> eyre::Result<()> {
    const LOANS: u64 = 3;
    let fixture = Fixture::new(&[LOANS; 5]).await?;
    let mut proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let setup = behind(&proxy, &fixture);
    fixture.stop_mining().await?;
    let mut keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    let signer = keeper.signer();
    keeper.wait_until_ready().await?;

    // In the journal and being sent: first before the node has it, then after, without the keeper knowing.
    for (group, moment) in [(0, Phase::BeforeForwarding), (1, Phase::AfterForwarding)] {
        let stall = proxy.inject(Rule::from(Fault::Stall(moment)).on(&["eth_sendRawTransaction"]));
        fixture.drop_price_below(group).await?;
        proxy.wait_for(|counts| counts.acted(stall) > 0).await?;
        drop(keeper);
        proxy.cut_connections().await?;
        proxy.lift(stall);
        keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
        fixture.wait_until_liquidated(LOANS * (u64::try_from(group)? + 1), &[&keeper]).await?;
    }

    // Pending in the node's pool.
    let mut observer = Observer::start(&fixture.suite.devnet.node).await?;
    fixture.drop_price_below(2).await?;
    soon(wait_for_own_transaction(&mut observer, &fixture, signer)).await?;
    drop(keeper);
    keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    fixture.wait_until_liquidated(LOANS * 3, &[&keeper]).await?;

    // Mined, just before the keeper notices.
    let mut observer = Observer::start(&fixture.suite.devnet.node).await?;
    fixture.drop_price_below(3).await?;
    soon(wait_for_own_transaction(&mut observer, &fixture, signer)).await?;
    fixture.mine().await?;
    drop(keeper);
    keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    fixture.wait_until_liquidated(LOANS * 4, &[&keeper]).await?;

    // Mined, and reorged while no keeper runs.
    fixture.drop_price_below(4).await?;
    let fallen = fixture.head().await?;
    fixture.wait_until_liquidated(LOANS * 5, &[&keeper]).await?;
    drop(keeper);
    let depth = fixture.head().await? - fallen;
    fixture.provider().anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    ensure!(fixture.liquidated().await?.len() < usize::try_from(LOANS * 5)?, "nothing was reorged");
    keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    fixture.wait_until_liquidated(LOANS * 5, &[&keeper]).await?;

    let journal = fixture.settle_and_end(keeper, &setup).await?;
    fixture.ensure_each_once().await?;
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}

/// Waits for a pending transaction of this account.
async fn wait_for_own_transaction(observer: &mut Observer, fixture: &Fixture, signer: Address) -> eyre::Result<()> {
    loop {
        let hash = observer.next_pending().await?;
        let transaction = fixture.provider().get_transaction_by_hash(hash).await?;
        if transaction.is_some_and(|transaction| transaction.from() == signer) {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_mined_before_a_kill_and_is_not_final_is_logged_and_recorded_once() -> eyre::Result<()> {
    const LOANS: u64 = 2;
    const LINE: &str = "liquidation executed";
    let fixture = Fixture::new(&[LOANS; 2]).await?;
    let setup = KeeperSetup { further: EARLY_FINALITY.to_owned(), ..KeeperSetup::live(&fixture.suite) };
    fixture.stop_mining().await?;
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    let signer = keeper.signer();
    keeper.wait_until_ready().await?;
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(LOANS, &[&keeper]).await?;
    let first = recorded(&fixture, &setup, 1).await?;
    ensure!(keeper.output().matches(LINE).count() == 1, "{}", keeper.output());
    let lifetime = fixture.shown(&keeper, first[0].hash).await?;

    // Dropping it kills it.
    drop(keeper);
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    ensure!(fixture.shown(&keeper, first[0].hash).await? == lifetime, "its totals are others after a restart");
    ensure!(!keeper.output().contains(LINE), "logged again: {}", keeper.output());

    // Mined without the keeper's knowledge: that is news to the next one.
    let mut observer = Observer::start(&fixture.suite.devnet.node).await?;
    fixture.drop_price_below(1).await?;
    soon(wait_for_own_transaction(&mut observer, &fixture, signer)).await?;
    drop(keeper);
    fixture.mine().await?;
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    fixture.wait_until_liquidated(LOANS * 2, &[&keeper]).await?;
    let both = recorded(&fixture, &setup, 2).await?;
    fixture.shown(&keeper, both[1].hash).await?;
    ensure!(both[0] == first[0], "{both:?}");
    ensure!(keeper.output().matches(LINE).count() == 1, "{}", keeper.output());

    let output = keeper.output();
    fixture.settle_and_end(keeper, &setup).await?;
    ensure!(recorded(&fixture, &setup, 2).await? == both, "{output}");
    fixture.ensure_each_once().await
}

/// Waits until this many results are in a keeper's store, and returns them.
async fn recorded(fixture: &Fixture, setup: &KeeperSetup, results: usize) -> eyre::Result<Vec<ResultRow>> {
    let store = setup.store(&fixture.suite);
    soon(async {
        loop {
            let rows = read_results(&store, 0..u64::MAX)?;
            if rows.len() >= results {
                ensure!(rows.len() == results, "{rows:?}");
                return Ok(rows);
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_killed_while_it_writes_a_large_checkpoint_has_the_book_of_one_block() -> eyre::Result<()> {
    const LOANS: u64 = 1_000;
    const COMPARE_ALL: &str = "[audit]\nevery = 1\npositions = 250\n";
    let fixture = Fixture::new(&[LOANS]).await?;
    fixture.stop_mining().await?;
    let setup = KeeperSetup { further: COMPARE_ALL.to_owned(), ..KeeperSetup::live(&fixture.suite) };
    // The loans' rows are written as soon as their blocks are 64 below the head.
    for blocks in [40, 20, 4, 2, 1, 8] {
        let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
        keeper.wait_until_ready().await?;
        fixture.provider().anvil_mine(Some(blocks), None).await?;
        soon(keeper.wait_for_block(fixture.head().await?)).await?;
        ensure!(!keeper.output().contains("checkpoint discarded"), "{}", keeper.output());
        // Dropping it kills it.
        drop(keeper);
    }
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    let audit = soon(async {
        loop {
            let audit = keeper.api("status").await?["audit"].clone();
            if audit["compared"].as_u64() > Some(LOANS) {
                return Ok(audit);
            }
            fixture.mine_blocks(1, &keeper).await?;
        }
    })
    .await?;
    ensure!(audit["mismatches"] == 0, "{audit}");
    ensure!(!keeper.output().contains("checkpoint discarded"), "{}", keeper.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_killed_repeatedly_in_a_burst_liquidates_every_loan_once() -> eyre::Result<()> {
    const LOANS: u64 = 250;
    let fixture = Fixture::new(&[LOANS]).await?;
    let setup =
        KeeperSetup { further: format!("{EARLY_FINALITY}{SMALL_BATCHES}"), ..KeeperSetup::live(&fixture.suite) };
    fixture.stop_mining().await?;
    fixture.drop_price_below(0).await?;
    for observations in KILLED_AFTER {
        let mut observer = Observer::start(&fixture.suite.devnet.node).await?;
        let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
        let mut seen = 0;
        soon(async {
            while seen < observations {
                // A block is mined when there is nothing else to observe: the keeper has finished with the last one.
                keeper.wait_for_block(fixture.mine().await?).await?;
                loop {
                    let (_, observation) = observer.next().await?;
                    seen += 1;
                    if matches!(observation, Observation::Head(_)) || seen >= observations {
                        break;
                    }
                }
            }
            Ok(())
        })
        .await?;
        drop(keeper);
    }
    let done = fixture.liquidated().await?.len();
    ensure!(0 < done && done < usize::try_from(LOANS)?, "the storm was to be half over: {done} of {LOANS} are done");
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    let signer = keeper.signer();
    keeper.wait_until_ready().await?;
    fixture.wait_until_liquidated(LOANS, &[&keeper]).await?;
    let journal = fixture.settle_and_end(keeper, &setup).await?;
    fixture.ensure_each_once().await?;
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}
