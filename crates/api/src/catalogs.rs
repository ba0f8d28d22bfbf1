//! `exchequer.catalog.v1.CatalogService`. A document is checked here already, so that
//! every field at fault is named; the domain checks it again when it decides.

use exchequer_codec::{MisfitKind, document_from_proto, version_status_to_proto};
use exchequer_domain_catalog::{self as domain, Content, Document, codes};
use exchequer_projection_catalogs::{self as view, CatalogRow, DraftRow, VersionRow};
use exchequer_proto::catalog::v1 as pb;
use exchequer_proto::catalog::v1::catalog_service_server::CatalogService;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_readstore::Fault;
use exchequer_tenant::Command;
use exchequer_types::{Hash, Slug, TenantId};
use tonic::{Request, Response, Status, async_trait};

use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::document_paths::in_request;
use crate::edge::{Edge, Wanted};
use crate::lists::list_options;
use crate::mask::Mask;
use crate::messages::instant;
use crate::status::{
    self, ENUM_UNKNOWN, FIELD_MISSING, ID_INVALID, Refusal, TENANT_NOT_PROVIDER, VALUE_INVALID,
};

#[derive(Debug)]
pub(crate) struct Catalogs {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl CatalogService for Catalogs {
    async fn save_draft(&self, request: Request<pb::SaveDraftRequest>) -> Reply<pb::Catalog> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let catalog = check.slug("catalog", it.catalog);
        let document = document(&mut check, it.document);
        let save = |(catalog, document)| {
            domain::Command::SaveDraft(domain::SaveDraft { catalog, document })
        };
        self.edge
            .write(call, check, wanted(it.tenant, it.write, catalog.zip(document).map(save)))
            .await
    }

    async fn get_draft(&self, request: Request<pb::GetDraftRequest>) -> Reply<pb::Draft> {
        self.edge.serve(request, async |call, it| self.draft(call, it).await).await
    }

    async fn discard_draft(&self, request: Request<pb::DiscardDraftRequest>) -> Reply<pb::Catalog> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let catalog = check.slug("catalog", it.catalog);
        let discard = |catalog| domain::Command::DiscardDraft(domain::DiscardDraft { catalog });
        self.edge.write(call, check, wanted(it.tenant, it.write, catalog.map(discard))).await
    }

    async fn publish_catalog(
        &self,
        request: Request<pb::PublishCatalogRequest>,
    ) -> Reply<pb::CatalogVersion> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let catalog = check.slug("catalog", it.catalog);
        let hash = hash(&mut check, &it.hash);
        let publish = |catalog| domain::Command::Publish(domain::Publish { catalog, hash });
        self.edge.write(call, check, wanted(it.tenant, it.write, catalog.map(publish))).await
    }

    async fn retire_version(
        &self,
        request: Request<pb::RetireVersionRequest>,
    ) -> Reply<pb::CatalogVersion> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let catalog = check.slug("catalog", it.catalog);
        let version = it.version;
        let retire = |catalog| domain::Command::Retire(domain::Retire { catalog, version });
        self.edge.write(call, check, wanted(it.tenant, it.write, catalog.map(retire))).await
    }

    async fn get_catalog(
        &self,
        request: Request<pb::GetCatalogRequest>,
    ) -> Reply<pb::CatalogVersion> {
        self.edge.serve(request, async |call, it| self.version(call, it).await).await
    }

    async fn list_catalogs(
        &self,
        request: Request<pb::ListCatalogsRequest>,
    ) -> Reply<pb::ListCatalogsResponse> {
        self.edge.serve(request, async |call, it| self.list(call, it).await).await
    }

    async fn list_versions(
        &self,
        request: Request<pb::ListVersionsRequest>,
    ) -> Reply<pb::ListVersionsResponse> {
        self.edge.serve(request, async |call, it| self.versions(call, it).await).await
    }

    async fn diff_catalog(
        &self,
        request: Request<pb::DiffCatalogRequest>,
    ) -> Reply<pb::CatalogDiff> {
        self.edge.serve(request, async |call, it| self.diff(call, it).await).await
    }
}

