//! Settings: key and value, with rules for the keys that mean something to
//! Exchequer itself.

use std::collections::BTreeMap;

use exchequer_types::Zone;

use crate::Rejection;

pub const SETTINGS_MAX: usize = 256;
pub const SETTING_KEY_CHARS_MAX: usize = 63;
pub const SETTING_VALUE_BYTES_MAX: usize = 4096;
/// Keys and values of one tenant together: they travel in replies, events and
/// profiles, which must fit one commit.
pub const SETTINGS_BYTES_MAX: usize = 64 * 1024;

struct Rule {
    key: &'static str,
    expected: &'static str,
    holds: fn(&str) -> bool,
}

/// Keys with a meaning. Any other key is the tenant's own business.
const RULES: &[Rule] = &[
    Rule {
        key: "audit.retention-days",
        expected: "a whole number from 1 to 36500",
        holds: |value| value.parse::<u32>().is_ok_and(|days| (1..=36_500).contains(&days)),
    },
    Rule {
        key: BACKGROUND_PRIORITY,
        expected: "low, normal or high",
        holds: |value| ["low", "normal", "high"].contains(&value),
    },
    Rule {
        key: "branding.color",
        expected: "a colour of the form #1a2b3c",
        holds: |value| {
            value.strip_prefix('#').is_some_and(|digits| {
                digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        },
    },
    Rule {
        key: "limits.requests_per_minute",
        expected: "a whole number from 1 to 1000000",
        holds: |value| value.parse::<u32>().is_ok_and(|count| (1..=1_000_000).contains(&count)),
    },
    Rule {
        key: "locale",
        expected: "a language tag such as en or vi-VN",
        holds: |value| {
            value.len() <= 35
                && value.split('-').enumerate().all(|(index, part)| {
                    let least = if index == 0 { 2 } else { 1 };
                    (least..=8).contains(&part.len())
                        && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
                })
        },
    },
    Rule {
        key: TIMEZONE,
        expected: "a time zone of the IANA database such as Europe/Paris",
        holds: |value| Zone::parse(value).is_some(),
    },
    Rule {
        key: USAGE_AHEAD,
        expected: "a whole number of minutes from 0 to 1440",
        holds: |value| is_whole(value, 0, 1_440),
    },
    Rule {
        key: USAGE_BEHIND,
        expected: "a whole number of days from 1 to 3650",
        holds: |value| is_whole(value, 1, 3_650),
    },
    Rule {
        key: USAGE_LATENESS,
        expected: "a whole number of minutes from 0 to 10080",
        holds: |value| is_whole(value, 0, 10_080),
    },
];

/// The time zone in which the tenant's calendar runs.
pub const TIMEZONE: &str = "timezone";
/// How many minutes the time of a usage event may lie ahead of its receipt; of a provider,
/// for the events that its meters count.
pub const USAGE_AHEAD: &str = "usage.ahead-minutes";
/// How many days it may lie behind.
pub const USAGE_BEHIND: &str = "usage.behind-days";
/// How many minutes windows wait for events: what comes later is listed as late.
pub const USAGE_LATENESS: &str = "usage.lateness-minutes";
/// How large a share background work for the tenant gets.
pub(crate) const BACKGROUND_PRIORITY: &str = "background.priority";

fn is_whole(value: &str, min: u32, max: u32) -> bool {
    value.parse::<u32>().is_ok_and(|count| (min..=max).contains(&count))
}

/// Checks all settings of a tenant together.
pub(crate) fn check_all(settings: &BTreeMap<String, String>) -> Result<(), Rejection> {
    if settings.len() > SETTINGS_MAX {
        return Err(Rejection::SettingsTooMany { settings_max: SETTINGS_MAX });
    }
    let bytes: usize = settings.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > SETTINGS_BYTES_MAX {
        return Err(Rejection::SettingsTooLarge { bytes_max: SETTINGS_BYTES_MAX });
    }
    Ok(())
}

/// Checks settings that are to be set.
pub(crate) fn check(set: &BTreeMap<String, String>) -> Result<(), Rejection> {
    for (key, value) in set {
        check_key(key)?;
        if value.len() > SETTING_VALUE_BYTES_MAX {
            let expected = "at most 4096 bytes long";
            return Err(Rejection::SettingValueInvalid { key: key.clone(), expected });
        }
        if let Some(rule) = RULES.iter().find(|rule| rule.key == key)
            && !(rule.holds)(value)
        {
            let expected = rule.expected;
            return Err(Rejection::SettingValueInvalid { key: key.clone(), expected });
        }
    }
    Ok(())
}

/// `[a-z0-9][a-z0-9._-]{0,62}`
pub(crate) fn check_key(key: &str) -> Result<(), Rejection> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = match key.as_bytes() {
        [first, rest @ ..] => {
            rest.len() < SETTING_KEY_CHARS_MAX
                && plain(*first)
                && rest.iter().all(|byte| plain(*byte) || b"._-".contains(byte))
        }
        [] => false,
    };
    if good {
        Ok(())
    } else {
        Err(Rejection::SettingKeyInvalid { key: key.chars().take(80).collect() })
    }
}
