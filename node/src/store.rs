//! What must survive a crash: vouchers before their answers, charges before clients learn of them.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::B256;
use eyre::{bail, ensure};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{database, x402::WireConfig};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS terms (id INTEGER PRIMARY KEY CHECK (id = 0), text TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS channels (
        id BLOB PRIMARY KEY, config TEXT NOT NULL, charged BLOB NOT NULL, signed BLOB NOT NULL, signature BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS reservations (channel BLOB PRIMARY KEY) STRICT;
    CREATE TABLE IF NOT EXISTS answers (
        channel BLOB NOT NULL, signed BLOB NOT NULL, request BLOB NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (channel, signed, request)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS receipts (request BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS spent (name TEXT PRIMARY KEY, day INTEGER NOT NULL, amount BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, secret BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS jobs (
        id INTEGER PRIMARY KEY, input BLOB NOT NULL, answer BLOB, trace BLOB
    ) STRICT;
";

/// The store, of which one process at a time may be the owner.
#[derive(Debug)]
pub(crate) struct Store {
    database: Mutex<Connection>,
    _lock: File,
}

/// A channel as the node accounts for it.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) id: B256,
    pub(crate) config: WireConfig,
    /// Sum of all charges.
    pub(crate) charged: u128,
    /// Ceiling of the last voucher, which is never below `charged`.
    pub(crate) signed: u128,
    pub(crate) signature: Vec<u8>,
}

/// A channel that is reserved for one request. Dropped without a charge, it is free again and nothing is charged: also
/// when the request's task panics.
#[derive(Debug)]
pub(crate) struct Reservation {
    store: Arc<Store>,
    id: B256,
    is_open: bool,
}

impl Reservation {
    /// Ends it with its charge, and keeps what the client gets, in one commit.
    pub(crate) fn charge(
        mut self,
        voucher: &CheckedVoucher,
        charge: u128,
        at: u64,
        answer: Option<(B256, &str)>,
        receipt: Option<(B256, &str)>,
    ) -> eyre::Result<u128> {
        let charged = self.store.charge(voucher, charge, at, answer, receipt)?;
        self.is_open = false;
        Ok(charged)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_open
            && let Err(error) = self.store.release(self.id)
        {
            tracing::error!(channel = %self.id, "channel not released; a restart does it: {error:#}");
        }
    }
}

/// A job that the node was drawn for.
#[derive(Debug, Clone)]
pub(crate) struct KeptJob {
    pub(crate) input: Vec<u8>,
    pub(crate) answer: Option<(Vec<u8>, B256)>,
}

/// A voucher whose signature and channel were checked.
#[derive(Debug, Clone)]
pub(crate) struct CheckedVoucher {
    pub(crate) id: B256,
    pub(crate) config: WireConfig,
    pub(crate) max: u128,
    pub(crate) signature: Vec<u8>,
}

/// Whether a voucher may be served for.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// It is on disk. `charged` is the sum before this request.
    Yes { charged: u128, reservation: Reservation },
    /// Another request of this channel is being served.
    Busy,
    /// The voucher is not for this sum and this request.
    Mismatch { charged: u128, last: Option<(u128, Vec<u8>)> },
}

impl Store {
    /// Opens the store and closes reservations that a crash left: their vouchers are kept, and nothing is charged.
    pub(crate) fn open(path: &Path) -> eyre::Result<Arc<Self>> {
        let (database, lock) = database::open(path, SCHEMA, "another process serves from this store; stop it first")?;
        database.execute("DELETE FROM reservations", ())?;
        Ok(Arc::new(Self { database: Mutex::new(database), _lock: lock }))
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if the store has channels of other terms: they would be orphaned.
    pub(crate) fn keep_terms(&self, terms: &str) -> eyre::Result<()> {
        let database = self.database();
        let kept: Option<String> = database.query_row("SELECT text FROM terms", (), |row| row.get(0)).optional()?;
        let has_channels: bool = database.query_row("SELECT EXISTS (SELECT 1 FROM channels)", (), |row| row.get(0))?;
        if let Some(kept) = kept.filter(|kept| kept != terms && has_channels) {
            bail!(
                "the store has channels of {kept}, and the configuration says {terms}: clients could use them no more. \
                 Change it back, or take a new store once all is claimed"
            );
        }
        database.execute("INSERT OR REPLACE INTO terms VALUES (0, ?)", [terms])?;
        Ok(())
    }

    /// Reserves a channel for one request and puts its voucher on disk. `claimed` is the chain's sum: a store that was
    /// restored from a backup believes it.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        voucher: &CheckedVoucher,
        ceiling: u128,
        claimed: u128,
    ) -> eyre::Result<Reserved> {
        let mut database = self.database();
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let id = voucher.id.as_slice();
        let busy = "SELECT EXISTS (SELECT 1 FROM reservations WHERE channel = ?)";
        if transaction.query_row(busy, [id], |row| row.get(0))? {
            return Ok(Reserved::Busy);
        }
        let known = read(&transaction, voucher.id)?;
        let charged = match &known {
            Some(known) => known.charged.max(claimed),
            // By its voucher the client says itself what it owes.
            None => claimed.max(voucher.max.saturating_sub(ceiling)),
        };
        if charged.checked_add(ceiling) != Some(voucher.max) {
            let last = known.filter(|known| known.signed >= charged).map(|known| (known.signed, known.signature));
            return Ok(Reserved::Mismatch { charged, last });
        }
        transaction.execute(
            "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?)",
            params![
                id,
                serde_json::to_string(&voucher.config)?,
                charged.to_be_bytes(),
                voucher.max.to_be_bytes(),
                voucher.signature
            ],
        )?;
        transaction.execute("INSERT INTO reservations VALUES (?)", [id])?;
        transaction.commit()?;
        let reservation = Reservation { store: Arc::clone(self), id: voucher.id, is_open: true };
        Ok(Reserved::Yes { charged, reservation })
    }

    fn release(&self, id: B256) -> eyre::Result<()> {
        self.database().execute("DELETE FROM reservations WHERE channel = ?", [id.as_slice()])?;
        Ok(())
    }

    fn charge(
        &self,
        voucher: &CheckedVoucher,
        charge: u128,
        at: u64,
        answer: Option<(B256, &str)>,
        receipt: Option<(B256, &str)>,
    ) -> eyre::Result<u128> {
        let mut database = self.database();
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let id = voucher.id.as_slice();
        let ended = transaction.execute("DELETE FROM reservations WHERE channel = ?", [id])?;
        ensure!(ended == 1, "the channel {} is not reserved", voucher.id);
        let known = read(&transaction, voucher.id)?;
        let before = known.map_or(0, |known| known.charged);
        let charged = before.checked_add(charge).filter(|charged| *charged <= voucher.max);
        let Some(charged) = charged else { bail!("a charge of {charge} after {before} is above the voucher") };
        transaction.execute("UPDATE channels SET charged = ? WHERE id = ?", params![charged.to_be_bytes(), id])?;
        if let Some((request, body)) = answer {
            transaction.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                params![id, voucher.max.to_be_bytes(), request.as_slice(), i64::try_from(at)?, body],
            )?;
        }
        if let Some((request, body)) = receipt {
            transaction.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?)", params![request.as_slice(), body])?;
        }
        transaction.commit()?;
        Ok(charged)
    }

    /// The answer that was given for a voucher, if it is not older than `since`. Older ones of all clients are deleted.
    pub(crate) fn replay(&self, voucher: &CheckedVoucher, request: B256, since: u64) -> eyre::Result<Option<String>> {
        let database = self.database();
        database.execute("DELETE FROM answers WHERE at < ?", [i64::try_from(since)?])?;
        let query = "SELECT body FROM answers WHERE channel = ? AND signed = ? AND request = ?";
        let key = params![voucher.id.as_slice(), voucher.max.to_be_bytes(), request.as_slice()];
        Ok(database.query_row(query, key, |row| row.get(0)).optional()?)
    }

    pub(crate) fn receipt(&self, request: B256) -> eyre::Result<Option<String>> {
        let query = "SELECT body FROM receipts WHERE request = ?";
        Ok(self.database().query_row(query, [request.as_slice()], |row| row.get(0)).optional()?)
    }

    /// Counts `amount` towards a day's bound, unless it would be passed.
    pub(crate) fn spend(&self, name: &str, day: u64, amount: u128, most: u128) -> eyre::Result<bool> {
        let mut database = self.database();
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let query = "SELECT amount FROM spent WHERE name = ? AND day = ?";
        let day = i64::try_from(day)?;
        let spent: Option<[u8; 16]> = transaction.query_row(query, params![name, day], |row| row.get(0)).optional()?;
        let sum = spent.map_or(0, u128::from_be_bytes).checked_add(amount).filter(|sum| *sum <= most);
        let Some(sum) = sum else { return Ok(false) };
        transaction.execute("INSERT OR REPLACE INTO spent VALUES (?, ?, ?)", params![name, day, sum.to_be_bytes()])?;
        transaction.commit()?;
        Ok(true)
    }

    /// A random secret that is made once and kept.
    pub(crate) fn secret(&self, name: &str) -> eyre::Result<B256> {
        let database = self.database();
        let fresh = B256::random();
        database.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", params![name, fresh.as_slice()])?;
        let query = "SELECT secret FROM secrets WHERE name = ?";
        Ok(database.query_row(query, [name], |row| row.get::<_, [u8; 32]>(0))?.into())
    }

    /// A job's input, and its answer once it is computed.
    pub(crate) fn job(&self, id: u64) -> eyre::Result<Option<KeptJob>> {
        let query = "SELECT input, answer, trace FROM jobs WHERE id = ?";
        let row = |row: &rusqlite::Row<'_>| {
            let answer: (Option<Vec<u8>>, Option<[u8; 32]>) = (row.get(1)?, row.get(2)?);
            let answer = answer.0.zip(answer.1).map(|(answer, trace)| (answer, trace.into()));
            Ok(KeptJob { input: row.get(0)?, answer })
        };
        Ok(self.database().query_row(query, [i64::try_from(id)?], row).optional()?)
    }

    /// Keeps a job's input or answer.
    pub(crate) fn keep_job(&self, id: u64, job: &KeptJob) -> eyre::Result<()> {
        let (answer, trace) = job.answer.as_ref().map(|(answer, trace)| (answer, trace.as_slice())).unzip();
        self.database().execute(
            "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?)",
            params![i64::try_from(id)?, job.input, answer, trace],
        )?;
        Ok(())
    }

    /// Forgets jobs below an id.
    pub(crate) fn forget_jobs(&self, below: u64) -> eyre::Result<()> {
        self.database().execute("DELETE FROM jobs WHERE id < ?", [i64::try_from(below)?])?;
        Ok(())
    }

    pub(crate) fn channel(&self, id: B256) -> eyre::Result<Option<Channel>> {
        read(&self.database(), id)
    }

    /// All channels.
    pub(crate) fn channels(&self) -> eyre::Result<Vec<Channel>> {
        let database = self.database();
        let mut statement = database.prepare("SELECT id FROM channels")?;
        let ids = statement.query_map((), |row| row.get::<_, [u8; 32]>(0))?.collect::<Result<Vec<_>, _>>()?;
        let mut channels = Vec::new();
        for id in ids {
            channels.extend(read(&database, B256::from(id))?);
        }
        Ok(channels)
    }
}

