//! One folder, several processes: one after the other, two at once, with damage
//! and without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use exchequer_e2e::segment::Last;
use exchequer_e2e::{Client, Res, Sent, Server, check, run, wait, write_until};

fn verify(data: &Path) -> Res<exchequer_e2e::Finished> {
    run(["verify".as_ref(), "journal".as_ref(), "--data".as_ref(), data.as_ref()])
}

/// Is the text in the bytes?
fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A server whose last record holds the command `last`; waits for the mark if asked to.
async fn written(data: &Path, marked: bool) -> Res<(Server, Client)> {
    let server = Server::start(data)?;
    let client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "c-1")).await?;
    for n in 0..20 {
        client.answer(&Sent::append("acme", &format!("a-{n}"), 100)).await?;
    }
    client.answer(&Sent::append("acme", "last", 100)).await?;
    if marked {
        wait::until("the mark of the synced length", || {
            let last = Last::find(data)?;
            Ok((last.is_marked() && contains(&last.record.bytes, "last")).then_some(()))
        })?;
    }
    Ok((server, client))
}

// REQ: KER-02
#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_and_the_first_goes_on() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, client) = written(folder.path(), false).await?;
    let second = Server::refused(folder.path())?;
    assert!(!second.status.success(), "{}", second.output);
    let named = folder.path().display().to_string();
    assert!(second.output.contains(&named), "does not name {named}: {}", second.output);
    assert!(second.output.contains(&server.pid().to_string()), "{}", second.output);
    assert!(!second.output.contains("panicked"), "{}", second.output);
    assert!(server.is_ready());
    let _: exchequer_proto::audit::v1::AppendEntryResponse =
        client.accepted(&Sent::append("acme", "after", 0)).await?;
    Ok(())
}

/// All files below the folder, with their bytes.
fn files(folder: &Path) -> Res<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.insert(path.clone(), std::fs::read(&path)?);
        }
    }
    Ok(found)
}

// REQ: OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_programs_folder_is_refused_untouched() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, _) = written(folder.path(), true).await?;
    server.stop()?;
    let level = folder.path().join("journal/level");
    let told = std::fs::read_to_string(&level)?;
    assert!(told.starts_with("level 1\nprogram "), "{told}");
    std::fs::write(&level, "level 2\nprogram 9.8.7\nof a later form\n")?;
    let before = files(folder.path())?;
    let refused = Server::refused(folder.path())?;
    assert!(!refused.status.success(), "{}", refused.output);
    for part in ["exchequer 9.8.7", "level 2", &folder.path().display().to_string()] {
        assert!(refused.output.contains(part), "{}", refused.output);
    }
    let after = files(folder.path())?;
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(before == after, "nothing was written");
    let data = folder.path().as_os_str();
    let checked = run(["run".as_ref(), "--check-config".as_ref(), "--data".as_ref(), data])?;
    assert!(!checked.status.success() && checked.output.contains("9.8.7"), "{}", checked.output);
    Ok(())
}

// REQ: KER-14 OPS-05 AUD-12
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_loses_nothing_and_leaves_no_torn_tail() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let load = exchequer_e2e::Load::start(&server, 16, 1, "g").await?;
    wait::until_async("answers", async || Ok((load.answers() > 300).then_some(()))).await?;
    // Neither a stream without an end nor a connection that says nothing holds it up.
    let client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "c-1")).await?;
    let mut tail = client.tail("acme", "").await?;
    let idle = std::net::TcpStream::connect(&server.address)?;
    let done = server.stop()?;
    drop(idle);
    assert!(done.status.success(), "{}: {}", done.status, done.output);
    assert!(!done.output.contains("cut off"), "{}", done.output);
    let end = loop {
        match wait::within("the end of the tail", tail.message()).await? {
            Ok(Some(_)) => {}
            Ok(None) => return Err("the tail ended without a reason".into()),
            Err(status) => break status,
        }
    };
    assert_eq!(exchequer_e2e::reason(&end), "SHUTTING_DOWN", "{end:?}");
    assert!(!done.output.contains("panicked"), "{}", done.output);
    let ledger = load.ledger().await?;
    let verified = verify(folder.path())?;
    assert!(verified.status.success(), "{}", verified.output);
    assert!(Last::find(folder.path())?.is_marked(), "everything is marked as synced");
    let server = Server::start(folder.path())?;
    assert!(!server.output().contains("torn"), "{}", server.output());
    let found = check::everything(&server, &ledger).await?;
    assert_eq!(found.wrong, Vec::<String>::new());
    Ok(())
}

