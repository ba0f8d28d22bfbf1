//! Arbitrary bytes as a record of the usage log: never a panic, and an event that was
//! written is read as it was.

#![no_main]

use bytes::BytesMut;
use exchequer_codec::usage::{decode_record, encode_event};
use exchequer_kernel::SealKey;
use exchequer_metering::event::structured;
use exchequer_metering::{EventRecord, RecordBody};
use exchequer_types::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let key = SealKey::new(&[7; 32]);
    let _ = decode_record(data, Some(&key));
    let _ = decode_record(data, None);
    let Ok(event) = structured(data) else { return };
    let written = EventRecord {
        tenant: &event.tenant,
        source: &event.source,
        id: &event.id,
        body: event.body(),
    };
    let at = Timestamp::saturating_from_micros(1);
    let bytes = encode_event(&mut BytesMut::new(), at, &written);
    let record = decode_record(&bytes, Some(&key));
    assert_eq!(record.body, RecordBody::Event(written));
});
