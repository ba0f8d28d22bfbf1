//! Entries of the index as they stand in runs and pages: sorted in pages, 40 bytes each.

use bytes::Bytes;
use exchequer_types::{Identity, Place, Timestamp};

use super::Known;

/// Identity 16 bytes, place 8, body digest 8, instant 8.
pub(crate) const ENTRY_BYTES: usize = 40;
pub(crate) const PAGE_ENTRIES: usize = 128;

pub(crate) fn write_entries(entries: impl ExactSizeIterator<Item = (Identity, Known)>) -> Bytes {
    let mut out = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for (identity, known) in entries {
        out.extend_from_slice(&identity.0);
        let place = (known.place.offset << 16) | u64::from(known.place.index);
        out.extend_from_slice(&place.to_be_bytes());
        out.extend_from_slice(&known.body_digest);
        out.extend_from_slice(&known.at.micros().to_be_bytes());
    }
    Bytes::from(out)
}

pub(crate) fn read_entries(bytes: &Bytes) -> impl Iterator<Item = (Identity, Known)> + '_ {
    bytes.chunks_exact(ENTRY_BYTES).map(read_entry)
}

/// The entry of `identity` on a page.
pub(crate) fn find_entry(page: &[u8], identity: &Identity) -> Option<Known> {
    let (entries, _) = page.as_chunks::<ENTRY_BYTES>();
    let at = entries.binary_search_by(|entry| entry[..16].cmp(&identity.0)).ok()?;
    Some(read_entry(&entries[at]).1)
}

fn read_entry(entry: &[u8]) -> (Identity, Known) {
    let (mut identity, mut body_digest) = ([0; 16], [0; 8]);
    identity.copy_from_slice(&entry[..16]);
    body_digest.copy_from_slice(&entry[24..32]);
    let place = first_of(&entry[16..24]);
    let place = Place { offset: place >> 16, index: (place & 0xffff) as u32 };
    let at = Timestamp::saturating_from_micros(first_of(&entry[32..]) as i64);
    (Identity(identity), Known { place, body_digest, at })
}

/// The leading 8 bytes, in the order of the whole.
pub(crate) fn first_of(identity: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&identity[..8]);
    u64::from_be_bytes(bytes)
}
