//! What every implementation of [`ReadStore`] must do. An adapter's tests run
//! [`CASES`], all of them.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::table::{KEY_BYTES_MAX, Key, Keys, Row, Scan, Table, Value, Write};
use crate::{Batch, ReadStore};

/// One case: its name, and a check that panics when the store, which must be
/// empty, fails it.
pub type Case = (&'static str, fn(&dyn ReadStore) -> BoxFuture<'_, ()>);

pub const CASES: &[Case] = &[
    ("put, replace, get, delete", |store| put_get_delete(store).boxed()),
    ("a whole batch is applied", |store| whole_batch(store).boxed()),
    ("a batch in order replaces and deletes", |store| in_order(store).boxed()),
    ("within a batch the later of two stands", |store| twice_in_a_batch(store).boxed()),
    ("an older write changes nothing", |store| older_writes(store).boxed()),
    ("an older put behind a delete changes nothing", |store| older_than_delete(store).boxed()),
    ("an equal timestamp replaces", |store| equal_timestamps(store).boxed()),
    ("many rows are read by their keys", |store| by_keys(store).boxed()),
    ("scans go up and down", |store| both_directions(store).boxed()),
    ("scans keep to their bounds", |store| bounds(store).boxed()),
    ("scans go on behind a row", |store| paging(store).boxed()),
    ("scan bounds may be prefixes", |store| prefixes(store).boxed()),
    ("deleted rows do not count in a scan", |store| deleted_in_scans(store).boxed()),
    ("tables and partition keys are apart", |store| tables_apart(store).boxed()),
    ("generations are apart", |store| generations_apart(store).boxed()),
    ("a dropped generation is gone", |store| dropped_generation(store).boxed()),
    ("integers sort by value", |store| integers(store).boxed()),
    ("texts sort by their bytes", |store| texts(store).boxed()),
    ("every kind comes back", |store| kinds(store).boxed()),
    ("a row of 1 MiB fits", |store| large_values(store).boxed()),
    ("what is not of the table is refused", |store| misshapen(store).boxed()),
    ("a key too long is refused", |store| long_keys(store).boxed()),
    ("writes at once all land", |store| writes_at_once(store).boxed()),
];

/// The tables of the cases, for tests that need any table.
pub mod example {
    use bytes::Bytes;

    use crate::table::{Column, Key, Kind, Table, Value, Write};

    /// One row a number.
    pub const TABLE: &Table = &Table {
        name: "conformance",
        partition_key: &[Column { name: "tenant", kind: Kind::Text }],
        clustering: &[Column { name: "number", kind: Kind::Int }],
        columns: &[Column { name: "title", kind: Kind::Text }],
    };

    /// Every kind, everywhere.
    pub const WIDE: &Table = &Table {
        name: "conformance_wide",
        partition_key: &[
            Column { name: "tenant", kind: Kind::Text },
            Column { name: "shard", kind: Kind::Int },
        ],
        clustering: &[
            Column { name: "name", kind: Kind::Text },
            Column { name: "number", kind: Kind::Int },
            Column { name: "digest", kind: Kind::Bytes },
        ],
        columns: &[
            Column { name: "title", kind: Kind::Text },
            Column { name: "count", kind: Kind::Int },
            Column { name: "body", kind: Kind::Bytes },
        ],
    };

    /// No clustering key, no columns.
    pub const NARROW: &Table = &Table {
        name: "conformance_narrow",
        partition_key: &[Column { name: "tenant", kind: Kind::Text }],
        clustering: &[],
        columns: &[],
    };

    /// Key of a row of [`TABLE`].
    pub fn key(tenant: &str, number: i64) -> Key {
        Key { partition: vec![Value::text(tenant)], clustering: vec![Value::Int(number)] }
    }

    /// Puts a row of [`TABLE`], generation 0.
    pub fn put(tenant: &str, number: i64, title: &str, timestamp: u64) -> Write {
        let values = Some(vec![Value::text(title)]);
        Write { table: TABLE, generation: 0, key: key(tenant, number), values, timestamp }
    }

    /// Deletes a row of [`TABLE`], generation 0.
    pub fn delete(tenant: &str, number: i64, timestamp: u64) -> Write {
        Write { values: None, ..put(tenant, number, "", timestamp) }
    }

