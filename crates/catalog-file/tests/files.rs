//! Files that are wrong are told with path, line and column; files that are right read
//! back as what was written.

#![expect(clippy::unwrap_used, reason = "tests")]

use exchequer_catalog_file::{FILE_BYTES_MAX, SAMPLES, parse, parse_bytes, write};
use exchequer_domain_catalog::{Content, DOCUMENT_BYTES_MAX};
use exchequer_types::Currency;
use proptest::prelude::*;

const SMALL: &str = "\
name: Small
plans:
  - id: free
    name: Free
    prices:
      - id: monthly
        cycle: month
        currencies:
          USD: { flat: 1.00 }
";

/// What is wrong with the small file after `from` gave way to `to`.
fn problems(from: &str, to: &str) -> Vec<String> {
    assert!(SMALL.contains(from), "{from}");
    let text = SMALL.replacen(from, to, 1);
    parse(&text).unwrap_err().iter().map(ToString::to_string).collect()
}

fn one(from: &str, to: &str, expected: &str) {
    let problems = problems(from, to);
    assert!(
        problems.len() == 1 && problems[0].starts_with(expected),
        "{problems:?}\nnot {expected}"
    );
}

// REQ: BIL-01
#[test]
fn values_that_do_not_fit_are_told_with_path_and_place() {
    let invalid = "CATALOG_FILE_VALUE_INVALID";
    let amount = "plans[0].prices[0].currencies.USD.flat: ";
    for wrong in [".nan", "NaN", "1e3", "+1", "0x10", "1_000", "'1,00'", ".5", "5.", "1.2.3", "٣"]
    {
        one("1.00", wrong, &format!("9:24: {invalid}: {amount}must be a decimal"));
    }
    one("1.00", "1.005", &format!("9:24: {invalid}: {amount}must have at most 2 digits"));
    one("1.00", "[1]", &format!("9:24: {invalid}: {amount}must be a single value"));
    let most = format!("9:24: CATALOG_AMOUNT_INVALID: {amount}must be 0 to 10000000000000.00");
    for huge in ["99999999999999999999", "99999999999999999999.99", &"9".repeat(40)] {
        one("1.00", huge, &most);
    }
    one("1.00", "-0.01", "9:18: CATALOG_AMOUNT_INVALID: plans[0].prices[0].currencies.USD.flat: ");
    let huge = "10000000000000.01";
    one("1.00", huge, "9:18: CATALOG_AMOUNT_INVALID: plans[0].prices[0].currencies.USD.flat: ");
    one("cycle: month", "cycle: 40 months", &format!("7:16: {invalid}: plans[0].prices[0].cycle"));
    one("cycle: month", "cycle: fortnight", &format!("7:16: {invalid}: plans[0].prices[0].cycle"));
    one(
        "USD",
        "usd",
        &format!("9:16: {invalid}: plans[0].prices[0].currencies.usd: must be a code"),
    );
    one("id: free", "id: Free Plan", &format!("3:9: {invalid}: plans[0].id: must match"));
    one("name: Free", "name:", "4:9: CATALOG_FILE_VALUE_INVALID: plans[0].name: must not be empty");
    one("name: Free", "name: ''", "4:5: CATALOG_VALUE_INVALID: plans[0].name: must not be empty");
    for wrong in ["1.5", "-1", "'7'", "many", "99999999999", ".inf"] {
        one("name: Free", &format!("name: Free\n    rank: {wrong}"), "5:11: CATALOG_FILE_VALUE");
    }
    let rank = "name: Free\n    rank: 99999999999";
    one("name: Free", rank, &format!("5:11: {invalid}: plans[0].rank: must be at most 4294967295"));
    let limit = "name: Free\n    features: { storage: 99999999999999999999 }";
    let expected = "plans[0].features.storage: must be at most 1000000000000000";
    one("name: Free", limit, &format!("5:26: {invalid}: {expected}"));
}

// REQ: BIL-01
#[test]
fn what_is_no_text_is_told_with_its_place() {
    let told = |bytes: &[u8]| parse_bytes(bytes).unwrap_err()[0].to_string();
    assert!(parse_bytes(SMALL.as_bytes()).is_ok());
    let found = told(b"name: Small\ndescription: caf\xe9\n");
    assert_eq!(
        found,
        "2:17: CATALOG_FILE_SYNTAX: the byte 0xe9 is no UTF-8: save the file as UTF-8"
    );
    assert!(told("é\n".as_bytes()).starts_with("1:1: CATALOG_FILE_VALUE_INVALID"));
    assert!(told(b"\xff").starts_with("1:1: CATALOG_FILE_SYNTAX"));
    let large = told(&vec![b' '; FILE_BYTES_MAX + 1]);
    assert_eq!(large, "1:1: CATALOG_FILE_TOO_LARGE: must have at most 524288 bytes");
}

