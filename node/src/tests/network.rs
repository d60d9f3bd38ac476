//! Five nodes on a local chain: paid by x402's published client and by ours, claimed from by a keeper and by themselves,
//! one of them with other weights, which an audit finds; an audit of a right answer, which costs its author.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Instant,
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    signers::local::PrivateKeySigner,
    sol,
    sol_types::{SolCall, SolValue},
};
use clap::Parser;
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_channels::{Channels, SETTLEMENT, claims::Published, encode_header};
use plimsoll_contracts::{IChannels, IJobs, INodes, IRewards};
use plimsoll_testkit::devnet::{Devnet, ITestToken, mined};
use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{TOKEN, client, fixture};
use crate::{
    Cli, Command,
    ask::{self, Answered},
    config::Config,
    engine::Engine,
    gate::now,
    receipt::{self, Verdict},
};

/// Whole tokens have six decimals.
const MIN_BOND: u64 = 100_000_000;
const MIN_FEE: u64 = 10_000;
const ROUND_SECS: u64 = 60;
const DRAW_DELAY: u64 = 8;
const MINTED: u64 = 1_000_000_000;
/// Weights count from the beginning of six hours.
const PERIOD: u64 = 6 * 3_600;
const NODES: usize = 5;
/// Accounts of Anvil: 0 deploys, 1 to 5 operate the nodes.
const KEEPER: usize = 6;
const FRAMER: usize = 7;
const AUDITOR: usize = 8;
const PAYER: usize = 9;
const SINK: Address = Address::repeat_byte(0x51);

sol! {
    #[sol(rpc)]
    interface ISupply {
        function totalSupply() external view returns (uint256);
    }
}

/// What the network did.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    nodes: usize,
    answers_by_published_client: u64,
    answers_by_own_client: u64,
    completion_tokens: u64,
    /// Of our client, one request after the other, with payment and checks.
    seconds_per_answer: f64,
    charged: u128,
    claimed_by_keeper: u128,
    keeper_tip: String,
    claimed_by_nodes: u128,
    cheat_slashed: String,
    honest_slashed: String,
    framing_cost: String,
    execution_gas_of_a_further_claim: u64,
    /// The token's units by holder; their sum is the supply.
    balances: BTreeMap<String, String>,
}

struct Network {
    devnet: Devnet,
    token: Address,
    jobs: Address,
    registry: Address,
    jar: Address,
    urls: Vec<String>,
    servers: Vec<JoinHandle<eyre::Result<()>>>,
    folder: TempDir,
}

impl Drop for Network {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl Network {
    /// `engines` are those of the nodes, in their order.
    async fn start(engines: Vec<Engine>) -> eyre::Result<Self> {
        // Registered in an earlier period, so that all count in draws now.
        let genesis = (now() - 2 * PERIOD).to_string();
        let devnet = fixture::start_with(&["--timestamp", &genesis]).await?;
        let provider = devnet.provider();
        let token = devnet.deploy("ERC3009Token", (TOKEN, U256::from(6)).abi_encode_params()).await?;
        let rewards = devnet.deploy("Rewards", Vec::new()).await?;
        let config = IJobs::Config {
            token,
            rewards,
            sink: SINK,
            minBond: U256::from(MIN_BOND),
            cooldown: U256::from(7 * 86_400),
            drawDelay: U256::from(DRAW_DELAY),
            commitSecs: U256::from(ROUND_SECS * 10),
            revealSecs: U256::from(ROUND_SECS * 10),
            challengeSecs: U256::from(ROUND_SECS),
            minFee: U256::from(MIN_FEE),
        };
        let jobs = devnet.deploy("Jobs", config.abi_encode()).await?;
        let registry = IJobs::new(jobs, provider).nodes().call().await?;
        let pool = IRewards::new(rewards, provider);
        mined(pool.createPool(registry, vec![token], B256::ZERO).from(devnet.deployer())).await?;
        let jar =
            devnet.deploy("TipJar", (SETTLEMENT, devnet.account(1)?, U256::from(1_000)).abi_encode_params()).await?;

        let folder = tempfile::tempdir()?;
        let (mut urls, mut servers, mut starting) = (Vec::new(), Vec::new(), Vec::new());
        for (index, engine) in engines.into_iter().enumerate() {
            let id = index + 1;
            let operator = devnet.account(id)?;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("http://{}", listener.local_addr()?);
            devnet.mint_and_approve(token, operator, U256::from(MINTED), registry).await?;
            let nodes = INodes::new(registry, provider);
            let bond = U256::from(4 * MIN_BOND);
            mined(nodes.register(engine.kind.id, operator, 0, url.clone(), bond).from(operator)).await?;
            let mut config = Config::parse(include_str!("../../node.example.toml"))?;
            config.store = folder.path().join(format!("node-{id}.sqlite"));
            config.chain.rpc = Some(devnet.node.http_url());
            config.payment.receiver = if id == 1 { jar } else { operator };
            config.payment.token = token;
            config.payment.min_deposit.0 = 1_000;
            config.keys.authorizer = plimsoll_chain::signer::SignerSource::Anvil(id);
            config.keys.sender = plimsoll_chain::signer::SignerSource::Anvil(id);
            config.claims.interval_seconds = 1;
            config.claims.min.0 = 1;
            config.claims.publish = id == 1;
            config.receipts.node = u32::try_from(id)?;
            config.receipts.jobs = jobs;
            config.jobs.answer = true;
            config.jobs.interval_seconds = 1;
            config.limits.unpaid_per_second = 1_000;
            urls.push(url);
            starting.push((config, engine, listener));
        }
        for account in [KEEPER, FRAMER, AUDITOR, PAYER] {
            let amount = U256::from(MINTED);
            devnet.mint_and_approve(token, devnet.account(account)?, amount, SETTLEMENT).await?;
        }
        // Ahead of the machine's clock, because receipts are not of the chain's future.
        provider.anvil_set_next_block_timestamp(now() + 5).await?;
        provider.anvil_mine(Some(1), None).await?;
        for (config, engine, listener) in starting {
            servers.push(tokio::spawn(Box::pin(crate::serve(config, engine, listener))));
        }
        Ok(Self { devnet, token, jobs, registry, jar, urls, servers, folder })
    }