    /// Puts a row of [`WIDE`], generation 0.
    pub fn put_wide(name: &str, number: i64, digest: &[u8], values: Vec<Value>) -> Write {
        let digest = Value::Bytes(Bytes::copy_from_slice(digest));
        let key = Key {
            partition: vec![Value::text("t"), Value::Int(-1)],
            clustering: vec![Value::text(name), Value::Int(number), digest],
        };
        Write { table: WIDE, generation: 0, key, values: Some(values), timestamp: 1 }
    }
}

use example::{NARROW, TABLE, WIDE, delete, key, put, put_wide};

async fn write(store: &dyn ReadStore, rows: Vec<Write>) {
    if let Err(fault) = store.write(Batch { rows, last: Vec::new() }).await {
        panic!("write failed: {fault}");
    }
}

async fn get(store: &dyn ReadStore, table: &'static Table, key: Key) -> Option<Row> {
    match store.get(table, 0, key).await {
        Ok(row) => row,
        Err(fault) => panic!("get failed: {fault}"),
    }
}

async fn scan(store: &dyn ReadStore, scan: Scan) -> Vec<Row> {
    match store.scan(scan).await {
        Ok(rows) => rows,
        Err(fault) => panic!("scan failed: {fault}"),
    }
}

/// Title and timestamp of a row of [`TABLE`].
async fn title(store: &dyn ReadStore, number: i64) -> Option<(String, u64)> {
    let row = get(store, TABLE, key("t", number)).await?;
    assert_eq!(row.key, key("t", number));
    Some((row.values[0].as_text().to_owned(), row.timestamp))
}

fn found(title: &str, timestamp: u64) -> (String, u64) {
    (title.to_owned(), timestamp)
}

fn all(table: &'static Table) -> Scan {
    Scan::of(table, 0, vec![Value::text("t")], usize::MAX)
}

/// Numbers of the rows of [`TABLE`] that the scan finds.
async fn numbers(store: &dyn ReadStore, of: Scan) -> Vec<i64> {
    scan(store, of).await.iter().map(|row| row.key.clustering[0].as_int()).collect()
}

async fn put_numbers(store: &dyn ReadStore, numbers: impl IntoIterator<Item = i64>) {
    write(store, numbers.into_iter().map(|number| put("t", number, "", 1)).collect()).await;
}

async fn put_get_delete(store: &dyn ReadStore) {
    assert_eq!(title(store, 1).await, None);
    write(store, vec![put("t", 1, "a", 5)]).await;
    assert_eq!(title(store, 1).await, Some(found("a", 5)));
    write(store, vec![put("t", 1, "b", 6)]).await;
    assert_eq!(title(store, 1).await, Some(found("b", 6)));
    write(store, vec![delete("t", 1, 7)]).await;
    assert_eq!(title(store, 1).await, None);
    write(store, vec![delete("t", 2, 7), put("t", 1, "c", 8)]).await;
    assert_eq!(title(store, 1).await, Some(found("c", 8)));
    assert_eq!(title(store, 2).await, None);
    write(store, Vec::new()).await;
}

async fn in_order(store: &dyn ReadStore) {
    let steps = [
        vec![put("t", 1, "a", 5), put("t", 2, "a", 5), put("t", 3, "a", 5)],
        vec![put("t", 1, "b", 6), delete("t", 2, 6)],
        vec![put("t", 1, "b", 6), put("t", 2, "c", 7), delete("t", 4, 7)],
    ];
    for rows in steps {
        assert!(store.write_in_order(Batch { rows, last: Vec::new() }).await.is_ok());
    }
    assert_eq!(title(store, 1).await, Some(found("b", 6)));
    assert_eq!(title(store, 2).await, Some(found("c", 7)));
    assert_eq!(numbers(store, all(TABLE)).await, [1, 2, 3]);
    // Others still compare.
    write(store, vec![put("t", 1, "late", 5), delete("t", 3, 4)]).await;
    assert_eq!(title(store, 1).await, Some(found("b", 6)));
    assert_eq!(title(store, 3).await, Some(found("a", 5)));
}

