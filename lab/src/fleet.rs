//! `lab fleet`: keepers that share a database liquidate loans in waves, while one of them after another is killed, paused, or
//! cut off, and the database restarts and fails over to a replica that lacks its last commits.

use std::{
    collections::BTreeMap,
    fmt, mem,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_chain::secret::Secret;
use plimsoll_contracts::{IPlimsoll, MarketParams};
use plimsoll_deploy::toolchain::{progress::say, scratch::ScratchFolder};
use plimsoll_keeper::{
    config,
    intent::{Fees, GuardKind, Intent, Priority, Purpose, Scope},
    sender::journal::{Attempt, AttemptKind, EntryState, Journal, JournalEntry, Lease},
    store::{Identity, Server, Store},
};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::{Keeper, KeeperSetup},
    postgres::Postgres,
    proxy::Proxy,
    wire::Wire,
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// Ethereum's gas limit of a transaction.
const TRANSACTION_GAS: u64 = 1 << 24;
/// Seconds between blocks.
const BLOCK_SECS: u64 = 1;
/// Number of keepers.
const MEMBERS: usize = SIGNERS.len();
/// Waves of loans: one without a fault, one for each of four faults of each member, and two for those of the database.
const WAVES: u64 = 15;
/// Term of a lease.
const LEASE: Duration = Duration::from_secs(3);
/// Longest time that a wave or a take-over may take. Loans that are liquidatable after that are lost.
const WAVE_TIMEOUT: Duration = Duration::from_secs(180);
/// Time between two looks at the chain or at a keeper.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Debt of the first wave's loans against an ether; each further wave owes [`DEBT_STEP`] less: so little that loans of the
/// first wave, of which a part was liquidated, stay healthy in the last.
const FIRST_DEBT: u128 = 1_500_000_000;
const DEBT_STEP: u128 = 6_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// The pool's ether and dollars, in units, at the manifest's price of 2,000 dollars.
const POOL: [u128; 2] = [1_000_000 * ETHER, 2_000_000_000_000_000];
/// Accounts of Anvil that sign for each member.
const SIGNERS: [[usize; 2]; 3] = [[8, 9], [6, 7], [4, 5]];
/// Number of commits of which the time is measured, and bytes of a transaction in them.
const COMMITS: u64 = 200;
const TRANSACTION_BYTES: usize = 700;

/// The measured figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of loans that became liquidatable.
    pub loans: u64,
    /// Number of loans that were not liquidated.
    pub lost: u64,
    /// Number of loans that were liquidated more than once.
    pub twice: u64,
    /// Number of mined transactions that reverted.
    pub reverted: u64,
    /// Longest time from a keeper's death to the lease of its standby, in terms of a lease.
    pub takeover_leases: f64,
    /// Number of mined transactions of each member's signer.
    pub transactions: Vec<u64>,
    /// Median time of a commit in the database, in microseconds: what a transaction waits for twice.
    pub commit_micros: u64,
    /// Median time of a commit in the journal of a keeper without a database, on the same disk: what a transaction waits for
    /// once.
    pub alone_commit_micros: u64,
}

/// What the waves need.
struct Sea {
    suite: Suite,
    core: Address,
    params: MarketParams,
    database: String,
}

/// A keeper, and what connects it with the database and the chain.
struct Member {
    keeper: Keeper,
    signers: [usize; 2],
    wire: Wire,
    proxy: Proxy,
}

/// Loans that become liquidatable wave by wave.
struct Waves<'a> {
    sea: &'a Sea,
    loans: Vec<u64>,
    next: usize,
    expected: u64,
}

impl Waves<'_> {
    /// Makes the next wave liquidatable.
    async fn fall(&mut self) -> eyre::Result<()> {
        self.expected += self.loans.get(self.next).wrap_err("there is no further wave")?;
        self.sea.fall(u128::try_from(self.next)?).await?;
        self.next += 1;
        Ok(())
    }

    /// Waits until every loan of this wave and those before it was liquidated, or for the longest time.
    async fn until_liquidated(&self) -> eyre::Result<()> {
        self.sea.until_liquidated(self.expected).await
    }
}

