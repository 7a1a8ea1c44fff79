//! Time as the records keep it: whole microseconds since 1970, UTC.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in microseconds since 1970-01-01T00:00:00Z. JSON shows it as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last moment that can be written and read back: 9999-12-30T00:00:00Z.
    pub const LAST: Self = Self(253_402_128_000_000_000);

    /// A moment from its microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This moment and then some, but no later than [`Timestamp::LAST`].
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        let later = i64::try_from(later.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(later)).min(Self::LAST)
    }

    /// So long before this moment.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        let earlier = i64::try_from(earlier.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(earlier))
    }

    /// The first moment at or after this one that is a whole number of `grain`s since 1970.
    #[must_use]
    pub fn round_up(self, grain: Duration) -> Self {
        let grain = i64::try_from(grain.as_micros()).unwrap_or(i64::MAX).max(1);
        let over = self.0.rem_euclid(grain);
        if over == 0 { self } else { Self(self.0.saturating_add(grain - over)).min(Self::LAST) }
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339, with any offset. `None` when it is not a moment.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_up_never_goes_back() {
        let up =
            |micros, grain| Timestamp::from_micros(micros).round_up(Duration::from_micros(grain)).as_micros();
        assert_eq!((up(0, 10), up(1, 10), up(10, 10), up(-1, 10), up(7, 0)), (0, 10, 10, 0, 7));
        assert_eq!(Timestamp::LAST.round_up(Duration::from_secs(7)), Timestamp::LAST);
    }

    #[test]
    fn times_are_written_in_utc_with_microseconds_and_read_with_any_offset() {
        let t = Timestamp::from_micros(1_700_000_000_123_456);
        assert_eq!(t.to_string(), "2023-11-14T22:13:20.123456Z");
        assert_eq!(Timestamp::parse("2023-11-14T23:13:20.123456+01:00"), Some(t));
        assert_eq!(Timestamp::parse("yesterday"), None);
        let last = t.plus(Duration::MAX);
        assert_eq!((Timestamp::parse(&last.to_string()), last), (Some(last), Timestamp::LAST));
    }
}