async fn whole_batch(store: &dyn ReadStore) {
    let rows = (0..1_000).map(|number| put("t", number, "row", 1)).collect();
    let last = vec![put("checkpoint", 0, "last", 1)];
    assert!(store.write(Batch { rows, last }).await.is_ok());
    assert_eq!(numbers(store, all(TABLE)).await, (0..1_000).collect::<Vec<_>>());
    let last = get(store, TABLE, key("checkpoint", 0)).await;
    assert_eq!(last.map(|row| row.values), Some(vec![Value::text("last")]));
}

async fn twice_in_a_batch(store: &dyn ReadStore) {
    let rows = vec![
        put("t", 1, "older", 5),
        put("t", 2, "newer", 6),
        put("t", 3, "gone", 5),
        put("t", 1, "newer", 6),
        put("t", 2, "older", 5),
        delete("t", 3, 6),
    ];
    write(store, rows).await;
    assert_eq!(title(store, 1).await, Some(found("newer", 6)));
    assert_eq!(title(store, 2).await, Some(found("newer", 6)));
    assert_eq!(title(store, 3).await, None);
}

async fn older_writes(store: &dyn ReadStore) {
    write(store, vec![put("t", 1, "new", 1 << 16 | 3)]).await;
    write(store, vec![put("t", 1, "old", 1 << 16 | 2), put("t", 2, "other", 1)]).await;
    assert_eq!(title(store, 1).await, Some(found("new", 1 << 16 | 3)));
    assert_eq!(title(store, 2).await, Some(found("other", 1)), "only the older one is dropped");
    write(store, vec![delete("t", 1, 1 << 16)]).await;
    assert_eq!(title(store, 1).await, Some(found("new", 1 << 16 | 3)));
}

async fn older_than_delete(store: &dyn ReadStore) {
    write(store, vec![delete("t", 1, 9)]).await;
    write(store, vec![put("t", 1, "old", 8)]).await;
    assert_eq!(title(store, 1).await, None);
    write(store, vec![put("t", 1, "new", u64::MAX)]).await;
    assert_eq!(title(store, 1).await, Some(found("new", u64::MAX)));
}

async fn equal_timestamps(store: &dyn ReadStore) {
    write(store, vec![put("t", 1, "a", 5)]).await;
    write(store, vec![put("t", 1, "b", 5)]).await;
    assert_eq!(title(store, 1).await, Some(found("b", 5)));
    write(store, vec![delete("t", 1, 5)]).await;
    assert_eq!(title(store, 1).await, None);
    write(store, vec![put("t", 1, "c", 5), put("t", 2, "zero", 0)]).await;
    assert_eq!(title(store, 1).await, Some(found("c", 5)));
    assert_eq!(title(store, 2).await, Some(found("zero", 0)));
}

async fn by_keys(store: &dyn ReadStore) {
    put_numbers(store, (0..200).filter(|number| number % 3 > 0)).await;
    write(store, vec![delete("t", 4, 2), put("other", 3, "", 1)]).await;
    let found = async |numbers: &[i64]| -> Vec<i64> {
        let clustering = numbers.iter().map(|number| vec![Value::Int(*number)]).collect();
        let partition = vec![Value::text("t")];
        match store.get_many(Keys { table: TABLE, generation: 0, partition, clustering }).await {
            Ok(rows) => {
                assert!(rows.iter().all(|row| row.timestamp == 1 && row.key.partition.len() == 1));
                let mut found: Vec<_> =
                    rows.iter().map(|row| row.key.clustering[0].as_int()).collect();
                found.sort_unstable();
                found
            }
            Err(fault) => panic!("get_many failed: {fault}"),
        }
    };
    assert!(found(&[]).await.is_empty());
    assert_eq!(found(&[7]).await, [7]);
    assert_eq!(found(&[8, -1, 4, 3, 2]).await, [2, 8]);
    let all: Vec<i64> = (0..200).rev().collect();
    let there: Vec<i64> = (0..200).filter(|it| it % 3 > 0 && *it != 4).collect();
    assert_eq!(found(&all).await, there);
    assert_eq!(found(&all[..64]).await, there[there.len() - 43..]);
    let only = Key { partition: vec![Value::text("t")], clustering: Vec::new() };
    let Key { partition, clustering } = only.clone();
    let values = Some(Vec::new());
    write(store, vec![Write { table: NARROW, generation: 0, key: only, values, timestamp: 3 }])
        .await;
    let keys = Keys { table: NARROW, generation: 0, partition, clustering: vec![clustering] };
    assert!(store.get_many(keys).await.is_ok_and(|rows| rows.len() == 1));
}