impl Catalogs {
    async fn draft(&self, call: &mut Call, it: pb::GetDraftRequest) -> Result<pb::Draft, Status> {
        let mut check = Check::default();
        let mask = Mask::read::<pb::Draft>(&mut check, "read_mask", it.read_mask);
        let asked = self.addressed(call, it.tenant, it.catalog, check).await?;
        let (row, _) = self.catalog(&asked).await?;
        let (draft, document) = self.drafted(&asked).await?;
        call.is_at(row.revision);
        mask.apply(pb::Draft {
            catalog: asked.catalog.into_string(),
            revision: row.revision,
            info: Some(draft_info(&draft.hash, draft.saved_at)),
            document: Some(document),
        })
    }

    async fn version(
        &self,
        call: &mut Call,
        it: pb::GetCatalogRequest,
    ) -> Result<pb::CatalogVersion, Status> {
        let number = Some(it.version).filter(|number| *number != 0);
        let mut check = Check::default();
        let mask = Mask::read::<pb::CatalogVersion>(&mut check, "read_mask", it.read_mask);
        let asked = self.addressed(call, it.tenant, it.catalog, check).await?;
        self.catalog(&asked).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let (tenant, catalog) = (&asked.tenant, &asked.catalog);
        let found = view::version(store, asked.generation, tenant, catalog, number).await;
        let Some((number, row, document)) = found.map_err(fault)? else {
            let text = match number {
                Some(number) => format!("the catalog has no version {number}"),
                None => "no version of the catalog is sold".to_owned(),
            };
            return Err(not_found(codes::CATALOG_VERSION_NOT_FOUND, "version", &text));
        };
        let version = version(&asked.catalog, number, &row);
        mask.apply(pb::CatalogVersion { document: Some(document), ..version })
    }

