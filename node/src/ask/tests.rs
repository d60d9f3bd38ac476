use std::sync::{Mutex, mpsc};

use alloy::providers::ext::AnvilApi;
use clap::Parser;
use plimsoll_testkit::devnet::ITestToken;

use super::*;
use crate::{
    Cli, Command,
    engine::Engine,
    generation::Model,
    local,
    script::{Letters, Script},
    tests::{Served, scripted},
};

const PAYER: usize = 9;
const MINTED: u64 = 1_000_000;

fn words(served: &Served, folder: &std::path::Path, more: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = more.iter().map(|word| (*word).to_owned()).collect();
    let ledger = folder.join("ledger.sqlite").display().to_string();
    let (rpc, token, payer) = (served.devnet.node.http_url(), served.token.to_string(), PAYER.to_string());
    words.extend(["--ledger", &ledger, "--rpc", &rpc, "--token", &token, "--anvil", &payer].map(str::to_owned));
    words
}

async fn ask_in(served: &Served, folder: &std::path::Path, prompt: &str, more: &[&str]) -> eyre::Result<Answered> {
    let fixed = ["plimsoll-node", "ask", prompt, "--url", &served.url, "--max-tokens", "12"];
    let fixed = [&fixed[..], more].concat();
    let Command::Ask(arguments) = Cli::try_parse_from(words(served, folder, &fixed))?.command else { bail!("not ask") };
    ask(&arguments, &mut |_| ()).await
}

async fn channel(served: &Served, folder: &std::path::Path, command: &str) -> eyre::Result<Value> {
    let words = words(served, folder, &["plimsoll-node", "channel"]);
    let all = words.into_iter().chain([command.to_owned()]);
    let Command::Channel { command, wallet } = Cli::try_parse_from(all)?.command else { bail!("not channel") };
    run(&wallet, &command).await
}

async fn served(engine: Engine) -> eyre::Result<Served> {
    let served = Served::start(engine).await?;
    let payer = served.devnet.account(PAYER)?;
    served.devnet.mint_and_approve(served.token, payer, U256::from(MINTED), plimsoll_channels::SETTLEMENT).await?;
    Ok(served)
}

