//! `snapshot export` and `snapshot import` as an operator uses them: a keeper begins with the book of another one, and no
//! snapshot that is damaged, forged or of another chain gets into a store.

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy::{
    primitives::{Address, U256, Uint},
    providers::ext::AnvilApi,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    IGuard, IRewards,
    governance::{IGovernor, IVotes},
};
use plimsoll_keeper::{
    book::{Operation, Proposal, Row},
    store::{CheckpointTip, Checkpointed, Image, Store, export},
};
use plimsoll_testkit::{
    devnet::mined,
    keeper::{Keeper, KeeperSetup},
};

use super::{
    cli::{Said, keeper},
    fixture::{ETHER, Fixture, program, soon},
    governance::{GOVERNANCE, Governed, SAFE},
    guard::{Guarded, terms},
};
use crate::support::governor;

/// Blocks after which a checkpoint has the loans, and some.
const BLOCKS_TO_CHECKPOINT: u64 = 70;
const LOANS: u64 = 3;

struct Site {
    fixture: Fixture,
    setup: KeeperSetup,
}

impl Site {
    /// Runs a keeper until its checkpoint has loans.
    async fn new() -> eyre::Result<Self> {
        Self::of(Fixture::new(&[LOANS]).await?).await
    }

    /// Runs a keeper on a suite until its checkpoint has what is there.
    async fn of(fixture: Fixture) -> eyre::Result<Self> {
        fixture.stop_mining().await?;
        let setup = KeeperSetup::live(&fixture.suite);
        let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
        keeper.wait_until_ready().await?;
        fixture.provider().anvil_mine(Some(BLOCKS_TO_CHECKPOINT), None).await?;
        soon(keeper.wait_for_block(fixture.head().await?)).await?;
        keeper.shut_down().await?;
        Ok(Self { fixture, setup })
    }

    /// Writes the configuration of a keeper with another folder. Returns that folder.
    fn other(&self, name: &str) -> eyre::Result<PathBuf> {
        let scratch = self.fixture.suite.scratch();
        let text = fs::read_to_string(scratch.join(&self.setup.folder).join("keeper.toml"))?;
        let (from, to) = (self.setup.store(&self.fixture.suite), scratch.join(name).join("data"));
        fs::create_dir_all(scratch.join(name))?;
        fs::write(scratch.join(name).join("keeper.toml"), text.replace(&format!("{from:?}"), &format!("{to:?}")))?;
        Ok(to)
    }

    async fn command(&self, name: &str, verb: &str, file: &Path) -> eyre::Result<Said> {
        let folder = self.fixture.suite.scratch().join(name);
        let (verb, file) = (verb.to_owned(), file.to_str().wrap_err("no text")?.to_owned());
        tokio::task::spawn_blocking(move || keeper(&folder, &["snapshot", &verb, &file], &[])).await?
    }

    /// Checks that a snapshot is refused for this reason, and nothing is changed.
    async fn ensure_refused(&self, name: &str, file: &Path, problem: &str) -> eyre::Result<()> {
        let said = self.command(name, "import", file).await?;
        ensure!(said.code == Some(1) && said.out.is_empty(), "{}: {}{}", file.display(), said.out, said.err);
        ensure!(
            said.err.contains(problem) && said.err.contains(&file.display().to_string()),
            "{problem}: {}",
            said.err
        );
        let store = self.fixture.suite.scratch().join(name).join("data");
        let left: Vec<_> = fs::read_dir(store).into_iter().flatten().flatten().map(|file| file.file_name()).collect();
        ensure!(left.iter().all(|name| name == "lock"), "{left:?}");
        Ok(())
    }

    /// Writes a snapshot whose digests are right and whose rows were changed, of another block if one is given.
    async fn forge(&self, name: &str, tip: Option<CheckpointTip>, change: impl Fn(&mut Row)) -> eyre::Result<PathBuf> {
        let changed = |mut row| {
            change(&mut row);
            Some(row)
        };
        self.forge_of(name, tip, changed).await
    }

