//! `--help` is how a stranger learns what there is: no command goes without a sentence, an example and `--json`.

use clap::{Command, CommandFactory};

use super::command::Cli;

/// Commands that print no results for machines.
const NO_JSON: [&str; 3] = ["cartwright up", "cartwright serve", "cartwright completions"];

/// Calls `each` with every command and its whole name.
fn walk(name: &str, command: &Command, each: &mut impl FnMut(&str, &Command)) {
    each(name, command);
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        walk(&format!("{name} {}", sub.get_name()), sub, each);
    }
}

fn every(mut each: impl FnMut(&str, &Command)) {
    let mut cli = Cli::command();
    cli.build(); // hands global arguments down
    walk("cartwright", &cli, &mut each);
}

#[test]
fn every_command_says_what_it_does_and_has_an_example() {
    let mut wrong = Vec::new();
    every(|name, command| {
        if command.get_about().is_none_or(|about| about.to_string().trim().is_empty()) {
            wrong.push(format!("{name} has no about"));
        }
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let example = after.split_once("Example").is_some_and(|(_, rest)| rest.contains("cartwright "));
        if !example {
            wrong.push(format!("{name} has no example in its after_help"));
        }
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            if argument.get_help().is_none_or(|help| help.to_string().trim().is_empty()) {
                wrong.push(format!("{name}: {} has no help", argument.get_id()));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_that_prints_results_can_print_json() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    every(|name, command| {
        if command.get_subcommands().any(|sub| sub.get_name() != "help") {
            return; // it only leads to others
        }
        seen += 1;
        let json = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        if json == NO_JSON.contains(&name) {
            wrong.push(name.to_owned());
        }
    });
    assert!(seen > 12, "only {seen} commands were found");
    assert!(wrong.is_empty(), "no --json, or not expected: {wrong:?}");
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let help = Cli::command().render_help().to_string();
    for code in ["0  all good", "1  ", "2  ", "3  "] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn the_arguments_contradict_nothing() {
    Cli::command().debug_assert();
}
