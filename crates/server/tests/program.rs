//! The program as a person starts it: what it refuses, what it prints, what its
//! port answers besides gRPC, and its tools beside it.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use exchequer_runtime::metrics::FAMILIES;

const PROGRAM: &str = env!("CARGO_BIN_EXE_exchequer");

/// Runs the program to its end.
fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A server that is ready.
struct Server {
    child: Child,
    greeting: String,
    address: String,
    /// Held open: a person may read on.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    fn start_with(data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["run", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("EXCHEQUER_LOG", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("/readyz") {
            assert!(stdout.read_line(&mut greeting).unwrap() > 0, "{greeting}");
        }
        let address = greeting.lines().find_map(|line| line.trim().strip_prefix("address"));
        let address = address.unwrap().trim().to_owned();
        Self { child, greeting, address, _stdout: stdout }
    }

    /// Status line and headers, and the body.
    fn get(&self, path: &str) -> (String, String) {
        self.get_with(path, "")
    }

    /// The same with further headers, as they are sent.
    fn get_with(&self, path: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("sh")
                .args(["-c", "kill -TERM $1", "sh", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// REQ: IAM-15
#[test]
fn bad_settings_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let listen = run(&["run", "--data", data, "--listen", "0.0.0.0:7447"]);
    assert_eq!(listen.status.code(), Some(64));
    assert!(text(&listen.stderr).contains("loopback"));
    let unknown = Command::new(PROGRAM)
        .args(["run", "--data", data])
        .env("EXCHEQUER__ENGINE__COMMANDZ_MAX", "1")
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(64));
    assert!(text(&unknown.stderr).to_lowercase().contains("commandz_max"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was created");
    assert!(text(&run(&["--version"]).stdout).starts_with("exchequer "));
}

// REQ: KER-16, KER-19
#[test]
fn a_start_says_where_it_is_and_what_to_try() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert!(server.greeting.contains(dir.path().to_str().unwrap()));
    assert_eq!(server.greeting.matches("grpcurl -plaintext").count(), 2, "{}", server.greeting);
    assert!(server.greeting.contains(&format!("curl http://{}/readyz", server.address)));
    let (head, body) = server.get("/readyz");
    assert!(head.starts_with("HTTP/1.1 200") && body.contains("\"ready\":true"), "{head} {body}");
    assert!(server.get("/healthz").0.starts_with("HTTP/1.1 200"));
    assert!(server.get("/nothing").0.starts_with("HTTP/1.1 404"));
    let (head, body) = server.get("/metrics");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let families = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: Vec<&str> = families.filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"exchequer_commits_appended_total"), "{names:?}");
    for name in names {
        assert!(FAMILIES.iter().any(|family| family.name == name), "{name} is not documented");
    }
    server.stop();
}

// REQ: EDG-04
#[test]
fn headers_that_are_too_large_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let one = |bytes: usize| format!("x-much: {}\r\n", "a".repeat(bytes));
    for path in ["/healthz", "/v1/events", "/nothing"] {
        for headers in [one(100_000), one(1_000).repeat(100)] {
            let (head, body) = server.get_with(path, &headers);
            assert!(head.starts_with("HTTP/1.1 431"), "{path}: {head}");
            // Who is still sending may be cut off before the body has come.
            assert!(body.is_empty() || body.contains("98304 bytes"), "{body}");
        }
    }
    assert!(server.get_with("/healthz", &one(90_000)).0.starts_with("HTTP/1.1 200"));
    server.stop();
}

// REQ: IAM-12
#[test]
fn the_first_start_shows_a_token_once_and_admin_token_makes_another() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let shown = |greeting: &str| {
        let token = greeting.lines().find_map(|line| line.trim().strip_prefix("token "));
        token.map(|token| token.trim().to_owned())
    };
    let server = Server::start(dir.path());
    let first = shown(&server.greeting).unwrap();
    assert!(server.greeting.contains(&format!("export TOKEN={first}")), "{}", server.greeting);
    server.stop();
    let server = Server::start(dir.path());
    assert_eq!(shown(&server.greeting), None, "{}", server.greeting);
    assert!(!server.greeting.contains("exq_svc_"), "{}", server.greeting);
    let admin = |token: &str, args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["admin", "--address", &server.address]).args(args);
        command.env("EXCHEQUER_TOKEN", token).output().unwrap()
    };
    let made = admin("", &["--data", data, "token"]);
    let second = text(&made.stdout).trim().to_owned();
    assert!(second.starts_with("exq_svc_") && second != first, "{}", text(&made.stderr));
    let viewer = admin(&second, &["token", "--role", "viewer"]);
    let viewer = text(&viewer.stdout).trim().to_owned();
    for token in [&first, &second] {
        assert!(admin(token, &["status"]).status.success());
    }
    for (token, reason) in [
        (viewer.as_str(), "PERMISSION_DENIED"),
        (&first[..first.len() - 1], "CREDENTIAL_INVALID"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "CREDENTIAL_INVALID"),
        ("", "CREDENTIAL_MISSING"),
    ] {
        let refused = admin(token, &["--data", "/nowhere", "status"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(reason), "{}", text(&refused.stderr));
    }
    server.stop();
}

