//! Makes a failing plan small, and tells its story.

use super::{Bug, Item, Keep, Plan, Ran, run};

/// Runs that shrinking may take.
const TRIES: usize = 600;

/// Takes out of a failing plan what it does not need in order to fail in the same way.
pub fn shrink(seed: u64, plan: &Plan, bug: Option<Bug>) -> Plan {
    let mut plan = plan.clone();
    let Some(check) = run(seed, &plan, bug, Keep::Nothing).violation.map(|v| v.check) else { return plan };
    let mut tries = 0;
    let mut fails = |items: &[Item], plan: &Plan| {
        tries += 1;
        let smaller = Plan { items: items.to_vec(), ..plan.clone() };
        tries <= TRIES
            && run(seed, &smaller, bug, Keep::Nothing)
                .violation
                .is_some_and(|violation| violation.check == check)
    };
    let mut chunk = plan.items.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        let mut smaller = false;
        while from < plan.items.len() {
            let to = (from + chunk).min(plan.items.len());
            let items = [&plan.items[..from], &plan.items[to..]].concat();
            if fails(&items, &plan) {
                plan.items = items;
                smaller = true;
            } else {
                from = to;
            }
        }
        if chunk == 1 && !smaller {
            break;
        }
        chunk = if chunk > 1 { chunk.div_ceil(2) } else { 1 };
    }
    plan
}

/// What happened in a failing run: its plan, then what concerns the order, then what is wrong.
pub fn story(seed: u64, plan: &Plan, bug: Option<Bug>) -> String {
    let Ran { violation, trace, .. } = run(seed, plan, bug, Keep::Story);
    let mut text = format!("seed {seed}, {:?}\n", plan.shape);
    for item in &plan.items {
        text += &format!("  {item:?}");
        if let Some(order) = item.order() {
            text += &format!(" of {:?}", plan.orders[order]);
        }
        text.push('\n');
    }
    text.push('\n');
    for line in trace {
        text += &line;
        text.push('\n');
    }
    match violation {
        Some(violation) => text += &format!("\nviolated: {violation}\n"),
        None => text += "\nnothing is violated\n",
    }
    text
}
