//! Turns a query into one of the index.

use std::{cell::Cell, ops::Bound};

use serde_json::Value;
use tantivy::{
    Term,
    query::{
        AllQuery, BooleanQuery, ConstScoreQuery, EmptyQuery, ExistsQuery, InvertedIndexRangeQuery, Occur,
        PhraseQuery, Query as Compiled, RangeQuery, TermQuery, TermSetQuery,
    },
    schema::IndexRecordOption,
};

use super::{
    layout::{Layout, Place},
    steady::steady,
};
use crate::{
    analyzer::words,
    fields::Kind,
    query::{Edge, MAX_CLAUSES, Minimum, Operator, Query, Together, Wrong, values},
};

type Boxed = Box<dyn Compiled>;

/// What a query is in the index. `now` is in milliseconds.
pub(super) fn compile(layout: &Layout, query: &Query, now: i64) -> Result<Boxed, Wrong> {
    Compiler { layout, now, words: Cell::new(0) }.query(query)
}

/// Whether all that match get the same score, so that the first of them are as good as any.
pub(super) fn is_flat(layout: &Layout, query: &Query) -> bool {
    match query {
        Query::MatchAll
        | Query::MatchNone
        | Query::Terms { .. }
        | Query::Range { .. }
        | Query::Exists { .. }
        | Query::Prefix { .. }
        | Query::Ids(_) => true,
        Query::Match { field, .. } | Query::MatchPhrase { field, .. } | Query::Term { field, .. } => {
            layout.place(field).is_none_or(|place| !matches!(place.kind, Kind::Text | Kind::Keyword))
        }
        Query::Bool(together) => {
            together.should.is_empty() && together.must.iter().all(|query| is_flat(layout, query))
        }
    }
}

struct Compiler<'a> {
    layout: &'a Layout,
    now: i64,
    /// How many words are looked for so far.
    words: Cell<usize>,
}

