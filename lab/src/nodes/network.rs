//! Five daemons, each a process of its own, with their contracts on a local chain, a keeper, and clients that pay.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, B256, U256},
    providers::ext::AnvilApi,
    sol,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_channels::{
    SETTLEMENT,
    kinds::{Input, render},
};
use plimsoll_contracts::{IChannels, IJobs, INodes};
use plimsoll_deploy::{manifest::Manifest, toolchain::process::Process};
use plimsoll_testkit::{
    deployment::Suite,
    devnet::{Devnet, ITestToken, mined},
    keeper::{Keeper, KeeperSetup},
    workspace::workspace,
    x402,
};
use serde_json::Value;
use tokio::time::sleep;

use super::program::Program;

/// Number of nodes. The last one cheats.
pub const NODES: usize = 5;
/// Accounts of Anvil: 0 deploys, 1 to 5 operate the nodes, 8 and 9 sign for the keeper.
const FRAMER: usize = 6;
/// Pays as our client.
pub const PAYER: usize = 7;
const KEEPER: usize = 9;
const SINK: Address = Address::repeat_byte(0x51);
/// Name of the token's EIP-712 domain, and of the token in the manifest.
const TOKEN_NAME: &str = "USD Coin";
const TOKEN: &str = "COIN";
/// A whole token.
pub(super) const COIN: u128 = 1_000_000;
const MINTED: u128 = 1_000 * COIN;
/// The bond of a node.
const BOND: u128 = 400 * COIN;
/// Weights count from the beginning of six hours.
const PERIOD_SECS: u64 = 6 * 3_600;
/// Time for a challenge.
const CHALLENGE_SECS: u64 = 60;
/// Seconds between blocks while daemons and keeper run.
const BLOCK_SECS: u64 = 1;
/// Longest time that anything is waited for.
const TIMEOUT: Duration = Duration::from_mins(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// From how many units on a node claims, or publishes for keepers.
pub const MIN_CLAIM: u128 = COIN / 50;
/// What a request may cost at most.
const MAX_PRICE: u128 = COIN;

const CONTRACTS: &str = r#"
[nodes]
token = "COIN"
sink = "sink"
min_bond = "100 COIN"
cooldown = "7 days"
min_fee = "1 COIN"
draw_delay = 4
commit = "10 minutes"
reveal = "10 minutes"
challenge = "1 minute"
emission = []
"#;

sol! {
    #[sol(rpc)]
    interface ISupply {
        function totalSupply() external view returns (uint256);
    }
}

/// An answer that our client has paid for and checked.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The receipt with its input.
    pub file: PathBuf,
    /// Id of the channel.
    pub channel: B256,
    /// Units of the token.
    pub charged: u128,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// What was printed as it appeared.
    pub text: String,
}

/// The network. Dropping it ends its processes.
#[derive(Debug)]
pub struct Network {
    /// The chain with everything on it.
    pub suite: Suite,
    /// Program of the daemons and the client.
    pub program: Program,
    /// The token of payments, bonds and jobs.
    pub token: Address,
    /// The contract `Jobs`.
    pub jobs: Address,
    /// The contract `Nodes`.
    pub registry: Address,
    /// Receiver of the first node's payments, which tips the sender of a claim a tenth.
    pub jar: Address,
    /// The daemons' URLs.
    pub urls: Vec<String>,
    daemons: Vec<Process>,
}

fn now() -> eyre::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// Waits until `look` has found something.
///
/// # Errors
/// When it does not in ten minutes.
pub async fn wait_for<T, F: Future<Output = eyre::Result<Option<T>>>>(
    what: &str,
    look: impl Fn() -> F,
) -> eyre::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(started.elapsed() < TIMEOUT, "waited in vain: {what}");
        sleep(POLL_INTERVAL).await;
    }
}

