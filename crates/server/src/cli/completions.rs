//! `cartwright completions`: what a shell needs to complete our commands.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use super::out;

/// `cartwright completions`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  source <(cartwright completions bash)\n  \
    cartwright completions zsh > ~/.zfunc/_cartwright\n  \
    cartwright completions fish > ~/.config/fish/completions/cartwright.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for the shell; `command` is the whole of `cartwright`.
pub fn run(args: &CompletionsArgs, command: &mut Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "cartwright", &mut script);
    out::raw(&script);
    ExitCode::SUCCESS
}
