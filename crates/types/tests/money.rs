//! Properties of amounts, proportions, rounding and splitting.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use exchequer_types::{Currency, Money, MoneyError, Ratio, Rounding, split};
use proptest::prelude::*;

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, currency("USD"))
}

#[test]
fn amounts_are_read_and_written_with_the_digits_of_their_currency() {
    for (text, code, minor) in [
        ("12.34", "USD", 1_234),
        ("-12.34", "USD", -1_234),
        ("0.05", "USD", 5),
        ("-0.05", "USD", -5),
        ("250000", "VND", 250_000),
        ("1.005", "JOD", 1_005),
        ("92233720368547758.07", "USD", i64::MAX),
        ("-92233720368547758.08", "USD", i64::MIN),
    ] {
        let money = Money::parse_decimal(text, currency(code));
        assert_eq!(money, Ok(Money::new(minor, currency(code))), "{text}");
        assert_eq!(money.map(|it| it.to_string()), Ok(format!("{text} {code}")));
    }
    for (text, minor) in [("5", 500), ("5.5", 550), ("-0", 0), ("007", 700)] {
        assert_eq!(Money::parse_decimal(text, currency("USD")), Ok(usd(minor)), "{text}");
    }
}

#[test]
fn what_is_not_exact_or_no_number_is_refused() {
    let read = |text: &str, code| Money::parse_decimal(text, currency(code)).unwrap_err();
    assert_eq!(read("12.345", "USD"), MoneyError::TooManyDigits { digits_max: 2 });
    assert_eq!(read("12.340", "USD"), MoneyError::TooManyDigits { digits_max: 2 });
    assert_eq!(read("1.0", "VND"), MoneyError::TooManyDigits { digits_max: 0 });
    assert_eq!(read("92233720368547758.08", "USD"), MoneyError::Overflow);
    assert_eq!(read("9999999999999999999999999999", "VND"), MoneyError::Overflow);
    for text in [
        "",
        "-",
        ".",
        "5.",
        ".5",
        "+5",
        "1e3",
        "1,000",
        "1 000",
        " 1",
        "0x10",
        "NaN",
        "inf",
        "--1",
        "1.2.3",
        "1.-2",
        "٣",
        "１",
        "00000000000000000000000000000000000000000001",
    ] {
        assert_eq!(read(text, "USD"), MoneyError::Malformed, "{text}");
    }
}

#[test]
fn arithmetic_is_checked() {
    let vnd = Money::new(1, currency("VND"));
    let mismatch = MoneyError::CurrencyMismatch { left: currency("USD"), right: currency("VND") };
    assert_eq!(usd(1).checked_add(vnd), Err(mismatch));
    assert_eq!(usd(1).checked_sub(usd(3)), Ok(usd(-2)));
    assert_eq!(usd(i64::MAX).checked_add(usd(1)), Err(MoneyError::Overflow));
    assert_eq!(usd(i64::MIN).checked_sub(usd(1)), Err(MoneyError::Overflow));
    assert_eq!(usd(i64::MIN).negated(), Err(MoneyError::Overflow));
    assert_eq!(usd(-3).checked_mul(4), Ok(usd(-12)));
    assert_eq!(usd(2).checked_mul(u64::MAX), Err(MoneyError::Overflow));
    assert_eq!(Ratio::new(1, 0), Err(MoneyError::ZeroDenominator));
    assert_eq!(Ratio::new(i128::MIN, 1), Err(MoneyError::Overflow));
    let big = Ratio::new(i128::MAX, 3).unwrap();
    assert_eq!(big.checked_mul(big), Err(MoneyError::Overflow));
    assert_eq!(big.checked_add(Ratio::new(1, i128::MAX).unwrap()), Err(MoneyError::Overflow));
    assert_eq!(Rounding::Floor.scale(i64::MAX, 2, 1), Err(MoneyError::Overflow));
    assert_eq!(Rounding::Floor.scale(1, 1, 0), Err(MoneyError::ZeroDenominator));
    assert_eq!(Rounding::Floor.scale(i64::MIN, 1, 1), Ok(i64::MIN));
}

