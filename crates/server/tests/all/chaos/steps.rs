//! Killed at every durable step: before it, in the middle of it, and after it, when nobody has heard that it was taken.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use cartwright_core::failpoint::Failpoint;
use cartwright_server::chaos::KILL_AT;

use super::{
    chatter::Chatter,
    system::{Dice, Server, System},
};
use crate::{
    harness::{Stack, block_on},
    search::OnServer,
};

/// After which a new index is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// Within which each place must be reached, beside other tests that load the same servers.
const LIMIT: Duration = Duration::from_secs(400);

/// A place, whose it is, and how often a process comes by in a moment.
type Place = (Failpoint, &'static str, u64);

/// Where it comes by on any stack, beside those of `AFTER`.
const EVERYWHERE: &[Place] = &[
    (Failpoint::CommitBegun, "orders", 30),
    (Failpoint::CommitBegun, "payments", 30),
    (Failpoint::CommitBegun, "fulfillment", 30),
    (Failpoint::CallAnswered, "fulfillment", 100),
    // The one behind leaves tasks in the table.
    (Failpoint::CallBegun, "payments", 200),
    (Failpoint::TasksClaimed, "payments", 1),
    (Failpoint::LedgerWritten, "ledger", 50),
    (Failpoint::LedgerStands, "ledger", 50),
];

const INDEX: &[Place] = &[
    (Failpoint::IndexWritten, "indexer", 3),
    (Failpoint::IndexCommitted, "indexer", 3),
    (Failpoint::IndexFilled, "indexer", 1),
    (Failpoint::IndexSwapped, "indexer", 1),
];

/// Those after which somebody else has to be told.
const AFTER: &[Place] = &[
    (Failpoint::CommitStands, "orders", 30),
    (Failpoint::CommitStands, "payments", 30),
    (Failpoint::CommitStands, "fulfillment", 30),
    (Failpoint::CallAnswered, "payments", 200),
];

const ON_FILES: &[Place] = &[
    (Failpoint::CommitWritten, "orders", 30),
    (Failpoint::CommitWritten, "payments", 30),
    (Failpoint::CommitWritten, "fulfillment", 30),
    (Failpoint::CallBegun, "fulfillment", 100),
    (Failpoint::TasksClaimed, "fulfillment", 1),
    (Failpoint::LogCopied, "orders", 1),
];

const WITHOUT_KAFKA: &[Place] = &[(Failpoint::LeaseTaken, "bus", 5)];

const WITH_KAFKA: &[Place] = &[
    (Failpoint::LeaseTaken, "relay", 5),
    (Failpoint::LeaseTaken, "index", 3),
    (Failpoint::RelaySent, "orders", 3),
    (Failpoint::RelayNoted, "payments", 3),
    (Failpoint::OffsetsBehind, "orders", 10),
    (Failpoint::OffsetsBehind, "payments", 10),
];

fn places() -> Vec<Place> {
    let parts: &[_] = match Stack::here() {
        // A start there costs little: all of them twice.
        Stack::Embedded => &[AFTER, EVERYWHERE, ON_FILES, INDEX, AFTER, EVERYWHERE, ON_FILES, INDEX],
        Stack::Postgres => &[AFTER, EVERYWHERE, INDEX, WITHOUT_KAFKA],
        // A group takes seconds to learn that a member is dead: what is as on PostgreSQL alone is left to that.
        Stack::Kafka => &[AFTER, INDEX, WITH_KAFKA, WITH_KAFKA],
    };
    parts.concat()
}

#[test]
fn killed_at_every_durable_step_it_loses_nothing_and_does_nothing_twice() {
    // Where there is Kafka, the index is on a server, too.
    let server = (Stack::here() == Stack::Kafka).then(OnServer::new);
    let settings = server.as_ref().map(OnServer::settings);
    let mut system = System::with(250, settings.as_ref().map_or(&[][..], |settings| settings));
    let chatter = Chatter::with(&system.url());
    let mut dice = Dice::thrown_here();
    for (point, whose, most) in places() {
        let at = format!("{}@{whose}:{}", point.name(), 1 + dice.next() % most);
        system.keep_loaded();
        let process = system.spawn(&[(KILL_AT, &at)]);
        until_killed(&mut system, process, &at, point);
    }
    let process = system.up();
    chatter.end(&system.url());
    system.judge(process, &["--search"]);
    if let Some(server) = server {
        block_on(server.remove());
    }
}

fn until_killed(system: &mut System, mut server: Server, at: &str, point: Failpoint) {
    let until = Instant::now() + LIMIT;
    let (asks, mut asked) = (matches!(point, Failpoint::IndexFilled | Failpoint::IndexSwapped), None);
    loop {
        if let Some(ended) = server.ended() {
            assert_eq!(ended.signal(), Some(9), "{at}: it ended by itself: {}", system.log_of("server.log"));
            return;
        }
        assert!(Instant::now() < until, "{at} is not reached: {}", system.log_of("server.log"));
        system.keep_loaded();
        // Again now and then: one that was given up is not begun anew by itself.
        if asks && asked.is_none_or(|at: Instant| at.elapsed() > ASK_AGAIN) && rebuild_begins(system) {
            asked = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks for a new index, if anybody is there to hear it.
fn rebuild_begins(system: &System) -> bool {
    let url = format!("{}/v1/admin/index/rebuild", system.url());
    block_on(async {
        let ask = reqwest::Client::new().post(url).timeout(ASK_AGAIN).json(&serde_json::json!({}));
        ask.send().await.is_ok_and(|reply| reply.status().is_success())
    })
}

#[test]
fn every_durable_step_is_among_them() {
    let all = [AFTER, EVERYWHERE, ON_FILES, INDEX, WITHOUT_KAFKA, WITH_KAFKA].concat();
    let tried: BTreeSet<Failpoint> = all.into_iter().map(|(point, ..)| point).collect();
    assert_eq!(tried, BTreeSet::from(Failpoint::ALL));
}
