//! Settings of who is let in, of TLS and of limits, as people give them.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

use super::{Config, Problem, RunArgs};

fn load(text: &str) -> Result<Config, Vec<Problem>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exchequer.toml");
    std::fs::write(&path, text).unwrap();
    let loaded = Config::load(RunArgs { config: Some(path), ..RunArgs::default() });
    loaded.map_err(|error| error.problems)
}

/// The only problem of `text`, as it is told.
fn problem(text: &str) -> String {
    let problems = load(text).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].to_string()
}

/// A certificate and its key in `dir`, as settings.
fn certificate(dir: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    let dir = dir.display();
    format!("cert_file = \"{dir}/cert.pem\"\nkey_file = \"{dir}/key.pem\"\n")
}

fn issuer(lines: &str) -> String {
    format!(
        "[[access.issuers]]\nname = \"staff\"\nissuer = \"https://id.example.com/\"\n\
         audience = \"exchequer\"\n{lines}\n"
    )
}

// REQ: EDG-06
#[test]
fn beyond_loopback_needs_access_control_and_tls() {
    let dir = tempfile::tempdir().unwrap();
    let files = certificate(dir.path());
    let far = "listen = \"0.0.0.0:7447\"\n";
    load(&format!("{far}[tls]\n{files}")).unwrap();
    let behind = format!("{far}[tls]\nterminated_elsewhere = true\n");
    load(&format!("{behind}[access]\ntrusted_proxies = [\"10.0.0.0/8\"]\n")).unwrap();
    // Every caller would have the proxy's address.
    let found = problem(&behind);
    assert!(found.contains("access.trusted_proxies"), "{found}");
    let bare = problem(far);
    assert!(bare.contains("loopback") && bare.contains("tls.cert_file"), "{bare}");
    let open = problem(&format!("{far}[access]\nenabled = false\n[tls]\n{files}"));
    assert!(open.contains("access.enabled"), "{open}");
    load("[access]\nenabled = false\n").unwrap();
}

// REQ: EDG-06
#[test]
fn certificates_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let files = certificate(dir.path());
    let config = load(&format!("[tls]\n{files}")).unwrap();
    assert!(config.tls.files().is_some());
    for (text, said) in [
        ("cert_file = \"a.pem\"\n".to_owned(), "without tls.key_file"),
        ("key_file = \"a.pem\"\n".to_owned(), "without tls.cert_file"),
        ("client_ca_file = \"a.pem\"\n".to_owned(), "without tls.cert_file"),
        ("require_client = true\n".to_owned(), "without tls.client_ca_file"),
        ("cert_file = \"a.pem\"\nkey_file = \"b.pem\"\n".to_owned(), "cannot read a.pem"),
        (files.replace("key.pem", "cert.pem"), "holds no private key"),
        (
            format!("{files}client_ca_file = \"{}\"\n", dir.path().display()),
            "certificates of authorities",
        ),
    ] {
        let found = problem(&format!("[tls]\n{text}"));
        assert!(found.contains(said), "{found}");
    }
}

// REQ: IAM-12
#[test]
fn issuers_are_checked_before_they_are_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.json");
    let key = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\
               \"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    std::fs::write(&keys, format!("{{\"keys\":[{key}]}}")).unwrap();
    let file = format!("jwks_file = \"{}\"", keys.display());
    let config = load(&issuer(&file)).unwrap();
    let built = config.access.issuers();
    assert_eq!((built.len(), built[0].subject_claim.as_str()), (1, "sub"));
    assert_eq!(built[0].algorithms.len(), 3);
    load(&issuer("jwks_url = \"https://id.example.com/keys\"")).unwrap();
    for (lines, said) in [
        ("", "jwks_url and jwks_file are both there, or neither is"),
        ("jwks_url = \"http://id.example.com/keys\"", "must begin with https://"),
        ("jwks_url = \"id.example.com\"", "must be a URL"),
        ("jwks_url = \"https://me:hunter2@id.example.com/keys\"", "no user and password"),
        ("jwks_file = \"/nowhere/keys.json\"", "/nowhere/keys.json: No such file"),
        (&format!("{file}\nalgorithms = [\"RS256\"]"), "no public key for one of the algorithms"),
        (&format!("{file}\njwks_url = \"https://id.example.com/\""), "are both there"),
        (&format!("{file}\nalgorithms = [\"HS256\"]"), "has HS256"),
        (&format!("{file}\nalgorithms = [\"none\"]"), "has none"),
        (&format!("{file}\nalgorithms = []"), "algorithms is empty"),
        (&format!("{file}\ntenant = \"No Tenant\""), "tenant must match"),
        (&format!("{file}\nsubject_claim = \"\""), "subject_claim"),
        (&format!("{file}\nsecret = \"x\""), "unknown field"),
    ] {
        let found = problem(&issuer(lines));
        assert!(found.contains(said), "{lines}: {found}");
    }
    for name in ["key", "cert", "", "Staff", "a:b", &"x".repeat(28)] {
        let found = problem(&issuer(&file).replace("\"staff\"", &format!("\"{name}\"")));
        assert!(found.contains("name cannot be used"), "{found}");
    }
    for (text, said) in [("keys", "is no set of keys"), ("{\"keys\":[]}", "has no public key")] {
        std::fs::write(&keys, text).unwrap();
        let found = problem(&issuer(&file));
        assert!(found.contains(said), "{found}");
    }
    std::fs::write(&keys, format!("{{\"keys\":[{key}]}}")).unwrap();
    let twice = problem(&format!("{}{}", issuer(&file), issuer(&file)));
    assert!(twice.contains("staff is there twice"), "{twice}");
}

