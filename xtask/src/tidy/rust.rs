//! Calls and attributes that Rust allows and this project does not. Comments and
//! strings are blanked first, so that only code is judged.

use super::words::has_word;
use crate::tree::{File, Tree};

/// Text that is refused in code, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    ("todo!", "write it, or leave it out"),
    ("unimplemented!", "write it, or leave it out"),
    ("dbg!", "use tracing"),
    ("#[ignore", "a test that does not run proves nothing; fix or remove it"),
    ("#[allow(", "use #[expect(..., reason = \"...\")]"),
    ("#![allow(", "use #![expect(..., reason = \"...\")]"),
];

const SLEEPS: &[&str] = &["thread::sleep", "time::sleep"];

/// Folders of layers 0 to 2, where amounts are decided.
const EXACT: &[&str] = &[
    "crates/types/",
    "crates/kernel/",
    "crates/domain-",
    "crates/rating/",
    "crates/metering/",
    "crates/flag-eval/",
    "crates/audit-tree/",
];

pub(super) fn problems(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_suffix(&[".rs"])) {
        let code = code_only(&file.text);
        let mut report = |at: usize, text: String| {
            let line = code[..at].matches('\n').count() + 1;
            problems.push(format!("{}:{line}: {text}", file.path));
        };
        for (text, instead) in BANNED {
            code.match_indices(text).for_each(|(at, _)| report(at, format!("{text}: {instead}")));
        }
        for (at, _) in code.match_indices("expect(").filter(|(at, _)| is_attribute(&code[..*at])) {
            // Reasons are strings, so they are looked for in the text itself, which has the same offsets.
            if !arguments(&code, &file.text, at).contains("reason") {
                report(at, "#[expect] needs a reason".to_owned());
            }
        }
        for word in SLEEPS {
            for (at, _) in code.match_indices(word).filter(|(at, _)| is_test(file, &code, *at)) {
                report(
                    at,
                    format!("{word} in a test: wait for the event, or let a virtual clock pass"),
                );
            }
        }
        if EXACT.iter().any(|folder| file.path.starts_with(folder)) {
            let mut at = 0;
            for line in code.split_inclusive('\n') {
                if has_word(line, "f32") || has_word(line, "f64") {
                    report(at, "no floats in layers 0 to 2: integers with a unit".to_owned());
                }
                at += line.len();
            }
        }
    }
    problems
}

/// Benchmarks may wait, and real processes are waited for in one place each.
fn is_test(file: &File, code: &str, at: usize) -> bool {
    let is_of_processes =
        ["tests/e2e/", "tests/services/"].iter().any(|it| file.path.starts_with(it));
    let waits = is_of_processes && file.name().starts_with("wait");
    if waits || file.path.starts_with("tests/bench/") {
        return false;
    }
    let is_test_file = file.path.starts_with("tests/")
        || file.path.contains("/tests/")
        || file.name() == "tests.rs";
    is_test_file || test_modules(code).any(|(start, end)| (start..end).contains(&at))
}

/// The spans of `#[cfg(test)] mod name { … }`.
fn test_modules(code: &str) -> impl Iterator<Item = (usize, usize)> {
    code.match_indices("#[cfg(test)]").filter_map(move |(start, _)| {
        let body = start + code[start..].find(['{', ';'])?;
        if code.as_bytes().get(body) == Some(&b';') {
            return None;
        }
        Some((start, closing(code, body, '{', '}')))
    })
}

fn is_attribute(before: &str) -> bool {
    before.ends_with("#[") || before.ends_with("#![")
}

/// What stands between the parentheses that open behind `at`, taken from `text`.
fn arguments<'a>(code: &str, text: &'a str, at: usize) -> &'a str {
    &text[at..closing(code, at, '(', ')')]
}

/// Where the bracket that opens at or after `at` closes.
fn closing(code: &str, at: usize, open: char, close: char) -> usize {
    let mut depth = 0;
    for (offset, it) in code[at..].char_indices() {
        if it == open {
            depth += 1;
        } else if it == close {
            depth -= 1;
            if depth == 0 {
                return at + offset;
            }
        }
    }
    code.len()
}

