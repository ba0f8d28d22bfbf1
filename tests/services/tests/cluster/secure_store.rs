//! A store that speaks TLS alone and asks who comes: each wrong certificate, name and password
//! ends the command with one message that names the setting.

use std::path::{Path, PathBuf};

use exchequer_e2e::{Res, ensure};

use crate::authority::Authority;
use crate::deployment::{Deployment, admin, says};
use crate::secure::ends_at_once;

const EXIT_USAGE: i32 = 64;
const EXIT_UNAVAILABLE: i32 = 69;
const EXIT_NO_PERMISSION: i32 = 77;
/// The test servers' first user, and its password.
const USER: &str = "cassandra";
const WRONG: &str = "wrong-staple";

/// How one comes to the store.
#[derive(Clone, Copy)]
pub(crate) struct ToStore<'a> {
    pub(crate) password: &'a str,
    /// Without it, the system's.
    pub(crate) authority: Option<&'a str>,
    /// The name in its certificate.
    pub(crate) name: Option<&'a str>,
    /// Key and certificate of the process.
    pub(crate) identity: Option<&'a str>,
}

impl<'a> ToStore<'a> {
    pub(crate) fn with_password(authority: &'a str) -> Self {
        Self { password: "cassandra", authority: Some(authority), name: None, identity: None }
    }

    /// The settings `text`, which has none of this, with files in `folder`.
    pub(crate) fn settings(&self, text: &str, folder: &Path, file: &str) -> Res<String> {
        let kept = |name: &str, text: &str| -> Res<String> {
            let path = folder.join(format!("{file}.store-{name}"));
            std::fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let password = kept("password", &format!("{}\n", self.password))?;
        let mut lines = format!("user = \"{USER}\"\npassword_file = \"{password}\"\ntls = true\n");
        if let Some(authority) = self.authority {
            let authority = kept("ca.pem", authority)?;
            lines.extend(["ca_file = \"", &authority, "\"\n"]);
        }
        if let Some(name) = self.name {
            lines.extend(["certificate_name = \"", name, "\"\n"]);
        }
        if let Some(identity) = self.identity {
            let identity = kept("identity.pem", identity)?;
            lines.extend([format!("cert_file = \"{identity}\"\nkey_file = \"{identity}\"\n")]);
        }
        ensure(text.contains("nodes ="), || format!("no nodes in {text}"))?;
        Ok(text.replace("nodes =", &format!("{lines}nodes =")))
    }
}

struct World {
    deployment: Deployment,
    text: String,
}

impl World {
    fn config(&self, name: &str, how: &ToStore<'_>) -> Res<PathBuf> {
        let file = self.deployment.folder().join(format!("{name}.toml"));
        std::fs::write(&file, how.settings(&self.text, self.deployment.folder(), name)?)?;
        Ok(file)
    }

    fn refused(&self, how: &ToStore<'_>, code: i32, words: &[&str]) -> Res<()> {
        let node = self.deployment.node();
        let done = admin(&self.config("refused", how)?, &["migrate"])?;
        ensure(!done.output.contains(WRONG), || done.output.clone())?;
        says(&done, code, &[&[node.as_str()], words].concat())
    }
}

/// A node whose certificate is for `store.example`, and which asks for one by `clients`.
pub(crate) fn refuses_what_is_wrong(
    deployment: Deployment,
    nodes: &Authority,
    clients: &Authority,
) -> Res<()> {
    let text = std::fs::read_to_string(deployment.config())?;
    let world = World { deployment, text };
    let own = clients.identity("process.example")?;
    let right = ToStore {
        name: Some("store.example"),
        identity: Some(&own),
        ..ToStore::with_password(&nodes.pem)
    };
    let migrated = world.config("right", &right)?;
    says(&admin(&migrated, &["migrate"])?, 0, &["keyspace exchequer created"])?;

    let no = EXIT_NO_PERMISSION;
    let wrong = ToStore { password: WRONG, ..right };
    world.refused(&wrong, no, &["refuses the user", "check name and password"])?;
    let strange = Authority::new("somebody else")?;
    for authority in [Some(strange.pem.as_str()), None] {
        let how = ToStore { authority, ..right };
        world.refused(&how, no, &["certificate that is not trusted", "scylla.ca_file"])?;
    }
    for name in [Some("other.example"), None] {
        let how = ToStore { name, ..right };
        let words = ["somebody else", "it is for store.example", "scylla.certificate_name"];
        world.refused(&how, no, &words)?;
    }
    let not_theirs = strange.identity("process.example")?;
    for identity in [None, Some(not_theirs.as_str())] {
        let how = ToStore { identity, ..right };
        world.refused(&how, no, &["scylla.cert_file"])?;
    }
    let how = ToStore { authority: Some("no certificate"), ..right };
    let done = admin(&world.config("malformed", &how)?, &["migrate"])?;
    says(&done, EXIT_USAGE, &["scylla.ca_file", "no certificate in it"])?;
    ends_at_once(&world.config("wrong", &wrong)?, no, &["refuses the user"])?;
    one_side_alone_speaks_tls(&world, &right)
}

fn one_side_alone_speaks_tls(world: &World, right: &ToStore<'_>) -> Res<()> {
    let text = std::fs::read_to_string(world.config("clear", right)?)?;
    let of_tls = ["tls", "ca_file", "certificate_name", "cert_file", "key_file"];
    let lines = text.lines().filter(|it| !of_tls.iter().any(|key| it.starts_with(key)));
    let clear = world.deployment.folder().join("clear.toml");
    std::fs::write(&clear, lines.collect::<Vec<_>>().join("\n"))?;
    let node = world.deployment.node();
    says(&admin(&clear, &["migrate"])?, EXIT_UNAVAILABLE, &[&node, "scylla.tls is false"])?;
    // A server that speaks neither this protocol nor TLS.
    let broker = world.deployment.bootstrap();
    let other = world.deployment.folder().join("other.toml");
    std::fs::write(&other, text.replace(&node, &broker))?;
    says(&admin(&other, &["migrate"])?, EXIT_UNAVAILABLE, &[&broker, "scylla.tls is true"])
}
