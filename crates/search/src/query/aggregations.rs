//! What can be reckoned over the documents that match.

use super::Order;

/// One aggregation, with others for each of its buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// What is reckoned.
    pub calculation: Calculation,
    /// What is reckoned in each bucket, by the names of the answers.
    pub within: Vec<(String, Aggregation)>,
}

/// What is reckoned.
#[derive(Clone, Debug, PartialEq)]
pub enum Calculation {
    /// A bucket for each value.
    Terms {
        /// The field.
        field: String,
        /// How many buckets are given.
        size: usize,
        /// What sorts them, in turn; ties are broken by the key.
        order: Vec<(TermsKey, Order)>,
        /// Smaller buckets are left out; at least one.
        min_doc_count: u64,
    },
    /// A bucket for each span of time.
    DateHistogram {
        /// The field.
        field: String,
        /// How long the spans are.
        interval: Interval,
        /// Smaller buckets are left out; zero shows empty ones between others, too.
        min_doc_count: u64,
        /// Whether the latest is first.
        order: Order,
    },
    /// One number over the values of a field.
    Metric {
        /// Which one.
        metric: Metric,
        /// The field.
        field: String,
    },
}

/// What sorts the buckets of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsKey {
    /// How many documents they hold.
    Count,
    /// Their value.
    Key,
}

/// One number over many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// All together.
    Sum,
    /// Their mean.
    Avg,
    /// The lowest.
    Min,
    /// The highest.
    Max,
    /// How many there are.
    ValueCount,
}

impl Metric {
    /// Its name in a request.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::ValueCount => "value_count",
        }
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// As the calendar has it, in UTC.
    Calendar(Unit),
    /// So many milliseconds, counted from 1970.
    Fixed(i64),
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, which begins on Monday.
    Week,
    /// A month.
    Month,
    /// A quarter of a year.
    Quarter,
    /// A year.
    Year,
}

impl Unit {
    /// Its name in a request.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}
