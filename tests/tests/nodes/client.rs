//! The client is killed by SIGKILL between signing and sending, as a process: no unit is lost, and nothing is paid twice. A
//! daemon whose bits are not the kind's does not serve.

use std::process::{Child, Command, Stdio};

use alloy::{providers::Provider, rpc::types::Filter, sol_types::SolEvent};
use eyre::{ContextCompat, ensure};
use plimsoll_channels::SETTLEMENT;
use plimsoll_contracts::IChannels;
use plimsoll_lab::nodes::{MIN_CLAIM, Model, Network, PAYER, Program, output, wait_for};
use plimsoll_testkit::{
    proxy::{Fault, Phase, Proxy, Rule},
    workspace::workspace,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::support::soon;

/// Forwards connections to a node until a payment comes along, which is not forwarded: for the node it was never sent.
struct Toll {
    url: String,
    held: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Toll {
    async fn start(upstream: &str) -> eyre::Result<Self> {
        let upstream = upstream.strip_prefix("http://").wrap_err("no URL")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (found, held) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(node) = TcpStream::connect(&upstream).await else { return };
                tokio::spawn(forward(client, node, found.clone()));
            }
        });
        Ok(Self { url, held, task })
    }
}

async fn forward(client: TcpStream, node: TcpStream, found: watch::Sender<bool>) {
    let ((mut from_client, mut to_client), (mut from_node, mut to_node)) = (client.into_split(), node.into_split());
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_node, &mut to_client).await });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
        let part = &buffer[..length];
        if String::from_utf8_lossy(part).to_lowercase().contains("payment-signature:") {
            found.send_replace(true);
            std::future::pending::<()>().await;
        }
        if to_node.write_all(part).await.is_err() {
            break;
        }
    }
    back.abort();
}

/// Sends SIGKILL.
fn kill(child: &mut Child) -> eyre::Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn spawn(mut command: Command) -> eyre::Result<Child> {
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

async fn json(command: Command) -> eyre::Result<Value> {
    Ok(serde_json::from_str(&output(command).await?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_between_signing_and_sending_loses_and_repeats_nothing() -> eyre::Result<()> {
    let program = tokio::task::spawn_blocking(|| Program::ready(Model::Script)).await??;
    let network = Box::pin(Network::start(program)).await?;
    let (provider, rpc) = (network.suite.provider(), network.suite.devnet.node.http_url());
    let (node, payer) = (&network.urls[1], network.suite.devnet.account(PAYER)?);
    let minted = network.balance(payer).await?;

    // A first voucher with a deposit, and one that is covered: signed, on disk, and never sent.
    let (mut charged, mut channel) = (0, None);
    for prompt in ["Name a ship.", "Name another one."] {
        let mut toll = Toll::start(node).await?;
        let before = network.balance(payer).await?;
        let mut asking = spawn(network.ask_command(&toll.url, prompt, 8).0)?;
        soon(async { Ok(toll.held.wait_for(|held| *held).await.map(|_| ())?) }).await?;
        kill(&mut asking)?;
        toll.task.abort();
        ensure!(network.balance(payer).await? == before, "something was sent");
        let answer = network.ask(2, prompt, 8).await?;
        charged += answer.charged;
        channel = Some(answer.channel);
        // The same words once more are another request, and paid for.
        charged += network.ask(2, prompt, 8).await?.charged;
    }
    let channel = channel.wrap_err("no channel")?;
    let (balance, _) = network.channel(channel).await?;
    ensure!(network.balance(payer).await? + balance == minted, "deposited twice");
    let listed = json(network.channel_command(&rpc, &["list"])).await?;
    ensure!(listed[0]["charged"] == charged.to_string(), "{listed}, charged {charged}");

    // What is below the node's least claim stays, so that the amount does not change any more.
    wait_for("the node to claim", || async {
        let (_, claimed) = network.channel(channel).await?;
        Ok((charged.saturating_sub(claimed) < MIN_CLAIM).then_some(()))
    })
    .await?;
    // A transaction of its own: written down, and never sent.
    let proxy = Proxy::start(network.suite.devnet.node.address()).await?;
    let stall = proxy.inject(Rule::from(Fault::Stall(Phase::BeforeForwarding)).on(&["eth_sendRawTransaction"]));
    let nonce = provider.get_transaction_count(payer).await?;
    let mut leaving = spawn(network.channel_command(&proxy.http_url(), &["withdraw"]))?;
    soon(async { proxy.wait_for(|counts| counts.acted(stall) > 0).await }).await?;
    kill(&mut leaving)?;
    drop(proxy);
    ensure!(provider.get_transaction_count(payer).pending().await? == nonce, "it was sent");
    let printed = json(network.channel_command(&rpc, &["withdraw"])).await?;
    ensure!(printed["transaction"].is_string(), "{printed}");
    ensure!(provider.get_transaction_count(payer).await? == nonce + 1, "sent twice");
    let filter =
        Filter::new().address(SETTLEMENT).event_signature(IChannels::WithdrawInitiated::SIGNATURE_HASH).from_block(0);
    ensure!(provider.get_logs(&filter).await?.len() == 1, "announced twice");
    // The node claims what it is owed before the payer is gone, and no more.
    wait_for("the node to claim", || async {
        let (_, claimed) = network.channel(channel).await?;
        Ok((claimed == charged).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_whose_bits_are_not_the_kinds_serves_nothing_and_says_why() -> eyre::Result<()> {
    let program = tokio::task::spawn_blocking(|| Program::ready(Model::Script)).await??;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("node.toml");
    // The example is for the built-in kind, whose probe a script does not compute.
    std::fs::copy(workspace()?.root().join("node/node.example.toml"), &config)?;
    let refused = program.serve(&config, false).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(refused.contains("where the kind states"), "{refused}");
    let said = async |arguments: &[&str], kind: bool| -> eyre::Result<String> {
        let mut command = program.command(arguments);
        if kind {
            command.arg("--kind").arg(&program.kind_file);
        }
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        Ok(String::from_utf8(output.stderr)?)
    };
    // It does not recompute for others either, and for this machine alone what it can.
    let refused = said(&["recompute", "--scripted", "--listen", "127.0.0.1:0"], false).await?;
    ensure!(refused.contains("where the kind states"), "{refused}");
    let refused = said(&["recompute", "--scripted", "--listen", "0.0.0.0:0"], true).await?;
    ensure!(refused.contains("an address of this machine"), "{refused}");
    Ok(())
}
