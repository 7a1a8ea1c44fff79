//! `cargo xtask test`: the dependency directions, the files of `deploy`, servers, one build, every test, those from end to
//! end on every stack, faults of a system of many processes, some minutes of the simulator.

use std::{
    env,
    io::{BufRead, BufReader, Write, pipe},
    num::NonZero,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    Failure, budget,
    cargo::{Built, build, cargo, path_of, root, tests_of},
    deploy, directions, servers, sim, supply,
    table::{table, text},
};

/// What the end-to-end tests run on beside files, on which `cargo test` runs them with all the others. Most of the time
/// they wait for the servers: so many at once for each core.
const STACKS: [(&str, usize); 2] = [("postgres", 2), ("kafka", 4)];

/// What tells these tests where they run.
const STACK: &str = "CARTWRIGHT_TEST_STACK";

/// How many tests run at once, if not as many as there are cores.
const THREADS: &str = "RUST_TEST_THREADS";

/// Where these tests are, and those of them that are about files alone.
const END_TO_END: (&str, &str) = ("crates/server", "all");
const ABOUT_FILES: &str = "embedded::";

/// The tests that stop and kill servers of their own: one at a time.
const FAULTS: [&str; 6] =
    ["test", "--package=cartwright", "--test=faults", "--profile=ci", "--", "--test-threads=1"];

/// What tests that drive the real program read; without it they take the one that cargo built beside them.
const PROGRAM: &str = "CARTWRIGHT_BIN";

/// Minutes of the simulator.
const USUAL: f64 = 2.0;

#[derive(Args)]
pub struct TestArgs {
    /// How long the simulator runs fresh seeds, beside those that ever failed; not at all when tests are picked
    #[arg(long, value_name = "MINUTES", default_value_t = USUAL)]
    sim: f64,
    /// Handed on to `cargo test`, such as a part of a test's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs everything. `false` if anything failed.
///
/// # Errors
/// Cargo can't be run, or a server that tests need can't be started.
pub fn run(args: &TestArgs) -> Result<bool, Failure> {
    let slowness = budget::slowness();
    let mut parts = vec![check_directions()?, check_deploy()?, check_supply()?];
    let began = Instant::now();
    let servers = servers::for_tests()?; // before the build, so that what is missing is known at once
    parts.push(Part::chore("servers", began.elapsed(), true));
    let began = Instant::now();
    let everything = ["--workspace", "--all-targets", "--profile", "ci"];
    let built = build(&everything)?;
    parts.push(Part::chore("build", began.elapsed(), built.is_some()));
    if let Some(built) = &built {
        let program = path_of(built, "cartwright")?;
        parts.extend(run_tests(program, &servers, &args.args)?);
        for (stack, at_once) in STACKS {
            parts.extend(run_on(stack, at_once, built, program, &servers, &args.args)?);
        }
        if args.args.is_empty() {
            let mut faults = cargo(&FAULTS);
            faults.env_remove(STACK);
            parts.extend(read_tests(faults, "faults", program, &servers, Reading::default())?);
        }
        if args.args.is_empty() {
            let began = Instant::now();
            let well = sim::run_fresh(path_of(built, sim::PROGRAM)?, args.sim)?;
            parts.push(Part::chore("simulator", began.elapsed(), well));
        }
    }
    // Whoever picks tests, or has the simulator run for longer, knows that it takes as long as it takes.
    let usual = args.args.is_empty() && args.sim <= USUAL;
    let slowness = usual.then(|| slowness.max(budget::slowness()));
    Ok(conclude(&parts, slowness))
}

/// One row of the table at the end.
#[derive(Debug, Default, PartialEq)]
struct Part {
    name: String,
    took: Duration,
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Whether it holds tests, or is a chore that went well or not.
    tests: bool,
}

impl Part {
    fn chore(name: &str, took: Duration, well: bool) -> Self {
        Self { name: name.to_owned(), took, failed: u64::from(!well), ..Self::default() }
    }
}

fn check_directions() -> Result<Part, Failure> {
    let began = Instant::now();
    let wrong = directions::check()?;
    for line in &wrong {
        eprintln!("wrong direction: {line}");
    }
    Ok(Part::chore("dependency directions", began.elapsed(), wrong.is_empty()))
}

fn check_deploy() -> Result<Part, Failure> {
    let began = Instant::now();
    let wrong = deploy::check()?;
    for line in &wrong {
        eprintln!("wrong in what is deployed: {line}");
    }
    Ok(Part::chore("deployment files", began.elapsed(), wrong.is_empty()))
}

fn check_supply() -> Result<Part, Failure> {
    let began = Instant::now();
    let wrong = supply::check()?;
    for line in &wrong {
        eprintln!("wrong in our libraries: {line}");
    }
    Ok(Part::chore("supply chain", began.elapsed(), wrong.is_empty()))
}

fn run_tests(program: &Path, servers: &[(&str, String)], args: &[String]) -> Result<Vec<Part>, Failure> {
    let mut command = cargo(&["test", "--workspace", "--profile", "ci", "--no-fail-fast"]);
    command.args(args).env_remove(STACK);
    read_tests(command, "cargo test", program, servers, Reading::default())
}

/// Runs the end-to-end tests once more, on another stack. What is left out is left out by its name.
fn run_on(
    stack: &str,
    at_once: usize,
    built: &[Built],
    program: &Path,
    servers: &[(&str, String)],
    args: &[String],
) -> Result<Vec<Part>, Failure> {
    let name = format!("end to end on {stack}");
    let Some(args) = for_tests(args) else {
        println!("\n{name}: not run, as cargo was told which tests are meant");
        return Ok(vec![]);
    };
    println!("\n{name}, without {ABOUT_FILES}");
    let (package, tests) = END_TO_END;
    let mut command = Command::new(tests_of(built, package, tests)?);
    command.args(args).args(["--skip", ABOUT_FILES]).current_dir(root().join(package)).env(STACK, stack);
    if env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        command.env(THREADS, (at_once * cores).to_string());
    }
    let reading = Reading { under_way: Some((name.clone(), Instant::now())), ..Reading::default() };
    read_tests(command, &name, program, servers, reading)
}

