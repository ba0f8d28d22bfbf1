//! Arbitrary bytes as CloudEvents in each form: never a panic, and what is an event has a
//! normal form, so that the meter can always tell it from another.

#![no_main]

use exchequer_metering::BodyDigest;
use exchequer_metering::event::{EVENT_BYTES_MAX, Event, Refused, batch, binary, structured};
use libfuzzer_sys::fuzz_target;

const HEADERS_MAX: usize = 8;

fuzz_target!(|data: &[u8]| {
    judge(structured(data));
    let mut count = 0;
    for read in batch(data) {
        judge(read);
        count += 1;
    }
    assert!(count <= data.len() + 1);
    // Headers, one a line, then the body.
    let (mut headers, mut body) = (Vec::new(), data);
    while headers.len() < HEADERS_MAX
        && let Some(end) = body.iter().position(|it| *it == b'\n')
        && let Some(colon) = body[..end].iter().position(|it| *it == b':')
    {
        let name = core::str::from_utf8(&body[..colon]).unwrap_or("id");
        headers.push((name, &body[colon + 1..end]));
        body = &body[end + 1..];
    }
    judge(binary(headers, None, body));
});

fn judge(read: Result<Event<'_>, Refused>) {
    match read {
        Ok(event) => {
            assert!(event.data.len() <= EVENT_BYTES_MAX);
            assert!(BodyDigest::of(&event.body()).is_ok());
            let _ = event.identity();
        }
        Err(refused) => {
            assert!(!refused.rejection.to_string().is_empty());
            assert!(refused.told.id.len() <= 256 && refused.told.source.len() <= 256);
        }
    }
}
