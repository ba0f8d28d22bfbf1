//! The contract is not complete without a rule for each method: every way to leave one
//! out or to get one wrong is refused, with the method's name.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

#[path = "../build/rules.rs"]
mod rules;

use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

struct OneFile(String);

impl FileResolver for OneFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let options = include_str!("../../../proto/exchequer/options/v1/options.proto");
        match name {
            "exchequer/options/v1/options.proto" => File::from_source(name, options),
            "exchequer/test/v1/test.proto" => File::from_source(name, &self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// A service with one method, whose option stands in `access`.
fn contract(rpc: &str) -> Result<Vec<rules::Rule>, Vec<String>> {
    let source = format!(
        r#"syntax = "proto3";
        package exchequer.test.v1;
        import "exchequer/options/v1/options.proto";
        service Tests {{ {rpc} }}
        message Ask {{
          string tenant = 1;
          Scope scope = 2;
          repeated string many = 3;
          uint32 number = 4;
          oneof choice {{ string chosen = 5; }}
          optional string perhaps = 6;
          string project = 7;
        }}
        message Scope {{ string project = 3; }}
        message Answer {{}}"#
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(OneFile(source));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("exchequer/test/v1/test.proto").unwrap();
    let is_permission = |word: &str| word == "flags.edit";
    rules::read(&compiler.descriptor_pool(), &is_permission)
}

fn with(access: &str) -> Result<Vec<rules::Rule>, Vec<String>> {
    contract(&format!(
        "rpc Do(Ask) returns (Answer) {{ option (exchequer.options.v1.access) = {{ {access} }}; }}"
    ))
}

#[test]
fn a_whole_rule_is_read() {
    let access = r#"permission: "flags.edit" tenant: "tenant" project: "scope.project" flag: "perhaps" audit: AUDIT_CLASS_WRITE"#;
    let source = rules::source(&with(access).unwrap());
    for said in [
        r#"path: "/exchequer.test.v1.Tests/Do""#,
        r#"permission: "flags.edit""#,
        "tenant: &[1]",
        "project: &[2, 3]",
        "environment: &[]",
        "flag: &[6]",
        "audit: AuditClass::Write",
        "streams: false",
    ] {
        assert!(source.contains(said), "{said} in {source}");
    }
}

// REQ: IAM-09
#[test]
fn a_method_without_a_rule_is_refused() {
    let wrong = contract("rpc Do(Ask) returns (Answer);").unwrap_err();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].contains("exchequer.test.v1.Tests.Do: has no option"), "{wrong:?}");
}

// REQ: IAM-09
#[test]
fn a_rule_that_cannot_be_kept_is_refused() {
    let read = "audit: AUDIT_CLASS_READ";
    for (access, expected) in [
        (format!(r#"permission: "flags.paint" {read}"#), "`flags.paint`, which is no permission"),
        (format!(r#"tenant: "tenant" {read}"#), "``, which is no permission"),
        (r#"permission: "flags.edit""#.to_owned(), "no audit class"),
        (format!(r#"permission: "flags.edit" tenant: "tenent" {read}"#), "has no field `tenent`"),
        (format!(r#"permission: "flags.edit" tenant: "number" {read}"#), "is no string"),
        (format!(r#"permission: "flags.edit" tenant: "scope" {read}"#), "is no string"),
        (format!(r#"permission: "flags.edit" tenant: "many" {read}"#), "several times"),
        (format!(r#"permission: "flags.edit" tenant: "chosen" {read}"#), "one of a choice"),
        (format!(r#"permission: "flags.edit" tenant: "tenant.id" {read}"#), "behind a string"),
        (format!(r#"permission: "flags.edit" project: "project" {read}"#), "no tenant"),
        (
            format!(r#"permission: "flags.edit" tenant: "tenant" flag: "perhaps" {read}"#),
            "no project",
        ),
    ] {
        let wrong = with(&access).unwrap_err();
        assert!(wrong[0].contains(expected), "{access}: {wrong:?}");
    }
    let streams = r#"rpc Do(stream Ask) returns (Answer) { option (exchequer.options.v1.access) = { permission: "flags.edit" audit: AUDIT_CLASS_READ }; }"#;
    assert!(contract(streams).unwrap_err()[0].contains("takes a stream"));
    // Unless the service asks for each item.
    let items = streams.replace("audit:", "items: true audit:");
    assert!(rules::source(&contract(&items).unwrap()).contains("items: true"));
    for access in [
        r#"permission: "member" items: true"#,
        r#"permission: "flags.edit" tenant: "tenant" items: true"#,
    ] {
        let wrong = with(&format!("{access} {read}")).unwrap_err();
        assert!(wrong[0].contains("item by item"), "{access}: {wrong:?}");
    }
}
