//! Backup while writing, and back again.

use std::path::Path;

use exchequer_e2e::{Finished, Load, Res, Server, check, run, write_until};

fn backup(data: &Path, to: &Path) -> Res<Finished> {
    run(["backup".as_ref(), "--data".as_ref(), data.as_ref(), "--to".as_ref(), to.as_ref()])
}

/// Persons' keys have backups of their own.
fn keys(from: &Path, to: &Path) -> Res<()> {
    for name in ["persons.keys", "master.keys"] {
        std::fs::copy(from.join("keys").join(name), to.join("keys").join(name))?;
    }
    Ok(())
}

fn restore(from: &Path, data: &Path) -> Res<Finished> {
    run(["restore".as_ref(), "--from".as_ref(), from.as_ref(), "--data".as_ref(), data.as_ref()])
}

// REQ: KER-15
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_while_writing_holds_everything_answered_before() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let [data, copy, back] = ["data", "copy", "back"].map(|name| folder.path().join(name));
    // Many segments, so that one is begun while the backup runs.
    let server = Server::start_tight(&data)?;
    let before = write_until(&server, 16, 3, "b", 400).await?;
    let load = Load::start(&server, 16, 4, "w").await?;
    let done = backup(&data, &copy)?;
    assert!(done.status.success(), "{}", done.output);
    load.stop();
    assert!(load.answers() > 0, "it was being written");
    let after = load.ledger().await?;

    let done = restore(&copy, &back)?;
    assert!(done.status.success(), "{}", done.output);
    let verified = run(["verify".as_ref(), "journal".as_ref(), "--data".as_ref(), back.as_ref()])?;
    assert!(verified.status.success(), "{}", verified.output);
    keys(&data, &back)?;
    let restored = Server::start(&back)?;
    let found = check::everything(&restored, &before).await?;
    assert_eq!(found.wrong, Vec::<String>::new());
    // The first one never noticed.
    let mut all = before.clone();
    all.merge(after);
    let found = check::everything(&server, &all).await?;
    assert_eq!(found.wrong, Vec::<String>::new());
    Ok(())
}

// REQ: KER-15
#[tokio::test(flavor = "multi_thread")]
async fn restore_writes_into_no_folder_that_has_something_and_takes_no_changed_copy() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let [data, copy, back, new] =
        ["data", "copy", "back", "new"].map(|name| folder.path().join(name));
    let server = Server::start(&data)?;
    let ledger = write_until(&server, 4, 5, "b", 50).await?;
    assert!(backup(&data, &copy)?.status.success());
    let again = backup(&data, &copy)?;
    assert!(!again.status.success() && again.output.contains("copy"), "{}", again.output);

    std::fs::create_dir(&back)?;
    std::fs::write(back.join("precious"), "x")?;
    for target in [&back, &data] {
        let refused = restore(&copy, target)?;
        assert!(!refused.status.success(), "{}", refused.output);
        assert!(refused.output.contains(&target.display().to_string()), "{}", refused.output);
    }
    let names: Vec<_> = std::fs::read_dir(&back)?.filter_map(Result::ok).collect();
    assert_eq!(names.len(), 1, "{names:?}");

    let segment = copy.join("journal").join(format!("{:020}.seg", 0));
    let mut bytes = std::fs::read(&segment)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes)?;
    let refused = restore(&copy, &new)?;
    assert!(!refused.status.success(), "{}", refused.output);
    assert!(refused.output.contains(".seg"), "names the file: {}", refused.output);
    assert!(!new.join("journal").exists(), "nothing was written");
    let found = check::everything(&server, &ledger).await?;
    assert_eq!(found.wrong, Vec::<String>::new());
    Ok(())
}
