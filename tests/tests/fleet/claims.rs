//! Loans that one keeper has claimed, and the other leaves to it.

use eyre::{WrapErr, ensure};
use plimsoll_testkit::{
    keeper::Keeper,
    postgres::Postgres,
    proxy::{Fault, Phase, Proxy, Rule},
};

use super::take_over::{Seat, start, wait_until_holding};
use crate::keeper::fixture::{Fixture, soon};

const LOANS: u64 = 3;
/// Counter of the intents that a keeper left to another one.
const HELD: &str = "plimsoll_keeper_dropped_intents_total{reason=\"held_by_peer\"} ";

async fn held(keeper: &Keeper) -> eyre::Result<u64> {
    let text = keeper.text("/metrics").await?;
    let value = text.lines().find_map(|line| line.strip_prefix(HELD)).unwrap_or("0");
    value.trim().parse().wrap_err_with(|| format!("{HELD}{value}"))
}

/// Mines blocks, each when the keeper has applied the last, until it has left so many intents to the other.
async fn mine_until_held(fixture: &Fixture, keeper: &Keeper, intents: u64) -> eyre::Result<()> {
    let waiting = async {
        while held(keeper).await? < intents {
            keeper.wait_for_block(fixture.mine().await?).await?;
        }
        eyre::Ok(())
    };
    soon(waiting).await.wrap_err_with(|| keeper.output())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_leaves_loans_to_the_one_that_has_claimed_them_until_its_transaction_is_mined() -> eyre::Result<()> {
    let fixture = Fixture::new(&[LOANS, LOANS]).await?;
    let server = Postgres::start().await?;
    let database = server.address()?;
    let proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let node = fixture.suite.devnet.node.ws_url();
    let seat = |name, signers, node: &str| Seat { name, signers, database: &database, node: node.to_owned() };
    fixture.stop_mining().await?;
    let first = start(&fixture, &seat("first", [8, 9], &proxy.ws_url())).await?;
    wait_until_holding(&first).await?;

    // It has claimed the loans and signed; its transaction does not reach the node.
    let stall = proxy.inject(Rule::from(Fault::Stall(Phase::BeforeForwarding)).on(&["eth_sendRawTransaction"]));
    fixture.drop_price_below(0).await?;
    soon(proxy.wait_for(|counts| counts.acted(stall) > 0)).await?;
    let second = start(&fixture, &seat("second", [6, 7], &node)).await?;
    wait_until_holding(&second).await?;
    mine_until_held(&fixture, &second, 2).await?;
    ensure!(fixture.liquidated().await?.is_empty(), "the second keeper took what the first had claimed");

    // Mined, they are nobody's any more.
    proxy.lift(stall);
    fixture.wait_until_liquidated(LOANS, &[&first, &second]).await.wrap_err_with(|| first.output())?;
    let left = held(&second).await?;
    drop(first);
    fixture.drop_price_below(1).await?;
    fixture.wait_until_liquidated(2 * LOANS, &[&second]).await.wrap_err_with(|| second.output())?;
    ensure!(held(&second).await? == left, "loans of a keeper that has claimed nothing are held");

    fixture.ensure_each_once().await?;
    for index in 6..10 {
        fixture.ensure_none_reverted(fixture.suite.devnet.account(index)?).await?;
    }
    Ok(())
}
