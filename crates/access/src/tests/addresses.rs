//! Blocks of addresses.

use core::net::IpAddr;

use crate::{AddressRange, AddressRangeError as E, admits};

fn range(text: &str) -> AddressRange {
    AddressRange::parse(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

// REQ: IAM-14
#[test]
fn blocks_contain_their_addresses() {
    for (block, inside, outside) in [
        ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
        ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("::/0", "ffff::1", "10.0.0.1"),
        ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
    ] {
        assert!(range(block).contains(ip(inside)), "{block} {inside}");
        assert!(!range(block).contains(ip(outside)), "{block} {outside}");
        assert_eq!(range(&range(block).to_string()), range(block));
    }
    assert!(admits(&[], ip("10.0.0.1")));
    assert!(!admits(&[range("10.0.0.2")], ip("10.0.0.1")));
}

// REQ: IAM-14
#[test]
fn what_is_no_block_is_refused() {
    for (bad, error) in [
        ("", E::Malformed),
        ("10.0.0", E::Malformed),
        ("10.0.0.0/", E::Malformed),
        ("10.0.0.0/+8", E::Malformed),
        ("10.0.0.0/999", E::Malformed),
        ("10.0.0.0/33", E::PrefixTooLong),
        ("::/129", E::PrefixTooLong),
        ("10.0.0.1/8", E::HostBits),
        ("example.com/8", E::Malformed),
    ] {
        assert_eq!(AddressRange::parse(bad), Err(error), "{bad}");
    }
}

// REQ: IAM-14
#[test]
fn ipv4_written_as_ipv6_is_ipv4() {
    let range = |text: &str| AddressRange::parse(text).unwrap();
    assert_eq!(range("::ffff:203.0.113.0/120"), range("203.0.113.0/24"));
    assert_eq!(range("::ffff:203.0.113.7"), range("203.0.113.7"));
    assert!(range("::ffff:203.0.113.0/120").contains("203.0.113.9".parse().unwrap()));
    assert_eq!(range("::ffff:0.0.0.0/96").to_string(), "0.0.0.0/0");
    // A block that is wider than all of IPv4 is none of it.
    let wide = AddressRange::parse("::ffff:0.0.0.0/95");
    assert_eq!(wide.unwrap_err(), E::HostBits);
}

#[test]
fn a_block_holds_what_lies_inside_it() {
    let holds = |all: &str, it: &str| {
        AddressRange::parse(all).unwrap().holds(&AddressRange::parse(it).unwrap())
    };
    assert!(holds("203.0.113.0/24", "203.0.113.128/25"));
    assert!(holds("203.0.113.0/24", "203.0.113.0/24"));
    assert!(!holds("203.0.113.128/25", "203.0.113.0/24"));
    assert!(!holds("203.0.113.0/24", "198.51.100.0/25"));
    assert!(!holds("::/0", "203.0.113.0/24") && holds("::/0", "2001:db8::/32"));
}
