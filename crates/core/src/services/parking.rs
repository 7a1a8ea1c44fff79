//! Events that can't be applied: they are set aside with their bytes and the reason, and later events of the same
//! order queue behind them. No other order notices.

use uuid::Uuid;

use super::{Ctx, Logic, MAX_PARKED, Said, Turn};
use crate::{
    domain::{
        ids::{OrderId, derive_uuid},
        time::Timestamp,
    },
    events::{self, Envelope},
    ports::{Delivery, Origin, Parked, ParkedName},
};

/// Characters of a reason that are kept.
const MAX_REASON: usize = 1_000;

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

/// What a delivery says.
pub(super) enum Heard {
    /// An event of another service of ours.
    Event(Envelope),
    /// What a neighbour said.
    Said(Said),
}

impl Heard {
    pub fn event_id(&self) -> Uuid {
        match self {
            Self::Event(event) => event.event_id,
            Self::Said(said) => said.event_id,
        }
    }

    /// Whether it makes an order.
    pub fn creates(&self) -> bool {
        matches!(self, Self::Said(said) if said.creates())
    }

    fn apply<L: Logic>(
        &self,
        logic: &mut L,
        record: &mut Option<L::Record>,
        delivery: &Delivery,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Result<(), String> {
        match self {
            Self::Event(event) => logic.event(record, event, &delivery.value, ctx, turn),
            Self::Said(said) => logic.said(record, said, ctx, turn),
        }
    }
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

/// What a delivery says, and the order that it belongs to: the one that a neighbour speaks of, or else its key.
/// A key that is no order id gets a name of its own, so that its event can be set aside like any other; so does what is
/// malformed from a neighbour, since nothing of the order waits for it.
pub(super) fn hear<L: Logic>(logic: &L, delivery: &Delivery) -> (OrderId, Result<Heard, String>) {
    match logic.hear(delivery) {
        Some(Ok(said)) => (said.order.clone(), Ok(Heard::Said(said))),
        Some(Err(reason)) => (nameless(delivery), Err(reason)),
        None => {
            let order = std::str::from_utf8(&delivery.key).ok().and_then(|key| OrderId::parse(key).ok());
            let order = order.unwrap_or_else(|| nameless(delivery));
            let heard = read(delivery, &order).map(Heard::Event);
            (order, heard)
        }
    }
}

fn nameless(delivery: &Delivery) -> OrderId {
    let Origin { source, lane, position } = &delivery.origin;
    OrderId::from(derive_uuid("unreadable key", &[source, &lane.to_string(), &position.to_string()]))
}

/// The event of a delivery: it must be about the order that is its key, or two records would be told about one step.
fn read(delivery: &Delivery, key: &OrderId) -> Result<Envelope, String> {
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
    heard: Option<&Result<Heard, String>>,
    ctx: &mut Ctx<'_>,
) {
    let (event_id, reason) = match heard {
        Some(Ok(heard)) => {
            let event_id = heard.event_id();
            if is_parked(&parts, delivery, Some(event_id)) {
                return; // delivered again: it waits already
            }
            // Our own events wait for each other only. A neighbour's topics have no order among each other, either: what
            // waits may wait for just this.
            let ours = |parked: &Parked| !matches!(logic.hear(&parked.delivery), Some(Ok(_)));
            let behind = *parts.queue
                && matches!(heard, Heard::Event(_))
                && parts.waiting.iter().chain(parts.park.iter()).any(ours);
            let reason = if behind {
                "an earlier event of this order is parked".to_owned()
            } else {
                match heard.apply(logic, parts.record, delivery, ctx, parts.turn) {
                    Ok(()) => {
                        release(logic, &mut parts, ctx);
                        return;
                    }
                    Err(reason) => reason,
                }
            };
            (Some(event_id), reason)
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
    let reason = shortened(reason);
    parts.park.push(Parked { delivery: delivery.clone(), event_id, reason, parked_at: now });
}

/// What can't be read may be quoted in the reason, however long it is.
fn shortened(mut reason: String) -> String {
    if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
        reason.truncate(end);
        reason.push('…');
    }
    reason
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
/// Of what neighbours said, everything that can be applied is: it may have waited for something behind it.
pub(super) fn release<L: Logic>(
    logic: &mut L,
    parts: &mut Parts<'_, L::Record>,
    ctx: &mut Ctx<'_>,
) -> Option<String> {
    let stored = std::mem::take(parts.waiting);
    let fresh = std::mem::take(parts.park);
    let mut left: Vec<(&Parked, bool)> = stored.iter().map(|parked| (parked, true)).collect();
    left.extend(fresh.iter().map(|parked| (parked, false)));
    let mut blocked = None;
    let mut again = !left.is_empty();
    while again {
        again = false;
        blocked = None;
        let (mut kept, mut ordered_blocked) = (Vec::new(), false);
        for (parked, in_store) in left {
            let heard = hear(logic, &parked.delivery).1;
            let ordered = !matches!(heard, Ok(Heard::Said(_)));
            // A store takes away the oldest of an origin: behind one that stays, the next has to stay, too.
            let behind = (ordered && ordered_blocked)
                || kept
                    .iter()
                    .any(|(kept, _): &(&Parked, bool)| kept.delivery.origin == parked.delivery.origin);
            let applied = match heard {
                _ if behind => Err("an earlier event of this order is parked".to_owned()),
                Ok(heard) => heard.apply(logic, parts.record, &parked.delivery, ctx, parts.turn),
                Err(reason) => Err(reason),
            };
            match applied {
                Ok(()) => {
                    again |= !kept.is_empty();
                    if in_store {
                        parts.unpark.push(parked.delivery.origin.clone());
                    }
                }
                Err(reason) => {
                    blocked.get_or_insert(reason);
                    ordered_blocked |= ordered;
                    kept.push((parked, in_store));
                }
            }
        }
        left = kept;
    }
    let (waiting, park): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, in_store)| *in_store);
    *parts.waiting = waiting.into_iter().map(|(parked, _)| parked.clone()).collect();
    *parts.park = park.into_iter().map(|(parked, _)| parked.clone()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_does_not_grow_with_what_it_quotes() {
        assert_eq!(shortened("short".to_owned()), "short");
        let long = shortened("é".repeat(5_000_000));
        assert_eq!(long.chars().count(), MAX_REASON + 1);
        assert!(long.ends_with("é…"));
    }
}
