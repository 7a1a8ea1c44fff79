//! Finds the first hits by the values of fields.
//!
//! Within a part of the index everything is compared as numbers, texts by their place in the part's dictionary. Ties that
//! are left are broken by the document's id, ascending, so that pages never overlap.

use std::{cmp::Ordering, collections::BinaryHeap, ops::Bound};

use serde_json::{Value, json};
use tantivy::{
    DocAddress, DocId, SegmentOrdinal, TantivyError,
    columnar::{Column, StrColumn},
    index::SegmentReader,
};

use super::{
    layout::{ID, Layout},
    search::Place,
};
use crate::{
    fields::{Kind, Searched, find},
    query::{Missing, Order, Sort, SortBy, values},
};

/// The first hits of all parts.
pub(super) struct Sorting<'a> {
    sorts: &'a [Sort],
    after: Option<&'a [Value]>,
    wanted: usize,
    hits: Vec<Sorted>,
}

/// A hit with what it is sorted by.
struct Sorted {
    keys: Vec<Shown>,
    id: String,
    address: DocAddress,
    score: f32,
}

/// A value as parts can be compared by it.
#[derive(Clone, PartialEq)]
enum Shown {
    Missing,
    Number(i64),
    Text(String),
    Score(f32),
}

impl<'a> Sorting<'a> {
    pub(super) fn new(sorts: &'a [Sort], after: Option<&'a [Value]>, wanted: usize) -> Self {
        Self { sorts, after, wanted, hits: Vec::new() }
    }

    /// Begins with a part of the index.
    pub(super) fn part(&self, layout: &Layout, reader: &SegmentReader) -> Result<Part<'a>, TantivyError> {
        let columns =
            self.sorts.iter().map(|sort| Values::of(sort, layout, reader)).collect::<Result<Vec<_>, _>>()?;
        let after = match self.after {
            None => None,
            Some(after) => {
                let keys = self.sorts.iter().zip(&columns).zip(after);
                Some(
                    keys.map(|((sort, column), value)| column.after(sort, value))
                        .collect::<Result<_, _>>()?,
                )
            }
        };
        let ids = reader.fast_fields().str(ID)?;
        let (sorts, wanted) = (self.sorts, self.wanted);
        Ok(Part { sorts, columns, ids, after, wanted, best: BinaryHeap::new(), keys: Vec::new() })
    }

    /// Takes over what a part has found.
    pub(super) fn add(&mut self, ordinal: SegmentOrdinal, part: Part<'a>) -> Result<(), TantivyError> {
        for candidate in &part.best {
            let address = DocAddress::new(ordinal, candidate.doc);
            let keys = part.shown(candidate)?;
            let mut id = String::new();
            if let (Some(ids), Some((_, ordinal))) = (&part.ids, candidate.keys.last()) {
                ids.ord_to_str(u64::try_from(*ordinal).unwrap_or_default(), &mut id)?;
            }
            self.hits.push(Sorted { keys, id, address, score: score_of(candidate.score_bits) });
        }
        let sorts = self.sorts;
        self.hits.sort_by(|one, other| compare(sorts, one, other));
        self.hits.truncate(self.wanted);
        Ok(())
    }

    /// The page that begins behind so many.
    pub(super) fn page(self, from: usize) -> Vec<Place> {
        let sorts = self.sorts;
        let scored = sorts.iter().any(|sort| sort.by == SortBy::Score);
        let shown = |hit: Sorted| Place {
            address: hit.address,
            score: scored.then_some(hit.score),
            sort: sorts.iter().zip(&hit.keys).map(|(sort, key)| key.to_json(sort)).collect(),
        };
        self.hits.into_iter().skip(from).map(shown).collect()
    }
}

fn compare(sorts: &[Sort], one: &Sorted, other: &Sorted) -> Ordering {
    for ((sort, one), other) in sorts.iter().zip(&one.keys).zip(&other.keys) {
        let missing_is = match sort.missing {
            Missing::Last => Ordering::Greater,
            Missing::First => Ordering::Less,
        };
        let ascending = match (one, other) {
            (Shown::Missing, Shown::Missing) => continue,
            (Shown::Missing, _) => return missing_is,
            (_, Shown::Missing) => return missing_is.reverse(),
            (Shown::Number(one), Shown::Number(other)) => one.cmp(other),
            (Shown::Text(one), Shown::Text(other)) => one.cmp(other),
            (Shown::Score(one), Shown::Score(other)) => one.total_cmp(other),
            // One sort gives one kind of value.
            (Shown::Number(_) | Shown::Text(_) | Shown::Score(_), _) => Ordering::Equal,
        };
        let ordering = match sort.order {
            Order::Ascending => ascending,
            Order::Descending => ascending.reverse(),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    one.id.cmp(&other.id)
}

impl Shown {
    fn to_json(&self, sort: &Sort) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Score(score) => json!(score),
            Self::Missing => stand_in(sort).map_or(Value::Null, Value::from),
        }
    }
}

