//! PostgreSQL as the store of what belongs to signers: journal, leases, claims, safety records, results. Several keepers of
//! one operator share it.
//!
//! Every write is one statement, so it is one round trip and one commit, and it names the fence under which it is made: a
//! keeper whose lease was taken over writes nothing any more. All times are by the server's clock.

mod journal;
mod tls;

use std::{error::Error, fmt, ops::Range, sync::Arc, time::Duration};

use alloy::primitives::B256;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_postgres::{
    Client, Connection, NoTls, Row, Socket,
    config::Host,
    tls::TlsStream,
    types::{FromSql, ToSql, Type},
};
use tracing::{info, warn};

use self::tls::Security;
use super::{Identity, StoreError, results::ResultRow};
use crate::config::Postgres;

/// Version of the tables.
const SCHEMA: i32 = 2;
/// SQL that brings the tables from each version to the next, the first from none to 1.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), "CREATE INDEX ON plimsoll.results (deployment, at, intent)"];
/// Lowest version of the server, as `server_version_num` has it: the oldest that PostgreSQL maintains.
const MIN_SERVER: i32 = 150_000;
/// Key of the lock under which one keeper at a time migrates.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"plimsoll");
/// Time limit of a connection attempt, and of a statement.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A parameter of a statement and its type.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The URL is not one of a database.
    #[error("the URL in `postgres` of [store] cannot be used: {problem}")]
    Url {
        /// What is wrong with it.
        problem: String,
    },
    /// It cannot be reached, or refused the connection.
    #[error(
        "PostgreSQL at {server} cannot be reached: {problem}; start it, or correct the URL in `postgres` of [store]"
    )]
    Unreachable {
        /// Host, port and database.
        server: String,
        /// What went wrong.
        problem: String,
    },
    /// A statement failed, or was not answered in time.
    #[error("PostgreSQL at {server}: {problem}")]
    Statement {
        /// Host, port and database.
        server: String,
        /// What went wrong.
        problem: String,
    },
    /// The server is too old.
    #[error("PostgreSQL at {server} has version {has}, and the keeper needs 15 or newer: upgrade the server")]
    TooOld {
        /// Host, port and database.
        server: String,
        /// Its version.
        has: String,
    },
    /// The server is a replica.
    #[error("PostgreSQL at {server} is a replica, which cannot be written: name the primary")]
    Replica {
        /// Host, port and database.
        server: String,
    },
    /// A commit returns before it is on disk.
    #[error(
        "PostgreSQL at {server} has synchronous_commit = off, with which it may lose transactions that were broadcast: set \
         it to on"
    )]
    AsynchronousCommit {
        /// Host, port and database.
        server: String,
    },
    /// The tables were written by a newer keeper.
    #[error(
        "PostgreSQL at {server} has version {has} of the keeper's tables, and this keeper knows version {SCHEMA}: run the \
         keeper that wrote them, or give this one a database of its own"
    )]
    Schema {
        /// Host, port and database.
        server: String,
        /// Version of the tables.
        has: i32,
    },
    /// A row is not what a keeper wrote.
    #[error("PostgreSQL at {server} holds a row that no keeper wrote ({problem}): restore the database from a backup")]
    Damaged {
        /// Host, port and database.
        server: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A database that keepers share, as one of them uses it.
pub struct Server {
    config: tokio_postgres::Config,
    security: Security,
    /// Host, port and database, for people.
    shown: String,
    /// Time for which a lease lasts after it was renewed.
    term: Duration,
    name: String,
    /// Id of this keeper, new with each start.
    member: String,
    identity: Identity,
    deployment: i32,
    connection: Mutex<Option<Arc<Client>>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("server", &self.shown).field("member", &self.member).finish_non_exhaustive()
    }
}

impl Server {
    /// Connects, and creates or migrates the tables where that is due. Fails if the server is too old or a replica, commits
    /// asynchronously, or holds tables of a newer keeper.
    pub async fn open(settings: &Postgres, identity: &Identity) -> Result<Self, StoreError> {
        let mut server = Self::new(settings, identity)?;
        let client = server.connect().await?;
        server.migrate(&client).await?;
        server.deployment = server.deployment_id(&client).await?;
        *server.connection.get_mut() = Some(Arc::new(client));
        Ok(server)
    }

