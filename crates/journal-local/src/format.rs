//! Bytes of segment files: the header, frames, marks of the synced length.
//! Described for other programs in this crate's README.

use exchequer_journal::RECORD_BYTES_MAX;

/// Version of the byte format that this crate writes, the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

pub(crate) const PARTITIONS_MAX: u32 = 1024;

/// Length and crc, before what the crc covers.
pub(crate) const FRAME_HEAD_BYTES: usize = 8;
/// What a frame has besides the record: the head and the partition.
pub(crate) const FRAME_EXTRA_BYTES: usize = FRAME_HEAD_BYTES + 2;
pub(crate) const FRAME_BYTES_MAX: usize = FRAME_EXTRA_BYTES + RECORD_BYTES_MAX;
/// Stands for the partition in a mark of the synced length.
pub(crate) const MARK_PARTITION: u16 = 0xFFFF;
pub(crate) const MARK_BYTES: usize = FRAME_EXTRA_BYTES + 16 + 8;

const SEGMENT_MAGIC: [u8; 8] = *b"EXCHJSEG";

pub(crate) type Id = [u8; 16];

/// The head of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub folder: Id,
    /// New for each segment, so that no other file's mark counts here.
    pub nonce: Id,
    pub number: u64,
    /// Length in bytes of the segment before; 0 in the first.
    pub previous_length: u64,
    /// Per partition the offset that its first record here has, or would have.
    pub bases: Vec<u64>,
}

impl Header {
    /// Bytes of a header with this many partitions.
    pub(crate) const fn bytes(partitions: usize) -> usize {
        8 + 4 + 4 + 16 + 16 + 8 + 8 + 8 * partitions + 4
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::bytes(self.bases.len()));
        out.extend(SEGMENT_MAGIC);
        out.extend(FORMAT_VERSION.to_le_bytes());
        out.extend((self.bases.len() as u32).to_le_bytes());
        out.extend(self.folder);
        out.extend(self.nonce);
        out.extend(self.number.to_le_bytes());
        out.extend(self.previous_length.to_le_bytes());
        out.extend(self.bases.iter().flat_map(|base| base.to_le_bytes()));
        seal(&mut out);
        out
    }

    /// The header in `bytes`, which must be exactly one, or what is wrong with it.
    pub(crate) fn decode(bytes: &[u8], partitions: u32) -> Result<Self, String> {
        let mut rest = unseal(bytes).ok_or("the segment's header does not match its checksum")?;
        let head = (take(&mut rest), take(&mut rest).map(u32::from_le_bytes));
        let (Some(magic), Some(version)) = head else {
            return Err("the segment's header is too short".to_owned());
        };
        if magic != SEGMENT_MAGIC {
            return Err("this is not a segment of a journal".to_owned());
        }
        if version != FORMAT_VERSION {
            return Err(format!("format version {version}; this program reads {FORMAT_VERSION}"));
        }
        let fields = (|| {
            let found = u32::from_le_bytes(take(&mut rest)?);
            let folder = take(&mut rest)?;
            let nonce = take(&mut rest)?;
            let number = u64::from_le_bytes(take(&mut rest)?);
            let previous_length = u64::from_le_bytes(take(&mut rest)?);
            let bases: Vec<u64> =
                (0..found).map_while(|_| take(&mut rest).map(u64::from_le_bytes)).collect();
            let header = Self { folder, nonce, number, previous_length, bases };
            (found == partitions && header.bases.len() == found as usize).then_some(header)
        })();
        fields.ok_or_else(|| format!("the segment's header is not one for {partitions} partitions"))
    }
}

/// Appends the checksum of all before it.
pub(crate) fn seal(out: &mut Vec<u8>) {
    let crc = crc32c::crc32c(out);
    out.extend(crc.to_le_bytes());
}

/// What stands before the checksum, if that matches.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (body, crc) = bytes.split_last_chunk()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}

/// Takes the first `N` bytes of `rest`.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

