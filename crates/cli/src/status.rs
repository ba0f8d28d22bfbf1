//! `exchequer admin status`: who decides what, how far views and consumers are, and what
//! does not go on.

use std::error::Error;

use exchequer_proto::system::v1 as pb;
use serde_json::{Value, json};

use crate::admin::{Client, Done, PAGE_SIZE, refused, tell};
use crate::output::say;

const DECIDER: &str = "decider";
const METER: &str = "meter";

pub(crate) async fn show(client: &mut Client, json: bool) -> Done {
    let it =
        client.get_status(pb::GetStatusRequest::default()).await.map_err(refused)?.into_inner();
    let letters = dead_letter_count(client).await?;
    let value = json!({
        "version": it.version, "partitions": partitions(&it), "owners": owners(&it),
        "owners_unknown": it.owners_unknown, "usage": usage(&it), "views": views(&it),
        "cursors": cursors(&it),
        "failures": failures(&it), "dead_letters": letters.0, "dead_letters_more": letters.1,
    });
    tell(json, &value, || {
        say(&format!("version {}", it.version));
        show_partitions(&it);
        show_owners(&it);
        show_usage(&it);
        show_progress(&it);
        show_failures(&it);
        let more = if letters.1 { " or more" } else { "" };
        let of_usage: u64 = it.usage.iter().map(|of| of.dead_letters).sum();
        say(&format!("\n{}{more} dead letters, and {of_usage} records of usage", letters.0));
    })
}

/// Which process has the role for a partition, as far as anybody can tell.
fn owner<'a>(it: &'a pb::Status, role: &str, partition: u32) -> Option<&'a str> {
    let has =
        |it: &&pb::RoleOwner| it.role == role && it.partitions.binary_search(&partition).is_ok();
    it.owners.iter().find(has).map(|it| it.process.as_str())
}

/// Who works on a partition, for people.
fn worker<'a>(it: &'a pb::Status, role: &str, (partition, leading): (u32, bool)) -> &'a str {
    match owner(it, role, partition) {
        Some(process) => process,
        None if is_shared(it) => "nobody known",
        None if leading => "here",
        None => "not here",
    }
}

fn is_shared(it: &pb::Status) -> bool {
    !it.owners.is_empty() || !it.owners_unknown.is_empty()
}

fn usage(it: &pb::Status) -> Vec<Value> {
    let value = |of: &pb::UsagePartitionStatus| {
        json!({
            "partition": of.partition, "seq": of.seq, "offset": of.offset,
            "lag_events": of.lag_events, "lag_seconds": of.lag_seconds, "leading": of.leading,
            "ignored": of.ignored, "breaks": of.breaks, "dead_letters": of.dead_letters,
            "owner": owner(it, METER, of.partition),
        })
    };
    it.usage.iter().map(value).collect()
}

fn partitions(it: &pb::Status) -> Vec<Value> {
    let value = |of: &pb::PartitionStatus| {
        json!({
            "partition": of.partition, "epoch": of.epoch, "offset": of.offset, "seq": of.seq,
            "head": of.head, "ignored": of.ignored, "breaks": of.breaks, "leading": of.leading,
            "owner": owner(it, DECIDER, of.partition),
        })
    };
    it.partitions.iter().map(value).collect()
}

fn owners(it: &pb::Status) -> Vec<Value> {
    let value = |of: &pb::RoleOwner| json!({ "role": of.role, "process": of.process, "partitions": of.partitions });
    it.owners.iter().map(value).collect()
}

fn views(it: &pb::Status) -> Vec<Value> {
    let value = |of: &pb::ViewStatus| {
        json!({
            "view": of.view, "generation": of.generation, "building": of.building,
            "lag_events": of.lag_events, "lag_seconds": of.lag_seconds,
        })
    };
    it.views.iter().map(value).collect()
}

fn cursors(it: &pb::Status) -> Vec<Value> {
    let value = |of: &pb::CursorStatus| {
        json!({
            "consumer": of.consumer, "destination": of.destination,
            "lag_events": of.lag_events, "failure": of.failure,
        })
    };
    it.cursors.iter().map(value).collect()
}

