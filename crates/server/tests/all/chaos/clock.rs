//! A clock that somebody sets by an hour, forward and back, while the process runs and while it does not.

use std::fs;

use cartwright_server::chaos::CLOCK;

use super::system::System;
use crate::harness::Stack;

/// Orders between two changes.
const MEANWHILE: usize = 200;

#[test]
fn a_clock_set_by_an_hour_holds_nothing_up() {
    let mut system = System::new(150);
    let file = system.file("clock");
    let set = |seconds: i32| {
        // In one go: half a number is another one.
        let beside = file.with_extension("new");
        fs::write(&beside, seconds.to_string()).unwrap();
        fs::rename(&beside, &file).unwrap();
    };
    let clock = (CLOCK, file.to_str().unwrap());
    let mut server = system.up_with(&[clock]);
    let running = &[(3_600, false), (0, false)][..];
    // Where processes share a database, one that starts goes by its own clock, whatever the others have had.
    let restarted =
        if Stack::here().is_shared() { &[][..] } else { &[(0, true), (-3_600, true), (0, false)][..] };
    for (seconds, restarted) in [running, restarted].concat() {
        system.wait_for_more(MEANWHILE);
        set(seconds);
        if restarted {
            server.end();
            server = system.up_with(&[clock]);
        }
    }
    system.wait_for_more(MEANWHILE);
    system.judge(server, &["--search"]);
}
