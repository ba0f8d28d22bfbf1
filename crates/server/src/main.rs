//! The `exchequer` program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use exchequer_server::{Config, RunArgs};

/// Many small allocations of many threads: measured a tenth faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The commercial control plane of a SaaS company, on one event log.
#[derive(Debug, Parser)]
#[command(name = "exchequer", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves: every role in this process, or some of a cluster's.
    Run(RunArgs),
    #[command(flatten)]
    Tool(exchequer_cli::Tool),
}

/// As sysexits.h has it.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let program = Program::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string(), 1),
    };
    match program.command {
        Command::Tool(tool) => match tool.setup() {
            Some((what, config, json)) => {
                match runtime.block_on(exchequer_server::setup(what, config)) {
                    Ok(done) if json => say(&format!("{:#}\n", done.json)),
                    Ok(done) => say(&format!("{}\n", done.text)),
                    Err(error) => failed(&with_sources(&error), error.exit_code()),
                }
            }
            None => runtime.block_on(exchequer_cli::run(tool)),
        },
        Command::Run(args) => run(&runtime, args),
    }
}

/// Serves, or only looks at the settings.
fn run(runtime: &tokio::runtime::Runtime, args: RunArgs) -> ExitCode {
    let (only_checks, only_dumps) = (args.check_config, args.dump_config);
    let config = match Config::load(args) {
        Ok(config) => config,
        Err(error) => {
            return failed(&error.to_string(), if only_checks { 1 } else { EXIT_USAGE });
        }
    };
    if only_dumps {
        return say(&config.dump());
    }
    if only_checks {
        return match runtime.block_on(config.check_folder()) {
            Ok(()) => say("the settings are well\n"),
            Err(error) => failed(&error.to_string(), 1),
        };
    }
    match runtime.block_on(exchequer_server::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&with_sources(&error), error.exit_code()),
    }
}

fn say(text: &str) -> ExitCode {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

fn failed(text: &str, code: u8) -> ExitCode {
    use std::io::Write as _;
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "exchequer: {text}");
    ExitCode::from(code)
}
