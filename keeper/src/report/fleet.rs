//! What `plimsoll-keeper fleet status` shows.

use serde::Serialize;

use super::table::{Align, table};
use crate::sender::fleet::FleetStatus;

/// The keepers that share a database, and their leases.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct FleetReport(pub FleetStatus);

impl FleetReport {
    /// Returns the report as two tables.
    #[must_use]
    pub fn text(&self) -> String {
        let FleetStatus { server, members, leases, .. } = &self.0;
        let member_rows: Vec<_> = members
            .iter()
            .map(|member| {
                let state = if member.is_live { "live" } else { "gone" };
                let seen = format!("{} s ago", member.seen_secs_ago);
                vec![member.name.clone(), member.id.clone(), member.head.to_string(), seen, state.to_owned()]
            })
            .collect();
        let lease_rows: Vec<_> = leases
            .iter()
            .map(|lease| {
                let member = members.iter().find(|member| member.id == lease.holder);
                let holder =
                    member.map_or_else(|| lease.holder.clone(), |member| format!("{} ({})", member.name, member.id));
                let expires = match lease.expires_in_ms {
                    left @ 1.. => format!("in {} s", left / 1_000),
                    _ => "expired".to_owned(),
                };
                vec![lease.signer.to_string(), holder, lease.fence.to_string(), expires]
            })
            .collect();
        let member_columns = [
            ("name", Align::Left),
            ("member", Align::Left),
            ("head", Align::Right),
            ("heartbeat", Align::Right),
            ("", Align::Left),
        ];
        let lease_columns =
            [("signer", Align::Left), ("held by", Align::Left), ("fence", Align::Right), ("expires", Align::Left)];
        format!("{server}\n{}\n{}", table(&member_columns, &member_rows), table(&lease_columns, &lease_rows))
    }
}
