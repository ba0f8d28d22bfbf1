//! The offline tools: `verify`, `backup`, `restore`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand};
use exchequer_journal_local as journal;

use crate::chains::{self, Bad, PartitionReport, Report};
use crate::default_data_dir;
use crate::output::{say, say_json};
use crate::usage;

type Done = Result<ExitCode, Box<dyn Error>>;

/// What can be verified.
#[derive(Debug, Subcommand)]
pub enum Verify {
    /// Verifies every record of the journal and names the first bad one. Exit code
    /// 1 when there is one.
    Journal(VerifyJournal),
    /// Verifies the seals of usage and judges every event under them again; with a tenant,
    /// a meter and a period, says what that comes to. Exit code 1 when something differs.
    Usage(VerifyUsage),
}

#[derive(Debug, Args)]
pub struct VerifyJournal {
    /// The data folder, or a backup's.
    #[arg(long, env = "EXCHEQUER__DATA", default_value_os_t = default_data_dir())]
    data: PathBuf,
    /// Verify the tenants' chains of audit entries too.
    #[arg(long)]
    audit: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct VerifyUsage {
    /// The data folder, or a backup's.
    #[arg(long, env = "EXCHEQUER__DATA", default_value_os_t = default_data_dir())]
    data: PathBuf,
    /// Whose use is computed again.
    #[arg(long, requires_all = ["meter", "period"])]
    tenant: Option<String>,
    /// The meter's key.
    #[arg(long, requires_all = ["tenant", "period"])]
    meter: Option<String>,
    /// When it was used, in UTC: 2026-11, 2026-11-21, 2026-11-21T10, or two instants with /
    /// between them.
    #[arg(long, requires_all = ["tenant", "meter"])]
    period: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// The data folder.
    #[arg(long, env = "EXCHEQUER__DATA", default_value_os_t = default_data_dir())]
    data: PathBuf,
    /// A new folder for the backup.
    #[arg(long)]
    to: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// The backup's folder.
    #[arg(long)]
    from: PathBuf,
    /// A new data folder.
    #[arg(long, env = "EXCHEQUER__DATA", default_value_os_t = default_data_dir())]
    data: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn verify(what: &Verify) -> Done {
    match what {
        Verify::Journal(args) => verify_journal(args),
        Verify::Usage(args) => verify_usage(args),
    }
}

fn verify_usage(args: &VerifyUsage) -> Done {
    let asked = match (&args.tenant, &args.meter, &args.period) {
        (Some(tenant), Some(meter), Some(period)) => Some(usage::ask(tenant, meter, period)?),
        _ => None,
    };
    let report = usage::verify_usage(&args.data, asked.as_ref())?;
    if args.json {
        say_json(&report)?;
    } else {
        usage::show(&report);
    }
    let is_whole = report.figure.is_none_or(|it| it.problem.is_none());
    let is_fine = report.bad.is_none() && is_whole;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verify_journal(args: &VerifyJournal) -> Done {
    let began = Instant::now();
    let report = chains::verify(&args.data, args.audit)?;
    let seconds = began.elapsed().as_secs_f64();
    if args.json {
        say_json(&report)?;
    } else {
        show(&report);
        let rate = report.bytes as f64 / 1e9 / seconds.max(1e-9);
        say(&format!("{} bytes in {seconds:.2} s ({rate:.2} GB/s)", report.bytes));
    }
    Ok(if report.bad.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(crate) fn backup(args: &Backup) -> Done {
    let copied = journal::backup(&args.data, &args.to)?;
    // The copy itself is verified, not what it was made from.
    let report = chains::verify(&args.to, false)?;
    finish("backed up", &copied, &report, args.json)
}

pub(crate) fn restore(args: &Restore) -> Done {
    let report = chains::verify(&args.from, true)?;
    if let Some(bad) = &report.bad {
        let file = bad.file.display();
        let text = format!("not restored: {file} is bad at byte {}: {}", bad.byte, bad.reason);
        return Err(text.into());
    }
    let copied = journal::restore(&args.from, &args.data)?;
    let done = finish("restored", &copied, &report, args.json)?;
    if !args.json {
        say("before the first start, put the keys of persons back, and their master keys:");
        say("  exchequer admin keys restore --from <file>");
    }
    Ok(done)
}

fn finish(word: &str, copied: &journal::BackupReport, report: &Report, json: bool) -> Done {
    if json {
        say_json(&serde_json::json!({
            "files": copied.files,
            "bytes": copied.bytes,
            "records": copied.records,
            "journal": report,
        }))?;
    } else {
        show(report);
        say(&format!(
            "{word}: {} files, {} bytes, {} records",
            copied.files, copied.bytes, copied.records
        ));
    }
    Ok(if report.bad.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(report: &Report) {
    say("partition     records     commits         seq  epoch  head");
    report.partitions.iter().for_each(show_partition);
    if let Some(audit) = report.audit {
        say(&format!("{} audit entries of {} tenants", audit.entries, audit.tenants));
    }
    if report.torn_bytes > 0 {
        let bytes = report.torn_bytes;
        say(&format!(
            "{bytes} bytes at the end were being written, and nobody was answered for them"
        ));
    }
    show_bad(report.bad.as_ref());
}

pub(crate) fn show_partition(it: &PartitionReport) {
    say(&format!(
        "{:>9} {:>11} {:>11} {:>11} {:>6}  {}",
        it.partition, it.records, it.commits, it.seq, it.epoch, it.head
    ));
    for (why, count) in &it.ignored {
        say(&format!("          {count} ignored: {why}"));
    }
    if it.breaks > 0 {
        say(&format!("          {} breaks", it.breaks));
    }
}

pub(crate) fn show_bad(bad: Option<&Bad>) {
    match bad {
        None => say("nothing is wrong"),
        Some(bad) => {
            let place = match (bad.partition, bad.offset) {
                (Some(partition), Some(offset)) => {
                    format!(" (partition {partition}, offset {offset})")
                }
                _ => String::new(),
            };
            say(&format!(
                "BAD: {} at byte {}{place}: {}",
                bad.file.display(),
                bad.byte,
                bad.reason
            ));
        }
    }
}
