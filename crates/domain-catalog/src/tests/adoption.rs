//! Copies in a partition: late, twice, in any order.

use proptest::prelude::*;

use super::*;

fn content(version: u32) -> Content {
    Content::of(named(&format!("Version {version}")))
}

fn published(version: u32) -> Adoption {
    adoption(version, VersionStatus::Published, Some(content(version)))
}

fn retired(version: u32) -> Adoption {
    adoption(version, VersionStatus::Retired, None)
}

#[test]
fn what_is_known_is_refused() {
    let mut story = Story::default().when(Command::Adopt(published(1)));
    assert_eq!(story.refuses(Command::Adopt(published(1))), codes::CATALOG_ADOPTED);
    let mut story = story.when(Command::Adopt(retired(1)));
    assert_eq!(story.refuses(Command::Adopt(retired(1))), codes::CATALOG_ADOPTED);
    assert_eq!(story.refuses(Command::Adopt(published(1))), codes::CATALOG_ADOPTED);
}

#[test]
fn content_that_is_not_its_hash_is_refused() {
    let mut story = Story::default();
    let torn = Adoption { content: Some(content(2)), ..published(1) };
    assert_eq!(story.refuses(Command::Adopt(torn)), codes::CATALOG_HASH_MISMATCH);
    let mut story = story.when(Command::Adopt(published(1)));
    let other = Adoption { hash: content(2).hash(), ..retired(1) };
    assert_eq!(story.refuses(Command::Adopt(other)), codes::CATALOG_HASH_MISMATCH);
}

proptest! {
    // REQ: BIL-01
    #[test]
    fn any_order_with_any_repetition_ends_in_the_same_state(
        extra in prop::collection::vec((1_u32..4, any::<bool>()), 0..12),
        order in Just((1_u32..4).flat_map(|it| [(it, true), (it, false)]).collect::<Vec<_>>())
            .prop_shuffle(),
    ) {
        let told = |(version, is_published)| {
            if is_published { published(version) } else { retired(version) }
        };
        let mut expected = Story::default();
        for version in 1..4 {
            expected = expected
                .when(Command::Adopt(published(version)))
                .when(Command::Adopt(retired(version)));
        }
        let mut story = Story::default();
        for it in extra.into_iter().chain(order) {
            let _ = story.decide(&Command::Adopt(told(it)));
        }
        prop_assert_eq!(&story.state, &expected.state);
        prop_assert_eq!(story.state.adopted.iter().count(), 3);
        let mut read_back = Adopted::default();
        story.state.adopted.iter().for_each(|it| read_back.adopt(it));
        prop_assert_eq!(&read_back, &story.state.adopted);
    }
}