impl Compiler<'_> {
    fn query(&self, query: &Query) -> Result<Boxed, Wrong> {
        match query {
            Query::MatchAll => Ok(Box::new(AllQuery)),
            Query::MatchNone => Ok(nothing()),
            Query::Match { field, text, operator, minimum } => {
                self.match_words(field, text, *operator, *minimum)
            }
            Query::MatchPhrase { field, text } => self.match_phrase(field, text),
            Query::Term { field, value } => self.term(field, value),
            Query::Terms { field, values } => self.terms(field, values),
            Query::Range { field, from, to } => self.range(field, from, to),
            Query::Exists { field } => Ok(self.exists(field)),
            Query::Prefix { field, value } => Ok(self.prefix(field, value)),
            Query::Ids(ids) => {
                Ok(any_of(ids.iter().map(|id| Term::from_field_text(self.layout.id, id)).collect()))
            }
            Query::Bool(together) => self.together(together),
        }
    }

    fn match_words(
        &self,
        field: &str,
        text: &Value,
        operator: Operator,
        minimum: Option<Minimum>,
    ) -> Result<Boxed, Wrong> {
        let Some(place) = self.layout.place(field) else { return Ok(nothing()) };
        if place.kind != Kind::Text {
            return self.term(field, text);
        }
        let words = self.words_of(text)?;
        let count = words.len();
        let mut queries: Vec<_> = words.iter().map(|word| scored(place, word)).collect();
        match operator {
            _ if count < 2 => Ok(queries.pop().unwrap_or_else(nothing)),
            Operator::And => Ok(Box::new(BooleanQuery::intersection(queries))),
            Operator::Or => {
                let needed = minimum.map_or(1, |minimum| minimum.of(count)).max(1);
                if needed > count {
                    return Ok(nothing());
                }
                Ok(Box::new(BooleanQuery::union_with_minimum_required_clauses(queries, needed)))
            }
        }
    }

    fn match_phrase(&self, field: &str, text: &Value) -> Result<Boxed, Wrong> {
        let Some(place) = self.layout.place(field) else { return Ok(nothing()) };
        if place.kind != Kind::Text {
            return self.term(field, text);
        }
        let words = self.words_of(text)?;
        Ok(match words.as_slice() {
            [] => nothing(),
            [word] => scored(place, word),
            words => {
                let terms = words.iter().map(|word| Term::from_field_text(place.field, word));
                steady(PhraseQuery::new(terms.collect()))
            }
        })
    }

    /// The words of a text: each is a walk of its own through the index.
    fn words_of(&self, text: &Value) -> Result<Vec<String>, Wrong> {
        let words = words(&values::text(text).unwrap_or_default());
        let all = self.words.get() + words.len();
        self.words.set(all);
        if all > MAX_CLAUSES {
            let reason =
                format!("the texts to match have at most {MAX_CLAUSES} words together, but there are {all}");
            return Err(Wrong::argument(reason));
        }
        Ok(words)
    }

    fn term(&self, field: &str, value: &Value) -> Result<Boxed, Wrong> {
        let Some(place) = self.layout.place(field) else { return Ok(nothing()) };
        match place.kind {
            Kind::Keyword | Kind::Text => Ok(scored(place, &values::text(value).unwrap_or_default())),
            Kind::Long | Kind::Date | Kind::Boolean => {
                let span = values::exactly(place.kind, value, self.now)?;
                Ok(span.map_or_else(nothing, |(first, last)| numbers(place, first, last)))
            }
        }
    }

    fn terms(&self, field: &str, list: &[Value]) -> Result<Boxed, Wrong> {
        let Some(place) = self.layout.place(field) else { return Ok(nothing()) };
        match place.kind {
            Kind::Keyword | Kind::Text => {
                let texts = list.iter().filter_map(values::text);
                Ok(any_of(texts.map(|text| Term::from_field_text(place.field, &text)).collect()))
            }
            Kind::Long | Kind::Date | Kind::Boolean => {
                let mut queries = Vec::new();
                for value in list {
                    if let Some((first, last)) = values::exactly(place.kind, value, self.now)? {
                        queries.push(numbers(place, first, last));
                    }
                }
                Ok(flat(Box::new(BooleanQuery::union(queries)), 1.0))
            }
        }
    }

    fn range(&self, field: &str, from: &Edge, to: &Edge) -> Result<Boxed, Wrong> {
        let Some(place) = self.layout.place(field) else { return Ok(nothing()) };
        if let (Edge::Open, Edge::Open) = (from, to) {
            return Ok(self.exists(field));
        }
        match place.kind {
            Kind::Keyword | Kind::Text => Ok(texts(place, bound(place, from), bound(place, to))),
            Kind::Long | Kind::Date | Kind::Boolean => {
                let span = values::between(place.kind, from, to, self.now)?;
                Ok(span.map_or_else(nothing, |(first, last)| numbers(place, first, last)))
            }
        }
    }

    fn prefix(&self, field: &str, value: &str) -> Boxed {
        let Some(place) = self.layout.place(field) else { return nothing() };
        if value.is_empty() {
            return self.exists(field);
        }
        let end = after_all_that_begin_with(value)
            .map_or(Bound::Unbounded, |end| Bound::Excluded(Term::from_field_text(place.field, &end)));
        texts(place, Bound::Included(Term::from_field_text(place.field, value)), end)
    }

    fn exists(&self, field: &str) -> Boxed {
        match self.layout.place(field) {
            Some(place) => self.is_there(field, place),
            None => {
                let inside = self.layout.within(field).map(|place| self.is_there(&place.name, place));
                flat(Box::new(BooleanQuery::union(inside.collect())), 1.0)
            }
        }
    }

    fn is_there(&self, path: &str, place: &Place) -> Boxed {
        match place.kind {
            // Words have no column, so that a text is there is noted with the document.
            Kind::Text => {
                let term = Term::from_field_text(self.layout.present, path);
                flat(Box::new(TermQuery::new(term, IndexRecordOption::Basic)), 1.0)
            }
            Kind::Keyword | Kind::Long | Kind::Date | Kind::Boolean => {
                Box::new(ExistsQuery::new(place.name.clone(), false))
            }
        }
    }

    fn together(&self, together: &Together) -> Result<Boxed, Wrong> {
        let mut clauses: Vec<(Occur, Boxed)> = Vec::new();
        for query in &together.must {
            clauses.push((Occur::Must, self.query(query)?));
        }
        for query in &together.filter {
            clauses.push((Occur::Must, flat(self.query(query)?, 0.0)));
        }
        for query in &together.should {
            clauses.push((Occur::Should, self.query(query)?));
        }
        let needed_anyway = usize::from(clauses.first().is_some_and(|(occur, _)| *occur == Occur::Should));
        let needed =
            together.minimum.map_or(0, |minimum| minimum.of(together.should.len())).max(needed_anyway);
        // Where nothing is asked for, a minimum of it isn't, either.
        if needed > together.should.len() && !clauses.is_empty() {
            return Ok(nothing());
        }
        let needed = needed.min(together.should.len());
        if clauses.is_empty() {
            // What only excludes does not score; what says nothing is as good as everything.
            let score = if together.must_not.is_empty() { 1.0 } else { 0.0 };
            clauses.push((Occur::Must, flat(Box::new(AllQuery), score)));
        }
        for query in &together.must_not {
            clauses.push((Occur::MustNot, self.query(query)?));
        }
        Ok(Box::new(BooleanQuery::with_minimum_required_clauses(clauses, needed)))
    }
}

