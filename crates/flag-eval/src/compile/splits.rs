//! A split: its weights, and that its slots are all given out, each once.

use super::{Scope, check_attribute};
use crate::compiled::Split;
use crate::limits::SALT_CHARS_MAX;
use crate::rejection::{Found, codes};
use crate::slots::{self, Murmur, SLOTS, SplitError};

impl Scope<'_> {
    /// One without slots is laid out anew.
    pub(super) fn split(&self, split: &slots::Split, found: &mut Found) -> Option<Split> {
        check_attribute(&split.by, "by", found);
        let is_salt = (1..=SALT_CHARS_MAX).contains(&split.salt.len())
            && split.salt.bytes().all(|it| it.is_ascii_graphic());
        if !is_salt {
            let message = format!("must have 1 to {SALT_CHARS_MAX} visible ASCII characters");
            found.refuse("salt", codes::FLAG_SALT_INVALID, message);
        }
        for (index, share) in split.shares.iter().enumerate() {
            self.variant(&share.variant, &format!("shares[{index}].variant"), found);
        }
        let anew = split.lay_out(None);
        match &anew {
            Err(error @ SplitError::Weights { .. }) => {
                found.refuse("shares", codes::FLAG_WEIGHTS_INVALID, error.to_string());
            }
            Err(error @ SplitError::Repeated { share }) => {
                let at = format!("shares[{share}].variant");
                found.refuse(&at, codes::FLAG_KEY_REPEATED, error.to_string());
            }
            Ok(_) => {}
        }
        let laid_out = if split.is_laid_out() { split } else { &anew.ok()? };
        let ends = self.ends(laid_out, found)?;
        Some(Split { salted: Murmur::salted(&split.salt), by: self.name(&split.by), ends })
    }

    fn ends(&self, split: &slots::Split, found: &mut Found) -> Option<Box<[(u32, usize)]>> {
        let count: usize = split.shares.iter().map(|it| it.slots.len()).sum();
        if count > self.limits.ranges_max {
            let message = format!(
                "must have at most {} ranges of slots: give the split another salt to lay it out anew",
                self.limits.ranges_max
            );
            found.refuse("shares", codes::FLAG_RANGES_TOO_MANY, message);
            return None;
        }
        let mut ranges = Vec::with_capacity(count);
        for (index, share) in split.shares.iter().enumerate() {
            let variant = self.variants.iter().position(|it| it.key == share.variant)?;
            let slots: u64 = share.slots.iter().map(|it| u64::from(it.count())).sum();
            if slots != u64::from(share.weight) {
                let at = format!("shares[{index}].slots");
                let message = "must be as many as the share weighs";
                found.refuse(&at, codes::FLAG_SLOTS_INVALID, message);
            }
            ranges.extend(share.slots.iter().map(|range| (range.start, range.end, variant)));
        }
        ranges.sort_unstable();
        let mut next = 0;
        for (start, end, _) in &ranges {
            if *start != next || start >= end {
                next = u32::MAX;
                break;
            }
            next = *end;
        }
        if next != SLOTS {
            let message = "must give out each slot once";
            found.refuse("shares", codes::FLAG_SLOTS_INVALID, message);
            return None;
        }
        let mut ends: Vec<(u32, usize)> = Vec::with_capacity(count);
        for (_, end, variant) in ranges {
            match ends.last_mut() {
                Some(last) if last.1 == variant => last.0 = end,
                _ => ends.push((end, variant)),
            }
        }
        Some(ends.into())
    }
}
