//! Vouchers that services publish are claimed for their tips; services that are slow, endless, lying or send elsewhere cost
//! nothing and raise no alert.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, address},
    providers::{Provider, ext::AnvilApi},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};
use plimsoll_channels::{
    Channels, WireConfig,
    claims::{Batch, Published, Row, VERSION},
};
use plimsoll_contracts::{IChannels, IERC4626};
use plimsoll_deploy::manifest::Manifest;
use plimsoll_testkit::{
    deployment::Suite,
    devnet::mined,
    keeper::{Keeper, KeeperSetup},
    workspace::workspace,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::fixture::{program, soon};

const CONTRACTS: &str = r#"
[contracts.Channels]

[contracts.TipJar]
arguments = { channels_ = "Channels", operator_ = "deployer", tipBps_ = 1000 }
"#;
const CHAIN: u64 = 31_337;
const WETH: u128 = 1_000_000_000_000_000_000;
/// Anvil's accounts 3 and 6.
const PAYER: Address = address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906");
const RIVAL: Address = address!("0x976EA74026E726554dB657fA54763abd0C3a0aa9");
/// Anvil's account 9, which signs what is of low priority.
const SIGNER: Address = address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720");

/// What the services answer, by the first part of the path.
#[derive(Debug, Default)]
struct Answers {
    good: Mutex<String>,
    lying: Mutex<String>,
    asked: Mutex<Vec<String>>,
}

/// Serves honest and hostile answers until it is dropped.
struct Services {
    url: String,
    answers: Arc<Answers>,
    _tasks: JoinSet<()>,
}

impl Services {
    async fn start() -> eyre::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let answers = Arc::new(Answers::default());
        let mut tasks = JoinSet::new();
        let own = Arc::clone(&answers);
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(serve(stream, Arc::clone(&own)));
            }
        });
        Ok(Self { url, answers, _tasks: tasks })
    }

    fn was_asked(&self, name: &str) -> bool {
        self.answers.asked.lock().is_ok_and(|asked| asked.iter().any(|path| path == name))
    }
}

