//! Brokers and a store that speak TLS and ask who comes: everything works with the right certificate and
//! password, and a wrong one ends the process with one message.

use std::path::{Path, PathBuf};

use exchequer_e2e::{Res, Sent, ensure};
use exchequer_services::{Cassandra, Guard, Kafka, NodeTls};

use crate::authority::Authority;
use crate::deployment::{Deployment, accepted, admin, says, start};
use crate::secure_store::{self, ToStore};
use crate::turn::Turn;

const EXIT_USAGE: i32 = 64;
const EXIT_UNAVAILABLE: i32 = 69;
const EXIT_NO_PERMISSION: i32 = 77;
const USER: &str = "exchequer";
const PASSWORD: &str = "correct-horse";

/// How one signs in.
struct SignIn<'a> {
    mechanism: &'a str,
    user: &'a str,
    password: &'a str,
    authority: &'a str,
    /// Key and certificate of the process.
    identity: Option<&'a str>,
}

/// Brokers that ask who comes, and the authority that vouches for them.
struct World {
    deployment: Deployment,
    guarded: String,
    files: PathBuf,
    /// Settings that sign in at no broker.
    open: String,
}

impl World {
    fn start(host: &str, clients: Option<&Authority>, store: Cassandra) -> Res<(Self, Authority)> {
        let authority = Authority::new("brokers")?;
        let guard = Guard {
            identity: authority.identity(host)?,
            clients: clients.map(|it| it.pem.clone()),
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let kafka = Kafka::start_guarded(1, guard)?;
        let guarded = kafka.guarded_bootstrap();
        let deployment = Deployment::on(kafka, store)?;
        let files = deployment.folder().to_owned();
        let open = std::fs::read_to_string(deployment.config())?;
        Ok((Self { deployment, guarded, files, open }, authority))
    }

    /// Settings that sign in so, with the password in a file.
    fn config(&self, name: &str, how: &SignIn<'_>) -> Res<PathBuf> {
        let SignIn { mechanism, user, password, authority, identity } = how;
        let files = self.files.display();
        std::fs::write(self.files.join(format!("{name}.password")), format!("{password}\n"))?;
        std::fs::write(self.files.join(format!("{name}.ca.pem")), authority)?;
        let of_sign_in = format!(
            "replicas = 1\ntls = true\nca_file = \"{files}/{name}.ca.pem\"\n\
             sasl_mechanism = \"{mechanism}\"\nsasl_user = \"{user}\"\n\
             sasl_password_file = \"{files}/{name}.password\"\n"
        );
        let of_process = match identity {
            Some(identity) => {
                let file = self.files.join(format!("{name}.identity.pem"));
                std::fs::write(&file, identity)?;
                let file = file.display();
                format!("cert_file = \"{file}\"\nkey_file = \"{file}\"\n")
            }
            None => String::new(),
        };
        let of_sign_in = format!("{of_sign_in}{of_process}");
        let text = self.open.replace(&self.deployment.bootstrap(), &self.guarded);
        let file = self.files.join(format!("{name}.toml"));
        std::fs::write(&file, text.replace("replicas = 1\n", &of_sign_in))?;
        Ok(file)
    }
}

/// It ended with this code, said so once, and did not try for long.
pub(crate) fn ends_at_once(config: &Path, code: i32, words: &[&str]) -> Res<()> {
    const LINES_MAX: usize = 8;
    let done = start(config, "decider")?;
    says(&done, code, words)?;
    let said = done.output.lines().filter(|line| line.starts_with("exchequer: ")).count();
    let lines = done.output.lines().count();
    ensure(said == 1 && lines <= LINES_MAX && !done.output.contains(PASSWORD), || {
        format!("{lines} lines, {said} of them messages: {}", done.output)
    })
}

// REQ: KER-07, EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn everything_works_with_tls_and_a_password() -> Res<()> {
    let _turn = Turn::shared();
    let nodes = Authority::new("nodes")?;
    let tls = NodeTls { identity: nodes.identity("127.0.0.1")?, clients: None };
    let clients = Authority::new("clients")?;
    let store = Cassandra::start_guarded(&tls)?;
    let (mut world, authority) = World::start("127.0.0.1", Some(&clients), store)?;
    let to_store = ToStore::with_password(&nodes.pem);
    world.open = to_store.settings(&world.open, &world.files, "all")?;
    let own = clients.identity("process.example")?;
    let right = |mechanism| SignIn {
        mechanism,
        user: USER,
        password: PASSWORD,
        authority: &authority.pem,
        identity: Some(&own),
    };
    let scram = world.config("scram", &right("SCRAM-SHA-512"))?;
    says(&admin(&scram, &["init"])?, 0, &["journal created"])?;
    says(&admin(&scram, &["migrate"])?, 0, &["keyspace exchequer created"])?;
    let shorter = world.config("shorter", &right("SCRAM-SHA-256"))?;
    says(&admin(&shorter, &["init"])?, 0, &["journal is as it must be"])?;
    let plain = world.config("plain", &right("PLAIN"))?;
    says(&admin(&plain, &["init"])?, 0, &["journal is as it must be"])?;