async fn both_directions(store: &dyn ReadStore) {
    put_numbers(store, [3, 1, 2]).await;
    assert_eq!(numbers(store, all(TABLE)).await, [1, 2, 3]);
    assert_eq!(numbers(store, Scan { reverse: true, ..all(TABLE) }).await, [3, 2, 1]);
    let two = Scan { rows_max: 2, ..all(TABLE) };
    assert_eq!(numbers(store, two.clone()).await, [1, 2]);
    assert_eq!(numbers(store, Scan { reverse: true, ..two }).await, [3, 2]);
    assert!(numbers(store, Scan { rows_max: 0, ..all(TABLE) }).await.is_empty());
}

async fn bounds(store: &dyn ReadStore) {
    put_numbers(store, 0..10).await;
    let int = |number| Some(vec![Value::Int(number)]);
    for reverse in [false, true] {
        let check = async |from: Option<i64>, to: Option<i64>, expected: &[i64]| {
            let (from, to) = (from.and_then(int), to.and_then(int));
            let mut numbers = numbers(store, Scan { from, to, reverse, ..all(TABLE) }).await;
            if reverse {
                numbers.reverse();
            }
            assert_eq!(numbers, expected, "reverse {reverse}");
        };
        check(Some(7), None, &[7, 8, 9]).await;
        check(None, Some(3), &[0, 1, 2]).await;
        check(Some(3), Some(5), &[3, 4]).await;
        check(Some(-4), Some(99), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).await;
        check(Some(5), Some(5), &[]).await;
        check(Some(6), Some(3), &[]).await;
    }
}

async fn paging(store: &dyn ReadStore) {
    put_numbers(store, 0..10).await;
    for reverse in [false, true] {
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = Scan { after: after.clone(), reverse, rows_max: 3, ..all(TABLE) };
            let page = scan(store, page).await;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clustering.clone());
            seen.extend(page.iter().map(|row| row.key.clustering[0].as_int()));
        }
        if reverse {
            seen.reverse();
        }
        assert_eq!(seen, (0..10).collect::<Vec<_>>(), "reverse {reverse}");
    }
    let absent = Some(vec![Value::Int(-1)]);
    let within = Scan { from: Some(vec![Value::Int(2)]), after: absent, ..all(TABLE) };
    assert_eq!(numbers(store, within.clone()).await, (2..10).collect::<Vec<_>>());
    assert!(numbers(store, Scan { reverse: true, ..within }).await.is_empty());
}

async fn prefixes(store: &dyn ReadStore) {
    let names = [("a", 1), ("a", 2), ("a\0", 1), ("ab", 1), ("b", 0)];
    let values = || vec![Value::text(""), Value::Int(0), Value::Bytes(Bytes::new())];
    write(store, names.map(|(name, number)| put_wide(name, number, b"d", values())).into()).await;
    let text = |name: &str| Some(vec![Value::text(name)]);
    let check = async |from: Option<Vec<Value>>, to: Option<Vec<Value>>, expected: &[(_, _)]| {
        let partition = vec![Value::text("t"), Value::Int(-1)];
        let rows = Scan { from, to, ..Scan::of(WIDE, 0, partition, 10) };
        let rows = scan(store, rows).await;
        let clustering = rows.iter().map(|row| &row.key.clustering);
        let found: Vec<_> = clustering.map(|key| (key[0].as_text(), key[1].as_int())).collect();
        assert_eq!(found, expected);
    };
    check(text("a"), None, &names).await;
    check(text("a"), text("ab"), &names[..3]).await;
    check(text("a\0"), None, &names[2..]).await;
    check(None, text("a\0"), &names[..2]).await;
    check(text("aa"), text("b"), &names[3..4]).await;
    let second = vec![Value::text("a"), Value::Int(2)];
    check(Some(second.clone()), None, &names[1..]).await;
    check(None, Some(second), &names[..1]).await;
}

