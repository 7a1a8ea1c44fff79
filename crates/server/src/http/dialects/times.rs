//! Moments as the old systems write them.

use cartwright_core::domain::time::Timestamp;

/// ISO 8601 as .NET and Python write it: with an offset, or without one, which means UTC; with a fraction of any length.
pub fn iso(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', ' '])?;
    let offset = time.ends_with(['Z', 'z']) || time.contains(['+', '-']);
    let text = format!("{date}T{time}{}", if offset { "" } else { "Z" });
    Timestamp::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_with_and_without_an_offset() {
        let noon = Timestamp::parse("2024-01-18T12:00:00.5Z");
        for text in [
            "2024-01-18T12:00:00.5Z",
            "2024-01-18T12:00:00.5000000+00:00",
            "2024-01-18T12:00:00.5",
            "2024-01-18 12:00:00.500",
            "2024-01-18T13:00:00.5+01:00",
        ] {
            assert_eq!(iso(text), noon, "{text}");
        }
        for text in ["yesterday", "", "2024-01-18", "12:00:00", "2024-13-18T12:00:00Z"] {
            assert_eq!(iso(text), None, "{text}");
        }
    }
}