/// What was meant for the tests themselves; nothing, if some of it is cargo's to understand.
fn for_tests(args: &[String]) -> Option<Vec<&str>> {
    let (for_cargo, rest) = match args.iter().position(|arg| arg == "--") {
        Some(end) => (&args[..end], &args[end + 1..]),
        None => (args, &[][..]),
    };
    let is_flag = |arg: &String| arg.starts_with('-');
    (!for_cargo.iter().any(is_flag)).then(|| for_cargo.iter().chain(rest).map(String::as_str).collect())
}

/// Runs a command, shows what it says, and reads results from it.
fn read_tests(
    mut command: Command,
    name: &str,
    program: &Path,
    servers: &[(&str, String)],
    mut reading: Reading,
) -> Result<Vec<Part>, Failure> {
    let (output, errors) = pipe()?; // both in one, since the headings come by the one and the results by the other
    command.env(PROGRAM, program).envs(servers.iter().map(|(name, url)| (name, url)));
    command.stdout(errors.try_clone()?).stderr(errors);
    let mut child = command.spawn()?;
    drop(command); // it holds the writing ends of the pipe
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        reading.line(String::from_utf8_lossy(&line).trim_end(), Instant::now());
        line.clear();
    }
    let well = child.wait()?.success();
    let mut parts = reading.end(Instant::now());
    if !well && parts.iter().all(|part| part.failed == 0) {
        parts.push(Part::chore(name, Duration::ZERO, false));
    }
    Ok(parts)
}

/// Reads what `cargo test` says.
#[derive(Default)]
struct Reading {
    parts: Vec<Part>,
    under_way: Option<(String, Instant)>,
}

impl Reading {
    fn line(&mut self, line: &str, now: Instant) {
        if let Some(name) = heading(line) {
            self.broken_off(now);
            self.under_way = Some((name, now));
        } else if let Some([passed, failed, ignored]) = result(line)
            && let Some((name, began)) = self.under_way.take()
        {
            let took = now.saturating_duration_since(began);
            self.parts.push(Part { name, took, passed, failed, ignored, tests: true });
        }
    }

    /// A test program without a result has crashed: that counts as a failure.
    fn broken_off(&mut self, now: Instant) {
        if let Some((name, began)) = self.under_way.take() {
            let took = now.saturating_duration_since(began);
            let name = format!("{name} (broke off)");
            self.parts.push(Part { name, took, failed: 1, tests: true, ..Part::default() });
        }
    }

    fn end(mut self, now: Instant) -> Vec<Part> {
        self.broken_off(now);
        self.parts
    }
}

/// The name of the test program whose results follow.
fn heading(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(library) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{library} examples"));
    }
    let (source, program) = line.strip_prefix("Running ")?.strip_suffix(')')?.split_once(" (")?;
    let file = Path::new(program).file_name()?.to_str()?;
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    match source.strip_prefix("unittests ") {
        Some("src/lib.rs") => Some(name.to_owned()),
        Some(source) => Some(format!("{name} {source}")),
        None => Some(source.to_owned()),
    }
}

/// Passed, failed and ignored tests of one program.
fn result(line: &str) -> Option<[u64; 3]> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        let count = counts.split("; ").find_map(|part| part.trim().strip_suffix(what));
        count.and_then(|count| count.trim().parse().ok())
    };
    Some([count("passed")?, count("failed")?, count("ignored")?])
}