impl Network {
    /// Deploys the contracts, registers the nodes and starts their daemons.
    ///
    /// # Errors
    /// When something cannot be deployed or started.
    pub async fn start(program: Program) -> eyre::Result<Self> {
        // Registered in an earlier period, so that all count in draws now.
        let genesis = (now()? - 2 * PERIOD_SECS).to_string();
        let devnet = Devnet::start_with(&["--timestamp", &genesis]).await?;
        x402::place_channels(&devnet).await?;
        let arguments = alloy::sol_types::SolValue::abi_encode_params(&(TOKEN_NAME, U256::from(6)));
        let token = devnet.deploy("ERC3009Token", arguments).await?;
        let manifest = manifest(token, devnet.account(1)?)?;
        let mut suite = Box::pin(Suite::deploy(devnet, &manifest)).await?;
        // The deployment has sent transactions of an account whose count the provider has kept since the channels.
        suite.devnet.node.reconnect().await?;
        let jobs = suite.deployment.address("nodes.jobs").wrap_err("no jobs")?;
        let registry = IJobs::new(jobs, suite.provider()).nodes().call().await?;
        let jar = suite.deployment.address("contracts.TipJar").wrap_err("no jar")?;
        let mut network = Self { suite, program, token, jobs, registry, jar, urls: Vec::new(), daemons: Vec::new() };
        network.register().await?;
        network.serve().await?;
        Ok(network)
    }

    async fn register(&self) -> eyre::Result<()> {
        let (devnet, provider) = (&self.suite.devnet, self.suite.provider());
        let nodes = INodes::new(self.registry, provider);
        for id in 1..=NODES {
            let operator = devnet.account(id)?;
            devnet.mint_and_approve(self.token, operator, U256::from(MINTED), self.registry).await?;
            // The address is told once the daemon has one.
            let register =
                nodes.register(self.program.kind, operator, 0, "http://127.0.0.1".to_owned(), U256::from(BOND));
            mined(register.from(operator)).await?;
        }
        for account in [FRAMER, PAYER] {
            devnet.mint_and_approve(self.token, devnet.account(account)?, U256::from(MINTED), SETTLEMENT).await?;
        }
        // Ahead of the machine's clock, because receipts are not of the chain's future.
        provider.anvil_set_next_block_timestamp(now()? + 5).await?;
        provider.anvil_mine(Some(1), None).await?;
        Ok(provider.anvil_set_interval_mining(BLOCK_SECS).await?)
    }

    async fn serve(&mut self) -> eyre::Result<()> {
        for id in 1..=NODES {
            let (daemon, url) = self.program.serve(&self.configure(id)?, id == NODES).await?;
            let nodes = INodes::new(self.registry, self.suite.provider());
            mined(nodes.setUrl(u32::try_from(id)?, url.clone()).from(self.suite.devnet.account(id)?)).await?;
            self.daemons.push(daemon);
            self.urls.push(url);
        }
        Ok(())
    }

    /// Writes a daemon's configuration. The first one leaves its claims to keepers.
    fn configure(&self, id: usize) -> eyre::Result<PathBuf> {
        let folder = self.suite.scratch().join(format!("node-{id}"));
        fs::create_dir_all(&folder)?;
        let (file, publishes) = (folder.join("node.toml"), id == 1);
        let receiver = if publishes { self.jar } else { self.suite.devnet.account(id)? };
        let settings = format!(
            r#"
listen = "127.0.0.1:0"
store = {store:?}
{model}
[chain]
chain_id = 31337
rpc = {rpc:?}

[price]
base = "10000"
per_prompt_token = "10"
per_completion_token = "1000"

[payment]
receiver = "{receiver}"
token = "{token}"
token_name = "{TOKEN_NAME}"
token_version = "1"
min_deposit = "1000"
max_unclaimed = "1000000000"

[keys]
authorizer = {{ anvil = {id} }}
sender = {{ anvil = {id} }}

[claims]
min = "{claimed_from}"
interval_seconds = 1
publish = {publishes}

[receipts]
node = {id}
jobs = "{jobs}"

[jobs]
answer = true
interval_seconds = 1

[limits]
unpaid_per_second = 1000
"#,
            store = folder.join("store.sqlite"),
            model = self.program.settings()?,
            rpc = self.suite.devnet.node.http_url(),
            token = self.token,
            claimed_from = MIN_CLAIM,
            jobs = self.jobs,
        );
        fs::write(&file, settings)?;
        Ok(file)
    }