async fn deleted_in_scans(store: &dyn ReadStore) {
    put_numbers(store, 0..2_000).await;
    write(store, (0..1_998).map(|number| delete("t", number, 2)).collect()).await;
    assert_eq!(numbers(store, Scan { rows_max: 2, ..all(TABLE) }).await, [1_998, 1_999]);
    let down = Scan { reverse: true, ..all(TABLE) };
    assert_eq!(numbers(store, down).await, [1_999, 1_998]);
}

async fn tables_apart(store: &dyn ReadStore) {
    let only = Key { partition: vec![Value::text("t")], clustering: Vec::new() };
    let values = Some(Vec::new());
    let narrow = Write { table: NARROW, generation: 0, key: only.clone(), values, timestamp: 3 };
    let tenants = ["", "s", "t", "t\0", "tt"];
    let rows = tenants.iter().map(|tenant| put(tenant, 1, tenant, 1));
    write(store, rows.chain([narrow]).collect()).await;
    for tenant in tenants {
        let one = Scan::of(TABLE, 0, vec![Value::text(tenant)], 10);
        let rows = scan(store, one).await;
        assert_eq!(rows.len(), 1, "{tenant:?}");
        assert_eq!(rows[0].key, key(tenant, 1));
        assert_eq!(rows[0].values, [Value::text(tenant)]);
    }
    let row = Row { key: only.clone(), values: Vec::new(), timestamp: 3 };
    assert_eq!(get(store, NARROW, only).await.as_ref(), Some(&row));
    assert_eq!(scan(store, all(NARROW)).await, [row]);
}

async fn put_in_generations(store: &dyn ReadStore, generations: &[u64]) {
    for generation in generations {
        let title = Some(vec![Value::text(generation.to_string())]);
        let rows = [1, 2].map(|number| Write {
            generation: *generation,
            values: title.clone(),
            ..put("t", number, "", 1)
        });
        write(store, rows.into()).await;
    }
}

async fn titles_in(store: &dyn ReadStore, generation: u64) -> Vec<String> {
    let rows = scan(store, Scan { generation, ..all(TABLE) }).await;
    rows.iter().map(|row| row.values[0].as_text().to_owned()).collect()
}

async fn generations_apart(store: &dyn ReadStore) {
    let generations = [0, 1, 2, 255, 256, u64::MAX];
    put_in_generations(store, &generations).await;
    for generation in generations {
        let title = generation.to_string();
        assert_eq!(titles_in(store, generation).await, [title.clone(), title]);
    }
    assert!(titles_in(store, 3).await.is_empty());
}

async fn dropped_generation(store: &dyn ReadStore) {
    put_in_generations(store, &[1, 2, 3]).await;
    let many = (0..10_000).map(|number| Write { generation: 2, ..put("u", number, "", 1) });
    write(store, many.collect()).await;
    for _ in 0..2 {
        if let Err(fault) = store.drop_generation(TABLE, 2).await {
            panic!("drop failed: {fault}");
        }
        let gone = store.get(TABLE, 2, key("t", 1)).await;
        assert!(matches!(gone, Ok(None)), "{gone:?}");
        assert!(titles_in(store, 2).await.is_empty());
        let partition = vec![Value::text("u")];
        assert!(scan(store, Scan::of(TABLE, 2, partition, 10)).await.is_empty());
    }
    assert_eq!(titles_in(store, 1).await, ["1", "1"]);
    assert_eq!(titles_in(store, 3).await, ["3", "3"]);
}

async fn integers(store: &dyn ReadStore) {
    let sorted = [i64::MIN, i64::MIN + 1, -(1 << 40), -256, -255, -1, 0, 1, 255, 256, i64::MAX];
    put_numbers(store, sorted.into_iter().rev()).await;
    assert_eq!(numbers(store, all(TABLE)).await, sorted);
    let negative = Scan { to: Some(vec![Value::Int(0)]), ..all(TABLE) };
    assert_eq!(numbers(store, negative).await, sorted[..6]);
}

