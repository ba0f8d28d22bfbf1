//! The calls about catalogs over a real port.

use exchequer_catalog_file::{SAMPLES, parse};
use exchequer_codec::{document_from_proto, document_to_proto};
use exchequer_proto::catalog::v1 as pb;
use exchequer_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use exchequer_proto::tenants::v1 as pbt;
use tonic::Code;
use tonic::transport::Channel;

use crate::world::{Reply, World, named, refused, seeing, write};

type Client = CatalogServiceClient<Channel>;

fn client(world: &World) -> Client {
    CatalogServiceClient::new(world.channel.clone())
}

fn sample(name: &str) -> pb::Document {
    let sample = SAMPLES.iter().find(|sample| sample.name == name).unwrap();
    document_to_proto(&parse(sample.text).unwrap())
}

fn save(document: pb::Document) -> pb::SaveDraftRequest {
    pb::SaveDraftRequest {
        tenant: "platform".to_owned(),
        catalog: "main".to_owned(),
        document: Some(document),
        write: None,
    }
}

fn publish(hash: &str) -> pb::PublishCatalogRequest {
    pb::PublishCatalogRequest {
        tenant: "platform".to_owned(),
        catalog: "main".to_owned(),
        hash: hash.to_owned(),
        write: None,
    }
}

fn get(version: u32) -> pb::GetCatalogRequest {
    pb::GetCatalogRequest {
        tenant: "platform".to_owned(),
        catalog: "main".to_owned(),
        version,
        ..<_>::default()
    }
}

fn diff(document: Option<pb::Document>) -> pb::DiffCatalogRequest {
    let (tenant, catalog) = ("platform".to_owned(), "main".to_owned());
    pb::DiffCatalogRequest { tenant, catalog, document }
}

fn retire(version: u32) -> pb::RetireVersionRequest {
    let (tenant, catalog) = ("platform".to_owned(), "main".to_owned());
    pb::RetireVersionRequest { tenant, catalog, version, write: None }
}

/// The price of starter for a month.
fn starter_monthly(document: &mut pb::Document) -> &mut i64 {
    let plan = document.plans.iter_mut().find(|plan| plan.id == "starter").unwrap();
    let price = plan.prices.iter_mut().find(|price| price.id == "monthly").unwrap();
    let usd = price.currencies.iter_mut().find(|it| it.currency == "USD").unwrap();
    &mut usd.components[0].amount
}

/// Saves and publishes; the token of the reply.
async fn published(client: &mut Client, document: pb::Document) -> Reply<pb::CatalogVersion> {
    client.save_draft(save(document)).await.unwrap();
    Reply::of(client.publish_catalog(publish("")).await.unwrap())
}

// REQ: BIL-01
#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_is_drafted_published_compared_and_retired() {
    let world = World::start().await;
    let mut client = client(&world);
    let saved = Reply::of(client.save_draft(save(sample("saas"))).await.unwrap());
    assert_eq!((saved.message.revision, &saved.message.latest), (1, &None));
    let info = saved.message.draft.unwrap();
    let ask = pb::GetDraftRequest {
        tenant: "platform".to_owned(),
        catalog: "main".to_owned(),
        ..<_>::default()
    };
    let draft = client.get_draft(seeing(ask, &saved.token)).await.unwrap().into_inner();
    assert_eq!((draft.revision, draft.info), (1, Some(info.clone())));
    assert_eq!(document_from_proto(draft.document.unwrap()).unwrap().plans.len(), 4);
    let first = Reply::of(client.publish_catalog(publish(&info.hash)).await.unwrap());
    assert_eq!((first.message.version, &first.message.hash), (1, &info.hash));
    assert_eq!(first.message.status(), pb::VersionStatus::Published);

    let mut dearer = sample("saas");
    *starter_monthly(&mut dearer) = 3_900;
    let planned = client.diff_catalog(seeing(diff(Some(dearer.clone())), &first.token)).await;
    let planned = planned.unwrap().into_inner();
    assert_eq!((planned.version, planned.revision), (1, 2));
    let change = pb::Change {
        path: "plans.starter.prices.monthly.currencies.USD.flat".to_owned(),
        before: Some("29.00".to_owned()),
        after: Some("39.00".to_owned()),
    };
    assert_eq!(planned.changes, [change]);
    let second = published(&mut client, dearer).await;
    assert_eq!((second.message.version, &second.message.hash), (2, &planned.hash));
    let mut found = client.get_catalog(seeing(get(1), &second.token)).await.unwrap().into_inner();
    assert_eq!(*starter_monthly(found.document.as_mut().unwrap()), 2_900);
    let mut found = client.get_catalog(seeing(get(0), &second.token)).await.unwrap().into_inner();
    assert_eq!((found.version, *starter_monthly(found.document.as_mut().unwrap())), (2, 3_900));

    let retired = Reply::of(client.retire_version(retire(2)).await.unwrap());
    assert_eq!(retired.message.status(), pb::VersionStatus::Retired);
    let found = client.get_catalog(seeing(get(0), &retired.token)).await.unwrap().into_inner();
    assert_eq!(found.version, 1);
}

