//! What every implementation of [`Outlet`] must do. An adapter's tests run [`CASES`], all
//! of them.

use bytes::Bytes;
use exchequer_types::PartitionId;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::{FaultKind, OUTGOING_BYTES_MAX, OUTGOING_HEADERS_MAX, Outgoing, Outlet};

/// One case: its name, and a check that panics when the outlet, which must be empty and
/// have at least 2 partitions, fails it.
pub type Case = (&'static str, fn(&dyn Outlet) -> BoxFuture<'_, ()>);

pub const CASES: &[Case] = &[
    ("the newest record is read with all it has", |outlet| the_newest(outlet).boxed()),
    ("partitions are apart", |outlet| partitions_are_apart(outlet).boxed()),
    ("what is published next stands behind", |outlet| behind(outlet).boxed()),
    ("too much is refused whole", |outlet| refused_whole(outlet).boxed()),
];

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

fn record(number: usize) -> Outgoing {
    let header = |name: &str, value: &'static [u8]| (name.to_owned(), Bytes::from_static(value));
    Outgoing {
        key: Bytes::from_static(b"acme"),
        headers: vec![header("a", b"1"), header("b", &[0, 255]), header("a", b"")],
        value: Bytes::from(number.to_string()),
    }
}

async fn publish(outlet: &dyn Outlet, partition: PartitionId, records: Vec<Outgoing>) {
    if let Err(fault) = outlet.publish(partition, records).await {
        panic!("publish failed: {fault}");
    }
}

async fn last(outlet: &dyn Outlet, partition: PartitionId) -> Option<Outgoing> {
    let last = outlet.last(partition).await;
    last.unwrap_or_else(|fault| panic!("the newest record is not read: {fault}"))
}

async fn the_newest(outlet: &dyn Outlet) {
    assert_eq!(last(outlet, P0).await, None);
    publish(outlet, P0, Vec::new()).await;
    assert_eq!(last(outlet, P0).await, None);
    publish(outlet, P0, (0..10).map(record).collect()).await;
    assert_eq!(last(outlet, P0).await, Some(record(9)));
    let bare = Outgoing { value: Bytes::from_static(b"bare"), ..Outgoing::default() };
    publish(outlet, P0, vec![bare.clone()]).await;
    assert_eq!(last(outlet, P0).await, Some(bare));
}

async fn partitions_are_apart(outlet: &dyn Outlet) {
    publish(outlet, P0, vec![record(1)]).await;
    publish(outlet, P1, vec![record(2)]).await;
    assert_eq!(last(outlet, P0).await, Some(record(1)));
    assert_eq!(last(outlet, P1).await, Some(record(2)));
}

async fn behind(outlet: &dyn Outlet) {
    for number in 0..20 {
        publish(outlet, P1, vec![record(number)]).await;
        assert_eq!(last(outlet, P1).await, Some(record(number)), "asked, not remembered");
    }
}

async fn refused_whole(outlet: &dyn Outlet) {
    let large = Outgoing { value: Bytes::from(vec![7; OUTGOING_BYTES_MAX]), ..record(0) };
    let header = ("h".to_owned(), Bytes::new());
    let many = Outgoing { headers: vec![header; OUTGOING_HEADERS_MAX + 1], ..record(0) };
    for refused in [large, many] {
        let told = outlet.publish(P0, vec![record(1), refused]).await;
        assert_eq!(told.map_err(|fault| fault.kind), Err(FaultKind::TooLarge));
    }
    assert_eq!(last(outlet, P0).await, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryOutlet;

    // REQ: KER-07
    #[tokio::test]
    async fn the_outlet_in_memory_conforms() {
        for (name, case) in CASES {
            println!("{name}");
            case(&MemoryOutlet::new(2)).await;
        }
    }
}
