//! The life of projects, environments and flags, and what is refused in it.

use std::collections::BTreeSet;

use exchequer_flag_eval::{Target, codes as eval};
use exchequer_types::Json;

use super::*;

// REQ: FLG-01
#[test]
fn a_flag_is_off_everywhere_until_it_is_switched_on() {
    let story = Story::begun();
    let evaluated = story.flag().in_environment(&slug("prod"));
    assert!(!evaluated.enabled);
    assert_eq!(evaluated.off_variant, "off");
    assert_eq!(evaluated.fallthrough, Outcome::Variant("on".to_owned()));
    let mut story = story.when(toggle("prod", true));
    assert!(story.flag().in_environment(&slug("prod")).enabled);
    assert!(!story.flag().in_environment(&slug("test")).enabled);
    assert_eq!(story.refuses(toggle("prod", true)), codes::FLAG_UNCHANGED);
    assert_eq!(story.refuses(toggle("test", false)), codes::FLAG_UNCHANGED);
    let story = story.when(toggle("prod", false));
    assert!(!story.flag().in_environment(&slug("prod")).enabled);
    assert_eq!(story.flag().version, 3);
    assert_eq!(story.flag().updated_at, at(8));
}

// REQ: FLG-12
#[test]
fn each_snapshot_counts_what_concerns_it() {
    let story = Story::begun();
    assert_eq!((story.snapshot_version("prod"), story.snapshot_version("test")), (2, 2));
    let story = story.when(toggle("prod", true)).when(target("prod", targeting(10_000)));
    assert_eq!((story.snapshot_version("prod"), story.snapshot_version("test")), (4, 2));
    let story = story.when(update(Definition { tags: vec![], ..definition() }));
    assert_eq!((story.snapshot_version("prod"), story.snapshot_version("test")), (5, 3));
    let story = story.when(create_environment("late"));
    assert_eq!(story.snapshot_version("late"), 3);
}

#[test]
fn projects_and_environments_are_refused_in_order() {
    let mut story = Story::default();
    assert_eq!(story.refuses(create_environment("prod")), codes::PROJECT_NOT_FOUND);
    assert_eq!(story.refuses(create_flag("checkout")), codes::PROJECT_NOT_FOUND);
    let named = |name: &str| {
        Command::CreateProject(CreateProject { project: slug("web"), name: name.to_owned() })
    };
    for name in ["", "a\nb", &"x".repeat(201)] {
        assert_eq!(story.refuses(named(name)), codes::NAME_INVALID);
    }
    let mut story = story.when(named("Web"));
    assert_eq!(story.refuses(named("")), codes::PROJECT_EXISTS);
    let environment = |name: &str, salt: Option<&str>| {
        Command::CreateEnvironment(CreateEnvironment {
            project: slug("web"),
            environment: slug("prod"),
            name: name.to_owned(),
            dialect: Dialect::FractionalV2,
            salt: salt.map(str::to_owned),
            production: false,
        })
    };
    assert_eq!(story.refuses(environment("", Some("a b"))), codes::NAME_INVALID);
    for salt in ["", "a b", "é", &"x".repeat(101)] {
        let found = story.refuses(environment("Prod", Some(salt)));
        assert_eq!(found, codes::ENVIRONMENT_SALT_INVALID);
    }
    let mut story = story.when(environment("Prod", Some("own")));
    assert_eq!(story.refuses(environment("", None)), codes::ENVIRONMENT_EXISTS);
    let mut others = Story::begun();
    let salts: Vec<String> = ["prod", "test"]
        .iter()
        .map(|key| {
            let project = others.state.projects.get(&slug("web")).unwrap();
            project.environments.get(&slug(key)).unwrap().salt.clone()
        })
        .collect();
    assert!(salts[0].starts_with("env_") && salts[0] != salts[1]);
    assert_eq!(others.refuses(create_environment("prod")), codes::ENVIRONMENT_EXISTS);
}

