//! Jobs of nodes are brought on for their tips, through a kill, a reorg and a rival, and others' cheap ones are left; those of
//! configured accounts, and emission, within the day's budget.

use std::path::Path;

use alloy::{
    primitives::{Address, B256, Bytes, U256, address, keccak256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::anvil::ReorgOptions,
    sol_types::SolValue,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IJobs, INodes, IRewards};
use plimsoll_deploy::manifest::Manifest;
use plimsoll_testkit::{
    deployment::Suite,
    devnet::mined,
    keeper::{Keeper, KeeperSetup},
    proxy::{Fault, Phase, Proxy, Rule},
    workspace::workspace,
};
use serde_json::Value;

use super::fixture::{mine_until, program, soon};

const NODES: &str = r#"
[nodes]
token = "WETH"
sink = "owner"
min_bond = "10 WETH"
cooldown = "7 days"
min_fee = "0.000001 WETH"
draw_delay = 4
commit = "1 hour"
reveal = "30 minutes"
challenge = "2 hours"
emission = []
"#;
const SETTINGS: &str = "[chain]\nfinality_depth = 8\n";
const KIND: B256 = B256::repeat_byte(0x4b);
/// Anvil's accounts 3 to 6.
const OPERATOR: Address = address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906");
const POSTER: Address = address!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65");
const STRANGER: Address = address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc");
const RIVAL: Address = address!("0x976EA74026E726554dB657fA54763abd0C3a0aa9");
/// Anvil's account 9, which signs what is of low priority.
const SIGNER: Address = address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720");
const WETH: u128 = 1_000_000_000_000_000_000;
const NODE_COUNT: u32 = 4;
const SALT: B256 = B256::repeat_byte(7);
const TRACE: B256 = B256::repeat_byte(8);
const ANSWER: &[u8] = b"an answer";

struct Board {
    suite: Suite,
    jobs: Address,
    nodes: Address,
}

impl Board {
    /// Deploys everything, and registers nodes that can be drawn.
    async fn new() -> eyre::Result<Self> {
        let path = workspace()?.root().join("examples/local.toml");
        let text =
            format!("{}\n{NODES}", std::fs::read_to_string(&path)?).replace("sink = \"owner\"", "sink = \"deployer\"");
        let manifest = Box::new(Manifest::parse(Path::new("local.toml"), text)?);
        let suite = Suite::start_from(&manifest, &[]).await?;
        let jobs = suite.deployment.address("nodes.jobs").wrap_err("no jobs")?;
        let nodes = IJobs::new(jobs, suite.provider()).nodes().call().await?;
        let board = Self { suite, jobs, nodes };
        let weth = board.suite.token("WETH")?;
        for (account, spender) in [(OPERATOR, nodes), (POSTER, jobs), (STRANGER, jobs)] {
            board.suite.devnet.mint_and_approve(weth, account, U256::from(1_000 * WETH), spender).await?;
        }
        let registry = INodes::new(nodes, board.suite.provider());
        for _ in 0..NODE_COUNT {
            let call = registry.register(KIND, OPERATOR, 0, "https://node.example".to_owned(), U256::from(10 * WETH));
            mined(call.from(OPERATOR)).await?;
        }
        // Weights count from the next period of six hours on.
        board.wait(6 * 3_600).await?;
        Ok(board)
    }

    async fn wait(&self, seconds: u64) -> eyre::Result<()> {
        self.suite.provider().anvil_increase_time(seconds).await?;
        self.suite.provider().evm_mine(None).await?;
        Ok(())
    }

    async fn post(&self, poster: Address, price: u128, seats: u8) -> eyre::Result<u64> {
        let jobs = IJobs::new(self.jobs, self.suite.provider());
        mined(jobs.post(KIND, Bytes::from_static(b"a question"), price, seats).from(poster)).await?;
        Ok(jobs.count().call().await?.to())
    }

    async fn state(&self, job: u64) -> eyre::Result<IJobs::State> {
        Ok(IJobs::new(self.jobs, self.suite.provider()).job(U256::from(job)).call().await?.state)
    }

    /// All seats of a job of one round commit to the same answer, and reveal it.
    async fn answer(&self, job: u64) -> eyre::Result<()> {
        let jobs = IJobs::new(self.jobs, self.suite.provider());
        let id = U256::from(job);
        let seats = jobs.seatsOf(id).call().await?;
        for (seat, drawn) in seats.iter().enumerate() {
            let commitment = keccak256((id, drawn.node, keccak256(ANSWER), TRACE, SALT).abi_encode());
            mined(jobs.commit(id, U256::from(seat), commitment).from(OPERATOR)).await?;
        }
        for seat in 0..seats.len() {
            let answer = Bytes::from_static(ANSWER);
            mined(jobs.reveal(id, U256::from(seat), answer, TRACE, SALT).from(OPERATOR)).await?;
        }
        Ok(())
    }

    /// Compares every job and node in the keeper's view with the contracts.
    async fn ensure_book_is_right(&self, status: &Value) -> eyre::Result<()> {
        let jobs = IJobs::new(self.jobs, self.suite.provider());
        let count: u64 = jobs.count().call().await?.to();
        let (mut counted, mut listed) = ([0_u64; 3], 0);
        for id in 1..=count {
            let job = jobs.job(U256::from(id)).call().await?;
            let state = match job.state {
                IJobs::State::Open => 0,
                IJobs::State::Drawn => 1,
                IJobs::State::Submitted => 2,
                _ => continue,
            };
            counted[state] += 1;
            listed += 1;
            let shown = status["jobs"]["jobs"].as_array().and_then(|jobs| jobs.iter().find(|shown| shown["id"] == id));
            let shown = shown.wrap_err_with(|| format!("job {id} is not shown: {}", status["jobs"]))?;
            ensure!(shown["state"] == ["open", "drawn", "submitted"][state] && shown["round"] == job.round, "{shown}");
            ensure!(
                shown["poster"] == format!("{:?}", job.poster) || shown["poster"] == job.poster.to_string(),
                "{shown}"
            );
        }
        let view = &status["jobs"];
        ensure!(view["open"] == counted[0] && view["drawn"] == counted[1] && view["submitted"] == counted[2], "{view}");
        ensure!(view["nodes"] == NODE_COUNT && view["jobs"].as_array().map_or(0, Vec::len) == listed, "{view}");
        Ok(())
    }
}

fn shows(status: &Value, job: u64, state: &str) -> bool {
    let jobs = status["jobs"]["jobs"].as_array();
    jobs.is_some_and(|jobs| jobs.iter().any(|shown| shown["id"] == job && shown["state"] == state))
}

fn is_gone(status: &Value, job: u64) -> bool {
    status["jobs"]["jobs"].as_array().is_some_and(|jobs| jobs.iter().all(|shown| shown["id"] != job))
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_brought_on_for_their_tips_once_through_a_kill_a_reorg_and_a_rival_and_cheap_ones_are_left()
-> eyre::Result<()> {
    let board = Box::pin(Board::new()).await?;
    let provider = board.suite.provider();
    let mut proxy = Proxy::start(board.suite.devnet.node.address()).await?;
    let setup = KeeperSetup {
        endpoints: vec![format!("url = \"{}\"", proxy.ws_url())],
        further: SETTINGS.to_owned(),
        ..KeeperSetup::live(&board.suite)
    };
    let cheap = board.post(STRANGER, 2 * WETH / 1_000_000, 1).await?;
    let keeper = Keeper::start_with(&board.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;

    // The draw is being sent when the keeper is killed: the node has it, without the keeper knowing.
    let job = board.post(POSTER, 10 * WETH, 3).await?;
    let stall = proxy.inject(Rule::from(Fault::Stall(Phase::AfterForwarding)).on(&["eth_sendRawTransaction"]));
    for _ in 0..3 {
        provider.evm_mine(None).await?;
    }
    provider.anvil_set_auto_mine(false).await?;
    let before = provider.get_block_number().await?;
    provider.evm_mine(None).await?;
    provider.evm_mine(None).await?;
    soon(async { proxy.wait_for(|counts| counts.acted(stall) > 0).await }).await?;
    drop(keeper);
    proxy.cut_connections().await?;
    proxy.lift(stall);
    let keeper = Keeper::start_with(&board.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    let status = mine_until(&board.suite, &keeper, |status| shows(status, job, "drawn")).await?;
    board.ensure_book_is_right(&status).await?;

    // The block that seeds the draw is reorged with the draw itself, which is made by the new block's header.
    let depth = provider.get_block_number().await? - before;
    provider.anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    ensure!(board.state(job).await? == IJobs::State::Open, "nothing was reorged");
    let status = mine_until(&board.suite, &keeper, |status| shows(status, job, "drawn")).await?;
    board.ensure_book_is_right(&status).await?;
    provider.anvil_set_auto_mine(true).await?;

    board.answer(job).await?;
    let status = mine_until(&board.suite, &keeper, |status| shows(status, job, "submitted")).await?;
    board.ensure_book_is_right(&status).await?;
    board.wait(2 * 3_600).await?;
    let status = mine_until(&board.suite, &keeper, |status| is_gone(status, job)).await?;
    board.ensure_book_is_right(&status).await?;
    ensure!(board.state(job).await? == IJobs::State::Completed);

    // A rival draws the next one in the block for which the keeper has sent its own draw.
    let contested = board.post(POSTER, 10 * WETH, 3).await?;
    let (jobs, weth) = (IJobs::new(board.jobs, provider), board.suite.token("WETH")?);
    let draw_block = jobs.job(U256::from(contested)).call().await?.drawBlock;
    provider.anvil_set_auto_mine(false).await?;
    while provider.get_block_number().await? <= draw_block {
        provider.evm_mine(None).await?;
        keeper.wait_for_response(provider, provider.get_block_number().await?).await?;
    }
    soon(async {
        while keeper.pending().await? == 0 {
            tokio::task::yield_now().await;
        }
        Ok(())
    })
    .await?;
    let header = provider.get_block(draw_block.into()).await?.wrap_err("no block")?.header.inner;
    let call = jobs.draw(U256::from(contested), alloy::rlp::encode(header).into()).from(RIVAL);
    let _rival =
        call.max_fee_per_gas(500_000_000_000).max_priority_fee_per_gas(400_000_000_000).gas(1_000_000).send().await?;
    let status = mine_until(&board.suite, &keeper, |status| shows(status, contested, "drawn")).await?;
    board.ensure_book_is_right(&status).await?;
    provider.anvil_set_auto_mine(true).await?;
    board.answer(contested).await?;
    mine_until(&board.suite, &keeper, |status| shows(status, contested, "submitted")).await?;
    board.wait(2 * 3_600).await?;
    let status = mine_until(&board.suite, &keeper, |status| is_gone(status, contested)).await?;
    board.ensure_book_is_right(&status).await?;

    // Nobody draws the cheap one, and each step was made once: a tip of a hundredth for a draw and for an end.
    ensure!(board.state(cheap).await? == IJobs::State::Open, "the cheap job was drawn");
    let reverted = status["totals"]["reverted"].as_u64().wrap_err("no total")?;
    // The lost race, and the reorged draw: it was broadcast again with the header of a block that is gone.
    ensure!(reverted == 2, "{}", status["totals"]);
    let tips = plimsoll_contracts::IERC4626::new(weth, provider).balanceOf(SIGNER).call().await?;
    ensure!(tips == U256::from(3 * WETH / 10), "tips of {tips}");
    let profit = status["totals"]["profit"].to_string();
    ensure!(profit.contains("0.3"), "{profit}");
    ensure!(provider.get_transaction_count(SIGNER).await? == 7, "something else was sent");
    let metrics = keeper.text("/metrics").await?;
    ensure!(metrics.contains("plimsoll_keeper_jobs{state=\"open\"} 1"), "{metrics}");
    keeper.shut_down().await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_configured_accounts_end_and_emission_of_configured_nodes_is_claimed_within_the_budget()
-> eyre::Result<()> {
    let board = Box::pin(Board::new()).await?;
    let provider = board.suite.provider();
    let lapsed = board.post(STRANGER, 2 * WETH / 1_000_000, 1).await?;
    provider.anvil_mine(Some(300), None).await?;
    let own = board.post(STRANGER, 2 * WETH / 1_000_000, 1).await?;
    let other = board.post(POSTER, 2 * WETH / 1_000_000, 1).await?;
    let weth = board.suite.token("WETH")?;
    let rewards = IRewards::new(board.suite.contract("Rewards")?, provider);
    board.suite.devnet.mint_and_approve(weth, RIVAL, U256::from(WETH), *rewards.address()).await?;
    let pool = INodes::new(board.nodes, provider).pool().call().await?;
    let now = provider.get_block(Default::default()).await?.wrap_err("no block")?.header.timestamp;
    let epoch = U256::from(now / (7 * 86_400) + 1);
    mined(rewards.fund(pool, weth, U256::from(WETH), epoch, U256::from(1)).from(RIVAL)).await?;
    board.wait(15 * 86_400).await?;

    let settings = format!(
        "{SETTINGS}[jobs]\nposters = [\"{STRANGER}\"]\nharvest = [2]\nharvest_every = \"10 days\"\nbudget_per_day = \"1\"\n"
    );
    let keeper = Keeper::start(&board.suite, program(), &settings).await?;
    keeper.wait_until_ready().await?;
    let is_done = |status: &Value| is_gone(status, lapsed) && shows(status, own, "drawn");
    mine_until(&board.suite, &keeper, is_done).await?;
    ensure!(board.state(lapsed).await? == IJobs::State::Expired);
    ensure!(board.state(other).await? == IJobs::State::Open, "a stranger's job was paid for");
    let bond = async |id: u32| INodes::new(board.nodes, provider).node(id).call().await;
    soon(async {
        while bond(2).await?.active.assets == 10 * WETH {
            mine_until(&board.suite, &keeper, |_| true).await?;
        }
        Ok(())
    })
    .await?;
    ensure!(bond(1).await?.active.assets == 10 * WETH, "another node's emission was claimed");
    let count = provider.get_transaction_count(SIGNER).await?;
    for _ in 0..5 {
        mine_until(&board.suite, &keeper, |_| true).await?;
    }
    ensure!(count == 3 && provider.get_transaction_count(SIGNER).await? == 3, "an expiry, a draw and a claim: {count}");
    keeper.shut_down().await
}
