//! Generated garbage, for everything that reads from outside: JSON that is almost right, and bytes that are not.
//!
//! Strategies for proptest give [`Change`]s and [`Edit`]s, which are applied to something good: so a failing case
//! shrinks to the one change that matters.

use proptest::{
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Map, Value};

/// A change to one place of a JSON document.
#[derive(Clone, Debug)]
pub struct Change {
    at: Index,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// The field or item is gone.
    Remove,
    /// The field has another name.
    Rename(String),
    /// Something else stands there, written as it is: it need not be JSON.
    Replace(String),
    /// The field stands there twice.
    Twice(String),
    /// The list has so many items.
    Many(usize),
    /// The value lies so deep in lists.
    Deep(usize),
}

/// A change to bytes.
#[derive(Clone, Debug)]
pub enum Edit {
    /// They end here.
    Cut(Index),
    /// This byte is another one.
    Flip(Index, u8),
    /// These come in between.
    Insert(Index, Vec<u8>),
    /// So many are missing here.
    Skip(Index, usize),
}

/// A few changes to a document.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let how = prop_oneof![
        2 => Just(How::Remove),
        1 => any::<String>().prop_map(How::Rename),
        8 => raw().prop_map(How::Replace),
        1 => raw().prop_map(How::Twice),
        1 => select(vec![0, 2, 1_000, 1_001]).prop_map(How::Many),
        1 => select(vec![1, 2, 60, 200]).prop_map(How::Deep),
    ];
    let change = (any::<Index>(), how).prop_map(|(at, how)| Change { at, how });
    prop::collection::vec(change, 1..4)
}

/// A few edits to bytes.
pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let some = || prop::collection::vec(any::<u8>(), 1..8);
    let edit = prop_oneof![
        any::<Index>().prop_map(Edit::Cut),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Flip(at, byte)),
        (any::<Index>(), some()).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<Index>(), 1..9_usize).prop_map(|(at, count)| Edit::Skip(at, count)),
    ];
    prop::collection::vec(edit, 1..4)
}

/// Bytes of any kind: noise, text, and JSON of any shape.
pub fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        any::<String>().prop_map(String::into_bytes),
        raw().prop_map(String::into_bytes),
        json().prop_map(|json| json.to_string().into_bytes()),
    ]
}

/// Any JSON.
pub fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A document with its changes, as text. It may not be JSON any more.
pub fn spoil(document: &Value, changes: &[Change]) -> String {
    let mut document = document.clone();
    let mut raws = Vec::new();
    for change in changes {
        let count = count(&document);
        if count > 0 {
            apply(&mut document, change.at.index(count), &change.how, &mut raws);
        }
    }
    // The last first: a replacement may lie in what another one copied.
    let text = document.to_string();
    raws.iter().enumerate().rev().fold(text, |text, (n, raw)| text.replace(&mark(n).to_string(), raw))
}

/// Bytes with their edits.
pub fn edit(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for edit in edits {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match edit {
            Edit::Cut(at) => bytes.truncate(place(at)),
            Edit::Flip(at, byte) => {
                let place = place(at);
                if let Some(there) = bytes.get_mut(place) {
                    *there ^= byte;
                }
            }
            Edit::Insert(at, new) => {
                let place = place(at);
                bytes.splice(place..place, new.iter().copied());
            }
            Edit::Skip(at, count) => {
                let from = place(at);
                let to = (from + count).min(bytes.len());
                bytes.drain(from..to);
            }
        }
    }
    bytes
}