    /// Starts a keeper that brings jobs on and claims what the first node publishes.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn keeper(&self, program: process::Command, further: &str) -> eyre::Result<Keeper> {
        let publisher = format!("{{ url = {:?}, jar = \"{}\" }}", self.urls.first().wrap_err("no node")?, self.jar);
        let further = format!(
            "[tokens.{TOKEN}]\nrate = \"0.1\"\n\n[vouchers]\npublishers = [{publisher}]\nevery = \"1 second\"\n\n{further}"
        );
        let setup = KeeperSetup { further, ..KeeperSetup::live(&self.suite) };
        let keeper = Keeper::start_with(&self.suite, program, &setup).await?;
        keeper.wait_until_ready().await?;
        Ok(keeper)
    }

    /// Units of the token that an account has.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn balance(&self, of: Address) -> eyre::Result<u128> {
        Ok(ITestToken::new(self.token, self.suite.provider()).balanceOf(of).call().await?.to())
    }

    /// Units that an account of Anvil has.
    pub(super) async fn balance_of(&self, account: usize) -> eyre::Result<u128> {
        self.balance(self.suite.devnet.account(account)?).await
    }

    /// Active bond of a node.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn bond(&self, id: usize) -> eyre::Result<u128> {
        let nodes = INodes::new(self.registry, self.suite.provider());
        Ok(nodes.node(u32::try_from(id)?).call().await?.active.assets)
    }

    /// Arguments of our client for an account's wallet.
    fn wallet(&self, account: usize, rpc: &str) -> Vec<String> {
        let ledger = self.suite.scratch().join(format!("ledger-{account}.sqlite"));
        [
            "--ledger",
            &ledger.display().to_string(),
            "--rpc",
            rpc,
            "--token",
            &self.token.to_string(),
            "--anvil",
            &account.to_string(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Has our client ask a node, read the answer as it appears, pay and check it. Fails as the client does.
    ///
    /// # Errors
    /// With what the client says.
    pub async fn ask(&self, node: usize, prompt: &str, max_tokens: u32) -> eyre::Result<Answer> {
        let url = node.checked_sub(1).and_then(|index| self.urls.get(index)).wrap_err("no such node")?;
        let (command, file) = self.ask_command(url, prompt, max_tokens);
        let text = output(command).await.wrap_err_with(|| format!("node {node}"))?;
        let document: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let receipt = &document["receipt"];
        Ok(Answer {
            channel: receipt["channelId"].as_str().wrap_err("no channel")?.parse()?,
            charged: receipt["charged"].as_str().wrap_err("no charge")?.parse()?,
            completion_tokens: receipt["completionTokens"].as_u64().wrap_err("no count")?,
            file,
            text,
        })
    }

    /// Our client's command line that asks at a URL and reads the answer as it appears, and the file for its receipt.
    #[must_use]
    pub fn ask_command(&self, url: &str, prompt: &str, max_tokens: u32) -> (process::Command, PathBuf) {
        let file = self.suite.scratch().join(format!("receipt-{}.json", B256::random()));
        let mut command = self.program.command(&["ask", prompt, "--live", "--url", url, "--receipt"]);
        command.arg(&file).arg("--kind").arg(&self.program.kind_file);
        command.args(["--max-price", &MAX_PRICE.to_string(), "--max-tokens", &max_tokens.to_string()]);
        command.args(["--jobs", &self.jobs.to_string()]).args(self.wallet(PAYER, &self.suite.devnet.node.http_url()));
        (command, file)
    }

    /// Our client's command line about its channels, over a node of the chain at this URL.
    #[must_use]
    pub fn channel_command(&self, rpc: &str, words: &[&str]) -> process::Command {
        let mut command = self.program.command(&["channel"]);
        command.args(self.wallet(PAYER, rpc)).args(words);
        command
    }

    /// Has our client ask for the rest of a channel. Returns what came back.
    ///
    /// # Errors
    /// With what the client says.
    pub async fn refund(&self, channel: B256) -> eyre::Result<u128> {
        let rpc = self.suite.devnet.node.http_url();
        let command = self.channel_command(&rpc, &["refund", "--id", &channel.to_string()]);
        let printed: Value = serde_json::from_str(&output(command).await?)?;
        Ok(printed["amount"].as_str().wrap_err("no amount")?.parse()?)
    }

    /// A channel's balance and what is claimed of it.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn channel(&self, id: B256) -> eyre::Result<(u128, u128)> {
        let state = IChannels::new(SETTLEMENT, self.suite.provider()).channels(id).call().await?;
        Ok((state.balance, state.totalClaimed))
    }

    /// Computes an answer again. Returns whether it is the kind's.
    ///
    /// # Errors
    /// When nothing can be shown.
    pub async fn verify(&self, answer: &Answer) -> eyre::Result<bool> {
        let (program, file) = (self.program.clone(), answer.file.display().to_string());
        let verify = move || program.compute(&["verify", &file], &[]);
        let output = tokio::task::spawn_blocking(verify).await??;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => eyre::bail!("{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Has the payer audit an answer, after it has computed it again.
    ///
    /// # Errors
    /// As [`Network::verify`], and when the contract refuses.
    pub async fn audit(&self, answer: &Answer) -> eyre::Result<IJobs::Job> {
        self.post_audit(PAYER, answer, &[]).await
    }

    /// Has a stranger audit an answer without a look at it.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn frame(&self, answer: &Answer) -> eyre::Result<IJobs::Job> {
        self.post_audit(FRAMER, answer, &["--unchecked"]).await
    }

    /// What the stranger has lost by now.
    pub(super) async fn framer_spent(&self) -> eyre::Result<u128> {
        Ok(MINTED.saturating_sub(self.balance_of(FRAMER).await?))
    }

    /// Posts an audit. The keeper and the drawn nodes do everything else; only time is let pass for it.
    async fn post_audit(&self, account: usize, answer: &Answer, further: &[&str]) -> eyre::Result<IJobs::Job> {
        let (program, file) = (self.program.clone(), answer.file.display().to_string());
        let words: Vec<_> = self
            .wallet(account, &self.suite.devnet.node.http_url())
            .into_iter()
            .chain(further.iter().map(|word| (*word).to_owned()))
            .collect();
        let audit = move || program.compute(&["audit", &file, "--seats", "3"], &words);
        let output = tokio::task::spawn_blocking(audit).await??;
        ensure!(output.status.success(), "no audit: {}", String::from_utf8_lossy(&output.stderr));
        let id = IJobs::new(self.jobs, self.suite.provider()).count().call().await?;
        self.wait_for_job(id, |job| job.state == IJobs::State::Submitted).await?;
        self.pass_challenge_time().await?;
        self.wait_for_job(id, has_ended).await
    }

    /// Posts a job of one seat with the least price. Returns its id.
    ///
    /// # Errors
    /// When the contract refuses.
    pub async fn post_job(&self, poster: Address) -> eyre::Result<U256> {
        let jobs = IJobs::new(self.jobs, self.suite.provider());
        let price = jobs.smallestPrice(U256::from(1)).call().await?.to();
        let question =
            Input { prompt: render(&[("user", "Name a ship.")]), max_tokens: 8, temperature_milli: 0, seed: 0 };
        mined(jobs.post(self.program.kind, question.encode().into(), price, 1).from(poster)).await?;
        Ok(jobs.count().call().await?)
    }

    /// Number of the node that was drawn first for a job.
    ///
    /// # Errors
    /// When none was.
    pub async fn drawn_for(&self, job: U256) -> eyre::Result<usize> {
        let seats = IJobs::new(self.jobs, self.suite.provider()).seatsOf(job).call().await?;
        Ok(seats.first().wrap_err("no seat")?.node.try_into()?)
    }

    /// Waits until a job, which the keeper and the drawn nodes bring on, meets a condition, and returns it.
    ///
    /// # Errors
    /// When it does not in ten minutes.
    pub async fn wait_for_job(&self, id: U256, condition: impl Fn(&IJobs::Job) -> bool) -> eyre::Result<IJobs::Job> {
        let jobs = IJobs::new(self.jobs, self.suite.provider());
        wait_for(&format!("job {id}, which somebody should bring on"), || async {
            let job = jobs.job(id).call().await?;
            Ok(condition(&job).then_some(job))
        })
        .await
    }

    /// Lets the time for challenges pass.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn pass_challenge_time(&self) -> eyre::Result<()> {
        self.suite.provider().anvil_increase_time(CHALLENGE_SECS + 1).await?;
        Ok(())
    }

    /// Units by holder.
    ///
    /// # Errors
    /// If they are not all that there is.
    pub async fn balances(&self, further: &[(&str, Address)]) -> eyre::Result<BTreeMap<String, u128>> {
        let devnet = &self.suite.devnet;
        let mut holders: Vec<(String, Address)> = vec![
            ("Channels".to_owned(), SETTLEMENT),
            ("TipJar".to_owned(), self.jar),
            ("Jobs".to_owned(), self.jobs),
            ("Nodes".to_owned(), self.registry),
            ("sink".to_owned(), SINK),
            ("keeper".to_owned(), devnet.account(KEEPER)?),
            ("framer".to_owned(), devnet.account(FRAMER)?),
            ("payer of our client".to_owned(), devnet.account(PAYER)?),
        ];
        for index in 1..=NODES {
            holders.push((format!("operator {index}"), devnet.account(index)?));
        }
        holders.extend(further.iter().map(|(name, holder)| ((*name).to_owned(), *holder)));
        let (mut sum, mut balances) = (U256::ZERO, BTreeMap::new());
        for (name, holder) in holders {
            let balance = self.balance(holder).await?;
            sum += U256::from(balance);
            balances.insert(name, balance);
        }
        let supply = ISupply::new(self.token, self.suite.provider()).totalSupply().call().await?;
        ensure!(sum == supply, "{sum} of {supply} units are accounted for: {balances:?}");
        Ok(balances)
    }

    /// Ends the daemons and runs what needs the machine for itself.
    pub(super) async fn end_daemons<T: Send + 'static>(
        self,
        then: impl FnOnce() -> eyre::Result<T> + Send + 'static,
    ) -> eyre::Result<T> {
        let Self { suite, daemons, .. } = self;
        drop(daemons);
        let result = tokio::task::spawn_blocking(then).await?;
        // The results' folder is the suite's.
        drop(suite);
        result
    }

    /// The keeper's tips.
    pub(super) async fn tips(&self) -> eyre::Result<u128> {
        self.balance_of(KEEPER).await
    }
}

