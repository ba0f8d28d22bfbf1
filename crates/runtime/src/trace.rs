//! Traces: one context goes from a call through the record in the log to whatever is
//! derived from it, in the W3C form, and each step reports a span of its own. Only
//! sampled work carries a context, so that all other work costs a comparison.

use core::fmt;

use exchequer_types::Timestamp;

use crate::Runtime;

/// `00-<32 hex>-<16 hex>-<2 hex>`
const HEADER_BYTES: usize = 55;
const SAMPLED: u8 = 1;

/// A step of a trace, as those after it name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Of the whole trace; not all zero.
    pub trace: [u8; 16],
    /// Of the step; not all zero.
    pub span: [u8; 8],
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a W3C `traceparent`; None when it is none, as the standard says.
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let is_separated = bytes.len() >= HEADER_BYTES
            && [2, 35, 52].into_iter().all(|at| bytes[at] == b'-')
            && bytes.get(HEADER_BYTES).is_none_or(|next| *next == b'-');
        if !is_separated {
            return None;
        }
        let [version] = unhex(&bytes[0..2])?;
        // Later versions may say more behind what is known; this one may not.
        if version == u8::MAX || (version == 0 && bytes.len() > HEADER_BYTES) {
            return None;
        }
        let trace: [u8; 16] = unhex(&bytes[3..35])?;
        let span: [u8; 8] = unhex(&bytes[36..52])?;
        let [flags] = unhex(&bytes[53..55])?;
        if trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }

    /// The first step of a new trace.
    pub fn root(runtime: &dyn Runtime) -> Self {
        Self { trace: never_zero(runtime.nonce()), span: span_id(runtime), sampled: false }
    }

    /// The next step of the same trace.
    #[must_use]
    pub fn child(&self, runtime: &dyn Runtime) -> Self {
        Self { span: span_id(runtime), ..*self }
    }

    /// The trace's id, in hex.
    pub fn trace_id(&self) -> String {
        let mut out = String::with_capacity(32);
        hex(&self.trace, &mut out);
        out
    }
}

/// As a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(HEADER_BYTES);
        out.push_str("00-");
        hex(&self.trace, &mut out);
        out.push('-');
        hex(&self.span, &mut out);
        out.push_str(if self.sampled { "-01" } else { "-00" });
        f.write_str(&out)
    }
}

/// What a span is towards its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A call that was answered.
    Server,
    /// Something read from the log.
    Consumer,
    Internal,
}

/// What a span says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    Number(i64),
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// A step that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub name: String,
    pub kind: SpanKind,
    pub context: TraceContext,
    /// The step that caused it; None for the first.
    pub parent: Option<[u8; 8]>,
    pub began: Timestamp,
    pub ended: Timestamp,
    pub attributes: Vec<(&'static str, Attribute)>,
    /// What failed, if it did.
    pub failure: Option<String>,
}

/// Takes spans, and says which traces there are. Never waits: what cannot be kept is
/// dropped.
pub trait Tracer: Send + Sync + fmt::Debug {
    /// Is a trace that begins here sampled?
    fn samples(&self, trace: &[u8; 16]) -> bool;

    fn record(&self, span: Span);
}

fn span_id(runtime: &dyn Runtime) -> [u8; 8] {
    let nonce = runtime.nonce();
    let mut half = [0; 8];
    half.copy_from_slice(&nonce[..8]);
    never_zero(half)
}

fn never_zero<const N: usize>(mut id: [u8; N]) -> [u8; N] {
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

/// Lower-case hex alone, as the standard has it.
fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

fn hex(bytes: &[u8], out: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokioRuntime;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    // REQ: OPS-02
    #[test]
    fn a_context_is_read_and_written_as_the_standard_has_it() {
        let read = TraceContext::parse(HEADER).unwrap();
        assert!(read.sampled && read.span == [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert_eq!(read.to_string(), HEADER);
        assert_eq!(read.trace_id(), &HEADER[3..35]);
        let later = format!("cc{}-what-may-come", &HEADER[2..]);
        assert_eq!(TraceContext::parse(&later), Some(read));
        let unsampled = format!("{}00", &HEADER[..53]);
        assert!(!TraceContext::parse(&unsampled).unwrap().sampled);
    }

    // REQ: OPS-02
    #[test]
    fn what_is_no_context_is_none() {
        for bad in [
            "",
            "00",
            &HEADER[..54],
            &format!("{HEADER}-more"),
            &format!("{HEADER}x"),
            &HEADER.to_uppercase(),
            &HEADER.replace("00-4b", "ff-4b"),
            &HEADER.replace('b', "é"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn steps_of_a_trace_share_its_id_and_no_two_are_alike() {
        let runtime = TokioRuntime::default();
        let root = TraceContext::root(&runtime);
        let (one, two) = (root.child(&runtime), root.child(&runtime));
        assert!(root.trace == one.trace && one.trace == two.trace);
        assert!(root.span != one.span && one.span != two.span);
        assert_ne!(TraceContext::root(&runtime).trace, root.trace);
    }
}