/// What stands where something else is expected: every border that a reader might trip over, and anything at all.
fn raw() -> impl Strategy<Value = String> {
    let borders = [
        "null",
        "true",
        "0",
        "-0",
        "-1",
        "1.0",
        "1.5",
        "1e3",
        "1E400",
        "-1e-400",
        "00",
        "NaN",
        "4294967295",
        "4294967296",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        r#""""#,
        r#"" ""#,
        r#"".""#,
        r#""\u0000""#,
        r#""\u0085""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\u202e""#,
        "\"😀\"",
        "\"e\u{301}\"",
        "\"line\\nline\"",
        "\"a:1\"",
        "\"-\"",
        "\"*\"",
        "[]",
        "{}",
        "[null]",
        "[[]]",
        r#"{"":{}}"#,
        r#"{"a":1,"a":2}"#,
        "\"9999-12-31T23:59:59Z\"",
        "\"-009999-01-01T00:00:00Z\"",
        "\"2026-02-30T00:00:00Z\"",
        "",
        ",",
        "}",
        "\"",
    ];
    prop_oneof![
        12 => select(borders.to_vec()).prop_map(str::to_owned),
        1 => select(vec![41, 128, 129, 501, 5_000]).prop_map(|length: usize| format!("\"{}\"", "é".repeat(length / 2 + 1))),
        2 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| number.to_string()),
        3 => any::<String>().prop_map(|text| Value::from(text).to_string()),
    ]
}

/// How many places a document has below its root.
fn count(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.values().map(|value| 1 + count(value)).sum(),
        Value::Array(items) => items.iter().map(|value| 1 + count(value)).sum(),
        _ => 0,
    }
}

/// Changes the place of this number, counted from the top down.
fn apply(value: &mut Value, mut number: usize, how: &How, raws: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if number == 0 {
                    return apply_to_field(fields, &name, how, raws);
                }
                let Some(inner) = fields.get_mut(&name) else { return };
                let below = count(inner);
                if number <= below {
                    return apply(inner, number - 1, how, raws);
                }
                number -= 1 + below;
            }
        }
        Value::Array(items) => {
            for i in 0..items.len() {
                if number == 0 {
                    return apply_to_item(items, i, how, raws);
                }
                let below = count(&items[i]);
                if number <= below {
                    return apply(&mut items[i], number - 1, how, raws);
                }
                number -= 1 + below;
            }
        }
        _ => {}
    }
}

fn apply_to_field(fields: &mut Map<String, Value>, name: &str, how: &How, raws: &mut Vec<String>) {
    let Some(value) = fields.get_mut(name) else { return };
    match how {
        How::Remove => {
            fields.remove(name);
        }
        How::Rename(new) => {
            let value = value.take();
            fields.remove(name);
            fields.insert(new.clone(), value);
        }
        How::Twice(raw) => {
            let twice = format!("{value},{}:{raw}", Value::from(name));
            *value = written(twice, raws);
        }
        How::Replace(_) | How::Many(_) | How::Deep(_) => change_value(value, how, raws),
    }
}

fn apply_to_item(items: &mut Vec<Value>, i: usize, how: &How, raws: &mut Vec<String>) {
    match how {
        How::Remove => {
            items.remove(i);
        }
        How::Twice(_) => items.insert(i, items[i].clone()),
        How::Rename(_) | How::Replace(_) | How::Many(_) | How::Deep(_) => {
            change_value(&mut items[i], how, raws);
        }
    }
}

fn change_value(value: &mut Value, how: &How, raws: &mut Vec<String>) {
    match how {
        How::Replace(raw) => *value = written(raw.clone(), raws),
        How::Many(count) => {
            let item = value.get(0).unwrap_or(value).clone();
            *value = Value::Array(vec![item; *count]);
        }
        How::Deep(depth) => {
            *value = written(format!("{}{value}{}", "[".repeat(*depth), "]".repeat(*depth)), raws)
        }
        How::Remove | How::Rename(_) | How::Twice(_) => {}
    }
}

/// Text that stands in the document as it is.
fn written(raw: String, raws: &mut Vec<String>) -> Value {
    raws.push(raw);
    mark(raws.len() - 1)
}

fn mark(n: usize) -> Value {
    format!("@written as it is: {n}@").into()
}
