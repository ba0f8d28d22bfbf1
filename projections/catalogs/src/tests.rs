//! Fold and query on the store in memory.

use std::sync::Arc;

use exchequer_codec::{Entry, document_from_proto, event_types};
use exchequer_domain_catalog::{
    Adoption, Catalog, Content, Document, Event, Series, State, VersionStatus,
};
use exchequer_kernel::{Decider as _, Projection as _};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{MemoryStore, RowSet};
use exchequer_types::{PartitionId, Slug, TenantId, Timestamp};

use crate::{CatalogsView, TABLES, draft, get, list, version, versions};

const VIEW: Suite<CatalogsView> = Suite { projection: CatalogsView, tables: TABLES };

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

fn content(name: &str) -> Content {
    Content::of(Document { name: name.to_owned(), ..Document::default() })
}

fn saved(catalog: &str, name: &str) -> Event {
    Event::DraftSaved { catalog: slug(catalog), content: content(name) }
}

fn published(catalog: &str, version: u32, name: &str) -> Event {
    Event::Published { catalog: slug(catalog), version, content: content(name) }
}

fn retired(catalog: &str, version: u32, name: &str) -> Event {
    Event::Retired { catalog: slug(catalog), version, hash: content(name).hash() }
}

fn entry(partition: u32, seq: u64, events: Vec<(&str, Event)>) -> Entry {
    let events: Vec<_> = events
        .into_iter()
        .map(|(stream, event)| (stream, exchequer_tenant::Event::Catalog(event)))
        .collect();
    Entry::of_events(PartitionId(partition), seq, at(seq), &events)
}

/// Two providers, in two partitions.
fn history() -> Vec<Entry> {
    let adoption = Adoption {
        provider: tenant("a"),
        catalog: slug("main"),
        version: 1,
        status: VersionStatus::Published,
        hash: content("one").hash(),
        content: Some(content("one")),
    };
    vec![
        entry(0, 1, vec![("a", saved("main", "one")), ("a", saved("other", "x"))]),
        entry(1, 1, vec![("b", saved("main", "b")), ("b", published("main", 1, "b"))]),
        entry(0, 2, vec![("a", published("main", 1, "one")), ("a", saved("main", "two"))]),
        entry(1, 2, vec![("~partition-1", Event::Adopted(adoption))]),
        entry(0, 3, vec![("a", published("main", 2, "two")), ("a", retired("main", 1, "one"))]),
        entry(0, 4, vec![("a", Event::DraftDiscarded { catalog: slug("other") })]),
        entry(0, 5, vec![("a", saved("main", "three")), ("a", retired("main", 2, "two"))]),
    ]
}

// REQ: KER-06
#[tokio::test]
async fn any_batches_and_a_replay_give_the_same_rows() {
    VIEW.check_batches(&history()).await;
}

// REQ: KER-06
#[tokio::test]
async fn a_batch_cut_off_anywhere_is_made_good_by_a_replay() {
    VIEW.check_cut_offs(&history()).await;
}

/// What the domain makes of the history.
fn series(provider: &str, catalog: &str) -> Series {
    let mut state = State::default();
    for entry in history() {
        for event in &entry.commit.events {
            let decoded =
                exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload);
            if let (true, exchequer_tenant::Event::Catalog(it)) =
                (event.stream == provider, decoded.unwrap())
            {
                Catalog::evolve(&mut state, &it, Timestamp::saturating_from_micros(event.at));
            }
        }
    }
    state.catalogs[&slug(catalog)].clone()
}

