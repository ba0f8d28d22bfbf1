//! Packed rows as bytes: integers of as many bytes as they need, texts and lists with
//! their lengths before them.

/// Stored bytes are not what a packed row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packed row is damaged")]
pub struct Damaged;

/// Bytes that grow.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn int(&mut self, value: i64) {
        self.uint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// A wide integer of the even kind, see [`Reader::wide`].
    pub(crate) fn wide(&mut self, value: i128) {
        self.tagged(value, 0);
    }

    /// A wide integer of the odd kind.
    pub(crate) fn odd_wide(&mut self, value: i128) {
        self.tagged(value, 1);
    }

    /// The lowest bits of the first byte tell kind and sign.
    fn tagged(&mut self, value: i128, kind: u8) {
        let (sign, mut rest) = (u8::from(value < 0), value.unsigned_abs());
        let low = rest.to_le_bytes()[0] & 0x1f;
        rest >>= 5;
        let more = if rest > 0 { 0x80 } else { 0 };
        self.bytes.push(more | (low << 2) | (sign << 1) | kind);
        while rest > 0 {
            let low = rest.to_le_bytes()[0] & 0x7f;
            rest >>= 7;
            self.bytes.push(low | if rest > 0 { 0x80 } else { 0 });
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.raw(text.as_bytes());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.uint(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// Bytes that are read from the front.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        let (byte, rest) = self.rest.split_first().ok_or(Damaged)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Damaged)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    pub(crate) fn uint32(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.uint()?).map_err(|_| Damaged)
    }

    pub(crate) fn int(&mut self) -> Result<i64, Damaged> {
        let zigzag = self.uint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// A wide integer, and whether it is of the odd kind.
    pub(crate) fn wide(&mut self) -> Result<(i128, bool), Damaged> {
        let first = self.byte()?;
        let mut value = u128::from((first & 0x7f) >> 2);
        let (mut more, mut shift) = (first >= 0x80, 5);
        while more {
            let byte = self.byte()?;
            if shift >= 128 {
                return Err(Damaged);
            }
            value |= u128::from(byte & 0x7f) << shift;
            (more, shift) = (byte >= 0x80, shift + 7);
        }
        let value = i128::try_from(value).map_err(|_| Damaged)?;
        Ok((if first & 2 == 2 { -value } else { value }, first & 1 == 1))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Damaged> {
        core::str::from_utf8(self.bytes()?).map_err(|_| Damaged)
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.count(1)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Damaged)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// How many things follow, of at least `bytes_min` bytes each: no more than fit.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize, Damaged> {
        let count = self.uint()?;
        self.bounded(count, bytes_min)
    }

    pub(crate) fn bounded(&self, count: u64, bytes_min: usize) -> Result<usize, Damaged> {
        let count = usize::try_from(count).map_err(|_| Damaged)?;
        let fits = count.checked_mul(bytes_min).is_some_and(|bytes| bytes <= self.rest.len());
        if fits { Ok(count) } else { Err(Damaged) }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn finish(self) -> Result<(), Damaged> {
        if self.is_at_end() { Ok(()) } else { Err(Damaged) }
    }
}
