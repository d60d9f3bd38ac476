//! `cargo lab nodes`: five nodes that serve a language model on a local chain, paid by two clients, claimed from, audited and
//! slashed.
//!
//! The daemon is a workspace of its own, so that nobody has to build its engine for the contracts. [`Program`] builds it,
//! [`Network`] runs it five times with the contracts and clients, and [`run`] is the scenario, which tests run with a
//! script in place of the model.

mod gas;
mod network;
mod program;

use std::{collections::BTreeMap, fmt, process::Command, time::Instant};

use alloy::{
    primitives::{B256, U256, utils::Unit},
    providers::ext::AnvilApi,
    signers::local::PrivateKeySigner,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IJobs, INodes};
use plimsoll_deploy::toolchain::progress::{Progress, say};
use plimsoll_testkit::{
    devnet::{ITestToken, mined},
    x402,
};
use serde::Serialize;
use serde_json::{Value, json};

use self::network::COIN;
pub use self::{
    gas::{Beside, Gas},
    network::{Answer, MIN_CLAIM, NODES, Network, PAYER, has_ended, output, wait_for},
    program::{Model, Program},
};

/// The node that the published client asks.
const STOCK_NODE: usize = 2;
/// Goals.
const VOUCHERS_PER_SECOND: u64 = 5_000;
const FURTHER_CLAIM_GAS: u64 = 15_000;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Answers that each of the two clients asks for, besides three of the published one.
    pub each: u64,
    /// The most tokens of an answer.
    pub max_tokens: u32,
}

/// What the network did.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Number of daemons, one of which cheats.
    pub nodes: usize,
    /// Answers that x402's published client paid for.
    pub answers_by_published_client: u64,
    /// Answers that our client paid for.
    pub answers_by_own_client: u64,
    /// Tokens of all answers.
    pub completion_tokens: u64,
    /// Time from the first request to the last answer, with both clients at once.
    pub seconds_of_answers: f64,
    /// Tokens a second of all daemons on this machine together, with payments and checks.
    pub tokens_per_second: f64,
    /// Units that our client was charged.
    pub charged: u128,
    /// Units that the published client was charged.
    pub charged_to_published_client: u128,
    /// Units of the first node's that keepers have claimed, and the tip for it.
    pub claimed_by_keeper: u128,
    /// A tenth of that.
    pub tip: u128,
    /// Units that came back to our client when it left.
    pub refunded: u128,
    /// Units that the cheat lost by an audit.
    pub cheat_slashed: u128,
    /// Units that honest nodes lost.
    pub honest_slashed: u128,
    /// Units that an audit of a right answer cost its author.
    pub framing_cost: u128,
    /// Time from an audit's posting to its end, without the time for a challenge.
    pub seconds_of_audit: f64,
    /// What calls of the channels cost.
    pub gas: Gas,
    /// The daemon's measurement of itself: vouchers and stored requests a second on one core, tokens a second alone on the
    /// machine.
    pub bench: Value,
    /// The token's units by holder; their sum is the supply.
    pub balances: BTreeMap<String, u128>,
    /// Seconds of everything but builds and downloads.
    pub seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers = self.answers_by_published_client + self.answers_by_own_client;
        let (published, own) = (self.answers_by_published_client, self.answers_by_own_client);
        writeln!(f, "{} nodes on one machine, one of them with other weights than it states", self.nodes)?;
        writeln!(
            f,
            "answers            {answers} of {} tokens in all: {published} to x402's published client, {own} to ours, in {:.0} s",
            self.completion_tokens, self.seconds_of_answers
        )?;
        writeln!(
            f,
            "tokens a second    {:.1} of all nodes together; alone {}",
            self.tokens_per_second, self.bench["tokens_per_second"]
        )?;
        writeln!(
            f,
            "vouchers a second  {} verified on one core, {} requests stored",
            self.bench["vouchers_per_second"], self.bench["requests_stored_per_second"]
        )?;
        writeln!(
            f,
            "paid               {} and {} units; a keeper claimed {} for {}; {} came back",
            self.charged, self.charged_to_published_client, self.claimed_by_keeper, self.tip, self.refunded
        )?;
        writeln!(
            f,
            "audits             the cheat lost {} units in {:.0} s, honest nodes {}; framing one cost {}",
            self.cheat_slashed, self.seconds_of_audit, self.honest_slashed, self.framing_cost
        )?;
        let Gas { first_claim, further_claim, settle, deposit } = &self.gas;
        for (name, Beside { ours, canonical }) in [
            ("first claim", first_claim),
            ("further claim", further_claim),
            ("settlement", settle),
            ("deposit", deposit),
        ] {
            writeln!(f, "gas of a {name:<14} {ours:>8}, x402's own {canonical:>8}")?;
        }
        Ok(())
    }
}