// REQ: AUD-03 KER-05 OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_last_answered_record_is_named_and_refused() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, _client) = written(folder.path(), true).await?;
    server.kill()?;
    let last = Last::find(folder.path())?;
    assert!(verify(folder.path())?.status.success());
    last.flip_a_bit()?;
    let before = std::fs::read(&last.file)?;
    let file = last.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let place = last.record.position.to_string();
    let refused = Server::refused(folder.path())?;
    let verified = verify(folder.path())?;
    for done in [refused, verified] {
        assert!(!done.status.success(), "{}", done.output);
        assert!(done.output.contains(&file), "names the file: {}", done.output);
        assert!(done.output.contains(&place), "names byte {place}: {}", done.output);
        assert!(!done.output.contains("panicked"), "{}", done.output);
    }
    assert!(std::fs::read(&last.file)? == before, "nothing was changed");
    Ok(())
}

// REQ: KER-07 OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_behind_the_last_record_is_cut_and_reported() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, _client) = written(folder.path(), true).await?;
    server.kill()?;
    let half_a_frame = {
        let last = Last::find(folder.path())?;
        let mut frame = last.frame()?;
        frame.truncate(frame.len() / 2);
        frame
    };
    let garbage = exchequer_e2e::Random::new(7, 7).bytes(3_000);
    for tail in [half_a_frame, garbage, vec![0; 4_096]] {
        let last = Last::find(folder.path())?;
        last.append(&tail)?;
        let verified = verify(folder.path())?;
        assert!(verified.status.success(), "{}", verified.output);
        let said = format!("{} bytes at the end", tail.len());
        assert!(verified.output.contains(&said), "{}", verified.output);
        let server = Server::start(folder.path())?;
        assert!(server.output().contains("torn"), "{}", server.output());
        let client = Client::connect(&server).await?;
        let again = client.send(&Sent::append("acme", "last", 100)).await?;
        assert!(!again.0.is_empty());
        let kept = std::fs::read_dir(folder.path().join("journal"))?
            .filter_map(Result::ok)
            .filter(|it| it.file_name().to_string_lossy().starts_with("torn-"))
            .any(|it| std::fs::read(it.path()).is_ok_and(|bytes| bytes == tail));
        assert!(kept, "the tail is kept aside");
        server.kill()?;
    }
    Ok(())
}

// REQ: KER-07 OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn a_last_record_cut_by_power_loss_is_the_only_one_that_goes() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, client) = written(folder.path(), true).await?;
    // Killed at once, so that no mark says that it was synced.
    let mut n = 0;
    let mut server = Some(server);
    let mut client = client;
    let last = wait::until_async("a last record without a mark", async || {
        n += 1;
        client.answer(&Sent::append("acme", &format!("gone-{n}"), 0)).await?;
        if let Some(server) = server.take() {
            server.kill()?;
        }
        let last = Last::find(folder.path())?;
        if !last.is_marked() && contains(&last.record.bytes, &format!("gone-{n}")) {
            return Ok(Some(last));
        }
        let next = Server::start(folder.path())?;
        client = Client::connect(&next).await?;
        server = Some(next);
        Ok(None)
    })
    .await?;
    last.cut()?;
    // Views that had seen it would tell that it is gone.
    std::fs::remove_dir_all(folder.path().join("views"))?;
    let server = Server::start(folder.path())?;
    assert!(server.output().contains("torn"), "{}", server.output());
    let client = Client::connect(&server).await?;
    let (gone, _) = client.outcome("acme", &format!("gone-{n}")).await?;
    let (there, _) = client.outcome("acme", "last").await?;
    assert!(!gone.found && there.found);
    assert!(verify(folder.path())?.status.success());
    Ok(())
}

// REQ: KER-06 KER-15
#[tokio::test(flavor = "multi_thread")]
async fn views_that_were_deleted_are_rebuilt() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let ledger = write_until(&server, 8, 2, "v", 400).await?;
    server.kill()?;
    std::fs::remove_dir_all(folder.path().join("views"))?;
    let server = Server::start(folder.path())?;
    let found = check::everything(&server, &ledger).await?;
    assert_eq!(found.wrong, Vec::<String>::new());
    Ok(())
}
