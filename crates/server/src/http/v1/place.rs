//! A new order as a client states it.

use std::collections::HashSet;

use cartwright_core::{
    domain::{
        flow,
        frozen::Frozen,
        ids::OrderId,
        money::{Currency, MAX_AMOUNT, MAX_SCALE},
        order::{
            Address, Charge, ChargeType, Customer, Line, MAX_CHARGES, MAX_LINES, MAX_QUANTITY, PaymentIntent,
            Placed, PlacedBy, Totals,
        },
    },
    services::{PlaceOrder, Variation},
};
use uuid::Uuid;

use crate::{
    control::Scenarios,
    http::{
        form::{Form, read_body},
        problem::Problem,
    },
};

/// Keys of `metadata`, at most.
const METADATA_KEYS: usize = 50;
/// Characters of a key of `metadata`, at most.
const METADATA_KEY: usize = 40;
/// Characters of a value of `metadata`, at most.
const METADATA_VALUE: usize = 500;

/// Who asks, and how.
pub struct Asked<'a> {
    /// The caller.
    pub caller: &'a str,
    /// Its `Idempotency-Key`.
    pub key: Option<&'a str>,
    /// The id in the path (`PUT`).
    pub path_id: Option<&'a OrderId>,
    /// The scenarios that it may ask for.
    pub scenarios: &'a Scenarios,
}

/// Reads the body of `POST /v1/orders` and `PUT /v1/orders/{id}`.
///
/// # Errors
/// 400 naming every bad field.
pub fn read_order(body: &[u8], asked: &Asked<'_>, fresh: impl Fn() -> Uuid) -> Result<PlaceOrder, Problem> {
    read_body(body, |form| {
        let stated_id = form.parsed("id", OrderId::parse);
        if let (Some(path), Some(body)) = (asked.path_id, &stated_id)
            && path != body
        {
            form.bad("id", "must be the id in the path, or left out");
        }
        let stated_id = asked.path_id.cloned().or(stated_id);
        let correlation_id = form.text("correlationId", 1, 64).and_then(|text| {
            let id = Uuid::try_parse(&text).ok();
            if id.is_none() {
                form.bad("correlationId", "must be a UUID");
            }
            id
        });
        let intent =
            form.object("payment", |payment| Some(read_intent(payment, asked.scenarios))).unwrap_or_default();
        let placed = Frozen::new(read_placed(form)?);
        if form.has_errors() {
            return None;
        }
        let fingerprint = PlaceOrder::fingerprint(stated_id.as_ref().map(OrderId::as_str), &placed, &intent);
        let id = stated_id.unwrap_or_else(|| match asked.key {
            Some(key) => OrderId::from_key(asked.caller, key),
            None => OrderId::from(fresh()),
        });
        Some(PlaceOrder {
            id,
            placed,
            intent,
            placed_by: PlacedBy {
                caller: asked.caller.to_owned(),
                key: asked.key.map(str::to_owned),
                fingerprint,
            },
            correlation_id: correlation_id.unwrap_or_else(fresh),
            put: asked.path_id.is_some(),
            variation: Variation::default(),
        })
    })
}

fn read_placed(form: &mut Form<'_>) -> Option<Placed> {
    let flow = form.text("flow", 1, 40).unwrap_or_else(|| flow::DEFAULT_FLOW.to_owned());
    if !flow::FLOWS.contains(&flow.as_str()) {
        form.bad("flow", format!("must be one of {}", flow::FLOWS.join(", ")));
    }
    let currency = read_currency(form);
    let scale = form.integer("scale", 0, MAX_SCALE.into()).and_then(|scale| u8::try_from(scale).ok());
    let scale = scale.filter(|scale| currency.is_none_or(|currency| currency.scale() != *scale));
    let priced = currency != Some(Currency::NONE);
    let customer = form.needed_object("customer", |customer| {
        Some(Customer {
            id: customer.needed_text("id", 1, 100)?,
            name: customer.text("name", 1, 200),
            email: read_email(customer),
        })
    });
    let external_id = form.text("externalId", 1, 128);
    let channel = form.text("channel", 1, 40);
    let ship_to = form.object("shipTo", |address| Some(read_address(address)));
    let bill_to = form.object("billTo", |address| Some(read_address(address)));
    let metadata = form.map("metadata", METADATA_KEYS, METADATA_KEY, METADATA_VALUE);
    let charges = form.list("charges", 0, MAX_CHARGES, |_, charge| read_charge(charge));
    let mut stated_line_totals = Vec::new();
    let lines = form.list("lines", 1, MAX_LINES, |i, line| {
        let (line, total) = read_line(i, priced, line)?;
        stated_line_totals.push(total);
        Some(line)
    });
    let stated_totals = form.object("totals", |totals| {
        Some(["lines", "charges", "tax", "total"].map(|name| totals.integer(name, -MAX_AMOUNT, MAX_AMOUNT)))
    });
    let mut placed = Placed {
        dialect: None,
        taken_at: None,
        external_id,
        channel,
        flow,
        customer: customer?,
        currency: currency?,
        scale,
        lines: lines?,
        charges: charges?,
        totals: Totals::default(),
        ship_to,
        bill_to,
        metadata,
    };
    check_ids(form, &placed.lines);
    if let Err(wrong) = placed.add_up() {
        for discrepancy in wrong {
            form.bad(discrepancy.field.trim_start_matches('/'), discrepancy.message);
        }
        return None;
    }
    compare(form, &placed, &stated_line_totals, stated_totals);
    Some(placed)
}