// REQ: BIL-01
#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_new_is_no_version() {
    let world = World::start().await;
    let mut client = client(&world);
    let first = published(&mut client, sample("flags")).await;
    let mut reordered = sample("flags");
    reordered.plans.reverse();
    reordered.features.reverse();
    client.save_draft(save(reordered.clone())).await.unwrap();
    let status = refused(client.publish_catalog(publish("")).await, "CATALOG_UNCHANGED");
    assert_eq!(status.code(), Code::FailedPrecondition);
    refused(client.save_draft(save(reordered.clone())).await, "CATALOG_UNCHANGED");
    let same = client.diff_catalog(seeing(diff(Some(reordered)), &first.token)).await;
    let same = same.unwrap().into_inner();
    assert_eq!((same.changes.len(), same.hash), (0, first.message.hash));
    refused(client.publish_catalog(publish(&"0".repeat(64))).await, "CATALOG_DRAFT_CHANGED");
}

// REQ: BIL-01, KER-03
#[tokio::test(flavor = "multi_thread")]
async fn lists_come_page_by_page() {
    let world = World::start().await;
    let mut client = client(&world);
    let mut token = String::new();
    for sample_name in ["flags", "saas", "workspace"] {
        let request = pb::SaveDraftRequest {
            catalog: sample_name.to_owned(),
            write: Some(write(sample_name)),
            ..save(sample(sample_name))
        };
        let saved = Reply::of(client.save_draft(request.clone()).await.unwrap());
        let again = Reply::of(client.save_draft(request).await.unwrap());
        assert_eq!(again.message, saved.message);
        token = saved.token;
    }
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let tenant = "platform".to_owned();
        let ask = pb::ListCatalogsRequest { tenant, page_size: 2, page_token, ..<_>::default() };
        let page = client.list_catalogs(seeing(ask, &token)).await.unwrap().into_inner();
        found.extend(page.catalogs.into_iter().map(|it| it.catalog));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["flags", "saas", "workspace"]);
    published(&mut client, sample("flags")).await;
    let second = published(&mut client, sample("saas")).await;
    let ask = |page_token| pb::ListVersionsRequest {
        tenant: "platform".to_owned(),
        catalog: "main".to_owned(),
        page_size: 1,
        page_token,
        ..<_>::default()
    };
    let newest = client.list_versions(seeing(ask(String::new()), &second.token)).await;
    let newest = newest.unwrap().into_inner();
    assert_eq!((newest.versions[0].version, newest.versions[0].document.is_some()), (2, false));
    let oldest = client.list_versions(seeing(ask(newest.next_page_token), &second.token)).await;
    let oldest = oldest.unwrap().into_inner();
    assert_eq!((oldest.versions[0].version, oldest.next_page_token.as_str()), (1, ""));
}

