//! Results on stdout. Whoever reads them may stop reading at any time (`cartwright orders list | head -1`): then the
//! command ends without a word, as the tools of a Unix system do.

use std::{
    fmt::Display,
    io::{ErrorKind, Write, stdout},
};

use super::exit;

/// Prints a line of the results.
pub fn line(text: impl Display) {
    let mut stdout = stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        give_up(&error);
    }
}

/// Prints text that has its own line ends.
pub fn raw(bytes: &[u8]) {
    let mut stdout = stdout().lock();
    if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        give_up(&error);
    }
}

/// Nobody reads any more, or nothing can be written: either way nothing is left to do.
fn give_up(error: &std::io::Error) -> ! {
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("error: the results can't be written: {error}");
    std::process::exit(exit::FAILED.into());
}