async fn serve(mut stream: TcpStream, answers: Arc<Answers>) {
    let mut head = vec![0; 4_096];
    let Ok(length) = stream.read(&mut head).await else { return };
    let text = String::from_utf8_lossy(head.get(..length).unwrap_or_default()).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let name = path.strip_suffix("/x402/claims").unwrap_or(&path).trim_start_matches('/').to_owned();
    if let Ok(mut asked) = answers.asked.lock() {
        asked.push(name.clone());
    }
    let document = |body: &Mutex<String>| {
        let body = body.lock().map(|body| body.clone()).unwrap_or_default();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    let answer = match name.as_str() {
        "good" => document(&answers.good),
        "lying" => document(&answers.lying),
        "elsewhere" => "HTTP/1.1 302 Found\r\nlocation: /good/x402/claims\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "endless" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[").await;
            while stream.write_all(&[b'['; 65_536]).await.is_ok() {}
            return;
        }
        // Slow: it never answers.
        _ => return std::future::pending().await,
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

struct Service {
    suite: Suite,
    channels: Address,
    jar: Address,
    payer: PrivateKeySigner,
    authorizer: PrivateKeySigner,
}

impl Service {
    async fn new() -> eyre::Result<Self> {
        let path = workspace()?.root().join("examples/local.toml");
        let text = format!("{}\n{CONTRACTS}", std::fs::read_to_string(&path)?);
        let manifest = Box::new(Manifest::parse(Path::new("local.toml"), text)?);
        let suite = Suite::start_from(&manifest, &[]).await?;
        let channels = suite.deployment.address("contracts.Channels").wrap_err("no channels")?;
        let jar = suite.deployment.address("contracts.TipJar").wrap_err("no jar")?;
        suite.devnet.mint_and_approve(suite.token("WETH")?, PAYER, U256::from(100 * WETH), channels).await?;
        let [payer, authorizer] = [(); 2].map(|()| PrivateKeySigner::random());
        Ok(Self { suite, channels, jar, payer, authorizer })
    }

    fn config(&self, salt: u8) -> eyre::Result<WireConfig> {
        Ok(WireConfig {
            payer: PAYER,
            payer_authorizer: self.payer.address(),
            receiver: self.jar,
            receiver_authorizer: self.authorizer.address(),
            token: self.suite.token("WETH")?,
            withdraw_delay: 86_400,
            salt: B256::repeat_byte(salt),
        })
    }

    async fn deposit(&self, salt: u8, amount: u128) -> eyre::Result<()> {
        let config = self.config(salt)?.to_config().wrap_err("a delay")?;
        let channels = IChannels::new(self.channels, self.suite.provider());
        mined(channels.depositFrom(config, amount).from(PAYER)).await?;
        Ok(())
    }

    /// A signed batch of one channel with this total.
    fn batch(&self, salt: u8, total: u128) -> eyre::Result<Batch> {
        let (domain, config) = (Channels::new(CHAIN, self.channels), self.config(salt)?);
        let id = domain.channel_id(&config.to_config().wrap_err("a delay")?);
        let signature = self.payer.sign_hash_sync(&domain.voucher_digest(id, total))?;
        let amount = plimsoll_channels::Amount(total);
        let mut batch = Batch {
            receiver: config.receiver,
            receiver_authorizer: config.receiver_authorizer,
            token: config.token,
            claims: vec![Row {
                channel_config: config,
                max_claimable_amount: amount,
                signature: signature.as_bytes().to_vec().into(),
                total_claimed: amount,
            }],
            authorizer_signature: Bytes::new(),
        };
        let signature = self.authorizer.sign_hash_sync(&batch.digest(&domain)?)?;
        batch.authorizer_signature = signature.as_bytes().to_vec().into();
        Ok(batch)
    }

    fn document(&self, batches: Vec<Batch>) -> eyre::Result<String> {
        let published = Published { version: VERSION, chain_id: CHAIN, channels: self.channels, batches };
        Ok(serde_json::to_string(&published)?)
    }

    async fn tips(&self) -> eyre::Result<U256> {
        Ok(IERC4626::new(self.suite.token("WETH")?, self.suite.provider()).balanceOf(SIGNER).call().await?)
    }

    async fn mine(&self, keeper: &Keeper) -> eyre::Result<()> {
        let provider = self.suite.provider();
        provider.evm_mine(None).await?;
        keeper.wait_for_response(provider, provider.get_block_number().await?).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn published_vouchers_are_claimed_for_the_tip_once_and_hostile_services_cost_nothing() -> eyre::Result<()> {
    let service = Box::pin(Service::new()).await?;
    let provider = service.suite.provider();
    let services = Services::start().await?;
    service.deposit(1, 5 * WETH).await?;
    service.deposit(2, 5 * WETH).await?;
    let publish = |slot: &Mutex<String>, batches: Vec<Batch>| -> eyre::Result<()> {
        let document = service.document(batches)?;
        *slot.lock().map_err(|_| eyre::eyre!("a thread panicked"))? = document;
        Ok(())
    };
    // What is claimed was not signed by the payer.
    let mut lie = service.batch(2, WETH)?;
    lie.claims[0].signature = service.batch(2, 2 * WETH)?.claims[0].signature.clone();
    publish(&services.answers.lying, vec![lie])?;
    publish(&services.answers.good, vec![service.batch(1, WETH)?])?;

    let publisher = |name: &str| format!("{{ url = \"{}/{name}\", jar = \"{}\" }}", services.url, service.jar);
    let names = ["slow", "endless", "elsewhere", "lying", "good"];
    let further = format!(
        "[vouchers]\npublishers = [{}]\nchannels = \"{}\"\nevery = \"1 second\"\n",
        names.map(publisher).join(", "),
        service.channels
    );
    let endpoints = vec![format!("url = \"{}\"", service.suite.devnet.node.ws_url())];
    let setup = KeeperSetup { further, endpoints, ..KeeperSetup::live(&service.suite) };
    let keeper = Keeper::start_with(&service.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    soon(async {
        while service.tips().await?.is_zero() {
            service.mine(&keeper).await?;
        }
        Ok(())
    })
    .await?;
    ensure!(service.tips().await? == U256::from(WETH / 10), "the tip is a tenth");
    soon(async {
        while !names.iter().all(|name| services.was_asked(name)) {
            service.mine(&keeper).await?;
        }
        Ok(())
    })
    .await?;

    // A rival sends the next batch first: nothing is left in it, and nothing is sent.
    let next = service.batch(1, 2 * WETH)?;
    let claim = next.verify(&Channels::new(CHAIN, service.channels))?.collect_call();
    let request =
        alloy::rpc::types::TransactionRequest::default().from(RIVAL).to(service.jar).input(claim.abi_encode().into());
    ensure!(provider.send_transaction(request).await?.get_receipt().await?.status(), "the rival's claim failed");
    publish(&services.answers.good, vec![next, service.batch(2, 3 * WETH)?])?;
    soon(async {
        while service.tips().await? == U256::from(WETH / 10) {
            service.mine(&keeper).await?;
        }
        Ok(())
    })
    .await?;
    ensure!(service.tips().await? == U256::from(4 * WETH / 10), "tips of {}", service.tips().await?);
    for _ in 0..5 {
        service.mine(&keeper).await?;
    }
    ensure!(provider.get_transaction_count(SIGNER).await? == 2, "something else was sent");
    let status = keeper.api("status").await?;
    ensure!(status["totals"]["reverted"] == 0, "{}", status["totals"]);
    ensure!(status["totals"]["profit"].to_string().contains("0.4"), "{}", status["totals"]);
    ensure!(status["problems"].as_array().is_none_or(Vec::is_empty), "{}", status["problems"]);
    ensure!(!keeper.output().contains("resolved=false"), "an alert was raised");
    keeper.shut_down().await
}
