//! Batches of writes: items of one kind, each a command of its own that is decided, and
//! refused, by itself. A batch that is sent again under the same command id is answered
//! item by item as it was the first time.

use exchequer_proto::common::v1::{Error, WriteOptions};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use prost::Message;
use tonic::Status;

use crate::answers::{changed_by, name_in, with_request};
use crate::call::Call;
use crate::check::Check;
use crate::edge::Edge;
use crate::status::{BATCH_ITEM_INVALID, BATCH_SIZE_INVALID, VALUE_INVALID};

/// Items of one batch.
pub(crate) const BATCH_ITEMS_MAX: usize = 100;
/// Items of one batch that wait for their outcome at the same time.
const ITEMS_AT_ONCE_MAX: usize = 16;

/// A request of which there may be several in a batch.
pub(crate) trait Item: Message + Default + 'static {
    /// In full, such as `exchequer.flags.v1.CreateFlagRequest`.
    const NAME: &'static str;
    fn write(&mut self) -> &mut Option<WriteOptions>;
}

macro_rules! item {
    ($message:ty, $name:literal) => {
        impl crate::batch::Item for $message {
            const NAME: &'static str = $name;
            fn write(&mut self) -> &mut Option<exchequer_proto::common::v1::WriteOptions> {
                &mut self.write
            }
        }
    };
}
pub(crate) use item;

/// What became of one item.
pub(crate) type ItemResult<T> = Result<T, Error>;

/// A field that the batch says for all items: an item leaves it empty, or says the same.
pub(crate) fn common(given: &mut String, field: &str, of_batch: &str) -> Result<(), Status> {
    if given.is_empty() {
        of_batch.clone_into(given);
    }
    if given == of_batch {
        return Ok(());
    }
    let mut check = Check::default();
    check.refuse(BATCH_ITEM_INVALID, field, "must be empty, or what the batch says");
    check.done()
}

impl Edge {
    /// Has `one` do each of `items`, with what `write` says for all of them, and gives
    /// the results in the order of the items. `check` has what is wrong with the rest of
    /// the request.
    pub(crate) async fn each<'a, I: Item, T: Send + 'a>(
        &self,
        call: &mut Call,
        mut check: Check,
        items: Vec<I>,
        write: Option<WriteOptions>,
        one: impl Fn(Call, I) -> BoxFuture<'a, (Call, Result<T, Status>)> + Send,
    ) -> Result<Vec<ItemResult<T>>, Status> {
        if !(1..=BATCH_ITEMS_MAX).contains(&items.len()) {
            let text = format!("must have 1 to {BATCH_ITEMS_MAX} items");
            check.refuse(BATCH_SIZE_INVALID, "requests", text);
        }
        let write = write.unwrap_or_default();
        if write.expected_version.is_some() || call.if_match.is_some() {
            let text = "must be given in the items: each has a version of its own";
            check.refuse(VALUE_INVALID, "write.expected_version", text);
        }
        let id = check.write(Some(write.clone())).id;
        check.done()?;
        let id = match id {
            Some(id) => id,
            None => self.mint_id()?,
        };
        call.submits(id.as_str());
        let asked = items.into_iter().enumerate().map(|(index, mut item)| {
            let bytes = item.encode_to_vec();
            let own = item.write().get_or_insert_default();
            if own.command_id.is_empty() {
                own.command_id = format!("{id}/{index}");
            }
            own.not_after = own.not_after.or(write.not_after);
            own.validate_only |= write.validate_only;
            let done = one(call.of_item(), item);
            async move { (bytes, done.await) }
        });
        let asked: Vec<_> = asked.collect();
        let mut done = futures::stream::iter(asked).buffered(ITEMS_AT_ONCE_MAX);
        let mut results = Vec::new();
        while let Some((bytes, (own, result))) = done.next().await {
            call.has_seen_with(&own);
            results.push(result.map_err(|status| {
                let named = |field: Option<&str>| name_in(I::NAME, field, &bytes);
                error(&with_request(&status, call.request_id(), changed_by(I::NAME), named))
            }));
        }
        Ok(results)
    }
}

/// The status as a part of a reply.
fn error(status: &Status) -> Error {
    // Statuses of ours carry themselves as `google.rpc.Status`.
    let whole = tonic_types::pb::Status::decode(status.details()).unwrap_or_default();
    Error {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: whole.details,
    }
}
