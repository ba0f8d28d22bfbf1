//! Real servers for work by hand, and the job that runs the adapters' tests on them.
//! The servers themselves are the business of `tests/services`.

use exchequer_services::{CASSANDRA, Distribution, KAFKA, Standing};

use crate::process::{Args, Res, cargo, say, stream};
use crate::tally::{Counter, Tally};

/// A server that can be started by name.
struct Service {
    name: &'static str,
    distribution: Distribution,
    up: fn(brokers: usize) -> Result<String, exchequer_services::Error>,
}

const SERVICES: &[Service] = &[
    Service { name: "kafka", distribution: KAFKA, up: Standing::kafka_up },
    Service { name: "cassandra", distribution: CASSANDRA, up: |_| Standing::cassandra_up() },
];

const LOG_LINES: usize = 40;

/// The packages that build upon a vendor's client. They are built and tested by the job
/// `services` alone: one of the clients takes minutes to compile.
pub(crate) const ADAPTERS: &[&str] = &["exchequer-journal-kafka", "exchequer-readstore-scylla"];

/// Starts them; its own tests start some.
pub(crate) const SERVERS: &str = "exchequer-services";

/// The program as a cluster's processes run it.
pub(crate) const PROGRAM: &str = "exchequer-server";
pub(crate) const WITH_CLIENTS: &str = "exchequer-server/cluster";

struct Words {
    what: String,
    chosen: Vec<&'static Service>,
    brokers: usize,
}

pub(crate) fn main(args: &Args) -> Res<()> {
    let words = parse(args.forwarded())?;
    match words.what.as_str() {
        "up" => up(&words),
        "down" => each(&words, |service, standing| {
            standing.down()?;
            say(&format!("{} is down", service.name));
            Ok(())
        }),
        "status" => each(&words, |service, standing| {
            status(service, standing);
            Ok(())
        }),
        "logs" => each(&words, logs),
        "checksums" => each(&words, |service, _| {
            say(service.distribution.checksums()?.trim_end());
            Ok(())
        }),
        other => Err(format!("no such word: {other}; there are: {WORDS}").into()),
    }
}

const WORDS: &str = "up down status logs checksums";

fn parse(words: &[String]) -> Res<Words> {
    let mut what = None;
    let mut chosen = Vec::new();
    let mut brokers = 1;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--brokers" => {
                let number = words.next().ok_or("--brokers needs a number")?;
                brokers = number.parse().map_err(|_| format!("--brokers {number}: no number"))?;
            }
            "all" => chosen.extend(SERVICES),
            word if what.is_none() => what = Some(word.to_owned()),
            name => chosen.push(service(name)?),
        }
    }
    if chosen.is_empty() {
        chosen.extend(SERVICES);
    }
    let what = what.ok_or_else(|| format!("one of these is needed: {WORDS}"))?;
    Ok(Words { what, chosen, brokers })
}

fn service(name: &str) -> Res<&'static Service> {
    SERVICES.iter().find(|service| service.name == name).ok_or_else(|| {
        let names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        format!("no service named {name}; there are: all {}", names.join(" ")).into()
    })
}

fn each(words: &Words, act: impl Fn(&Service, &Standing) -> Res<()>) -> Res<()> {
    for service in &words.chosen {
        act(service, &Standing::of(service.name)?)?;
    }
    Ok(())
}

fn up(words: &Words) -> Res<()> {
    for service in &words.chosen {
        let address = (service.up)(words.brokers)?;
        say(&format!("{} {address}", service.name));
    }
    Ok(())
}

fn status(service: &Service, standing: &Standing) {
    let processes = standing.processes();
    if processes.is_empty() {
        say(&format!("{} is down", service.name));
        return;
    }
    match standing.address() {
        Some(address) => say(&format!("{} is up: {address}", service.name)),
        None => say(&format!("{} is not whole; end it with: services down", service.name)),
    }
    for (name, pid) in processes {
        let pid = pid.map_or_else(|| "ended".to_owned(), |pid| format!("process {pid}"));
        say(&format!("  {name}: {pid}"));
    }
}

fn logs(_: &Service, standing: &Standing) -> Res<()> {
    for log in standing.logs() {
        say(&format!("==> {}", log.display()));
        let bytes = std::fs::read(&log)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
            say(line);
        }
    }
    Ok(())
}

/// The adapters' own tests, and those of the program with a cluster's clients, each on
/// servers that it starts. Where those cannot be fetched, that is a failure.
pub(crate) fn job() -> Res<Tally> {
    for service in SERVICES {
        service.distribution.jars()?;
    }
    let mut tally = Tally::default();
    let packages = ADAPTERS.iter().chain(&[SERVERS, PROGRAM]);
    let mut named: Vec<&str> = packages.flat_map(|package| ["--package", package]).collect();
    named.extend(["--features", WITH_CLIENTS]);
    let mut clippy = cargo(&["clippy", "--all-targets"])?;
    clippy.args(&named).args(["--", "-D", "warnings"]);
    tally += Tally::of(stream(&mut clippy, say)?);
    let mut tests = cargo(&["test", "--no-fail-fast"])?;
    tests.args(&named);
    let mut counter = Counter::default();
    let succeeded = stream(&mut tests, |line| {
        say(line);
        counter.libtest(line);
    })?;
    tally += counter.finish(succeeded);
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Res<Words> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_read_in_any_order() {
        let words = parsed(&["up", "--brokers", "3", "kafka"]).unwrap();
        assert_eq!((words.what.as_str(), words.chosen.len(), words.brokers), ("up", 1, 3));
        assert_eq!(parsed(&["down"]).unwrap().chosen.len(), SERVICES.len());
        assert!(parsed(&[]).is_err());
        assert!(parsed(&["up", "postgres"]).is_err());
        assert!(parsed(&["up", "--brokers", "many"]).is_err());
    }
}