// REQ: EDG-06
#[test]
fn the_tools_speak_tls() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = ["server.pem", "server.key"].map(|it| dir.path().join(it));
    let pair = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let params = rcgen::CertificateParams::new(names).unwrap();
    std::fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let [cert, key] = [&cert, &key].map(|it| it.to_str().unwrap());
    let settings = [("EXCHEQUER__TLS__CERT_FILE", cert), ("EXCHEQUER__TLS__KEY_FILE", key)];
    let data = dir.path().join("data");
    let server = Server::start_with(&data, &settings);
    let data = data.to_str().unwrap();
    let secure = format!("https://{}", server.address);
    let known = ["--ca-file", cert, "--data", data];
    for address in [&server.address, &secure] {
        let status = run(&[&["admin", "--server", address, "status"][..], &known].concat());
        assert!(status.status.success(), "{}", text(&status.stderr));
    }
    let show = ["catalog", "show", "--tenant", "platform", "--server", &secure];
    let shown = run(&[&show[..], &known].concat());
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    // Nobody vouches for it, and it does not speak without TLS.
    let plain = format!("http://{}", server.address);
    for (address, said) in [(&secure, "no server answers"), (&plain, "write https://")] {
        let refused = run(&["admin", "--server", address, "--data", data, "status"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(said), "{}", text(&refused.stderr));
    }
    server.stop();
}

// REQ: KER-11, KER-18
#[test]
fn the_tools_work_beside_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let (data, copy) = (data.to_str().unwrap(), dir.path().join("copy"));
    let copy = copy.to_str().unwrap();
    let admin = |args: &[&str]| {
        let mut all = vec!["admin", "--address", &server.address, "--data", data];
        all.extend(args);
        run(&all)
    };
    let status = admin(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["partitions"].as_array().unwrap().len(), 16);
    assert!(text(&admin(&["status"]).stdout).contains("dead-letters"));
    assert!(text(&admin(&["rebuild", "audit"]).stdout).contains("generation 2"));
    assert!(text(&admin(&["dead-letters"]).stdout).contains("0 dead letters"));
    assert!(text(&admin(&["parked"]).stdout).contains("0 parked tenants"));
    let release = admin(&["release", "platform"]);
    assert_eq!(release.status.code(), Some(1));
    assert!(text(&release.stderr).contains("TENANT_NOT_PARKED"));
    let unknown = admin(&["replay", "0-999-0"]);
    assert!(text(&unknown.stderr).contains("DEAD_LETTER_NOT_FOUND"));
    let verified = run(&["verify", "journal", "--data", data, "--audit"]);
    assert!(verified.status.success() && text(&verified.stdout).contains("nothing is wrong"));
    let kept = run(&["backup", "--data", data, "--to", copy, "--json"]);
    let kept: serde_json::Value = serde_json::from_slice(&kept.stdout).unwrap();
    assert!(kept["records"].as_u64().unwrap() >= 33, "{kept}");
    let second = run(&["run", "--data", data, "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("in use by another process"));
    server.stop();
    let gone = run(&["admin", "--address", "127.0.0.1:1", "--data", data, "status"]);
    assert!(text(&gone.stderr).contains("is it running?"));
    let again = dir.path().join("again");
    let restored = run(&["restore", "--from", copy, "--data", again.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert!(text(&restored.stdout).contains("exchequer admin keys restore"));
    // The keys of persons have a backup of their own: that they are missing is said.
    let lost = run(&["run", "--data", again.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_eq!(lost.status.code(), Some(1));
    let said = text(&lost.stderr);
    assert!(
        said.contains("persons.keys is missing") && said.contains("keys.accept_loss"),
        "{said}"
    );
    Server::start_with(&again, &[("EXCHEQUER__KEYS__ACCEPT_LOSS", "true")]).stop();
    // From then on there are keys again.
    Server::start(&again).stop();
    // What a start would find, without one.
    let check = |name: &str, value: &str| {
        let args = ["run", "--check-config", "--data", again.to_str().unwrap()];
        let done = Command::new(PROGRAM).args(args).env(name, value).output().unwrap();
        (done.status.success(), text(&done.stderr))
    };
    assert!(check("EXCHEQUER__JOURNAL__PARTITIONS", "16").0);
    let (is_well, said) = check("EXCHEQUER__JOURNAL__PARTITIONS", "32");
    assert!(!is_well && said.contains("the journal has 16"), "{said}");
    std::fs::remove_file(again.join("keys/persons.keys")).unwrap();
    let (is_well, said) = check("EXCHEQUER__JOURNAL__PARTITIONS", "16");
    assert!(!is_well && said.contains("keys.accept_loss"), "{said}");
    assert!(check("EXCHEQUER__KEYS__ACCEPT_LOSS", "true").0);
}

// REQ: EDG-06
#[test]
fn master_keys_that_are_not_the_folders_are_found_without_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let server = Server::start(Path::new(data));
    let made = Command::new(PROGRAM)
        .args(["admin", "--server", &server.address, "--data", data, "token"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    server.stop();
    let check = || {
        let done = run(&["run", "--check-config", "--data", data]);
        (done.status.success(), text(&done.stderr))
    };
    assert!(check().0);
    let master = Path::new(data).join("keys/master.keys");
    std::fs::write(&master, format!("1 {}\n", "5a".repeat(32))).unwrap();
    let (is_well, said) = check();
    assert!(!is_well && said.contains("is not the one that wrapped"), "{said}");
    std::fs::remove_file(&master).unwrap();
    let (is_well, said) = check();
    assert!(!is_well && said.contains("master.keys is missing"), "{said}");
}
