//! What is said of persons, as clients meet it: readable by who may, in no byte of
//! the journal, and gone for good when the person is erased.

use std::collections::HashMap;

use exchequer_access::Scope;
use exchequer_proto::access::v1 as pba;
use exchequer_proto::access::v1::access_service_client::AccessServiceClient;
use exchequer_proto::audit::v1 as pb;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_types::PartitionId;
use tonic::transport::Channel;

use crate::guard::{Guarded, with};
use crate::world::{Reply, World, entry, named, refused, seeing, write};

fn about(subject: &str, fields: &[(&str, &str)]) -> pb::NewEntry {
    let personal: HashMap<String, String> =
        fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    pb::NewEntry { personal, subject: subject.to_owned(), ..entry("invoice.sent") }
}

fn append(id: &str, entry: pb::NewEntry) -> pb::AppendEntryRequest {
    let write = Some(write(id));
    pb::AppendEntryRequest { tenant: "acme".to_owned(), entry: Some(entry), write }
}

fn field(name: &str, text: &str) -> pb::PersonalField {
    pb::PersonalField { name: name.to_owned(), text: text.to_owned(), erased: false }
}

fn erased(name: &str) -> pb::PersonalField {
    pb::PersonalField { name: name.to_owned(), text: String::new(), erased: true }
}

async fn entries(world: &mut World, token: &str) -> Vec<pb::Entry> {
    let list = pb::ListEntriesRequest { tenant: "acme".to_owned(), ..Default::default() };
    world.audit.list_entries(seeing(list, token)).await.unwrap().into_inner().entries
}

fn access(world: &World) -> AccessServiceClient<Channel> {
    AccessServiceClient::new(world.channel.clone())
}

fn erase(subject: &str, id: &str) -> pba::ErasePersonRequest {
    pba::ErasePersonRequest {
        tenant: "acme".to_owned(),
        subject: subject.to_owned(),
        write: Some(write(id)),
    }
}

/// Does any record of the journal have this text?
fn journal_has(world: &World, text: &str) -> bool {
    let partitions = (0..world.platform.tail.partitions()).map(PartitionId);
    partitions
        .flat_map(|it| world.journal.records(it))
        .any(|it| it.windows(text.len()).any(|at| at == text.as_bytes()))
}

// REQ: EDG-06, IAM-18
#[tokio::test(flavor = "multi_thread")]
async fn an_entrys_personal_fields_are_read_until_the_person_is_erased() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let fields = [("customer.name", "Ada Lovelace"), ("customer.note", "")];
    let one = world.audit.append_entry(append("a-1", about("p-1", &fields))).await.unwrap();
    assert_eq!(one.into_inner().seq, 2);
    let other = about("p-2", &[("customer.name", "Charles Babbage")]);
    let two = Reply::of(world.audit.append_entry(append("a-2", other)).await.unwrap());
    let before = entries(&mut world, &two.token).await;
    let ada = [field("customer.name", "Ada Lovelace"), field("customer.note", "")];
    assert_eq!(before[1].personal, ada);
    assert_eq!(before[0].personal, [field("customer.name", "Charles Babbage")]);
    assert!(before[2].personal.is_empty() && before[2].origin.is_none());
    assert!(!journal_has(&world, "Lovelace") && !journal_has(&world, "Babbage"));

    let gone = access(&world).erase_person(erase("p-1", "e-1")).await.unwrap();
    let gone = Reply::of(gone);
    let after = entries(&mut world, &gone.token).await;
    assert_eq!(after.len(), before.len() + 1, "the erasure is audited itself");
    assert_eq!(after[2].personal, [erased("customer.name"), erased("customer.note")]);
    assert_eq!(after[1].personal, before[0].personal, "others stay readable");
    for (old, new) in before.iter().zip(&after[1..]) {
        assert_eq!((&old.json, &old.prev), (&new.json, &new.prev), "the chain is what it was");
    }
    // The same again is the same; there is nothing left to erase.
    access(&world).erase_person(erase("p-1", "e-1")).await.unwrap();
    refused(access(&world).erase_person(erase("p-1", "e-2")).await, "PERSON_NOT_FOUND");
}

// REQ: KER-03, EDG-06
#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_is_the_same_although_encrypted_anew() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let fields = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    for _ in 0..5 {
        let again = world.audit.append_entry(append("a-1", about("p-1", &fields))).await.unwrap();
        assert_eq!(again.into_inner().seq, 2);
    }
    let other_text = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "5")];
    for other in [about("p-1", &other_text), about("p-2", &fields), about("p-1", &fields[..3])] {
        let result = world.audit.append_entry(append("a-1", other)).await;
        refused(result, "COMMAND_ID_REUSED");
    }
}