// REQ: BIL-01, KER-14
#[tokio::test]
async fn the_rows_are_what_the_domain_makes_of_the_events() {
    let store = VIEW.folded(&history()).await;
    for (provider, catalog) in [("a", "main"), ("a", "other"), ("b", "main")] {
        let (tenant, slug) = (tenant(provider), slug(catalog));
        let expected = series(provider, catalog);
        let (row, latest) = get(&store, GENERATION, &tenant, &slug).await.unwrap().unwrap();
        assert_eq!(row.revision, expected.revision);
        assert_eq!((row.created_at, row.updated_at), (expected.created_at, expected.updated_at));
        let draft_hash =
            expected.draft.as_ref().map(|it| (it.content.hash().to_hex(), it.saved_at));
        assert_eq!(row.draft, draft_hash);
        let newest = expected.latest();
        assert_eq!(row.latest, newest.map_or(0, |it| it.number));
        assert_eq!(latest.and_then(|it| it.retired_at), newest.and_then(|it| it.retired_at));
        let page = versions(&store, GENERATION, &tenant, &slug, None, 9, &|_| true).await.unwrap();
        let found: Vec<_> = page
            .items
            .into_iter()
            .rev()
            .map(|(number, it)| (number, it.hash, it.published_at, it.retired_at))
            .collect();
        let expected: Vec<_> = expected
            .versions
            .iter()
            .map(|it| (it.number, it.hash.to_hex(), it.published_at, it.retired_at))
            .collect();
        assert_eq!(found, expected, "{provider} {catalog}");
    }
}

async fn name_of(store: &MemoryStore, number: Option<u32>) -> Option<(u32, String)> {
    let found = version(store, GENERATION, &tenant("a"), &slug("main"), number).await.unwrap();
    found.map(|(number, _, document)| (number, document_from_proto(document).unwrap().name))
}

// REQ: BIL-01
#[tokio::test]
async fn versions_and_drafts_are_read_with_what_they_say() {
    let store = VIEW.folded(&history()).await;
    assert_eq!(name_of(&store, Some(1)).await, Some((1, "one".to_owned())));
    assert_eq!(name_of(&store, Some(3)).await, None);
    // All are retired.
    assert_eq!(name_of(&store, None).await, None);
    let before = VIEW.folded(&history()[..5]).await;
    assert_eq!(name_of(&before, None).await, Some((2, "two".to_owned())));
    let (row, document) =
        draft(&store, GENERATION, &tenant("a"), &slug("main")).await.unwrap().unwrap();
    assert_eq!((document.name.as_str(), row.saved_at), ("three", at(5)));
    for (provider, catalog) in [("a", "other"), ("b", "main"), ("c", "main")] {
        let found = draft(&store, GENERATION, &tenant(provider), &slug(catalog)).await.unwrap();
        assert_eq!(found, None, "{provider} {catalog}");
    }
}

#[tokio::test]
async fn lists_come_page_by_page() {
    let store = VIEW.folded(&history()).await;
    let a = tenant("a");
    let first = list(&store, GENERATION, &a, None, 1, &|_| true).await.unwrap();
    assert_eq!((first.items[0].0.as_str(), &first.next), ("main", &Some(slug("main"))));
    let second = list(&store, GENERATION, &a, first.next.as_ref(), 1, &|_| true).await.unwrap();
    assert_eq!((second.items[0].0.as_str(), second.next), ("other", None));
    let main = slug("main");
    let newest = versions(&store, GENERATION, &a, &main, None, 1, &|_| true).await.unwrap();
    assert_eq!((newest.items[0].0, newest.next), (2, Some(2)));
    let oldest = versions(&store, GENERATION, &a, &main, newest.next, 1, &|_| true).await.unwrap();
    assert_eq!((oldest.items[0].0, oldest.next), (1, None));
}

fn failure(kind: &str, payload: &'static [u8]) -> Option<String> {
    let mut entry = entry(4, 9, vec![("a", retired("main", 7, "x"))]);
    if !kind.is_empty() {
        let commit = Arc::make_mut(&mut entry.commit);
        kind.clone_into(&mut commit.events[0].r#type);
        commit.events[0].payload = payload.into();
    }
    let mut rows = RowSet::default();
    CatalogsView.fold(&entry, &mut rows);
    rows.failure().map(str::to_owned)
}

// REQ: KER-10
#[tokio::test]
async fn what_is_not_understood_stops_the_view() {
    let unknown = failure("catalog.merged.v1", b"").unwrap();
    assert!(unknown.starts_with("partition 4, offset 9, event 0 (catalog.merged.v1)"), "{unknown}");
    assert!(failure("catalog.published.v1", b"\xff").is_some());
    let never = failure("", b"").unwrap();
    assert!(never.contains("never published"), "{never}");
    for other in ["tenants.created.v1", "kernel.timer-set.v1", crate::fold::PASSED_OVER] {
        assert_eq!(failure(other, b"\xff"), None, "{other}");
    }
    assert!(event_types().contains(&crate::fold::PASSED_OVER));
}
