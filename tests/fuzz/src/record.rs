//! Arbitrary bytes as a journal record: never a panic, and what decodes encodes to
//! something that decodes alike.

#![no_main]

use bytes::Bytes;
use exchequer_codec::{commit_head, decode_event, decode_record, encode_commit};
use exchequer_types::PartitionId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let partition = PartitionId(3);
    let bytes = Bytes::copy_from_slice(data);
    let (head, _, commit) = decode_record(partition, &bytes);
    let Some(commit) = commit else { return };
    assert_eq!(Some(head), commit_head(&commit));
    for event in &commit.events {
        let _ = decode_event(&event.stream, &event.r#type, &event.payload);
    }
    let (again, commit) = encode_commit(partition, commit);
    let (head_again, _, _) = decode_record(partition, &again);
    assert_eq!(Some(head_again), commit_head(&commit));
});
