//! Reckons over all documents that match: counts by value and by time, sums, means, extremes.
//!
//! We do it ourselves, since answers are to equal Elasticsearch's: exact counts, spans of the calendar, and its rounding.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tantivy::{
    DocId, TantivyError,
    columnar::{Column, StrColumn},
    index::SegmentReader,
};

use super::{
    counted::{Counted, each},
    failed,
    layout::Layout,
};
use crate::{
    fields::{Kind, Searched, find},
    port::Error,
    query::{
        Aggregation, Calculation, Interval, MAX_BUCKETS, Metric, Order, TermsKey, Unit, Wrong,
        dates::{begin, iso_text, later},
    },
};

/// How many buckets are kept while an answer is reckoned, all together; only some of them are shown.
const MAX_KEPT: usize = 250_000;

const MILLIS_OF_A_DAY: i64 = 86_400_000;

/// Aggregations over all parts of an index.
pub(super) struct Reckoning<'a> {
    aggregations: &'a [(String, Aggregation)],
    total: u64,
    sums: Vec<Sum>,
}

/// What is reckoned so far for one aggregation.
enum Sum {
    Buckets(HashMap<Key, Bucket>),
    Counted(Vec<Counted>),
    Numbers(Numbers),
}

#[derive(Default)]
struct Bucket {
    count: u64,
    within: Vec<Sum>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Number(i64),
    Text(String),
}

/// All that a metric can ask for.
#[derive(Clone, Copy, Default)]
struct Numbers {
    count: u64,
    sum: i128,
    min: Option<i64>,
    max: Option<i64>,
}

impl Numbers {
    fn take(&mut self, value: i64) {
        self.count += 1;
        self.sum += i128::from(value);
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.into_iter().chain(other.min).min();
        self.max = self.max.into_iter().chain(other.max).max();
    }
}

impl<'a> Reckoning<'a> {
    pub(super) fn new(aggregations: &'a [(String, Aggregation)]) -> Self {
        Self { aggregations, total: 0, sums: sums_of(aggregations) }
    }

    /// How many documents were taken.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Begins with a part of the index.
    pub(super) fn part(&self, layout: &Layout, reader: &SegmentReader) -> Result<Part, TantivyError> {
        let plans = plans_of(self.aggregations, layout, reader)?;
        let mut states = states_of(&plans);
        for ((plan, state), (_, one)) in plans.iter().zip(&mut states).zip(self.aggregations) {
            // Without others in its buckets there is no need to keep one for each text.
            if let (Values::Texts(column), None, false, true) =
                (&plan.values, plan.interval, plan.is_metric, one.within.is_empty())
            {
                *state = State::Counted(Counted::new(column.clone()));
            }
        }
        Ok(Part { plans, states, total: 0, kept: 0 })
    }

    /// Takes over what a part came to.
    pub(super) fn add(&mut self, part: Part) -> Result<(), Error> {
        if part.kept > MAX_KEPT {
            return Err(too_many("different values").into());
        }
        self.total += part.total;
        let mut kept = 0;
        merge_all(&mut self.sums, &part.plans, part.states, &mut kept).map_err(failed)?;
        if kept > MAX_KEPT {
            return Err(too_many("different values").into());
        }
        Ok(())
    }

    /// The aggregations as Elasticsearch answers them.
    pub(super) fn answer(self) -> Result<Value, Error> {
        let mut left = MAX_BUCKETS;
        answers(self.aggregations, self.sums, &mut left)
    }
}

fn sums_of(aggregations: &[(String, Aggregation)]) -> Vec<Sum> {
    let empty = |(_, one): &(String, Aggregation)| match one.calculation {
        Calculation::Terms { .. } | Calculation::DateHistogram { .. } => Sum::Buckets(HashMap::new()),
        Calculation::Metric { .. } => Sum::Numbers(Numbers::default()),
    };
    aggregations.iter().map(empty).collect()
}

fn too_many(what: &str) -> Wrong {
    Wrong::Malformed {
        kind: "too_many_buckets_exception",
        reason: format!(
            "the aggregations have too many {what}: at most {MAX_BUCKETS} buckets are given and {MAX_KEPT} kept on the \
             way; narrow the query or take longer intervals"
        ),
    }
}

/// Aggregations over one part of an index.
pub(super) struct Part {
    plans: Vec<Plan>,
    states: Vec<State>,
    total: u64,
    kept: usize,
}

impl Part {
    /// A document that matches.
    pub(super) fn take(&mut self, doc: DocId) {
        self.total += 1;
        // More than is kept is refused in the end; what comes until then needs no memory.
        if self.kept <= MAX_KEPT {
            take_all(&mut self.plans, &mut self.states, doc, &mut self.kept);
        }
    }
}