/// The table and the last line. A part that took longer than its budget has failed.
fn conclude(parts: &[Part], slowness: Option<f64>) -> bool {
    let mut shown = table(&["part", "seconds", "budget", "passed", "failed", "ignored"], &[1, 2, 3, 4, 5]);
    for part in parts.iter().filter(|part| !part.tests || part.passed + part.failed + part.ignored > 0) {
        let count = |n: u64| if part.tests { n.to_string() } else { String::new() };
        let failed = if !part.tests && part.failed > 0 { "failed".to_owned() } else { count(part.failed) };
        shown.add_row([
            part.name.clone(),
            format!("{:.1}", part.took.as_secs_f64()),
            slowness.map_or_else(String::new, |slowness| seconds(budget::of(&part.name).mul_f64(slowness))),
            count(part.passed),
            failed,
            count(part.ignored),
        ]);
    }
    let sum = |of: fn(&Part) -> u64| parts.iter().map(of).sum::<u64>();
    let (passed, failed) = (sum(|part| part.passed), sum(|part| part.failed));
    println!("\n{}", text(&shown));
    let late = slowness.map_or_else(Vec::new, |slowness| late(parts, slowness));
    for what in &late {
        println!("{what}");
    }
    println!("{passed} passed, {failed} failed");
    failed == 0 && late.is_empty()
}

fn seconds(of: Duration) -> String {
    of.as_secs().to_string()
}

/// What took too long.
fn late(parts: &[Part], slowness: f64) -> Vec<String> {
    let took: Duration = parts.iter().map(|part| part.took).sum();
    let all = ("everything", took, budget::TOTAL);
    let each = parts.iter().map(|part| (&*part.name, part.took, budget::of(&part.name)));
    let late = each.chain([all]).filter(|(_, took, budget)| *took > budget.mul_f64(slowness));
    let told = |(name, took, budget): (&str, Duration, Duration)| {
        let may = seconds(budget.mul_f64(slowness));
        format!("over budget: {name} took {} s of {may} (xtask/src/budget.rs)", seconds(took))
    };
    late.map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
     Running unittests src/lib.rs (target/ci/deps/cartwright_core-0123456789abcdef)
running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running unittests src/main.rs (target/ci/deps/cartwright-0123456789abcdef)
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running tests/crash.rs (target/ci/deps/crash-0123456789abcdef)
error: test failed
     Running tests/http_v1.rs (target/ci/deps/http_v1-0123456789abcdef)
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests cartwright_core
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn results_are_summed_by_program_and_a_crash_is_a_failure() {
        let mut reading = Reading::default();
        let now = Instant::now();
        OUTPUT.lines().for_each(|line| reading.line(line, now));
        let parts = reading.end(now);
        let shown: Vec<_> = parts.iter().map(|p| (p.name.as_str(), p.passed, p.failed, p.ignored)).collect();
        assert_eq!(
            shown,
            [
                ("cartwright_core", 2, 0, 1),
                ("cartwright src/main.rs", 0, 0, 0),
                ("tests/crash.rs (broke off)", 0, 1, 0),
                ("tests/http_v1.rs", 3, 2, 0),
                ("cartwright_core examples", 4, 0, 0),
            ]
        );
        assert!(!conclude(&parts, Some(1.0)));
    }

    #[test]
    fn tests_are_picked_by_name_on_every_stack() {
        let picked = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
            for_tests(&args).map(|args| args.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(picked(&[]).unwrap(), [] as [&str; 0]);
        assert_eq!(picked(&["cancel", "--", "--nocapture"]).unwrap(), ["cancel", "--nocapture"]);
        assert_eq!(picked(&["-p", "cartwright-core"]), None);
    }

    #[test]
    fn a_failed_chore_fails_the_run() {
        assert!(conclude(&[Part::chore("build", Duration::ZERO, true)], Some(1.0)));
        assert!(!conclude(&[Part::chore("build", Duration::ZERO, false)], Some(1.0)));
    }

    #[test]
    fn a_part_that_takes_longer_than_its_budget_fails_the_run() {
        let took = |times: f64| [Part::chore("build", budget::of("build").mul_f64(times), true)];
        assert!(conclude(&took(0.9), Some(1.0)));
        assert!(!conclude(&took(1.1), Some(1.0)));
        assert!(conclude(&took(1.1), Some(1.2)), "a slow machine has more time");
        let many = [(); 4].map(|()| Part::chore("tests/faults/main.rs", Duration::from_secs(990), true));
        assert!(!conclude(&many, Some(1.0)), "each is in time, and all together are not");
    }
}
