//! Tenants, their audit logs, and the platform's own books.

use core::fmt::Write as _;

use exchequer_codec::{decode_record, status_of, status_word};
use exchequer_projection_audit as audit;
use exchequer_projection_dead_letters as dead_letters;
use exchequer_projection_tenants as tenants;
use exchequer_projection_timers as timers;
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{PartitionId, TenantId, TenantStatus, Timestamp};
use prost::Message as _;

use super::text::{listed, none, sheet, table};
use super::{ROWS_MAX, Shown, View, now};
use crate::changes::changes;

impl View<'_> {
    pub(super) fn tenant(&self, id: &TenantId) -> Shown {
        let store = self.world.store.as_ref();
        let found = now(tenants::get(store, self.generation("tenants"), id))?;
        let Some(tenants::Listed { tenant: it, children }) = found else {
            return Ok("no such tenant\n".to_owned());
        };
        let mut facts = vec![
            ("id", it.id.to_string()),
            ("name", it.name.clone()),
            ("provider is", it.parent.as_ref().map_or_else(none, ToString::to_string)),
            ("status", status(it.status).to_owned()),
            ("reason", it.reason.clone()),
            ("depth", it.depth.to_string()),
            ("version", it.version.to_string()),
            ("created", it.created_at.to_string()),
            ("updated", it.updated_at.to_string()),
            ("closes", it.closing.as_ref().map(|it| it.at.to_string()).unwrap_or_default()),
            ("settings", listed(&it.settings)),
        ];
        if it.provider {
            let counts = [children.active, children.suspended, children.closed];
            let [active, suspended, closed] = counts;
            facts.push((
                "tenants",
                format!("{active} active, {suspended} suspended, {closed} closed"),
            ));
        }
        Ok(sheet(&facts))
    }

    pub(super) fn tenants(&self, parent: &TenantId) -> Shown {
        let store = self.world.store.as_ref();
        let generation = self.generation("tenants");
        let page = now(tenants::list(store, generation, parent, None, ROWS_MAX, &|_| true))?;
        let rows = page.tenants.iter().map(|tenants::Listed { tenant: it, .. }| {
            let provider = if it.provider { "yes" } else { "no" };
            let status = status(it.status).to_owned();
            vec![
                it.id.to_string(),
                it.name.clone(),
                status,
                provider.to_owned(),
                it.version.to_string(),
            ]
        });
        Ok(table(&["id", "name", "status", "provider", "version"], rows))
    }

    pub(super) fn settings(&self, id: &TenantId) -> Shown {
        let store = self.world.store.as_ref();
        let found = now(tenants::effective_settings(store, self.generation("tenants"), id))?;
        let Some(settings) = found else { return Ok("no such tenant\n".to_owned()) };
        let rows = settings.into_iter().map(|(key, it)| vec![key, it.value, it.source.to_string()]);
        Ok(table(&["setting", "value", "set by"], rows))
    }

    pub(super) fn audit(&self, id: &TenantId, filter: &audit::Filter) -> Shown {
        let store = self.world.store.as_ref();
        let generation = self.generation("audit");
        let list = |filter: &audit::Filter| {
            now(audit::list(store, generation, id, filter.into(), None, ROWS_MAX))
        };
        let shown = list(filter)?.entries;
        let rows = shown.iter().rev().map(|it| {
            vec![
                it.seq.to_string(),
                it.recorded_at.to_string(),
                it.actor.clone(),
                it.action.clone(),
                format!("{}/{}", it.resource_type, it.resource_id),
                it.command_id.clone(),
                changes(it),
            ]
        });
        let heads = ["no", "recorded", "actor", "action", "on", "command", "what changed"];
        let mut out = table(&heads, rows);
        let all = list(&audit::Filter::default())?.entries;
        let _ = writeln!(out, "{}", crate::changes::chain(&all));
        Ok(out)
    }

    pub(super) fn timers(&self) -> Shown {
        let store = self.world.store.as_ref();
        let generation = self.generation("timers");
        let mut found = Vec::new();
        for partition in self.partitions() {
            let due = timers::due(store, generation, partition, Timestamp::MAX, None, ROWS_MAX);
            found.extend(now(due)?);
        }
        found.sort();
        let rows = found.into_iter().map(|it| vec![it.due.to_string(), it.stream]);
        Ok(table(&["due", "tenant"], rows))
    }

    pub(super) fn dead_letters(&self) -> Shown {
        let (store, count) = (self.world.store.as_ref(), self.platform.tail.partitions());
        let generation = self.generation("dead-letters");
        let page = now(dead_letters::list(store, generation, count, None, ROWS_MAX, &|_| true))?;
        let rows = page.letters.into_iter().map(|it| {
            let kind = it.kind.trim_end_matches(".v1").to_owned();
            vec![
                it.id.to_string(),
                it.recorded_at.to_string(),
                it.stream,
                kind,
                it.reason,
                it.replay.map_or_else(none, |it| format!("{}, {}", it.at, it.status)),
                it.message,
            ]
        });
        let heads =
            ["id", "recorded", "claims tenant", "claims command", "reason", "replayed", "message"];
        Ok(table(&heads, rows))
    }

    pub(super) fn parked(&self) -> Shown {
        let (store, count) = (self.world.store.as_ref(), self.platform.tail.partitions());
        let generation = self.generation("dead-letters");
        let page =
            now(dead_letters::list_parked(store, generation, count, None, ROWS_MAX, &|_| true))?;
        let rows =
            page.streams.into_iter().map(|it| vec![it.stream, it.parked_at.to_string(), it.reason]);
        Ok(table(&["tenant", "parked", "reason"], rows))
    }

    pub(super) fn views(&self) -> String {
        let rows = self.platform.views.iter().map(|handle| {
            let lag = handle.lag(&self.platform.tail, self.world.now());
            let building = if lag.building == 0 { none() } else { lag.building.to_string() };
            let behind = lag.events.to_string();
            vec![lag.view.to_owned(), lag.generation.to_string(), building, behind]
        });
        table(&["view", "generation", "being built", "records behind"], rows)
    }

    /// One line per input: of one tenant, or of all.
    pub(super) fn journal(&self, tenant: Option<&str>) -> String {
        let mut inputs = Vec::new();
        for partition in self.partitions() {
            for (offset, bytes) in self.world.journal.records(partition).iter().enumerate() {
                let (_, _, Some(commit)) = decode_record(partition, bytes) else { continue };
                let rows = (0..commit.inputs.len()).filter_map(|index| row(&commit, index));
                let place = format!("{partition}-{offset}");
                inputs.extend(rows.map(|(stream, row)| {
                    (commit.now, partition, offset, stream, place.clone(), row)
                }));
            }
        }
        inputs.sort_by_key(|(now, partition, offset, ..)| (*now, *partition, *offset));
        let chosen = inputs.into_iter().filter(|(_, _, _, stream, ..)| match tenant {
            Some(tenant) => stream == tenant,
            // What only copies providers about, and the root's own beginning.
            None => !stream.starts_with('~') && stream != "platform",
        });
        let rows = chosen.map(|(now, _, _, stream, place, row)| {
            let now = Timestamp::saturating_from_micros(now).to_string();
            [place, now, stream].into_iter().chain(row).collect()
        });
        let heads = ["commit", "decided", "tenant", "command", "id", "actor", "outcome", "events"];
        table(&heads, rows)
    }

    fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        (0..self.platform.tail.partitions()).map(PartitionId)
    }
}

