//! Queries whose documents are only ever looked for forwards.
//!
//! Where something is excluded, the library asks phrases and ranges for documents that they have already passed, which
//! their fast paths are not made for. Here they get the plain path, which answers that, too.

use tantivy::{
    DocId, DocSet, Score, SegmentReader, Term,
    query::{EnableScoring, Explanation, Query, Scorer, Weight},
};

/// Finds what this query finds.
pub(super) fn steady(query: impl Query) -> Box<dyn Query> {
    Box::new(Steady { query: Box::new(query) })
}

#[derive(Debug)]
struct Steady {
    query: Box<dyn Query>,
}

impl Clone for Steady {
    fn clone(&self) -> Self {
        Self { query: self.query.box_clone() }
    }
}

impl Query for Steady {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(SteadyWeight { weight: self.query.weight(scoring)? }))
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        self.query.query_terms(visitor);
    }
}

struct SteadyWeight {
    weight: Box<dyn Weight>,
}

impl Weight for SteadyWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(Box::new(SteadyScorer { scorer: self.weight.scorer(reader, boost)? }))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.weight.explain(reader, doc)
    }

    fn count(&self, reader: &SegmentReader) -> tantivy::Result<u32> {
        self.weight.count(reader)
    }
}

struct SteadyScorer {
    scorer: Box<dyn Scorer>,
}

/// Without the fast path `seek_danger`: what stands in for it is made of these.
impl DocSet for SteadyScorer {
    fn advance(&mut self) -> DocId {
        self.scorer.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        let doc = self.scorer.doc();
        if doc < target { self.scorer.seek(target) } else { doc }
    }

    fn doc(&self) -> DocId {
        self.scorer.doc()
    }

    fn size_hint(&self) -> u32 {
        self.scorer.size_hint()
    }

    fn cost(&self) -> u64 {
        self.scorer.cost()
    }
}

impl Scorer for SteadyScorer {
    fn score(&mut self) -> Score {
        self.scorer.score()
    }
}