    async fn balance(&self, of: Address) -> eyre::Result<U256> {
        Ok(ITestToken::new(self.token, self.devnet.provider()).balanceOf(of).call().await?)
    }

    /// Bond of a node.
    async fn bond(&self, id: u32) -> eyre::Result<u128> {
        Ok(INodes::new(self.registry, self.devnet.provider()).node(id).call().await?.active.assets)
    }

    fn wallet(&self, account: usize) -> Vec<String> {
        let ledger = self.folder.path().join(format!("ledger-{account}.sqlite"));
        let words =
            ["--ledger", &ledger.display().to_string(), "--rpc", &self.devnet.node.http_url()].map(str::to_owned);
        let more = ["--token", &self.token.to_string(), "--anvil", &account.to_string()].map(str::to_owned);
        words.into_iter().chain(more).collect()
    }

    async fn ask(&self, node: usize, prompt: &str, max_tokens: u32, salt: u32) -> eyre::Result<Answered> {
        let words = ["plimsoll-node", "ask", prompt, "--url", &self.urls[node - 1], "--max-price", "100000"];
        let (tokens, salt, jobs) = (max_tokens.to_string(), salt.to_string(), self.jobs.to_string());
        let more = ["--max-tokens", &tokens, "--salt", &salt, "--jobs", &jobs, "--json"];
        let all = words.into_iter().chain(more).map(str::to_owned).chain(self.wallet(PAYER));
        let Command::Ask(arguments) = Cli::try_parse_from(all)?.command else { eyre::bail!("not ask") };
        ask::ask(&arguments, &mut |_| ()).await.wrap_err_with(|| format!("node {node}"))
    }