/// Runs the measurement. `keeper` returns a program that takes the keeper's arguments.
///
/// # Errors
/// When there are fewer loans than waves, the chain or the database cannot be prepared, or a keeper ends.
pub async fn run(positions: u64, keeper: impl Fn() -> eyre::Result<Command>) -> eyre::Result<Report> {
    ensure!(positions >= WAVES, "there must be at least {WAVES} positions, one for each wave");
    say("starting a node and a database, and deploying");
    let mut server = Postgres::start().await?;
    let suite = Suite::start_with(&["--enable-tx-gas-limit"]).await?;
    let (core, params) = (suite.contract("Plimsoll")?, suite.market("weth-usdc")?);
    let sea = Sea { suite, core, params, database: server.address()? };
    let waves: Vec<u64> = (0..WAVES).map(|wave| positions / WAVES + u64::from(wave < positions % WAVES)).collect();
    sea.open(&waves).await?;
    let mut waves = Waves { sea: &sea, loans: waves, next: 0, expected: 0 };

    say(format_args!("starting {MEMBERS} keepers"));
    let mut members = Vec::with_capacity(MEMBERS);
    for (index, signers) in SIGNERS.into_iter().enumerate() {
        members.push(sea.member(keeper()?, &format!("member-{index}"), signers).await?);
    }
    let provider = sea.suite.devnet.provider();
    provider.anvil_set_auto_mine(false).await?;
    provider.anvil_set_interval_mining(BLOCK_SECS).await?;

    say("a wave without a fault");
    waves.fall().await?;
    waves.until_liquidated().await?;

    let mut takeover = Duration::ZERO;
    for (index, member) in members.iter_mut().enumerate() {
        until_holding(&member.keeper).await?;
        let name = format!("standby-{index}");
        say(format_args!("member {index} is killed at work, and its standby takes over"));
        let standby =
            sea.start(keeper()?, &name, member.signers, member.wire.address(), &member.proxy.ws_url()).await?;
        waves.fall().await?;
        let killed = Instant::now();
        drop(mem::replace(&mut member.keeper, standby));
        until_holding(&member.keeper).await?;
        takeover = takeover.max(killed.elapsed());
        waves.until_liquidated().await?;

        say(format_args!("member {index} is paused beyond its lease, and resumes"));
        signal(&member.keeper, "-STOP")?;
        waves.fall().await?;
        waves.until_liquidated().await?;
        sleep(2 * LEASE).await;
        signal(&member.keeper, "-CONT")?;
        until_holding(&member.keeper).await?;

        say(format_args!("member {index} is cut off from the database"));
        member.wire.cut();
        waves.fall().await?;
        waves.until_liquidated().await?;
        member.wire.mend();
        until_holding(&member.keeper).await?;

        say(format_args!("member {index} is cut off from the chain"));
        member.proxy.take_down().await;
        waves.fall().await?;
        waves.until_liquidated().await?;
        member.proxy.bring_up()?;
    }

    say("the database restarts");
    server.kill()?;
    server.copy_data()?;
    waves.fall().await?;
    server.bring_up()?;
    waves.until_liquidated().await?;

    say("the database fails over to a replica that has seen nothing of the last wave");
    server.kill()?;
    server.fail_over_to_copy()?;
    waves.fall().await?;
    server.bring_up()?;
    waves.until_liquidated().await?;

    let mut report = sea.report(positions, takeover).await?;
    [report.commit_micros, report.alone_commit_micros] = commit_micros(&mut server).await?;
    Ok(report)
}

impl Sea {
    /// Opens as many loans of each wave.
    async fn open(&self, waves: &[u64]) -> eyre::Result<()> {
        let loans: u64 = waves.iter().sum();
        say(format_args!("opening {loans} loans"));
        self.suite.supply(&self.params, U256::from(FIRST_DEBT * 2 * u128::from(loans.max(100)))).await?;
        let [ether, dollars] = POOL.map(U256::from);
        self.suite.add_liquidity("weth-usdc", ether, dollars).await?;
        let borrowers = Borrowers::deploy(&self.suite.devnet, self.core, TRANSACTION_GAS).await?;
        for (wave, loans) in (0..).zip(waves) {
            let loan = NewLoan { collateral: ETHER, debt: FIRST_DEBT - DEBT_STEP * wave };
            borrowers.open(&self.params, &vec![loan; usize::try_from(*loans)?]).await?;
        }
        Ok(())
    }

