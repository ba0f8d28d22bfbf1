//! The report for people.

use std::collections::BTreeMap;

use super::{FigureReport, UsageReport};
use crate::output::say;

/// Groups that are shown; all are in the JSON.
const GROUPS_SHOWN_MAX: usize = 100;

pub(crate) fn show(report: &UsageReport) {
    say("partition     records       seals         seq  epoch  head");
    for it in &report.partitions {
        crate::tools::show_partition(it);
    }
    let fates: Vec<String> =
        report.fates.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
    say(&format!("{} records sealed: {}", report.sealed, fates.join(", ")));
    if report.unsealed > 0 {
        say(&format!("{} records are not sealed yet", report.unsealed));
    }
    if !report.macs_checked {
        say("without keys/deployment.key in the folder, no MAC was checked");
    }
    if report.torn_bytes > 0 {
        let bytes = report.torn_bytes;
        say(&format!(
            "{bytes} bytes at the end were being written, and nobody was answered for them"
        ));
    }
    if let Some(figure) = &report.figure {
        show_figure(figure);
    }
    crate::tools::show_bad(report.bad.as_ref());
}

fn show_figure(it: &FigureReport) {
    say(&format!("{} of {} from {} to {}:", it.meter, it.tenant, it.start, it.end));
    if it.versions.is_empty() {
        say("  nothing was counted");
    }
    for version in &it.versions {
        let figure = version.figure.as_deref().unwrap_or("nothing");
        say(&format!(
            "  version {}: {figure} {} ({} of {} events)",
            version.version, version.unit, version.aggregation, version.events
        ));
        if version.group_by.is_empty() {
            continue;
        }
        for group in version.groups.iter().take(GROUPS_SHOWN_MAX) {
            let names = version.group_by.iter().zip(&group.group);
            let names: Vec<String> = names.map(|(name, value)| format!("{name}={value}")).collect();
            let figure = group.figure.as_deref().unwrap_or("nothing");
            say(&format!("    {:<40} {figure}", names.join(" ")));
        }
        if let Some(more) = version.groups.len().checked_sub(GROUPS_SHOWN_MAX).filter(|it| *it > 0)
        {
            say(&format!("    and {more} more groups: --json has all"));
        }
    }
    let mut by_partition: BTreeMap<u32, (u64, u64, u64)> = BTreeMap::new();
    for seal in &it.seals {
        let range = by_partition.entry(seal.partition).or_insert((0, seal.seq, seal.seq));
        *range = (range.0 + 1, range.1.min(seal.seq), range.2.max(seal.seq));
    }
    say(&format!("  from {} seals:", it.seals.len()));
    for (partition, (count, first, last)) in by_partition {
        say(&format!("    partition {partition:>4}: {count} of seals {first} to {last}"));
    }
    if let Some(problem) = &it.problem {
        say(&format!("  NOT WHOLE: {problem}"));
    }
}
