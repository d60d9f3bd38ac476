//! `snapshot export` and `snapshot import` as an operator uses them: a keeper begins with the book of another one, and no
//! snapshot that is damaged, forged or of another chain gets into a store.

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy::providers::ext::AnvilApi;
use eyre::{ContextCompat, ensure};
use plimsoll_keeper::{
    book::Row,
    store::{CheckpointTip, Checkpointed, Identity, Image, Store, export},
};
use plimsoll_testkit::keeper::{Keeper, KeeperSetup};

use super::{
    cli::{Said, keeper},
    fixture::{Fixture, program, soon},
};

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
        let fixture = Fixture::new(&[LOANS]).await?;
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

    fn identity(&self) -> eyre::Result<Identity> {
        let deployment = &self.fixture.suite.deployment;
        Ok(Identity {
            chain_id: deployment.chain_id,
            genesis: deployment.genesis,
            core: self.fixture.core,
            rewards: self.fixture.suite.contract("Rewards").ok(),
        })
    }

    /// Writes a snapshot whose digests are right and whose rows were changed, of another block if one is given.
    async fn forge(&self, name: &str, tip: Option<CheckpointTip>, change: impl Fn(&mut Row)) -> eyre::Result<PathBuf> {
        let scratch = self.fixture.suite.scratch();
        let store = Store::open(&self.setup.store(&self.fixture.suite), &self.identity()?)?;
        let read = store.checkpoint.load(|tip, images| (tip, images.collect::<Vec<Image>>())).await?;
        let (true_tip, images) = read.wrap_err("no checkpoint")?;
        drop(store);
        let mut forged = Vec::new();
        for (key, value) in images {
            let mut row = Row::decode(&key, &value)?;
            change(&mut row);
            forged.push((row.key(), row.value()));
        }
        let (folder, file) = (scratch.join(format!("{name}-forged")), scratch.join(format!("{name}.snapshot")));
        let store = Store::open(&folder, &self.identity()?)?;
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
        && said.out.contains(&format!("and {0} of {0} positions", LOANS + 1));
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
    let identity = site.identity()?;
    let tip = CheckpointTip { number: 3, hash: identity.genesis, timestamp: u64::MAX / 2 };
    let block = site.forge("block", Some(tip), |_| {}).await?;

    let store = site.other("second")?;
    for (file, problem) in [
        (&cut, "it is cut off"),
        (&altered, "book.db in it was altered"),
        (&collateral, "the position of 0x"),
        (&totals, "the totals of market 0x"),
        (&shares, "borrow shares are"),
        (&block, "it was reorged, or the file is forged"),
    ] {
        let said = site.command("second", "import", file).await?;
        ensure!(said.code == Some(1) && said.out.is_empty(), "{}: {}{}", file.display(), said.out, said.err);
        ensure!(said.err.contains(problem) && said.err.contains(&file.display().to_string()), "{}", said.err);
        let left: Vec<_> = fs::read_dir(&store).into_iter().flatten().flatten().map(|file| file.file_name()).collect();
        ensure!(left.iter().all(|name| name == "lock"), "{left:?}");
    }
    let said = site.command("second", "import", &whole).await?;
    ensure!(said.code == Some(0), "{}", said.err);
    Ok(())
}
