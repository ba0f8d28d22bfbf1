//! `ExportEvents`: raw events as a file, in parts, made as fast as they are taken.

use exchequer_engine::meter::Meters;
use exchequer_proto::usage::v1 as pb;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tonic::Status;

use super::query::{Asked, Usage, range};
use super::query_columns::{Csv, File, Parquet};
use super::query_events::{Place, Wanted, read};
use crate::call::Call;
use crate::check::Check;
use crate::status::{self, ENUM_UNKNOWN, FIELD_MISSING};

/// Events of one part, and of one row group.
const EVENTS_AT_ONCE: usize = 5_000;
/// Bytes of one message.
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

type Item = Result<pb::ExportEventsResponse, Status>;

struct Export {
    usage: Usage,
    meters: Meters,
    wanted: Wanted,
    /// None behind the last event.
    place: Option<Place>,
    /// None once it is whole.
    file: Option<Box<dyn File>>,
    /// Made and not sent yet.
    ahead: bytes::Bytes,
    events: u64,
    over: bool,
}

pub(crate) async fn start(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    it: pb::ExportEventsRequest,
) -> Result<BoxStream<'static, Item>, Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", it.tenant);
    let (from, to) = range(&mut check, it.from, it.to);
    let format = pb::ExportFormat::try_from(it.format);
    match format {
        Ok(pb::ExportFormat::Unspecified) => check.refuse(FIELD_MISSING, "format", "must be given"),
        Err(_) => check.refuse(ENUM_UNKNOWN, "format", "must be CSV or PARQUET"),
        Ok(_) => {}
    }
    check.done()?;
    let file: Box<dyn File> = match format {
        Ok(pb::ExportFormat::Parquet) => Box::new(Parquet::new().map_err(failed)?),
        _ => Box::new(Csv::default()),
    };
    let meters = usage.await_seen(call, asked, &tenant).await?.clone();
    let wanted = Wanted { tenant, from, to, event_type: it.r#type, subject: it.subject };
    let export = Export {
        usage: usage.clone(),
        meters,
        wanted,
        place: Some(Place::FIRST),
        file: Some(file),
        ahead: bytes::Bytes::new(),
        events: 0,
        over: false,
    };
    Ok(futures::stream::unfold(export, Export::next).boxed())
}

impl Export {
    async fn next(mut self) -> Option<(Item, Self)> {
        if self.over || *self.usage.edge.stopping.borrow() && self.file.is_none() {
            return None;
        }
        match self.part().await {
            Ok(None) => None,
            Ok(Some(part)) => Some((Ok(part), self)),
            Err(status) => {
                self.over = true;
                Some((Err(status), self))
            }
        }
    }

    /// The next part of the file; None behind the last one.
    async fn part(&mut self) -> Result<Option<pb::ExportEventsResponse>, Status> {
        while self.ahead.is_empty() {
            let Some(file) = self.file.as_mut() else { return Ok(None) };
            if *self.usage.edge.stopping.borrow() {
                return Err(status::shutting_down());
            }
            let Some(place) = self.place else {
                self.ahead = file.finish().map_err(failed)?;
                self.file = None;
                continue;
            };
            let page =
                read(&self.usage, &self.meters, &self.wanted, place, EVENTS_AT_ONCE, &|_| true)
                    .await?;
            self.events += page.events.len() as u64;
            self.place = page.next;
            self.ahead = file.add(&page.events).map_err(failed)?;
        }
        let length = self.ahead.len().min(CHUNK_BYTES_MAX);
        let chunk = self.ahead.split_to(length);
        Ok(Some(pb::ExportEventsResponse { chunk, events: self.events }))
    }
}

fn failed(error: parquet::errors::ParquetError) -> Status {
    status::internal("export", &error.to_string())
}
