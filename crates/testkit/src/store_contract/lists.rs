//! Lists, numbers, sweeps, counts.

use cartwright_core::{
    domain::{ids::OrderId, order::OrderStatus, time::Timestamp},
    ports::{Commit, HistoryEntry, OpenCount, OpenQuery, OrderColumns, OrderQuery, OrderSort, Stage, Store},
};

use super::{Fixture, both, over, stands};
use crate::build::{at, columns, commit, id, message, parked, placed, task};

async fn list(store: &dyn Store, query: OrderQuery) -> Vec<String> {
    let limit = if query.limit == 0 { 100 } else { query.limit };
    let rows = store.orders(&OrderQuery { limit, ..query }).await.expect("a list");
    rows.into_iter()
        .map(|row| {
            let record = String::from_utf8(row.stored.record.expect("a record")).expect("text");
            record.trim_start_matches(r#"{"id":""#).trim_end_matches(r#""}"#).to_owned()
        })
        .collect()
}

fn owned<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

/// Filters narrow together; several values of one filter match any of them.
pub async fn lists_filter_by_every_column(fixture: Fixture) {
    let store = fixture.store();
    let a = OrderColumns {
        customer: "ann".to_owned(),
        external_id: Some("X1".to_owned()),
        channel: "web".to_owned(),
        ..columns(1, 100)
    };
    let b = OrderColumns { customer: "bob".to_owned(), status: OrderStatus::Failed, ..columns(2, 200) };
    let c = OrderColumns { customer: "ann".to_owned(), flow: "manual".to_owned(), ..columns(3, 300) };
    let d = OrderColumns {
        milestone: "shipped".to_owned(),
        status: OrderStatus::Completed,
        external_id: Some("X1".to_owned()),
        updated_at: at(900),
        ..columns(4, 400)
    };
    for (order, columns) in [("a", a), ("b", b), ("c", c), ("d", d)] {
        stands(store, placed(order, columns)).await;
    }
    stands(store, commit("payment")).await;
    let all = OrderQuery::default;
    let cases = [
        (all(), "dcba"),
        (OrderQuery { status: vec![OrderStatus::Open], ..all() }, "ca"),
        (OrderQuery { status: vec![OrderStatus::Failed, OrderStatus::Completed], ..all() }, "db"),
        (OrderQuery { status: vec![OrderStatus::Cancelled], ..all() }, ""),
        (OrderQuery { milestone: owned(["shipped"]), ..all() }, "d"),
        (OrderQuery { customer: owned(["ann"]), ..all() }, "ca"),
        (OrderQuery { customer: owned(["bob", "ann"]), ..all() }, "cba"),
        (OrderQuery { customer: owned([""]), ..all() }, "d"),
        (OrderQuery { customer: owned(["", "bob"]), ..all() }, "db"),
        (OrderQuery { flow: owned(["manual"]), ..all() }, "c"),
        (OrderQuery { number: vec![4, 1, 99], ..all() }, "da"),
        (OrderQuery { external_id: owned(["X1"]), ..all() }, "da"),
        (OrderQuery { external_id: owned(["x1", "X2"]), ..all() }, ""),
        (OrderQuery { created_after: Some(at(200)), created_before: Some(at(400)), ..all() }, "cb"),
        (OrderQuery { updated_after: Some(at(301)), ..all() }, "d"),
        (OrderQuery { customer: owned(["ann"]), flow: owned(["standard"]), ..all() }, "a"),
        (OrderQuery { customer: owned(["ann"]), sort: OrderSort::UpdatedAt, ..all() }, "ca"),
        (OrderQuery { limit: 3, ..all() }, "dcb"),
    ];
    for (query, expected) in cases {
        let what = format!("{query:?}");
        assert_eq!(list(store, query).await.concat(), expected, "{what}");
    }
}

/// Whatever filters come together, paging to the end sees each order that matches once, in the list's order.
pub async fn pages_of_any_filters_hold_all_that_match(fixture: Fixture) {
    let store = fixture.store();
    let all: Vec<OrderColumns> = (1..=60).map(varied).collect();
    for some in all.chunks(20) {
        let commits = some.iter().map(|columns| placed(&columns.number.to_string(), columns.clone()));
        super::many(store, crate::build::batch(commits)).await;
    }
    let states =
        [(vec![], vec![]), (vec![OrderStatus::Open], vec![]), (OrderStatus::ALL[2..].to_vec(), owned(["b"]))];
    let times =
        [(None, None, None), (Some(15), Some(40), None), (None, None, Some(45)), (None, Some(30), Some(20))];
    for (status, milestone) in states {
        for (created_after, created_before, updated_after) in
            times.map(|(a, b, c)| (a.map(at), b.map(at), c.map(at)))
        {
            for customer in [vec![], owned(["ann"]), owned(["ann", "bob"])] {
                for sort in [OrderSort::CreatedAt, OrderSort::UpdatedAt] {
                    let (status, milestone, customer) = (status.clone(), milestone.clone(), customer.clone());
                    let times =
                        OrderQuery { created_after, created_before, updated_after, ..OrderQuery::default() };
                    let query = OrderQuery { status, milestone, customer, sort, limit: 7, ..times };
                    assert_eq!(paged(store, &query).await, matching(&all, &query), "{query:?}");
                }
            }
        }
    }
}

/// An order whose columns follow from its number, each at another pace.
fn varied(number: u64) -> OrderColumns {
    let of = |words: [&str; 3]| words[(number % 3) as usize].to_owned();
    OrderColumns {
        status: OrderStatus::ALL[(number % 4) as usize],
        milestone: of(["a", "b", "c"]),
        customer: if number.is_multiple_of(5) { String::new() } else { of(["ann", "cleo", "bob"]) },
        updated_at: at((number * 7 % 60) as i64),
        ..columns(number, (number / 2) as i64 + 10)
    }
}

async fn paged(store: &dyn Store, query: &OrderQuery) -> Vec<u64> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.orders(&OrderQuery { after, ..query.clone() }).await.expect("a page");
        assert!(page.len() <= query.limit);
        let Some(last) = page.last() else { return seen };
        after = Some(last.place);
        seen.extend(page.iter().map(|listed| listed.place.1));
    }
}

