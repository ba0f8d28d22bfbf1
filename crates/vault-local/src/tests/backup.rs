//! The keys' own backup.

use super::*;
use crate::{backup, restore};

// REQ: KER-15, EDG-06
#[test]
fn keys_are_backed_up_beside_a_running_server_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, copy) = (dir.path().join("keys"), dir.path().join("copy.keys"));
    let (keys, _) = open(&folder);
    block_on(keys.insert(tenant_row("acme", "1"))).unwrap();
    for key in 1..=3 {
        block_on(keys.insert(subject_row(key))).unwrap();
    }
    block_on(keys.erase(&[KeyId([3; 16])])).unwrap();
    let made = backup(&folder, &copy).unwrap();
    assert_eq!((made.tenants, made.persons, made.erased), (1, 2, 1));
    assert!(matches!(backup(&folder, &copy), Err(OpenError::Exists { .. })));
    block_on(keys.insert(subject_row(4))).unwrap();
    assert_eq!(crate::peek(&folder).unwrap().tenants().len(), 1);
    let busy = restore(&copy, &folder);
    assert!(matches!(busy, Err(OpenError::Locked { .. })));
    drop(keys);
    assert!(matches!(restore(&copy, &folder), Err(OpenError::Exists { .. })));
    std::fs::remove_file(rows(&folder)).unwrap();
    assert_eq!(restore(&copy, &folder).unwrap().persons, 2);
    let (keys, _) = open(&folder);
    assert!(is_live(&keys, 1) && is_live(&keys, 2) && !is_live(&keys, 4));
    assert_eq!(keys.find(KeyId([3; 16])), Found::Erased);
}

// REQ: KER-15, EDG-06
#[test]
fn a_damaged_backup_is_not_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, copy) = (dir.path().join("keys"), dir.path().join("copy.keys"));
    let (keys, _) = open(&folder);
    for key in 1..=2 {
        block_on(keys.insert(subject_row(key))).unwrap();
    }
    backup(&folder, &copy).unwrap();
    let whole = std::fs::read(&copy).unwrap();
    let to = dir.path().join("elsewhere");
    // All of a backup is synced, so that its last frame cannot be torn either.
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        for bytes in [&flipped[..], &whole[..at]] {
            std::fs::write(&copy, bytes).unwrap();
            let refused = restore(&copy, &to);
            assert!(matches!(refused, Err(OpenError::Damaged { .. })), "byte {at}");
            assert!(!rows(&to).exists());
        }
    }
    std::fs::write(&copy, &whole).unwrap();
    assert_eq!(restore(&copy, &to).unwrap().persons, 2);
    assert!(is_live(&open(&to).0, 2));
}
