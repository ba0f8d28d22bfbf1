//! Settings as people give them.

use super::*;

fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exchequer.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(RunArgs { config: Some(path), ..RunArgs::default() })
}

fn problems(text: &str) -> Vec<Problem> {
    load(text).unwrap_err().problems
}

#[test]
fn a_file_changes_what_it_names() {
    let config = load("listen = \"[::1]:9000\"\n[engine]\ntenant_commands_max = 7\n").unwrap();
    assert_eq!(config.place.listen.port(), 9_000);
    assert_eq!(config.engine.settings(0).tenant_commands_max, 7);
    assert_eq!(config.journal.partitions, 16);
}

// REQ: EDG-07
#[test]
fn unknown_settings_are_refused_by_name_with_what_was_meant() {
    for (text, name, meant) in [
        ("lisen = 1\n", "lisen", "listen"),
        ("[engine]\ncommandz_max = 1\n", "engine.commandz_max", "engine.commands_max"),
        ("[nothing]\na = 1\nb = 2\n", "nothing", "--dump-config"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, name);
        assert!(found[0].cure.contains(meant), "{}", found[0]);
    }
}

// REQ: EDG-07
#[test]
fn every_problem_is_named_with_its_place_and_its_cure() {
    let found = problems(
        "listen = \"0.0.0.0:7447\"\n[engine]\ncommit_inputs_max = 0\nview_rows_max = \"many\"\n\
         [telemetry]\nsample_ratio = 1.5\nlog = \"exchequer=loud\"\notlp_endpoint = \"collector\"\n",
    );
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    let expected = [
        ("engine.commit_inputs_max: ", "exchequer.toml:3) is 0: must be 1 to 65535"),
        ("engine.view_rows_max: ", "exchequer.toml:4) is string \"many\": must be usize"),
        ("telemetry.log: ", "exchequer.toml:7) is \"exchequer=loud\": must be a level"),
        ("telemetry.otlp_endpoint: ", "must be a URL such as"),
        ("telemetry.sample_ratio: ", "exchequer.toml:6) is 1.5: must be 0 to 1"),
        ("listen: ", "loopback"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for ((key, text), said) in expected.iter().zip(&said) {
        assert!(said.starts_with(key) && said.contains(text), "{said}");
    }
}

// REQ: IAM-15
#[test]
fn only_loopback_is_listened_on() {
    let refused = load("listen = \"0.0.0.0:7447\"\n").unwrap_err().to_string();
    assert!(refused.contains("loopback"), "{refused}");
}

#[test]
fn a_missing_file_and_one_that_is_no_toml_are_named() {
    let args = RunArgs { config: Some(PathBuf::from("nowhere.toml")), ..RunArgs::default() };
    assert!(Config::load(args).unwrap_err().to_string().contains("nowhere.toml"));
    let found = problems("listen = [\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].place.contains("exchequer.toml") && found[0].cure.contains("TOML"));
}

// REQ: EDG-07
#[test]
fn a_dump_is_a_file_that_gives_the_same_settings() {
    let given = "listen = \"127.0.0.1:1\"\n[engine]\nclaim_retry_ms = 3\n[telemetry]\n\
                 otlp_endpoint = \"http://127.0.0.1:4317\"\nservice_name = \"a \\\"b\\\" \\\\c\"\n";
    let dump = load(given).unwrap().dump();
    assert!(dump.contains("claim_retry_ms = 3\n"), "{dump}");
    assert!(dump.contains("# Default: 50 (milliseconds)\n"), "{dump}");
    assert_eq!(load(&dump).unwrap().dump(), dump);
    let default = Config::default().dump();
    assert_eq!(load(&default).unwrap().dump(), default);
}

// REQ: EDG-07
#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headers");
    std::fs::write(&file, "authorization=hunter2\n").unwrap();
    let named = format!("[telemetry]\notlp_headers_file = \"{}\"\n", file.display());
    let direct = "[telemetry]\notlp_headers = \"authorization=hunter2\"\n";
    for text in [named.as_str(), direct] {
        let config = load(text).unwrap();
        assert_eq!(config.telemetry.otlp_headers.expose(), Some("authorization=hunter2"));
        assert!(!config.dump().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(config.dump().contains("secrets are not shown"));
    }
    let both = format!("{named}otlp_headers = \"x=hunter2\"\n");
    let found = problems(&both);
    assert!(found[0].cure.contains("one of them") && !found[0].to_string().contains("hunter2"));
    std::fs::remove_file(&file).unwrap();
    assert!(problems(&named)[0].to_string().contains("headers cannot be read"));
    let number = problems("[telemetry]\notlp_headers = 4711\n");
    assert!(!number[0].to_string().contains("4711"), "{}", number[0]);
}

/// The page is generated from the declarations as text; this holds it to the real ones.
// REQ: EDG-07
#[test]
fn the_reference_page_shows_the_real_defaults() {
    let page = include_str!("../../../../docs/reference/settings.md");
    for section in Config::default().described() {
        for field in section.fields {
            let shown = match (field.key, field.default) {
                // The user's own.
                ("data", _) => continue,
                (_, value::Shown::Value(text)) => format!("`{text}`"),
                (_, _) => "none".to_owned(),
            };
            let row = format!("| `{}` | {shown} |", field.key);
            assert!(page.contains(&row), "{}: no row begins: {row}", section.table);
        }
    }
}