fn failures(it: &pb::Status) -> Vec<Value> {
    let value = |of: &pb::BackgroundFailure| {
        json!({
            "stream": of.stream, "work": of.work, "attempts": of.attempts, "message": of.message,
            "process": of.process,
        })
    };
    it.failures.iter().map(value).collect()
}

/// How many are on the first page, and whether there are more.
async fn dead_letter_count(client: &mut Client) -> Result<(usize, bool), Box<dyn Error>> {
    let read_mask = Some(prost_types::FieldMask { paths: vec!["id".to_owned()] });
    let request = pb::ListDeadLettersRequest { page_size: PAGE_SIZE, read_mask, ..<_>::default() };
    let page = client.list_dead_letters(request).await.map_err(refused)?.into_inner();
    Ok((page.dead_letters.len(), !page.next_page_token.is_empty()))
}

fn show_partitions(it: &pb::Status) {
    let is_shared = is_shared(it);
    say(&format!(
        "\npartition  epoch      offset         seq  ignored  breaks  {}  head",
        if is_shared { "decided by              " } else { "leading " }
    ));
    for of in &it.partitions {
        let by = worker(it, DECIDER, (of.partition, of.leading));
        say(&format!(
            "{:>9} {:>6} {:>11} {:>11} {:>8} {:>7}  {by:<width$}  {}",
            of.partition,
            of.epoch,
            of.offset,
            of.seq,
            of.ignored,
            of.breaks,
            of.head.get(..16).unwrap_or_default(),
            width = if is_shared { 24 } else { 8 },
        ));
    }
}

fn show_owners(it: &pb::Status) {
    if !it.owners_unknown.is_empty() {
        say(&format!("\nnot known is who works on what: {}", it.owners_unknown));
    }
    if it.owners.is_empty() {
        return;
    }
    say("\nrole       process                   partitions");
    for of in &it.owners {
        let partitions: Vec<String> = of.partitions.iter().map(ToString::to_string).collect();
        let shown = if partitions.is_empty() { "none".to_owned() } else { partitions.join(" ") };
        say(&format!("{:<10} {:<24}  {shown}", of.role, of.process));
    }
}

fn show_usage(it: &pb::Status) {
    if it.usage.is_empty() {
        return;
    }
    say(
        "\nusage      counted to        seals  lag events  lag seconds  ignored  breaks  counted by",
    );
    for of in &it.usage {
        let unknown = || "unknown".to_owned();
        let lag = of.lag_events.map_or_else(unknown, |it| it.to_string());
        let late = of.lag_seconds.map_or_else(unknown, |it| format!("{it:.3}"));
        say(&format!(
            "{:>9} {:>11} {:>12} {lag:>11} {late:>12} {:>8} {:>7}  {}",
            of.partition,
            of.offset,
            of.seq,
            of.ignored,
            of.breaks,
            worker(it, METER, (of.partition, of.leading)),
        ));
    }
}

fn show_progress(it: &pb::Status) {
    say("\nview            generation  building  lag events  lag seconds");
    for of in &it.views {
        say(&format!(
            "{:<15} {:>10} {:>9} {:>11} {:>12.3}",
            of.view, of.generation, of.building, of.lag_events, of.lag_seconds
        ));
    }
    say("\nconsumer        destination  lag events  failure");
    for of in &it.cursors {
        say(&format!(
            "{:<15} {:>11} {:>11}  {}",
            of.consumer, of.destination, of.lag_events, of.failure
        ));
    }
}

fn show_failures(it: &pb::Status) {
    if !it.failures.is_empty() {
        say(
            "\nstream                          work        attempts  process                   message",
        );
    }
    for of in &it.failures {
        let process = if of.process.is_empty() { "here" } else { &of.process };
        say(&format!(
            "{:<31} {:<11} {:>8}  {process:<24}  {}",
            of.stream, of.work, of.attempts, of.message
        ));
    }
}
