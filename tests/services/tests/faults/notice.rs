//! The checks themselves, broken once in each run: what was never sent, is counted
//! otherwise, is no record, or is missing in a view is noticed.

use bytes::Bytes;
use exchequer_codec::Entry;
use exchequer_e2e::{Client, Res, ensure, wait};
use exchequer_projection_usage::{USAGE_COMMON, USAGE_FATES, USAGE_SEALS};
use exchequer_readstore::{Row, Table, Value};
use exchequer_types::PartitionId;

use crate::audit_topic::AuditTopic;
use crate::journal::Journal;
use crate::load::{Events, Kept, Ledger};
use crate::metered_again::MeteredAgain;
use crate::usage::differs;
use crate::views::{Expected, open};
use crate::world::World;

/// Everything that a check must say no to, after a round with this ledger.
pub(crate) async fn all(world: &World, client: &Client, ledger: &Ledger) -> Res<()> {
    let mut journal = Journal::new(world.log("journal")?);
    journal.catch_up().await?;
    let sent = ledger.commands.first().ok_or("nothing was sent")?;
    let never = Kept { id: "never-sent".to_owned(), ..sent.clone() };
    notices("a command that was lost", &journal.compare("nobody", &[never]), "is 0 times")?;
    let half = Kept { entries: sent.entries + 1, ..sent.clone() };
    notices("a lost audit entry", &journal.compare("nobody", &[half]), "audit entries, not")?;
    let unknown = journal.compare(&sent.tenant, &[]);
    notices("a command that nobody sent", &unknown, "were accepted, of 0 sent")?;

    let (tenant, events) = ledger.events.first_key_value().ok_or("no events")?;
    for wrong in [
        Events { count: events.count + 1, ..*events },
        Events { tokens: events.tokens + 1, ..*events },
        Events { users: events.users + 1, ..*events },
        Events { voided: events.voided + 1, ..*events },
    ] {
        let said = differs(client, tenant, wrong, None).await?;
        ensure(said.is_some(), || format!("{wrong:?} instead of {events:?} is not noticed"))?;
    }
    let said = differs(client, tenant, *events, None).await?;
    ensure(said.is_none(), || format!("{events:?}: {said:?}"))?;

    notices_a_view(world, &mut journal, &sent.tenant).await?;
    if let Some(leaf) = journal.leaves.get_mut(&sent.tenant).and_then(|it| it.last_mut()) {
        leaf[0] ^= 1;
    }
    let published = AuditTopic::new(world.log("audit")?).compare(&mut journal).await?;
    notices("an audit entry that was changed", &published, "was published behind")?;
    ensure(published.len() == 1, || format!("one entry was changed: {published:?}"))?;
    journal.record(PartitionId(0), &Bytes::from_static(b"no record"));
    notices("a record that is none", &journal.compare("nobody", &[]), "break: ")
}

/// A view without one commit is not the view in the store, with which the whole agrees.
async fn notices_a_view(world: &World, journal: &mut Journal, tenant: &str) -> Res<()> {
    let store = open(&world.rows()).await?;
    let (whole, mut entries) = (Expected::new(), Vec::new());
    let agrees = wait::until_async("the views", async || {
        journal.catch_up().await?;
        let fresh = journal.take_fresh();
        whole.fold(&fresh).await?;
        entries.extend(fresh);
        Ok(whole.compare(&store).await?.is_empty().then_some(()))
    });
    agrees.await?;
    let of_tenant = |entry: &Entry| entry.commit.events.iter().any(|it| it.stream == tenant);
    let last = entries.iter().rposition(of_tenant).ok_or("no commit of the tenant")?;
    let without_last = Expected::new();
    without_last.fold(&entries[..last]).await?;
    without_last.fold(&entries[last + 1..]).await?;
    notices("a row that is behind", &without_last.compare(&store).await?, "rows, must be")
}

/// What is not noticed where a row of use is missing.
pub(crate) async fn without_rows(again: &MeteredAgain) -> Res<Vec<String>> {
    /// Of a row that a tenant's first figures share: below 0, counts by fate.
    fn grain(row: &Row) -> i64 {
        row.key.clustering.first().map_or(0, Value::as_int)
    }
    let broken: [(&'static Table, fn(&Row) -> bool, &str); 4] = [
        (&USAGE_COMMON, |row| grain(row) >= 0, " by "),
        (&USAGE_COMMON, |row| grain(row) < 0, "fates"),
        (&USAGE_FATES, |_| true, USAGE_FATES.name),
        (&USAGE_SEALS, |_| true, USAGE_SEALS.name),
    ];
    let mut unnoticed = Vec::new();
    for (table, is_such, words) in broken {
        let said = again.without_a_row(table, is_such).await?;
        if !said.iter().any(|line| line.contains(words)) {
            unnoticed.push(format!("a missing row of {} is not noticed: {said:?}", table.name));
        }
    }
    Ok(unnoticed)
}

fn notices(what: &str, said: &[String], words: &str) -> Res<()> {
    ensure(said.iter().any(|line| line.contains(words)), || {
        format!("the checks do not notice {what}: {said:?}")
    })
}