#[test]
fn each_rounding_does_what_its_name_says() {
    use Rounding::{AwayFromZero, Ceiling, Floor, HalfAwayFromZero, HalfEven, TowardZero};
    // Tenths, and what each rounding makes of them.
    for (rounding, expected) in [
        (HalfAwayFromZero, [3, 3, 4, 2, 0, -2, -3, -4]),
        (HalfEven, [2, 3, 4, 2, 0, -2, -2, -4]),
        (TowardZero, [2, 2, 3, 2, 0, -2, -2, -3]),
        (AwayFromZero, [3, 3, 4, 3, 0, -3, -3, -4]),
        (Floor, [2, 2, 3, 2, 0, -3, -3, -4]),
        (Ceiling, [3, 3, 4, 3, 0, -2, -2, -3]),
    ] {
        let tenths = [25_i64, 26, 35, 21, 0, -21, -25, -35];
        let rounded = tenths.map(|it| Ratio::new(i128::from(it), 10).unwrap().round(rounding));
        assert_eq!(rounded, expected.map(Some), "{rounding}");
        let scaled = tenths.map(|it| rounding.scale(it, 1, 10));
        assert_eq!(scaled.map(|it| it.ok().map(i128::from)), rounded, "{rounding}");
        assert_eq!(Rounding::parse(rounding.as_str()), Some(rounding));
    }
    assert_eq!(Rounding::parse("bankers"), None);
}

#[test]
fn left_over_units_go_to_whom_most_was_cut_off_and_then_to_the_earlier() {
    assert_eq!(split(100, &[1, 1, 1]), Ok(vec![34, 33, 33]));
    assert_eq!(split(-100, &[1, 1, 1]), Ok(vec![-34, -33, -33]));
    assert_eq!(split(101, &[1, 1, 1]), Ok(vec![34, 34, 33]));
    assert_eq!(split(10, &[1, 2, 4]), Ok(vec![1, 3, 6]));
    assert_eq!(split(1, &[0, 1, 1]), Ok(vec![0, 1, 0]));
    assert_eq!(split(0, &[5, 0]), Ok(vec![0, 0]));
    assert_eq!(split(1, &[]), Err(MoneyError::NoWeight));
    assert_eq!(split(1, &[0, 0]), Err(MoneyError::NoWeight));
    assert_eq!(split(i64::MIN, &[u64::MAX]), Ok(vec![i64::MIN]));
    assert_eq!(split(i64::MIN, &[u64::MAX; 2]), Ok(vec![i64::MIN / 2; 2]));
}

/// Lines of an invoice with tax at 20 %: rounded one by one they come to a cent too much.
#[test]
fn credit_notes_of_the_parts_end_at_the_whole() {
    let lines = [6_833, 6_833, 5_750, 8_500_u64];
    let each: i64 = lines.iter().map(|net| scaled(*net, 120)).sum();
    let whole = scaled(lines.iter().sum(), 120);
    assert_eq!((each, whole), (33_500, 33_499));
    assert_eq!(split(whole, &lines).map(|parts| parts.iter().sum()), Ok(whole));
}

fn scaled(net: u64, percent: u64) -> i64 {
    Rounding::HalfAwayFromZero.scale(i64::try_from(net).unwrap(), percent, 100).unwrap()
}

fn roundings() -> impl Strategy<Value = Rounding> {
    proptest::sample::select(Rounding::ALL.to_vec())
}