    world.deployment.use_config(scram);
    let member = world.deployment.start("all", &[])?;
    let client = world.deployment.client(&member).await?;
    accepted(&client, &[Sent::create("acme", "create")]).await?;
    member.stop()?;
    world.deployment.use_config(plain);
    let member = world.deployment.start("all-again", &[])?;
    let client = world.deployment.client(&member).await?;
    accepted(&client, &[Sent::rename("acme", "rename", "Acme", None)]).await?;
    let token = client.token("acme").await?;
    let book = client.book("acme", &token).await?.ok_or("acme is gone")?;
    ensure(book.tenant.name == "Acme", || format!("{book:?}"))?;
    drop(member);

    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let how = SignIn { password: "wrong-staple", ..right(mechanism) };
        let wrong = world.config("wrong", &how)?;
        let words = [world.guarded.as_str(), "check user, password"];
        ends_at_once(&wrong, EXIT_NO_PERMISSION, &words)?;
    }
    let other = Authority::new("somebody else")?;
    let how = SignIn { authority: &other.pem, ..right("PLAIN") };
    let strange = world.config("strange", &how)?;
    ends_at_once(&strange, EXIT_NO_PERMISSION, &[&world.guarded, "certificate"])?;
    let not_theirs = other.identity("process.example")?;
    for identity in [None, Some(not_theirs.as_str())] {
        let unknown = world.config("unknown", &SignIn { identity, ..right("PLAIN") })?;
        ends_at_once(&unknown, EXIT_NO_PERMISSION, &[&world.guarded, "certificate"])?;
    }
    // What asks for TLS is spoken to in clear.
    let text = std::fs::read_to_string(world.config("clear", &right("SCRAM-SHA-512"))?)?;
    let clear = world.files.join("clear.toml");
    let of_tls = ["tls", "ca_file", "cert_file", "key_file"];
    let lines = text.lines().filter(|it| !of_tls.iter().any(|name| it.starts_with(name)));
    std::fs::write(&clear, lines.collect::<Vec<_>>().join("\n"))?;
    ends_at_once(&clear, EXIT_UNAVAILABLE, &[&world.guarded, "check"])?;
    std::fs::remove_file(world.files.join("scram.password"))?;
    says(
        &start(&world.files.join("scram.toml"), "decider")?,
        EXIT_USAGE,
        &["kafka.sasl_password_file", "cannot be read"],
    )
}

// REQ: KER-07, KER-13, EDG-05
#[test]
fn servers_with_another_name_are_not_trusted_nor_clients_without_a_certificate() -> Res<()> {
    let _turn = Turn::shared();
    let (nodes, clients) = (Authority::new("nodes")?, Authority::new("clients")?);
    let identity = nodes.identity("store.example")?;
    let tls = NodeTls { identity, clients: Some(clients.pem.clone()) };
    let (world, authority) = World::start("broker.example", None, Cassandra::start_guarded(&tls)?)?;
    let how = SignIn {
        mechanism: "PLAIN",
        user: USER,
        password: PASSWORD,
        authority: &authority.pem,
        identity: None,
    };
    let config = world.config("name", &how)?;
    says(&admin(&config, &["init"])?, EXIT_NO_PERMISSION, &[&world.guarded, "certificate"])?;
    says(&world.deployment.admin(&["init"])?, 0, &["journal created"])?;
    secure_store::refuses_what_is_wrong(world.deployment, &nodes, &clients)
}
