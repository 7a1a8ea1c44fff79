//! The contract of the `Store` port: one suite, run on every adapter.
//!
//! An adapter's suite is one line, [`store_contract!`](crate::store_contract!); each point becomes a test of its own.
//! A point begins with an empty store and knows nothing of the adapter.

mod commits;
mod journal;
mod lists;
mod parking;
mod reopening;
mod tasks;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{AnswerKey, Batch, Commit, Guard, Outcome, SavedAnswer, Store, Stored},
};

use crate::build;

pub use self::{commits::*, journal::*, lists::*, parking::*, reopening::*, tasks::*};

/// Makes a test of every point of the contract, in a module of this name. The expression is evaluated for each test,
/// inside a tokio runtime, and gives a [`Fixture`] around an empty store.
///
/// ```text
/// cartwright_testkit::store_contract!(memory, Fixture::new(MemoryStore::new(Uuid::now_v7())));
/// ```
#[macro_export]
macro_rules! store_contract {
    ($name:ident, $fixture:expr) => {
        $crate::store_contract_points! { $name, $fixture;
            a_new_order_is_written_whole,
            an_absent_guard_conflicts_with_any_row,
            a_revision_guard_holds_once,
            a_refused_insert_leaves_nothing,
            a_refused_update_leaves_nothing,
            an_external_id_is_taken_in_its_channel_only,
            a_refusal_as_taken_leaves_nothing,
            an_external_id_that_changes_can_be_taken_and_is_freed,
            a_number_in_use_is_a_conflict,
            one_conflict_does_not_sink_the_batch,
            two_commits_of_one_order_in_a_batch_stand_once,
            one_of_many_racing_writers_wins_each_revision,
            a_caller_that_goes_away_leaves_all_or_nothing,
            cursors_move_only_if_all_commits_stood,
            cursors_are_kept_by_source_and_lane,
            an_empty_batch_is_fine,
            records_load_in_the_order_asked,
            odd_ids_are_kept_to_the_byte,
            big_values_come_back_whole,
            positions_rise_in_commit_order,
            the_journal_is_read_in_pages,
            a_reader_that_follows_misses_nothing,
            messages_come_back_as_they_were,
            history_keeps_its_order_across_commits,
            history_is_read_in_pages,
            the_newest_of_several_histories_are_read_at_once,
            tasks_come_back_as_they_were,
            a_claimed_task_is_leased_until_the_lease_ends,
            a_task_that_is_written_with_a_lease_waits_for_its_end,
            the_longest_waiting_tasks_come_first,
            a_task_is_overwritten_by_its_id,
            a_dropped_task_is_gone,
            a_task_that_is_dropped_and_put_stays,
            racing_claims_share_out_the_tasks,
            answers_are_found_by_their_whole_name,
            old_answers_are_forgotten_in_portions,
            parked_events_come_back_in_order_of_arrival,
            an_event_is_parked_once,
            unparking_ends_has_parked,
            an_origin_is_unparked_for_its_own_order_only,
            a_placeholder_is_upgraded_by_placing,
            a_placeholder_is_not_listed,
            parking_can_leave_the_row_as_it_is,
            a_placeholder_can_find_the_external_id_taken,
            parked_events_of_all_orders_are_listed_in_pages,
            an_unparked_event_leaves_the_list_of_all,
            lists_filter_by_every_column,
            pages_of_any_filters_hold_all_that_match,
            lists_are_newest_first_by_either_time,
            pages_have_no_gaps_and_no_repeats_while_orders_are_placed,
            pages_by_change_repeat_nothing_that_stays,
            orders_of_one_moment_are_listed_by_number,
            a_walk_meets_every_order_once_while_they_change,
            a_walk_brings_histories_along,
            numbers_are_given_once,
            sweeps_are_due_in_order,
            due_sweeps_are_read_in_pages,
            open_orders_are_listed_by_where_they_stand,
            open_orders_are_counted_by_where_they_stand,
            open_orders_are_counted,
            tasks_and_parked_events_are_counted,
            reopening_keeps_everything,
            reopening_gives_no_number_or_position_twice,
        }
    };
}