/// Sums that the client states must be the ones that follow.
fn compare(form: &mut Form<'_>, placed: &Placed, lines: &[Option<i64>], totals: Option<[Option<i64>; 4]>) {
    for (i, (line, stated)) in placed.lines.iter().zip(lines).enumerate() {
        if stated.is_some_and(|stated| stated != line.total) {
            let rule = "quantity · unitPrice − discount + tax";
            form.bad(&format!("lines/{i}/total"), format!("must be {rule}, which is {}", line.total));
        }
    }
    let sums = placed.totals;
    let names = ["lines", "charges", "tax", "total"];
    let right = [sums.lines, sums.charges, sums.tax, sums.total];
    for ((name, right), stated) in names.into_iter().zip(right).zip(totals.unwrap_or_default()) {
        if stated.is_some_and(|stated| stated != right) {
            form.bad(&format!("totals/{name}"), format!("must be {right}, the sum of what the order states"));
        }
    }
}

fn check_ids(form: &mut Form<'_>, lines: &[Line]) {
    let mut seen = HashSet::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        if !seen.insert(line.id.as_str()) {
            form.bad(&format!("lines/{i}/id"), "must be unique in its order");
        }
    }
}

fn read_line(i: usize, priced: bool, form: &mut Form<'_>) -> Option<(Line, Option<i64>)> {
    let id = form.text("id", 1, 40).unwrap_or_else(|| (i + 1).to_string());
    let sku = form.needed_text("sku", 1, 100);
    let name = form.text("name", 1, 200);
    let quantity = form.needed_integer("quantity", 1, MAX_QUANTITY.into());
    let unit_price = if priced {
        form.needed_integer("unitPrice", 0, MAX_AMOUNT)
    } else {
        let price = form.integer("unitPrice", 0, MAX_AMOUNT);
        if price.is_some() {
            form.bad("unitPrice", "must be left out or null when the currency is XXX");
        }
        None
    };
    let discount = form.integer("discount", 0, MAX_AMOUNT).unwrap_or(0);
    let tax = form.integer("tax", 0, MAX_AMOUNT).unwrap_or(0);
    let total = form.integer("total", -MAX_AMOUNT, MAX_AMOUNT);
    if !priced && (discount != 0 || tax != 0) {
        form.bad("discount", "and tax must be 0 when the currency is XXX");
    }
    let quantity = u32::try_from(quantity?).ok()?;
    if priced && unit_price.is_none() {
        return None;
    }
    Some((Line { id, sku: sku?, name, quantity, unit_price, discount, tax, total: 0 }, total))
}

fn read_charge(form: &mut Form<'_>) -> Option<Charge> {
    let kind = form.needed_word("type", &ChargeType::ALL);
    let amount = form.needed_integer("amount", -MAX_AMOUNT, MAX_AMOUNT);
    let tax = form.integer("tax", -MAX_AMOUNT, MAX_AMOUNT).unwrap_or(0);
    let (kind, amount) = (kind?, amount?);
    if (amount < 0 || tax < 0) && kind != ChargeType::Discount {
        form.bad("amount", "and tax may be negative for the type discount only");
    }
    Some(Charge { kind, amount, tax })
}

fn read_intent(form: &mut Form<'_>, scenarios: &Scenarios) -> PaymentIntent {
    let scenario = form.text("scenario", 1, 40);
    if let Some(Err(message)) = scenario.as_deref().map(|scenario| scenarios.check(scenario)) {
        form.bad("scenario", message);
    }
    PaymentIntent { provider: form.text("provider", 1, 40), token: form.text("token", 1, 500), scenario }
}

fn read_address(form: &mut Form<'_>) -> Address {
    let mut part = |name| form.text(name, 1, 200);
    let address = Address {
        name: part("name"),
        company: part("company"),
        line1: part("line1"),
        line2: part("line2"),
        city: part("city"),
        region: part("region"),
        postal_code: part("postalCode"),
        country: part("country"),
        phone: part("phone"),
    };
    let two_letters = |code: &String| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
    if address.country.as_ref().is_some_and(|code| !two_letters(code)) {
        form.bad("country", "must be an ISO 3166-1 code of two upper-case letters");
    }
    address
}

fn read_email(form: &mut Form<'_>) -> Option<String> {
    let email = form.text("email", 3, 254)?;
    let whole = email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !whole || email.contains(char::is_whitespace) {
        form.bad("email", "must be an e-mail address");
    }
    Some(email)
}

fn read_currency(form: &mut Form<'_>) -> Option<Currency> {
    let code = form.needed_text("currency", 1, 10)?;
    let currency = Currency::parse(&code);
    if currency.is_none() {
        form.bad(
            "currency",
            "must be an upper-case ISO 4217 code such as USD (XXX for orders without prices)",
        );
    }
    currency
}