fn matching(all: &[OrderColumns], query: &OrderQuery) -> Vec<u64> {
    let time = |c: &OrderColumns| match query.sort {
        OrderSort::CreatedAt => c.created_at,
        OrderSort::UpdatedAt => c.updated_at,
    };
    let mut found: Vec<&OrderColumns> = all
        .iter()
        .filter(|c| query.status.is_empty() || query.status.contains(&c.status))
        .filter(|c| query.milestone.is_empty() || query.milestone.contains(&c.milestone))
        .filter(|c| query.customer.is_empty() || query.customer.contains(&c.customer))
        .filter(|c| query.created_after.is_none_or(|moment| c.created_at >= moment))
        .filter(|c| query.created_before.is_none_or(|moment| c.created_at < moment))
        .filter(|c| query.updated_after.is_none_or(|moment| c.updated_at >= moment))
        .collect();
    found.sort_by_key(|c| std::cmp::Reverse((time(c), c.number)));
    found.into_iter().map(|c| c.number).collect()
}

/// Both times sort newest first, and a change moves an order to the top of the one.
pub async fn lists_are_newest_first_by_either_time(fixture: Fixture) {
    let store = fixture.store();
    for (n, order) in (1..).zip(["a", "b", "c"]) {
        stands(store, placed(order, columns(n, 100 * n as i64))).await;
    }
    let changed = OrderColumns { updated_at: at(5_000), ..columns(1, 100) };
    stands(store, over(store, placed("a", changed)).await).await;
    let by = |sort| OrderQuery { sort, ..OrderQuery::default() };
    assert_eq!(list(store, by(OrderSort::CreatedAt)).await, ["c", "b", "a"]);
    assert_eq!(list(store, by(OrderSort::UpdatedAt)).await, ["a", "c", "b"]);
    let moved = OrderColumns { updated_at: at(5_000), ..columns(1, 9_000) };
    stands(store, over(store, placed("a", moved)).await).await;
    assert_eq!(list(store, by(OrderSort::CreatedAt)).await, ["a", "c", "b"], "every column can change");
}

/// Paging by sort time and number sees each order that was there at the first page once.
pub async fn pages_have_no_gaps_and_no_repeats_while_orders_are_placed(fixture: Fixture) {
    let store = fixture.store();
    let name = |n: u64| format!("o{n:03}");
    // Three share a moment each, so that a page's end may cut a moment in two.
    let moment = |n: u64| (n / 3) as i64;
    for n in 1..=50 {
        stands(store, placed(&name(n), columns(n, moment(n)))).await;
    }
    let (mut seen, mut after): (Vec<String>, Option<(Timestamp, u64)>) = (Vec::new(), None);
    for round in 0.. {
        let page = list(store, OrderQuery { after, limit: 4, ..OrderQuery::default() }).await;
        let Some(last) = page.last() else { break };
        let number: u64 = last[1..].parse().expect("a number");
        after = Some((at(moment(number)), number));
        seen.extend(page);
        // New orders come at the top, old ones change below.
        let new = 100 + round;
        stands(store, placed(&name(new), columns(new, 1_000))).await;
        let old = 1 + round * 3 % 50;
        let changed = OrderColumns { updated_at: at(2_000), ..columns(old, moment(old)) };
        stands(store, over(store, placed(&name(old), changed)).await).await;
    }
    assert_eq!(seen, (1..=50).rev().map(name).collect::<Vec<_>>());
}

