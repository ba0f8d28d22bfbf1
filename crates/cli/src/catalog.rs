//! Catalogs as files: checked offline, compared with what a running server sells, and
//! published. Command ids follow from content and revision, so that doing it twice is
//! doing it once.

use std::error::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use exchequer_catalog_file::{FILE_BYTES_MAX, SAMPLES, parse_bytes, write};
use exchequer_codec::{document_from_proto, document_to_proto};
use exchequer_domain_catalog::{Content, Document, codes};
use exchequer_proto::catalog::v1 as pb;
use exchequer_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_types::Slug;
use serde_json::{Value, json};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::admin::refused;
use crate::connect::{self, Caller, Connection};
use crate::output::{complain, say, say_json};

const PAGE_SIZE: u32 = 1_000;
/// A read that carries what a command's reply had under it sees what the command did.
const CONSISTENCY: &str = "x-exchequer-consistency";
/// A difference in every value of the largest document.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A gateway waits a few seconds itself for what a caller has to see.
const SEE_WAIT_MAX: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub struct Catalog {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows what applying the file would change.
    Plan(FromFile),
    /// Shows what changes, and publishes the file as the catalog's next version.
    Apply {
        #[command(flatten)]
        from: FromFile,
        /// A draft of other content is replaced; without this it is left, and nothing done.
        #[arg(long)]
        replace_draft: bool,
    },
    /// Shows a version as a file, or lists a provider's catalogs.
    Show(Show),
    /// Says what is wrong with a file, without a server.
    Check {
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Lists the sample catalogs, or writes them as files.
    Samples {
        /// The folder to write them into.
        #[arg(long)]
        write: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct At {
    /// The provider.
    #[arg(long)]
    tenant: String,
    /// Where the server listens: `host:port`, with `https://` before it for TLS.
    #[arg(long, default_value = "127.0.0.1:7447")]
    server: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Args)]
struct FromFile {
    #[arg(short, long)]
    file: PathBuf,
    /// The catalog's id; the file's name without its extension when absent.
    #[arg(long)]
    catalog: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
struct Show {
    /// All catalogs are listed when absent.
    catalog: Option<String>,
    /// The newest that is sold when absent.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    version: u32,
    #[command(flatten)]
    at: At,
}

type Client = CatalogServiceClient<Connection>;
type Done = Result<ExitCode, Box<dyn Error>>;

pub(crate) async fn run(args: Catalog) -> Done {
    match args.what {
        What::Plan(from) => plan(from).await,
        What::Apply { from, replace_draft } => apply(from, replace_draft).await,
        What::Show(it) => show(it).await,
        What::Check { file } => check(&file),
        What::Samples { write } => samples(write.as_deref()),
    }
}

fn check(file: &Path) -> Done {
    let Some(document) = read(file)? else { return Ok(ExitCode::FAILURE) };
    let plans = counted(document.plans.len(), "plan");
    let features = counted(document.features.len(), "feature");
    let hash = Content::of(document).hash();
    say(&format!("{}: {plans}, {features}, content {hash}", file.display()));
    Ok(ExitCode::SUCCESS)
}

fn samples(folder: Option<&Path>) -> Done {
    for sample in SAMPLES {
        let Some(folder) = folder else {
            say(sample.name);
            continue;
        };
        std::fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.yaml", sample.name));
        let mut options = std::fs::OpenOptions::new();
        let mut out = options
            .write(true)
            .create_new(true)
            .open(&file)
            .map_err(|error| format!("{}: {error}: nothing is written over", file.display()))?;
        std::io::Write::write_all(&mut out, sample.text.as_bytes())?;
        say(&format!("wrote {}", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The document of the file; None when something is wrong, which has then been told.
fn read(file: &Path) -> Result<Option<Document>, Box<dyn Error>> {
    let named = |error: std::io::Error| format!("{}: {error}", file.display());
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file).map_err(named)?;
    // One byte more than there may be, which is enough to tell.
    open.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(named)?;
    match parse_bytes(&bytes) {
        Ok(document) => Ok(Some(document)),
        Err(problems) => {
            for problem in problems {
                let text: Box<dyn Error> = format!("{}:{problem}", file.display()).into();
                complain(text.as_ref());
            }
            Ok(None)
        }
    }
}

/// Such as `1 plan` and `2 plans`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A file and what it changes.
struct Planned {
    client: Client,
    tenant: String,
    catalog: String,
    document: pb::Document,
    diff: pb::CatalogDiff,
}

async fn compare(from: &FromFile) -> Result<Option<Planned>, Box<dyn Error>> {
    let Some(document) = read(&from.file)? else { return Ok(None) };
    let stem = from.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let catalog = from.catalog.clone().unwrap_or_else(|| stem.to_owned());
    Slug::parse(catalog.as_str())
        .map_err(|error| format!("{catalog:?} is no id of a catalog: {error}; see --catalog"))?;
    let document = document_to_proto(&document);
    let mut client = connect(&from.at).await?;
    let request = pb::DiffCatalogRequest {
        tenant: from.at.tenant.clone(),
        catalog: catalog.clone(),
        document: Some(document.clone()),
    };
    let diff = client.diff_catalog(request).await.map_err(refused)?.into_inner();
    let tenant = from.at.tenant.clone();
    Ok(Some(Planned { client, tenant, catalog, document, diff }))
}

async fn plan(from: FromFile) -> Done {
    let Some(planned) = compare(&from).await? else { return Ok(ExitCode::FAILURE) };
    if from.at.json {
        say_json(&planned.to_json(None))?;
    } else {
        planned.show();
        if !planned.is_done() {
            say("nothing was changed: `exchequer catalog apply` does it");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(from: FromFile, replace_draft: bool) -> Done {
    let Some(mut planned) = compare(&from).await? else { return Ok(ExitCode::FAILURE) };
    if !planned.is_done() {
        planned.check_draft(replace_draft).await?;
    }
    if !from.at.json {
        planned.show();
    }
    let published = if planned.is_done() { None } else { planned.publish().await? };
    if from.at.json {
        say_json(&planned.to_json(published.as_ref()))?;
    } else if let Some(it) = published {
        say(&format!("published {} version {}, content {}", it.catalog, it.version, it.hash));
    }
    Ok(ExitCode::SUCCESS)
}

impl Planned {
    /// Whether the newest version says this already, and is sold.
    fn is_done(&self) -> bool {
        let is_sold = self.diff.status == i32::from(pb::VersionStatus::Published);
        self.diff.changes.is_empty() && self.diff.version > 0 && is_sold
    }

    fn show(&self) {
        let Self { tenant, catalog, diff, .. } = self;
        for change in &diff.changes {
            let path = &change.path;
            say(&match (&change.before, &change.after) {
                (None, Some(after)) => format!("+ {path}: {after}"),
                (Some(before), None) => format!("- {path}: {before}"),
                (before, after) => {
                    let side = |it: &Option<String>| it.clone().unwrap_or_default();
                    format!("~ {path}: {} -> {}", side(before), side(after))
                }
            });
        }
        let version = diff.version;
        say(&match diff.changes.len() {
            0 if self.is_done() => {
                format!("nothing to do: version {version} of {catalog} says this already")
            }
            0 => format!("no changes: version {version} of {catalog} says this, but is retired"),
            count if version == 0 => {
                format!("{}: {tenant} has no {catalog} yet", counted(count, "value"))
            }
            count => format!("{} to version {version} of {catalog}", counted(count, "change")),
        });
    }

    /// Could the file become the draft? Somebody else's draft gives way only when asked.
    async fn check_draft(&mut self, replace: bool) -> Result<(), Box<dyn Error>> {
        let asked = pb::GetDraftRequest {
            tenant: self.tenant.clone(),
            catalog: self.catalog.clone(),
            ..pb::GetDraftRequest::default()
        };
        match self.client.get_draft(asked).await {
            Ok(found) => {
                let info = found.into_inner().info.unwrap_or_default();
                if info.hash != self.diff.hash && !replace {
                    let message = format!(
                        "{} of {} has a draft of other content ({}), which may be somebody's work: \
                         --replace-draft puts the file in its place",
                        self.catalog, self.tenant, info.hash
                    );
                    return Err(message.into());
                }
            }
            Err(no) if is(&no, codes::CATALOG_DRAFT_NOT_FOUND) => {}
            Err(no) if is(&no, codes::CATALOG_NOT_FOUND) => {}
            Err(no) => return Err(refused(no).into()),
        }
        let mut trial = self.save(String::new());
        if let Some(write) = &mut trial.write {
            write.validate_only = true;
        }
        match self.client.save_draft(trial).await {
            Err(no) if !is(&no, codes::CATALOG_UNCHANGED) => Err(refused(no).into()),
            _ => Ok(()),
        }
    }

    /// Saves the file as the draft, unless the catalog was changed since it was read.
    fn save(&self, command_id: String) -> pb::SaveDraftRequest {
        let expected_version = Some(self.diff.revision);
        pb::SaveDraftRequest {
            tenant: self.tenant.clone(),
            catalog: self.catalog.clone(),
            document: Some(self.document.clone()),
            write: Some(WriteOptions { command_id, expected_version, ..WriteOptions::default() }),
        }
    }

    /// Publishes. None when somebody did so in between.
    async fn publish(&mut self) -> Result<Option<pb::CatalogVersion>, Box<dyn Error>> {
        let hash = self.diff.hash.clone();
        let short = hash.get(..32).unwrap_or_default().to_owned();
        let command_id = |step: &str, revision: u64| {
            format!("catalog-{step}-{}-{revision}-{short}", self.catalog)
        };
        let save = self.save(command_id("draft", self.diff.revision));
        let revision = match self.client.save_draft(save).await {
            Ok(saved) => saved.into_inner().revision,
            // An earlier run came this far.
            Err(no) if is(&no, codes::CATALOG_UNCHANGED) => self.diff.revision,
            Err(no) => return Err(refused(no).into()),
        };
        let publish = pb::PublishCatalogRequest {
            tenant: self.tenant.clone(),
            catalog: self.catalog.clone(),
            hash,
            write: Some(WriteOptions {
                command_id: command_id("publish", revision),
                ..WriteOptions::default()
            }),
        };
        match self.client.publish_catalog(publish).await {
            Ok(published) => {
                let seen = published.metadata().get(CONSISTENCY).cloned();
                let published = published.into_inner();
                self.see(published.version, seen).await;
                Ok(Some(published))
            }
            Err(no) if is(&no, codes::CATALOG_UNCHANGED) => {
                say("nothing to do: somebody published this in between");
                Ok(None)
            }
            Err(no) => Err(refused(no).into()),
        }
    }

    /// Until whoever reads next through the same gateway, such as this program once more, sees
    /// what was published. It is published even where that cannot be seen yet.
    async fn see(&mut self, version: u32, token: Option<MetadataValue<Ascii>>) {
        let (tenant, catalog) = (self.tenant.clone(), self.catalog.clone());
        let mut read =
            Request::new(pb::GetCatalogRequest { tenant, catalog, version, ..<_>::default() });
        read.set_timeout(SEE_WAIT_MAX);
        if let Some(token) = token {
            read.metadata_mut().insert(CONSISTENCY, token);
        }
        if let Err(no) = self.client.get_catalog(read).await {
            let text: Box<dyn Error> =
                format!("version {version} is published, but cannot be read yet: {}", refused(no))
                    .into();
            complain(text.as_ref());
        }
    }

    fn to_json(&self, published: Option<&pb::CatalogVersion>) -> Value {
        let changes = self
            .diff
            .changes
            .iter()
            .map(|it| json!({ "path": it.path, "before": it.before, "after": it.after }));
        json!({
            "tenant": self.tenant, "catalog": self.catalog, "compared_with": self.diff.version,
            "hash": self.diff.hash, "changes": changes.collect::<Vec<_>>(),
            "published": published.map(|it| it.version),
        })
    }
}

async fn show(it: Show) -> Done {
    let mut client = connect(&it.at).await?;
    let Some(catalog) = it.catalog else { return list(&mut client, it.at).await };
    let request = pb::GetCatalogRequest {
        tenant: it.at.tenant.clone(),
        catalog,
        version: it.version,
        ..<_>::default()
    };
    let found = client.get_catalog(request).await.map_err(refused)?.into_inner();
    let document = document_from_proto(found.document.clone().unwrap_or_default());
    let document = document.map_err(|misfits| {
        let told = misfits.first().map(|it| format!("{}: {}", it.path, it.message));
        format!("the server's document cannot be read: {}", told.unwrap_or_default())
    })?;
    if it.at.json {
        let value = json!({
            "catalog": found.catalog, "version": found.version, "hash": found.hash,
            "status": status(&found), "document": write(&document),
        });
        say_json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!(
        "# {} of {}, version {}, {}, content {}",
        found.catalog,
        it.at.tenant,
        found.version,
        status(&found),
        found.hash
    ));
    say(write(&document).trim_end());
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &mut Client, at: At) -> Done {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let tenant = at.tenant.clone();
        let request =
            pb::ListCatalogsRequest { tenant, page_size: PAGE_SIZE, page_token, ..<_>::default() };
        let page = client.list_catalogs(request).await.map_err(refused)?.into_inner();
        found.extend(page.catalogs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if at.json {
        let values = found.iter().map(|it| {
            json!({
                "catalog": it.catalog, "revision": it.revision,
                "latest": it.latest.as_ref().map(|latest| latest.version),
                "status": it.latest.as_ref().map(status),
                "draft": it.draft.as_ref().map(|draft| &draft.hash),
            })
        });
        say_json(&values.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for it in &found {
        let latest = it.latest.as_ref().map_or_else(
            || "no version".to_owned(),
            |latest| format!("version {} {}", latest.version, status(latest)),
        );
        let draft = if it.draft.is_some() { ", and a draft" } else { "" };
        say(&format!("{:<31} {latest}{draft}", it.catalog));
    }
    say(&counted(found.len(), "catalog"));
    Ok(ExitCode::SUCCESS)
}

fn status(it: &pb::CatalogVersion) -> &'static str {
    match it.status() {
        pb::VersionStatus::Retired => "retired",
        _ => "published",
    }
}

fn is(status: &Status, code: &str) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == code)
}

async fn connect(at: &At) -> Result<Client, Box<dyn Error>> {
    let connection = connect::connect(&at.server, &at.caller).await?;
    Ok(CatalogServiceClient::new(connection).max_decoding_message_size(REPLY_BYTES_MAX))
}
