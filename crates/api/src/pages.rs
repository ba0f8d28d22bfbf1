//! Page tokens and cursors: a place in a list as opaque text that is bound to
//! what is listed, so that another list's, or a damaged one, is refused. No
//! secret: who makes one up sees nothing that the list would not show.

use exchequer_types::Hash;

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 8;
const TOKEN_CHARS_MAX: usize = 1_024;

/// The text for `place` in the list that `scope` names.
pub(crate) fn seal<S: AsRef<str>>(scope: &[S], place: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&check(scope, place));
    bytes.extend_from_slice(place.as_bytes());
    let digits = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(digits[usize::from(byte >> 4)]));
        text.push(char::from(digits[usize::from(byte & 15)]));
    }
    text
}

/// The place that [`seal`] was given, if it was for the same list.
pub(crate) fn open<S: AsRef<str>>(scope: &[S], token: &str) -> Option<String> {
    if token.len() > TOKEN_CHARS_MAX || !token.is_ascii() || !token.len().is_multiple_of(2) {
        return None;
    }
    let bytes = (0..token.len()).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().ok()?;
    let (version, rest) = bytes.split_first()?;
    let (found, place) = rest.split_at_checked(CHECK_BYTES)?;
    let place = String::from_utf8(place.to_vec()).ok()?;
    (*version == VERSION && found == check(scope, &place)).then_some(place)
}

fn check<S: AsRef<str>>(scope: &[S], place: &str) -> [u8; CHECK_BYTES] {
    let mut bytes = Vec::new();
    for part in scope.iter().map(AsRef::as_ref).chain([place]) {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&Hash::blake3(&bytes).0[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_for_the_same_list_alone() {
        let token = seal(&["entries", "acme"], "41");
        assert_eq!(open(&["entries", "acme"], &token).as_deref(), Some("41"));
        assert_eq!(open(&["entries", "acm", "e"], &token), None);
        let mut damaged = token.clone();
        damaged.replace_range(4..5, if token.as_bytes()[4] == b'0' { "1" } else { "0" });
        for bad in ["", "0", "zz", "é", "+1", "01", &damaged, &"0".repeat(10_000)] {
            assert_eq!(open(&["entries", "acme"], bad), None, "{bad}");
        }
    }
}
