//! Answers a request from one index.

use serde_json::Value;
use tantivy::{
    DocAddress, DocSet, Searcher, TERMINATED, TantivyDocument, TantivyError, Term,
    collector::TopDocs,
    query::{EnableScoring, Query as Compiled, Weight},
    schema::Value as _,
};

use super::{
    compile::{compile, is_flat},
    failed,
    layout::{ID, Layout, VERSION},
    reckon::Reckoning,
    sorted::Sorting,
    writer::find,
};
use crate::{
    port::{Document, Error, Found, Hit},
    query::{Request, SortBy, SourceFilter, Wrong},
};

/// How many bytes the documents of one answer may come to, as they lie in the index.
const MAX_PAGE: usize = 32 << 20;

/// A hit before its document is read.
pub(super) struct Place {
    pub(super) address: DocAddress,
    pub(super) score: Option<f32>,
    pub(super) sort: Vec<Value>,
}

/// Searches. `now` is in milliseconds.
pub(super) fn search(
    layout: &Layout,
    searcher: &Searcher,
    request: &Request,
    now: i64,
) -> Result<Found, Error> {
    let query = compile(layout, &request.query, now)?;
    let mut found = Found::default();
    let reckoning = if request.aggregations.is_empty() {
        let weight = query.weight(EnableScoring::disabled_from_searcher(searcher)).map_err(failed)?;
        found.total = count(searcher, weight.as_ref()).map_err(failed)?;
        None
    } else {
        Some(reckon(layout, searcher, request, query.as_ref())?)
    };
    if let Some(reckoning) = reckoning {
        found.total = reckoning.total();
        found.aggregations = Some(reckoning.answer()?);
    }
    let places = if request.size == 0 {
        Vec::new()
    } else if request.sort.is_empty() {
        let (places, max_score) = by_score(layout, searcher, request, query.as_ref()).map_err(failed)?;
        found.max_score = max_score;
        places
    } else {
        by_sort(layout, searcher, request, query.as_ref()).map_err(failed)?
    };
    let mut page = Page { layout, searcher, filter: &request.source, bytes: 0 };
    found.hits = places.into_iter().map(|place| page.hit(place)).collect::<Result<_, _>>()?;
    Ok(found)
}

/// One document as it stands.
pub(super) fn get(layout: &Layout, searcher: &Searcher, id: &str) -> Result<Option<Document>, TantivyError> {
    let term = Term::from_field_text(layout.id, id);
    for (ordinal, reader) in (0..).zip(searcher.segment_readers()) {
        let Some(doc) = find(reader, layout, &term)? else { continue };
        let version = reader.fast_fields().u64(VERSION)?.first(doc).unwrap_or_default();
        let source = source(layout, searcher, DocAddress::new(ordinal, doc))?;
        return Ok(Some(Document { id: id.to_owned(), version, source }));
    }
    Ok(None)
}

fn count(searcher: &Searcher, weight: &dyn Weight) -> Result<u64, TantivyError> {
    let mut total = 0;
    for reader in searcher.segment_readers() {
        total += u64::from(weight.count(reader)?);
    }
    Ok(total)
}

fn reckon<'a>(
    layout: &Layout,
    searcher: &Searcher,
    request: &'a Request,
    query: &dyn Compiled,
) -> Result<Reckoning<'a>, Error> {
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher)).map_err(failed)?;
    let mut reckoning = Reckoning::new(&request.aggregations);
    for reader in searcher.segment_readers() {
        let mut part = reckoning.part(layout, reader).map_err(failed)?;
        let alive = reader.alive_bitset();
        weight
            .for_each_no_score(reader, &mut |docs| {
                for doc in docs.iter().filter(|doc| alive.is_none_or(|alive| alive.is_alive(**doc))) {
                    part.take(*doc);
                }
            })
            .map_err(failed)?;
        reckoning.add(part)?;
    }
    Ok(reckoning)
}

/// The hits that match best, and how well the best one does.
fn by_score(
    layout: &Layout,
    searcher: &Searcher,
    request: &Request,
    query: &dyn Compiled,
) -> Result<(Vec<Place>, Option<f32>), TantivyError> {
    let wanted = request.from + request.size;
    let best = if is_flat(layout, &request.query) {
        first(searcher, query, wanted)?
    } else {
        searcher.search(query, &TopDocs::with_limit(wanted).order_by_score())?
    };
    let max_score = best.first().map(|(score, _)| *score);
    let page = best.into_iter().skip(request.from);
    let places = page.map(|(score, address)| Place { address, score: Some(score), sort: Vec::new() });
    Ok((places.collect(), max_score))
}

