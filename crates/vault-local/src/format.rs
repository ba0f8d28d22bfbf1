//! Bytes of the file of rows: a header, then frames. A frame is what was written
//! and synced at once, so that a crash leaves whole frames and at most one cut.
//! `docs/reference/personal-data.md` says the same in words.

use exchequer_types::{KeyId, PartitionId, TenantId, Timestamp};
use exchequer_vault::{Mark, Row, SubjectKeyRow, TenantKeyRow};

pub(crate) const HEADER_BYTES: usize = 40;
/// Length and checksum before a frame's rows.
pub(crate) const FRAME_HEAD_BYTES: usize = 8;
/// Rows of one frame.
pub(crate) const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// More than any row has.
pub(crate) const ROW_BYTES_MAX: usize = 72 * 1024;

const MAGIC: &[u8; 8] = b"EXCHKEYS";
const VERSION: u32 = 2;
/// Where the synced length stands, and behind it the header's checksum.
const SYNCED_AT: usize = 28;
const CRC_AT: usize = 36;

const TENANT: u8 = 1;
const SUBJECT: u8 = 2;
const ERASED: u8 = 3;
const MARK: u8 = 4;

/// One entry of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Row(Row),
    Erased(KeyId),
    Mark(Mark),
}

/// Of a file whose first `synced` bytes, the header's own among them, are durable
/// before it has its name: none of those can be torn.
pub(crate) fn header(id: [u8; 16], synced: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..SYNCED_AT].copy_from_slice(&id);
    set_synced(&mut bytes, synced);
    bytes
}

/// Writes the synced length into a header.
pub(crate) fn set_synced(header: &mut [u8; HEADER_BYTES], synced: u64) {
    header[SYNCED_AT..CRC_AT].copy_from_slice(&synced.to_le_bytes());
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
}

/// Gives the synced length that the header of a file tells.
pub(crate) fn synced(bytes: &[u8]) -> Result<u64, &'static str> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or("the header is cut off")?;
    if header[..8] != *MAGIC {
        return Err("this is no file of keys");
    }
    if header[8..12] != VERSION.to_le_bytes() {
        return Err("the file is of another version of Exchequer, or its header is damaged");
    }
    if header[CRC_AT..] != crc32c::crc32c(&header[..CRC_AT]).to_le_bytes() {
        return Err("the header's checksum does not match");
    }
    let mut synced = [0; 8];
    synced.copy_from_slice(&header[SYNCED_AT..CRC_AT]);
    Ok(u64::from_le_bytes(synced))
}

/// A frame under construction.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    rows: Vec<u8>,
}

impl Frame {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Does one more row surely fit?
    pub(crate) fn has_room(&self) -> bool {
        self.rows.len() + ROW_BYTES_MAX <= FRAME_BYTES_MAX
    }

    pub(crate) fn push(&mut self, item: &Item) {
        let out = &mut self.rows;
        match item {
            Item::Row(Row::Tenant(row) | Row::Rewrap(row)) => {
                out.push(TENANT);
                short(out, row.tenant.as_str().as_bytes());
                short(out, row.master.as_bytes());
                short(out, &row.wrapped);
            }
            Item::Row(Row::Subject(row)) => {
                out.push(SUBJECT);
                out.extend_from_slice(&row.key.0);
                short(out, row.tenant.as_str().as_bytes());
                out.extend_from_slice(&row.subject);
                out.extend_from_slice(&row.created_at.micros().to_le_bytes());
                short(out, &row.wrapped);
            }
            Item::Erased(key) => {
                out.push(ERASED);
                out.extend_from_slice(&key.0);
            }
            Item::Mark(mark) => {
                out.push(MARK);
                out.extend_from_slice(&mark.partition.0.to_le_bytes());
                short(out, &mark.head);
            }
        }
    }

    /// How many bytes it has when it is written.
    pub(crate) fn length(&self) -> usize {
        FRAME_HEAD_BYTES + self.rows.len()
    }

    /// The frame's bytes, as they are written.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length());
        bytes.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&self.rows).to_le_bytes());
        bytes.extend_from_slice(&self.rows);
        bytes
    }
}

/// A length of two bytes, then the bytes. What is longer is refused before.
fn short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// May the row be written at all?
pub(crate) fn fits(row: &Row) -> bool {
    let max = usize::from(u16::MAX);
    match row {
        Row::Tenant(row) | Row::Rewrap(row) => row.master.len() <= max && row.wrapped.len() <= max,
        Row::Subject(row) => row.wrapped.len() <= max,
    }
}

/// The rows of the frame that `bytes` begin with, and the frame's length. None
/// when no whole frame stands there.
pub(crate) fn frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let head = bytes.get(..FRAME_HEAD_BYTES)?;
    let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
    if length == 0 || length > FRAME_BYTES_MAX {
        return None;
    }
    let rows = bytes.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + length)?;
    let crc = crc32c::crc32c(rows).to_le_bytes();
    (head[4..] == crc).then_some((rows, FRAME_HEAD_BYTES + length))
}

/// The items of a frame. None when its rows are not what this version writes.
pub(crate) fn items(rows: &[u8]) -> Option<Vec<Item>> {
    let mut reader = Reader { rest: rows };
    let mut items = Vec::new();
    while !reader.rest.is_empty() {
        items.push(reader.item()?);
    }
    Some(items)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn item(&mut self) -> Option<Item> {
        Some(match self.take(1)?[0] {
            TENANT => Item::Row(Row::Tenant(TenantKeyRow {
                tenant: self.tenant()?,
                master: String::from_utf8(self.short()?.to_vec()).ok()?,
                wrapped: self.short()?.to_vec(),
            })),
            SUBJECT => Item::Row(Row::Subject(SubjectKeyRow {
                key: KeyId(self.array()?),
                tenant: self.tenant()?,
                subject: self.array()?,
                created_at: Timestamp::from_micros(i64::from_le_bytes(self.array()?)).ok()?,
                wrapped: self.short()?.to_vec(),
            })),
            ERASED => Item::Erased(KeyId(self.array()?)),
            MARK => Item::Mark(Mark {
                partition: PartitionId(u32::from_le_bytes(self.array()?)),
                head: self.short()?.to_vec(),
            }),
            _ => return None,
        })
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_le_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn tenant(&mut self) -> Option<TenantId> {
        TenantId::parse(core::str::from_utf8(self.short()?).ok()?).ok()
    }
}
