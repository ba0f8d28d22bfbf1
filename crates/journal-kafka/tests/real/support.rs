//! One broker for all tests that need no more, and topics of their own for each.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use exchequer_journal_kafka::topics::{self, Layout, Spec};
use exchequer_journal_kafka::{KafkaJournal, Settings};
use exchequer_services::Kafka;

static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());

/// The broker that tests of this program share while any of them holds it.
pub(crate) fn broker() -> Arc<Kafka> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kafka) = shared.upgrade() {
        return kafka;
    }
    let kafka = Arc::new(Kafka::start(1).unwrap());
    *shared = Arc::downgrade(&kafka);
    kafka
}

/// A deployment of its own on `kafka`.
pub(crate) fn settings(kafka: &Kafka, prefix: &str) -> Settings {
    Settings { prefix: format!("{prefix}."), ..Settings::new(kafka.bootstrap()) }
}

pub(crate) fn layout(partitions: u32, replicas: u32) -> Layout {
    Layout { partitions, replicas, ..Layout::default() }
}

/// Topics called `names`, new.
pub(crate) fn create(settings: &Settings, layout: Layout, names: &[&str]) -> Vec<Spec> {
    let specs: Vec<Spec> = names.iter().map(|name| layout.topic(name).unwrap()).collect();
    topics::create(settings, &specs).unwrap();
    specs
}

/// A new journal.
pub(crate) fn journal(settings: &Settings, layout: Layout) -> KafkaJournal {
    let specs = create(settings, layout, &["journal"]);
    KafkaJournal::open(settings, &specs[0]).unwrap()
}
