//! Loans that one keeper has claimed, and the other leaves to it.

use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_testkit::{
    keeper::Keeper,
    postgres::Postgres,
    proxy::{Fault, Phase, Proxy, Rule},
};

use serde_json::Value;

use super::take_over::{Seat, start, wait_until_holding};
use crate::keeper::fixture::{Fixture, program, soon};

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

    // An operator sees both, and what each signs for.
    let command = |arguments: &[&str]| -> eyre::Result<(String, String)> {
        let mut program = program();
        let config = fixture.suite.scratch().join("second").join("keeper.toml");
        program
            .args(arguments)
            .arg("--config")
            .arg(config)
            .env("FLEET_DATABASE", format!("postgres://keeper@{database}/postgres"));
        let output = program.output()?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&output.stdout), text(&output.stderr)))
    };
    let (status, problem) = command(&["fleet", "status", "--json"])?;
    let status: Value = serde_json::from_str(&status).wrap_err(problem)?;
    let members = status["members"].as_array().wrap_err("no members")?;
    let names: Vec<_> =
        members.iter().filter(|member| member["is_live"] == true).map(|member| &member["name"]).collect();
    ensure!(names == ["first", "second"], "{status}");
    ensure!(status["leases"].as_array().map(Vec::len) == Some(4), "{status}");
    let (report, _) = command(&["check"])?;
    ensure!(report.contains("a round trip takes") && report.contains("2 keepers are running"), "{report}");

    // Mined, they are nobody's any more.
    proxy.lift(stall);
    fixture.wait_until_liquidated(LOANS, &[&first, &second]).await.wrap_err_with(|| first.output())?;
    let left = held(&second).await?;
    drop(first);
    fixture.drop_price_below(1).await?;
    fixture.wait_until_liquidated(2 * LOANS, &[&second]).await.wrap_err_with(|| second.output())?;
    ensure!(held(&second).await? == left, "loans of a keeper that has claimed nothing are held");

    // One that is shut down is missed by nobody; one that was killed is.
    second.shut_down().await?;
    let (status, problem) = command(&["fleet", "status", "--json"])?;
    let status: Value = serde_json::from_str(&status).wrap_err(problem)?;
    let members = status["members"].as_array().wrap_err("no members")?;
    ensure!(members.iter().map(|member| &member["name"]).collect::<Vec<_>>() == ["first"], "{status}");

    fixture.ensure_each_once().await?;
    for index in 6..10 {
        fixture.ensure_none_reverted(fixture.suite.devnet.account(index)?).await?;
    }
    Ok(())
}
