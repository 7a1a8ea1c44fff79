//! `cartwright orders explain`: what an order waits for, or why it ended as it did.

mod events;

use std::{fmt::Write as _, process::ExitCode};

use cartwright_core::{domain::time::Timestamp, ports::Clock as _};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{
        api::{Api, ApiError},
        obstacles::{Obstacle, Parked, Standing},
        out,
        style::{Paint, table},
    },
    OrderArg, find,
    show::{next_try, text},
};
use crate::{clock::SystemClock, control::HeldBy};

/// `cartwright orders explain`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright orders explain 1001")]
pub struct ExplainArgs {
    #[command(flatten)]
    order: OrderArg,
}

/// Explains the order.
pub async fn run(api: &Api, args: &ExplainArgs, json: bool) -> Result<ExitCode, ApiError> {
    let path = find::path(api, &args.order.id, find::For::Looking).await?;
    let order: Value = api.get(&path, &[]).await?;
    let history: Value = api.get(&format!("{path}/events"), &[]).await?;
    let events = history["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let standing = match order["waitingFor"].is_object() {
        true => Standing::ask(api).await,
        false => Standing::default(),
    };
    let parked = Parked::of_order(api, text(&order, "/id")).await;
    let explanation = Explanation::of(&order, events, &standing, parked);
    if json {
        out::line(serde_json::to_string(&explanation).unwrap_or_default());
    } else {
        out::line(explanation.text(&Paint::stdout(), SystemClock::start().now(), &api.flag()));
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
    /// The words of whoever held it.
    hold_note: Option<String>,
    /// In a sentence: why the order stands where it stands.
    because: String,
    waiting_for: Option<Waiting>,
    /// What is in the way of that step, and is not for the order to change.
    obstacles: Vec<Obstacle>,
    /// The first of its events that could not be applied: what comes after them waits.
    parked: Vec<Parked>,
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
    /// Why its call was not made when it was due last, in our words.
    held_back: Option<String>,
    /// Tries that came to no outcome so far.
    tries: usize,
}

/// A step of the order's flow.
#[derive(Debug, PartialEq, Serialize)]
struct StepLine {
    number: usize,
    kind: String,
    state: String,
    note: Option<String>,
}

impl Waiting {
    fn of(waiting: &Value, history: &[Value]) -> Self {
        let (step, reason) = (text(waiting, "/step"), text(waiting, "/reason"));
        let ours = HeldBy::read(reason).is_some();
        let tries = events::tries(step, history);
        Self {
            step: step.to_owned(),
            kind: text(waiting, "/kind").to_owned(),
            state: text(waiting, "/state").to_owned(),
            since: some(text(waiting, "/since")),
            next_try_at: some(text(waiting, "/nextTryAt")),
            said: if ours { tries.said } else { some(reason) },
            held_back: some(reason).filter(|_| ours),
            tries: tries.count,
        }
    }
}

impl Explanation {
    fn of(order: &Value, history: &[Value], standing: &Standing, parked: Vec<Parked>) -> Self {
        let waiting = order.get("waitingFor").filter(|waiting| waiting.is_object());
        let obstacles = waiting.map(|waiting| standing.of(text(waiting, "/kind"), text(waiting, "/reason")));
        let waiting_for = waiting.map(|waiting| Waiting::of(waiting, history));
        let mut steps = events::steps(text(order, "/flow"), text(order, "/id"), history);
        if text(order, "/status") == "completed" {
            // Also those that orders does itself, and so reports to nobody.
            steps.iter_mut().for_each(|step| step.state = "done".into());
        }
        if let Some(line) = waiting.and_then(|waiting| at_a_neighbour(order, waiting, &mut steps)) {
            line.state = "a neighbour does it; no answer yet".into();
        }
        let on_hold = order["onHold"].as_bool().unwrap_or(false);
        let mut explanation = Self {
            id: text(order, "/id").to_owned(),
            number: text(order, "/number").to_owned(),
            status: text(order, "/status").to_owned(),
            milestone: text(order, "/milestone").to_owned(),
            on_hold,
            hold_note: events::reason_of("OrderHeldV1", history).filter(|_| on_hold).map(str::to_owned),
            because: String::new(),
            waiting_for,
            obstacles: obstacles.unwrap_or_default(),
            parked,
            steps,
            actions: order["actions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|action| action.as_str().map(str::to_owned))
                .collect(),
        };
        explanation.because = explanation.because(order, history);
        explanation
    }

    /// For people. `server` is what a command takes to reach the same server.
    fn text(&self, paint: &Paint, now: Timestamp, server: &str) -> String {
        let status = paint.status(&self.status, &self.status);
        let mut shown =
            format!("{} is {status}: {}\n", paint.bold(&format!("order {}", self.number)), self.because);
        let mut facts = table(&[]);
        for (name, value) in self.facts(now, server) {
            facts.add_row([name, value]);
        }
        let _ = write!(shown, "\n{}", facts.trim_fmt());
        shown
    }

    /// What there is to say beside the sentence, by name.
    fn facts(&self, now: Timestamp, server: &str) -> Vec<(String, String)> {
        let mut facts = vec![];
        let mut fact = |name: &str, value: Option<&str>| {
            facts.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        };
        fact("id", Some(&self.id));
        if let Some(waiting) = &self.waiting_for {
            fact("since", waiting.since.as_deref());
            fact("next try", waiting.next_try_at.as_deref().map(|at| next_try(at, now)));
            let tries = waiting.tries.to_string();
            fact("tries without an outcome", Some(&*tries).filter(|_| waiting.tries > 0));
            fact("held back", waiting.held_back.as_deref());
            fact("it said last", waiting.said.as_deref());
        }
        for obstacle in self.obstacles.iter().filter_map(|obstacle| obstacle.undo.as_deref()) {
            fact("undo", Some(obstacle));
        }
        fact("note of the hold", self.hold_note.as_deref());
        for parked in &self.parked {
            fact(&format!("parked in {}", parked.service), Some(&parked.line()));
        }
        if !self.parked.is_empty() {
            let id = &self.id;
            fact("look at them", Some(&format!("cartwright parked list --order {id}{server}")));
            fact("try them again", Some(&format!("cartwright parked retry --order {id}{server}")));
        }
        for step in &self.steps {
            let note = step.note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
            fact(&format!("step {}, {}", step.number, step.kind), Some(&format!("{}{note}", step.state)));
        }
        let actions = self.actions.join(", ");
        fact("may be done", Some(if actions.is_empty() { "nothing" } else { &actions }));
        facts
    }

    /// Why it stands where it stands.
    fn because(&self, order: &Value, history: &[Value]) -> String {
        let undone = self.steps.iter().any(|step| step.state == "undone");
        let and = |undone_too: &'static str| if undone { undone_too } else { "" };
        match text(order, "/status") {
            "completed" => match text(order, "/cancellation/refused") {
                "" => "every step of its flow is done".into(),
                why => format!("every step of its flow is done, and it was too late to call it off ({why})"),
            },
            "failed" => format!(
                "a step was refused ({}){}",
                events::reason_of("OrderFailedV1", history).unwrap_or("no reason was given"),
                and(", and what was done before was undone")
            ),
            "cancelled" => {
                format!(
                    "it was called off ({}){}",
                    cancellation(order),
                    and(", and what was done was undone")
                )
            }
            _ => {
                let mut why = self.waits(order);
                for obstacle in &self.obstacles {
                    let _ = write!(why, "; {}", obstacle.what);
                }
                if !self.parked.is_empty() {
                    why.push_str("; it is stuck behind events that could not be applied");
                }
                why
            }
        }
    }

    /// What an open order waits for.
    fn waits(&self, order: &Value) -> String {
        let note = self.hold_note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
        match &self.waiting_for {
            _ if text(order, "/flow") == "manual" => {
                "its flow is manual: it goes on only when its client sets a milestone".into()
            }
            Some(waiting) if waiting.state == "undoRequested" => {
                let cancelling = order["cancellation"].is_object();
                let why = if cancelling { cancellation(order) } else { "a step was refused".into() };
                format!("it takes back what was done ({why}), and waits for the undo of `{}`", waiting.kind)
            }
            Some(waiting) => {
                let mut waits = format!("it waits for `{}`{}", waiting.kind, in_words(&waiting.state));
                if self.on_hold {
                    let _ =
                        write!(waits, "; it is on hold{note}: nothing further is asked for until a release");
                }
                waits
            }
            None if self.on_hold => {
                format!("it is on hold{note}; the next step is asked for after a release")
            }
            None => "it waits for nothing that it names".into(),
        }
    }
}

/// The step that an order waits for, if it is done by the half of an older system: that is not asked, it hears of orders.
fn at_a_neighbour<'a>(order: &Value, waiting: &Value, steps: &'a mut [StepLine]) -> Option<&'a mut StepLine> {
    let kind = text(waiting, "/kind");
    let theirs = order["neighbours"].as_array()?.iter().any(|theirs| theirs == kind);
    steps.iter_mut().find(|step| theirs && step.kind == kind)
}

fn cancellation(order: &Value) -> String {
    let parts = [text(order, "/cancellation/reason"), text(order, "/cancellation/note")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// How far a step is, as the rest of a sentence. That a step was asked for is all that the order knows of it: its
/// provider may be at it already.
fn in_words(state: &str) -> &str {
    match state {
        "requested" => ", asked for; no answer yet",
        "started" => ", which is under way",
        "waiting" => ", which is not through yet",
        _ => "",
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
