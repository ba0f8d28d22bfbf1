//! Arbitrary bytes as a sealed command, and as an envelope and a payload sealed
//! with the right key: never a panic, and only a good MAC opens.

#![no_main]

use bytes::Bytes;
use exchequer_codec::{UnopenedReason, decode_command, open, seal};
use exchequer_kernel::SealKey;
use exchequer_proto::journal::v1::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let key = SealKey::new(&[7; 32]);
    let bytes = Bytes::copy_from_slice(data);
    if let Err(unopened) = open(&key, &bytes, 16) {
        assert!(!unopened.message.is_empty());
    }
    let Some((kind, payload)) = data.split_first() else { return };
    let types = exchequer_codec::command_types();
    let kind = types[usize::from(*kind) % types.len()];
    let decoded = decode_command(kind, payload);
    let envelope = Envelope {
        stream: "acme".to_owned(),
        issuer: "api".to_owned(),
        id: "c".to_owned(),
        r#type: kind.to_owned(),
        payload: Bytes::copy_from_slice(payload),
        actor: "u".to_owned(),
        ..Envelope::default()
    };
    let sealed = seal(&key, envelope);
    match open(&key, &sealed, 16) {
        Ok(opened) => assert_eq!(Ok(opened.request.command), decoded),
        Err(unopened) => {
            assert_eq!(unopened.reason, UnopenedReason::Unreadable);
            assert!(decoded.is_err());
        }
    }
    let foreign = SealKey::new(&[8; 32]);
    assert!(open(&foreign, &sealed, 16).is_err_and(|it| it.reason == UnopenedReason::Mac));
});
