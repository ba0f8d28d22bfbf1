//! Counting results: what a job adds up, and how the closing lines of libtest
//! and pytest are read.

use std::fmt;
use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };

    pub(crate) fn of(ok: bool) -> Self {
        if ok { Self::PASSED } else { Self::FAILED }
    }

    /// A skip is a failure: a test that did not run proves nothing.
    pub(crate) fn is_clean(self) -> bool {
        self.failed == 0 && self.skipped == 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads a program's lines and gives its tally once its exit status is known.
#[derive(Default)]
pub(crate) struct Counter {
    seen: Option<Tally>,
}

impl Counter {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    pub(crate) fn libtest(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let Some((_, counts)) = rest.split_once(". ") else { return };
        self.add(counts.split("; "), &["passed"], &["failed"], &["ignored"]);
    }

    /// `=== 1 failed, 2 passed, 1 skipped, 1 error in 0.12s ===`, without the rules when quiet.
    pub(crate) fn pytest(&mut self, line: &str) {
        let Some((counts, time)) = line.trim_matches(['=', ' ']).rsplit_once(" in ") else {
            return;
        };
        if !time.starts_with(|first: char| first.is_ascii_digit()) {
            return;
        }
        self.add(
            counts.split(", "),
            &["passed", "xfailed"],
            &["failed", "error", "errors", "xpassed"],
            &["skipped"],
        );
    }

    /// A program that failed without saying which test did counts as one failure, one that said nothing as one test.
    pub(crate) fn finish(self, succeeded: bool) -> Tally {
        let Some(mut tally) = self.seen else { return Tally::of(succeeded) };
        if !succeeded && tally.failed == 0 {
            tally.failed = 1;
        }
        tally
    }

    fn add<'a>(
        &mut self,
        counts: impl Iterator<Item = &'a str>,
        passed: &[&str],
        failed: &[&str],
        skipped: &[&str],
    ) {
        let mut found = false;
        let mut tally = self.seen.unwrap_or_default();
        for (number, word) in counts.filter_map(|count| count.trim().split_once(' ')) {
            let Ok(number) = number.parse::<u64>() else { continue };
            found = true;
            match word {
                _ if passed.contains(&word) => tally.passed += number,
                _ if failed.contains(&word) => tally.failed += number,
                _ if skipped.contains(&word) => tally.skipped += number,
                _ => {}
            }
        }
        if found {
            self.seen = Some(tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(read: fn(&mut Counter, &str), lines: &[&str], succeeded: bool) -> String {
        let mut counter = Counter::default();
        for line in lines {
            read(&mut counter, line);
        }
        counter.finish(succeeded).to_string()
    }

    #[test]
    fn libtest_lines_add_up() {
        let lines = [
            "running 4 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.01s",
        ];
        assert_eq!(counted(Counter::libtest, &lines, false), "4 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let line = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counted(Counter::libtest, &[line], false), "3 passed, 1 failed, 0 skipped");
        assert_eq!(counted(Counter::libtest, &[], false), "0 passed, 1 failed, 0 skipped");
        assert_eq!(counted(Counter::libtest, &[], true), "1 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn pytest_lines_add_up() {
        let with_rules = "=== 1 failed, 2 passed, 1 skipped, 1 error in 0.12s ===";
        assert_eq!(counted(Counter::pytest, &[with_rules], false), "2 passed, 2 failed, 1 skipped");
        let quiet = "12 passed in 3.40s";
        assert_eq!(
            counted(Counter::pytest, &["..... in order", quiet], true),
            "12 passed, 0 failed, 0 skipped"
        );
        assert_eq!(
            counted(Counter::pytest, &["no tests ran in 0.01s"], false),
            "0 passed, 1 failed, 0 skipped"
        );
    }
}
