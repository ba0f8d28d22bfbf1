//! The currencies of ISO 4217 and the digits of their minor units. Metals, test codes and
//! other entries without a minor unit are left out. A code is never taken out again, so that
//! what was written with it can still be read.

use core::fmt;

/// A currency of ISO 4217 by its alphabetic code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: [u8; 3],
    minor_digits: u8,
}

impl Currency {
    /// The currency with this code, in capitals, if there is one.
    pub fn parse(code: &str) -> Option<Self> {
        let code: &[u8; 3] = code.as_bytes().try_into().ok()?;
        let (minor_digits, _) =
            TABLE.iter().find(|(_, codes)| codes.binary_search(&code).is_ok())?;
        Some(Self { code: *code, minor_digits: *minor_digits })
    }

    pub fn code(&self) -> &str {
        // Only `parse` makes one, from a table in ASCII.
        core::str::from_utf8(&self.code).unwrap_or("")
    }

    /// How many digits of an amount stand after the point: 2 for USD, 0 for VND, 3 for JOD.
    pub fn minor_digits(&self) -> u32 {
        u32::from(self.minor_digits)
    }

    /// All of them, in no order that means anything.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().flat_map(|(minor_digits, codes)| {
            codes.iter().map(|code| Self { code: **code, minor_digits: *minor_digits })
        })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Digits of the minor unit, and the codes that have so many, in alphabetic order.
const TABLE: [(u8, &[&[u8; 3]]); 4] =
    [(2, HUNDREDTHS), (0, WHOLE), (3, THOUSANDTHS), (4, TEN_THOUSANDTHS)];

const HUNDREDTHS: &[&[u8; 3]] = &[
    b"AED", b"AFN", b"ALL", b"AMD", b"ANG", b"AOA", b"ARS", b"AUD", b"AWG", b"AZN", b"BAM", b"BBD",
    b"BDT", b"BGN", b"BMD", b"BND", b"BOB", b"BOV", b"BRL", b"BSD", b"BTN", b"BWP", b"BYN", b"BZD",
    b"CAD", b"CDF", b"CHE", b"CHF", b"CHW", b"CNY", b"COP", b"COU", b"CRC", b"CUC", b"CUP", b"CVE",
    b"CZK", b"DKK", b"DOP", b"DZD", b"EGP", b"ERN", b"ETB", b"EUR", b"FJD", b"FKP", b"GBP", b"GEL",
    b"GHS", b"GIP", b"GMD", b"GTQ", b"GYD", b"HKD", b"HNL", b"HRK", b"HTG", b"HUF", b"IDR", b"ILS",
    b"INR", b"IRR", b"JMD", b"KES", b"KGS", b"KHR", b"KPW", b"KYD", b"KZT", b"LAK", b"LBP", b"LKR",
    b"LRD", b"LSL", b"MAD", b"MDL", b"MGA", b"MKD", b"MMK", b"MNT", b"MOP", b"MRU", b"MUR", b"MVR",
    b"MWK", b"MXN", b"MXV", b"MYR", b"MZN", b"NAD", b"NGN", b"NIO", b"NOK", b"NPR", b"NZD", b"PAB",
    b"PEN", b"PGK", b"PHP", b"PKR", b"PLN", b"QAR", b"RON", b"RSD", b"RUB", b"SAR", b"SBD", b"SCR",
    b"SDG", b"SEK", b"SGD", b"SHP", b"SLE", b"SLL", b"SOS", b"SRD", b"SSP", b"STN", b"SVC", b"SYP",
    b"SZL", b"THB", b"TJS", b"TMT", b"TOP", b"TRY", b"TTD", b"TWD", b"TZS", b"UAH", b"USD", b"USN",
    b"UYU", b"UZS", b"VED", b"VES", b"WST", b"XAD", b"XCD", b"XCG", b"YER", b"ZAR", b"ZMW", b"ZWG",
    b"ZWL",
];

const WHOLE: &[&[u8; 3]] = &[
    b"BIF", b"CLP", b"DJF", b"GNF", b"ISK", b"JPY", b"KMF", b"KRW", b"PYG", b"RWF", b"UGX", b"UYI",
    b"VND", b"VUV", b"XAF", b"XOF", b"XPF",
];

const THOUSANDTHS: &[&[u8; 3]] = &[b"BHD", b"IQD", b"JOD", b"KWD", b"LYD", b"OMR", b"TND"];

const TEN_THOUSANDTHS: &[&[u8; 3]] = &[b"CLF", b"UYW"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_distinct_and_read_back() {
        for (_, codes) in TABLE {
            assert!(codes.is_sorted_by(|a, b| a < b));
        }
        for currency in Currency::all() {
            assert_eq!(Currency::parse(currency.code()), Some(currency));
        }
        let mut all: Vec<_> = Currency::all().map(|it| it.code).collect();
        all.sort_unstable();
        assert!(all.is_sorted_by(|a, b| a < b), "a code with two numbers of digits");
    }

    // REQ: BIL-01
    #[test]
    fn minor_digits_are_those_of_the_standard() {
        for (code, digits) in [
            ("USD", 2),
            ("EUR", 2),
            ("VND", 0),
            ("JPY", 0),
            ("KRW", 0),
            ("ISK", 0),
            ("CLP", 0),
            ("JOD", 3),
            ("KWD", 3),
            ("BHD", 3),
            ("TND", 3),
            ("CLF", 4),
            ("MGA", 2),
            ("UGX", 0),
        ] {
            assert_eq!(Currency::parse(code).map(|it| it.minor_digits()), Some(digits), "{code}");
        }
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for text in ["", "US", "usd", "USDT", "XXX", "XTS", "XAU", "€", "U$D", "ÄÖ"] {
            assert_eq!(Currency::parse(text), None, "{text}");
        }
    }
}