/// A walk is in the order in which orders came, and meets each of them once, also those that change meanwhile.
pub async fn a_walk_meets_every_order_once_while_they_change(fixture: Fixture) {
    let store = fixture.store();
    let name = |n: u64| format!("o{n:03}");
    stands(store, commit("payment")).await;
    for n in 1..=50 {
        // By their times they would be the other way round.
        stands(store, placed(&name(n), columns(n, 100 - n as i64))).await;
    }
    let (mut seen, mut after) = (Vec::new(), 0);
    for n in 1.. {
        let page = store.walk(after, 4, 2).await.expect("a page");
        let Some(last) = page.last() else { break };
        after = last.place;
        seen.extend(page.into_iter().map(|walked| walked.stored.record));
        if n <= 50 {
            stands(store, over(store, placed(&name(n), columns(n, 0))).await).await;
        }
    }
    let all: Vec<OrderId> = (1..=50).map(|n| id(&name(n))).collect();
    let records: Vec<_> = store.load(&all).await.expect("records").into_iter().map(|s| s.record).collect();
    assert_eq!(seen, records);
    assert!(store.walk(after, 4, 2).await.expect("a page").is_empty());
}

/// A walk brings the newest events of each order along, whoever wrote them.
pub async fn a_walk_brings_histories_along(fixture: Fixture) {
    let store = fixture.store();
    for (n, order, events) in [(1, "a", 0_u8), (2, "b", 3)] {
        let mut commit = placed(order, columns(n, 0));
        commit.journal = vec![message(order, "own")];
        commit.history = (0..events).map(|n| HistoryEntry::Foreign(vec![n].into())).collect();
        commit.history.insert(usize::from(events).min(2), HistoryEntry::Own(0));
        stands(store, commit).await;
    }
    let walked = store.walk(0, 9, 3).await.expect("a walk");
    let told: Vec<_> = walked.into_iter().map(|walked| walked.history.expect("a history")).collect();
    assert_eq!(told, [vec![&b"own"[..]], vec![&[1], b"own", &[2]]]);
    let none = store.walk(0, 9, 0).await.expect("a walk");
    assert!(none.iter().all(|walked| walked.history.as_ref().is_some_and(Vec::is_empty)));
}

/// By change: an order that changes while one pages moves up; those that stay are seen once.
pub async fn pages_by_change_repeat_nothing_that_stays(fixture: Fixture) {
    let store = fixture.store();
    for n in 1..=20 {
        stands(store, placed(&format!("o{n:02}"), columns(n, n as i64))).await;
    }
    let query = OrderQuery { sort: OrderSort::UpdatedAt, limit: 6, ..OrderQuery::default() };
    let first = list(store, query.clone()).await;
    assert_eq!(first.last().map(String::as_str), Some("o15"));
    let changed = OrderColumns { updated_at: at(99), ..columns(10, 10) };
    stands(store, over(store, placed("o10", changed)).await).await;
    let rest = list(store, OrderQuery { after: Some((at(15), 15)), limit: 100, ..query.clone() }).await;
    let expected: Vec<String> = (1..=14).rev().filter(|n| *n != 10).map(|n| format!("o{n:02}")).collect();
    assert_eq!(rest, expected);
    assert_eq!(list(store, query).await[0], "o10");
}

/// Numbers settle the order of one moment.
pub async fn orders_of_one_moment_are_listed_by_number(fixture: Fixture) {
    let store = fixture.store();
    for (order, number) in [("b", 2), ("c", 10), ("a", 1)] {
        stands(store, placed(order, columns(number, 5))).await;
    }
    for sort in [OrderSort::CreatedAt, OrderSort::UpdatedAt] {
        let query = OrderQuery { sort, ..OrderQuery::default() };
        assert_eq!(list(store, query.clone()).await, ["c", "b", "a"]);
        assert_eq!(list(store, OrderQuery { after: Some((at(5), 10)), ..query.clone() }).await, ["b", "a"]);
        let listed = store.orders(&OrderQuery { limit: 9, ..query }).await.expect("a list");
        let places: Vec<_> = listed.iter().map(|listed| listed.place).collect();
        assert_eq!(
            places,
            [(at(5), 10), (at(5), 2), (at(5), 1)],
            "each says where the list goes on behind it"
        );
    }
}

