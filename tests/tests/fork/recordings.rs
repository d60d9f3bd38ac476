//! Recordings of a local chain: a recording is sufficient for a replay, and missing state is reported.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use alloy::{
    primitives::{Address, U256, address, utils::Unit},
    providers::{Provider, ProviderBuilder, ext::AnvilApi},
    rpc::{client::RpcClient, types::TransactionRequest},
    signers::local::PrivateKeySigner,
};
use eyre::{WrapErr, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use plimsoll_lab::record;
use plimsoll_testkit::{
    devnet::{Devnet, ITestToken},
    market::{LocalMarket, units},
    recording::{Declared, NotAsDeclared, Outcome, Override, Playback, Read, Recorder, Recording, State, replay},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support;

const NEVER_SEEN: Address = address!("00000000000000000000000000000000000c0de5");

/// Key of a sender that is not among Anvil's own accounts.
const OTHER_KEY: [u8; 32] = [7; 32];

/// Starts a chain and returns the number of a block with a few transactions, also of contracts.
async fn lively() -> eyre::Result<(Devnet, u64)> {
    let devnet = Devnet::start().await?;
    let market = LocalMarket::deploy(&devnet).await?;
    market.supply(&devnet, devnet.node.account(1)?, 10_000).await?;
    let provider = devnet.provider();
    let other = PrivateKeySigner::from_slice(&OTHER_KEY)?;
    provider.anvil_set_balance(other.address(), Unit::ETHER.wei()).await?;
    // The balance is part of the state after a block only.
    provider.evm_mine(None).await?;
    provider.anvil_set_auto_mine(false).await?;
    let token = ITestToken::new(market.params.loanToken, provider);
    for (from, to) in [(0, 1), (2, 3), (0, 2)] {
        let _pending =
            token.mint(devnet.node.account(to)?, units(5, 6)).from(devnet.node.account(from)?).send().await?;
    }
    let payment = TransactionRequest::default().to(NEVER_SEEN).value(U256::from(7));
    let others = ProviderBuilder::new().wallet(other).connect_http(devnet.node.http_url().parse()?);
    let _pending = others.send_transaction(payment).await?;
    provider.evm_mine(None).await?;
    provider.anvil_set_auto_mine(true).await?;
    let block = provider.get_block_number().await?;
    // A live chain has later blocks.
    provider.evm_mine(None).await?;
    Ok((devnet, block))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_block_is_replayed_without_the_chain() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let tools = support::tools()?;
    let folder = TempDir::new()?;
    let report = record::record(&tools, devnet.node.http_url().parse()?, number, None, folder.path()).await?;
    assert_eq!(report.outcome.transactions, 4);
    drop(devnet);

    let playback = Playback::start(Recording::read(folder.path(), number)?, &[]).await?;
    let block = playback.recording().block()?;
    assert_eq!(replay(&tools, &playback.http_url(), &block).await?.outcome, Outcome::of(&block));
    playback.check(&[])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_replayed_by_command_as_one_json_document() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let folder = TempDir::new()?;
    record::record(&support::tools()?, devnet.node.http_url().parse()?, number, None, folder.path()).await?;
    drop(devnet);
    let output = fork_replay(folder.path(), &["--json"])?;
    ensure!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((&report["block"], &report["chainId"]), (&json!(number), &json!(31_337)));
    assert_eq!((&report["outcome"]["transactions"], &report["readsOutside"]), (&json!(4), &json!(0)));
    Ok(())
}

#[test]
fn an_unknown_recording_is_refused_with_the_remedy_and_nothing_on_stdout() -> eyre::Result<()> {
    let folder = TempDir::new()?;
    for unknown in [folder.path().to_owned(), folder.path().join("nowhere")] {
        let output = fork_replay(&unknown, &["--json"])?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{told}");
        let wanted = format!("there is no recording in {}: `plimsoll-lab record` makes one", unknown.display());
        assert!(told.contains(&wanted), "{told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_repository_a_replay_names_the_variable_that_says_where_it_is() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let folder = TempDir::new()?;
    let recorder = Recorder::start(devnet.node.http_url().parse()?, number).await?;
    recorder.recording().await?.write(folder.path())?;
    let output = lab(folder.path()).env("PLIMSOLL_ROOT", folder.path()).output()?;
    let told = String::from_utf8(output.stderr)?;
    assert!(told.contains("there is no foundry.toml in") && told.contains("named by PLIMSOLL_ROOT"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_replay_says_how_many_transactions_were_mined_and_why_the_others_were_not() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let folder = TempDir::new()?;
    let tools = support::tools()?;
    let report = record::record(&tools, devnet.node.http_url().parse()?, number, None, folder.path()).await?;
    let [state, _] = &report.files;
    // Each of them sends one of the four transactions.
    let (poor, used) = (PrivateKeySigner::from_slice(&OTHER_KEY)?.address(), devnet.node.account(2)?);
    edit(state, |state| {
        let account = |address: Address| format!("{address:?}");
        state["accounts"][account(poor)]["balance"] = json!("0x1");
        state["accounts"][account(used)]["nonce"] = json!(7);
    })?;
    let output = fork_replay(folder.path(), &[])?;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("only 2 of the 4 transactions of block {number} were mined")), "{told}");
    assert!(told.contains("must be able to pay") && told.contains("nonce"), "{told}");
    assert!(!told.contains("PREVRANDAO"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_with_another_result_names_what_the_recording_lacks() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let (folder, tools) = (TempDir::new()?, support::tools()?);
    let report = record::record(&tools, devnet.node.http_url().parse()?, number, None, folder.path()).await?;
    let [state, _] = &report.files;
    edit(state, |state| {
        for account in state["accounts"].as_object_mut().into_iter().flat_map(|accounts| accounts.values_mut()) {
            account["storage"] = json!({});
        }
    })?;
    let error = record::replay_recording(&tools, record::find(folder.path(), None)?, None).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("all 4 transactions of block") && told.contains("does not have, and answered"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_refused_leaves_no_folder_behind() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    let scratch = TempDir::new()?;
    let folder = scratch.path().join("recordings/here");
    let error = record::record(&support::tools()?, devnet.node.http_url().parse()?, 100, None, &folder).await;
    assert!(error.unwrap_err().to_string().contains("does not know block 100"));
    assert_eq!(fs::read_dir(scratch.path())?.count(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_of_two_runs_are_merged() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let folder = TempDir::new()?;
    let accounts = [devnet.node.account(0)?, devnet.node.account(1)?];
    for account in accounts {
        let recorder = Recorder::start(devnet.node.http_url().parse()?, number).await?;
        ask(&recorder.http_url(), "eth_getBalance", json!([account, hex(number - 1)])).await?;
        recorder.recording().await?.add_to(folder.path())?;
    }
    let playback = Playback::start(Recording::read(folder.path(), number)?, &[]).await?;
    for account in accounts {
        for method in ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"] {
            let params = json!([account, hex(number - 1)]);
            let recorded = ask(&playback.http_url(), method, params.clone()).await?;
            assert_eq!(recorded, ask(&devnet.node.http_url(), method, params).await?, "{method}: recorded whole");
        }
    }
    playback.check(&[])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_outside_the_recording_is_zero_and_must_be_declared() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let recording = Recorder::start(devnet.node.http_url().parse()?, number).await?.recording().await?;
    let playback = Playback::start(recording, &[]).await?;
    let url = playback.http_url();
    let slot = ask(&url, "eth_getStorageAt", json!([NEVER_SEEN, "0x5", hex(number - 1)])).await?;
    assert_eq!(slot, json!(alloy::primitives::B256::ZERO));
    ask(&url, "eth_getStorageAt", json!([NEVER_SEEN, "0x5", hex(number - 1)])).await?;
    ask(&url, "eth_getBlockByNumber", json!([hex(number - 2), false])).await?;

    let read = Read::Slot(NEVER_SEEN, U256::from(5));
    let declared = |read: Read| Declared { read, why: "nobody was there".to_owned() };
    let other = Read::Account(NEVER_SEEN);
    let different = NotAsDeclared { undeclared: [(read, 2)].into(), unread: [other].into(), refused: Vec::new() };
    let block = Read::Block(number - 2);
    assert_eq!(playback.check(&[declared(block), declared(other)]), Err(different));
    assert_eq!(playback.check(&[declared(block), declared(read)]), Ok(()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_applies_only_where_nothing_was_recorded() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let recorder = Recorder::start(devnet.node.http_url().parse()?, number).await?;
    let deployer = devnet.deployer();
    let slot = json!([deployer, "0x0", hex(number - 1)]);
    ask(&recorder.http_url(), "eth_getStorageAt", slot.clone()).await?;
    let put = |address, slot: u64| Override {
        address,
        state: State::Slot(U256::from(slot), U256::from(9)),
        why: "a test of overrides",
    };
    let overrides = [put(deployer, 0), put(deployer, 1)];
    let playback = Playback::start(recorder.recording().await?, &overrides).await?;
    let recorded = ask(&playback.http_url(), "eth_getStorageAt", slot).await?;
    let overridden = ask(&playback.http_url(), "eth_getStorageAt", json!([deployer, "0x1", hex(number - 1)])).await?;
    let word = |value: u64| json!(alloy::primitives::B256::from(U256::from(value)));
    assert_eq!((recorded, overridden), (word(0), word(9)));
    playback.check(&[])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_recording_cannot_answer_is_refused_by_name() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let recording = Recorder::start(devnet.node.http_url().parse()?, number).await?.recording().await?;
    let playback = Playback::start(recording, &[]).await?;
    let later = ask(&playback.http_url(), "eth_getBalance", json!([NEVER_SEEN, hex(number)])).await.unwrap_err();
    let wanted = format!("the recording of block {number} of chain 31337 does not hold state at \"{}\"", hex(number));
    assert!(format!("{later:#}").contains(&wanted), "{later:#}");
    let method = ask(&playback.http_url(), "debug_traceCall", json!([])).await.unwrap_err();
    assert!(format!("{method:#}").contains("does not hold an answer to debug_traceCall"), "{method:#}");
    let refused = playback.check(&[]).unwrap_err().refused;
    assert_eq!(refused.len(), 2, "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_node_does_not_have_is_not_recorded() -> eyre::Result<()> {
    let (devnet, number) = lively().await?;
    let error = Recorder::start(devnet.node.http_url().parse()?, number + 100).await.unwrap_err();
    assert!(error.to_string().contains(&format!("does not know block {}", number + 100)), "{error:#}");
    Ok(())
}

/// Returns the command that replays the recording in a folder.
fn lab(folder: &Path) -> Command {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab_bin"));
    lab.args(["fork", "replay", "--recording"]).arg(folder);
    lab
}

fn fork_replay(folder: &Path, arguments: &[&str]) -> eyre::Result<Output> {
    Ok(lab(folder).args(arguments).output()?)
}

/// Changes a file of a recording.
pub(super) fn edit(file: &Path, change: impl FnOnce(&mut Value)) -> eyre::Result<()> {
    let mut content = serde_json::from_reader(GzDecoder::new(fs::File::open(file)?))?;
    change(&mut content);
    let mut encoder = GzEncoder::new(fs::File::create(file)?, Compression::fast());
    serde_json::to_writer(&mut encoder, &content)?;
    encoder.finish()?;
    Ok(())
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

async fn ask(url: &str, method: &'static str, params: Value) -> eyre::Result<Value> {
    let client = RpcClient::new_http(url.parse()?);
    let answer = client.request::<_, Option<Value>>(method, params).await.wrap_err(method)?;
    Ok(answer.unwrap_or_default())
}