/// The number that answers show for a missing one, as Elasticsearch does; texts have none.
fn stand_in(sort: &Sort) -> Option<i64> {
    let SortBy::Field(field) = &sort.by else { return None };
    let is_text = match find(field).map(Searched::kind) {
        Some(kind) => matches!(kind, Kind::Keyword | Kind::Text),
        None => sort.unmapped_type.as_deref() == Some("keyword"),
    };
    let highest = (sort.order == Order::Ascending) == (sort.missing == Missing::Last);
    (!is_text).then_some(if highest { i64::MAX } else { i64::MIN })
}

/// Where a document stands: whether it has a value (0: it stands before those that have, 2: after them), and the value,
/// turned around where the highest is first.
type Key = (u8, i64);

/// The values that a part of the index is sorted by.
enum Values {
    Score,
    Numbers(Column<i64>),
    Texts(StrColumn),
    None,
}

impl Values {
    fn of(sort: &Sort, layout: &Layout, reader: &SegmentReader) -> Result<Self, TantivyError> {
        let SortBy::Field(field) = &sort.by else { return Ok(Self::Score) };
        let Some(place) = layout.place(field) else { return Ok(Self::None) };
        Ok(match place.kind {
            Kind::Keyword => reader.fast_fields().str(&place.name)?.map_or(Self::None, Self::Texts),
            Kind::Long | Kind::Date | Kind::Boolean => {
                reader.fast_fields().column_opt(&place.name)?.map_or(Self::None, Self::Numbers)
            }
            Kind::Text => Self::None,
        })
    }

    fn key(&self, sort: &Sort, doc: DocId, score: f32) -> Key {
        let value = match self {
            Self::Score => Some(ordered(score)),
            Self::Numbers(column) => one_of(sort, column.values_for_doc(doc)),
            // Even numbers, so that a value that is not there stands between them.
            Self::Texts(column) => one_of(sort, column.ords().values_for_doc(doc).map(doubled)),
            Self::None => None,
        };
        key(sort, value)
    }

    /// The key of the last hit of the page before.
    fn after(&self, sort: &Sort, value: &Value) -> Result<Key, TantivyError> {
        let value = match self {
            _ if value.is_null() => None,
            Self::Score => value.as_f64().map(|score| ordered(score as f32)),
            Self::Texts(column) => {
                let text = values::text(value).unwrap_or_default();
                Some(match column.dictionary().term_ord(&text)? {
                    Some(ordinal) => doubled(ordinal),
                    None => doubled(next(column, &text)?).saturating_sub(1),
                })
            }
            Self::Numbers(_) | Self::None => number(sort, value),
        };
        Ok(key(sort, value))
    }
}

fn number(sort: &Sort, value: &Value) -> Option<i64> {
    let SortBy::Field(field) = &sort.by else { return None };
    let kind = find(field).map_or(Kind::Long, Searched::kind);
    let exact = value.as_i64().or_else(|| value.as_bool().map(i64::from));
    // A time as text is its first millisecond.
    let number = exact.or_else(|| values::exactly(kind, value, 0).ok().flatten().map(|(first, _)| first));
    number.filter(|number| Some(*number) != stand_in(sort))
}

/// The place of the first text of the dictionary that comes after this one.
fn next(column: &StrColumn, text: &str) -> Result<u64, TantivyError> {
    let (from, _) = column.dictionary().term_bounds_to_ord(Bound::Included(text), Bound::Unbounded)?;
    Ok(match from {
        Bound::Included(ordinal) | Bound::Excluded(ordinal) => ordinal,
        Bound::Unbounded => u64::MAX,
    })
}

fn key(sort: &Sort, value: Option<i64>) -> Key {
    match (value, sort.missing, sort.order) {
        (Some(value), _, Order::Ascending) => (1, value),
        // Turned around without overflowing.
        (Some(value), _, Order::Descending) => (1, !value),
        (None, Missing::Last, _) => (2, 0),
        (None, Missing::First, _) => (0, 0),
    }
}

