//! A folder tells which program wrote it.

use std::fs;

use crate::{OpenError, check_level, write_level};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("journal")).unwrap();
    folder
}

// REQ: OPS-05
#[test]
fn an_older_program_is_told_which_one_wrote_the_folder() {
    let folder = folder();
    let (data, file) = (folder.path(), folder.path().join("journal/level"));
    check_level(data, 1).unwrap();
    assert!(!file.exists(), "looking changes nothing");
    write_level(data, 1, "0.1.0").unwrap();
    write_level(data, 1, "0.1.1").unwrap();
    write_level(data, 2, "0.2.0").unwrap();
    let written = fs::read(&file).unwrap();
    for refused in [check_level(data, 1), write_level(data, 1, "0.1.1")] {
        let said = refused.unwrap_err().to_string();
        for part in [&data.display().to_string(), "exchequer 0.2.0", "level 2", "up to 1"] {
            assert!(said.contains(part), "{said}");
        }
    }
    assert_eq!(fs::read(&file).unwrap(), written);
    write_level(data, 3, "0.3.0").unwrap();
    check_level(data, 3).unwrap();
}

// REQ: OPS-05
#[test]
fn what_a_later_program_adds_there_does_not_hide_its_level() {
    let folder = folder();
    let file = folder.path().join("journal/level");
    fs::write(&file, "level 9\nprogram 4.0.0\ncluster yes\n").unwrap();
    assert!(matches!(check_level(folder.path(), 8), Err(OpenError::Newer { found: 9, .. })));
    for damaged in ["", "level", "level x\n", "level 8\nprogram 4.0.0\ncrc32c 00000000\n"] {
        fs::write(&file, damaged).unwrap();
        let refused = check_level(folder.path(), 8).unwrap_err();
        assert!(refused.damage().is_some(), "{damaged:?}: {refused}");
    }
}
