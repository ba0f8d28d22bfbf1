//! Packed rows come back as they were written, and what is damaged is an error.

use exchequer_metering::{Aggregation, Latest};
use exchequer_types::{Period, Quantity, Timestamp};
use proptest::prelude::*;

use crate::amount::{Amount, Members};
use crate::common::{Common, SectionOf};
use crate::packed::{Cells, Packed};
use crate::tables::Scope;
use crate::texts::written;
use crate::{Counts, Kept};

fn amount(aggregation: Aggregation) -> BoxedStrategy<Amount> {
    let units = prop_oneof![
        -3_i128..3,
        any::<i64>().prop_map(|it| i128::from(it) * 1_000_000_000_000),
        (-i128::MAX..=i128::MAX)
    ];
    match aggregation {
        Aggregation::Count => any::<i64>().prop_map(Amount::Count).boxed(),
        Aggregation::Sum => units.prop_map(Amount::Sum).boxed(),
        Aggregation::Min => prop::option::of(units).prop_map(Amount::Min).boxed(),
        Aggregation::Max => prop::option::of(units).prop_map(Amount::Max).boxed(),
        Aggregation::Average => {
            (units, any::<i64>()).prop_map(|(sum, count)| Amount::Average { sum, count }).boxed()
        }
        Aggregation::Last => {
            let latest = (units, any::<(u32, u64, u32)>(), 0..=Timestamp::MAX.micros());
            let latest = latest.prop_map(|(units, place, at)| {
                let (time, value) =
                    (Timestamp::saturating_from_micros(at), Quantity::from_units(units));
                Box::new(Latest { time, place, value })
            });
            prop::option::of(latest).prop_map(Amount::Last).boxed()
        }
        Aggregation::UniqueCount => {
            (prop::collection::btree_set(any::<[u8; 16]>(), 0..5), any::<bool>())
                .prop_map(|(held, spilled)| Amount::Unique(Members { held, spilled }))
                .boxed()
        }
    }
}

type Cell = (i64, String, Amount);

fn cells() -> impl Strategy<Value = (Aggregation, Kept, Vec<Cell>)> {
    let aggregation = prop::sample::select(Aggregation::ALL.to_vec());
    (aggregation, prop::sample::select(Kept::ALL.to_vec())).prop_flat_map(|(aggregation, kept)| {
        let cell = (0..48_i64, "[a-cé,]{0,3}", amount(aggregation));
        (Just(aggregation), Just(kept), prop::collection::vec(cell, 0..20))
    })
}

fn window(kept: Kept, hour: i64) -> Period {
    let start = Timestamp::saturating_from_micros(1_767_225_600_000_000 + hour * 3_600_000_000);
    kept.window(start).unwrap_or_else(|| Period {
        start,
        end: Timestamp::saturating_from_micros(start.micros() + 1 + hour),
    })
}

fn packed(aggregation: Aggregation, kept: Kept, cells: &[Cell]) -> Packed {
    let mut row = Packed::new(aggregation, vec!["model".to_owned()]);
    for (hour, name, amount) in cells {
        let name = written([name.as_str()]);
        if row.get_mut(window(kept, *hour), &name).is_none() {
            row.insert(window(kept, *hour), &name, amount.clone());
        }
    }
    row
}

fn section(at: u32) -> SectionOf<'static> {
    let scope = if at == 0 { Scope::Totals } else { Scope::Subjects(15) };
    SectionOf { meter: ["calls", "tokens"][at as usize % 2], version: at + 1, scope }
}

/// The same cells in some sections, as far as there is room.
fn common(aggregation: Aggregation, kept: Kept, cells: &[Cell]) -> Common {
    let mut row = Common::default();
    for (at, (hour, name, amount)) in (0..).zip(cells) {
        let (of, name) = (section(at % 3), written([name.as_str()]));
        let window = window(kept, *hour);
        row.admit(of, (window, &name, 100), || (aggregation, vec!["model".to_owned()]));
        if let Some(held) = row.get_mut(of, window, &name) {
            *held = amount.clone();
        }
    }
    row
}

proptest! {
    #[test]
    fn common_rows_come_back((aggregation, kept, cells) in cells(), cut in 1..16_usize) {
        let row = common(aggregation, kept, &cells);
        let bytes = row.write(kept);
        let again = Common::read(kept, &bytes).unwrap();
        prop_assert_eq!(again.write(kept), &bytes);
        prop_assert_eq!(again.is_full(), row.is_full());
        for at in 0..3 {
            let cells = |row: &Common| row.section(section(at)).map_or(0, Packed::len);
            prop_assert_eq!(cells(&again), cells(&row));
        }
        let shorter = &bytes[..bytes.len().saturating_sub(cut)];
        prop_assert!(Common::read(kept, shorter).is_err());
    }

    #[test]
    fn rows_come_back((aggregation, kept, cells) in cells()) {
        let row = packed(aggregation, kept, &cells);
        let bytes = row.write(kept);
        let mut again = Packed::read(kept, &bytes).unwrap();
        prop_assert_eq!(again.write(kept), bytes);
        for (hour, name, _) in &cells {
            let name = written([name.as_str()]);
            prop_assert!(again.get_mut(window(kept, *hour), &name).is_some());
        }
    }

    #[test]
    fn a_shorter_row_is_damaged((aggregation, kept, cells) in cells(), cut in 1..16_usize) {
        let bytes = packed(aggregation, kept, &cells).write(kept);
        let shorter = &bytes[..bytes.len().saturating_sub(cut)];
        prop_assert!(Packed::read(kept, shorter).is_err());
    }

    #[test]
    fn anything_else_is_an_error_and_no_panic(
        kept in prop::sample::select(Kept::ALL.to_vec()),
        mut bytes in prop::collection::vec(any::<u8>(), 0..60),
        begins: bool,
    ) {
        if begins {
            bytes.splice(..0, [1, 2, 0]);
        }
        let _ = Packed::read(kept, &bytes);
        let _ = Cells::read(kept, &bytes);
        let _ = Common::read(kept, &bytes);
        let _ = Counts::read(&bytes);
    }
}
