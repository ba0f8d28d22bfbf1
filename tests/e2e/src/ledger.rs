//! What was sent and what was answered: the promises that a restart must keep.

use crate::{Answer, Sent};

/// A command with its answer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub sent: Sent,
    pub answer: Answer,
    /// What a query must present to see it; empty where none came along.
    pub token: String,
}

/// Every command that was sent once or more, by what became of it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub answered: Vec<Answered>,
    pub unanswered: Vec<Sent>,
    /// What is wrong already: a repetition that was answered otherwise.
    pub wrong: Vec<String>,
}

impl Ledger {
    pub fn merge(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.unanswered.extend(other.unanswered);
        self.wrong.extend(other.wrong);
    }

    /// Commands of either kind.
    pub fn sent(&self) -> impl Iterator<Item = &Sent> {
        self.answered.iter().map(|it| &it.sent).chain(&self.unanswered)
    }
}