fn read(database: &Connection, id: B256) -> eyre::Result<Option<Channel>> {
    let query = "SELECT config, charged, signed, signature FROM channels WHERE id = ?";
    let row = database
        .query_row(query, [id.as_slice()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 16]>(1)?, row.get::<_, [u8; 16]>(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((config, charged, signed, signature)) = row else { return Ok(None) };
    Ok(Some(Channel {
        id,
        config: serde_json::from_str(&config)?,
        charged: u128::from_be_bytes(charged),
        signed: u128::from_be_bytes(signed),
        signature,
    }))
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        io::{BufRead, BufReader, Write},
        process::{Command, Stdio},
    };

    use alloy::primitives::Address;

    use super::*;

    const FOLDER: &str = "PLIMSOLL_NODE_TEST_STORE";
    const CEILING: u128 = 10;
    const CHARGE: u128 = 7;

    fn voucher(max: u128) -> CheckedVoucher {
        let [payer, payer_authorizer, receiver, receiver_authorizer, token] = [Address::repeat_byte(1); 5];
        let salt = B256::ZERO;
        let config =
            WireConfig { payer, payer_authorizer, receiver, receiver_authorizer, token, withdraw_delay: 3_600, salt };
        CheckedVoucher { id: B256::repeat_byte(3), config, max, signature: max.to_be_bytes().to_vec() }
    }

    #[test]
    fn a_channel_serves_one_request_at_a_time_for_its_exact_sum() -> eyre::Result<()> {
        let folder = tempfile::tempdir()?;
        let store = Store::open(&folder.path().join("store.sqlite"))?;
        assert!(Store::open(&folder.path().join("store.sqlite")).is_err(), "a second process");
        let Reserved::Yes { charged: 0, reservation } = store.reserve(&voucher(10), CEILING, 0)? else {
            bail!("not reserved")
        };
        assert!(matches!(store.reserve(&voucher(10), CEILING, 0)?, Reserved::Busy));
        assert!(store.charge(&voucher(10), 11, 0, None, None).is_err(), "above the ceiling");
        assert_eq!(reservation.charge(&voucher(10), CHARGE, 100, Some((B256::ZERO, "answer")), None)?, 7);
        assert!(store.charge(&voucher(10), CHARGE, 0, None, None).is_err(), "charged twice");
        for wrong in [0, 10, 16, 18, u128::MAX] {
            let reserved = store.reserve(&voucher(wrong), CEILING, 0)?;
            assert!(matches!(reserved, Reserved::Mismatch { charged: 7, last: Some((10, _)) }), "{reserved:?}");
        }
        assert_eq!(store.replay(&voucher(10), B256::ZERO, 100)?.as_deref(), Some("answer"));
        assert_eq!(store.replay(&voucher(11), B256::ZERO, 100)?, None);
        assert_eq!(store.replay(&voucher(10), B256::ZERO, 101)?, None, "too old");
        // The chain knows of claims that a restored store does not.
        assert!(matches!(store.reserve(&voucher(17), CEILING, 20)?, Reserved::Mismatch { charged: 20, last: None }));
        assert!(matches!(store.reserve(&voucher(30), CEILING, 20)?, Reserved::Yes { charged: 20, .. }));
        Ok(())
    }

    #[test]
    fn a_panic_in_a_request_leaves_its_channel_free() -> eyre::Result<()> {
        let folder = tempfile::tempdir()?;
        let store = Store::open(&folder.path().join("store.sqlite"))?;
        let reserving = Arc::clone(&store);
        let panicked = std::thread::spawn(move || {
            let reserved = reserving.reserve(&voucher(10), CEILING, 0);
            assert!(reserved.is_err(), "on purpose: {reserved:?}");
        });
        assert!(panicked.join().is_err());
        let Reserved::Yes { charged: 0, reservation } = store.reserve(&voucher(10), CEILING, 0)? else {
            bail!("the channel is still reserved")
        };
        // A reservation that has ended does not end a later one.
        reservation.charge(&voucher(10), CHARGE, 0, None, None)?;
        let later = store.reserve(&voucher(17), CEILING, 0)?;
        assert!(matches!(store.reserve(&voucher(17), CEILING, 0)?, Reserved::Busy), "{later:?}");
        Ok(())
    }

    #[test]
    fn a_days_budget_and_what_was_signed_survive_a_restart() -> eyre::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("store.sqlite");
        let store = Store::open(&path)?;
        assert!(store.spend("x", 5, 3, 4)?);
        assert!(!store.spend("x", 5, 2, 4)?);
        assert!(store.spend("y", 5, 2, 4)?);
        let secret = store.secret("jobs")?;
        store.keep_job(3, &KeptJob { input: vec![1], answer: Some((vec![2], secret)) })?;
        drop(store);
        let store = Store::open(&path)?;
        assert!(!store.spend("x", 5, 2, 4)?);
        assert!(store.spend("x", 5, 1, 4)?);
        assert!(store.spend("x", 6, 4, 4)?, "another day");
        assert_eq!(store.secret("jobs")?, secret);
        assert_eq!(store.job(3)?.and_then(|job| job.answer), Some((vec![2], secret)));
        store.forget_jobs(4)?;
        assert!(store.job(3)?.is_none());
        Ok(())
    }

    #[test]
    fn terms_cannot_change_under_channels() -> eyre::Result<()> {
        let folder = tempfile::tempdir()?;
        let store = Store::open(&folder.path().join("store.sqlite"))?;
        store.keep_terms("a")?;
        store.keep_terms("b")?;
        let reserved = store.reserve(&voucher(10), CEILING, 0)?;
        drop(reserved);
        assert!(store.keep_terms("c").unwrap_err().to_string().contains("channels of b"));
        store.keep_terms("b")
    }

    /// Serves for ever when it is started by the test below, and says what it promised after each step.
    #[test]
    fn serving_process() -> eyre::Result<()> {
        let Ok(folder) = env::var(FOLDER) else { return Ok(()) };
        let store = Store::open(&Path::new(&folder).join("store.sqlite"))?;
        let mut stdout = std::io::stdout().lock();
        let mut charged = store.channel(voucher(0).id)?.map_or(0, |channel| channel.charged);
        loop {
            let voucher = voucher(charged + CEILING);
            let Reserved::Yes { reservation, .. } = store.reserve(&voucher, CEILING, 0)? else { bail!("not reserved") };
            writeln!(stdout, "\nserved {}", voucher.max)?;
            charged = reservation.charge(&voucher, CHARGE, 0, None, None)?;
            writeln!(stdout, "\ncharged {charged}")?;
        }
    }

    #[test]
    fn what_was_promised_survives_a_kill_at_any_time() -> eyre::Result<()> {
        let folder = tempfile::tempdir()?;
        for round in 0..25_usize {
            let mut child = Command::new(env::current_exe()?)
                .args(["--exact", "store::tests::serving_process", "--nocapture"])
                .env(FOLDER, folder.path())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            let (mut served, mut charged, mut seen) = (0, 0, 0);
            let mut note = |line: String| -> eyre::Result<usize> {
                if let Some(sum) = line.strip_prefix("served ") {
                    served = sum.parse()?;
                } else if let Some(sum) = line.strip_prefix("charged ") {
                    charged = sum.parse()?;
                } else {
                    return Ok(0);
                }
                Ok(1)
            };
            while seen < 3 + 7 * round {
                seen += note(lines.next().expect("it serves for ever")?)?;
            }
            child.kill()?;
            child.wait()?;
            for line in lines.map_while(Result::ok) {
                // The last line may be cut off.
                note(line).ok();
            }
            let store = Store::open(&folder.path().join("store.sqlite"))?;
            let kept = store.channel(voucher(0).id)?.expect("the channel is known");
            ensure!(kept.signed >= served, "an answer left whose voucher {served} is not on disk: {kept:?}");
            ensure!(kept.charged >= charged, "a charge of {charged} was told and is not on disk: {kept:?}");
            // At most the step that was killed is ahead of what was told; nothing is charged for it twice.
            ensure!(kept.charged <= charged + 2 * CHARGE && kept.charged % CHARGE == 0, "{kept:?} after {charged}");
            ensure!(
                kept.signed == kept.charged + CEILING || kept.signed + CHARGE == kept.charged + CEILING,
                "{kept:?}"
            );
            ensure!(kept.signature == kept.signed.to_be_bytes(), "{kept:?}");
            let next = voucher(kept.charged + CEILING);
            let Reserved::Yes { reservation, .. } = store.reserve(&next, CEILING, 0)? else { bail!("not reserved") };
            reservation.charge(&next, 0, 0, None, None)?;
        }
        Ok(())
    }
}
