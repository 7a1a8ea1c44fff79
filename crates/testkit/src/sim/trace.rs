//! What happened, line by line: for stories, and to compare runs. Lines are only made when somebody wants them.

use super::plan::{Micros, Moment};
use cartwright_core::domain::ids::OrderId;

/// What happened in a run.
#[derive(Default)]
pub(super) struct Trace {
    wanted: bool,
    lines: Vec<Line>,
}

struct Line {
    at: Micros,
    order: Option<OrderId>,
    text: String,
}

impl Trace {
    /// A trace that keeps every line.
    pub fn wanted() -> Self {
        Self { wanted: true, lines: Vec::new() }
    }

    /// Notes something about an order, or about all of them.
    pub fn say(&mut self, at: Micros, order: Option<&OrderId>, text: impl FnOnce() -> String) {
        if self.wanted {
            self.lines.push(Line { at, order: order.cloned(), text: text() });
        }
    }

    /// The lines: all of them, or those that concern one order.
    pub fn lines(&self, about: Option<&OrderId>) -> Vec<String> {
        let concerns = |line: &&Line| about.is_none() || line.order.is_none() || line.order.as_ref() == about;
        self.lines.iter().filter(concerns).map(|line| format!("{} {}", Moment(line.at), line.text)).collect()
    }
}
