//! Figures with their goals.

use std::time::Duration;

use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct Figure {
    bench: String,
    what: String,
    value: f64,
    goal: Option<(&'static str, f64)>,
}

impl Figure {
    pub(crate) fn new(
        bench: &str,
        what: &str,
        value: f64,
        goal: Option<(&'static str, f64)>,
    ) -> Self {
        Self { bench: bench.to_owned(), what: what.to_owned(), value, goal }
    }

    fn is_met(&self) -> Option<bool> {
        self.goal.map(|(relation, goal)| match relation {
            ">=" => self.value >= goal,
            "<=" => self.value <= goal,
            _ => self.value < goal,
        })
    }

    pub(crate) fn line(&self) -> String {
        let goal = match (self.goal, self.is_met()) {
            (Some((relation, goal)), Some(met)) => {
                format!("goal {relation} {goal}: {}", if met { "met" } else { "MISSED" })
            }
            _ => String::new(),
        };
        format!("{:<20} {:<55} {:>14.2}  {goal}", self.bench, self.what, self.value)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "bench": self.bench,
            "what": self.what,
            "value": self.value,
            "goal": self.goal.map(|(relation, goal)| format!("{relation} {goal}")),
            "met": self.is_met(),
        })
    }
}

/// The 99th percentile of `times`, in milliseconds.
pub(crate) fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() * 99 / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
