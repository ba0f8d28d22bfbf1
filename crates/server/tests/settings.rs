//! Settings as an operator meets them: checked before anything runs, shown without
//! secrets, and refused with what to do.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_exchequer");

fn run(args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(PROGRAM).arg("run").args(args).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

// REQ: EDG-07
#[test]
fn a_check_names_every_problem_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let key = file(dir.path(), "short.key", "short");
    let config = file(
        dir.path(),
        "exchequer.toml",
        &format!(
            "[engine]\ncommit_inputs_max = 0\ncommandz_max = 7\n\n[keys]\ndeployment_file = {key:?}\n"
        ),
    );
    let args = ["--check-config", "--config", &config, "--data", data.to_str().unwrap()];
    let variables = [
        ("EXCHEQUER__TELEMETRY__SAMPLE_RATIO", "2"),
        ("EXCHEQUER__TELEMETRY__OTLP_HEADERS_FILE", "/nowhere/headers"),
    ];
    let checked = run(&args, &variables);
    let said = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    for expected in [
        "engine.commit_inputs_max: (",
        "exchequer.toml:2) is 0: must be 1 to 65535",
        "engine.commandz_max: (",
        "exchequer.toml:3) there is no such setting: did you mean engine.commands_max?",
        "keys.deployment_file: (",
        "has 5 bytes and must have 32",
        "telemetry.sample_ratio: (environment variable EXCHEQUER__TELEMETRY__SAMPLE_RATIO) is 2",
        "telemetry.otlp_headers_file: (environment variable EXCHEQUER__TELEMETRY__OTLP_HEADERS_FILE)",
    ] {
        assert!(said.contains(expected), "{expected}\nis not in\n{said}");
    }
    assert!(!data.exists(), "nothing was created");
    // Without the check they stop the start all the same.
    let started = run(&args[1..], &variables);
    assert_eq!(started.status.code(), Some(64), "{}", text(&started.stderr));

    let good = run(&["--check-config", "--data", data.to_str().unwrap()], &[]);
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert!(!data.exists(), "nothing was created");
}

// REQ: EDG-07
#[test]
fn a_dump_is_what_is_in_force_and_can_be_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let secret = file(dir.path(), "headers", "authorization=hunter2\n");
    let variables = [
        ("EXCHEQUER__ENGINE__CLAIM_RETRY_MS", "7"),
        ("EXCHEQUER__TELEMETRY__OTLP_HEADERS_FILE", secret.as_str()),
    ];
    let data = dir.path().to_str().unwrap();
    let dumped = run(&["--dump-config", "--data", data], &variables);
    assert!(dumped.status.success(), "{}", text(&dumped.stderr));
    let dump = text(&dumped.stdout);
    assert!(dump.contains("claim_retry_ms = 7\n") && dump.contains(&format!("data = {data:?}\n")));
    assert!(dump.contains("# otlp_headers is set; secrets are not shown"), "{dump}");
    assert!(!dump.contains("hunter2"), "{dump}");
    let again = file(dir.path(), "again.toml", &dump);
    let used = run(&["--dump-config", "--config", &again], &[]);
    let (used, mut expected) = (text(&used.stdout), dump);
    expected = expected.replace("# otlp_headers is set; secrets are not shown", "# otlp_headers =");
    assert_eq!(used, expected);
}
