//! The real binary under load, killed with SIGKILL again and again, and worse: `verify` judges whether anything was lost
//! or done twice. Everything goes wrong outside at the same time: calls fail, and time-outs hide calls that succeeded.
//!
//! * `system` … the process. `steps` … killed at every durable step. `chatter` … orders by way of the older systems.
//! * `hang_ups` … clients that go away. `clock` … a clock that is set by an hour.

mod chatter;
mod clock;
mod hang_ups;
mod steps;
mod system;

use std::time::Duration;

use self::system::{Dice, System};

/// How often it is killed.
const KILLS: u32 = 20;

#[test]
fn twenty_kills_lose_nothing_and_do_nothing_twice() {
    let mut system = System::new(250);
    let mut server = system.up();
    let mut dice = Dice::thrown_here();
    for _ in 1..=KILLS {
        system.keep_loaded();
        // The moment is random; nothing waits for it to pass but the kill itself.
        std::thread::sleep(Duration::from_millis(60 + dice.next() % 500));
        server.end();
        server = system.up();
    }
    system.judge(server, &[]);
}
