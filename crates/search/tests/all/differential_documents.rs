//! Documents that a seed decides: few values, so that they meet, and strange ones among them.

use cartwright_search::Document;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// Numbers that a seed decides, the same on every machine.
pub struct Dice {
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below this.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// So many times of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Up to so many of what `make` makes, and at least one.
    pub fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..=self.below(most)).map(|_| make(self)).collect()
    }
}

/// Texts as they come in orders, and some that take words apart in unusual ways.
pub const TEXTS: &[&str] = &[
    "Created",
    "created",
    "PaymentAuthorized",
    "FulfillmentScheduled",
    "In transit",
    "in-transit",
    "on_hold",
    "Phone",
    "phone case, black",
    "Phone  Phone case",
    "user@example.com",
    "USER@Example.com",
    "ada.lovelace+shop@mail.example.org",
    "Ada Lovelace",
    "O'Neil d'Arc",
    "Łódź Straße naïve",
    "STRASSE ŁÓDŹ",
    "İstanbul ΣΑΣ",
    "日本語 テスト",
    "שלום \"עולם\" ש\"ל",
    "3.14 1,000.5 v1.2.3",
    "a.b:c_d/e",
    "😀 phone 👍🏽",
    "the and or not",
    "x",
    "",
    " ",
    "-",
    "AB-12-34",
    "can’t won't",
    "line\nbreak\ttab",
    "한국어", // no Thai: a server cuts it otherwise, which shows in prefixes
    "e\u{301}te\u{301}",
    "soft\u{ad}hyphen zero\u{200b}width",
];

/// Exact values.
pub const WORDS: &[&str] = &[
    "dhl",
    "DHL",
    "ups",
    "web",
    "Web shop",
    "standard",
    "scheduled",
    "A-1",
    "A-2",
    "a-1",
    "",
    "é",
    "10",
    "9",
];

/// Texts that are all in one field, and differ.
pub const KEYWORDS: &[&str] = &[
    "number",
    "externalId",
    "dialect",
    "channel",
    "flow",
    "orderStatus",
    "milestone",
    "paymentStatus",
    "fulfillmentStatus",
    "customerId",
    "country",
    "currency",
    "skus",
    "trackingNumber",
    "carrier",
    "paymentScenario",
    "correlationId",
    "events.type",
    "events.source",
];

pub const FULL_TEXTS: &[&str] = &["status", "customerEmail", "customerName", "productType", "products"];

/// What the documents lie around.
pub fn epoch() -> Timestamp {
    "2026-02-27T23:30:00Z".parse().unwrap()
}

/// So many documents, the first named 0.
pub fn documents(dice: &mut Dice, count: usize) -> Vec<Document> {
    (0..count).map(|number| document(dice, number)).collect()
}

fn document(dice: &mut Dice, number: usize) -> Document {
    let id = format!("{number:04}");
    let mut source = Map::from_iter([("id".to_owned(), json!(id))]);
    for field in KEYWORDS.iter().filter(|field| !field.contains('.')) {
        if let Some(value) = value(dice, |dice| json!(dice.one(WORDS))) {
            source.insert((*field).to_owned(), value);
        }
    }
    for field in FULL_TEXTS {
        if let Some(value) = value(dice, text) {
            source.insert((*field).to_owned(), value);
        }
    }
    for field in ["total", "version"] {
        if let Some(value) = value(dice, number_value) {
            source.insert(field.to_owned(), value);
        }
    }
    // Sums of the largest numbers differ in their digits on any two machines.
    if let Some(value) = value(dice, |dice| json!(dice.below(12))) {
        source.insert("quantity".to_owned(), value);
    }
    for field in ["createdAt", "updatedAt"] {
        if let Some(value) = value(dice, date) {
            source.insert(field.to_owned(), value);
        }
    }
    if let Some(value) =
        value(dice, |dice| dice.one(&[json!(true), json!(false), json!("true"), json!("")]).clone())
    {
        source.insert("onHold".to_owned(), value);
    }
    source.insert(
        "metadata".to_owned(),
        json!({"note": dice.one(TEXTS), "deep": {"deeper": [1, {"a": null}]}}),
    );
    if dice.chance(90) {
        source.insert("events".to_owned(), dice.some(4, event).into());
    }
    if dice.chance(20) {
        source.insert("unknown".to_owned(), json!({"field": dice.one(WORDS)}));
    }
    Document { id, version: 1, source: Value::Object(source).to_string().into_bytes() }
}

/// Usually one value, sometimes several, none or null.
fn value(dice: &mut Dice, mut one: impl FnMut(&mut Dice) -> Value) -> Option<Value> {
    match dice.below(20) {
        0 => None,
        1 => Some(Value::Null),
        2 => Some(json!([])),
        3..5 => Some(dice.some(4, &mut one).into()),
        5 => Some(json!([one(dice), null, [one(dice)]])),
        _ => Some(one(dice)),
    }
}

fn text(dice: &mut Dice) -> Value {
    match dice.below(30) {
        0 => json!("long ".repeat(60)), // more than an exact field keeps
        1 => json!("x".repeat(300)),    // longer than a word is
        2..8 => json!([*dice.one(TEXTS), *dice.one(TEXTS)].join(" ")),
        _ => json!(dice.one(TEXTS)),
    }
}

fn number_value(dice: &mut Dice) -> Value {
    match dice.below(20) {
        0 => json!(1.5),
        1 => json!("7"),
        2 => json!(-3),
        // Not the very ends, which sorting takes for "missing".
        3 => json!(i64::MAX - 1),
        4 => json!(i64::MIN + 1),
        5 => json!("8.9"),
        _ => json!(dice.below(12)),
    }
}

fn date(dice: &mut Dice) -> Value {
    let minutes = i64::try_from(dice.below(60 * 24 * 40)).unwrap();
    let time = epoch() + SignedDuration::from_mins(minutes) + SignedDuration::from_millis(minutes % 7 * 100);
    match dice.below(12) {
        0 => json!(time.as_millisecond()),
        1 => json!(time.strftime("%Y-%m-%d").to_string()),
        2 => json!(time.strftime("%Y-%m-%dT%H:%M:%S+02:00").to_string()),
        3 => json!(time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()),
        4 => json!("1969-12-31T23:59:59.999Z"),
        _ => json!(time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()),
    }
}

fn event(dice: &mut Dice) -> Value {
    let mut event = Map::new();
    event.insert("type".to_owned(), json!(dice.one(WORDS)));
    if dice.chance(80) {
        event.insert("at".to_owned(), date(dice));
    }
    for field in ["id", "source"] {
        if let Some(value) = value(dice, |dice| json!(dice.one(WORDS))) {
            event.insert(field.to_owned(), value);
        }
    }
    Value::Object(event)
}
