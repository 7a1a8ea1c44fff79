//! What the history of an order tells about its steps.

use std::collections::BTreeSet;

use cartwright_core::domain::flow::steps_of;
use serde_json::Value;

use super::{StepLine, some, text};
use crate::control::HeldBy;

/// The tries of a step.
#[derive(Debug, Default, PartialEq)]
pub struct Tries {
    /// Those that came to no outcome.
    pub count: usize,
    /// What the other side said last.
    pub said: Option<String>,
}

/// The tries of this step that came to no outcome since it, or its undo, was asked for. A report that is only repeated
/// names the same next try and counts once; a call that was held back is no try.
pub fn tries(step: &str, events: &[Value]) -> Tries {
    let mut tries = BTreeSet::new();
    let mut said = None;
    for event in events.iter().filter(|event| text(event, "/payload/step") == step) {
        let reason = text(event, "/payload/reason");
        match text(event, "/eventType") {
            "StepUndoRequestedV1" => {
                tries.clear();
                said = None;
            }
            "StepProgressedV1"
                if text(event, "/payload/state") != "started" && HeldBy::read(reason).is_none() =>
            {
                tries.insert(text(event, "/payload/nextTryAt"));
                said = some(reason);
            }
            _ => {}
        }
    }
    Tries { count: tries.len(), said }
}

/// The reason or note of the newest event of this type.
pub fn reason_of<'a>(event_type: &str, events: &'a [Value]) -> Option<&'a str> {
    let event = events.iter().rev().find(|event| text(event, "/eventType") == event_type)?;
    [text(event, "/payload/reason"), text(event, "/payload/note")].into_iter().find(|text| !text.is_empty())
}

/// The steps of the order's flow, and what the events say of each.
pub fn steps(flow: &str, order: &str, events: &[Value]) -> Vec<StepLine> {
    let mut lines: Vec<StepLine> = (1..)
        .zip(steps_of(flow).unwrap_or_default())
        .map(|(number, step)| StepLine {
            number,
            kind: step.kind.as_str().to_owned(),
            state: "not asked for yet".into(),
            note: None,
        })
        .collect();
    for event in events {
        let number = text(event, "/payload/step").strip_prefix(order).and_then(|rest| rest.strip_prefix(':'));
        let Some(number) = number.and_then(|number| number.parse::<usize>().ok()) else { continue };
        let Some(line) = number.checked_sub(1).and_then(|at| lines.get_mut(at)) else { continue };
        let Some(state) = after(&line.state, event) else { continue };
        line.state = state;
        line.note = some(text(event, "/payload/reason"));
    }
    lines
}

/// What a step in this state has come to after an event; `None` if the event says nothing new of it.
fn after(state: &str, event: &Value) -> Option<String> {
    let said = match (text(event, "/eventType"), text(event, "/payload/outcome")) {
        ("StepRequestedV1", _) if state == "not asked for yet" => "asked for",
        ("StepUndoRequestedV1", _) => "its undo is asked for",
        ("StepProgressedV1", _) => {
            let held = HeldBy::read(text(event, "/payload/reason")).is_some();
            let how = if held { "held back" } else { text(event, "/payload/state") };
            return Some(match state.split_once(" is ") {
                Some((undo, _)) => format!("{undo} is {how}"),
                None => how.to_owned(),
            });
        }
        (_, "done") => "done",
        (_, "refused") => "refused",
        (_, "undone") => "undone",
        (_, "notUndoable") => "done, and can't be undone",
        _ => return None,
    };
    Some(said.to_owned())
}