/// The first that match, where none matches better than another: there is no need to look at the others.
fn first(
    searcher: &Searcher,
    query: &dyn Compiled,
    wanted: usize,
) -> Result<Vec<(f32, DocAddress)>, TantivyError> {
    let weight = query.weight(EnableScoring::enabled_from_searcher(searcher))?;
    let mut places = Vec::new();
    for (ordinal, reader) in (0..).zip(searcher.segment_readers()) {
        let mut scorer = weight.scorer(reader, 1.0)?;
        let mut doc = scorer.doc();
        while doc != TERMINATED && places.len() < wanted {
            if !reader.is_deleted(doc) {
                places.push((scorer.score(), DocAddress::new(ordinal, doc)));
            }
            doc = scorer.advance();
        }
    }
    Ok(places)
}

fn by_sort(
    layout: &Layout,
    searcher: &Searcher,
    request: &Request,
    query: &dyn Compiled,
) -> Result<Vec<Place>, TantivyError> {
    let scoring = request.sort.iter().any(|sort| sort.by == SortBy::Score);
    let enabled = if scoring {
        EnableScoring::enabled_from_searcher(searcher)
    } else {
        EnableScoring::disabled_from_searcher(searcher)
    };
    let weight = query.weight(enabled)?;
    let wanted = request.from + request.size;
    let mut sorting = Sorting::new(&request.sort, request.search_after.as_deref(), wanted);
    for (ordinal, reader) in (0..).zip(searcher.segment_readers()) {
        let mut part = sorting.part(layout, reader)?;
        let alive = reader.alive_bitset();
        if scoring {
            weight.for_each(reader, &mut |doc, score| {
                if alive.is_none_or(|alive| alive.is_alive(doc)) {
                    part.offer(doc, score);
                }
            })?;
        } else {
            weight.for_each_no_score(reader, &mut |docs| {
                for doc in docs.iter().filter(|doc| alive.is_none_or(|alive| alive.is_alive(**doc))) {
                    part.offer(*doc, 0.0);
                }
            })?;
        }
        sorting.add(ordinal, part)?;
    }
    Ok(sorting.page(request.from))
}

/// The hits that are given, document by document.
struct Page<'a> {
    layout: &'a Layout,
    searcher: &'a Searcher,
    filter: &'a SourceFilter,
    /// What the documents so far came to.
    bytes: usize,
}

impl Page<'_> {
    fn hit(&mut self, place: Place) -> Result<Hit, Error> {
        let shown = match self.filter {
            SourceFilter::Nothing => None,
            SourceFilter::All | SourceFilter::Paths { .. } => {
                let source = source(self.layout, self.searcher, place.address).map_err(failed)?;
                self.bytes += source.len();
                if self.bytes > MAX_PAGE {
                    let reason =
                        format!("the hits come to more than {MAX_PAGE} bytes: ask for a smaller [size]");
                    return Err(Wrong::argument(reason).into());
                }
                serde_json::from_slice(&source).ok().and_then(|source| self.filter.apply(source))
            }
        };
        let id = id(self.searcher, place.address).map_err(failed)?;
        Ok(Hit { id, score: place.score, source: shown, sort: place.sort })
    }
}

fn id(searcher: &Searcher, address: DocAddress) -> Result<String, TantivyError> {
    let reader = searcher.segment_reader(address.segment_ord);
    let mut id = String::new();
    if let Some(ids) = reader.fast_fields().str(ID)?
        && let Some(ordinal) = ids.ords().first(address.doc_id)
    {
        ids.ord_to_str(ordinal, &mut id)?;
    }
    Ok(id)
}

fn source(layout: &Layout, searcher: &Searcher, address: DocAddress) -> Result<Vec<u8>, TantivyError> {
    let document: TantivyDocument = searcher.doc(address)?;
    let bytes = document.get_first(layout.source).and_then(|value| value.as_bytes().map(<[u8]>::to_vec));
    Ok(bytes.unwrap_or_default())
}