/// The same text with comments, strings and characters blanked: lengths in bytes and line ends stay.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => find(bytes, at + 2, b"*/"),
            b'r' if !is_inside_word(bytes, at) => raw_string(bytes, at),
            b'"' => string(bytes, at),
            b'\'' => character(bytes, at),
            _ => at,
        };
        for byte in out.iter_mut().take(end).skip(at).filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// The end of the first `what` at or after `at`, or of the text.
fn find(bytes: &[u8], at: usize, what: &[u8]) -> usize {
    let found =
        bytes.get(at..).and_then(|rest| rest.windows(what.len()).position(|window| window == what));
    found.map_or(bytes.len(), |offset| at + offset + what.len())
}

fn is_inside_word(bytes: &[u8], at: usize) -> bool {
    // `br"…"` is a raw string as well.
    at.checked_sub(1)
        .and_then(|before| bytes.get(before))
        .is_some_and(|byte| byte.is_ascii_alphanumeric() && *byte != b'b' || *byte == b'_')
}

fn raw_string(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let quote = at + 1 + hashes;
    if bytes.get(quote) != Some(&b'"') {
        return at;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    find(bytes, quote + 1, &close)
}

fn string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A character literal; a lifetime is left alone.
fn character(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        return find(bytes, at + 3, b"'");
    }
    // One character has up to four bytes.
    let is_one =
        |rest: &[u8]| std::str::from_utf8(rest).is_ok_and(|text| text.chars().count() == 1);
    (2..=5)
        .find(|length| {
            bytes.get(at + length) == Some(&b'\'') && is_one(&bytes[at + 1..at + length])
        })
        .map_or(at, |length| at + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree;

    fn found(path: &str, text: &str) -> Vec<String> {
        problems(&tree(&[(path, text)]))
    }

    #[test]
    fn comments_strings_and_characters_are_blanked() {
        let text = "let a = \"x // \\\" y\"; // z\nlet b = '\"'; let c = r#\"q\"r\"#; fn f<'a>(_: &'a str) {} /* g */ h";
        let code = code_only(text);
        assert_eq!(code.len(), text.len());
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "let", "a", "=", ";", "let", "b", "=", ";", "let", "c", "=", ";", "fn", "f<'a>(_:",
                "&'a", "str)", "{}", "h"
            ]
        );
        assert_eq!(code_only("'é' '\\u{e9}' b'\\'' x").trim(), "b     x");
    }

    #[test]
    fn banned_calls_are_found_in_code_only() {
        assert_eq!(
            found("a.rs", "\nfn f() { todo!() }"),
            ["a.rs:2: todo!: write it, or leave it out"]
        );
        assert_eq!(found("a.rs", "#[allow(dead_code)]\nfn f() {}").len(), 1);
        assert_eq!(found("a.rs", "// todo!()\nlet a = \"#[ignore]\";"), Vec::<String>::new());
    }

    #[test]
    fn expectations_have_reasons() {
        assert_eq!(found("a.rs", "#[expect(dead_code, reason = \"later\")]"), Vec::<String>::new());
        assert_eq!(found("a.rs", "#[expect(\n  dead_code\n)]\nfn f() {}").len(), 1);
        assert_eq!(found("a.rs", "value.expect(\"reason\")"), Vec::<String>::new());
    }

    #[test]
    fn tests_do_not_sleep() {
        let inside = "fn f() {}\n#[cfg(test)]\nmod tests {\n fn g() { std::thread::sleep(d) }\n}\n";
        let outside = "#[cfg(test)]\nmod tests { fn g() { { } } }\nfn f() { tokio::time::sleep(d) }\n#[cfg(test)]\nmod more;\nfn h() { thread::sleep(d) }";
        assert_eq!(found("crates/api/src/lib.rs", inside).len(), 1);
        assert_eq!(found("crates/api/src/lib.rs", outside), Vec::<String>::new());
        assert_eq!(found("tests/e2e/src/kill.rs", "time::sleep(d)").len(), 1);
        assert_eq!(found("tests/e2e/src/wait.rs", "time::sleep(d)"), Vec::<String>::new());
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(
            found("crates/domain-billing/src/lib.rs", "let a: f64 = 1.0; // f32\n").len(),
            1
        );
        assert_eq!(found("crates/api/src/lib.rs", "let a: f64 = 1.0;"), Vec::<String>::new());
    }
}