// REQ: BIL-01
#[test]
fn a_tab_is_told_where_it_stands() {
    let message = "CATALOG_FILE_SYNTAX: a tab stands in the indentation: indent with spaces";
    for (from, to, place) in [
        ("    name: Free", "\tname: Free", "4:1"),
        ("    name: Free", "    \tname: Free", "4:5"),
        ("        cycle: month", "    \t    cycle: month", "7:5"),
        ("  - id: free", "\t- id: free", "3:1"),
        ("          USD: {", "\t\tUSD: {", "9:1"),
    ] {
        one(from, to, &format!("{place}: {message}"));
    }
}

// REQ: BIL-01
#[test]
fn keys_are_told_with_path_and_place() {
    one("name: Free", "naem: Free\n    name: Free", "4:5: CATALOG_FILE_KEY_UNKNOWN: plans[0].naem");
    one("name: Free", "name: Free\n    name: Two", "5:5: CATALOG_FILE_KEY_REPEATED: plans[0].name");
    one("name: Small\n", "", "1:1: CATALOG_FILE_KEY_MISSING: name: ");
    one("        cycle: month\n", "", "6:9: CATALOG_FILE_KEY_MISSING: plans[0].prices[0].cycle");
    let twice = "USD: { flat: 1.00 }\n          USD: { flat: 2.00 }";
    one(
        "USD: { flat: 1.00 }",
        twice,
        "10:11: CATALOG_FILE_KEY_REPEATED: plans[0].prices[0].currencies.USD",
    );
}

// REQ: BIL-01
#[test]
fn what_the_catalog_refuses_is_told_with_its_place() {
    one(
        "\n        currencies:\n          USD: { flat: 1.00 }",
        "",
        "6:9: CATALOG_PRICE_EMPTY: plans[0].prices[0].currencies",
    );
    one("{ flat: 1.00 }", "{}", "9:11: CATALOG_PRICE_EMPTY: plans[0].prices[0].currencies.USD");
    one("name: Free", "name: Free\n    extends: free", "5:5: CATALOG_CYCLE: plans[0].extends");
    one(
        "name: Small",
        "name: Small\ncurrencies: [USD, VND]",
        "9:9: CATALOG_GAP: plans[0].prices[0].currencies: has no amount in VND",
    );
    one("plans:", "fallback: gone\nplans:", "2:1: CATALOG_REFERENCE_UNKNOWN: fallback");
    let again = "- id: free\n    name: Again\n  - id: free";
    one("- id: free", again, "5:5: CATALOG_DUPLICATE: plans[1].id");
}

