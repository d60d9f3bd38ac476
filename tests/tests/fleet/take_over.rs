//! Keepers as processes of their own, each killed, stopped, or cut off at work: another takes over, every loan is liquidated
//! once, and nothing is sent twice.

use std::{process::Command, sync::Arc, time::Duration};

use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_chain::secret::Secret;
use plimsoll_keeper::{
    config,
    safety::SafetyStore as _,
    store::{Records, ResultRow, Server},
};
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    postgres::Postgres,
    proxy::{Fault, Phase, Proxy, Rule},
    wire::Wire,
};
use serde_json::Value;

use crate::keeper::fixture::{EARLY_FINALITY, FINALITY_DEPTH, Fixture, program, soon};

/// Loans of a group.
const LOANS: u64 = 3;

/// How a keeper of the fleet is set up.
pub(super) struct Seat<'a> {
    pub(super) name: &'a str,
    /// Accounts of Anvil that sign.
    pub(super) signers: [usize; 2],
    /// Address of the database, as this keeper reaches it.
    pub(super) database: &'a str,
    /// URL of the node, as this keeper reaches it.
    pub(super) node: String,
}

pub(super) async fn start(fixture: &Fixture, seat: &Seat<'_>) -> eyre::Result<Keeper> {
    let further = format!(
        "{EARLY_FINALITY}[store.postgres]\nurl_env = \"FLEET_DATABASE\"\nlease = \"3 seconds\"\nname = \"{}\"\n",
        seat.name
    );
    let setup = KeeperSetup {
        folder: seat.name.to_owned(),
        endpoints: vec![format!("url = \"{}\"", seat.node)],
        signers: KeeperSetup::anvil_signers(seat.signers),
        further,
        ..KeeperSetup::live(&fixture.suite)
    };
    let mut program = program();
    program.env("FLEET_DATABASE", format!("postgres://keeper@{}/postgres", seat.database));
    let keeper = Keeper::start_with(&fixture.suite, program, &setup).await?;
    soon(keeper.wait_until_ready()).await?;
    Ok(keeper)
}

/// Id of the keeper in the fleet, once it has said that it lives.
async fn id_of(keeper: &Keeper) -> eyre::Result<String> {
    let own = |status: &Value| {
        let members = status["fleet"]["members"].as_array()?;
        Some(members.iter().find(|member| member["is_self"] == true)?["id"].as_str()?.to_owned())
    };
    let status = soon(keeper.wait_until("status", |status| own(status).is_some())).await?;
    own(&status).wrap_err("no member")
}

/// Whether a keeper has leases, by what itself knows.
fn holds(status: &Value, id: &str) -> bool {
    let leases = status["fleet"]["leases"].as_array();
    leases.is_some_and(|leases| {
        leases.iter().any(|lease| lease["holder"] == id && lease["expires_in_ms"].as_i64() > Some(0))
    })
}

pub(super) async fn wait_until_holding(keeper: &Keeper) -> eyre::Result<()> {
    let id = id_of(keeper).await?;
    soon(keeper.wait_until("status", |status| holds(status, &id))).await.wrap_err_with(|| keeper.output())?;
    Ok(())
}

async fn wait_until_standing_by(keeper: &Keeper) -> eyre::Result<()> {
    let id = id_of(keeper).await?;
    soon(keeper.wait_until("status", |status| !holds(status, &id))).await.wrap_err_with(|| keeper.output())?;
    Ok(())
}

