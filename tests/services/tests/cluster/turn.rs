//! Whose turn it is: tests share the machine, except for those that hold a promise of time
//! against a clock, which have it alone.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The machine, or a share of it, until the value is dropped.
pub(crate) struct Turn {
    is_alone: bool,
}

/// Who has a turn at the moment.
struct Turns {
    shared: usize,
    is_alone: bool,
    /// They come before others, which would never leave room for them.
    want_alone: usize,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { shared: 0, is_alone: false, want_alone: 0 });
static CHANGED: Condvar = Condvar::new();

impl Turn {
    pub(crate) fn shared() -> Self {
        let mut turns = wait_while(turns(), |it| it.is_alone || it.want_alone > 0);
        turns.shared += 1;
        Self { is_alone: false }
    }

    pub(crate) fn alone() -> Self {
        let mut turns = turns();
        turns.want_alone += 1;
        let mut turns = wait_while(turns, |it| it.is_alone || it.shared > 0);
        turns.want_alone -= 1;
        turns.is_alone = true;
        Self { is_alone: true }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = turns();
        if self.is_alone {
            turns.is_alone = false;
        } else {
            turns.shared -= 1;
        }
        drop(turns);
        CHANGED.notify_all();
    }
}

fn turns() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_while(
    turns: MutexGuard<'static, Turns>,
    is_taken: impl Fn(&Turns) -> bool,
) -> MutexGuard<'static, Turns> {
    CHANGED.wait_while(turns, |it| is_taken(it)).unwrap_or_else(PoisonError::into_inner)
}