/// Runs of numbers rise and never overlap, also when several ask at once.
pub async fn numbers_are_given_once(fixture: Fixture) {
    let store = fixture.store();
    let reserve = async |count| (store.reserve_numbers(count).await.expect("numbers"), count);
    let mut runs = vec![reserve(1).await, reserve(10).await];
    for _ in 0..10 {
        let (left, right) = both(reserve(3), reserve(5)).await;
        runs.extend([left, right]);
    }
    runs.push(reserve(1).await);
    assert!(runs[0].0 >= 1, "numbers count from 1");
    assert!(
        runs[0].0 < runs[1].0 && runs.iter().all(|r| r.0 <= runs[runs.len() - 1].0),
        "they rise: {runs:?}"
    );
    runs.sort_unstable();
    for pair in runs.windows(2) {
        assert!(pair[0].0 + u64::from(pair[0].1) <= pair[1].0, "{pair:?} overlap");
    }
}

/// Sweeps are asked for when due, the longest due first; a sweep that moved or ended is not.
pub async fn sweeps_are_due_in_order(fixture: Fixture) {
    let store = fixture.store();
    let sweep =
        |number, sweep_at: Option<i64>| OrderColumns { sweep_at: sweep_at.map(at), ..columns(number, 1) };
    for (order, number, due) in [("a", 1, Some(30)), ("b", 2, Some(10)), ("c", 3, None), ("d", 4, Some(20))] {
        stands(store, placed(order, sweep(number, due))).await;
    }
    let due = async |now, limit| super::due(store, at(now), limit).await;
    assert_eq!(due(9, 10).await, []);
    assert_eq!(due(30, 10).await, ["b", "d", "a"].map(id));
    assert_eq!(due(29, 10).await, ["b", "d"].map(id));
    assert_eq!(due(30, 1).await, [id("b")]);
    stands(store, over(store, placed("b", sweep(2, Some(50)))).await).await;
    stands(store, over(store, placed("d", sweep(4, None))).await).await;
    stands(store, over(store, placed("c", sweep(3, Some(40)))).await).await;
    assert_eq!(due(100, 10).await, ["a", "c", "b"].map(id));
}

/// Pages of due sweeps leave out none and repeat none, many of one moment included.
pub async fn due_sweeps_are_read_in_pages(fixture: Fixture) {
    let store = fixture.store();
    let sweep = |number, sweep_at: i64| OrderColumns { sweep_at: Some(at(sweep_at)), ..columns(number, 1) };
    for (order, number, due) in [("a", 1, 20), ("b", 2, 10), ("c", 3, 10), ("d", 4, 10), ("e", 5, 99)] {
        stands(store, placed(order, sweep(number, due))).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.due_sweeps(at(20), after, 2).await.expect("sweeps");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2 && after.is_none_or(|after| last.place > after));
        after = Some(last.place);
        seen.extend(page.into_iter().map(|due| due.order));
    }
    assert_eq!(seen, ["b", "c", "d", "a"].map(id));
}

fn at_stage(number: u64, moment: i64, flow: &str, milestone: &str) -> OrderColumns {
    OrderColumns { flow: flow.to_owned(), milestone: milestone.to_owned(), ..columns(number, moment) }
}

/// Open orders of one flow and milestone, the oldest first; also those that do not count against the limit.
pub async fn open_orders_are_listed_by_where_they_stand(fixture: Fixture) {
    let store = fixture.store();
    for (order, number, moment, milestone) in
        [("a", 1, 30, "created"), ("b", 2, 10, "created"), ("c", 3, 10, "created"), ("d", 4, 5, "authorized")]
    {
        stands(store, placed(order, at_stage(number, moment, "standard", milestone))).await;
    }
    stands(store, placed("e", at_stage(5, 1, "scheduled", "created"))).await;
    let through = OrderColumns {
        status: OrderStatus::Completed,
        counted: false,
        ..at_stage(6, 1, "standard", "created")
    };
    stands(store, placed("f", through)).await;
    let elsewhere = OrderColumns { counted: false, ..at_stage(7, 20, "standard", "created") };
    stands(store, placed("g", elsewhere)).await;
    let list = async |milestone: &str, before: Option<i64>, after, limit| {
        let stage = Stage { flow: "standard".to_owned(), milestone: milestone.to_owned() };
        let query = OpenQuery { stage, placed_before: before.map(at), after, limit };
        let page = store.open_orders(&query).await.expect("open orders");
        page.into_iter().map(|listed| listed.place).collect::<Vec<_>>()
    };
    assert_eq!(list("created", None, None, 9).await, [(at(10), 2), (at(10), 3), (at(20), 7), (at(30), 1)]);
    assert_eq!(list("created", None, None, 1).await, [(at(10), 2)]);
    assert_eq!(list("created", None, Some((at(10), 2)), 9).await, [(at(10), 3), (at(20), 7), (at(30), 1)]);
    assert_eq!(list("created", Some(30), None, 9).await, [(at(10), 2), (at(10), 3), (at(20), 7)]);
    assert_eq!(list("authorized", None, None, 9).await, [(at(5), 4)]);
    stands(store, over(store, placed("b", at_stage(2, 10, "standard", "authorized"))).await).await;
    assert_eq!(
        list("created", None, None, 9).await,
        [(at(10), 3), (at(20), 7), (at(30), 1)],
        "it has gone on"
    );
    assert_eq!(list("authorized", None, None, 9).await, [(at(5), 4), (at(10), 2)]);
}

