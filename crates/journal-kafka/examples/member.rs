//! A member of the deciders' group as a process of its own: prints how many partitions
//! it has, each time that changes. For tests and for looking at a deployment by hand:
//! `member BOOTSTRAP [PREFIX]`.

use std::io::Write as _;
use std::process::ExitCode;

use exchequer_journal::{Group, Membership as _};
use exchequer_journal_kafka::{KafkaMembership, Settings};
use exchequer_types::PartitionId;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(bootstrap) = words.next() else {
        eprintln!("usage: member BOOTSTRAP [PREFIX]");
        return ExitCode::from(64);
    };
    let settings =
        Settings { prefix: words.next().unwrap_or_default(), ..Settings::new(bootstrap) };
    match KafkaMembership::join(&settings, &[Group::Deciders]) {
        Ok(member) => {
            futures::executor::block_on(follow(&member));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("member: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn follow(member: &KafkaMembership) {
    let mut owned = member.owned(Group::Deciders);
    let mut before = owned.borrow_and_update().clone();
    while owned.changed().await.is_ok() {
        let now = owned.borrow_and_update().clone();
        before.difference(&now).for_each(|it: &PartitionId| member.released(Group::Deciders, *it));
        before = now;
        let printed = writeln!(std::io::stdout(), "{}", before.len());
        if printed.and_then(|()| std::io::stdout().flush()).is_err() {
            return;
        }
    }
}