// REQ: BIL-01
#[test]
fn what_is_no_yaml_of_ours_is_refused() {
    let of = |text: &str| parse(text).unwrap_err()[0].to_string();
    for (text, expected) in [
        ("", "1:1: CATALOG_FILE_SYNTAX: must have a document"),
        ("# nothing", "1:1: CATALOG_FILE_SYNTAX"),
        ("- a", "1:1: CATALOG_FILE_VALUE_INVALID: must be a mapping"),
        ("name: [a", "2:1: CATALOG_FILE_SYNTAX"),
        ("name: a\n  plans: b\n c", "2:8: CATALOG_FILE_SYNTAX"),
        ("a: &x 1\nb: *x", "1:4: CATALOG_FILE_SYNTAX: anchors are not allowed"),
        ("a: !!binary 1", "1:4: CATALOG_FILE_SYNTAX: tags are not allowed"),
        ("[a]: 1", "1:1: CATALOG_FILE_SYNTAX: a key must be a text"),
        ("name: a\n---\nname: b", "2:1: CATALOG_FILE_SYNTAX: a file has one document"),
    ] {
        let found = of(text);
        assert!(found.starts_with(expected), "{text:?}: {found}");
    }
    let deep = |depth: usize| format!("name: {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(of(&deep(17)).contains("1:23: CATALOG_FILE_TOO_LARGE"), "{}", of(&deep(17)));
    for deeper in [deep(100_000), "x: {".repeat(50_000), "- ".repeat(50_000)] {
        let found = of(&deeper);
        assert!(["TOO_LARGE", "recursion limit"].iter().any(|it| found.contains(it)), "{found}");
    }
    let large = format!("name: {}", "x".repeat(FILE_BYTES_MAX));
    assert!(of(&large).contains("CATALOG_FILE_TOO_LARGE"));
}

// REQ: BIL-01
#[test]
fn everything_wrong_is_told_at_once_from_top_to_bottom() {
    let text = SMALL.replace("Small", "").replace("1.00", "x").replace("month\n", "moon\n");
    let lines: Vec<usize> = parse(&text).unwrap_err().iter().map(|it| it.place.line).collect();
    assert_eq!(lines, [1, 7, 9]);
}

// REQ: BIL-22
#[test]
fn samples_read_back_as_what_is_written() {
    for sample in SAMPLES {
        let document = parse(sample.text).unwrap();
        let written = write(&document);
        assert_eq!(parse(&written).unwrap_or_else(|it| panic!("{}\n{written}", it[0])), document);
        let content = Content::of(document);
        assert!(content.bytes() < DOCUMENT_BYTES_MAX / 10);
    }
}

/// Lines of a mapping in another order, lists in another order.
fn shuffled(lines: Vec<&'static str>) -> impl Strategy<Value = Vec<&'static str>> {
    Just(lines).prop_shuffle()
}

proptest! {
    // REQ: BIL-01
    #[test]
    fn the_hash_does_not_depend_on_the_order_in_the_file(
        top in shuffled(vec![
            "name: Order", "fallback: a", "currencies: [USD, JOD]", "currencies",
            "features:\n  - { id: f, name: F, kind: switch }\n  - { name: G, kind: limit, id: g }",
        ]),
        plan in shuffled(vec![
            "    id: b", "    name: B", "    rank: 1", "    features: { f: on, g: 5 }",
            "    prices:\n      - { cycle: year, id: y, currencies: { JOD: { flat: 1.5 }, USD: { per_seat: 2 } } }",
        ]),
        b_first in any::<bool>(),
    ) {
        let b = format!("  -\n{}\n", plan.join("\n"));
        let a = "  - { name: A, id: a }\n";
        let plans = if b_first { format!("plans:\n{b}{a}") } else { format!("plans:\n{a}{b}") };
        let top: Vec<&str> = top.into_iter().filter(|it| *it != "currencies").collect();
        let text = format!("{}\n{plans}", top.join("\n"));
        let read = |text: &str| parse(text).map_err(|it| it[0].to_string());
        let ordered = "name: Order\nfallback: a\ncurrencies: [JOD, USD]\nfeatures:\n  - { id: g, kind: limit, name: G }\n  - { id: f, kind: switch, name: F }\nplans:\n  - { id: a, name: A }\n  - id: b\n    name: B\n    rank: 1\n    features: { g: 5, f: on }\n    prices:\n      - { id: y, cycle: year, currencies: { USD: { per_seat: 2.00 }, JOD: { flat: 1.500 } } }\n";
        let expected = Content::of(read(ordered).unwrap()).hash();
        prop_assert_eq!(read(&text).map(|it| Content::of(it).hash()), Ok(expected));
    }

    // REQ: BIL-01
    #[test]
    fn any_text_and_any_amount_read_back(
        name in "[^\\p{Cc}]{1,40}",
        description in "[^\\p{Cc}]{0,40}",
        amount in 0_i64..=1_000_000_000_000_000,
        currency in 0_usize..4,
    ) {
        let mut document = parse(SMALL).unwrap();
        let currency = Currency::parse(["USD", "VND", "JOD", "CLF"][currency]).unwrap();
        let price = &mut document.plans[0].prices[0].currencies[0];
        price.currency = currency;
        price.components[0].amount = amount;
        document.name = name;
        document.plans[0].description = format!("{description}\n");
        let written = write(&document);
        let read = parse(&written).map_err(|it| format!("{}\n{written}", it[0]));
        prop_assert_eq!(read, Ok(document));
    }

    // REQ: BIL-01
    #[test]
    fn no_text_makes_it_fail_otherwise(text in "\\PC{0,200}", cut in 0_usize..2_000) {
        let _ = parse(&text);
        let sample: String = SAMPLES[0].text.chars().take(cut).collect();
        let _ = parse(&format!("{sample}{text}"));
    }
}
