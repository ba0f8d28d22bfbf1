//! Runs scenario scripts and prints how what they show differs from what is
//! expected: `exchequer-scenarios [FILE...] [--update]`. Without a file, all.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use exchequer_scenarios::{Verdict, check, differences, folder};

fn main() -> ExitCode {
    let (flags, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|it| it.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| *flag != "--update") {
        say(&format!("{flag} is no option: exchequer-scenarios [FILE...] [--update]"));
        return ExitCode::from(64);
    }
    // A script may call for a panic, which the platform reports by itself.
    std::panic::set_hook(Box::new(|_| {}));
    let mut paths: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = scripts();
    }
    let mut bad = 0;
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = match check(path, !flags.is_empty()) {
            Verdict::Same => format!("ok       {name}"),
            Verdict::Updated => format!("updated  {name}"),
            verdict => {
                bad += 1;
                match verdict {
                    Verdict::Differs { expected, printed } => {
                        format!("DIFFERS  {name}\n{}", differences(&expected, &printed))
                    }
                    Verdict::Failed(error) => format!("FAILED   {name}: {error}"),
                    other => format!("FAILED   {name}: {other:?}"),
                }
            }
        };
        say(&text);
    }
    say(&format!("{} passed, {bad} failed", paths.len() - bad));
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn scripts() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "txt"));
    paths.sort();
    paths
}

fn say(text: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}
