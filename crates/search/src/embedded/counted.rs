//! Counts the texts of a field over the whole index, however many there are: in each part by their place in its dictionary,
//! and at the end with one walk through all dictionaries side by side. Nothing grows with the length of the texts.

use std::{cmp::Reverse, collections::BinaryHeap};

use tantivy::{DocId, TantivyError, columnar::StrColumn};

/// How often each text of one part of the index was seen.
pub(super) struct Counted {
    column: StrColumn,
    counts: Vec<u32>,
    /// Kept, since there is one for each document.
    seen: Vec<u64>,
}

impl Counted {
    pub(super) fn new(column: StrColumn) -> Self {
        let counts = vec![0; column.num_terms()];
        Self { column, counts, seen: Vec::new() }
    }

    /// Counts the texts of a document, each once.
    pub(super) fn take(&mut self, doc: DocId) {
        self.seen.clear();
        self.seen.extend(self.column.term_ords(doc));
        if self.seen.len() > 1 {
            self.seen.sort_unstable();
            self.seen.dedup();
        }
        for ordinal in &self.seen {
            if let Some(count) = usize::try_from(*ordinal).ok().and_then(|at| self.counts.get_mut(at)) {
                *count += 1;
            }
        }
    }
}

/// Gives each text that was seen anywhere, in their order, with how often.
pub(super) fn each(parts: &[Counted], mut give: impl FnMut(&str, u64)) -> Result<(), TantivyError> {
    let mut streams = Vec::new();
    let mut next = BinaryHeap::new();
    for (part, counted) in parts.iter().enumerate() {
        let mut stream = counted.column.dictionary().stream()?;
        if stream.advance() {
            next.push(Reverse((stream.key().to_vec(), part)));
        }
        streams.push(stream);
    }
    let mut current = Vec::new();
    let mut total = 0;
    while let Some(Reverse((mut text, part))) = next.pop() {
        if text != current {
            give_text(&current, total, &mut give);
            current.clone_from(&text);
            total = 0;
        }
        let (Some(stream), Some(counted)) = (streams.get_mut(part), parts.get(part)) else { continue };
        let at = usize::try_from(stream.term_ord()).unwrap_or(usize::MAX);
        total += u64::from(counted.counts.get(at).copied().unwrap_or_default());
        if stream.advance() {
            text.clear();
            text.extend_from_slice(stream.key());
            next.push(Reverse((text, part)));
        }
    }
    give_text(&current, total, &mut give);
    Ok(())
}

fn give_text(text: &[u8], count: u64, give: &mut impl FnMut(&str, u64)) {
    if let (1.., Ok(text)) = (count, str::from_utf8(text)) {
        give(text, count);
    }
}