/// An input's stream, and the columns that tell of it.
fn row(commit: &pb::Commit, index: usize) -> Option<(String, Vec<String>)> {
    let (input, outcome) = (commit.inputs.get(index)?, commit.outcomes.get(index)?);
    let sealed = pb::SealedCommand::decode(input.command.clone()).unwrap_or_default();
    let envelope = pb::Envelope::decode(sealed.envelope).unwrap_or_default();
    let mut word = status_of(outcome).map_or("unknown", status_word).to_owned();
    if !outcome.code.is_empty() {
        word = format!("{word} {}", outcome.code);
    }
    if let Some(first) = outcome.first {
        word = format!("{word} commit {}", first.offset);
    }
    if outcome.status == i32::from(pb::OutcomeStatus::Misrouted) {
        word = format!("{word} to partition {}", outcome.partition);
    }
    let events = commit.events.iter().filter(|it| it.input as usize == index).map(|it| {
        let kind = it.r#type.trim_end_matches(".v1");
        if it.timer.is_empty() {
            return kind.to_owned();
        }
        format!("{kind} (due {})", Timestamp::saturating_from_micros(it.at))
    });
    let events: Vec<String> = events.collect();
    // Ids of wakes are random.
    let id = if envelope.issuer == "clock" { none() } else { envelope.id };
    let kind = envelope.r#type.trim_end_matches(".v1").to_owned();
    Some((envelope.stream, vec![kind, id, envelope.actor, word, events.join(", ")]))
}

fn status(status: TenantStatus) -> &'static str {
    match status {
        TenantStatus::Active => "active",
        TenantStatus::Suspended => "suspended",
        TenantStatus::Closed => "closed",
    }
}
