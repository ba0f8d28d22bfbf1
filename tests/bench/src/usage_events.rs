//! The events that `usage` sends, in both forms: written once, then changed in place, so
//! that what sends them takes little of the cores that it shares with the server.

use exchequer_proto::io::cloudevents::v1 as pb;
use exchequer_proto::io::cloudevents::v1::cloud_event::cloud_event_attribute_value::Attr;
use exchequer_proto::io::cloudevents::v1::cloud_event::{CloudEventAttributeValue, Data};
use exchequer_types::Timestamp;
use prost::Message as _;

use crate::Failure;

pub(crate) const TENANTS: u64 = 10;
pub(crate) const MODELS: u64 = 10;
const SUBJECTS: u64 = 10_000;
/// Of a hundred events five were sent so many events before, and five so many.
const NEAR: u64 = 25_001;
const FAR: u64 = 2_500_001;
/// Times of events: so many a second.
const EVENTS_PER_SECOND: u64 = 200_000;
/// Added to the micros of each time, so that they always have as many digits and bytes.
const MICROS_MIN: u64 = 3_000;

/// Which event stands at place `n`: the number that makes its id and content.
pub(crate) fn number(n: u64) -> u64 {
    let back = match n % 20 {
        9 => FAR,
        19 => NEAR,
        _ => return n,
    };
    n.checked_sub(back).unwrap_or(n)
}

/// What figures say of some events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) events: u64,
    pub(crate) tokens: u64,
    pub(crate) slowest: u64,
}

impl Totals {
    /// Of the places `0..to`: each event once.
    pub(crate) fn of(to: u64) -> Self {
        (0..to).filter(|n| number(*n) == *n).fold(Self::default(), |all, n| Self {
            events: all.events + 1,
            tokens: all.tokens + tokens(n),
            slowest: all.slowest.max(ms(n)),
        })
    }
}

fn subject(number: u64) -> u64 {
    number.wrapping_mul(7_919) / 13 % SUBJECTS
}

/// What a producer keys the event by.
#[cfg(feature = "cluster")]
pub(crate) fn key(number: u64) -> String {
    format!("t{}/e-{number:010}", subject(number) % TENANTS)
}

fn tokens(number: u64) -> u64 {
    100 + number % 900
}

fn model(number: u64) -> u64 {
    number / 7 % MODELS
}

fn ms(number: u64) -> u64 {
    100 + number % 211
}

/// An event in one of its forms.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    places: Places,
    /// Seconds of the first event's time.
    began: u64,
    /// The second whose text was written last, and that text.
    second: (u64, String),
}

/// Where in the bytes something is written.
#[derive(Clone, Copy, Debug)]
struct Places {
    id: usize,
    tenant: usize,
    subject: usize,
    tokens: usize,
    model: usize,
    ms: usize,
    time: Time,
}

#[derive(Clone, Copy, Debug)]
enum Time {
    /// `2026-01-31T12:00:00.000000Z`.
    Text(usize),
    /// Two varints, of five and of four bytes.
    Varints(usize, usize),
}

const ID: &str = "e-0000000000";
const SUBJECT: &str = "s-0000";
const TENANT: &str = "t0";
pub(crate) const PROBED: &str = "p0";
const TIME: &str = "2026-01-31T12:00:00.000000Z";
const DATA: &str = r#"{"tokens":100,"model":"m-0","ms":101}"#;

