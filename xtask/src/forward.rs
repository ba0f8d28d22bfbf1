//! Commands whose work is done by another package: build it, then become it.

use crate::artefacts::build;
use crate::process::{Args, Res, cargo, command, exec, run as finish};

/// Names the server's program for packages that start it as a process.
pub(crate) const SERVER_VARIABLE: &str = "EXCHEQUER_BIN";

pub(crate) fn run(args: &Args) -> Res<()> {
    let built = build(&["--release", "--package", "exchequer-server", "--bin", "exchequer"])?;
    if !built.complete {
        return Err("the server did not build".into());
    }
    exec(command(built.program("exchequer")?)?.arg("run").args(args.forwarded()))
}

pub(crate) fn kill(args: &Args) -> Res<()> {
    let built = build(&["--package", "exchequer-server", "--package", "exchequer-e2e", "--bins"])?;
    if !built.complete {
        return Err("the server or its kill test did not build".into());
    }
    exec(
        command(built.program("kill")?)?
            .env(SERVER_VARIABLE, built.program("exchequer")?)
            .args(args.forwarded()),
    )
}

pub(crate) fn scenario(args: &Args) -> Res<()> {
    package("exchequer-scenarios", "sim", args)
}

pub(crate) fn sim(args: &Args) -> Res<()> {
    package("exchequer-sim", "sim", args)
}

/// The idle-memory figures are taken from the server itself, so it is built too. What starts
/// servers, by its name, is built with their clients.
pub(crate) fn bench(args: &Args) -> Res<()> {
    let mut server = vec!["--release", "--package", "exchequer-server", "--bin", "exchequer"];
    let mut bench = vec!["run", "--release", "--package", "exchequer-bench"];
    if args.forwarded().iter().any(|it| it.starts_with("cluster-")) {
        server.extend(["--features", "exchequer-server/cluster"]);
        bench.extend(["--features", "exchequer-bench/cluster"]);
    }
    let built = build(&server)?;
    if !built.complete {
        return Err("the server did not build".into());
    }
    bench.push("--");
    exec(cargo(&bench)?.env(SERVER_VARIABLE, built.program("exchequer")?).args(args.forwarded()))
}

pub(crate) fn protos(args: &Args) -> Res<()> {
    let accept = args.only_flag("--accept")?;
    let mut command =
        cargo(&["test", "--quiet", "--package", "exchequer-contracts", "--test", "protos"])?;
    if accept {
        command.env("EXCHEQUER_ACCEPT_PROTOS", "1");
    }
    finish(&mut command)
}

fn package(name: &str, profile: &str, args: &Args) -> Res<()> {
    let mut command = cargo(&["run", "--package", name, "--profile", profile])?;
    exec(command.arg("--").args(args.forwarded()))
}