fn signal(keeper: &Keeper, name: &str) -> eyre::Result<()> {
    let status = Command::new("kill").args([name, &keeper.process_id().to_string()]).status()?;
    ensure!(status.success(), "kill {name}: {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_from_a_keeper_that_is_killed_stopped_or_cut_off() -> eyre::Result<()> {
    let fixture = Fixture::new(&[LOANS; 5]).await?;
    let server = Postgres::start().await?;
    let database = server.address()?;
    let wire = Wire::start(database.clone()).await?;
    let mut proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let signers = [8, 9];
    let seat = |name, database| Seat { name, signers, database, node: fixture.suite.devnet.node.ws_url() };
    fixture.stop_mining().await?;
    let first = start(&fixture, &Seat { node: proxy.ws_url(), ..seat("first", &database) }).await?;
    let signer = first.signer();
    wait_until_holding(&first).await?;
    let second = start(&fixture, &seat("second", wire.address())).await?;
    wait_until_standing_by(&second).await?;

    // Journalled and not broadcast: the standby has the bytes from the database.
    let stall = proxy.inject(Rule::from(Fault::Stall(Phase::BeforeForwarding)).on(&["eth_sendRawTransaction"]));
    fixture.drop_price_below(0).await?;
    soon(proxy.wait_for(|counts| counts.acted(stall) > 0)).await?;
    drop(first);
    proxy.cut_connections().await?;
    wait_until_holding(&second).await?;
    fixture.wait_until_liquidated(LOANS, &[&second]).await.wrap_err_with(|| second.output())?;

    // Stopped for longer than its lease lasts, and resumed while another signs.
    let third = start(&fixture, &seat("third", &database)).await?;
    signal(&second, "-STOP")?;
    wait_until_holding(&third).await?;
    fixture.drop_price_below(1).await?;
    fixture.wait_until_liquidated(2 * LOANS, &[&third]).await.wrap_err_with(|| third.output())?;
    signal(&second, "-CONT")?;
    fixture.drop_price_below(2).await?;
    fixture.wait_until_liquidated(3 * LOANS, &[&second, &third]).await.wrap_err_with(|| third.output())?;
    wait_until_standing_by(&second).await?;

    // Cut off from the database, the holder sends nothing, and follows the chain.
    drop(third);
    wait_until_holding(&second).await?;
    wire.cut();
    let reaches = |expected: bool| move |status: &Value| status["fleet"]["is_reachable"] == expected;
    soon(second.wait_until("status", reaches(false))).await.wrap_err_with(|| second.output())?;
    let fourth = start(&fixture, &seat("fourth", &database)).await?;
    wait_until_holding(&fourth).await?;
    fixture.drop_price_below(3).await?;
    fixture.wait_until_liquidated(4 * LOANS, &[&second, &fourth]).await.wrap_err_with(|| fourth.output())?;
    wire.mend();
    soon(second.wait_until("status", reaches(true))).await.wrap_err_with(|| second.output())?;
    fourth.shut_down().await?;
    wait_until_holding(&second).await?;
    fixture.drop_price_below(4).await?;
    fixture.wait_until_liquidated(5 * LOANS, &[&second]).await.wrap_err_with(|| second.output())?;

    fixture.ensure_each_once().await?;
    fixture.ensure_none_reverted(signer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keepers_with_keys_of_their_own_share_the_work_through_faults_of_keepers_chain_and_database() -> eyre::Result<()>
{
    let fixture = Fixture::new(&[LOANS; 5]).await?;
    let mut server = Postgres::start().await?;
    let database = server.address()?;
    let mut proxy = Proxy::start(fixture.suite.devnet.node.address()).await?;
    let node = fixture.suite.devnet.node.ws_url();
    let seat = |name, signers| Seat { name, signers, database: &database, node: node.clone() };
    fixture.stop_mining().await?;
    let behind_proxy = start(&fixture, &Seat { node: proxy.ws_url(), ..seat("first", [8, 9]) }).await?;
    let second = start(&fixture, &seat("second", [6, 7])).await?;
    let third = start(&fixture, &seat("third", [4, 5])).await?;
    for keeper in [&behind_proxy, &second, &third] {
        wait_until_holding(keeper).await?;
    }
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(LOANS, &[&behind_proxy, &second, &third]).await?;

    // Whoever was the market's, the others take its loans.
    drop(second);
    fixture.drop_price_below(1).await?;
    fixture.wait_until_liquidated(2 * LOANS, &[&behind_proxy, &third]).await?;

    // Cut off from the chain, it gives its signers up to a standby.
    proxy.take_down().await;
    fixture.mine_blocks(8, &third).await?;
    wait_until_standing_by(&behind_proxy).await?;
    let fourth = start(&fixture, &seat("fourth", [8, 9])).await?;
    wait_until_holding(&fourth).await?;
    fixture.drop_price_below(2).await?;
    fixture.wait_until_liquidated(3 * LOANS, &[&third, &fourth]).await?;
    drop(behind_proxy);

    // The database restarts.
    server.kill()?;
    server.copy_data()?;
    server.bring_up()?;
    for keeper in [&third, &fourth] {
        soon(keeper.wait_until("status", |status| status["fleet"]["is_reachable"] == true)).await?;
        wait_until_holding(keeper).await?;
    }
    fixture.drop_price_below(3).await?;
    fixture.wait_until_liquidated(4 * LOANS, &[&third, &fourth]).await?;

    // It fails over to a replica without anything of the last liquidations, of which the keepers know.
    server.kill()?;
    server.fail_over_to_copy()?;
    server.bring_up()?;
    fixture.drop_price_below(4).await?;
    fixture
        .wait_until_liquidated(5 * LOANS, &[&third, &fourth])
        .await
        .wrap_err_with(|| format!("{}\n\n{}", third.output(), fourth.output()))?;

    fixture.ensure_each_once().await?;
    for index in 4..10 {
        fixture.ensure_none_reverted(fixture.suite.devnet.account(index)?).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_holder_sent_is_logged_measured_and_recorded_once() -> eyre::Result<()> {
    const EXECUTED: &str = "liquidation executed";
    const MINED: &str = "transaction mined";
    let fixture = Fixture::new(&[LOANS; 2]).await?;
    let server = Postgres::start().await?;
    let database = server.address()?;
    let node = fixture.suite.devnet.node.ws_url();
    let seat = |name| Seat { name, signers: [8, 9], database: &database, node: node.clone() };
    fixture.stop_mining().await?;
    let first = start(&fixture, &seat("first")).await?;
    wait_until_holding(&first).await?;
    let second = start(&fixture, &seat("second")).await?;
    wait_until_standing_by(&second).await?;
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(LOANS, &[&first, &second]).await?;
    let known = recorded(&fixture, &server, 1).await?;
    let totals = fixture.shown(&first, known[0].hash).await?;
    ensure!(first.output().matches(EXECUTED).count() == 1, "{}", first.output());

    drop(first);
    wait_until_holding(&second).await?;
    ensure!(second.api("status").await?["totals"] == totals, "the totals before anything was reported");
    ensure!(fixture.shown(&second, known[0].hash).await? == totals, "the totals after a take-over");
    ensure!(second.output().contains("signer taken over"), "{}", second.output());
    for line in [EXECUTED, MINED] {
        ensure!(!second.output().contains(line), "logged again: {}", second.output());
    }
    let metrics = second.text("/metrics").await?;
    for measured in ["plimsoll_keeper_inclusion_delay_blocks_count 0", "plimsoll_keeper_tips_eth_total 0.0"] {
        ensure!(metrics.lines().any(|line| line == measured), "no line {measured}:\n{metrics}");
    }

    // Mined when nobody has the lease: news to the next holder.
    fixture.drop_price_below(1).await?;
    soon(second.wait_until("status", |status| status["signers"][0]["pending"] == 1)).await?;
    drop(second);
    fixture.mine().await?;
    let third = start(&fixture, &seat("third")).await?;
    wait_until_holding(&third).await?;
    fixture.wait_until_liquidated(2 * LOANS, &[&third]).await?;
    let both = recorded(&fixture, &server, 2).await?;
    ensure!(both[0] == known[0], "{both:?}");
    let totals = fixture.shown(&third, both[1].hash).await?;
    ensure!(totals["transactions"] == 2 && totals["liquidated"] == 2 * LOANS, "{totals}");
    for line in [EXECUTED, MINED] {
        ensure!(third.output().matches(line).count() == 1, "{line}: {}", third.output());
    }

    // Once final, nothing is reported again.
    fixture.mine_blocks(FINALITY_DEPTH + 2, &third).await?;
    ensure!(recorded(&fixture, &server, 2).await? == both);
    fixture.ensure_each_once().await
}

/// Waits until this many results are in the database, and as many in the ledger of safety. Returns them.
async fn recorded(fixture: &Fixture, server: &Postgres, results: u64) -> eyre::Result<Vec<ResultRow>> {
    let url = Arc::new(Secret::new(server.url()?));
    let settings = config::Postgres { url, lease: Duration::from_secs(3), name: String::new() };
    let read = Server::inspect(&settings, &fixture.identity()?).await?.wrap_err("no tables")?;
    let records = Records::Server(Arc::new(read));
    let safety = records.safety(fixture.suite.devnet.account(8)?);
    soon(async {
        loop {
            let rows = records.newest_results(10).await?;
            let counted = safety.read().await?.map_or(0, |record| record.results.lifetime().transactions);
            let found = u64::try_from(rows.len())?;
            ensure!(found <= results && counted <= results, "{counted} counted, {rows:?}");
            if (found, counted) == (results, results) {
                return Ok(rows.into_iter().rev().collect());
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