// REQ: FLG-01
#[test]
fn definitions_are_refused_in_order() {
    let create = |definition| {
        let (project, flag) = (slug("web"), slug("new"));
        Command::CreateFlag(CreateFlag { project, flag, definition })
    };
    let mut story = Story::begun();
    assert_eq!(story.refuses(create_flag("checkout")), codes::FLAG_EXISTS);
    let none = || Definition { variants: vec![], ..definition() };
    let cases = [
        (Definition { name: String::new(), ..none() }, codes::NAME_INVALID),
        (Definition { description: "\u{7}".to_owned(), ..none() }, codes::DESCRIPTION_INVALID),
        (Definition { description: "x".repeat(4_001), ..none() }, codes::DESCRIPTION_INVALID),
        (Definition { tags: vec![String::new()], ..none() }, codes::FLAG_TAGS_INVALID),
        (Definition { tags: vec!["a".into(), "a".into()], ..none() }, codes::FLAG_TAGS_INVALID),
        (Definition { tags: vec!["t".to_owned(); 51], ..none() }, codes::FLAG_TAGS_INVALID),
        (none(), eval::FLAG_VARIANTS_INVALID),
        (Definition { kind: Kind::Text, ..definition() }, eval::FLAG_VALUE_INVALID),
        (Definition { off_variant: "no".into(), ..definition() }, eval::FLAG_VARIANT_UNKNOWN),
    ];
    for (definition, code) in cases {
        assert_eq!(story.refuses(create(definition)), code);
    }
    let wrong = Definition { default_variant: "no".to_owned(), ..definition() };
    let message = story.decide(&create(wrong)).unwrap_err().message();
    assert!(message.starts_with("default_variant must"), "{message}");
}

// REQ: FLG-01
#[test]
fn a_variant_that_is_served_stays() {
    let mut story = Story::begun().when(target("test", targeting(10_000)));
    assert_eq!(story.refuses(update(definition())), codes::FLAG_UNCHANGED);
    let mut less = definition();
    less.variants.remove(0);
    less.default_variant = "off".to_owned();
    let refused = story.decide(&update(less)).unwrap_err();
    assert_eq!(refused.code(), eval::FLAG_VARIANT_UNKNOWN);
    let message = refused.message();
    assert!(message.starts_with("targeting[test].rules[0].outcome.split"), "{message}");
    let mut more = definition();
    more.variants.push(Variant { key: "maybe".to_owned(), value: Value::Boolean(true) });
    let story = story.when(update(more));
    assert_eq!(story.flag().definition.variants.len(), 3);
}

// REQ: FLG-01
#[test]
fn a_flag_keeps_its_kind() {
    let mut story = Story::begun();
    let texts = Definition { kind: Kind::Text, name: "Other".to_owned(), ..definition() };
    let refused = story.decide(&update(texts.clone())).unwrap_err();
    assert_eq!((refused.code(), refused.field()), (codes::FLAG_KIND_FIXED, Some("kind")));
    assert!(refused.message().contains("are booleans"), "{}", refused.message());
    // Who does not say the kind does not ask for another one.
    let (project, flag) = (slug("web"), slug("checkout"));
    let only = BTreeSet::new();
    let silent = UpdateFlag { project, flag, kind: None, definition: texts, only };
    let story = story.when(Command::UpdateFlag(silent));
    let held = &story.flag().definition;
    assert_eq!((held.name.as_str(), held.kind), ("Other", Kind::Boolean));
}

// REQ: FLG-04
#[test]
fn nothing_that_does_not_compile_is_stored() {
    let mut story = Story::begun();
    let mut other = targeting(10_000);
    other.targets.push(Target {
        variant: "gone".to_owned(),
        attribute: "tenant".to_owned(),
        values: vec!["a".to_owned()],
    });
    let deep =
        (0..100).fold(Condition::Entitled("sso".to_owned()), |it, _| Condition::Not(Box::new(it)));
    other.rules[0].condition = deep;
    other.fallthrough = Some(Outcome::Split(Split::weighted("", "", [("on", 99_999)])));
    let refused = story.decide(&target("prod", other)).unwrap_err();
    let Rejection::Invalid { field: "targeting", violations } = &refused else {
        panic!("{refused:?}")
    };
    let found: Vec<_> = violations.iter().map(|it| (it.path.as_str(), it.code)).collect();
    assert_eq!(found[0], ("targeting.targets[0].variant", eval::FLAG_VARIANT_UNKNOWN));
    assert_eq!(found[1].1, eval::FLAG_CONDITION_TOO_DEEP);
    assert_eq!(found[2], ("targeting.fallthrough.split.shares", eval::FLAG_WEIGHTS_INVALID));
    assert!(refused.message().contains("sum to 100000"), "{}", refused.message());
    assert_eq!(story.refuses(target("prod", Targeting::default())), codes::FLAG_UNCHANGED);
    assert_eq!(story.refuses(target("no", targeting(1))), codes::ENVIRONMENT_NOT_FOUND);
    assert!(story.flag().targeting.is_empty());
}

