//! Moments as older systems write them.

use cartwright_core::domain::time::Timestamp;
use jiff::{civil::DateTime, tz::TimeZone};

/// A date and time of day as .NET writes them in the invariant culture.
const INVARIANT: &str = "%m/%d/%Y %H:%M:%S";
/// The same in American English.
const AMERICAN: &str = "%m/%d/%Y %I:%M:%S %p";

/// Reads ISO 8601; in UTC, if it names no offset.
pub fn iso(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| utc(text.parse().ok()?))
}

/// Reads what .NET writes when it is not told how, or ISO 8601.
pub fn dotnet(text: &str) -> Option<Timestamp> {
    // Newer tables of languages have a narrow space before AM and PM.
    let text: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let as_written = |form| DateTime::strptime(form, &text).ok().and_then(utc);
    iso(&text).or_else(|| as_written(INVARIANT)).or_else(|| as_written(AMERICAN))
}

/// Writes a moment as .NET does in the invariant culture, in UTC.
pub fn invariant(at: Timestamp) -> String {
    // Every moment that we write can be read back: see `Timestamp::LAST`.
    let moment = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
    moment.strftime(INVARIANT).to_string()
}

fn utc(local: DateTime) -> Option<Timestamp> {
    let moment = TimeZone::UTC.to_timestamp(local).ok()?;
    Some(Timestamp::from_micros(moment.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_the_ways_to_write_one_moment_are_read() {
        let noon = Timestamp::parse("2024-01-18T12:00:00Z");
        for text in ["2024-01-18T13:00:00+01:00", "2024-01-18T12:00:00", "2024-01-18T12:00:00.0000000Z"] {
            assert_eq!((iso(text), dotnet(text)), (noon, noon), "{text}");
        }
        for text in ["01/18/2024 12:00:00", "1/18/2024 12:00:00 PM", "1/18/2024 12:00:00\u{202f}PM"] {
            assert_eq!((iso(text), dotnet(text)), (None, noon), "{text}");
        }
        assert_eq!(dotnet("1/8/2024 9:05:07 AM"), Timestamp::parse("2024-01-08T09:05:07Z"));
        for text in ["", "yesterday", "18/01/2024 12:00:00", "2024-13-01T00:00:00Z", "12:00:00"] {
            assert_eq!(dotnet(text), None, "{text}");
        }
        assert_eq!(noon.map(invariant).as_deref(), Some("01/18/2024 12:00:00"));
    }
}