fn one_of(sort: &Sort, values: impl Iterator<Item = i64>) -> Option<i64> {
    match sort.order {
        Order::Ascending => values.min(),
        Order::Descending => values.max(),
    }
}

fn doubled(ordinal: u64) -> i64 {
    i64::try_from(ordinal).unwrap_or(i64::MAX).saturating_mul(2)
}

/// A number that is ordered as the score is.
fn ordered(score: f32) -> i64 {
    let bits = score.to_bits().cast_signed();
    i64::from(bits ^ (((bits >> 31).cast_unsigned()) >> 1).cast_signed())
}

fn score_of(ordered: i64) -> f32 {
    let bits = i32::try_from(ordered).unwrap_or_default();
    f32::from_bits((bits ^ (((bits >> 31).cast_unsigned()) >> 1).cast_signed()).cast_unsigned())
}

/// A document that may be among the first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Its keys, and last the place of its id.
    keys: Vec<Key>,
    doc: DocId,
    score_bits: i64,
}

/// The first hits of one part.
pub(super) struct Part<'a> {
    sorts: &'a [Sort],
    columns: Vec<Values>,
    ids: Option<StrColumn>,
    after: Option<Vec<Key>>,
    wanted: usize,
    /// The last of them is on top.
    best: BinaryHeap<Candidate>,
    /// Kept, since there is one for each document.
    keys: Vec<Key>,
}

impl Part<'_> {
    /// A document that matches.
    pub(super) fn offer(&mut self, doc: DocId, score: f32) {
        let worst = if self.best.len() < self.wanted { None } else { self.best.peek() };
        self.keys.clear();
        for (sort, column) in self.sorts.iter().zip(&self.columns) {
            let key = column.key(sort, doc, score);
            // Most documents go here: they are further back than all that are kept.
            if let (true, Some(worst)) = (self.keys.is_empty(), worst)
                && worst.keys.first().is_some_and(|first| key > *first)
            {
                return;
            }
            self.keys.push(key);
        }
        if self.after.as_ref().is_some_and(|after| self.keys <= *after) {
            return;
        }
        let id = self.ids.as_ref().and_then(|ids| ids.ords().first(doc));
        self.keys.push((1, id.and_then(|id| i64::try_from(id).ok()).unwrap_or_default()));
        let score_bits = ordered(score);
        if self.best.len() < self.wanted {
            self.best.push(Candidate { keys: self.keys.clone(), doc, score_bits });
        } else if let Some(mut worst) = self.best.peek_mut()
            && self.keys < worst.keys
        {
            worst.keys.clone_from(&self.keys);
            worst.doc = doc;
            worst.score_bits = score_bits;
        }
    }

    /// What a document is sorted by, as other parts can compare it.
    fn shown(&self, candidate: &Candidate) -> Result<Vec<Shown>, TantivyError> {
        let keys = self.sorts.iter().zip(&self.columns).zip(&candidate.keys);
        keys.map(|((sort, column), (class, value))| {
            if *class != 1 {
                return Ok(Shown::Missing);
            }
            let value = match sort.order {
                Order::Ascending => *value,
                Order::Descending => !*value,
            };
            Ok(match column {
                Values::Score => Shown::Score(score_of(value)),
                Values::Numbers(_) => Shown::Number(value),
                Values::Texts(column) => {
                    let mut text = String::new();
                    column.ord_to_str(u64::try_from(value / 2).unwrap_or_default(), &mut text)?;
                    Shown::Text(text)
                }
                Values::None => Shown::Missing,
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_ordered_as_numbers() {
        let scores = [-2.5, -0.5, 0.0, 0.25, 1.0, 7.75];
        assert!(scores.is_sorted_by_key(|score| ordered(*score)));
        for score in scores {
            assert!((score_of(ordered(score)) - score).abs() < f32::EPSILON);
        }
    }

    #[test]
    fn what_is_missing_stands_where_it_should() {
        let ascending = Sort::by("total", Order::Ascending);
        let descending = Sort { missing: Missing::First, ..Sort::by("total", Order::Descending) };
        assert!(key(&ascending, Some(i64::MAX)) < key(&ascending, None));
        assert!(key(&descending, None) < key(&descending, Some(i64::MAX)));
        assert!(key(&descending, Some(2)) < key(&descending, Some(1)));
        assert_eq!((stand_in(&ascending), stand_in(&descending)), (Some(i64::MAX), Some(i64::MAX)));
        assert_eq!(stand_in(&Sort::by("id", Order::Ascending)), None);
    }
}