    async fn list(
        &self,
        call: &mut Call,
        it: pb::ListCatalogsRequest,
    ) -> Result<pb::ListCatalogsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let place = |text: &str| Slug::parse(text).ok();
        let (options, of) = (list_options!(it), [tenant.as_str()]);
        let list = check.list::<pb::Catalog, _>("ListCatalogs", &of, options, place);
        check.done()?;
        self.edge.check_tenant(call, &tenant, "tenant").await?;
        let generation = self.generation(call, &tenant).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let message = |(id, (row, latest)): &(Slug, (CatalogRow, Option<VersionRow>))| {
            catalog(id, row, latest.as_ref())
        };
        let (after, limit) = (list.place.as_ref(), list.limit);
        let is_wanted = |it: &(Slug, (CatalogRow, Option<VersionRow>))| list.wants(|| message(it));
        let page = view::list(store, generation, &tenant, after, limit, &is_wanted).await;
        let page = page.map_err(fault)?;
        Ok(pb::ListCatalogsResponse {
            catalogs: list.items(page.items.iter().map(message).collect())?,
            next_page_token: list.token(page.next),
        })
    }

    async fn versions(
        &self,
        call: &mut Call,
        it: pb::ListVersionsRequest,
    ) -> Result<pb::ListVersionsResponse, Status> {
        let mut check = Check::default();
        let (options, of) = (list_options!(it), [it.tenant.as_str(), it.catalog.as_str()]);
        let place = |text: &str| text.parse().ok();
        let list = check.list::<pb::CatalogVersion, u32>("ListVersions", &of, options, place);
        let asked = self.addressed(call, it.tenant, it.catalog, check).await?;
        self.catalog(&asked).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let (tenant, catalog) = (&asked.tenant, &asked.catalog);
        let message = |(number, row): &(u32, VersionRow)| version(catalog, *number, row);
        let (before, limit, generation) = (list.place, list.limit, asked.generation);
        let is_wanted = |it: &(u32, VersionRow)| list.wants(|| message(it));
        let page =
            view::versions(store, generation, tenant, catalog, before, limit, &is_wanted).await;
        let page = page.map_err(fault)?;
        Ok(pb::ListVersionsResponse {
            versions: list.items(page.items.iter().map(message).collect())?,
            next_page_token: list.token(page.next),
        })
    }

    async fn diff(
        &self,
        call: &mut Call,
        it: pb::DiffCatalogRequest,
    ) -> Result<pb::CatalogDiff, Status> {
        let mut check = Check::default();
        let given = it.document.map(|given| document(&mut check, Some(given)));
        let asked = self.addressed(call, it.tenant, it.catalog, check).await?;
        self.check_provider(call, &asked.tenant).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let (tenant, catalog) = (&asked.tenant, &asked.catalog);
        let known = view::get(store, asked.generation, tenant, catalog).await.map_err(fault)?;
        let new = match (given, &known) {
            (Some(given), _) => given.ok_or_else(unchecked)?,
            (None, Some(_)) => read(self.drafted(&asked).await?.1)?,
            (None, None) => return Err(no_catalog()),
        };
        let latest = known.as_ref().map_or(0, |(row, _)| row.latest);
        let old = match latest {
            0 => None,
            _ => view::version(store, asked.generation, tenant, catalog, Some(latest))
                .await
                .map_err(fault)?,
        };
        let (old, status) = match old {
            Some((_, row, document)) => (read(document)?, version_status_to_proto(row.status())),
            None => (Document::default(), pb::VersionStatus::Unspecified),
        };
        let changes = domain::diff(&old, &new).into_iter().map(|it| pb::Change {
            path: it.path,
            before: it.before,
            after: it.after,
        });
        Ok(pb::CatalogDiff {
            version: latest,
            status: status.into(),
            changes: changes.collect(),
            hash: Content::of(new).hash().to_hex(),
            revision: known.map_or(0, |(row, _)| row.revision),
        })
    }

    /// What a query about one catalog names, and where it is read.
    async fn addressed(
        &self,
        call: &mut Call,
        tenant: String,
        catalog: String,
        mut check: Check,
    ) -> Result<Addressed, Status> {
        let tenant = check.tenant("tenant", tenant);
        let catalog = check.slug("catalog", catalog);
        check.done()?;
        let catalog = catalog.ok_or_else(unchecked)?;
        self.edge.check_tenant(call, &tenant, "tenant").await?;
        let generation = self.generation(call, &tenant).await?;
        Ok(Addressed { tenant, catalog, generation })
    }

    /// Nothing could be published for a tenant that is no provider.
    async fn check_provider(&self, call: &Call, tenant: &TenantId) -> Result<(), Status> {
        let seen = self.edge.view(call, "tenants").await?;
        let store = self.edge.platform.ports.store.as_ref();
        let found = exchequer_projection_tenants::get(store, seen.generation, tenant).await;
        if found.map_err(fault)?.is_some_and(|it| !it.tenant.provider) {
            let text = "only a provider has catalogs: promote the tenant first";
            return Err(Refusal::new(TENANT_NOT_PROVIDER, text).field("tenant").status());
        }
        Ok(())
    }

    /// The generation to read a provider's catalogs from.
    async fn generation(&self, call: &mut Call, tenant: &TenantId) -> Result<u64, Status> {
        let seen = self.edge.view(call, "catalogs").await?;
        let partition = self.edge.partition(tenant);
        let offset = seen.handle.active().progress().offsets[partition.index()];
        call.has_seen(partition, offset);
        Ok(seen.generation)
    }

    async fn catalog(&self, asked: &Addressed) -> Result<(CatalogRow, Option<VersionRow>), Status> {
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::get(store, asked.generation, &asked.tenant, &asked.catalog).await;
        found.map_err(fault)?.ok_or_else(no_catalog)
    }

    async fn drafted(&self, asked: &Addressed) -> Result<(DraftRow, pb::Document), Status> {
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::draft(store, asked.generation, &asked.tenant, &asked.catalog).await;
        found.map_err(fault)?.ok_or_else(|| {
            let text = "the catalog has no draft: save one with SaveDraft first";
            not_found(codes::CATALOG_DRAFT_NOT_FOUND, "catalog", text)
        })
    }
}