async fn balance(served: &Served) -> eyre::Result<U256> {
    let token = ITestToken::new(served.token, served.devnet.provider());
    Ok(token.balanceOf(served.devnet.account(PAYER)?).call().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_paid_checked_and_the_rest_comes_back() -> eyre::Result<()> {
    let served = served(scripted(8)?).await?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let max = ["--max-price", "1000"];
    let error = format!("{:#}", ask_in(&served, folder, "a", &["--max-price", "1"]).await.unwrap_err());
    ensure!(error.contains("--max-price is 1"), "{error}");
    let first = ask_in(&served, folder, "a", &max).await?;
    ensure!(first.deposited > 0 && first.total == first.charged && !first.text.is_empty(), "{first:?}");
    let second = ask_in(&served, folder, "b", &max).await?;
    ensure!(second.deposited == 0 && second.total == first.total + second.charged, "{second:?}");
    // A client that lost its ledger finds its place by what it has signed itself.
    let lost = tempfile::tempdir()?;
    let third = ask_in(&served, lost.path(), "c", &max).await?;
    ensure!(third.total == second.total + third.charged && third.deposited == 0, "{third:?}");
    // And this one notices that the node's sum is not its own: the node corrects it, within what was signed.
    let fourth = ask_in(&served, folder, "d", &max).await;
    ensure!(fourth.is_err() || fourth.is_ok_and(|fourth| fourth.total > third.total));

    let list = channel(&served, lost.path(), "list").await?;
    ensure!(list[0]["stopped"].is_null(), "{list}");
    let receipt: ReceiptFile = serde_json::from_value(channel(&served, lost.path(), "receipt").await?)?;
    ensure!(receipt.receipt == third.file.receipt);
    let refunded = channel(&served, lost.path(), "refund").await?;
    ensure!(amount_of(&refunded["amount"])? > 0, "{refunded}");
    let spent = U256::from(MINTED) - balance(&served).await?;
    ensure!(spent <= U256::from(third.total + 1_000), "{spent} was spent for {}", third.total);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_takes_its_money_out_without_the_node() -> eyre::Result<()> {
    let served = served(scripted(8)?).await?;
    let folder = tempfile::tempdir()?;
    let answered = ask_in(&served, folder.path(), "a", &["--max-price", "1000"]).await?;
    channel(&served, folder.path(), "withdraw").await?;
    ensure!(channel(&served, folder.path(), "finalize").await.is_err(), "before the delay");
    let provider = served.devnet.provider();
    // The node claims what it was promised before the payer is gone.
    let contract = plimsoll_contracts::IChannels::new(plimsoll_channels::SETTLEMENT, provider);
    while contract.channels(answered.channel).call().await?.totalClaimed < answered.total {
        tokio::task::yield_now().await;
    }
    provider.anvil_increase_time(served.config.payment.withdraw_delay_seconds + 1).await?;
    provider.anvil_mine(Some(1), None).await?;
    channel(&served, folder.path(), "finalize").await?;
    ensure!(balance(&served).await? == U256::from(MINTED) - U256::from(answered.total));
    Ok(())
}

/// A model that answers when it is told to.
struct Gated(Script, Mutex<mpsc::Receiver<()>>);

impl Model for Gated {
    fn logits(&mut self, tokens: &[u32], position: usize) -> eyre::Result<Vec<f32>> {
        if position == 0 {
            self.1.lock().map_err(|_| eyre::eyre!("poisoned"))?.recv()?;
        }
        self.0.logits(tokens, position)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_had_again_and_paid_once() -> eyre::Result<()> {
    let (open, gate) = mpsc::channel();
    let model = Box::new(Gated(Script::default(), Mutex::new(gate)));
    let engine = Engine::new(Kind::load(None)?, std::sync::Arc::new(Letters::default()), model, 8);
    let served = std::sync::Arc::new(served(engine.clone()).await?);
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_owned();
    let asking = tokio::spawn({
        let (served, path) = (std::sync::Arc::clone(&served), path.clone());
        async move { ask_in(&served, &path, "a", &["--max-price", "1000"]).await }
    });
    // The client ends while its answer is computed.
    while engine.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    ensure!(asking.await.is_err());
    let kept = Ledger::open(&path.join("ledger.sqlite"))?.accounts()?;
    ensure!(kept.len() == 1 && kept[0].pending.is_some() && kept[0].signed > 0 && kept[0].charged == 0, "{kept:?}");
    open.send(())?;
    while engine.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    // More gates than needed: whatever is computed is.
    (0..4).try_for_each(|_| open.send(()))?;
    let again = ask_in(&served, &path, "a", &["--max-price", "1000"]).await?;
    ensure!(again.total == again.charged, "paid twice: {again:?}");
    let next = ask_in(&served, &path, "b", &["--max-price", "1000"]).await?;
    ensure!(next.total == again.total + next.charged, "{next:?}");
    Ok(())
}

#[test]
fn an_answer_that_is_not_what_was_paid_for_is_named() -> eyre::Result<()> {
    let key = alloy::signers::local::PrivateKeySigner::random();
    let [payer, payer_authorizer, receiver, token] = [Address::repeat_byte(1); 4];
    let config = WireConfig {
        payer,
        payer_authorizer,
        receiver,
        receiver_authorizer: key.address(),
        token,
        withdraw_delay: 3_600,
        salt: B256::ZERO,
    };
    let id = B256::repeat_byte(4);
    let account = Account { id, url: String::new(), config, charged: 100, signed: 200, stopped: None, pending: None };
    let [base, per_prompt_token, per_completion_token] = [10, 1, 2].map(Amount);
    let price = Price { base, per_prompt_token, per_completion_token };
    let input = b"input";
    let expected = Expected { account: &account, kind: B256::ZERO, input, price, amount: 50, charged: 25, total: 125 };
    let right = SignedReceipt {
        chain_id: 1,
        jobs: Address::ZERO,
        node: 1,
        kind: B256::ZERO,
        request_hash: keccak256(input),
        result_hash: crate::generation::result_hash(b"text", B256::ZERO),
        trace: B256::ZERO,
        prompt_tokens: 5,
        completion_tokens: 5,
        issued_at: now(),
        channel_id: id,
        charged: Amount(25),
        signer: Address::ZERO,
        signature: Bytes::new(),
    };
    let problem = |receipt: SignedReceipt, text: &str| -> eyre::Result<String> {
        Ok(expected.problem(&receipt.sign(&key)?, text).err().map(|error| error.to_string()).unwrap_or_default())
    };
    assert_eq!(problem(right.clone(), "text")?, "");
    assert!(problem(right.clone(), "another text")?.contains("another answer"));
    for (wrong, named) in [
        (SignedReceipt { kind: B256::repeat_byte(1), ..right.clone() }, "another kind"),
        (SignedReceipt { request_hash: B256::ZERO, ..right.clone() }, "another request"),
        (SignedReceipt { channel_id: B256::ZERO, ..right.clone() }, "another channel"),
        (SignedReceipt { charged: Amount(24), ..right.clone() }, "a charge of 24"),
        (SignedReceipt { completion_tokens: 6, ..right.clone() }, "cost 27"),
        // Nothing that old could be audited for long.
        (SignedReceipt { issued_at: now() - 600, ..right.clone() }, "another time"),
    ] {
        let found = problem(wrong, "text")?;
        assert!(found.contains(named), "{found}");
    }
    let stranger = right.clone().sign(&alloy::signers::local::PrivateKeySigner::random())?;
    assert!(expected.problem(&stranger, "text").is_err());
    let signed = right.sign(&key)?;
    let dear = Expected { charged: 51, ..expected };
    assert!(dear.problem(&signed, "text").is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_of_a_node_is_not_read_to_its_end() -> eyre::Result<()> {
    let endless = || async {
        let parts = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 16]));
        axum::body::Body::from_stream(parts)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = axum::Router::new().fallback(endless);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let error = document(client()?.get(&url).send().await?).await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error:#}");
    assert_eq!(refusal(client()?.get(&url).send().await?).await.len(), MAX_REFUSAL);
    server.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_clients_are_paid_for_at_one_url() -> eyre::Result<()> {
    let served = served(scripted(8)?).await?;
    let folder = tempfile::tempdir()?;
    let arguments = |more: &[&str]| -> eyre::Result<AskArguments> {
        let fixed = [&["plimsoll-node", "ask", "--url", &served.url, "--max-price", "1000"], more].concat();
        let parsed = Cli::try_parse_from(words(&served, folder.path(), &fixed))?.command;
        let Command::Ask(arguments) = parsed else { bail!("not ask") };
        Ok(*arguments)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/chat/completions", listener.local_addr()?);
    let router = listen::router(&arguments(&[])?)?;
    let server = tokio::spawn(async move { axum::serve(listener, local::guarded(router)).await });
    let body = |more: Value| -> Value {
        let mut body = json!({
            "model": "smollm2-135m-instruct", "max_tokens": 12, "messages": [{"role": "user", "content": "a"}],
        });
        body.as_object_mut().into_iter().for_each(|body| body.extend(more.as_object().cloned().unwrap_or_default()));
        body
    };
    let http = client()?;
    let post = async |more: Value| http.post(&url).body(body(more).to_string()).send().await;
    let whole = document(post(json!({})).await?).await?;
    let text = whole["choices"][0]["message"]["content"].as_str().wrap_err("no text")?;
    ensure!(!text.is_empty() && whole["usage"]["completion_tokens"].as_u64() > Some(0), "{whole}");
    let events = post(json!({"stream": true, "stream_options": {"include_usage": true}})).await?.text().await?;
    let deltas: Vec<Value> = events
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: {"))
        .map(|event| serde_json::from_str(&format!("{{{event}")))
        .collect::<Result<_, _>>()?;
    let streamed: String = deltas.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    ensure!(streamed == text && deltas.len() > 3 && events.ends_with("data: [DONE]\n\n"), "{events}");
    ensure!(deltas.last().is_some_and(|last| last["usage"] == whole["usage"]), "{events}");
    // A page that a browser of this machine shows spends nothing: the only form that needs no permission is refused, too.
    let page = http.post(&url).header("origin", "https://attacker.example").header("content-type", "text/plain");
    let page = page.body(body(json!({})).to_string()).send().await?;
    ensure!(page.status() == StatusCode::FORBIDDEN, "{}", page.status());
    // What cannot be done is refused by name, and not paid.
    let refused = post(json!({"tools": [{}]})).await?;
    ensure!(refused.status() == StatusCode::BAD_REQUEST && refused.text().await?.contains("tools"));
    server.abort();
    server.await.err();
    drop(http);
    // The ledger is free once the last connection has ended.
    let list = loop {
        match channel(&served, folder.path(), "list").await {
            Ok(list) => break list,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let charged = amount_of(&list[0]["charged"])?;
    let state =
        client()?.get(format!("{}/x402/channels/{}", served.url, list[0]["channel"].as_str().unwrap_or_default()));
    let state = document(state.send().await?).await?;
    ensure!(charged > 0 && amount_of(&state["channelState"]["chargedCumulativeAmount"])? == charged, "{state}");
    // Nobody else may spend.
    let open: SocketAddr = "0.0.0.0:0".parse()?;
    let error = listen::listen(&arguments(&[])?, open).await.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(error.contains("an address of this machine"), "{error}");
    Ok(())
}
