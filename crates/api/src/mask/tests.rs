//! Masks over real resources.

use exchequer_proto::catalog::v1 as pbc;
use exchequer_proto::tenants::v1 as pb;

use super::*;

fn tenant() -> pb::Tenant {
    pb::Tenant {
        id: "acme".to_owned(),
        name: "Acme".to_owned(),
        version: 300,
        settings: vec![pb::Setting { key: "a".to_owned(), value: "b".to_owned() }],
        children: Some(pb::ChildCounts { active: 7, suspended: 1, closed: 0 }),
        ..pb::Tenant::default()
    }
}

fn masked<R: Resource>(it: R, paths: &[&str]) -> Result<R, Status> {
    let paths = paths.iter().map(|it| (*it).to_owned()).collect();
    let mut check = Check::default();
    let mask = Mask::read::<R>(&mut check, "read_mask", Some(FieldMask { paths }));
    check.done()?;
    mask.apply(it)
}

// REQ: EDG-05
#[test]
fn a_reply_has_the_fields_of_the_mask_alone() {
    let all = tenant();
    assert_eq!(masked(tenant(), &[]).unwrap(), all);
    assert_eq!(masked(tenant(), &["name", "*"]).unwrap(), all);
    let some = masked(tenant(), &["version", "settings"]).unwrap();
    let expected =
        pb::Tenant { version: 300, settings: all.settings.clone(), ..pb::Tenant::default() };
    assert_eq!(some, expected);
    let inner = masked(tenant(), &["children.active"]).unwrap();
    let children = Some(pb::ChildCounts { active: 7, ..pb::ChildCounts::default() });
    assert_eq!(inner, pb::Tenant { children, ..pb::Tenant::default() });
    for whole in [["children", "children.active"], ["children.active", "children"]] {
        assert_eq!(masked(tenant(), &whole).unwrap().children, all.children);
    }
}

// REQ: EDG-05
#[test]
fn a_mask_goes_into_messages_below() {
    let draft = pbc::Draft {
        document: Some(pbc::Document {
            name: "Prices".to_owned(),
            plans: vec![pbc::Plan { id: "pro".to_owned(), ..pbc::Plan::default() }],
            ..pbc::Document::default()
        }),
        revision: 3,
        ..pbc::Draft::default()
    };
    let found = masked(draft, &["document.name", "revision"]).unwrap();
    let document = Some(pbc::Document { name: "Prices".to_owned(), ..pbc::Document::default() });
    assert_eq!(found, pbc::Draft { document, revision: 3, ..pbc::Draft::default() });
}

// REQ: EDG-02, EDG-05
#[test]
fn each_wrong_path_is_named_at_its_place() {
    use tonic_types::StatusExt as _;
    let status = masked(tenant(), &["id", "nope", "name.first", "settings.key", "children.x", ""]);
    let status = status.unwrap_err();
    let found = status.get_details_bad_request().unwrap().field_violations;
    let places: Vec<&str> = found.iter().map(|it| it.field.as_str()).collect();
    let expected = [1, 2, 3, 4, 5].map(|index| format!("read_mask.paths[{index}]"));
    assert_eq!(places, expected);
    assert!(found[0].description.contains("children, closes_at, created_at"));
    assert!(found[3].description.contains("active, closed, suspended"));
    assert!(masked(tenant(), &["id"; PATHS_MAX + 1]).is_err());
}