fn nothing() -> Boxed {
    Box::new(EmptyQuery)
}

fn flat(query: Boxed, score: f32) -> Boxed {
    Box::new(ConstScoreQuery::new(query, score))
}

fn scored(place: &Place, text: &str) -> Boxed {
    let option = match place.kind {
        Kind::Text => IndexRecordOption::WithFreqs,
        Kind::Keyword | Kind::Long | Kind::Date | Kind::Boolean => IndexRecordOption::Basic,
    };
    Box::new(TermQuery::new(Term::from_field_text(place.field, text), option))
}

/// One of these, found one by one; many are found in one walk through the dictionary.
fn any_of(terms: Vec<Term>) -> Boxed {
    if terms.len() > MAX_CLAUSES {
        return Box::new(TermSetQuery::new(terms));
    }
    let query = |term| -> Boxed { Box::new(TermQuery::new(term, IndexRecordOption::Basic)) };
    flat(Box::new(BooleanQuery::union(terms.into_iter().map(query).collect())), 1.0)
}

fn numbers(place: &Place, first: i64, last: i64) -> Boxed {
    let term = |number| Term::from_field_i64(place.field, number);
    steady(RangeQuery::new(Bound::Included(term(first)), Bound::Included(term(last))))
}

/// Exact values have a column to look through; words only their dictionary.
fn texts(place: &Place, from: Bound<Term>, to: Bound<Term>) -> Boxed {
    match place.kind {
        Kind::Text => Box::new(InvertedIndexRangeQuery::new(from, to)),
        Kind::Keyword | Kind::Long | Kind::Date | Kind::Boolean => steady(RangeQuery::new(from, to)),
    }
}

fn bound(place: &Place, edge: &Edge) -> Bound<Term> {
    let term = |value: &Value| Term::from_field_text(place.field, &values::text(value).unwrap_or_default());
    match edge {
        Edge::Open => Bound::Unbounded,
        Edge::Including(value) => Bound::Included(term(value)),
        Edge::Excluding(value) => Bound::Excluded(term(value)),
    }
}

/// The first text, in the order of bytes, after all that begin so; `None`: there is none.
fn after_all_that_begin_with(text: &str) -> Option<String> {
    let mut letters: Vec<char> = text.chars().collect();
    while let Some(last) = letters.pop() {
        let next = match last {
            // No letters lie between these two.
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_comes_after_all_that_begin_so() {
        assert_eq!(after_all_that_begin_with("ab").as_deref(), Some("ac"));
        assert_eq!(after_all_that_begin_with("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_all_that_begin_with("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_all_that_begin_with("\u{10ffff}"), None);
    }
}