async fn texts(store: &dyn ReadStore) {
    let sorted = ["", "\0", "\0\0", "\0\u{1}", "\u{1}", "a", "a\0", "a\0b", "ab", "z", "é", "日本"];
    let values = || vec![Value::text(""), Value::Int(0), Value::Bytes(Bytes::new())];
    let rows = sorted.iter().rev().map(|name| put_wide(name, 0, name.as_bytes(), values()));
    write(store, rows.collect()).await;
    let partition = vec![Value::text("t"), Value::Int(-1)];
    let rows = scan(store, Scan::of(WIDE, 0, partition, 100)).await;
    let names: Vec<_> = rows.iter().map(|row| row.key.clustering[0].as_text()).collect();
    assert_eq!(names, sorted);
    for row in &rows {
        let name = row.key.clustering[0].as_text();
        assert_eq!(row.key.clustering[2], Value::Bytes(Bytes::copy_from_slice(name.as_bytes())));
    }
}

async fn kinds(store: &dyn ReadStore) {
    let digest = [0, 1, 0xff, 0, 0];
    let bodies: [&[u8]; 3] = [b"", &[0], &[0xff, 0, 1]];
    for (number, body) in (0..).zip(bodies) {
        for count in [i64::MIN, -1, 0, 1, i64::MAX] {
            let body = Value::Bytes(Bytes::copy_from_slice(body));
            let values = vec![Value::text("\0é\u{10ffff}"), Value::Int(count), body];
            let put = put_wide("n", number, &digest, values.clone());
            let key = put.key.clone();
            write(store, vec![put]).await;
            let row = get(store, WIDE, key.clone()).await;
            assert_eq!(row, Some(Row { key, values, timestamp: 1 }));
        }
    }
}

async fn large_values(store: &dyn ReadStore) {
    let body = Bytes::from((0..1 << 20).map(|n: u32| (n % 251) as u8).collect::<Vec<_>>());
    let values = vec![Value::text("x".repeat(1 << 20)), Value::Int(1), Value::Bytes(body)];
    let put = put_wide("large", 1, b"", values.clone());
    let key = put.key.clone();
    write(store, vec![put]).await;
    assert!(get(store, WIDE, key).await.is_some_and(|row| row.values == values));
}

/// The batch is refused for good, and nothing of it is applied.
async fn is_refused(store: &dyn ReadStore, bad: Write) {
    let rows = vec![put("t", 1, "", 1), bad];
    let refused = store.write(Batch { rows, last: Vec::new() }).await;
    assert!(refused.is_err_and(|fault| !fault.retryable));
    assert_eq!(title(store, 1).await, None);
}

async fn misshapen(store: &dyn ReadStore) {
    let good = || put("t", 2, "", 1);
    let text = || vec![Value::text("t")];
    is_refused(store, Write { values: Some(Vec::new()), ..good() }).await;
    is_refused(store, Write { values: Some(vec![Value::Int(1)]), ..good() }).await;
    let key = Key { partition: text(), clustering: text() };
    is_refused(store, Write { key, ..good() }).await;
    let key = Key { partition: text(), clustering: Vec::new() };
    is_refused(store, Write { key, values: None, ..good() }).await;
    let key = Key { partition: Vec::new(), clustering: vec![Value::Int(2)] };
    is_refused(store, Write { key, ..good() }).await;
}

async fn long_keys(store: &dyn ReadStore) {
    // Generation, sign-flipped integer, end of the text.
    let fits = "k".repeat(KEY_BYTES_MAX - 18);
    write(store, vec![put(&fits, 1, "", 1)]).await;
    assert!(get(store, TABLE, key(&fits, 1)).await.is_some());
    is_refused(store, put(&(fits + "k"), 1, "", 1)).await;
    let zeros = "\0".repeat(KEY_BYTES_MAX / 2);
    is_refused(store, put(&zeros, 1, "", 1)).await;
}

async fn writes_at_once(store: &dyn ReadStore) {
    let writes = (0..50).map(|number| {
        let rows = vec![put("t", number, "", 1), put("shared", 0, "", number.cast_unsigned())];
        store.write(Batch { rows, last: Vec::new() })
    });
    for result in futures::future::join_all(writes).await {
        assert!(result.is_ok());
    }
    assert_eq!(numbers(store, all(TABLE)).await, (0..50).collect::<Vec<_>>());
    let shared = get(store, TABLE, key("shared", 0)).await;
    assert_eq!(shared.map(|row| row.timestamp), Some(49), "the newest stands, in any order");
}