/// Not for use: the part of [`store_contract!`](crate::store_contract!) that repeats.
#[doc(hidden)]
#[macro_export]
macro_rules! store_contract_points {
    ($name:ident, $fixture:expr; $($point:ident,)*) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $point() {
                    $crate::store_contract::$point($fixture).await;
                }
            )*
        }
    };
}

type Opening = Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>>;

/// An empty store to test, and how to close and open it again if it can be.
pub struct Fixture {
    store: Option<Arc<dyn Store>>,
    open: Option<Box<dyn Fn() -> Opening + Send + Sync>>,
}

impl Fixture {
    /// A store that can't be opened again.
    pub fn new(store: impl Store + 'static) -> Self {
        Self { store: Some(Arc::new(store)), open: None }
    }

    /// A store that is there again after it was dropped. `open` is called for the first time here.
    pub async fn reopening<S: Store + 'static, F: Future<Output = S> + Send + 'static>(
        open: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        let open = move || -> Opening {
            let opening = open();
            Box::pin(async move { Arc::new(opening.await) as Arc<dyn Store> })
        };
        Self { store: Some(open().await), open: Some(Box::new(open)) }
    }

    /// The store.
    ///
    /// # Panics
    /// Never outside of [`Fixture::reopen`].
    pub fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("a store")
    }

    /// Closes the store and opens it again; `false` if that is not possible.
    pub async fn reopen(&mut self) -> bool {
        let Some(open) = &self.open else { return false };
        self.store = None;
        self.store = Some(open().await);
        true
    }
}

/// Commits one.
async fn one(store: &dyn Store, commit: Commit) -> Outcome {
    let mut outcomes = many(store, build::batch([commit])).await;
    assert_eq!(outcomes.len(), 1, "one outcome for one commit");
    outcomes.remove(0)
}

async fn many(store: &dyn Store, batch: Batch) -> Vec<Outcome> {
    store.commit(batch).await.expect("a commit")
}

/// Commits one that must stand; says its position.
async fn stands(store: &dyn Store, commit: Commit) -> u64 {
    let order = commit.id.clone();
    match one(store, commit).await {
        Outcome::Committed { position } => position,
        other => panic!("the commit of {order} ended as {other:?}"),
    }
}

async fn stored(store: &dyn Store, id: &OrderId) -> Stored {
    store.load(std::slice::from_ref(id)).await.expect("a load").remove(0)
}

async fn answered(store: &dyn Store, key: &AnswerKey) -> Option<SavedAnswer> {
    store.answers(std::slice::from_ref(key)).await.expect("answers").remove(0)
}

/// The orders whose sweep is due.
async fn due(store: &dyn Store, now: Timestamp, limit: usize) -> Vec<OrderId> {
    let due = store.due_sweeps(now, None, limit).await.expect("sweeps");
    due.into_iter().map(|due| due.order).collect()
}

/// The same commit for the row as it is now.
async fn over(store: &dyn Store, mut commit: Commit) -> Commit {
    commit.guard = match stored(store, &commit.id).await.revision {
        0 => Guard::Absent,
        revision => Guard::Revision(revision),
    };
    commit
}

/// All that can be seen of a store through its port, for the orders named.
async fn everything(store: &dyn Store, orders: &[&str]) -> String {
    let mut seen = String::new();
    for order in orders {
        let id = build::id(order);
        seen += &format!("{:?}\n", stored(store, &id).await);
        seen += &format!("{:?}\n", store.history(&id, 0, 1_000).await.expect("a history"));
        seen += &format!("{:?}\n", store.parked(&id).await.expect("parked events"));
        let answer = answered(store, &build::answer_key(order, "caller", "key")).await;
        seen += &format!("{answer:?}\n");
    }
    seen += &format!("{:?}\n", store.journal(0, 1_000).await.expect("a journal"));
    seen += &format!("{:?}\n", store.cursors().await.expect("cursors"));
    seen += &format!("{:?}\n", store.stats().await.expect("stats"));
    seen
}

/// Runs two futures side by side in one task.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut left, mut right) = (None, None);
    poll_fn(|context| {
        if left.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(context)
        {
            left = Some(value);
        }
        if right.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(context)
        {
            right = Some(value);
        }
        match (left.take(), right.take()) {
            (Some(l), Some(r)) => Poll::Ready((l, r)),
            (l, r) => {
                (left, right) = (l, r);
                Poll::Pending
            }
        }
    })
    .await
}