    async fn start(
        &self,
        mut program: Command,
        name: &str,
        signers: [usize; 2],
        database: &str,
        node: &str,
    ) -> eyre::Result<Keeper> {
        let lease = LEASE.as_secs();
        let setup = KeeperSetup {
            folder: name.to_owned(),
            endpoints: vec![format!("url = \"{node}\"")],
            signers: KeeperSetup::anvil_signers(signers),
            further: format!(
                "[store.postgres]\nurl_env = \"FLEET_DATABASE\"\nlease = \"{lease} seconds\"\nname = \"{name}\"\n"
            ),
            ..KeeperSetup::live(&self.suite)
        };
        program.env("FLEET_DATABASE", format!("postgres://keeper@{database}/postgres"));
        let keeper = Keeper::start_with(&self.suite, program, &setup).await?;
        timeout(WAVE_TIMEOUT, keeper.wait_until_ready()).await.wrap_err("a keeper is not ready")??;
        Ok(keeper)
    }

    /// Starts a member with connections of its own, and waits until it has a lease.
    async fn member(&self, program: Command, name: &str, signers: [usize; 2]) -> eyre::Result<Member> {
        let wire = Wire::start(self.database.clone()).await?;
        let proxy = Proxy::start(self.suite.devnet.node.address()).await?;
        let keeper = self.start(program, name, signers, wire.address(), &proxy.ws_url()).await?;
        until_holding(&keeper).await?;
        Ok(Member { keeper, signers, wire, proxy })
    }

    /// Sets the price at which the loans of a wave, and those before it, are 0.3 % below their liquidation price: those of the
    /// next wave are not.
    async fn fall(&self, wave: u128) -> eyre::Result<()> {
        let waterline = (FIRST_DEBT - DEBT_STEP * wave) * 100 / 86;
        self.suite.send_price("eth-usd", waterline / 1_000 * 997 * 100).await?;
        Ok(())
    }

    /// Waits until so many loans were liquidated, or for the longest time.
    async fn until_liquidated(&self, loans: u64) -> eyre::Result<()> {
        let waiting = async {
            while u64::try_from(self.liquidated().await?.len())? < loans {
                sleep(POLL_INTERVAL * 10).await;
            }
            eyre::Ok(())
        };
        match timeout(WAVE_TIMEOUT, waiting).await {
            Ok(done) => done,
            Err(_) => {
                say("not every loan was liquidated in time");
                Ok(())
            }
        }
    }

    /// Returns the number of liquidations of each borrower.
    async fn liquidated(&self) -> eyre::Result<BTreeMap<Address, u64>> {
        let filter = Filter::new()
            .address(self.core)
            .event_signature(IPlimsoll::Liquidate::SIGNATURE_HASH)
            .topic1(self.params.id().0)
            .from_block(0);
        let mut times = BTreeMap::new();
        for log in self.suite.devnet.provider().get_logs(&filter).await? {
            *times.entry(IPlimsoll::Liquidate::decode_log(&log.inner)?.borrower).or_default() += 1;
        }
        Ok(times)
    }

    async fn report(&self, loans: u64, takeover: Duration) -> eyre::Result<Report> {
        let liquidated = self.liquidated().await?;
        let signers: Vec<_> =
            SIGNERS.iter().map(|[signer, _]| self.suite.devnet.account(*signer)).collect::<Result<_, _>>()?;
        let (mut transactions, mut reverted) = (vec![0; signers.len()], 0);
        let provider = self.suite.devnet.provider();
        for number in 0..=provider.get_block_number().await? {
            for receipt in provider.get_block_receipts(BlockId::number(number)).await?.unwrap_or_default() {
                if let Some(member) = signers.iter().position(|signer| *signer == receipt.from) {
                    transactions[member] += 1;
                    reverted += u64::from(!receipt.status());
                }
            }
        }
        Ok(Report {
            loans,
            lost: loans.saturating_sub(u64::try_from(liquidated.len())?),
            twice: u64::try_from(liquidated.values().filter(|times| **times > 1).count())?,
            reverted,
            takeover_leases: takeover.as_secs_f64() / LEASE.as_secs_f64(),
            transactions,
            commit_micros: 0,
            alone_commit_micros: 0,
        })
    }
}