// REQ: IAM-12
#[test]
fn issuers_survive_a_dump() {
    let text = issuer("jwks_url = \"https://id.example.com/keys\"\nalgorithms = [\"ES256\"]");
    let dump = load(&text).unwrap().dump();
    assert!(dump.contains("https://id.example.com/keys"), "{dump}");
    assert_eq!(load(&dump).unwrap().dump(), dump);
}

// REQ: USE-13
#[test]
fn limits_have_bounds() {
    let config = load("").unwrap();
    assert_eq!(config.limits.defaults().requests_per_minute, 100);
    let config = load("[limits]\nrequests_per_minute = 600\nburst = 50\n").unwrap();
    assert_eq!(config.limits.defaults().burst, Some(50));
    for text in ["requests_per_minute = 0", "burst = 0", "burst = 60000001"] {
        let found = problem(&format!("[limits]\n{text}\n"));
        assert!(found.contains("must be 1 to 60000000"), "{found}");
    }
}

// REQ: EDG-07
#[test]
fn what_may_be_unset_has_its_bound_when_it_is_set() {
    let found = problem("[usage]\ncells_bytes_max = 1048575\n");
    assert!(found.contains("must be at least 1048576"), "{found}");
    let config = load("[usage]\ncells_bytes_max = 1048576\n").unwrap();
    assert_eq!(config.usage.settings(true).cells_bytes_max, 1_048_576);
}

// REQ: IAM-13
#[test]
fn trusted_proxies_are_networks() {
    let config = load("[access]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n").unwrap();
    assert_eq!(config.access.proxies().len(), 2);
    let found = problem("[access]\ntrusted_proxies = [\"10.0.0.0/8\", \"10.1.2.3/8\"]\n");
    assert!(found.contains("10.1.2.3/8 has bits set"), "{found}");
    for everybody in ["0.0.0.0/0", "::/0"] {
        let found = problem(&format!("[access]\ntrusted_proxies = [\"{everybody}\"]\n"));
        assert!(found.contains("everybody could say what address"), "{found}");
    }
}

// REQ: EDG-06, EDG-10
#[test]
fn keys_that_no_process_could_start_with_are_named_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master.keys");
    let named = format!("[keys]\nmaster_path = \"{}\"\n", path.display());
    load(&named).unwrap();
    let digits = "ab".repeat(32);
    std::fs::write(&path, format!("1 {digits}\n")).unwrap();
    load(&named).unwrap();
    std::fs::write(&path, format!("1 {}\n", &digits[2..])).unwrap();
    let found = problem(&named);
    assert!(found.contains("a key is malformed") && !found.contains("abab"), "{found}");
    load(&format!("[keys]\nmaster = \"1:{digits}\"\n")).unwrap();
    let found = problem(&format!("[keys]\nmaster = \"{digits}\"\n"));
    assert!(found.contains("keys.master: ") && !found.contains("abab"), "{found}");
    let found = problem(&format!("{named}master = \"1:{digits}\"\n"));
    assert!(found.contains("give one of them"), "{found}");
    // In their usual places too.
    let data = dir.path().join("data");
    let text = format!("data = \"{}\"\n", data.display());
    load(&text).unwrap();
    std::fs::create_dir_all(data.join("keys")).unwrap();
    std::fs::write(data.join("keys/deployment.key"), [1; 31]).unwrap();
    std::fs::write(data.join("keys/master.keys"), "one\n").unwrap();
    let found = load(&text).unwrap_err();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].to_string().contains("31 bytes") && found[1].key == "keys.master_path");
    let found = problem(&format!("data = \"{}\"\n", path.display()));
    assert!(found.contains("is no folder"), "{found}");
}

// REQ: EDG-07
#[test]
fn who_may_send_traces_is_not_told_with_the_endpoint() {
    let found = problem("[telemetry]\notlp_endpoint = \"http://me:hunter2@127.0.0.1:4317\"\n");
    assert!(found.contains("telemetry.otlp_headers") && !found.contains("hunter2"), "{found}");
}
