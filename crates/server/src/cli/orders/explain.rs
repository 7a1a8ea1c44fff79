//! `cartwright orders explain`: what an order waits for, or why it ended as it did.

use std::{collections::BTreeSet, fmt::Write as _, process::ExitCode};

use cartwright_core::domain::flow::steps_of;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{
        api::{Api, ApiError},
        out,
        style::{Paint, table},
    },
    OrderArg, find,
    show::text,
};

/// `cartwright orders explain`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright orders explain 1001")]
pub struct ExplainArgs {
    #[command(flatten)]
    order: OrderArg,
}

/// Explains the order.
pub async fn run(api: &Api, args: &ExplainArgs, json: bool) -> Result<ExitCode, ApiError> {
    let path = find::path(api, &args.order.id).await?;
    let order: Value = api.get(&path, &[]).await?;
    let history: Value = api.get(&format!("{path}/events"), &[]).await?;
    let events = history["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let explanation = Explanation::of(&order, events);
    if json {
        out::line(serde_json::to_string(&explanation).unwrap_or_default());
    } else {
        out::line(explanation.text(&Paint::stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The result of `cartwright orders explain --json`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    id: String,
    number: String,
    status: String,
    milestone: String,
    on_hold: bool,
    /// In a sentence: why the order stands where it stands.
    because: String,
    waiting_for: Option<Waiting>,
    /// Every step of its flow, and how far it has come.
    steps: Vec<StepLine>,
    /// The commands that it would accept now.
    actions: Vec<String>,
}

/// The step that it waits for.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    step: String,
    kind: String,
    state: String,
    since: Option<String>,
    next_try_at: Option<String>,
    /// What the other side said last.
    said: Option<String>,
    /// Tries that came to no outcome so far.
    tries: usize,
}

#[derive(Debug, PartialEq, Serialize)]
struct StepLine {
    number: usize,
    kind: String,
    state: String,
    note: Option<String>,
}

impl Explanation {
    fn of(order: &Value, events: &[Value]) -> Self {
        let waiting = order.get("waitingFor").filter(|waiting| waiting.is_object());
        let waiting_for = waiting.map(|waiting| Waiting {
            step: text(waiting, "/step").to_owned(),
            kind: text(waiting, "/kind").to_owned(),
            state: text(waiting, "/state").to_owned(),
            since: some(text(waiting, "/since")),
            next_try_at: some(text(waiting, "/nextTryAt")),
            said: some(text(waiting, "/reason")),
            tries: tries(text(waiting, "/step"), events),
        });
        let mut steps = steps(text(order, "/flow"), text(order, "/id"), events);
        if text(order, "/status") == "completed" {
            // Also those that orders does itself, and so reports to nobody.
            steps.iter_mut().for_each(|step| step.state = "done".into());
        }
        Self {
            id: text(order, "/id").to_owned(),
            number: text(order, "/number").to_owned(),
            status: text(order, "/status").to_owned(),
            milestone: text(order, "/milestone").to_owned(),
            on_hold: order["onHold"].as_bool().unwrap_or(false),
            because: because(order, waiting_for.as_ref(), events),
            waiting_for,
            steps,
            actions: order["actions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|action| action.as_str().map(str::to_owned))
                .collect(),
        }
    }

    fn text(&self, paint: &Paint) -> String {
        let status = paint.status(&self.status, &self.status);
        let mut shown =
            format!("{} is {status}: {}\n", paint.bold(&format!("order {}", self.number)), self.because);
        let mut facts = table(&[]);
        let mut fact = |name: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                facts.add_row([name, value]);
            }
        };
        fact("id", Some(&self.id));
        if let Some(waiting) = &self.waiting_for {
            fact("since", waiting.since.as_deref());
            fact("next try", waiting.next_try_at.as_deref());
            let tries = waiting.tries.to_string();
            fact("tries without an outcome", Some(&*tries).filter(|_| waiting.tries > 0));
            fact("it said last", waiting.said.as_deref());
        }
        for step in &self.steps {
            let note = step.note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
            fact(&format!("step {}, {}", step.number, step.kind), Some(&format!("{}{note}", step.state)));
        }
        let actions = self.actions.join(", ");
        fact("may be done", Some(if actions.is_empty() { "nothing" } else { &actions }));
        let _ = write!(shown, "\n{}", facts.trim_fmt());
        shown
    }
}

/// Why it stands where it stands.
fn because(order: &Value, waiting: Option<&Waiting>, events: &[Value]) -> String {
    let cancelling = order["cancellation"].is_object();
    match text(order, "/status") {
        "completed" => "every step of its flow is done".into(),
        "failed" => format!(
            "a step was refused ({}), and what was done before was undone",
            reason_of("OrderFailedV1", events).unwrap_or("no reason was given")
        ),
        "cancelled" => format!("it was called off ({}), and what was done was undone", cancellation(order)),
        _ if text(order, "/flow") == "manual" => {
            "its flow is manual: it goes on only when its client sets a milestone".into()
        }
        _ => match waiting {
            Some(waiting) if waiting.state == "undoRequested" => {
                let why = if cancelling { cancellation(order) } else { "a step was refused".into() };
                format!("it takes back what was done ({why}), and waits for the undo of `{}`", waiting.kind)
            }
            Some(waiting) => {
                format!("it waits for `{}`, which is {}", waiting.kind, in_words(&waiting.state))
            }
            None if order["onHold"].as_bool().unwrap_or(false) => {
                let note = reason_of("OrderHeldV1", events).map(|note| format!(" ({note})"));
                format!(
                    "it is on hold{}; the next step is asked for after a release",
                    note.unwrap_or_default()
                )
            }
            None => "it waits for nothing that it names".into(),
        },
    }
}

fn cancellation(order: &Value) -> String {
    let parts = [text(order, "/cancellation/reason"), text(order, "/cancellation/note")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// The reason or note of the newest event of this type.
fn reason_of<'a>(event_type: &str, events: &'a [Value]) -> Option<&'a str> {
    let event = events.iter().rev().find(|event| text(event, "/eventType") == event_type)?;
    [text(event, "/payload/reason"), text(event, "/payload/note")].into_iter().find(|text| !text.is_empty())
}

/// Tries of this step that came to no outcome since it, or its undo, was asked for. A report that is only repeated
/// names the same next try and counts once.
fn tries(step: &str, events: &[Value]) -> usize {
    let of_step = events.iter().filter(|event| text(event, "/payload/step") == step);
    let mut tries = BTreeSet::new();
    for event in of_step {
        match text(event, "/eventType") {
            "StepUndoRequestedV1" => tries.clear(),
            "StepProgressedV1" if text(event, "/payload/state") != "started" => {
                tries.insert(text(event, "/payload/nextTryAt"));
            }
            _ => {}
        }
    }
    tries.len()
}

/// The steps of the order's flow, and what the events say of each.
fn steps(flow: &str, order: &str, events: &[Value]) -> Vec<StepLine> {
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
        let state = match (text(event, "/eventType"), text(event, "/payload/outcome")) {
            ("StepRequestedV1", _) if line.state == "not asked for yet" => "asked for",
            ("StepUndoRequestedV1", _) => "its undo is asked for",
            ("StepProgressedV1", _) => text(event, "/payload/state"),
            (_, "done") => "done",
            (_, "refused") => "refused",
            (_, "undone") => "undone",
            (_, "notUndoable") => "done, and can't be undone",
            _ => continue,
        };
        line.state = state.to_owned();
        line.note = some(text(event, "/payload/reason"));
    }
    lines
}

fn in_words(state: &str) -> &str {
    match state {
        "requested" => "asked for, and not begun yet",
        "started" => "under way",
        "waiting" => "not through yet",
        other => other,
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