/// Waits until a keeper has a lease, by what itself knows.
async fn until_holding(keeper: &Keeper) -> eyre::Result<()> {
    let holds = |status: &Value| {
        let fleet = &status["fleet"];
        let own =
            fleet["members"].as_array().and_then(|members| members.iter().find(|member| member["is_self"] == true));
        let is_own = |lease: &Value| {
            own.is_some_and(|own| own["id"] == lease["holder"]) && lease["expires_in_ms"].as_i64() > Some(0)
        };
        fleet["leases"].as_array().is_some_and(|leases| leases.iter().any(is_own))
    };
    timeout(WAVE_TIMEOUT, keeper.wait_until("status", holds)).await.wrap_err_with(|| keeper.output())??;
    Ok(())
}

fn signal(keeper: &Keeper, name: &str) -> eyre::Result<()> {
    let status = Command::new("kill").args([name, &keeper.process_id().to_string()]).status()?;
    ensure!(status.success(), "kill {name}: {status}");
    Ok(())
}

/// Measures the median times of commits of a signed transaction, in microseconds: in the database, and in the file of a keeper
/// of its own, in turn on the same disk. Both are on disk when they return.
async fn commit_micros(server: &mut Postgres) -> eyre::Result<[u64; 2]> {
    server.make_durable()?;
    let url = Arc::new(Secret::new(server.url()?));
    let settings = config::Postgres { url, lease: Duration::from_secs(600), name: "measurement".to_owned() };
    let identity = Identity { chain_id: 1, genesis: B256::ZERO, core: Address::ZERO, rewards: None };
    let shared = Server::open(&settings, &identity).await?;
    let lease = shared.acquire(&[Address::ZERO]).await?.wrap_err("the lease is held")?;
    let folder = ScratchFolder::new("plimsoll-commits-")?;
    let alone = Store::open(folder.path(), &identity)?.journal;
    let [mut in_database, mut in_file] = [Vec::new(), Vec::new()];
    for id in 0..COMMITS {
        let started = Instant::now();
        shared.record(lease, vec![signed(id)]).await?;
        in_database.push(started.elapsed());
        let started = Instant::now();
        alone.record(Lease::EXCLUSIVE, vec![signed(id)]).await?;
        in_file.push(started.elapsed());
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        u64::try_from(times.get(times.len() / 2).copied().unwrap_or_default().as_micros())
    };
    Ok([median(in_database)?, median(in_file)?])
}

/// A journal's entry of a liquidation of one loan.
fn signed(id: u64) -> JournalEntry {
    let attempt = Attempt {
        kind: AttemptKind::Call,
        raw: vec![2; TRANSACTION_BYTES].into(),
        hash: B256::left_padding_from(&id.to_be_bytes()),
        fees: Fees { max_fee_per_gas: 1, max_priority_fee_per_gas: 1 },
        block: 1,
    };
    let intent = Intent {
        purpose: Purpose::Liquidate { market: B256::ZERO, borrowers: vec![Address::ZERO] },
        priority: Priority::High,
        to: Address::ZERO,
        data: vec![1; TRANSACTION_BYTES].into(),
        gas_limit: 1,
        expected_gas: 1,
        expected_gain: U256::ONE,
        extra_wei: U256::ZERO,
        margin_bps: 0,
        deadline: 1,
        scope: Scope::new("liquidate", B256::ZERO),
        guard: GuardKind::None,
        bid: 0,
        profit: None,
    };
    JournalEntry {
        id,
        signer: Address::ZERO,
        nonce: id,
        replacement_index: 0,
        intent,
        attempts: vec![attempt],
        state: EntryState::Sent,
        created_at: 1,
        changed_at: 1,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transactions: Vec<_> = self.transactions.iter().map(u64::to_string).collect();
        writeln!(f, "loans               {:>8}", self.loans)?;
        writeln!(f, "lost                {:>8}", self.lost)?;
        writeln!(f, "liquidated twice    {:>8}", self.twice)?;
        writeln!(f, "reverted            {:>8}", self.reverted)?;
        writeln!(f, "take-over, leases   {:>8.2}", self.takeover_leases)?;
        writeln!(f, "transactions        {:>8}", transactions.join(" "))?;
        writeln!(f, "commit, µs          {:>8}", self.commit_micros)?;
        write!(f, "without database    {:>8}", self.alone_commit_micros)
    }
}
