//! The keeper killed at the worst moments, by a signal that it never hears of: whatever it was doing, started again it
//! does every loan once (K2).

use alloy::{
    network::TransactionResponse as _,
    primitives::Address,
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
};
use eyre::ensure;
use plimsoll_lab::{
    keeper::{Keeper, Setup},
    observer::{Observer, Sight},
    proxy::{Fault, Moment, Proxy, Rule},
};

use super::night::{Night, SOON_FINAL, program, soon};

/// Which sight of the observer's the keeper is killed at, in a storm: one after the other.
const KILLED_AT: [usize; 6] = [3, 1, 5, 2, 8, 4];

/// So that a storm lasts: small transactions, and few at a time.
const SMALL_STEPS: &str = "transaction_gas_cap = 480000\n[safety]\nmost_pending = 2\n";

/// A keeper that reaches the stage's node through a proxy.
fn behind(proxy: &Proxy, night: &Night) -> Setup {
    let endpoints = vec![format!("url = \"{}\"", proxy.ws_url())];
    Setup { endpoints, further: SOON_FINAL.to_owned(), ..Setup::usual(&night.stage) }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_any_two_steps_of_a_liquidation_it_does_every_loan_once() -> eyre::Result<()> {
    const LOANS: u64 = 3;
    let night = Night::begin(&[LOANS; 5]).await?;
    let mut proxy = Proxy::start(night.stage.rig.node.address()).await?;
    let setup = behind(&proxy, &night);
    night.stop_mining().await?;
    let mut keeper = Keeper::start_as(&night.stage, program(), &setup).await?;
    let signer = keeper.signer();
    keeper.until_ready().await?;

    // In the journal and on its way: the node has not heard of it; the node has, and the keeper does not know.
    for (group, moment) in [(0, Moment::BeforeForwarding), (1, Moment::AfterForwarding)] {
        let stall = proxy.inject(Rule::from(Fault::Stall(moment)).on(&["eth_sendRawTransaction"]));
        night.fall(group).await?;
        proxy.wait_for(|counts| counts.acted(stall) > 0).await?;
        drop(keeper);
        proxy.cut_connections().await?;
        proxy.lift(stall);
        keeper = Keeper::start_as(&night.stage, program(), &setup).await?;
        night.until_liquidated(LOANS * (u64::try_from(group)? + 1), &[&keeper]).await?;
    }

    // Seen to wait in the node's pool.
    let mut observer = Observer::start(&night.stage.rig.node).await?;
    night.fall(2).await?;
    soon(ours(&mut observer, &night, signer)).await?;
    drop(keeper);
    keeper = Keeper::start_as(&night.stage, program(), &setup).await?;
    night.until_liquidated(LOANS * 3, &[&keeper]).await?;

    // Mined, while the keeper is about to notice.
    let mut observer = Observer::start(&night.stage.rig.node).await?;
    night.fall(3).await?;
    soon(ours(&mut observer, &night, signer)).await?;
    night.mine().await?;
    drop(keeper);
    keeper = Keeper::start_as(&night.stage, program(), &setup).await?;
    night.until_liquidated(LOANS * 4, &[&keeper]).await?;

    // Mined, and taken back while nobody looks.
    night.fall(4).await?;
    let fallen = night.head().await?;
    night.until_liquidated(LOANS * 5, &[&keeper]).await?;
    drop(keeper);
    let depth = night.head().await? - fallen;
    night.provider().anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    ensure!(night.liquidated().await?.len() < usize::try_from(LOANS * 5)?, "nothing was taken back");
    keeper = Keeper::start_as(&night.stage, program(), &setup).await?;
    night.until_liquidated(LOANS * 5, &[&keeper]).await?;

    let journal = night.end(keeper, &setup).await?;
    night.ensure_each_once().await?;
    night.ensure_none_reverted(signer).await?;
    night.ensure_on_record(&journal, signer).await
}

/// Waits until a transaction of this account waits to be mined.
async fn ours(observer: &mut Observer, night: &Night, signer: Address) -> eyre::Result<()> {
    loop {
        let hash = observer.pending().await?;
        let transaction = night.provider().get_transaction_by_hash(hash).await?;
        if transaction.is_some_and(|transaction| transaction.from() == signer) {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_in_a_storm_it_does_every_loan_once() -> eyre::Result<()> {
    const LOANS: u64 = 250;
    let night = Night::begin(&[LOANS]).await?;
    let setup = Setup { further: format!("{SOON_FINAL}{SMALL_STEPS}"), ..Setup::usual(&night.stage) };
    night.stop_mining().await?;
    night.fall(0).await?;
    for sights in KILLED_AT {
        let mut observer = Observer::start(&night.stage.rig.node).await?;
        let keeper = Keeper::start_as(&night.stage, program(), &setup).await?;
        let mut seen = 0;
        soon(async {
            while seen < sights {
                // A block whenever nothing else is to be seen for now: the keeper has done what it does by this one.
                keeper.until_applied(night.mine().await?).await?;
                loop {
                    let (_, sight) = observer.next().await?;
                    seen += 1;
                    if matches!(sight, Sight::Head(_)) || seen >= sights {
                        break;
                    }
                }
            }
            Ok(())
        })
        .await?;
        drop(keeper);
    }
    let done = night.liquidated().await?.len();
    ensure!(0 < done && done < usize::try_from(LOANS)?, "the storm was to be half over: {done} of {LOANS} are done");
    let keeper = Keeper::start_as(&night.stage, program(), &setup).await?;
    let signer = keeper.signer();
    keeper.until_ready().await?;
    night.until_liquidated(LOANS, &[&keeper]).await?;
    let journal = night.end(keeper, &setup).await?;
    night.ensure_each_once().await?;
    night.ensure_none_reverted(signer).await?;
    night.ensure_on_record(&journal, signer).await
}