    /// Connects, and creates nothing. Returns `None` where the tables are older than this keeper's, or missing. Fails as
    /// [`Server::open`] does.
    pub async fn inspect(settings: &Postgres, identity: &Identity) -> Result<Option<Self>, StoreError> {
        let mut server = Self::new(settings, identity)?;
        let client = server.connect().await?;
        if server.schema(&client).await? != SCHEMA {
            return Ok(None);
        }
        let Some(deployment) = server.find_deployment(&client).await? else { return Ok(None) };
        server.deployment = deployment;
        *server.connection.get_mut() = Some(Arc::new(client));
        Ok(Some(server))
    }

    fn new(settings: &Postgres, identity: &Identity) -> Result<Self, StoreError> {
        let (mut config, security) =
            tls::parse(settings.url.expose()).map_err(|problem| ServerError::Url { problem })?;
        config.application_name("plimsoll-keeper").connect_timeout(TIMEOUT);
        Ok(Self {
            shown: shown(&config),
            config,
            security,
            term: settings.lease,
            name: settings.name.clone(),
            member: format!("{:08x}", rand_id()),
            identity: *identity,
            deployment: 0,
            connection: Mutex::new(None),
        })
    }

    /// Measures the time of a round trip, and returns whether the server's commits survive a loss of power.
    pub async fn measure(&self) -> Result<(Duration, bool), StoreError> {
        let started = Instant::now();
        let rows = self.query("SELECT current_setting('fsync')", &[]).await?;
        let took = started.elapsed();
        let fsync: String = self.get(rows.first().ok_or_else(|| self.damaged("no settings"))?, 0)?;
        Ok((took, fsync == "on"))
    }

    /// Whether the connection is encrypted, and whether the server has proven who it is.
    #[must_use]
    pub const fn security(&self) -> (bool, bool) {
        (!matches!(self.security, Security::Plain), matches!(self.security, Security::Verified(_)))
    }

