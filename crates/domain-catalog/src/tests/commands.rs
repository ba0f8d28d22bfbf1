//! Drafts, publishing and retiring.

use super::*;

// REQ: BIL-01
#[test]
fn a_draft_becomes_a_version_that_is_retired_at_last() {
    let mut story = Story::default().when(save(document())).when(publish());
    let series = &story.state.catalogs[&slug("main")];
    assert_eq!((series.revision, series.draft.clone()), (2, None));
    let first = *series.version(1).unwrap();
    assert_eq!(first.hash, Content::of(document()).hash());
    assert_eq!((first.status(), first.published_at), (VersionStatus::Published, at(2)));
    story = story.when(save(named("Two"))).when(publish()).when(retire(1));
    let series = &story.state.catalogs[&slug("main")];
    assert_eq!(series.version(1).unwrap().retired_at, Some(at(5)));
    assert_eq!(series.version(1).unwrap().hash, first.hash);
    assert_eq!(series.latest().unwrap().number, 2);
    assert_eq!(series.version(0), None);
    assert_eq!(series.version(3), None);
}

// REQ: BIL-01
#[test]
fn content_that_differs_in_order_alone_is_the_same() {
    let mut reversed = document();
    reversed.currencies.reverse();
    reversed.features.reverse();
    reversed.plans.reverse();
    for plan in &mut reversed.plans {
        plan.features.reverse();
        plan.prices.iter_mut().for_each(|it| it.currencies.reverse());
    }
    assert_ne!(reversed, document());
    assert_eq!(Content::of(reversed), Content::of(document()));
    assert_ne!(Content::of(named("Other")).hash(), Content::of(document()).hash());
}

#[test]
fn unchanged_content_is_refused() {
    let mut story = Story::default().when(save(document()));
    assert_eq!(story.refuses(save(document())), codes::CATALOG_UNCHANGED);
    let mut story = story.when(publish()).when(save(document()));
    assert_eq!(story.refuses(publish()), codes::CATALOG_UNCHANGED);
    // What is not sold any more may be sold anew.
    let story = story.when(retire(1)).when(publish());
    assert_eq!(story.state.catalogs[&slug("main")].versions.len(), 2);
}

#[test]
fn publishing_refuses_in_order() {
    let mut story = Story::default();
    assert_eq!(story.refuses(publish()), codes::CATALOG_NOT_FOUND);
    let mut story = story.when(save(document())).when(discard());
    assert_eq!(story.refuses(publish()), codes::CATALOG_DRAFT_NOT_FOUND);
    let mut story = story.when(save(document()));
    let hash = Some(Content::of(named("Seen before")).hash());
    let seen = Command::Publish(Publish { catalog: slug("main"), hash });
    assert_eq!(story.refuses(seen), codes::CATALOG_DRAFT_CHANGED);
    let hash = Some(Content::of(document()).hash());
    story.when(Command::Publish(Publish { catalog: slug("main"), hash }));
}

#[test]
fn a_catalog_has_so_many_versions() {
    let mut story = Story::default().when(save(document())).when(publish());
    let series = story.state.catalogs.get_mut(&slug("main")).unwrap();
    let version = series.versions[0];
    series.versions.resize(VERSIONS_MAX, version);
    let mut story = story.when(save(named("Other")));
    assert_eq!(story.refuses(publish()), codes::CATALOG_VERSIONS_TOO_MANY);
}

#[test]
fn saving_refuses_in_order() {
    let mut story = Story::default();
    for index in 0..CATALOGS_MAX {
        let catalog = slug(&format!("c-{index}"));
        story = story.when(Command::SaveDraft(SaveDraft { catalog, document: document() }));
    }
    let wrong = Document { plans: vec![], ..document() };
    assert_eq!(story.refuses(save(wrong.clone())), codes::CATALOGS_TOO_MANY);
    let mut story = Story::default();
    assert_eq!(story.refuses(save(wrong)), codes::CATALOG_INVALID);
}

#[test]
fn a_refused_document_names_what_is_wrong() {
    let mut wrong = document();
    for plan in &mut wrong.plans {
        plan.prices[0].currencies[1].components[0].amount = -1;
    }
    wrong.fallback = Some(slug("gone"));
    let no = Story::default().decide(&save(wrong)).unwrap_err();
    assert_eq!(no.field(), Some("document"));
    let message = no.message();
    let amount = "plans[0].prices[0].currencies.USD.per_seat: must be 0 to 1000000000000000 minor units, not -1";
    assert!(message.contains(amount), "{message}");
    assert!(message.contains("fallback: names the plan \"gone\""), "{message}");
}

#[test]
fn discarding_and_retiring_refuse_in_order() {
    let mut story = Story::default();
    assert_eq!(story.refuses(discard()), codes::CATALOG_NOT_FOUND);
    assert_eq!(story.refuses(retire(1)), codes::CATALOG_NOT_FOUND);
    let mut story = story.when(save(document())).when(publish());
    assert_eq!(story.refuses(discard()), codes::CATALOG_DRAFT_NOT_FOUND);
    assert_eq!(story.refuses(retire(2)), codes::CATALOG_VERSION_NOT_FOUND);
    let mut story = story.when(retire(1));
    assert_eq!(story.refuses(retire(1)), codes::CATALOG_ALREADY_RETIRED);
}

#[test]
fn what_is_addressed_shown_and_answered() {
    let story = Story::default().when(save(document()));
    assert_eq!(version(&State::default(), &publish()), 0);
    assert_eq!(version(&story.state, &publish()), 1);
    let before = story.state.clone();
    assert!(
        matches!(reply(&before, &save(document()), &[]), Reply::Catalog(it) if it.draft.is_some())
    );
    let story = story.when(publish());
    let it = shown(&before, &story.state, &publish());
    assert_eq!((it.action, it.resource_id.as_str()), ("catalog.published", "main"));
    assert!(it.before.canonical().contains("\"version\":null"), "{:?}", it.before);
    assert!(it.after.canonical().contains("\"status\":\"published\""), "{:?}", it.after);
    let answer = reply(&story.state, &publish(), &[]);
    assert!(matches!(answer, Reply::Version { version, .. } if version.number == 1));
    let adopt = Command::Adopt(adoption(1, VersionStatus::Published, None));
    assert!(adopt.is_adoption());
    assert_eq!(reply(&story.state, &adopt, &[]), Reply::Nothing);
    assert!(weight(&story.state) > weight(&State::default()));
}
