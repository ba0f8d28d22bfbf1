//! A person erased in the real program: unreadable at once, after `kill -9`, with the
//! views deleted, and with every older backup put back; and the chain verifies.

use std::ffi::OsStr;
use std::path::Path;

use exchequer_e2e::{Client, Finished, Res, Sent, Server, run_with};
use exchequer_proto::access::v1 as access;
use exchequer_proto::audit::v1 as audit;
use exchequer_proto::common::v1::WriteOptions;

const APPEND: &str = "/exchequer.audit.v1.AuditService/AppendEntry";
const LIST: &str = "/exchequer.audit.v1.AuditService/ListEntries";
const ERASE: &str = "/exchequer.access.v1.AccessService/ErasePerson";
const NAME: &str = "Ada Lovelace";

fn write(id: &str) -> WriteOptions {
    WriteOptions { command_id: id.to_owned(), ..WriteOptions::default() }
}

/// An entry about `subject`, whose name is in it.
async fn told(client: &Client, subject: &str, id: &str) -> Res<u64> {
    let entry = audit::NewEntry {
        action: "invoice.sent".to_owned(),
        actor: "u-1".to_owned(),
        resource: Some(audit::Resource { r#type: "invoice".to_owned(), id: "1".to_owned() }),
        subject: subject.to_owned(),
        personal: [("name".to_owned(), NAME.to_owned())].into(),
        ..audit::NewEntry::default()
    };
    let request = audit::AppendEntryRequest {
        tenant: "acme".to_owned(),
        entry: Some(entry),
        write: Some(write(id)),
    };
    let reply: audit::AppendEntryResponse = client.ask(APPEND, &request, None).await?;
    Ok(reply.seq)
}

/// What the entry `seq` says of its person, and its bytes.
async fn shown(client: &Client, seq: u64) -> Res<(audit::PersonalField, String)> {
    let token = client.token("acme").await?;
    let request = audit::ListEntriesRequest { tenant: "acme".to_owned(), ..<_>::default() };
    let list: audit::ListEntriesResponse = client.ask(LIST, &request, Some(&token)).await?;
    let entry = list.entries.into_iter().find(|it| it.seq == seq);
    let entry = entry.ok_or_else(|| format!("entry {seq} is not listed"))?;
    let field = entry.personal.into_iter().next().ok_or("it says nothing of a person")?;
    Ok((field, entry.json))
}

async fn is_erased(client: &Client, seq: u64) -> Res<bool> {
    Ok(shown(client, seq).await?.0.erased)
}

fn exchequer(args: &[&str], paths: &[(&str, &Path)]) -> Res<Finished> {
    let mut all: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    for (name, path) in paths {
        all.extend([OsStr::new(*name), path.as_os_str()]);
    }
    run_with(&all)
}

fn verified(data: &Path) -> Res<()> {
    let done = exchequer(&["verify", "journal", "--audit"], &[("--data", data)])?;
    assert!(done.status.success(), "{}", done.output);
    Ok(())
}

/// Does any file below `folder` have this text?
fn has(folder: &Path, text: &str) -> Res<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            has(&path, text)?
        } else {
            std::fs::read(&path)?.windows(text.len()).any(|it| it == text.as_bytes())
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

// REQ: IAM-18, EDG-06
#[tokio::test(flavor = "multi_thread")]
async fn no_backup_brings_an_erased_person_back() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let [data, copy, new] = ["data", "copy", "new"].map(|name| folder.path().join(name));
    let (keys, rows) = (folder.path().join("old.keys"), data.join("keys/persons.keys"));
    let server = Server::start(&data)?;
    let client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "create")).await?;
    let ada = told(&client, "p-1", "a-1").await?;
    let other = told(&client, "p-2", "a-2").await?;
    let (before, json) = shown(&client, ada).await?;
    assert_eq!((before.text.as_str(), before.erased), (NAME, false));
    for (what, to) in [(&["backup"][..], &copy), (&["admin", "keys", "backup"][..], &keys)] {
        let done = exchequer(what, &[("--data", &data), ("--to", to)])?;
        assert!(done.status.success(), "{}", done.output);
    }
    assert!(!copy.join("keys/persons.keys").exists(), "the keys have a backup of their own");
    assert!(!copy.join("keys/master.keys").exists());

    let erase = access::ErasePersonRequest {
        tenant: "acme".to_owned(),
        subject: "p-1".to_owned(),
        write: Some(write("e-1")),
    };
    let _: access::ErasePersonResponse = client.ask(ERASE, &erase, None).await?;
    let (after, same) = shown(&client, ada).await?;
    assert!(after.erased && after.text.is_empty());
    assert_eq!(same, json, "the entry's bytes are what they were");
    assert!(!is_erased(&client, other).await?);
    // A crash, and views that are lost.
    drop(client);
    server.kill()?;
    std::fs::remove_dir_all(data.join("views"))?;
    let server = Server::start(&data)?;
    let client = Client::connect(&server).await?;
    assert!(is_erased(&client, ada).await?);
    assert!(!is_erased(&client, other).await?);
    drop(client);
    server.stop()?;
    verified(&data)?;

    // The older keys.
    let restore = ["admin", "keys", "restore"];
    let refused = exchequer(&restore, &[("--data", &data), ("--from", &keys)])?;
    assert!(!refused.status.success() && refused.output.contains("exists already"));
    std::fs::remove_file(&rows)?;
    let done = exchequer(&restore, &[("--data", &data), ("--from", &keys)])?;
    assert!(done.status.success(), "{}", done.output);
    let server = Server::start(&data)?;
    let client = Client::connect(&server).await?;
    assert!(is_erased(&client, ada).await?);
    assert!(!is_erased(&client, other).await?);
    drop(client);
    server.stop()?;
    verified(&data)?;
    assert!(!has(&data, NAME)?, "nowhere in clear");

    // The older journal with the keys of today: nobody is back, and nobody else is lost.
    let done = exchequer(&["restore"], &[("--from", &copy), ("--data", &new)])?;
    assert!(done.status.success(), "{}", done.output);
    let refused = Server::refused(&new)?;
    assert!(refused.output.contains("persons.keys is missing"), "{}", refused.output);
    assert!(!new.join("keys/persons.keys").exists(), "no empty one was made");
    for name in ["persons.keys", "master.keys"] {
        std::fs::copy(data.join("keys").join(name), new.join("keys").join(name))?;
    }
    let server = Server::start(&new)?;
    let client = Client::connect(&server).await?;
    assert!(is_erased(&client, ada).await?);
    assert!(!is_erased(&client, other).await?);
    drop(client);
    server.stop()?;
    verified(&new)
}