proptest! {
    #[test]
    fn amounts_are_read_as_they_are_written(minor: i64, index in 0_usize..170) {
        let currency = Currency::all().nth(index).unwrap();
        let money = Money::new(minor, currency);
        let text = money.decimal().to_string();
        prop_assert_eq!(Money::parse_decimal(&text, currency), Ok(money));
    }

    #[test]
    fn no_text_makes_reading_fail_otherwise_than_with_an_error(text in "[-+.,0-9eE ]{0,40}") {
        if let Ok(money) = Money::parse_decimal(&text, currency("USD")) {
            let again = Money::parse_decimal(&money.decimal().to_string(), money.currency);
            prop_assert_eq!(again, Ok(money));
        }
    }

    // REQ: BIL-05
    #[test]
    fn parts_sum_to_the_whole_and_none_is_a_unit_off(
        total: i64, weights in prop::collection::vec(any::<u64>(), 1..40),
    ) {
        prop_assume!(weights.iter().any(|it| *it > 0));
        let parts = split(total, &weights).unwrap();
        prop_assert_eq!(parts.len(), weights.len());
        prop_assert_eq!(parts.iter().map(|it| i128::from(*it)).sum::<i128>(), i128::from(total));
        let sum: u128 = weights.iter().map(|it| u128::from(*it)).sum();
        for (part, weight) in parts.iter().zip(&weights) {
            let cut = u128::from(total.unsigned_abs()) * u128::from(*weight) / sum;
            let above = u128::from(part.unsigned_abs()).checked_sub(cut);
            prop_assert!(matches!(above, Some(0 | 1)));
            prop_assert!(*weight > 0 || *part == 0);
        }
        let mirrored = split(total.checked_neg().unwrap_or(total), &weights).unwrap();
        if total != i64::MIN {
            prop_assert_eq!(mirrored.iter().map(|it| -it).collect::<Vec<_>>(), parts);
        }
    }

    // REQ: BIL-05
    #[test]
    fn scaling_is_the_rounded_proportion(
        amount: i64, num: u64, den in 1..=u64::MAX, rounding in roundings(),
    ) {
        let share = Ratio::new(i128::from(num), i128::from(den)).unwrap();
        let exact = Ratio::of(amount).checked_mul(share).unwrap();
        let expected = exact.round(rounding).and_then(|it| i64::try_from(it).ok());
        prop_assert_eq!(rounding.scale(amount, num, den).ok(), expected);
    }

    #[test]
    fn rounding_is_less_than_a_unit_away_and_to_the_nearest_when_it_says_so(
        num in -1_000_000_i128..1_000_000, den in 1_i128..5_000, rounding in roundings(),
    ) {
        let ratio = Ratio::new(num, den).unwrap();
        let rounded = ratio.round(rounding).unwrap();
        let off = rounded * den - num;
        prop_assert!(off.abs() < den);
        match rounding {
            Rounding::HalfAwayFromZero | Rounding::HalfEven => prop_assert!(2 * off.abs() <= den),
            Rounding::TowardZero => prop_assert!(rounded.abs() * den <= num.abs()),
            Rounding::AwayFromZero => prop_assert!(rounded.abs() * den >= num.abs()),
            Rounding::Floor => prop_assert!(off <= 0),
            Rounding::Ceiling => prop_assert!(off >= 0),
        }
    }

    #[test]
    fn fractions_are_in_lowest_terms_and_calculate_as_they_should(
        a in -10_000_i128..10_000, b in prop_oneof![-900_i128..0, 1_i128..900],
        c in -10_000_i128..10_000, d in prop_oneof![-900_i128..0, 1_i128..900],
    ) {
        let (one, other) = (Ratio::new(a, b).unwrap(), Ratio::new(c, d).unwrap());
        prop_assert!(one.den() > 0);
        prop_assert_eq!(one.num() * b, a * one.den());
        prop_assert_eq!(one.checked_add(other), Ratio::new(a * d + c * b, b * d));
        prop_assert_eq!(one.checked_sub(other), Ratio::new(a * d - c * b, b * d));
        prop_assert_eq!(one.checked_mul(other), Ratio::new(a * c, b * d));
        prop_assert_eq!(Ratio::new(a * 7, b * 7), Ok(one));
    }
}
