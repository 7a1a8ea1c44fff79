//! The end of the journal in memory: whoever keeps up reads from here, and only who fell behind reads the file.
//!
//! Rows come in after the transaction that wrote them is durable, so nobody reads what a crash could take back.

use std::collections::VecDeque;

use cartwright_core::ports::{JournalRow, Message, PAGE_BYTES};

/// Rows kept, at most.
const ROWS: usize = 4_096;
/// Bytes of keys, headers and values kept, at most.
const BYTES: usize = 8 * 1024 * 1024;

/// The newest rows, without gaps.
#[derive(Default)]
pub(super) struct Tail {
    rows: VecDeque<JournalRow>,
    bytes: usize,
}

impl Tail {
    /// Adds the rows of a transaction, the first of them at position `first`.
    pub(super) fn extend(&mut self, first: u64, messages: impl Iterator<Item = Message>) {
        if self.rows.back().is_some_and(|last| last.position + 1 != first) {
            self.clear();
        }
        for (position, message) in (first..).zip(messages) {
            self.bytes += size(&message);
            self.rows.push_back(JournalRow { position, message });
        }
        while self.rows.len() > ROWS || self.bytes > BYTES {
            let Some(oldest) = self.rows.pop_front() else { break };
            self.bytes -= size(&oldest.message);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Rows after a position, at most `limit`. `None` when the next one is not here.
    pub(super) fn after(&self, position: u64, limit: usize) -> Option<Vec<JournalRow>> {
        let first = self.rows.front()?.position;
        let skip = usize::try_from((position + 1).checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let page = self.rows.range(skip.min(self.rows.len())..).take(limit).take_while(|row| {
            let full = bytes >= PAGE_BYTES;
            bytes += row.message.value.len();
            !full
        });
        let page: Vec<JournalRow> = page.cloned().collect();
        (!page.is_empty()).then_some(page)
    }
}

fn size(message: &Message) -> usize {
    message.key.as_str().len() + message.headers.as_bytes().len() + message.value.len()
}

#[cfg(test)]
mod tests {
    use cartwright_testkit::build::message;

    use super::*;

    fn positions(tail: &Tail, after: u64, limit: usize) -> Option<Vec<u64>> {
        tail.after(after, limit).map(|rows| rows.iter().map(|row| row.position).collect())
    }

    #[test]
    fn it_holds_the_newest_rows_and_never_a_gap() {
        let mut tail = Tail::default();
        assert_eq!(positions(&tail, 0, 9), None);
        tail.extend(1, ["a", "b", "c"].into_iter().map(|value| message("o", value)));
        tail.extend(4, std::iter::once(message("o", "d")));
        assert_eq!(positions(&tail, 0, 9), Some(vec![1, 2, 3, 4]));
        assert_eq!(positions(&tail, 1, 2), Some(vec![2, 3]));
        assert_eq!(positions(&tail, 4, 9), None, "nothing newer");
        tail.extend(7, std::iter::once(message("o", "after a gap")));
        assert_eq!((positions(&tail, 3, 9), positions(&tail, 6, 9)), (None, Some(vec![7])));
    }

    #[test]
    fn it_is_bounded() {
        let mut tail = Tail::default();
        tail.extend(1, (0..ROWS + 10).map(|_| message("o", "x")));
        assert_eq!((positions(&tail, 9, 1), positions(&tail, 10, 1)), (None, Some(vec![11])));
        tail.extend(ROWS as u64 + 11, std::iter::once(message("o", &"x".repeat(BYTES))));
        assert!(tail.rows.is_empty() && tail.bytes == 0, "what is too large is read from the file");
    }
}
