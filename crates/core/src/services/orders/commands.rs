//! How commands are decided: placing, changing, and repeats of either.

use std::sync::Arc;

use super::{Answered, OrderAnswer, PlaceOrder, Rejection, Request, advance, begin, to_json};
use crate::{
    domain::{
        flow::MANUAL_FLOW,
        ids::OrderId,
        order::{Order, OrderCommand, PaymentIntent},
    },
    ports::SavedAnswer,
    services::{Ctx, Turn},
};

pub(super) fn place_order(
    record: &mut Option<Arc<Order>>,
    place: &PlaceOrder,
    taken_by: Option<&OrderId>,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) -> OrderAnswer {
    if let Some(order) = record {
        return repeat_of(order, place, &ctx.settings.default_provider);
    }
    if let Some(other) = taken_by {
        return Err(Rejection::ExternalIdTaken(other.clone()));
    }
    let counts = place.placed.flow != MANUAL_FLOW && !place.variation.taken;
    if counts && ctx.open_orders >= ctx.settings.max_open_orders {
        return Err(Rejection::Full(ctx.open_orders));
    }
    let number = ctx.numbers.next().unwrap_or_default();
    let mut intent = place.intent.clone();
    intent.provider.get_or_insert_with(|| ctx.settings.default_provider.clone());
    let mut order = Order::place(
        place.id.clone(),
        number,
        place.placed.clone(),
        intent,
        place.placed_by.clone(),
        place.correlation_id,
        ctx.now,
    );
    place.variation.change(&mut order.steps);
    order.word.clone_from(&place.variation.word);
    begin(&mut order, ctx, turn);
    let order = record.insert(Arc::new(order));
    Ok(Answered { order: order.clone(), created: true, replayed: false })
}

/// What a request to place means when its id is there already.
fn repeat_of(order: &Arc<Order>, place: &PlaceOrder, default_provider: &str) -> OrderAnswer {
    let identical = order.placed_by.fingerprint == place.placed_by.fingerprint;
    let same_key = place.placed_by.key.is_some()
        && order.placed_by.key == place.placed_by.key
        && order.placed_by.caller == place.placed_by.caller;
    let found = || Answered { order: order.clone(), created: false, replayed: same_key };
    match (same_key, identical) {
        (true, true) => Ok(found()),
        (true, false) => Err(Rejection::KeyReused),
        (false, _) if place.put && stands(order, place, default_provider) => Ok(found()),
        (false, _) => Err(Rejection::IdTaken(order.id.clone())),
    }
}

pub(super) fn change_order(
    record: &mut Option<Arc<Order>>,
    request: &Request,
    saved: Option<&SavedAnswer>,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) -> OrderAnswer {
    if let Some(saved) = saved {
        if saved.fingerprint != request.fingerprint() {
            return Err(Rejection::KeyReused);
        }
        // An answer of another version may be beyond us: it was done all the same, and is not done again.
        let then = serde_json::from_slice::<Order>(&saved.record).map(Arc::new);
        let order = then.ok().or_else(|| record.clone());
        let order = order.ok_or_else(|| Rejection::NotFound(request.order.clone()))?;
        return Ok(Answered { order, created: false, replayed: true });
    }
    let order = record.as_mut().ok_or_else(|| Rejection::NotFound(request.order.clone()))?;
    if request.expected.is_some_and(|expected| expected != order.version) {
        return Err(Rejection::Stale(order.version));
    }
    if let OrderCommand::SetWord { word, again: false } = &request.command
        && order.word.as_ref() == Some(word)
    {
        return Err(Rejection::Unchanged);
    }
    let first = order.decide(&request.command).map_err(|refusal| Rejection::NotNow(refusal.why))?;
    if !first.is_empty() {
        advance(Arc::make_mut(order), first, None, &request.actor, ctx, turn);
    }
    if let Some(key) = &request.key {
        let record = to_json(order);
        turn.save_answer(
            key.clone(),
            SavedAnswer { fingerprint: request.fingerprint(), record, saved_at: ctx.now },
        );
    }
    Ok(Answered { order: order.clone(), created: false, replayed: false })
}

/// Whether an order is what a request asks for, however it came to be.
fn stands(order: &Order, place: &PlaceOrder, default_provider: &str) -> bool {
    let PaymentIntent { provider, token, scenario } = &place.intent;
    let provider = provider.as_deref().unwrap_or(default_provider);
    order.placed == place.placed
        && order.intent.provider.as_deref() == Some(provider)
        && (&order.intent.token, &order.intent.scenario) == (token, scenario)
}
