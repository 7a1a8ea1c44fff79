//! Events that can't be applied: they are set aside with their bytes and the reason, and later events of the same
//! order queue behind them. No other order notices.

use uuid::Uuid;

use super::{Ctx, Logic, MAX_PARKED, Turn};
use crate::{
    domain::{
        ids::{OrderId, derive_uuid},
        time::Timestamp,
    },
    events::{self, Envelope},
    ports::{Delivery, Origin, Parked, ParkedName},
};

/// What an operator says about the parked events of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpark {
    /// They are tried again now.
    Retry,
    /// These are given up for good, and the others are tried again.
    Discard(Vec<ParkedName>),
}

/// What became of the parked events of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unparked {
    /// So many were applied.
    pub applied: usize,
    /// These were given up.
    pub discarded: Vec<Parked>,
    /// So many still wait.
    pub left: usize,
    /// Why the first of them can't be applied.
    pub why: Option<String>,
}

/// The parts of an order's work that parking needs.
pub(super) struct Parts<'a, R> {
    pub record: &'a mut Option<R>,
    pub turn: &'a mut Turn,
    /// Whether something is parked for this order after all that was done so far.
    pub queue: &'a mut bool,
    pub park: &'a mut Vec<Parked>,
    pub unpark: &'a mut Vec<Origin>,
    /// What the store had parked when the record was loaded, oldest first.
    pub waiting: &'a mut Vec<Parked>,
    /// Deliveries for which there was no room.
    pub overflowed: &'a mut usize,
}

/// The order that a delivery belongs to: its key. A key that is no order id gets a name of its own, so that its
/// event can be set aside like any other.
pub(super) fn order_of(delivery: &Delivery) -> OrderId {
    std::str::from_utf8(&delivery.key).ok().and_then(|key| OrderId::parse(key).ok()).unwrap_or_else(|| {
        let Origin { source, lane, position } = &delivery.origin;
        OrderId::from(derive_uuid("unreadable key", &[source, &lane.to_string(), &position.to_string()]))
    })
}

/// The event of a delivery: it must be about the order that is its key, or two records would be told about one step.
pub(super) fn read(delivery: &Delivery, key: &OrderId) -> Result<Envelope, String> {
    let event = events::decode(&delivery.value).map_err(|error| error.to_string())?;
    let about = [Some(event.payload.order()), event.payload.step().map(|step| &step.order)];
    if let Some(other) = about.into_iter().flatten().find(|order| *order != key) {
        return Err(format!("the event's key is order {key}, but it is about order {other}"));
    }
    Ok(event)
}

/// Applies a delivery, or parks it.
pub(super) fn deliver<L: Logic>(
    logic: &mut L,
    mut parts: Parts<'_, L::Record>,
    delivery: &Delivery,
    event: Option<&Result<Envelope, String>>,
    ctx: &mut Ctx<'_>,
) {
    let (event_id, reason) = match event {
        Some(Ok(event)) => {
            if is_parked(&parts, delivery, Some(event.event_id)) {
                return; // delivered again: it waits already
            }
            let reason = if *parts.queue {
                "an earlier event of this order is parked".to_owned()
            } else {
                match logic.event(parts.record, event, &delivery.value, ctx, parts.turn) {
                    Ok(()) => return,
                    Err(reason) => reason,
                }
            };
            (Some(event.event_id), reason)
        }
        Some(Err(reason)) => (None, reason.clone()),
        None => return,
    };
    set_aside(&mut parts, delivery, event_id, reason, ctx.now);
}

/// Parks a delivery, if it does not wait already and there is room. What there is no room for is lost by nobody: its
/// sender repeats it when the order, gone on, asks again.
pub(super) fn set_aside<R>(
    parts: &mut Parts<'_, R>,
    delivery: &Delivery,
    event_id: Option<Uuid>,
    reason: String,
    now: Timestamp,
) {
    *parts.queue = true;
    if is_parked(parts, delivery, event_id) {
        return;
    }
    if parts.waiting.len() + parts.park.len() >= MAX_PARKED {
        *parts.overflowed += 1;
        return;
    }
    parts.park.push(Parked { delivery: delivery.clone(), event_id, reason, parked_at: now });
}

/// Does what an operator says. `unreadable`: why nothing can be applied to the order's record.
pub(super) fn unpark<L: Logic>(
    logic: &mut L,
    mut parts: Parts<'_, L::Record>,
    what: &Unpark,
    unreadable: Option<&str>,
    ctx: &mut Ctx<'_>,
) -> Unparked {
    let discarded = match what {
        Unpark::Retry => vec![],
        Unpark::Discard(names) => discard(&mut parts, names),
    };
    let before = parts.waiting.len() + parts.park.len();
    let (applied, left, why) = match unreadable {
        Some(why) => (0, before, Some(why.to_owned())),
        None => {
            let blocked = release(logic, &mut parts, ctx);
            let left = parts.waiting.len() + parts.park.len();
            (before - left, left, blocked)
        }
    };
    Unparked { applied, discarded, left, why: why.filter(|_| left > 0) }
}

/// Takes these events away.
fn discard<R>(parts: &mut Parts<'_, R>, names: &[ParkedName]) -> Vec<Parked> {
    let (mut gone, mut kept) = (Vec::new(), Vec::<Parked>::new());
    for parked in std::mem::take(parts.waiting) {
        // A store takes away the oldest of an origin: behind one that stays, the next has to stay, too.
        let behind = kept.iter().any(|kept| kept.delivery.origin == parked.delivery.origin);
        if names.contains(&parked.name()) && !behind {
            parts.unpark.push(parked.delivery.origin.clone());
            gone.push(parked);
        } else {
            kept.push(parked);
        }
    }
    *parts.queue = !kept.is_empty() || !parts.park.is_empty();
    *parts.waiting = kept;
    gone
}

/// Applies what waits for this order, oldest first, up to the first that still can't be applied; says why that can't.
pub(super) fn release<L: Logic>(
    logic: &mut L,
    parts: &mut Parts<'_, L::Record>,
    ctx: &mut Ctx<'_>,
) -> Option<String> {
    let stored = std::mem::take(parts.waiting);
    let mut left = stored.iter().map(|parked| (parked, true)).collect::<Vec<_>>();
    let fresh = std::mem::take(parts.park);
    left.extend(fresh.iter().map(|parked| (parked, false)));
    let mut kept = Vec::new();
    let mut blocked = None;
    for (parked, in_store) in left {
        if blocked.is_none() {
            blocked = read(&parked.delivery, &order_of(&parked.delivery))
                .and_then(|event| logic.event(parts.record, &event, &parked.delivery.value, ctx, parts.turn))
                .err();
        }
        match (blocked.is_none(), in_store) {
            (true, true) => parts.unpark.push(parked.delivery.origin.clone()),
            (false, false) => parts.park.push(parked.clone()),
            (false, true) => kept.push(parked.clone()),
            (true, false) => {}
        }
    }
    *parts.waiting = kept;
    *parts.queue = blocked.is_some();
    blocked
}

fn is_parked<R>(parts: &Parts<'_, R>, delivery: &Delivery, event_id: Option<Uuid>) -> bool {
    // A topic that lost its end gives the same offsets out again: an origin alone is no identity.
    let same = |parked: &Parked| match (parked.event_id, event_id) {
        (Some(parked), Some(event)) => parked == event,
        _ => parked.delivery.origin == delivery.origin && parked.delivery.value == delivery.value,
    };
    parts.waiting.iter().chain(parts.park.iter()).any(same)
}
