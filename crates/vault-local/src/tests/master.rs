//! Master keys from files and settings, and their rotation.

use std::os::unix::fs::PermissionsExt as _;

use exchequer_vault::{Key, Kms as _, VaultError};

use super::*;
use crate::LocalKms;

// REQ: EDG-06
#[test]
fn the_file_is_made_once_and_for_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys/master.keys");
    let missing = LocalKms::from_file(&file, true).unwrap_err();
    assert!(matches!(missing, OpenError::MasterMissing { .. }));
    assert!(!file.exists());
    let kms = LocalKms::from_file(&file, false).unwrap();
    assert_eq!(kms.current(), "1");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let acme = TenantId::parse("acme").unwrap();
    let wrapped = block_on(kms.wrap(&acme, &Key::new([5; 32]))).unwrap();
    let again = LocalKms::from_file(&file, true).unwrap();
    let key = block_on(again.unwrap(&acme, &wrapped.master, &wrapped.text)).unwrap();
    assert_eq!(key.bytes(), &[5; 32]);
    let other = TenantId::parse("other").unwrap();
    let refused = block_on(again.unwrap(&other, &wrapped.master, &wrapped.text));
    assert_eq!(refused.unwrap_err(), VaultError::Misfit);
}

// REQ: EDG-06, EDG-10
#[test]
fn a_new_version_is_added_or_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("master.keys");
    let kms = LocalKms::from_file(&file, false).unwrap();
    let acme = TenantId::parse("acme").unwrap();
    let old = block_on(kms.wrap(&acme, &Key::new([5; 32]))).unwrap();
    assert_eq!(block_on(kms.rotate()).unwrap(), "2");
    // An operator's own: the highest counts.
    let mut text = std::fs::read_to_string(&file).unwrap();
    text = format!("{text}\n7 {}\n", "ab".repeat(32));
    std::fs::write(&file, &text).unwrap();
    assert_eq!(block_on(kms.rotate()).unwrap(), "7");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "the file is left as it is");
    let key = block_on(kms.unwrap(&acme, "1", &old.text)).unwrap();
    assert_eq!(key.bytes(), &[5; 32]);
    assert_eq!(LocalKms::from_file(&file, true).unwrap().current(), "7");
}

// REQ: EDG-06, EDG-10
#[test]
fn a_version_that_was_replaced_is_not_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("master.keys");
    let kms = LocalKms::from_file(&file, false).unwrap();
    let text = format!("1 {}\n", "ab".repeat(32));
    std::fs::write(&file, &text).unwrap();
    let refused = block_on(kms.rotate()).unwrap_err();
    assert_eq!(refused, VaultError::MasterWrong("1".to_owned()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "no version was added");
    std::fs::write(&file, "1 0101\n").unwrap();
    let refused = block_on(kms.rotate()).unwrap_err();
    assert_eq!(refused, VaultError::MasterMalformed("a key is malformed"));
    std::fs::remove_file(&file).unwrap();
    let refused = block_on(kms.rotate()).unwrap_err();
    assert!(matches!(refused, VaultError::Unavailable(_)), "{refused}");
    assert_eq!(kms.current(), "1");
}

#[test]
fn settings_hold_them_too() {
    let text = format!("1:{}, 3:{}", "01".repeat(32), "03".repeat(32));
    let kms = LocalKms::from_text(&text).unwrap();
    assert_eq!(kms.current(), "3");
    let refused = block_on(kms.rotate()).unwrap_err();
    assert!(matches!(refused, VaultError::Unsupported(_)));
    let cases = ["", "1", "0:01", "1:zz", &format!("1:{0},1:{0}", "01".repeat(32)), "1:01"];
    for bad in cases {
        let error = LocalKms::from_text(bad).unwrap_err();
        assert!(matches!(error, OpenError::MasterMalformed { .. }), "{bad}");
        assert!(!error.to_string().contains("0101"), "no key is shown");
    }
}