/// How one aggregation is reckoned in a part of the index.
struct Plan {
    values: Values,
    interval: Option<Interval>,
    is_metric: bool,
    within: Vec<Plan>,
    /// Where spans of the calendar begin, by day: there are few days and many documents.
    begins: HashMap<i64, i64>,
}

enum Values {
    Numbers(Column<i64>),
    Texts(StrColumn),
    None,
}

enum State {
    Counted(Counted),
    /// Texts by their place in the part's dictionary.
    Buckets(HashMap<i64, (u64, Vec<State>)>),
    Numbers(Numbers),
}

fn plans_of(
    aggregations: &[(String, Aggregation)],
    layout: &Layout,
    reader: &SegmentReader,
) -> Result<Vec<Plan>, TantivyError> {
    let plan = |(_, one): &(String, Aggregation)| {
        let (field, interval, is_metric) = match &one.calculation {
            Calculation::Terms { field, .. } => (field, None, false),
            Calculation::DateHistogram { field, interval, .. } => (field, Some(*interval), false),
            Calculation::Metric { field, .. } => (field, None, true),
        };
        let values = match layout.place(field) {
            None => Values::None,
            Some(place) if matches!(place.kind, Kind::Keyword | Kind::Text) => {
                reader.fast_fields().str(&place.name)?.map_or(Values::None, Values::Texts)
            }
            Some(place) => {
                reader.fast_fields().column_opt(&place.name)?.map_or(Values::None, Values::Numbers)
            }
        };
        let within = plans_of(&one.within, layout, reader)?;
        Ok(Plan { values, interval, is_metric, within, begins: HashMap::new() })
    };
    aggregations.iter().map(plan).collect()
}

fn states_of(plans: &[Plan]) -> Vec<State> {
    let empty = |plan: &Plan| match plan.is_metric {
        true => State::Numbers(Numbers::default()),
        false => State::Buckets(HashMap::new()),
    };
    plans.iter().map(empty).collect()
}

fn take_all(plans: &mut [Plan], states: &mut [State], doc: DocId, kept: &mut usize) {
    for (plan, state) in plans.iter_mut().zip(states) {
        match state {
            State::Numbers(numbers) => plan.each_measured(doc, |value| numbers.take(value)),
            State::Counted(counted) => counted.take(doc),
            State::Buckets(buckets) => {
                for key in plan.keys(doc) {
                    let bucket = buckets.entry(key).or_insert_with(|| {
                        *kept += 1 + plan.within.len();
                        (0, states_of(&plan.within))
                    });
                    bucket.0 += 1;
                    if !plan.within.is_empty() {
                        take_all(&mut plan.within, &mut bucket.1, doc, kept);
                    }
                }
            }
        }
    }
}

impl Plan {
    fn each_value(&self, doc: DocId, mut take: impl FnMut(i64)) {
        match &self.values {
            Values::Numbers(column) => column.values_for_doc(doc).for_each(take),
            Values::Texts(column) => column.term_ords(doc).for_each(|ordinal| take(ordinal.cast_signed())),
            Values::None => {}
        }
    }

    /// The values that a metric is about: a text that a document holds twice is kept once, a number twice.
    fn each_measured(&self, doc: DocId, take: impl FnMut(i64)) {
        match &self.values {
            Values::Texts(_) => {
                let mut ordinals = Vec::new();
                self.each_value(doc, |ordinal| ordinals.push(ordinal));
                ordinals.sort_unstable();
                ordinals.dedup();
                ordinals.into_iter().for_each(take);
            }
            Values::Numbers(_) | Values::None => self.each_value(doc, take),
        }
    }

