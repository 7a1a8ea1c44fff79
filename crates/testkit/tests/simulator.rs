//! The simulator on the model stores: it is deterministic, it reaches what it means to, it finds what is planted,
//! and it finds nothing else.

use cartwright_testkit::sim::{Bug, Coverage, Keep, Plan, kept_seeds, run, shrink, story};

/// A planted bug is found within so many seeds.
const WITHIN: u64 = 500;

#[test]
fn seeds_that_ever_failed_run_clean() {
    let seeds = kept_seeds();
    assert!(!seeds.is_empty());
    for (seed, distributed) in seeds {
        let ran = run(seed, &Plan::from_seed(seed, Some(distributed)), None, Keep::Nothing);
        assert_eq!(ran.violation, None, "seed {seed}");
    }
}

#[test]
fn seeds_run_clean_and_reach_what_they_mean_to() {
    let mut reached = Coverage::default();
    for seed in 0..400 {
        let plan = Plan::from_seed(seed, None);
        let ran = run(seed, &plan, None, Keep::Nothing);
        if let Some(violation) = ran.violation {
            panic!("{violation}\n{}", story(seed, &shrink(seed, &plan, None), None));
        }
        reached.add(&ran.coverage);
    }
    for (what, count) in reached.fields() {
        assert!(count > 0, "{what} is never reached: {reached:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..30 {
        let trace = || run(seed, &Plan::from_seed(seed, None), None, Keep::Everything).trace;
        let first = trace();
        assert!(first.len() > 50, "a trace of {} lines", first.len());
        assert_eq!(first, trace(), "seed {seed}");
    }
}

#[test]
fn planted_bugs_are_found() {
    // Each bug with the checks that may convict it, where there is one shape only that can have it.
    let double = &["charged twice", "conservation of money"][..];
    let lost = &["durable", "every order ends", "gapless sequence", "history", "limit of open orders"][..];
    let bugs: [(Bug, Option<bool>, &[&str]); 14] = [
        (
            Bug::SyncOff,
            Some(false),
            &["durable", "gapless sequence", "life of an operation", "life of a step"],
        ),
        (Bug::OffsetPastConflict, None, lost),
        (Bug::TaskApart, None, &["every order ends", "nothing left over"]),
        (Bug::NoGuard, Some(true), &["gapless sequence", "life of a step", "version"]),
        (Bug::LeaseForever, None, &["every order ends"]),
        (Bug::AnswerLate, None, &["same key, same answer", "durable"]),
        (Bug::ParkedReordered, None, &["in order"]),
        (Bug::LateOutcome, None, &["life of an operation", "conservation of money"]),
        (Bug::CancelRacesShip, None, &["conservation of goods"]),
        (Bug::RetryWithoutKey, None, double),
        (Bug::UndoWhileUnknown, None, &["nothing left over", "conservation of money"]),
        (Bug::UndoForgotten, None, &["conservation of money"]),
        (Bug::SweepTwice, None, double),
        (Bug::RelayGap, None, &["nothing is passed over"]),
    ];
    for (bug, shape, checks) in bugs {
        let found = (0..WITHIN).find_map(|seed| {
            let violation = run(seed, &Plan::from_seed(seed, shape), Some(bug), Keep::Nothing).violation?;
            Some((seed, violation))
        });
        let Some((seed, violation)) = found else { panic!("{bug:?} is not found within {WITHIN} seeds") };
        assert!(checks.contains(&violation.check), "{bug:?} at seed {seed}: {violation}");
        println!("{:<22} seed {seed:>3}: {}", bug.name(), violation.check);
    }
}

#[test]
fn a_failing_plan_is_shrunk_to_what_it_needs() {
    let bug = Some(Bug::UndoForgotten);
    let seed = (0..WITHIN)
        .find(|seed| run(*seed, &Plan::from_seed(*seed, None), bug, Keep::Nothing).violation.is_some())
        .expect("a planted bug is found");
    let plan = Plan::from_seed(seed, None);
    let small = shrink(seed, &plan, bug);
    assert!(small.items.len() <= 8, "{} of {} items are left", small.items.len(), plan.items.len());
    assert!(story(seed, &small, bug).contains("violated: conservation of money"));
}