// REQ: EDG-06
#[tokio::test(flavor = "multi_thread")]
async fn personal_fields_are_checked() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let long = "x".repeat(19_001);
    let names: Vec<String> = (0..17).map(|it| format!("n{it}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|it| (it.as_str(), "x")).collect();
    let cases = [
        (about("p-1", &[("Name", "Ada")]), "entry.personal"),
        (about("p-1", &[("", "Ada")]), "entry.personal"),
        (about("p-1", &[("name", &long)]), "entry.personal"),
        (about("p-1", &many), "entry.personal"),
        (about("two words", &[("name", "Ada")]), "entry.subject"),
        (about("two words", &[]), "entry.subject"),
    ];
    for (entry, field) in cases {
        let refused = world.audit.append_entry(append("bad", entry)).await.unwrap_err();
        assert_eq!(named(&refused), ("ENTRY_INVALID".to_owned(), vec![field.to_owned()]));
    }
    // As much as there may be, and the actor where no subject is named.
    let most = "x".repeat(19_000 / 16);
    let full: Vec<(&str, &str)> = many[..16].iter().map(|it| (it.0, most.as_str())).collect();
    let taken = Reply::of(world.audit.append_entry(append("a-1", about("", &full))).await.unwrap());
    let shown = entries(&mut world, &taken.token).await;
    assert_eq!(shown[0].personal.len(), 16);
    assert!(shown[0].personal.iter().all(|it| it.text == most));
    access(&world).erase_person(erase("u-1", "e-1")).await.unwrap();
}

// REQ: IAM-18, EDG-06
#[tokio::test(flavor = "multi_thread")]
async fn a_members_name_goes_with_the_member_and_views_are_built_anew() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let add = pba::AddMemberRequest {
        tenant: "acme".to_owned(),
        id: "p-1".to_owned(),
        name: "Ada Lovelace".to_owned(),
        email: "ada@example.org".to_owned(),
        write: Some(write("m-1")),
    };
    // A trial tells what would be, with the name.
    let only = WriteOptions { validate_only: true, ..write("trial") };
    let trial = pba::AddMemberRequest { write: Some(only), ..add.clone() };
    let trial = access(&world).add_member(trial).await.unwrap().into_inner();
    assert_eq!((&*trial.name, &*trial.email), ("Ada Lovelace", "ada@example.org"));
    let added = Reply::of(access(&world).add_member(add.clone()).await.unwrap());
    assert_eq!(added.message.name, "Ada Lovelace");
    let again = access(&world).add_member(add).await.unwrap().into_inner();
    assert_eq!(
        (again.name, again.email),
        ("Ada Lovelace".to_owned(), "ada@example.org".to_owned())
    );
    assert!(!journal_has(&world, "Lovelace") && !journal_has(&world, "ada@"));
    let gone = access(&world).erase_person(erase("p-1", "e-1")).await.unwrap();
    let gone = Reply::of(gone);
    let get = pba::GetMemberRequest {
        tenant: "acme".to_owned(),
        id: "p-1".to_owned(),
        ..Default::default()
    };
    refused(access(&world).get_member(get.clone()).await, "MEMBER_NOT_FOUND");
    for view in ["access", "audit"] {
        assert!(world.platform.rebuild(view).await.unwrap().is_some(), "{view}");
    }
    refused(access(&world).get_member(get).await, "MEMBER_NOT_FOUND");
    assert!(entries(&mut world, &gone.token).await.len() >= 3);
}

// REQ: EDG-10, EDG-06
#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_rotated_while_everything_is_read() {
    use exchequer_proto::system::v1::key_service_client::KeyServiceClient;
    use exchequer_proto::system::v1::{GetKeysRequest, RotateKeysRequest};
    let mut world = World::start().await;
    world.tenant("acme").await;
    let told = about("p-1", &[("name", "Ada")]);
    let told = Reply::of(world.audit.append_entry(append("a-1", told)).await.unwrap());
    let mut keys = KeyServiceClient::new(world.channel.clone());
    let before = keys.get_keys(GetKeysRequest::default()).await.unwrap().into_inner();
    assert_eq!((before.master.as_str(), before.tenants, before.tenants_behind), ("1", 1, 0));
    let after = keys.rotate_keys(RotateKeysRequest {}).await.unwrap().into_inner();
    assert_eq!((after.master.as_str(), after.tenants, after.tenants_behind), ("2", 1, 0));
    let shown = entries(&mut world, &told.token).await;
    assert_eq!(shown[0].personal, [field("name", "Ada")]);
}

// REQ: EDG-06, IAM-18
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_tells_where_the_call_came_from() {
    let guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let token = guarded.service("acme", &[("owner", Scope::tenant())]).await;
    let mut audit = guarded.world.audit.clone();
    let appended = audit.append_entry(with(&token, append("a-1", entry("invoice.sent"))));
    let appended = Reply::of(appended.await.unwrap());
    assert!(!journal_has(&guarded.world, "tonic/"), "the agent is not there in clear");
    let list = || pb::ListEntriesRequest { tenant: "acme".to_owned(), ..Default::default() };
    let sent = |it: &pb::Entry| it.action == "invoice.sent";
    let mut asked = with(&token, list());
    asked.metadata_mut().insert("x-exchequer-consistency", appended.token.parse().unwrap());
    let shown = audit.list_entries(asked).await.unwrap().into_inner().entries;
    let shown = shown.into_iter().find(sent).unwrap();
    let origin = shown.origin.clone().unwrap();
    assert_eq!(origin.address, "127.0.0.1");
    assert!(origin.agent.starts_with("tonic/") && !origin.erased, "{origin:?}");
    // The entry's actor is what the application says; the call's is the credential.
    let key = shown.json.split("\"origin\":{\"key\":\"").nth(1).unwrap()[..32].to_owned();
    let key = exchequer_types::KeyId::parse(&key).unwrap();
    let vault = guarded.world.platform.vault.clone().unwrap();
    vault.erase(&[key]).await.unwrap();
    let after = audit.list_entries(with(&token, list())).await.unwrap().into_inner().entries;
    let after = after.into_iter().find(sent).unwrap();
    let origin = after.origin.clone().unwrap();
    assert!(origin.erased && origin.address.is_empty() && origin.agent.is_empty());
    assert_eq!(after.json, shown.json);
    assert!(appended.message.seq > 1);
}