/// Whether a job will not change any more.
#[must_use]
pub fn has_ended(job: &IJobs::Job) -> bool {
    matches!(job.state, IJobs::State::Completed | IJobs::State::Rejected | IJobs::State::Expired)
}

/// Runs a command, and returns what it prints.
///
/// # Errors
/// With what it says on stderr, when it fails.
pub async fn output(mut command: process::Command) -> eyre::Result<String> {
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// The local manifest with nodes, and a jar for the first one, in a token that exists.
fn manifest(token: Address, first_operator: Address) -> eyre::Result<Box<Manifest>> {
    let path = workspace()?.root().join("examples/local.toml");
    let text = fs::read_to_string(&path).wrap_err_with(|| format!("{}", path.display()))?;
    let accounts = "[accounts]\n";
    ensure!(text.contains(accounts), "{} has no accounts", path.display());
    let text = text.replace(accounts, &format!("{accounts}sink = \"{SINK}\"\nfirst-node = \"{first_operator}\"\n"));
    let text = format!(
        "{text}\n[tokens.{TOKEN}]\naddress = \"{token}\"\ndecimals = 6\n\n[contracts.TipJar]\narguments = {{ channels_ = \
         \"{SETTLEMENT}\", operator_ = \"first-node\", tipBps_ = 1000 }}\n{CONTRACTS}"
    );
    Ok(Box::new(Manifest::parse(Path::new("local.toml"), text)?))
}
