//! The project's own commands, called as `cargo xtask` or through `./x`.
//! `COMMANDS` lists them; each is a function of the arguments behind its name.

mod artefacts;
mod codegen;
mod deps;
mod faults;
mod forward;
mod fuzz;
mod interop;
mod jobs;
mod process;
mod services;
mod stamp;
mod tally;
mod tidy;
mod tree;

use std::process::ExitCode;

use process::{Args, Res, say};

struct Command {
    name: &'static str,
    usage: &'static str,
    help: &'static str,
    run: fn(&Args) -> Res<()>,
}

const COMMANDS: &[Command] = &[
    command(
        "run",
        "[ARGS]",
        "build the server and start it on the embedded backends",
        forward::run,
    ),
    command(
        "test",
        "[JOB...] [--without-services]",
        "run every job, or the named ones; the last line counts",
        jobs::main,
    ),
    command("ci", "[JOB...]", "the same, as continuous integration calls it", jobs::main),
    command("tidy", "", "check what compilers do not: sizes, words, links, pages", tidy::main),
    command("deps", "", "check who imports whom against the layer table", deps::main),
    command("codegen", "[--check]", "write generated files, or name the stale ones", codegen::main),
    command(
        "stamp",
        "",
        "renew the hashes that documents keep of the files they describe",
        stamp::main,
    ),
    command(
        "protos",
        "[--accept]",
        "compare the protos with their lock, or renew the lock",
        forward::protos,
    ),
    command("scenario", "[FILE...] [--update]", "run scenario scripts", forward::scenario),
    command("sim", "[ARGS]", "deterministic simulation, for example --seeds 2000", forward::sim),
    command(
        "kill",
        "[ARGS]",
        "kill -9 rounds against the real binary, for example --rounds 20",
        forward::kill,
    ),
    command(
        "faults",
        "[--rounds N] [--seed S]",
        "break a cluster's servers and processes under load, and check everything",
        faults::main,
    ),
    command("bench", "[ARGS]", "benchmarks, for example --only NAME --json FILE", forward::bench),
    command(
        "services",
        "WORD [NAME]",
        "real servers for work by hand: up [--brokers 3], down, status, logs, checksums",
        services::main,
    ),
    command("fuzz", "[--seconds N] [TARGET...]", "run fuzz targets", fuzz::main),
    command("help", "", "this list", help),
];

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let name = if words.is_empty() { "help".to_owned() } else { words.remove(0) };
    let name = if name == "-h" || name == "--help" { "help" } else { name.as_str() };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("xtask: no command named {name}; `./x help` lists them");
        return ExitCode::from(64);
    };
    match (command.run)(&Args::new(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn help(args: &Args) -> Res<()> {
    args.none()?;
    say("usage: ./x COMMAND [ARGS]   (or: cargo xtask COMMAND [ARGS])\n");
    for command in COMMANDS {
        say(&format!("  {:<34} {}", format!("{} {}", command.name, command.usage), command.help));
    }
    say("\njobs of test and ci, in order:\n");
    for job in jobs::JOBS {
        say(&format!("  {:<12} {}", job.name, job.what));
    }
    Ok(())
}

const fn command(
    name: &'static str,
    usage: &'static str,
    help: &'static str,
    run: fn(&Args) -> Res<()>,
) -> Command {
    Command { name, usage, help, run }
}
