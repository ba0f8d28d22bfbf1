//! Arbitrary text as a JSON Schema, and as the data that it is asked about: never a
//! panic, and an answer within the time that a run of the fuzzer waits.

#![no_main]

use exchequer_event_schema::{Schema, VIOLATIONS_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let (schema, instance) = text.split_once('\n').unwrap_or((text, text));
    match Schema::compile(schema) {
        Ok(schema) => assert!(schema.check(instance).len() <= VIOLATIONS_MAX),
        Err(rejection) => assert!(!rejection.to_string().is_empty()),
    }
});