    /// Posts an audit of an answer by `account` and lets drawn nodes decide it. Returns the job.
    async fn audit(&self, account: usize, answered: &Answered) -> eyre::Result<IJobs::Job> {
        let words = ["plimsoll-node", "audit", "-", "--seats", "3", "--unchecked"].map(str::to_owned);
        let parsed = Cli::try_parse_from(words.into_iter().chain(self.wallet(account)))?;
        let Command::Audit { wallet, .. } = parsed.command else { eyre::bail!("not audit") };
        wallet.open().await?.audit(&answered.file, 3, None).await?;
        let (provider, keeper) = (self.devnet.provider(), self.devnet.account(KEEPER)?);
        let jobs = IJobs::new(self.jobs, provider);
        let id = jobs.count().call().await?;
        let job = jobs.job(id).call().await?;
        provider.anvil_mine(Some(DRAW_DELAY + 1), None).await?;
        let block = provider.get_block_by_number(BlockNumberOrTag::Number(job.drawBlock)).await?;
        let header = encode_header(&block.wrap_err("no block")?.header).wrap_err("the header is not the block's")?;
        mined(jobs.draw(id, header).from(keeper)).await?;
        let started = Instant::now();
        while jobs.job(id).call().await?.revealed < 3 {
            for server in &self.servers {
                ensure!(!server.is_finished(), "a node has ended");
            }
            ensure!(started.elapsed().as_secs() < 300, "not revealed: {:?}", jobs.seatsOf(id).call().await?);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        mined(jobs.close(id).from(keeper)).await?;
        provider.anvil_increase_time(ROUND_SECS + 1).await?;
        provider.anvil_mine(Some(1), None).await?;
        mined(jobs.finalize(id).from(keeper)).await?;
        Ok(jobs.job(id).call().await?)
    }

    /// Sends what node 1 has published, as a keeper does, as soon as that is all of `charged`: what is published follows
    /// the charges at an interval. Returns what it claimed and the tip.
    async fn collect(&self, charged: u128) -> eyre::Result<(u128, U256)> {
        let provider = self.devnet.provider();
        let channels = Channels::new(provider.get_chain_id().await?, SETTLEMENT);
        let contract = IChannels::new(SETTLEMENT, provider);
        let keeper = self.devnet.account(KEEPER)?;
        let started = Instant::now();
        loop {
            ensure!(started.elapsed().as_secs() < 120, "node 1 has not published {charged} units");
            let text =
                reqwest::get(format!("{}{}", self.urls[0], plimsoll_channels::claims::PATH)).await?.bytes().await?;
            let published = Published::parse(&text, provider.get_chain_id().await?, SETTLEMENT)?;
            let Some(batch) = published.batches.first() else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let batch = batch.verify(&channels)?;
            let mut states = BTreeMap::new();
            for (id, _) in &batch.rows {
                let state = contract.channels(*id).call().await?;
                states.insert(*id, (state.balance, state.totalClaimed));
            }
            let claimable = batch.claimable(|id| states[&id]);
            ensure!(batch.receiver == self.jar && claimable <= charged, "{batch:?}");
            if claimable < charged {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
            let before = self.balance(keeper).await?;
            let call = Bytes::from(batch.collect_call().abi_encode());
            let request = alloy::rpc::types::TransactionRequest::default().from(keeper).to(self.jar);
            let sent = provider.send_transaction(request.input(call.into())).await?.get_receipt().await?;
            ensure!(sent.status(), "the collection reverted");
            return Ok((claimable, self.balance(keeper).await? - before));
        }
    }

    /// Units by holder. Fails if they are not all that there is.
    async fn balances(&self, payer: Address) -> eyre::Result<BTreeMap<String, String>> {
        let mut holders: Vec<(String, Address)> = vec![
            ("Channels".to_owned(), SETTLEMENT),
            ("TipJar".to_owned(), self.jar),
            ("Jobs".to_owned(), self.jobs),
            ("Nodes".to_owned(), self.registry),
            ("sink".to_owned(), SINK),
            ("payer of the published client".to_owned(), payer),
        ];
        for (index, name) in [(KEEPER, "keeper"), (FRAMER, "framer"), (AUDITOR, "auditor"), (PAYER, "payer")] {
            holders.push((name.to_owned(), self.devnet.account(index)?));
        }
        for index in 1..=NODES {
            holders.push((format!("operator {index}"), self.devnet.account(index)?));
        }
        let (mut sum, mut balances) = (U256::ZERO, BTreeMap::new());
        for (name, holder) in holders {
            let balance = self.balance(holder).await?;
            sum += balance;
            balances.insert(name, balance.to_string());
        }
        let supply = ISupply::new(self.token, self.devnet.provider()).totalSupply().call().await?;
        ensure!(sum == supply, "{sum} of {supply} units are accounted for: {balances:?}");
        Ok(balances)
    }

    /// Execution gas of a further row in a claim by signature: from ten rows and one, without their calldata.
    async fn gas_of_a_further_claim(&self) -> eyre::Result<u64> {
        use alloy::signers::SignerSync;
        use plimsoll_channels::{
            Amount, WireConfig,
            claims::{Batch, Row},
        };
        let provider = self.devnet.provider();
        let channels = Channels::new(provider.get_chain_id().await?, SETTLEMENT);
        let (keeper, [signer, authorizer]) =
            (self.devnet.account(KEEPER)?, [(); 2].map(|()| PrivateKeySigner::random()));
        let contract = IChannels::new(SETTLEMENT, provider);
        let mut configs = Vec::new();
        for salt in 0..11_u64 {
            let config = WireConfig {
                payer: keeper,
                payer_authorizer: signer.address(),
                receiver: keeper,
                receiver_authorizer: authorizer.address(),
                token: self.token,
                withdraw_delay: 3_600,
                salt: U256::from(salt).into(),
            };
            let chain_config = config.to_config().wrap_err("the delay")?;
            mined(contract.depositFrom(chain_config, 1_000).from(keeper)).await?;
            configs.push(config);
        }
        let batch = |configs: &[WireConfig], total: u128| -> eyre::Result<Bytes> {
            let row = |config: &WireConfig| -> eyre::Result<Row> {
                let id = channels.channel_id(&config.to_config().wrap_err("the delay")?);
                let signature = signer.sign_hash_sync(&channels.voucher_digest(id, total))?.as_bytes().into();
                let (max_claimable_amount, total_claimed) = (Amount(total), Amount(total));
                Ok(Row { channel_config: config.clone(), max_claimable_amount, signature, total_claimed })
            };
            let mut batch = Batch {
                receiver: keeper,
                receiver_authorizer: authorizer.address(),
                token: self.token,
                claims: configs.iter().map(row).collect::<eyre::Result<_>>()?,
                authorizer_signature: Bytes::new(),
            };
            batch.authorizer_signature = authorizer.sign_hash_sync(&batch.digest(&channels)?)?.as_bytes().into();
            Ok(batch.verify(&channels)?.claim_call().abi_encode().into())
        };
        // Without the first claim of each, whose sums are zero before.
        let mut execution = Vec::new();
        for (rows, total) in [(&configs[..], 100), (&configs[..1], 200), (&configs[..], 300)] {
            let call = batch(rows, total)?;
            let calldata: u64 = call.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
            let request = alloy::rpc::types::TransactionRequest::default().from(keeper).to(SETTLEMENT);
            let sent = provider.send_transaction(request.input(call.into())).await?.get_receipt().await?;
            ensure!(sent.status(), "the claim reverted");
            execution.push(sent.gas_used - 21_000 - calldata);
        }
        Ok((execution[2] - execution[1]) / 10)
    }
}

/// Runs the whole. `engines` are of the nodes in their order, the last one's with other weights; `judge` is right.
pub(super) async fn run(engines: Vec<Engine>, judge: &Engine, each: u64, max_tokens: u32) -> eyre::Result<Report> {
    let network = Network::start(engines).await?;
    let (devnet, provider) = (&network.devnet, network.devnet.provider());
    let (stock, signer) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    provider.anvil_set_balance(stock.address(), alloy::primitives::utils::Unit::ETHER.wei()).await?;
    let token = ITestToken::new(network.token, provider);
    mined(token.mint(stock.address(), U256::from(MINTED)).from(devnet.deployer())).await?;

    let task = json!({
        "url": network.urls[1],
        "rpc": devnet.node.http_url(),
        "token": network.token,
        "model": judge.kind.file.name,
        "requests": each,
        "payer": stock.to_bytes(),
        "signer": signer.to_bytes(),
    });
    let printed = client::run("ask.mjs", &[task.to_string()])?;
    let by_published = printed.as_ref().map_or(0, |printed| {
        // Two streams and the answer after the client lost its sums.
        printed["answers"].as_array().map_or(0, |answers| answers.iter().map(|_| 1).sum::<u64>()) + 3
    });
    writeln!(io::stderr(), "x402's published client: {by_published} answers")?;

    let (mut completion_tokens, mut charged, mut last) = (0, 0, Vec::new());
    let mut sums: BTreeMap<B256, u128> = BTreeMap::new();
    let started = Instant::now();
    for index in 0..each {
        let node = 1 + usize::try_from(index)? % (NODES - 1);
        let answered = network.ask(node, &format!("Name a ship, number {index}."), max_tokens, 0).await?;
        completion_tokens += u64::from(answered.file.receipt.completion_tokens);
        charged += answered.charged;
        sums.insert(answered.channel, answered.total);
        last.push(answered);
    }
    let seconds_per_answer = started.elapsed().as_secs_f64() / f64::from(u32::try_from(each.max(1))?);
    ensure!(sums.values().sum::<u128>() == charged, "{sums:?} of {charged}");
    writeln!(io::stderr(), "our client: {each} answers")?;

    // Claims: node 1 publishes for keepers, the others send their own.
    let own = sums.len() - 1;
    let of_node_1 = sums[&last.first().wrap_err("no answer")?.channel];
    let (claimed_by_keeper, tip) = network.collect(of_node_1).await?;
    let contract = IChannels::new(SETTLEMENT, provider);
    let mut claimed_by_nodes = 0;
    for (id, sum) in &sums {
        let started = Instant::now();
        while contract.channels(*id).call().await?.totalClaimed < *sum {
            ensure!(started.elapsed().as_secs() < 120, "the channel {id} is not claimed from");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        claimed_by_nodes += sum;
    }
    claimed_by_nodes -= claimed_by_keeper;
    ensure!(own == NODES - 2 && tip == U256::from(claimed_by_keeper / 10), "{own} nodes, a tip of {tip}");
    writeln!(io::stderr(), "claimed: {claimed_by_keeper} by a keeper, {claimed_by_nodes} by the nodes")?;

    // The cheat: its answer is computed again, audited, and judged by three of the others.
    let lie = network.ask(NODES, "What is a lighthouse?", max_tokens, 0).await?;
    ensure!(matches!(receipt::verify(judge, &lie.file).await?, Verdict::Different(_)), "the cheat did not cheat");
    let before = network.bond(5).await?;
    let job = network.audit(AUDITOR, &lie).await?;
    let cheat_slashed = before - network.bond(5).await?;
    ensure!(job.state == IJobs::State::Completed && job.result != job.claimed, "{job:?}");
    ensure!(cheat_slashed == before / 5, "slashed {cheat_slashed} of {before}");
    let registry = INodes::new(network.registry, provider);
    ensure!(!registry.node(5).call().await?.jailedUntil.is_zero(), "the cheat is not jailed");
    ensure!(network.ask(NODES, "Another one?", max_tokens, 0).await.is_err(), "a jailed node was paid");
    writeln!(io::stderr(), "the cheat lost {cheat_slashed}")?;

    // An audit of a right answer: it costs its author, and the node nothing.
    let right = last.first().wrap_err("no answer")?;
    ensure!(receipt::verify(judge, &right.file).await? == Verdict::Equal, "an honest answer differs");
    let bonds = async || -> eyre::Result<u128> {
        let mut sum = 0;
        for id in 1..=4 {
            sum += network.bond(id).await?;
        }
        Ok(sum)
    };
    let (framer, honest) = (devnet.account(FRAMER)?, bonds().await?);
    let before = network.balance(framer).await?;
    let job = network.audit(FRAMER, right).await?;
    let framing_cost = before - network.balance(framer).await?;
    let honest_slashed = honest - bonds().await?;
    ensure!(job.result == job.claimed && honest_slashed == 0, "{job:?}, slashed {honest_slashed}");
    ensure!(framing_cost >= U256::from(3 * MIN_FEE), "framing cost {framing_cost}");
    writeln!(io::stderr(), "the framing cost {framing_cost}")?;

    let execution_gas_of_a_further_claim = network.gas_of_a_further_claim().await?;
    ensure!(execution_gas_of_a_further_claim <= 15_000, "{execution_gas_of_a_further_claim} gas for a further claim");
    Ok(Report {
        nodes: NODES,
        answers_by_published_client: by_published,
        answers_by_own_client: each + 1,
        completion_tokens,
        seconds_per_answer,
        charged,
        claimed_by_keeper,
        keeper_tip: tip.to_string(),
        claimed_by_nodes,
        cheat_slashed: cheat_slashed.to_string(),
        honest_slashed: honest_slashed.to_string(),
        framing_cost: framing_cost.to_string(),
        execution_gas_of_a_further_claim,
        balances: network.balances(stock.address()).await?,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_paid_claims_and_slashes_a_cheat() -> eyre::Result<()> {
    let mut engines: Vec<Engine> = (1..NODES).map(|_| super::scripted(8)).collect::<eyre::Result<_>>()?;
    engines.push(super::scripted_otherwise(8)?);
    let report = Box::pin(run(engines, &super::scripted(1)?, 8, 12)).await?;
    writeln!(io::stderr(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

/// The same with the model and a hundred answers, for `cargo lab nodes`, which names the file for the report.
#[cfg(feature = "dishonest")]
#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_the_model() -> eyre::Result<()> {
    let Ok(file) = std::env::var("PLIMSOLL_NODES_REPORT") else { return Ok(()) };
    let judge = super::model::engine()?.wrap_err("the model cannot be fetched")?;
    judge.check_probe()?;
    // Honest nodes share one model in this process, as they would share a machine's time.
    let mut engines = vec![judge.clone(); NODES - 1];
    engines.push(super::model::cheat()?);
    let report = run(engines, &judge, 50, 12).await?;
    let bench = crate::bench::run(Some(&judge), std::time::Duration::from_secs(3)).await?;
    let document = json!({"network": report, "bench": bench});
    std::fs::write(file, serde_json::to_string_pretty(&document)?)?;
    Ok(())
}