/// How many are open at each flow and milestone, and the oldest of them.
pub async fn open_orders_are_counted_by_where_they_stand(fixture: Fixture) {
    let store = fixture.store();
    let counts = async || {
        let mut counts = store.open_counts().await.expect("counts");
        counts.sort_by(|a, b| a.stage.cmp(&b.stage));
        let flat = |c: OpenCount| (c.stage.flow, c.stage.milestone, c.orders, c.oldest.as_micros());
        counts.into_iter().map(flat).collect::<Vec<_>>()
    };
    assert_eq!(counts().await, []);
    stands(store, placed("a", at_stage(1, 30, "standard", "created"))).await;
    stands(store, placed("b", at_stage(2, 10, "standard", "created"))).await;
    stands(store, placed("c", at_stage(3, 20, "ship-only", "created"))).await;
    let count = |flow: &str, orders, oldest| (flow.to_owned(), "created".to_owned(), orders, oldest);
    assert_eq!(counts().await, [count("ship-only", 1, 20), count("standard", 2, 10)]);
    let through = OrderColumns { counted: false, ..at_stage(2, 10, "standard", "created") };
    stands(store, over(store, placed("b", through)).await).await;
    assert_eq!(counts().await, [count("ship-only", 1, 20), count("standard", 1, 30)]);
}

/// `counted` orders are counted once, as long as they are.
pub async fn open_orders_are_counted(fixture: Fixture) {
    let store = fixture.store();
    let open = async || store.stats().await.expect("stats").open_orders;
    let counted = |number, counted| OrderColumns { counted, ..columns(number, 1) };
    stands(store, placed("a", counted(1, true))).await;
    stands(store, placed("b", counted(2, true))).await;
    stands(store, placed("c", counted(3, false))).await;
    stands(store, commit("payment")).await;
    assert_eq!(open().await, 2);
    super::one(store, placed("a", counted(9, true))).await;
    assert_eq!(open().await, 2, "a conflict counts nothing");
    stands(store, over(store, placed("a", counted(1, true))).await).await;
    assert_eq!(open().await, 2);
    stands(store, over(store, placed("a", counted(1, false))).await).await;
    stands(store, over(store, placed("a", counted(1, false))).await).await;
    assert_eq!(open().await, 1);
    stands(store, over(store, placed("c", counted(3, true))).await).await;
    assert_eq!(open().await, 2);
    stands(
        store,
        over(store, placed("b", OrderColumns { external_id: Some("X".into()), ..counted(2, false) })).await,
    )
    .await;
    assert_eq!(open().await, 1);
}

/// Tasks, parked events and the head of the journal.
pub async fn tasks_and_parked_events_are_counted(fixture: Fixture) {
    let store = fixture.store();
    let new = Commit {
        journal: vec![message("a", "1"), message("a", "2")],
        put_tasks: vec![task("t", "a", 1), task("u", "a", 1)],
        park: vec![parked("a", 1, None), parked("a", 1, None)],
        ..commit("a")
    };
    let position = stands(store, new).await;
    store.claim_tasks(at(10), at(20), 1).await.expect("a claim");
    let stats = store.stats().await.expect("stats");
    assert_eq!((stats.tasks, stats.parked, stats.head, stats.open_orders), (2, 1, position, 0));
    let drop = Commit { drop_tasks: vec!["t".to_owned(), "t".to_owned()], ..commit("a") };
    stands(store, over(store, drop).await).await;
    assert_eq!(store.stats().await.expect("stats").tasks, 1);
}
