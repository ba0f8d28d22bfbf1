//! A catalog as a file, through the program itself: shown before it acts, published
//! once however often it is applied, refused with path and line, there after kill -9.

use std::ffi::OsStr;
use std::path::Path;

use exchequer_e2e::{Finished, Res, Server, run, run_with};

/// Needs no token: it reads the deployment's key in the server's folder.
fn catalog(server: &Server, what: &[&str], file: Option<&Path>) -> Res<Finished> {
    let mut args = vec![OsStr::new("catalog")];
    args.extend(what.iter().map(OsStr::new));
    args.extend(["--tenant", "platform", "--server", &server.address, "--data"].map(OsStr::new));
    args.push(server.data.as_os_str());
    if let Some(file) = file {
        args.extend([OsStr::new("--file"), file.as_os_str()]);
    }
    run_with(&args)
}

fn says(finished: &Finished, lines: &[&str]) {
    for line in lines {
        assert!(finished.output.contains(line), "{line:?} not in\n{}", finished.output);
    }
}

fn write_samples(folder: &Path) -> Res<()> {
    let args = ["catalog", "samples", "--write"].map(OsStr::new);
    let done = run([args[0], args[1], args[2], folder.as_os_str()])?;
    assert!(done.status.success(), "{}", done.output);
    says(&done, &["saas.yaml", "flags.yaml", "flags-flat.yaml", "workspace.yaml"]);
    // Nothing is written over.
    assert!(!run([args[0], args[1], args[2], folder.as_os_str()])?.status.success());
    Ok(())
}

// REQ: BIL-01, BIL-22
#[test]
fn a_file_is_shown_published_once_and_kept() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (data, files) = (folder.path().join("data"), folder.path().join("files"));
    write_samples(&files)?;
    let file = files.join("saas.yaml");
    let server = Server::start(&data)?;
    let planned = catalog(&server, &["plan"], Some(&file))?;
    says(&planned, &["platform has no saas yet", "nothing was changed"]);
    let applied = catalog(&server, &["apply"], Some(&file))?;
    says(&applied, &["+ plans.pro.features.reports: 100", "published saas version 1"]);
    says(&catalog(&server, &["apply"], Some(&file))?, &["nothing to do: version 1 of saas"]);

    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("flat: 29.00", "flat: 31.50"))?;
    let change = "~ plans.starter.prices.monthly.currencies.USD.flat: 29.00 -> 31.50";
    says(&catalog(&server, &["plan"], Some(&file))?, &[change, "1 change to version 1 of saas"]);
    says(&catalog(&server, &["apply"], Some(&file))?, &[change, "published saas version 2"]);

    server.kill()?;
    let server = Server::start(&data)?;
    says(&catalog(&server, &["apply"], Some(&file))?, &["nothing to do: version 2 of saas"]);
    let shown = catalog(&server, &["show", "saas"], None)?;
    says(&shown, &["# saas of platform, version 2, published", "USD: { flat: 31.50 }"]);
    server.stop()?;
    Ok(())
}

// REQ: BIL-01
#[test]
fn a_wrong_file_is_told_with_path_and_line_and_changes_nothing() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(&folder.path().join("data"))?;
    let file = folder.path().join("wrong.yaml");
    std::fs::write(
        &file,
        "name: Wrong\nplans:\n  - id: a\n    name: A\n    rnak: 1\n    prices:\n      - id: m\n        cycle: month\n        currencies: { USD: { flat: .nan } }\n",
    )?;
    for what in ["plan", "apply"] {
        let refused = catalog(&server, &[what], Some(&file))?;
        assert_eq!(refused.status.code(), Some(1), "{}", refused.output);
        says(
            &refused,
            &[
                "wrong.yaml:5:5: CATALOG_FILE_KEY_UNKNOWN: plans[0].rnak",
                "wrong.yaml:9:36: CATALOG_FILE_VALUE_INVALID: plans[0].prices[0].currencies.USD.flat",
            ],
        );
    }
    says(&catalog(&server, &["show"], None)?, &["0 catalogs"]);
    let checked =
        run([OsStr::new("catalog"), OsStr::new("check"), OsStr::new("--file"), file.as_os_str()])?;
    assert_eq!(checked.status.code(), Some(1), "{}", checked.output);
    server.stop()?;
    Ok(())
}
