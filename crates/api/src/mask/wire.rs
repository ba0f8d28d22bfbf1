//! Fields of an encoded message, one after the other, without its type.

/// A field as it stands in the bytes.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) number: u32,
    /// With its tag and length.
    pub(crate) whole: &'a [u8],
    /// The bytes of a text, message or packed list; None for a number.
    pub(crate) body: Option<&'a [u8]>,
    /// A number as it stands, before its type says what it means.
    pub(crate) varint: Option<u64>,
}

/// Reads fields until the bytes end, or do not make a field.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let start = self.0;
        let (tag, rest) = varint(start)?;
        let number = u32::try_from(tag >> 3).ok()?;
        let (mut body, mut value) = (None, None);
        let rest = match tag & 7 {
            0 => {
                let (number, rest) = varint(rest)?;
                value = Some(number);
                rest
            }
            1 => rest.get(8..)?,
            5 => rest.get(4..)?,
            2 => {
                let (length, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                body = Some(bytes);
                rest
            }
            _ => return None,
        };
        self.0 = rest;
        let whole = &start[..start.len() - rest.len()];
        Some(Part { number, whole, body, varint: value })
    }
}

/// Appends a field whose type has a length.
pub(crate) fn put(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