impl Template {
    /// `began`: seconds of the first event's time.
    pub(crate) fn json(began: u64) -> Result<Self, Failure> {
        let text = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{ID}\",\"source\":\"/bench\",\
             \"type\":\"api.request\",\"time\":\"{TIME}\",\"tenant\":\"{TENANT}\",\
             \"subject\":\"{SUBJECT}\",\"data\":{DATA}}}"
        );
        let bytes = text.into_bytes();
        let time = Time::Text(find(&bytes, TIME.as_bytes())?);
        Self::new(bytes, time, began)
    }

    pub(crate) fn protobuf(began: u64) -> Result<Self, Failure> {
        let text = |text: &str| Attr::CeString(text.to_owned());
        let (seconds, nanos) = (1_700_000_000, 100_000_000);
        let time = Attr::CeTimestamp(prost_types::Timestamp { seconds, nanos });
        let attributes = [("time", time), ("tenant", text(TENANT)), ("subject", text(SUBJECT))];
        let attributes = attributes
            .map(|(name, attr)| (name.to_owned(), CloudEventAttributeValue { attr: Some(attr) }));
        let event = pb::CloudEvent {
            id: ID.to_owned(),
            source: "/bench".to_owned(),
            spec_version: "1.0".to_owned(),
            r#type: "api.request".to_owned(),
            attributes: attributes.into(),
            data: Some(Data::TextData(DATA.to_owned())),
        };
        let bytes = event.encode_to_vec();
        let at = |number: u64| {
            let mut wire = [0; 5];
            let bytes = varint(number, &mut wire);
            find(&event.encode_to_vec(), &wire[..bytes])
        };
        let time = Time::Varints(at(seconds as u64)?, at(nanos as u64)?);
        Self::new(bytes, time, began)
    }

    fn new(bytes: Vec<u8>, time: Time, began: u64) -> Result<Self, Failure> {
        let data = find(&bytes, DATA.as_bytes())?;
        let in_data = |text: &str| find(DATA.as_bytes(), text.as_bytes()).map(|at| data + at);
        let places = Places {
            id: find(&bytes, ID.as_bytes())? + 2,
            tenant: find(&bytes, TENANT.as_bytes())? + 1,
            subject: find(&bytes, SUBJECT.as_bytes())? + 2,
            tokens: in_data("100")?,
            model: in_data("m-0")? + 2,
            ms: in_data("101")?,
            time,
        };
        Ok(Self { bytes, places, began, second: (0, String::new()) })
    }

    /// `count` events, with `before` each and `between` two of them.
    pub(crate) fn repeat(&self, count: usize, before: &[u8], between: &[u8]) -> Vec<u8> {
        let one = [before, &self.bytes].concat();
        vec![one; count].join(between)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The same event as `number` from now on, for which `event` holds one of this form.
    pub(crate) fn write(&mut self, event: &mut [u8], number: u64) {
        let it = self.places;
        let subject = subject(number);
        digits(&mut event[it.id..it.id + 10], number);
        digits(&mut event[it.tenant..=it.tenant], subject % TENANTS);
        digits(&mut event[it.subject..it.subject + 4], subject);
        digits(&mut event[it.tokens..it.tokens + 3], tokens(number));
        digits(&mut event[it.model..=it.model], model(number));
        digits(&mut event[it.ms..it.ms + 3], ms(number));
        let second = self.began + number / EVENTS_PER_SECOND;
        let micros = MICROS_MIN + number % EVENTS_PER_SECOND;
        match it.time {
            Time::Text(at) => {
                if self.second.0 != second {
                    let time = Timestamp::saturating_from_micros(second as i64 * 1_000_000);
                    self.second = (second, time.to_string());
                }
                event[at..at + 19].copy_from_slice(&self.second.1.as_bytes()[..19]);
                digits(&mut event[at + 20..at + 26], micros);
            }
            Time::Varints(seconds, nanos) => {
                varint(second, &mut event[seconds..]);
                varint(micros * 1_000, &mut event[nanos..]);
            }
        }
    }

    /// The same for [`PROBED`], a tenant that has no other events.
    pub(crate) fn write_probe(&mut self, event: &mut [u8], number: u64) {
        self.write(event, number);
        let at = self.places.tenant - 1;
        event[at..at + PROBED.len()].copy_from_slice(PROBED.as_bytes());
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Result<usize, Failure> {
    let at = bytes.windows(wanted.len()).position(|it| it == wanted);
    at.ok_or_else(|| "the template lacks a part".into())
}

/// The last digits of `number`, as many as there is room for.
fn digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Returns how many bytes were written.
fn varint(mut number: u64, out: &mut [u8]) -> usize {
    let mut at = 0;
    while number >= 0x80 {
        out[at] = number as u8 | 0x80;
        number >>= 7;
        at += 1;
    }
    out[at] = number as u8;
    at + 1
}