    /// As [`Site::forge`]; rows can be left out, too.
    async fn forge_of(
        &self,
        name: &str,
        tip: Option<CheckpointTip>,
        change: impl Fn(Row) -> Option<Row>,
    ) -> eyre::Result<PathBuf> {
        let scratch = self.fixture.suite.scratch();
        let store = Store::open(&self.setup.store(&self.fixture.suite), &self.fixture.identity()?)?;
        let read = store.checkpoint.load(|tip, images| (tip, images.collect::<Vec<Image>>())).await?;
        let (true_tip, images) = read.wrap_err("no checkpoint")?;
        drop(store);
        let mut forged = Vec::new();
        for (key, value) in images {
            let row = change(Row::decode(&key, &value)?);
            forged.extend(row.map(|row| (row.key(), row.value())));
        }
        let (folder, file) = (scratch.join(format!("{name}-forged")), scratch.join(format!("{name}.snapshot")));
        let store = Store::open(&folder, &self.fixture.identity()?)?;
        let tip = tip.unwrap_or(true_tip);
        store.checkpoint.record(tip, forged).await?;
        store.checkpoint.record(CheckpointTip { number: tip.number + 64, ..tip }, Vec::new()).await?;
        store.checkpoint.flush().await?;
        drop(store);
        export(&folder, &[Checkpointed::Book], &file)?;
        Ok(file)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_begins_with_the_book_of_another_one() -> eyre::Result<()> {
    let site = Site::new().await?;
    let file = site.fixture.suite.scratch().join("book.snapshot");
    let said = site.command("keeper", "export", &file).await?;
    ensure!(said.code == Some(0) && said.out.contains("the book, of block "), "{}{}", said.out, said.err);
    site.other("second")?;
    let said = site.command("second", "import", &file).await?;
    let confirmed = said.out.contains("It equals the chain after block ")
        && said.out.contains(&format!("markets, {0} of {0} positions", LOANS + 1));
    ensure!(said.code == Some(0) && confirmed, "{}{}", said.out, said.err);
    // The same folder as the one that was imported into.
    let setup = KeeperSetup { folder: "second".to_owned(), ..site.setup.clone() };
    let keeper = Keeper::start_with(&site.fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    ensure!(!keeper.output().contains("checkpoint discarded"), "{}", keeper.output());
    site.fixture.drop_price_below(0).await?;
    site.fixture.wait_until_liquidated(LOANS, &[&keeper]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_damaged_or_differs_from_the_chain_is_refused_and_nothing_is_changed() -> eyre::Result<()> {
    let site = Site::new().await?;
    let scratch = site.fixture.suite.scratch();
    let whole = scratch.join("book.snapshot");
    let said = site.command("keeper", "export", &whole).await?;
    ensure!(said.code == Some(0), "{}", said.err);
    let bytes = fs::read(&whole)?;
    let cut = scratch.join("cut.snapshot");
    fs::write(&cut, &bytes[..bytes.len() / 2])?;
    let altered = scratch.join("altered.snapshot");
    fs::write(&altered, [&bytes[..bytes.len() - 1], &[bytes[bytes.len() - 1] ^ 1]].concat())?;

    let collateral = site
        .forge("collateral", None, |row| {
            if let Row::Position { position, .. } = row
                && position.borrow_shares > 0
            {
                position.collateral += 1;
            }
        })
        .await?;
    let totals = site
        .forge("totals", None, |row| {
            if let Row::Market { market, .. } = row {
                market.1.totals.borrow_assets += 1;
            }
        })
        .await?;
    let shares = site
        .forge("shares", None, |row| {
            if let Row::Position { position, .. } = row
                && position.borrow_shares > 0
            {
                position.borrow_shares -= 1;
            }
        })
        .await?;
    let identity = site.fixture.identity()?;
    let tip = CheckpointTip { number: 3, hash: identity.genesis, timestamp: u64::MAX / 2 };
    let block = site.forge("block", Some(tip), |_| {}).await?;

    site.other("second")?;
    for (file, problem) in [
        (&cut, "it is cut off"),
        (&altered, "book.db in it was altered"),
        (&collateral, "the position of 0x"),
        (&totals, "the totals of market 0x"),
        (&shares, "borrow shares are"),
        (&block, "it was reorged, or the file is forged"),
    ] {
        site.ensure_refused("second", file, problem).await?;
    }
    let said = site.command("second", "import", &whole).await?;
    ensure!(said.code == Some(0), "{}", said.err);
    Ok(())
}

/// What a governor alone may do, after its own delay.
const LIMITS: &str = r#"
[governance.roles.limits]
members = ["governor"]
delay = "13 days"
functions = ["Backstop.transferCuratorship"]
"#;

/// A suite with a loan that has an order, a stake that can be harvested, a scheduled call and a proposal.
async fn with_everything() -> eyre::Result<Fixture> {
    let governance = GOVERNANCE.replace(", \"Backstop.transferCuratorship\"", "");
    let governed = Governed::by(&format!("{governance}{LIMITS}{}", governor("safe"))).await?;
    let call = governed.set_recipient(Address::repeat_byte(0x77))?;
    governed.schedule(call.clone()).await?;
    let suite = governed.suite;
    let (core, provider) = (suite.contract("Plimsoll")?, suite.provider());
    let at = |name| suite.deployment.address(name).wrap_err("not deployed");
    mined(IVotes::new(at("governance.token")?, provider).delegate(SAFE).from(SAFE)).await?;
    // The votes of a second ago count.
    provider.anvil_increase_time(5).await?;
    provider.evm_mine(None).await?;
    let governor = IGovernor::new(at("governance.governor")?, provider);
    mined(governor.propose(vec![core], vec![U256::ZERO], vec![call.into()], "a recipient".to_owned()).from(SAFE))
        .await?;

    let (staker, rewards, plim) = (suite.devnet.account(6)?, suite.contract("Rewards")?, suite.token("PLIM")?);
    let pool = suite.deployment.programmes.get("plim").wrap_err("no programme")?.id;
    suite.devnet.mint_and_approve(plim, staker, U256::from(ETHER), rewards).await?;
    let rewards = IRewards::new(rewards, provider);
    mined(rewards.stake(pool, U256::from(ETHER), staker).from(staker)).await?;
    let consent = IRewards::HarvestConsent { enabled: true, compounds: true, tipBps: 100, smallest: Uint::from(7) };
    mined(rewards.setHarvestConsent(pool, plim, consent).from(staker)).await?;

    let fixture = Fixture::in_market(suite, "weth-usdc")?;
    fixture.provide([1_000_000 * ETHER, 2_000_000_000_000_000]).await?;
    fixture.suite.supply(&fixture.params, U256::from(1_000_000_000_000_u64)).await?;
    let guarded = Guarded { guard: fixture.suite.contract("Guard")?, fixture };
    guarded.borrow(4, IGuard::Kind::Protect, terms(U256::ZERO), true).await?;
    Ok(guarded.fixture)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_with_other_stakes_orders_or_governance_than_the_chains_is_refused() -> eyre::Result<()> {
    let site = Site::of(Box::pin(with_everything()).await?).await?;
    site.other("second")?;
    let stake = site.forge("stake", None, |row| match row {
        Row::Staker { staked, .. } => *staked += 1,
        Row::Pool { pool, .. } => pool.state.total_staked += 1,
        _ => {}
    });
    let offset = site.forge("offset", None, |row| {
        if let Row::Staker { ledgers, .. } = row {
            ledgers[0].offset += 1;
        }
    });
    let consent = site.forge("consent", None, |row| {
        if let Row::Staker { ledgers, .. } = row {
            ledgers[0].consent.smallest = 0;
        }
    });
    let stream = site.forge("stream", None, |row| {
        if let Row::Pool { pool, .. } = row {
            pool.state.streams[1].funded += 1;
        }
    });
    let programme = site.forge_of("programme", None, |row| {
        Some(row).filter(|row| !matches!(row, Row::Pool { .. } | Row::Staker { .. }))
    });
    let order = site.forge("order", None, |row| {
        if let Row::Order { order: Some(placed), .. } = row {
            placed.order.trigger_ltv_bps -= 1;
        }
    });
    let backstop = site.forge("backstop", None, |row| {
        if let Row::Market { market, .. } = row {
            market.1.backstop = Address::repeat_byte(9);
        }
    });
    let operation = |name, change: fn(&mut Operation)| {
        site.forge(name, None, move |row| {
            if let Row::Governance(state) = row {
                state.operations.values_mut().for_each(change);
            }
        })
    };
    let proposal = |name, change: fn(&mut Proposal)| {
        site.forge(name, None, move |row| {
            if let Row::Governance(state) = row {
                state.proposals.values_mut().for_each(change);
            }
        })
    };
    for (file, problem) in [
        (stake.await?, "the stake of 0x"),
        (offset.await?, "the reward offset of 0x"),
        (consent.await?, "the harvest consent of 0x"),
        (stream.await?, "the stream of 0x"),
        (programme.await?, "programme 0x"),
        (order.await?, "the order protect of 0x"),
        (backstop.await?, "the backstop of market 0x"),
        (operation("call", |operation| operation.call.target = Address::ZERO).await?, "the call of operation 0x"),
        (operation("due", |operation| operation.due -= 1).await?, "the due time of operation 0x"),
        (proposal("calls", |proposal| proposal.calls.clear()).await?, "the calls of proposal 0x"),
        (proposal("proposer", |proposal| proposal.proposer = Address::ZERO).await?, "the proposer of proposal 0x"),
        (proposal("queued", |proposal| proposal.due = Some(1 << 40)).await?, "the due time of proposal 0x"),
        // A contract that confirms whatever it is asked.
        (proposal("governor", |proposal| proposal.governor = Address::ZERO).await?, "the governor of proposal 0x"),
    ] {
        site.ensure_refused("second", &file, problem).await?;
    }
    let whole = site.fixture.suite.scratch().join("book.snapshot");
    let said = site.command("keeper", "export", &whole).await?;
    ensure!(said.code == Some(0), "{}", said.err);
    let said = site.command("second", "import", &whole).await?;
    let confirmed =
        said.out.contains("2 of 2 positions, 1 of 1 stakes, 1 of 1 orders, 2 scheduled operations and proposals");
    ensure!(said.code == Some(0) && confirmed, "{}{}", said.out, said.err);
    Ok(())
}