// REQ: FLG-01
#[test]
fn an_archived_flag_is_left_alone_until_it_is_restored() {
    let mut story =
        Story::begun().when(target("prod", targeting(10_000))).when(archive("checkout"));
    assert!(story.flag().archived);
    for command in [
        archive("checkout"),
        update(definition()),
        target("prod", targeting(20_000)),
        toggle("prod", true),
        grow(None, &[("on", 100_000)]),
    ] {
        assert_eq!(story.refuses(command), codes::FLAG_ARCHIVED);
    }
    assert_eq!(story.refuses(create_flag("checkout")), codes::FLAG_EXISTS);
    let mut story = story.when(restore("checkout"));
    assert_eq!(story.refuses(restore("checkout")), codes::FLAG_NOT_ARCHIVED);
    for command in [archive("no"), restore("no")] {
        assert_eq!(story.refuses(command), codes::FLAG_NOT_FOUND);
    }
    assert_eq!(story.flag().targeting.len(), 1);
}

#[test]
fn audit_entries_show_what_the_command_is_about() {
    let story = Story::begun().when(target("test", targeting(10_000)));
    let before = story.state.clone();
    let command = toggle("prod", true);
    let story = story.when(command.clone());
    let shown = shown(&before, &story.state, &command);
    assert_eq!((shown.action, shown.resource_id.as_str()), ("flag.switched-on", "web/checkout"));
    let Json::Object(members) = &shown.after else { panic!("{:?}", shown.after) };
    let Json::Map(targeting) = &members["targeting"] else { panic!("{members:?}") };
    assert_eq!(targeting.keys().collect::<Vec<_>>(), ["prod"]);
    let text = story.flag().to_json(None).canonical();
    assert!(text.contains("\"slots\":[[0,10000]]"), "{text}");
    assert!(text.contains("{\"attribute\":\"country\",\"is\":\"vn\"}"), "{text}");
}

// REQ: KER-14
#[test]
fn state_is_the_fold_of_events() {
    let story = Story::begun().when(target("prod", targeting(10_000))).when(toggle("test", true));
    let mut again = State::default();
    for (event, second) in story.events.iter().zip(1..) {
        Flags::evolve(&mut again, event, at(second));
    }
    assert_eq!(again, story.state);
    let bytes = story.state.projects.iter().flat_map(|it| it.flags.iter()).map(flag_bytes);
    assert_eq!(story.state.bytes, bytes.sum::<usize>());
}

// REQ: EDG-05
#[test]
fn fields_are_set_one_by_one() {
    let story = Story::begun();
    let before = story.flag().definition.clone();
    let asked = Definition { name: "Other".to_owned(), variants: Vec::new(), ..definition() };
    let (project, flag) = (slug("web"), slug("checkout"));
    let only = BTreeSet::from([DefinitionField::Name]);
    let update = UpdateFlag { project, flag, kind: None, definition: asked, only };
    let story = story.when(Command::UpdateFlag(update));
    let expected = Definition { name: "Other".to_owned(), ..before };
    assert_eq!(story.flag().definition, expected);
}

// REQ: EDG-02
#[test]
fn every_field_at_fault_is_told() {
    let mut story = Story::begun();
    let twice = vec![definition().variants[0].clone(); 2];
    let wrong = Definition { variants: twice, off_variant: "gone".to_owned(), ..definition() };
    let refused = story.decide(&update(wrong)).unwrap_err();
    let faults: Vec<String> = refused.faults().into_iter().map(|it| it.field).collect();
    assert_eq!(faults, ["variants[1].key", "off_variant"]);
}
