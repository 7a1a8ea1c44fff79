//! What the machine had left while it was looked at: without that, nobody can tell a slow system from a slow machine.

use std::{fs, time::Instant};

/// What the machine did between two looks, in percent of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Processors that had nothing to do, even though something may have waited for the disk.
    pub idle: f64,
    /// Processors that somebody else had, on the machine that this one is a part of.
    pub stolen: f64,
    /// Everything that wanted to go on waited for the disk.
    pub stalled: f64,
}

/// Counts since the machine's start, which tell something by their growth.
pub struct Machine {
    at: Instant,
    ticks: Ticks,
    stalled_us: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ticks {
    all: f64,
    idle: f64,
    stolen: f64,
}

impl Machine {
    /// As it is now.
    pub fn now() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            at: Instant::now(),
            ticks: ticks(&read("/proc/stat")),
            stalled_us: stalled_us(&read("/proc/pressure/io")),
        }
    }

    /// What happened since the last look; not numbers where the machine does not say.
    pub fn since(&mut self) -> Load {
        let now = Self::now();
        let all = now.ticks.all - self.ticks.all;
        let waited = now.at.duration_since(self.at).as_secs_f64() * 1e6;
        let load = Load {
            idle: 100.0 * (now.ticks.idle - self.ticks.idle) / all,
            stolen: 100.0 * (now.ticks.stolen - self.ticks.stolen) / all,
            stalled: 100.0 * (now.stalled_us - self.stalled_us) / waited,
        };
        *self = now;
        load
    }
}

/// From the first line of `/proc/stat` (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal, and what is in
/// user and nice already.
fn ticks(stat: &str) -> Ticks {
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let of: Vec<f64> = line.split_whitespace().take(8).filter_map(|ticks| ticks.parse().ok()).collect();
    match of[..] {
        [.., idle, waiting, _, _, stolen] if of.len() == 8 => {
            Ticks { all: of.iter().sum(), idle: idle + waiting, stolen }
        }
        _ => Ticks { all: f64::NAN, idle: f64::NAN, stolen: f64::NAN },
    }
}

/// From `/proc/pressure/io`: the microseconds of its line `full`.
fn stalled_us(pressure: &str) -> f64 {
    let full = pressure.lines().find_map(|line| line.strip_prefix("full "));
    let total = full.and_then(|line| line.split_whitespace().find_map(|part| part.strip_prefix("total=")));
    total.and_then(|total| total.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_the_system_are_read() {
        let stat = "cpu  10 1 20 60 5 0 2 2 7 0\ncpu0 5 1 10 30 2 0 1 1 3 0\n";
        assert_eq!(ticks(stat), Ticks { all: 100.0, idle: 65.0, stolen: 2.0 });
        assert!(ticks("cpu  10 1").all.is_nan() && ticks("").all.is_nan());
        let io = "some avg10=1.00 avg60=1.00 avg300=1.00 total=9\nfull avg10=0.50 avg60=0.1 avg300=0.1 total=1500\n";
        assert!((stalled_us(io) - 1_500.0).abs() < 1e-9 && stalled_us("").is_nan());
    }

    #[test]
    fn a_look_tells_of_the_time_since_the_one_before() {
        let mut machine = Machine::now();
        machine.ticks.all -= 200.0;
        machine.ticks.idle -= 50.0;
        let load = machine.since();
        assert!(load.idle > 0.0 && load.idle <= 100.0, "{load:?}");
    }
}
