//! Arbitrary bytes as a journal record: never a panic, the light reader and the
//! whole decoder agree, and what decodes encodes to something that decodes alike.

#![no_main]

use bytes::Bytes;
use exchequer_codec::{commit_head, decode_event, decode_record, encode_commit, read_record_head};
use exchequer_types::PartitionId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let partition = PartitionId(3);
    let bytes = Bytes::copy_from_slice(data);
    let (head, hash, commit) = decode_record(partition, &bytes);
    let (light, light_hash) = read_record_head(partition, &bytes);
    assert_eq!(hash, light_hash);
    let Some(commit) = commit else { return };
    assert_eq!(head, light, "the two readers agree on every commit");
    for event in &commit.events {
        let _ = decode_event(&event.stream, &event.r#type, &event.payload);
    }
    let (again, commit) = encode_commit(partition, commit);
    let (head_again, _, _) = decode_record(partition, &again);
    assert_eq!(Some(head_again), commit_head(&commit));
});