    /// Host, port and database, for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    async fn connect(&self) -> Result<Client, ServerError> {
        let connecting = async {
            match self.security.clone() {
                Security::Plain => Ok(keep(self.config.connect(NoTls).await?)),
                Security::Encrypted(tls) | Security::Verified(tls) => Ok(keep(self.config.connect(tls).await?)),
            }
        };
        let connected = timeout(TIMEOUT, connecting).await;
        let connected = connected.map_err(|_| self.unreachable("no answer within 2 s".to_owned()))?;
        let client = connected.map_err(|error: tokio_postgres::Error| self.unreachable(text(&error)))?;
        self.examine(&client).await?;
        Ok(client)
    }

    /// Checks that the server is one that can be written, and keeps what it has committed.
    async fn examine(&self, client: &Client) -> Result<(), ServerError> {
        let server = || self.shown.clone();
        let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                   pg_is_in_recovery(), current_setting('synchronous_commit')";
        let rows = self.run(client, sql, &[]).await?;
        let row = rows.first().ok_or_else(|| self.damaged("no settings"))?;
        let (version, has) = (self.get::<i32>(row, 0)?, self.get::<String>(row, 1)?);
        if version < MIN_SERVER {
            return Err(ServerError::TooOld { server: server(), has });
        }
        if self.get::<bool>(row, 2)? {
            return Err(ServerError::Replica { server: server() });
        }
        if self.get::<String>(row, 3)? == "off" {
            return Err(ServerError::AsynchronousCommit { server: server() });
        }
        Ok(())
    }

    /// Returns the version of the tables; 0 where there are none. Fails if a newer keeper wrote them.
    async fn schema(&self, client: &Client) -> Result<i32, ServerError> {
        let sql = "SELECT to_regclass('plimsoll.meta') IS NOT NULL";
        let rows = self.run(client, sql, &[]).await?;
        if !self.get::<bool>(rows.first().ok_or_else(|| self.damaged("no answer"))?, 0)? {
            return Ok(0);
        }
        let rows = self.run(client, "SELECT schema FROM plimsoll.meta", &[]).await?;
        let has = self.get::<i32>(rows.first().ok_or_else(|| self.damaged("no version"))?, 0)?;
        if has > SCHEMA { Err(ServerError::Schema { server: self.shown.clone(), has }) } else { Ok(has) }
    }

    /// Brings the tables to this keeper's version, all or nothing, while no other keeper does.
    async fn migrate(&self, client: &Client) -> Result<(), ServerError> {
        self.batch(client, &format!("BEGIN; SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
        let has = self.schema(client).await?;
        if has == SCHEMA {
            return self.batch(client, "COMMIT").await;
        }
        let begin = "CREATE SCHEMA IF NOT EXISTS plimsoll;
            CREATE TABLE IF NOT EXISTS plimsoll.meta (only_row bool PRIMARY KEY DEFAULT true CHECK (only_row), schema int NOT NULL);";
        self.batch(client, begin).await?;
        for migration in MIGRATIONS.iter().skip(usize::try_from(has).unwrap_or(usize::MAX)) {
            self.batch(client, migration).await?;
        }
        let end = format!(
            "INSERT INTO plimsoll.meta (schema) VALUES ({SCHEMA}) ON CONFLICT (only_row) DO UPDATE SET schema = {SCHEMA}; \
             COMMIT"
        );
        self.batch(client, &end).await?;
        info!(server = self.shown, from = has, to = SCHEMA, "tables in PostgreSQL migrated");
        Ok(())
    }

    async fn find_deployment(&self, client: &Client) -> Result<Option<i32>, ServerError> {
        let (chain_id, genesis, core) = self.identity_texts();
        let sql = "SELECT id FROM plimsoll.deployments WHERE chain_id = $1 AND genesis = $2 AND core = $3";
        let parameters: [Parameter<'_>; 3] = [(&chain_id, Type::INT8), (&genesis, Type::TEXT), (&core, Type::TEXT)];
        let rows = self.run(client, sql, &parameters).await?;
        rows.first().map(|row| self.get(row, 0)).transpose()
    }

    async fn deployment_id(&self, client: &Client) -> Result<i32, ServerError> {
        let (chain_id, genesis, core) = self.identity_texts();
        let sql =
            "INSERT INTO plimsoll.deployments (chain_id, genesis, core) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let parameters: [Parameter<'_>; 3] = [(&chain_id, Type::INT8), (&genesis, Type::TEXT), (&core, Type::TEXT)];
        self.run(client, sql, &parameters).await?;
        self.find_deployment(client).await?.ok_or_else(|| self.damaged("no deployment"))
    }

    fn identity_texts(&self) -> (i64, String, String) {
        let Identity { chain_id, genesis, core, .. } = self.identity;
        (signed(chain_id), genesis.to_string(), core.to_string())
    }

    /// Runs a statement, after connecting again where the connection was lost. After an error it is unknown whether a write
    /// was committed.
    async fn query(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, ServerError> {
        let client = self.connected().await?;
        let answer = self.run(&client, sql, parameters).await;
        if matches!(answer, Err(ServerError::Statement { .. })) {
            let mut connection = self.connection.lock().await;
            if connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, &client)) {
                *connection = None;
            }
        }
        answer
    }

    async fn connected(&self) -> Result<Arc<Client>, ServerError> {
        let mut connection = self.connection.lock().await;
        match connection.as_ref().filter(|client| !client.is_closed()) {
            Some(client) => Ok(Arc::clone(client)),
            None => {
                *connection = None;
                let client = Arc::new(self.connect().await?);
                *connection = Some(Arc::clone(&client));
                Ok(client)
            }
        }
    }

    async fn run(&self, client: &Client, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, ServerError> {
        let parameters: Vec<_> = parameters.iter().map(|(value, kind)| (*value, kind.clone())).collect();
        match timeout(TIMEOUT, client.query_typed(sql, &parameters)).await {
            Ok(answer) => answer.map_err(|error| self.failed(text(&error))),
            Err(_) => Err(self.failed("no answer within 2 s".to_owned())),
        }
    }

    async fn batch(&self, client: &Client, sql: &str) -> Result<(), ServerError> {
        client.batch_execute(sql).await.map_err(|error| self.failed(text(&error)))
    }

    fn get<'r, T: FromSql<'r>>(&self, row: &'r Row, column: usize) -> Result<T, ServerError> {
        row.try_get(column).map_err(|error| self.damaged(&error.to_string()))
    }

    fn unreachable(&self, problem: String) -> ServerError {
        ServerError::Unreachable { server: self.shown.clone(), problem }
    }

    fn failed(&self, problem: String) -> ServerError {
        ServerError::Statement { server: self.shown.clone(), problem }
    }

    fn damaged(&self, problem: &str) -> ServerError {
        ServerError::Damaged { server: self.shown.clone(), problem: problem.to_owned() }
    }
}

impl Server {
    /// Writes the result of an intent, in place of an earlier one.
    pub async fn record_result(&self, row: &ResultRow) -> Result<(), StoreError> {
        let result = serde_json::to_string(row).map_err(|error| self.damaged(&error.to_string()))?;
        let (intent, at) = (signed(row.intent), signed(row.at));
        let sql = "INSERT INTO plimsoll.results (deployment, intent, at, result) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (deployment, intent) DO UPDATE SET at = excluded.at, result = excluded.result";
        let parameters: [Parameter<'_>; 4] =
            [(&self.deployment, Type::INT4), (&intent, Type::INT8), (&at, Type::INT8), (&result, Type::TEXT)];
        Ok(self.query(sql, &parameters).await.map(drop)?)
    }

    /// Deletes the result of an intent, if there is one.
    pub async fn take_back_result(&self, intent: u64) -> Result<(), StoreError> {
        let sql = "DELETE FROM plimsoll.results WHERE deployment = $1 AND intent = $2";
        let intent = signed(intent);
        let parameters: [Parameter<'_>; 2] = [(&self.deployment, Type::INT4), (&intent, Type::INT8)];
        Ok(self.query(sql, &parameters).await.map(drop)?)
    }

    /// Reads the newest results of every member, at most so many, the newest first. One that cannot be read is left out: what a
    /// keeper wants them for is not worth its start.
    pub async fn newest_results(&self, max: usize) -> Result<Vec<ResultRow>, StoreError> {
        // Not by intent: the ids of a member that started later are higher than all of one that started before.
        let sql = "SELECT result FROM plimsoll.results WHERE deployment = $1 ORDER BY at DESC, intent DESC LIMIT $2";
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 2] = [(&self.deployment, Type::INT4), (&max, Type::INT8)];
        Ok(self.query(sql, &parameters).await?.iter().filter_map(|row| self.result_of(row).ok()).collect())
    }

    fn result_of(&self, row: &Row) -> Result<ResultRow, ServerError> {
        serde_json::from_str(&self.get::<String>(row, 0)?).map_err(|error| self.damaged(&error.to_string()))
    }

    /// Reads the results of a span of time in seconds, of every member, the oldest first.
    pub async fn read_results(&self, time: Range<u64>) -> Result<Vec<ResultRow>, StoreError> {
        let sql =
            "SELECT result FROM plimsoll.results WHERE deployment = $1 AND at >= $2 AND at < $3 ORDER BY at, intent";
        let (first, end) = (signed(time.start), signed(time.end));
        let parameters: [Parameter<'_>; 3] = [(&self.deployment, Type::INT4), (&first, Type::INT8), (&end, Type::INT8)];
        Ok(self.query(sql, &parameters).await?.iter().map(|row| self.result_of(row)).collect::<Result<_, _>>()?)
    }
}

/// PostgreSQL's integers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An id that no other start has.
fn rand_id() -> u32 {
    let bytes = B256::random();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The server's own words where it said something, without the URL.
fn text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(answer) => format!("{} ({})", answer.message(), answer.code().code()),
        None => {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            format!("{error}{cause}")
        }
    }
}

fn shown(config: &tokio_postgres::Config) -> String {
    let hosts: Vec<_> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let port = config.get_ports().first().copied().unwrap_or(5_432);
    format!("{}:{port}/{}", hosts.join(","), config.get_dbname().unwrap_or("postgres"))
}

/// Runs a connection for as long as its client is used.
fn keep<T: TlsStream + Unpin + Send + 'static>((client, connection): (Client, Connection<Socket, T>)) -> Client {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            warn!(error = text(&error), "connection to PostgreSQL lost");
        }
    });
    client
}
