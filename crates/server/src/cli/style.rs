//! How the commands look on a terminal: tables, and colours where somebody can see them.

use std::io::{IsTerminal, stderr, stdout};

use comfy_table::{CellAlignment, Table, presets};

/// Colours text, or leaves it as it is.
pub struct Paint {
    on: bool,
}

impl Paint {
    pub fn stdout() -> Self {
        Self { on: stdout().is_terminal() && wanted() }
    }

    pub fn stderr() -> Self {
        Self { on: stderr().is_terminal() && wanted() }
    }

    #[cfg(test)]
    pub const fn plain() -> Self {
        Self { on: false }
    }

    pub fn red(&self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub fn green(&self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub fn yellow(&self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub fn dim(&self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub fn bold(&self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// In the colour that an order's status or a milestone deserves.
    pub fn status(&self, status: &str, text: &str) -> String {
        match status {
            "completed" => self.green(text),
            "failed" => self.red(text),
            "cancelled" => self.dim(text),
            _ => text.to_owned(),
        }
    }

    fn wrap(&self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A table without lines, ready to be filled; it never wraps, so that a row stays a line.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    table
}

/// Numbers end where numbers end.
pub fn align_right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A count with its thousands set apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds with as many decimals as matter.
pub fn millis(ms: f64) -> String {
    if ms == 0.0 {
        "0".into()
    } else if ms < 100.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_times_are_easy_to_read() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([millis(0.0), millis(2.14), millis(250.4)], ["0", "2.1", "250"]);
    }
}