// REQ: EDG-10, EDG-06
#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_rotated_and_a_lost_one_is_named() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = Server::start(&data)?;
    let client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "create")).await?;
    let ada = told(&client, "p-1", "a-1").await?;
    let address = server.address.clone();
    let rotate = ["admin", "--address", &address, "keys", "rotate"];
    let done = exchequer(&rotate, &[("--data", &data)])?;
    assert!(done.status.success() && done.output.contains("master key 2"), "{}", done.output);
    assert_eq!(shown(&client, ada).await?.0.text, NAME);
    drop(client);
    server.stop()?;
    // The first version is needed no more.
    let master = data.join("keys/master.keys");
    let text = std::fs::read_to_string(&master)?;
    let newest: Vec<&str> = text.lines().filter(|line| !line.starts_with("1 ")).collect();
    std::fs::write(&master, newest.join("\n"))?;
    let server = Server::start(&data)?;
    let client = Client::connect(&server).await?;
    assert_eq!(shown(&client, ada).await?.0.text, NAME);
    drop(client);
    server.stop()?;
    std::fs::remove_file(&master)?;
    let refused = Server::refused(&data)?;
    assert!(refused.output.contains("master.keys is missing"), "{}", refused.output);
    assert!(!master.exists(), "no other one was made");
    Ok(())
}