impl Report {
    /// Compares the figures with the goals.
    ///
    /// # Errors
    /// When a goal was missed.
    pub fn ensure_goals(&self) -> eyre::Result<()> {
        let vouchers = self.bench["vouchers_per_second"].as_u64().wrap_err("vouchers were not measured")?;
        let claim = self.gas.further_claim.ours;
        ensure!(vouchers >= VOUCHERS_PER_SECOND, "{vouchers} vouchers a second; the goal is {VOUCHERS_PER_SECOND}");
        ensure!(claim <= FURTHER_CLAIM_GAS, "{claim} gas for a further claim; the goal is {FURTHER_CLAIM_GAS}");
        Ok(())
    }
}

/// Builds the daemon with its model, and runs the scenario. `keeper` is the keeper's program.
///
/// # Errors
/// When something cannot be built, fetched or started, or the network did not do what it should.
pub async fn run_language_model(options: Options, keeper: Command) -> eyre::Result<Report> {
    let program = tokio::task::spawn_blocking(|| Program::ready(Model::Language)).await??;
    Box::pin(run(program, options, keeper)).await
}

/// Runs the scenario.
///
/// # Errors
/// When something cannot be started, or the network did not do what it should.
pub async fn run(program: Program, options: Options, keeper: Command) -> eyre::Result<Report> {
    let started = Instant::now();
    say("starting the contracts and five daemons, each of which computes its probe");
    let network = Box::pin(Network::start(program)).await?;
    let keeper = network.keeper(keeper, "").await?;
    let holder = PrivateKeySigner::random();

    say(format_args!("both clients ask {} times each, and pay", options.each));
    let asked = Instant::now();
    let (published, own) =
        tokio::try_join!(ask_as_published_client(&network, &holder, options), ask_as_own_client(&network, options))?;
    let seconds_of_answers = asked.elapsed().as_secs_f64();
    let completion_tokens = published.tokens + own.answers.iter().map(|answer| answer.completion_tokens).sum::<u64>();
    let charged = own.charged.values().sum();

    // The keeper collects what the first node has published, for a tenth of it.
    let (first, _) = own.first_node()?;
    let tips = wait_for("the keeper to claim what is published", || async {
        let (tips, (_, claimed)) = (network.tips().await?, network.channel(first).await?);
        // Below the node's least claim the rest stays.
        let is_done = tips > 0 && own.charged[&first].saturating_sub(claimed) < MIN_CLAIM;
        Ok(is_done.then_some((tips, claimed)))
    });
    let (tip, claimed_by_keeper) = tips.await?;
    ensure!(tip.abs_diff(claimed_by_keeper / 10) <= 10, "a tip of {tip} for {claimed_by_keeper}");
    say(format_args!("the keeper claimed {claimed_by_keeper} units for {tip}"));

    let Audited { cheat_slashed, honest_slashed, framing_cost, seconds_of_audit, lie } =
        audit(&network, &own, options).await?;

    // The payer leaves every node: each claims what it is owed, and the rest comes back.
    let mut refunded = 0;
    for (channel, charged) in own.charged.iter().chain([(&lie.channel, &lie.charged)]) {
        refunded += network.refund(*channel).await?;
        let (balance, claimed) = network.channel(*channel).await?;
        ensure!(
            balance == claimed && claimed == *charged,
            "{channel}: {balance}, {claimed} claimed, {charged} charged"
        );
    }
    let balances = network.balances(&[("payer of the published client", holder.address())]).await?;
    keeper.shut_down().await?;
    let gas = gas::measure(&network).await?;
    let (program, scratch) = (network.program.clone(), network.suite.scratch().to_owned());
    let bench = network.end_daemons(move || program.bench(&scratch)).await?;
    Ok(Report {
        nodes: NODES,
        answers_by_published_client: published.count,
        answers_by_own_client: own.answers.len().try_into()?,
        completion_tokens,
        seconds_of_answers,
        tokens_per_second: f64::from(u32::try_from(completion_tokens)?) / seconds_of_answers,
        charged,
        charged_to_published_client: published.charged,
        claimed_by_keeper,
        tip,
        refunded,
        cheat_slashed,
        honest_slashed,
        framing_cost,
        seconds_of_audit,
        gas,
        bench,
        balances,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// What x402's published client was answered.
struct Published {
    count: u64,
    tokens: u64,
    charged: u128,
}

async fn ask_as_published_client(
    network: &Network,
    holder: &PrivateKeySigner,
    options: Options,
) -> eyre::Result<Published> {
    let (devnet, provider) = (&network.suite.devnet, network.suite.provider());
    provider.anvil_set_balance(holder.address(), Unit::ETHER.wei()).await?;
    let token = ITestToken::new(network.token, provider);
    mined(token.mint(holder.address(), U256::from(1_000 * COIN)).from(devnet.deployer())).await?;
    let task = json!({
        "url": network.urls.get(STOCK_NODE - 1).wrap_err("no node")?,
        "rpc": devnet.node.http_url(),
        "token": network.token,
        "model": network.program.name,
        "requests": options.each,
        "payer": holder.to_bytes(),
        "signer": PrivateKeySigner::random().to_bytes(),
        "max_tokens": options.max_tokens,
        "stream": true,
    });
    let script = move || x402::run_script("ask.mjs", &[task.to_string()]);
    let printed = tokio::task::spawn_blocking(script).await??.wrap_err("x402's client is not installed")?;
    let listed = printed["answers"].as_array().wrap_err("no answers")?;
    let answers: Vec<_> =
        listed.iter().chain([&printed["streamed"], &printed["live"], &printed["corrected"]]).collect();
    let mut published = Published { count: 0, tokens: 0, charged: 0 };
    for answer in answers {
        let charge: u128 = text(&answer["settled"]["extra"]["chargedAmount"])?.parse()?;
        published.count += 1;
        published.charged += charge;
        published.tokens += answer["receipt"]["completionTokens"].as_u64().wrap_err("no count")?;
        let sum = text(&answer["settled"]["extra"]["channelState"]["chargedCumulativeAmount"])?;
        ensure!(sum == published.charged.to_string(), "a sum of {sum} after {}", published.charged);
        ensure!(answer["events"].as_u64() > Some(1) || answer == &printed["corrected"], "not streamed: {answer}");
    }
    let id: B256 = text(&printed["refund"]["extra"]["channelState"]["channelId"])?.parse()?;
    let (balance, claimed) = network.channel(id).await?;
    ensure!(
        balance == claimed && claimed == published.charged,
        "{balance}, {claimed} of {} claimed",
        published.charged
    );
    say(format_args!("x402's published client: {} answers, {} units", published.count, published.charged));
    Ok(published)
}

fn text(value: &Value) -> eyre::Result<&str> {
    value.as_str().wrap_err_with(|| format!("{value} is no text"))
}

/// What our client was answered.
struct Own {
    answers: Vec<Answer>,
    /// Units by channel.
    charged: BTreeMap<B256, u128>,
}

impl Own {
    /// The first node's channel and an answer of it.
    fn first_node(&self) -> eyre::Result<(B256, &Answer)> {
        let answer = self.answers.first().wrap_err("no answer")?;
        Ok((answer.channel, answer))
    }
}

async fn ask_as_own_client(network: &Network, options: Options) -> eyre::Result<Own> {
    let mut own = Own { answers: Vec::new(), charged: BTreeMap::new() };
    let mut progress = Progress::new("answers of our client", usize::try_from(options.each)?);
    for index in 0..options.each {
        // The honest ones in turn.
        let node = 1 + usize::try_from(index)? % (NODES - 1);
        let answer = network.ask(node, &format!("Name a ship, number {index}."), options.max_tokens).await?;
        ensure!(!answer.text.trim().is_empty(), "an empty answer");
        *own.charged.entry(answer.channel).or_default() += answer.charged;
        own.answers.push(answer);
        progress.done(own.answers.len());
    }
    say(format_args!("our client: {} answers, {} units", own.answers.len(), own.charged.values().sum::<u128>()));
    Ok(own)
}

struct Audited {
    cheat_slashed: u128,
    honest_slashed: u128,
    framing_cost: u128,
    seconds_of_audit: f64,
    lie: Answer,
}

/// The cheat's answer is computed again, audited, and judged by three of the others; so is an honest one's.
async fn audit(network: &Network, own: &Own, options: Options) -> eyre::Result<Audited> {
    let lie = network.ask(NODES, "What is a lighthouse?", options.max_tokens).await?;
    ensure!(!network.verify(&lie).await?, "the cheat did not cheat: {:?}", lie.text);
    let honest = async || -> eyre::Result<u128> {
        let mut sum = 0;
        for id in 1..NODES {
            sum += network.bond(id).await?;
        }
        Ok(sum)
    };
    let (before, honest_before, started) = (network.bond(NODES).await?, honest().await?, Instant::now());
    let job = network.audit(&lie).await?;
    let seconds_of_audit = started.elapsed().as_secs_f64();
    let cheat_slashed = before - network.bond(NODES).await?;
    ensure!(job.state == IJobs::State::Completed && job.result != job.claimed, "{job:?}");
    ensure!(cheat_slashed == before / 5, "slashed {cheat_slashed} of {before}");
    let registry = INodes::new(network.registry, network.suite.provider());
    let cheat = registry.node(u32::try_from(NODES)?).call().await?;
    ensure!(!cheat.jailedUntil.is_zero(), "the cheat is not jailed");
    let refused = network.ask(NODES, "Another one?", options.max_tokens).await;
    ensure!(refused.is_err(), "a jailed node was paid");
    say(format_args!("the cheat lost {cheat_slashed} units of its bond"));

    let (_, right) = own.first_node()?;
    ensure!(network.verify(right).await?, "an honest answer differs");
    let spent_before = network.framer_spent().await?;
    let job = network.frame(right).await?;
    let framing_cost = network.framer_spent().await? - spent_before;
    let honest_slashed = honest_before - honest().await?;
    ensure!(job.result == job.claimed && honest_slashed == 0, "{job:?}, slashed {honest_slashed}");
    ensure!(framing_cost >= 3 * COIN, "framing cost {framing_cost}");
    say(format_args!("an audit of a right answer cost its author {framing_cost} units"));
    Ok(Audited { cheat_slashed, honest_slashed, framing_cost, seconds_of_audit, lie })
}
