//! Records kept in memory between batches.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::domain::ids::OrderId;

/// The records that were wanted last: so many, and together so many bytes.
pub(super) struct Cache<R> {
    records: LruCache<OrderId, Known<R>>,
    bytes: usize,
    most_bytes: usize,
}

/// A record as we know it to stand in the store.
pub(super) struct Known<R> {
    pub(super) revision: u64,
    pub(super) record: R,
    /// The length of its JSON, which stands for its size.
    pub(super) bytes: usize,
}

impl<R> Cache<R> {
    pub(super) fn new(most_records: usize, most_bytes: usize) -> Self {
        let most_records = NonZeroUsize::new(most_records).unwrap_or(NonZeroUsize::MIN);
        Self { records: LruCache::new(most_records), bytes: 0, most_bytes }
    }

    pub(super) fn pop(&mut self, order: &OrderId) -> Option<Known<R>> {
        let known = self.records.pop(order)?;
        self.bytes -= known.bytes;
        Some(known)
    }

    pub(super) fn put(&mut self, order: OrderId, known: Known<R>) {
        self.bytes += known.bytes;
        // Either the one that was there under this id, or the one that has to go for it.
        if let Some((_, gone)) = self.records.push(order, known) {
            self.bytes -= gone.bytes;
        }
        while self.bytes > self.most_bytes
            && let Some((_, gone)) = self.records.pop_lru()
        {
            self.bytes -= gone.bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_so_many_records_and_so_many_bytes() {
        let mut cache = Cache::new(3, 100);
        let id = |n: u32| OrderId::parse(&n.to_string()).unwrap();
        let put =
            |cache: &mut Cache<()>, n, bytes| cache.put(id(n), Known { revision: 1, record: (), bytes });
        for n in 0..4 {
            put(&mut cache, n, 10);
        }
        assert_eq!((cache.records.len(), cache.bytes), (3, 30), "the oldest made room");
        put(&mut cache, 3, 20);
        assert_eq!((cache.records.len(), cache.bytes), (3, 40), "the same order is there once");
        put(&mut cache, 4, 90);
        assert_eq!((cache.records.len(), cache.bytes), (1, 90), "a large one costs several small ones");
        put(&mut cache, 5, 101);
        assert_eq!((cache.records.len(), cache.bytes), (0, 0), "one that is too large is not kept");
        put(&mut cache, 6, 7);
        assert!(cache.pop(&id(6)).is_some() && cache.bytes == 0 && cache.pop(&id(6)).is_none());
    }
}