/// Appends one frame to `out`.
pub(crate) fn push_frame(out: &mut Vec<u8>, partition: u16, parts: &[&[u8]]) {
    let start = out.len();
    let length = 2 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&partition.to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    let crc = crc32c::crc32c(&out[start + FRAME_HEAD_BYTES..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Appends a mark: everything of the segment below `synced` was synced.
pub(crate) fn push_mark(out: &mut Vec<u8>, nonce: &Id, synced: u64) {
    push_frame(out, MARK_PARTITION, &[nonce, &synced.to_le_bytes()]);
}

/// What stands at the head of some bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A frame of `bytes` in all; its record is after `FRAME_EXTRA_BYTES`.
    Record {
        partition: u16,
        bytes: usize,
    },
    Mark {
        synced: u64,
    },
    /// So many bytes are needed to tell.
    Short(usize),
    Bad(&'static str),
}

/// Reads the frame that begins at `at` of its segment, with which `bytes` begin.
pub(crate) fn parse(bytes: &[u8], header: &Header, at: u64) -> Parsed {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>() else {
        return Parsed::Short(FRAME_EXTRA_BYTES);
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if !(2..=FRAME_BYTES_MAX - FRAME_HEAD_BYTES).contains(&length) {
        return Parsed::Bad("the frame's length is out of bounds");
    }
    let Some(covered) = rest.get(..length) else {
        return Parsed::Short(FRAME_HEAD_BYTES + length);
    };
    if crc32c::crc32c(covered) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Parsed::Bad("the frame does not match its checksum");
    }
    let partition = u16::from_le_bytes([covered[0], covered[1]]);
    if partition == MARK_PARTITION {
        return match mark(&covered[2..], header, at) {
            Some(synced) => Parsed::Mark { synced },
            None => Parsed::Bad("the mark is not one of this segment"),
        };
    }
    if usize::from(partition) >= header.bases.len() {
        return Parsed::Bad("the frame's partition does not exist");
    }
    Parsed::Record { partition, bytes: FRAME_HEAD_BYTES + length }
}

/// The synced length that a mark's body claims. A mark speaks of what is before it.
fn mark(mut body: &[u8], header: &Header, at: u64) -> Option<u64> {
    let nonce: Id = take(&mut body)?;
    let synced = u64::from_le_bytes(take(&mut body)?);
    (nonce == header.nonce && body.is_empty() && synced <= at).then_some(synced)
}

/// The place in `bytes`, which begin at `at` of the segment, of a mark that claims more
/// than `synced_above` bytes to be synced.
pub(crate) fn find_mark(bytes: &[u8], header: &Header, at: u64, synced_above: u64) -> Option<u64> {
    let marker = MARK_PARTITION.to_le_bytes();
    bytes
        .windows(MARK_BYTES)
        .zip(at..)
        .filter(|(window, _)| window[8..10] == marker && window[10..26] == header.nonce)
        .find(|(window, at)| {
            matches!(parse(window, header, *at), Parsed::Mark { synced } if synced > synced_above)
        })
        .map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { folder: [1; 16], nonce: [2; 16], number: 3, previous_length: 4, bases: vec![5, 6] }
    }

    // REQ: KER-07
    #[test]
    fn a_header_is_read_back_and_any_flipped_bit_is_seen() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), Header::bytes(2));
        assert_eq!(Header::decode(&bytes, 2), Ok(header()));
        assert!(Header::decode(&bytes, 3).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped, 2).is_err(), "bit {bit}");
        }
    }

    // REQ: KER-07
    #[test]
    fn a_frame_has_the_documented_bytes() {
        let mut out = Vec::new();
        push_frame(&mut out, 1, &[b"abc"]);
        let covered = [1, 0, b'a', b'b', b'c'];
        let mut expected = vec![5, 0, 0, 0];
        expected.extend(crc32c::crc32c(&covered).to_le_bytes());
        expected.extend(covered);
        assert_eq!(out, expected);
        assert_eq!(parse(&out, &header(), 0), Parsed::Record { partition: 1, bytes: 13 });
        assert_eq!(parse(&out[..12], &header(), 0), Parsed::Short(13));
        assert_eq!(parse(&out[..7], &header(), 0), Parsed::Short(10));
    }

    // REQ: KER-07
    #[test]
    fn a_mark_counts_in_its_own_segment_only_and_never_for_itself() {
        let mut out = vec![0xFF; 7];
        push_mark(&mut out, &header().nonce, 100);
        assert_eq!(out.len(), 7 + MARK_BYTES);
        assert_eq!(find_mark(&out, &header(), 200, 99), Some(207));
        assert_eq!(find_mark(&out, &header(), 200, 100), None, "claims no more than that");
        assert_eq!(find_mark(&out, &header(), 50, 1), None, "claims bytes after itself");
        let other = Header { nonce: [9; 16], ..header() };
        assert_eq!(find_mark(&out, &other, 200, 1), None);
    }
}
