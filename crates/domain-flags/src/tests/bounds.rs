//! Everything has a bound, and says so.

use exchequer_flag_eval::{Target, codes as eval};

use super::*;

#[test]
fn projects_environments_and_flags_are_counted() {
    let mut story = Story::default();
    for number in 0..PROJECTS_MAX {
        story = story.when(create_project(&format!("p-{number}")));
    }
    assert_eq!(story.refuses(create_project("web")), codes::PROJECTS_TOO_MANY);
    let mut story = Story::default().when(create_project("web"));
    for number in 0..ENVIRONMENTS_MAX {
        story = story.when(create_environment(&format!("e-{number}")));
    }
    assert_eq!(story.refuses(create_environment("more")), codes::ENVIRONMENTS_TOO_MANY);
    for number in 0..LIMITS.flags_max {
        story = story.when(create_flag(&format!("f-{number}")));
    }
    assert_eq!(story.refuses(create_flag("more")), eval::FLAGS_TOO_MANY);
}

fn large(values: usize) -> Targeting {
    let values = (0..values).map(|it| format!("{it:0>100}")).collect();
    let target = Target { variant: "on".to_owned(), attribute: "tenant".to_owned(), values };
    Targeting { targets: vec![target], ..Targeting::default() }
}

#[test]
fn a_flag_has_a_size_with_all_its_environments() {
    let mut story = Story::begun().when(target("prod", large(400)));
    assert_eq!(story.refuses(target("test", large(400))), codes::FLAG_TOO_LARGE);
    let story = story.when(target("test", large(100)));
    assert!(flag_bytes(story.flag()) < FLAG_BYTES_MAX && weight(&story.state) > 50_000);
}

#[test]
fn all_flags_together_have_a_size() {
    let mut story = Story::begun();
    let project = slug("web");
    let mut refused = None;
    for number in 0..200 {
        let flag = slug(&format!("f-{number}"));
        story = story.when(create_flag(flag.as_str()));
        let (project, environment, targeting) = (project.clone(), slug("prod"), large(500));
        let command = Command::SetTargeting(SetTargeting { project, flag, environment, targeting });
        if let Err(rejection) = story.decide(&command) {
            refused = Some(rejection);
            break;
        }
    }
    assert_eq!(refused, Some(Rejection::FlagsTooLarge));
    assert!(story.state.bytes <= FLAGS_BYTES_MAX);
    // What takes less room is allowed.
    let flag = slug("f-0");
    let less = SetTargeting { project, flag, environment: slug("prod"), targeting: large(1) };
    assert!(story.decide(&Command::SetTargeting(less)).is_ok());
}