    /// The buckets that a document belongs to, each once.
    fn keys(&mut self, doc: DocId) -> Vec<i64> {
        let mut keys = Vec::new();
        self.each_value(doc, |value| keys.push(value));
        if let Some(interval) = self.interval {
            for key in &mut keys {
                *key = self.begin(interval, *key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn begin(&mut self, interval: Interval, millis: i64) -> i64 {
        let every = |span: i64| millis.div_euclid(span).saturating_mul(span);
        match interval {
            Interval::Fixed(span) => every(span),
            Interval::Calendar(Unit::Minute) => every(60_000),
            Interval::Calendar(Unit::Hour) => every(3_600_000),
            Interval::Calendar(Unit::Day) => every(MILLIS_OF_A_DAY),
            Interval::Calendar(unit @ (Unit::Week | Unit::Month | Unit::Quarter | Unit::Year)) => {
                let day = every(MILLIS_OF_A_DAY);
                *self.begins.entry(day).or_insert_with(|| begin(day, unit).unwrap_or(day))
            }
        }
    }

    fn key(&self, key: i64) -> Result<Key, TantivyError> {
        Ok(match &self.values {
            Values::Texts(column) => {
                let mut text = String::new();
                column.ord_to_str(key.cast_unsigned(), &mut text)?;
                Key::Text(text)
            }
            Values::Numbers(_) | Values::None => Key::Number(key),
        })
    }
}

fn merge_all(
    sums: &mut Vec<Sum>,
    plans: &[Plan],
    states: Vec<State>,
    kept: &mut usize,
) -> Result<(), TantivyError> {
    if sums.is_empty() {
        sums.extend(states.iter().map(|state| match state {
            State::Buckets(_) => Sum::Buckets(HashMap::new()),
            State::Counted(_) => Sum::Counted(Vec::new()),
            State::Numbers(_) => Sum::Numbers(Numbers::default()),
        }));
    }
    for ((sum, plan), state) in sums.iter_mut().zip(plans).zip(states) {
        match (sum, state) {
            (Sum::Numbers(sum), State::Numbers(numbers)) => sum.add(numbers),
            (Sum::Buckets(sum), State::Buckets(buckets)) => {
                for (key, (count, within)) in buckets {
                    let bucket = sum.entry(plan.key(key)?).or_default();
                    bucket.count += count;
                    merge_all(&mut bucket.within, &plan.within, within, kept)?;
                }
                *kept += sum.len();
            }
            (sum, State::Counted(counted)) => match sum {
                Sum::Counted(parts) => parts.push(counted),
                // The field had no texts in the parts before.
                Sum::Buckets(_) | Sum::Numbers(_) => *sum = Sum::Counted(vec![counted]),
            },
            (Sum::Counted(_) | Sum::Numbers(_), State::Buckets(_))
            | (Sum::Counted(_) | Sum::Buckets(_), State::Numbers(_)) => {}
        }
    }
    Ok(())
}

fn answers(aggregations: &[(String, Aggregation)], sums: Vec<Sum>, left: &mut usize) -> Result<Value, Error> {
    let mut all = Map::new();
    for ((name, one), sum) in aggregations.iter().zip(sums) {
        all.insert(name.clone(), answer(one, sum, left)?);
    }
    Ok(Value::Object(all))
}

fn answer(one: &Aggregation, sum: Sum, left: &mut usize) -> Result<Value, Error> {
    match (&one.calculation, sum) {
        (Calculation::Metric { metric, field }, Sum::Numbers(numbers)) => Ok(number(*metric, field, numbers)),
        (Calculation::Terms { field, size, order, min_doc_count }, sum) => {
            let mut first =
                First { order, size: *size, min_doc_count: *min_doc_count, buckets: Vec::new(), count: 0 };
            match sum {
                Sum::Buckets(buckets) => {
                    buckets.into_iter().for_each(|(key, bucket)| first.take(key, bucket));
                }
                Sum::Counted(parts) => each(&parts, |text, count| {
                    first.take(Key::Text(text.to_owned()), Bucket { count, within: Vec::new() });
                })
                .map_err(failed)?,
                Sum::Numbers(_) => {}
            }
            let (buckets, others) = first.end();
            let shown = shown(one, buckets, find(field).map(Searched::kind), left)?;
            Ok(json!({"doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": shown}))
        }
        (Calculation::DateHistogram { interval, min_doc_count, order, .. }, Sum::Buckets(buckets)) => {
            let mut buckets: Vec<_> = buckets.into_iter().collect();
            buckets.sort_by(|(one, _), (other, _)| one.cmp(other));
            if *min_doc_count == 0 {
                buckets = without_gaps(*interval, buckets, *left)?;
            }
            buckets.retain(|(_, bucket)| bucket.count >= *min_doc_count);
            if *order == Order::Descending {
                buckets.reverse();
            }
            Ok(json!({"buckets": shown(one, buckets, Some(Kind::Date), left)?}))
        }
        // Each sum was made for its calculation.
        (Calculation::Metric { .. }, Sum::Buckets(_)) | (_, Sum::Counted(_) | Sum::Numbers(_)) => {
            Ok(Value::Null)
        }
    }
}

/// The first buckets of many; the others are only counted.
struct First<'a> {
    order: &'a [(TermsKey, Order)],
    size: usize,
    /// Smaller ones are not given.
    min_doc_count: u64,
    buckets: Vec<(Key, Bucket)>,
    /// How many documents all buckets hold.
    count: u64,
}

impl First<'_> {
    fn take(&mut self, key: Key, bucket: Bucket) {
        self.count += bucket.count;
        if bucket.count < self.min_doc_count {
            return;
        }
        self.buckets.push((key, bucket));
        if self.buckets.len() >= self.size.saturating_mul(2).max(1_024) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.buckets.sort_by(|one, other| by_terms(self.order, one, other));
        self.buckets.truncate(self.size);
    }

    /// They, and how many documents the others hold.
    fn end(mut self) -> (Vec<(Key, Bucket)>, u64) {
        self.cut();
        let given = self.buckets.iter().map(|(_, bucket)| bucket.count).sum::<u64>();
        (self.buckets, self.count - given)
    }
}

fn shown(
    one: &Aggregation,
    buckets: Vec<(Key, Bucket)>,
    kind: Option<Kind>,
    left: &mut usize,
) -> Result<Vec<Value>, Error> {
    *left = left.checked_sub(buckets.len()).ok_or_else(|| too_many("buckets"))?;
    let show = |(key, bucket): (Key, Bucket)| {
        let mut shown = Map::new();
        if let Key::Number(number) = key {
            match kind {
                Some(Kind::Date) => drop(shown.insert("key_as_string".to_owned(), json!(iso_text(number)))),
                Some(Kind::Boolean) => {
                    drop(shown.insert("key_as_string".to_owned(), json!((number != 0).to_string())))
                }
                Some(Kind::Keyword | Kind::Text | Kind::Long) | None => {}
            }
        }
        let key = match key {
            Key::Number(number) => json!(number),
            Key::Text(text) => json!(text),
        };
        shown.insert("key".to_owned(), key);
        shown.insert("doc_count".to_owned(), json!(bucket.count));
        let within = if bucket.within.is_empty() { sums_of(&one.within) } else { bucket.within };
        if let Value::Object(within) = answers(&one.within, within, left)? {
            shown.extend(within);
        }
        Ok(Value::Object(shown))
    };
    buckets.into_iter().map(show).collect()
}

fn by_terms(order: &[(TermsKey, Order)], one: &(Key, Bucket), other: &(Key, Bucket)) -> std::cmp::Ordering {
    for (key, way) in order {
        let ascending = match key {
            TermsKey::Count => one.1.count.cmp(&other.1.count),
            TermsKey::Key => one.0.cmp(&other.0),
        };
        let ordering = match way {
            Order::Ascending => ascending,
            Order::Descending => ascending.reverse(),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    one.0.cmp(&other.0)
}

/// The spans between the first and the last, empty ones too.
fn without_gaps(
    interval: Interval,
    buckets: Vec<(Key, Bucket)>,
    left: usize,
) -> Result<Vec<(Key, Bucket)>, Wrong> {
    let mut filled: Vec<(Key, Bucket)> = Vec::new();
    for (key, bucket) in buckets {
        while let (Some((Key::Number(last), _)), Key::Number(this)) = (filled.last(), &key) {
            let next = match interval {
                Interval::Fixed(span) => last.checked_add(span),
                Interval::Calendar(unit) => later(*last, unit, 1),
            };
            let Some(next) = next.filter(|next| next < this) else { break };
            if filled.len() >= left {
                return Err(too_many("buckets"));
            }
            filled.push((Key::Number(next), Bucket::default()));
        }
        filled.push((key, bucket));
    }
    Ok(filled)
}

#[expect(clippy::cast_precision_loss, reason = "answers are floating, as Elasticsearch's are")]
fn number(metric: Metric, field: &str, numbers: Numbers) -> Value {
    let some = numbers.count > 0;
    let value = match metric {
        Metric::ValueCount => return json!({"value": numbers.count}),
        Metric::Sum => Some(numbers.sum as f64),
        Metric::Avg => some.then(|| numbers.sum as f64 / numbers.count as f64),
        Metric::Min => numbers.min.map(|min| min as f64),
        Metric::Max => numbers.max.map(|max| max as f64),
    };
    let mut shown = Map::from_iter([("value".to_owned(), json!(value))]);
    let text = match (find(field).map(Searched::kind), value) {
        (Some(Kind::Date), Some(value)) if some => Some(iso_text(value as i64)),
        (Some(Kind::Boolean), Some(value)) => Some((value != 0.0).to_string()),
        (Some(_), _) | (None, _) => None,
    };
    if let Some(text) = text {
        shown.insert("value_as_string".to_owned(), json!(text));
    }
    Value::Object(shown)
}