#[derive(Debug)]
struct Addressed {
    tenant: TenantId,
    catalog: Slug,
    generation: u64,
}

/// The document of a request, with nothing wrong in it.
fn document(check: &mut Check, it: Option<pb::Document>) -> Option<Document> {
    let Some(it) = it else {
        check.refuse(FIELD_MISSING, "document", "must be given");
        return None;
    };
    match document_from_proto(it) {
        Ok(document) => {
            for it in domain::check(&document) {
                let path = in_request(&document, &it.path, it.code);
                check.refuse(it.code, &field(&path), it.message);
            }
            Some(document)
        }
        Err(misfits) => {
            for it in misfits {
                let code = match it.kind {
                    MisfitKind::Id => ID_INVALID,
                    MisfitKind::Enum => ENUM_UNKNOWN,
                    MisfitKind::Value => codes::CATALOG_VALUE_INVALID,
                };
                check.refuse(code, &field(&it.path), it.message);
            }
            None
        }
    }
}

fn field(path: &str) -> String {
    if path.is_empty() { "document".to_owned() } else { format!("document.{path}") }
}

/// None when empty, and when it is refused.
fn hash(check: &mut Check, text: &str) -> Option<Hash> {
    if text.is_empty() {
        return None;
    }
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let mut bytes = [0; 32];
    let pairs = (0..text.len()).step_by(2).zip(&mut bytes);
    if text.len() == 64 && text.bytes().all(is_hex) {
        for (at, byte) in pairs {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_default();
        }
        return Some(Hash(bytes));
    }
    check.refuse(VALUE_INVALID, "hash", "must have 64 hexadecimal digits, in lower case");
    None
}

/// A document that the platform itself wrote.
fn read(it: pb::Document) -> Result<Document, Status> {
    document_from_proto(it).map_err(|misfits| status::internal("document", &format!("{misfits:?}")))
}

fn catalog(id: &Slug, row: &CatalogRow, latest: Option<&VersionRow>) -> pb::Catalog {
    pb::Catalog {
        catalog: id.to_string(),
        revision: row.revision,
        draft: row.draft.as_ref().map(|(hash, at)| draft_info(hash, *at)),
        latest: latest.map(|latest| version(id, row.latest, latest)),
        created_at: Some(instant(row.created_at)),
        updated_at: Some(instant(row.updated_at)),
    }
}

fn draft_info(hash: &str, saved_at: exchequer_types::Timestamp) -> pb::DraftInfo {
    pb::DraftInfo { hash: hash.to_owned(), saved_at: Some(instant(saved_at)) }
}

fn version(catalog: &Slug, number: u32, row: &VersionRow) -> pb::CatalogVersion {
    pb::CatalogVersion {
        catalog: catalog.to_string(),
        version: number,
        status: version_status_to_proto(row.status()).into(),
        hash: row.hash.clone(),
        published_at: Some(instant(row.published_at)),
        retired_at: row.retired_at.map(instant),
        document: None,
    }
}

fn no_catalog() -> Status {
    let text = "the provider has no catalog of this id";
    not_found(codes::CATALOG_NOT_FOUND, "catalog", text)
}

fn not_found(code: &'static str, field: &str, text: &str) -> Status {
    Refusal::new(code, text).field(field).status()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn fault(fault: Fault) -> Status {
    status::of_fault(&fault)
}

/// What a request asks the domain for.
fn wanted(tenant: String, write: Option<WriteOptions>, command: Option<domain::Command>) -> Wanted {
    let command = command.map(Command::Catalog);
    Wanted { tenant, write, command, rename }
}

/// As requests call the tenant that a command is addressed to.
fn rename(field: &str) -> String {
    if field == "id" { "tenant".to_owned() } else { field.to_owned() }
}
