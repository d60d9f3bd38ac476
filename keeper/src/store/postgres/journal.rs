//! The journal in PostgreSQL: every write is made under the fence of a lease, in one statement.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{Address, Bytes};
use tokio_postgres::types::Type;

use super::{Parameter, Server, ServerError, StoreError, signed, unsigned};
use crate::{
    safety::SafetyRecord,
    sender::{
        fleet::{FleetStatus, LeaseStatus, Member},
        journal::{Claim, Journal, JournalEntry, JournalError, Lease, Recovered},
    },
};

/// Condition by which a row of `leases` is held under a fence by this keeper. Evaluated again when a take-over that was under
/// way has been committed.
const HELD: &str = "SELECT 1 AS held FROM plimsoll.leases WHERE chain_id = $1 AND genesis = $2 AND signer = $3 \
                    AND holder = $4 AND fence = $5 AND until > clock_timestamp() FOR SHARE";

impl From<ServerError> for JournalError {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Damaged { .. } => Self::Failed { problem: error.to_string() },
            _ => Self::Unavailable { problem: error.to_string() },
        }
    }
}

impl From<ServerError> for StoreError {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

impl Server {
    /// The parameters of [`HELD`].
    fn held<'a>(
        &'a self,
        texts: &'a (i64, String, String),
        signer: &'a String,
        lease: &'a Lease,
    ) -> Vec<Parameter<'a>> {
        vec![
            (&texts.0, Type::INT8),
            (&texts.1, Type::TEXT),
            (signer, Type::TEXT),
            (&self.member, Type::TEXT),
            (&lease.fence, Type::INT8),
        ]
    }

    /// Deletes what is no longer needed: entries that were settled this long before the newest change, by the chain's clock,
    /// claims that ended long ago, members that were not seen for a day. Returns the number of deleted entries.
    pub(in crate::store) async fn prune(&self, retention: Duration) -> Result<usize, StoreError> {
        let retention = signed(retention.as_secs());
        let sql = "DELETE FROM plimsoll.entries AS e WHERE deployment = $1 AND settled \
            AND changed_at + $2 < (SELECT max(changed_at) FROM plimsoll.entries WHERE deployment = $1) \
            AND nonce < (SELECT max(nonce) FROM plimsoll.entries AS o WHERE o.deployment = $1 AND o.signer = e.signer) \
            RETURNING 1";
        let rows = self.query(sql, &[(&self.deployment, Type::INT4), (&retention, Type::INT8)]).await?;
        let claims = "DELETE FROM plimsoll.claims WHERE deployment = $1 \
            AND ended_in + 1000 < (SELECT max(head) FROM plimsoll.members WHERE deployment = $1)";
        self.query(claims, &[(&self.deployment, Type::INT4)]).await?;
        self.query("DELETE FROM plimsoll.members WHERE seen < clock_timestamp() - interval '1 day'", &[]).await?;
        Ok(rows.len())
    }

    /// Reads the safety record of a signer.
    pub(in crate::store) async fn safety_record(&self, signer: Address) -> Result<Option<SafetyRecord>, ServerError> {
        let signer = signer.to_string();
        let sql = "SELECT record FROM plimsoll.safety WHERE deployment = $1 AND signer = $2";
        let rows = self.query(sql, &[(&self.deployment, Type::INT4), (&signer, Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let text: String = self.get(row, 0)?;
        serde_json::from_str(&text).map(Some).map_err(|error| self.damaged(&error.to_string()))
    }

    /// Writes the safety record of a signer, if this keeper holds its lease; else it is another keeper's to write.
    pub(in crate::store) async fn write_safety_record(
        &self,
        signer: Address,
        record: &SafetyRecord,
    ) -> Result<(), ServerError> {
        let (chain_id, genesis, _) = self.identity_texts();
        let signer = signer.to_string();
        let record = serde_json::to_string(record).map_err(|error| self.damaged(&error.to_string()))?;
        let sql = "WITH held AS (SELECT 1 FROM plimsoll.leases WHERE chain_id = $1 AND genesis = $2 AND signer = $3 \
                AND holder = $4 AND until > clock_timestamp() FOR SHARE) \
            INSERT INTO plimsoll.safety (deployment, signer, record) SELECT $5, $3, $6 FROM held \
            ON CONFLICT (deployment, signer) DO UPDATE SET record = excluded.record";
        let parameters: [Parameter<'_>; 6] = [
            (&chain_id, Type::INT8),
            (&genesis, Type::TEXT),
            (&signer, Type::TEXT),
            (&self.member, Type::TEXT),
            (&self.deployment, Type::INT4),
            (&record, Type::TEXT),
        ];
        self.query(sql, &parameters).await.map(drop)
    }

    /// Reads who is there and who holds which lease.
    pub async fn status(&self) -> Result<FleetStatus, ServerError> {
        let (chain_id, genesis, _) = self.identity_texts();
        let term = signed(u64::try_from(self.term.as_millis()).unwrap_or(u64::MAX));
        let sql = "SELECT id, name, head, (extract(epoch FROM clock_timestamp() - seen) * 1000)::bigint \
            FROM plimsoll.members WHERE deployment = $1 ORDER BY name, id";
        let mut members = Vec::new();
        for row in self.query(sql, &[(&self.deployment, Type::INT4)]).await? {
            let seen_ms: i64 = self.get(&row, 3)?;
            let id: String = self.get(&row, 0)?;
            members.push(Member {
                is_self: id == self.member,
                id,
                name: self.get(&row, 1)?,
                head: unsigned(self.get(&row, 2)?),
                seen_secs_ago: unsigned(seen_ms / 1_000),
                is_live: seen_ms <= term,
            });
        }
        let sql = "SELECT signer, holder, fence, (extract(epoch FROM until - clock_timestamp()) * 1000)::bigint \
            FROM plimsoll.leases WHERE chain_id = $1 AND genesis = $2 AND fence > 0 ORDER BY signer";
        let mut leases = Vec::new();
        for row in self.query(sql, &[(&chain_id, Type::INT8), (&genesis, Type::TEXT)]).await? {
            let signer: String = self.get(&row, 0)?;
            leases.push(LeaseStatus {
                signer: signer.parse().map_err(|_| self.damaged(&signer))?,
                holder: self.get(&row, 1)?,
                fence: self.get(&row, 2)?,
                expires_in_ms: self.get(&row, 3)?,
            });
        }
        Ok(FleetStatus { server: self.shown.clone(), is_reachable: true, members, leases })
    }

    fn parse_entry(&self, row: &tokio_postgres::Row) -> Result<JournalEntry, ServerError> {
        let text: String = self.get(row, 0)?;
        serde_json::from_str(&text).map_err(|error| self.damaged(&error.to_string()))
    }
}

impl Journal for Server {
    fn lease_term(&self) -> Option<Duration> {
        Some(self.term)
    }

    async fn acquire(&self, signers: &[Address]) -> Result<Option<Lease>, JournalError> {
        let (chain_id, genesis, _) = self.identity_texts();
        let signers: Vec<_> = signers.iter().map(Address::to_string).collect();
        let term = self.term.as_secs_f64();
        let sql = "INSERT INTO plimsoll.leases (chain_id, genesis, signer, holder, fence, until) \
            SELECT $1, $2, signer, '', 0, 'epoch' FROM unnest($3) AS signer ON CONFLICT DO NOTHING";
        let key: [Parameter<'_>; 3] = [(&chain_id, Type::INT8), (&genesis, Type::TEXT), (&signers, Type::TEXT_ARRAY)];
        self.query(sql, &key).await?;
        let sql = "WITH locked AS (SELECT holder, until, fence FROM plimsoll.leases \
                WHERE chain_id = $1 AND genesis = $2 AND signer = ANY($3) ORDER BY signer FOR UPDATE), \
            state AS (SELECT bool_and(until < clock_timestamp() OR holder = $4) AS free, CASE WHEN bool_and(holder = $4) THEN max(fence) END AS previous \
                FROM locked), \
            next AS (SELECT nextval('plimsoll.fences') AS fence FROM state WHERE free) \
            UPDATE plimsoll.leases SET holder = $4, fence = next.fence, until = clock_timestamp() + make_interval(secs => $5) \
            FROM state, next WHERE state.free AND chain_id = $1 AND genesis = $2 AND signer = ANY($3) \
                AND (until < clock_timestamp() OR holder = $4) \
            RETURNING next.fence, state.previous";
        let parameters: [Parameter<'_>; 5] = [
            (&chain_id, Type::INT8),
            (&genesis, Type::TEXT),
            (&signers, Type::TEXT_ARRAY),
            (&self.member, Type::TEXT),
            (&term, Type::FLOAT8),
        ];
        let rows = self.query(sql, &parameters).await?;
        let Some(row) = rows.first().filter(|_| rows.len() == signers.len()) else { return Ok(None) };
        let lease = Lease { fence: self.get(row, 0)?, previous: self.get(row, 1)? };
        // A claim without an entry is of an intent that its keeper did not live to sign.
        let sql = "UPDATE plimsoll.claims AS c SET ended_in = 0 WHERE deployment = $1 AND signer = ANY($2) \
            AND ended_in IS NULL AND NOT EXISTS (SELECT FROM plimsoll.entries AS e \
                WHERE e.deployment = $1 AND e.signer = c.signer AND e.id = c.intent)";
        if lease.previous.is_none() {
            self.query(sql, &[(&self.deployment, Type::INT4), (&signers, Type::TEXT_ARRAY)]).await?;
        }
        Ok(Some(lease))
    }

    async fn heartbeat(&self, lease: Option<Lease>, head: u64) -> Result<FleetStatus, JournalError> {
        let (chain_id, genesis, _) = self.identity_texts();
        if let Some(lease) = lease {
            let term = self.term.as_secs_f64();
            let sql = "UPDATE plimsoll.leases SET until = clock_timestamp() + make_interval(secs => $5) \
                WHERE chain_id = $1 AND genesis = $2 AND holder = $3 AND fence = $4 RETURNING 1";
            let parameters: [Parameter<'_>; 5] = [
                (&chain_id, Type::INT8),
                (&genesis, Type::TEXT),
                (&self.member, Type::TEXT),
                (&lease.fence, Type::INT8),
                (&term, Type::FLOAT8),
            ];
            if self.query(sql, &parameters).await?.is_empty() {
                return Err(JournalError::Fenced);
            }
        }
        let head = signed(head);
        let sql = "INSERT INTO plimsoll.members (id, deployment, name, head, seen) VALUES ($1, $2, $3, $4, clock_timestamp()) \
            ON CONFLICT (id) DO UPDATE SET head = excluded.head, seen = excluded.seen";
        let parameters: [Parameter<'_>; 4] =
            [(&self.member, Type::TEXT), (&self.deployment, Type::INT4), (&self.name, Type::TEXT), (&head, Type::INT8)];
        self.query(sql, &parameters).await?;
        Ok(self.status().await?)
    }

    async fn release(&self, lease: Lease) -> Result<(), JournalError> {
        let (chain_id, genesis, _) = self.identity_texts();
        let sql = "UPDATE plimsoll.leases SET until = 'epoch' \
            WHERE chain_id = $1 AND genesis = $2 AND holder = $3 AND fence = $4";
        let parameters: [Parameter<'_>; 4] =
            [(&chain_id, Type::INT8), (&genesis, Type::TEXT), (&self.member, Type::TEXT), (&lease.fence, Type::INT8)];
        Ok(self.query(sql, &parameters).await.map(drop)?)
    }

    async fn leave(&self) -> Result<(), JournalError> {
        let sql = "DELETE FROM plimsoll.members WHERE id = $1";
        Ok(self.query(sql, &[(&self.member, Type::TEXT)]).await.map(drop)?)
    }

    async fn recover(&self, signer: Address) -> Result<Recovered, JournalError> {
        let signer = signer.to_string();
        let key: [Parameter<'_>; 2] = [(&self.deployment, Type::INT4), (&signer, Type::TEXT)];
        let sql = "SELECT max(nonce) FROM plimsoll.entries WHERE deployment = $1 AND signer = $2";
        let rows = self.query(sql, &key).await?;
        let highest: Option<i64> = rows.first().map(|row| self.get(row, 0)).transpose()?.flatten();
        let sql = "SELECT entry FROM plimsoll.entries WHERE deployment = $1 AND signer = $2 AND NOT settled";
        let rows = self.query(sql, &key).await?;
        let unsettled = rows.iter().map(|row| self.parse_entry(row)).collect::<Result<_, _>>()?;
        Ok(Recovered { next_nonce: highest.map(|nonce| unsigned(nonce).saturating_add(1)), unsettled })
    }

    async fn next_id(&self) -> Result<u64, JournalError> {
        let rows = self.query("SELECT nextval('plimsoll.ids')", &[]).await?;
        Ok(unsigned(self.get(rows.first().ok_or_else(|| self.damaged("no id"))?, 0)?))
    }

    async fn record(&self, lease: Lease, entries: Vec<JournalEntry>) -> Result<(), JournalError> {
        let Some(signer) = entries.first().map(|entry| entry.signer.to_string()) else { return Ok(()) };
        let texts = self.identity_texts();
        let (mut ids, mut nonces, mut states) = (Vec::new(), Vec::new(), Vec::new());
        let (mut settled, mut changed, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        for mut entry in entries {
            if entry.state.is_settled() {
                // The bytes are not broadcast again, and they are most of an entry's size.
                entry.attempts.iter_mut().for_each(|attempt| attempt.raw = Bytes::new());
            }
            ids.push(signed(entry.id));
            nonces.push(signed(entry.nonce));
            states.push(entry.state.name());
            settled.push(entry.state.is_settled());
            changed.push(signed(entry.changed_at));
            bodies.push(serde_json::to_string(&entry).map_err(|error| self.damaged(&error.to_string()))?);
        }
        let sql = format!(
            "WITH lease AS ({HELD}), written AS (INSERT INTO plimsoll.entries \
                    (deployment, signer, id, nonce, state, settled, changed_at, fence, entry) \
                SELECT $6, $3, id, nonce, state, settled, changed_at, $5, entry FROM lease, \
                    unnest($7, $8, $9, $10, $11, $12) AS e (id, nonce, state, settled, changed_at, entry) \
                ON CONFLICT (deployment, signer, id) DO UPDATE SET nonce = excluded.nonce, state = excluded.state, \
                    settled = excluded.settled, changed_at = excluded.changed_at, fence = excluded.fence, \
                    entry = excluded.entry RETURNING 1) \
             SELECT count(*) FROM written"
        );
        let mut parameters = self.held(&texts, &signer, &lease);
        parameters.extend([
            (&self.deployment as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT4),
            (&ids, Type::INT8_ARRAY),
            (&nonces, Type::INT8_ARRAY),
            (&states, Type::TEXT_ARRAY),
            (&settled, Type::BOOL_ARRAY),
            (&changed, Type::INT8_ARRAY),
            (&bodies, Type::TEXT_ARRAY),
        ]);
        let rows = self.query(&sql, &parameters).await?;
        let written: i64 = self.get(rows.first().ok_or_else(|| self.damaged("no answer"))?, 0)?;
        if written == 0 { Err(JournalError::Fenced) } else { Ok(()) }
    }

    async fn claim(
        &self,
        lease: Lease,
        signer: Address,
        claims: Vec<Claim>,
        (head, timestamp): (u64, u64),
    ) -> Result<Vec<u64>, JournalError> {
        // Sorted, so that two keepers that claim the same lock the rows in one order; a subject of two intents is the first's.
        let mut wanted = BTreeMap::new();
        for claim in &claims {
            wanted.entry(claim.subject.clone()).or_insert((signed(claim.intent), signed(claim.deadline)));
        }
        let (mut subjects, mut intents, mut deadlines) = (Vec::new(), Vec::new(), Vec::new());
        for (subject, (intent, deadline)) in wanted {
            subjects.push(subject);
            intents.push(intent);
            deadlines.push(deadline);
        }
        let (texts, signer) = (self.identity_texts(), signer.to_string());
        let (head, timestamp) = (signed(head), signed(timestamp));
        let sql = format!(
            "WITH lease AS ({HELD}), granted AS (INSERT INTO plimsoll.claims (deployment, subject, signer, intent, deadline) \
                SELECT $6, subject, $3, intent, deadline FROM lease, unnest($7, $8, $9) AS c (subject, intent, deadline) \
                ON CONFLICT (deployment, subject) DO UPDATE SET signer = excluded.signer, intent = excluded.intent, \
                    deadline = excluded.deadline, ended_in = NULL \
                WHERE claims.signer = excluded.signer OR claims.ended_in <= $10 \
                    OR (claims.ended_in IS NULL AND claims.deadline < $11) RETURNING subject) \
             SELECT (SELECT count(*) FROM lease), coalesce((SELECT array_agg(subject) FROM granted), '{{}}')"
        );
        let mut parameters = self.held(&texts, &signer, &lease);
        parameters.extend([
            (&self.deployment as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT4),
            (&subjects, Type::TEXT_ARRAY),
            (&intents, Type::INT8_ARRAY),
            (&deadlines, Type::INT8_ARRAY),
            (&head, Type::INT8),
            (&timestamp, Type::INT8),
        ]);
        let rows = self.query(&sql, &parameters).await?;
        let row = rows.first().ok_or_else(|| self.damaged("no answer"))?;
        if self.get::<i64>(row, 0)? == 0 {
            return Err(JournalError::Fenced);
        }
        let granted: Vec<String> = self.get(row, 1)?;
        let mut held: Vec<_> =
            claims.into_iter().filter(|claim| !granted.contains(&claim.subject)).map(|claim| claim.intent).collect();
        held.dedup();
        Ok(held)
    }

    async fn end_claims(&self, signer: Address, ended: Vec<(u64, Option<u64>)>) -> Result<(), JournalError> {
        let signer = signer.to_string();
        let (ids, blocks): (Vec<_>, Vec<_>) =
            ended.into_iter().map(|(id, block)| (signed(id), block.map(signed))).unzip();
        let sql = "UPDATE plimsoll.claims SET ended_in = e.block FROM unnest($3, $4) AS e (id, block) \
            WHERE deployment = $1 AND signer = $2 AND intent = e.id";
        let parameters: [Parameter<'_>; 4] = [
            (&self.deployment, Type::INT4),
            (&signer, Type::TEXT),
            (&ids, Type::INT8_ARRAY),
            (&blocks, Type::INT8_ARRAY),
        ];
        Ok(self.query(sql, &parameters).await.map(drop)?)
    }
}