/// What a document with one thing wrong is refused with.
async fn wrong(
    client: &mut Client,
    spoil: impl FnOnce(&mut pb::Document),
) -> (String, Vec<String>) {
    let mut document = sample("saas");
    spoil(&mut document);
    let status = client.save_draft(save(document)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    named(&status)
}

// REQ: BIL-01
#[tokio::test(flavor = "multi_thread")]
async fn every_field_at_fault_is_named() {
    let world = World::start().await;
    let mut client = client(&world);
    let records = world.records();
    let found = wrong(&mut client, |it| *starter_monthly(it) = -1).await;
    let field = "document.plans[1].prices[0].currencies[0].components[0].amount";
    assert_eq!(found, ("CATALOG_AMOUNT_INVALID".to_owned(), vec![field.to_owned()]));
    let found = wrong(&mut client, |it| {
        it.plans[2].extends = "enterprise".to_owned();
        it.fallback = "gone".to_owned();
    });
    let expected = ["document.plans[2].extends", "document.plans[3].extends", "document.fallback"];
    let expected = expected.map(str::to_owned).to_vec();
    assert_eq!(found.await, ("CATALOG_CYCLE".to_owned(), expected));
    let found = wrong(&mut client, |it| it.plans[0].prices[0].currencies.clear()).await;
    assert_eq!(found.0, "CATALOG_PRICE_EMPTY");
    let found = wrong(&mut client, |it| it.plans.push(it.plans[0].clone())).await;
    assert_eq!(found, ("CATALOG_DUPLICATE".to_owned(), vec!["document.plans[4].id".to_owned()]));
    let found = wrong(&mut client, |it| it.plans[0].id = "No Slug".to_owned()).await;
    assert_eq!(found, ("ID_INVALID".to_owned(), vec!["document.plans[0].id".to_owned()]));
    let found = wrong(&mut client, |it| it.features[0].kind = 99).await;
    assert_eq!(found, ("ENUM_UNKNOWN".to_owned(), vec!["document.features[0].kind".to_owned()]));
    let found = wrong(&mut client, |it| {
        it.plans[0].prices[0].cycle =
            Some(pb::Cycle { unit: pb::CycleUnit::Year.into(), count: 4 });
    });
    let field = "document.plans[0].prices[0].cycle".to_owned();
    assert_eq!(found.await, ("CATALOG_VALUE_INVALID".to_owned(), vec![field]));
    let nothing = pb::SaveDraftRequest { document: None, ..save(pb::Document::default()) };
    let status = refused(client.save_draft(nothing).await, "FIELD_MISSING");
    assert_eq!(named(&status).1, ["document"]);
    let status = refused(client.publish_catalog(publish("xyz")).await, "VALUE_INVALID");
    assert_eq!(named(&status).1, ["hash"]);
    assert_eq!(world.records(), records, "nothing was written");
}

// REQ: BIL-01
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused() {
    let mut world = World::start().await;
    let mut client = client(&world);
    let acme = world.tenant("acme").await;
    let tenant = || "acme".to_owned();
    let own = pb::SaveDraftRequest { tenant: tenant(), ..save(sample("saas")) };
    let status = refused(client.save_draft(own.clone()).await, "TENANT_NOT_PROVIDER");
    assert_eq!(named(&status).1, ["tenant"]);
    let mut compared = diff(Some(sample("saas")));
    compared.tenant = tenant();
    let status = refused(client.diff_catalog(compared).await, "TENANT_NOT_PROVIDER");
    assert_eq!(named(&status).1, ["tenant"]);
    let promote = pbt::PromoteTenantRequest { id: tenant(), write: None };
    world.tenants.promote_tenant(promote).await.unwrap();
    client.save_draft(own).await.unwrap();
    let nobody = pb::SaveDraftRequest { tenant: "nobody".to_owned(), ..save(sample("saas")) };
    let status = refused(client.save_draft(nobody).await, "TENANT_NOT_FOUND");
    assert_eq!(named(&status).1, ["tenant"]);

    refused(client.publish_catalog(publish("")).await, "CATALOG_NOT_FOUND");
    let status = refused(client.get_catalog(get(0)).await, "CATALOG_NOT_FOUND");
    assert_eq!((status.code(), named(&status).1), (Code::NotFound, vec!["catalog".to_owned()]));
    refused(client.diff_catalog(diff(None)).await, "CATALOG_NOT_FOUND");
    let first = published(&mut client, sample("components")).await;
    let asked = client.get_catalog(seeing(get(2), &first.token)).await;
    assert_eq!(named(&refused(asked, "CATALOG_VERSION_NOT_FOUND")).1, ["version"]);
    let asked = client.diff_catalog(seeing(diff(None), &first.token)).await;
    refused(asked, "CATALOG_DRAFT_NOT_FOUND");
    refused(client.retire_version(retire(2)).await, "CATALOG_VERSION_NOT_FOUND");
    client.retire_version(retire(1)).await.unwrap();
    refused(client.retire_version(retire(1)).await, "CATALOG_ALREADY_RETIRED");
    let ask = pb::ListCatalogsRequest { tenant: tenant(), ..pb::ListCatalogsRequest::default() };
    let found = client.list_catalogs(seeing(ask, &acme.token)).await.unwrap().into_inner();
    assert_eq!(found.catalogs.len(), 1);
}
