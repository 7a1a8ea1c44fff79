//! Searches that a seed decides, as the JSON that a client sends.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::differential_documents::{Dice, FULL_TEXTS, KEYWORDS, TEXTS, WORDS, epoch};

const NUMBERS: &[&str] = &["total", "quantity", "version"];
const DATES: &[&str] = &["createdAt", "updatedAt", "events.at"];

/// The body of a `_search`. Hits come in an order that leaves nothing open, or all at once.
pub fn body(dice: &mut Dice, documents: usize) -> Value {
    let mut body = Map::new();
    if dice.chance(92) {
        body.insert("query".to_owned(), query(dice, 0));
    }
    if dice.chance(60) {
        sorted(dice, &mut body);
    } else {
        body.insert("size".to_owned(), json!(documents));
    }
    if dice.chance(45) {
        body.insert("aggs".to_owned(), aggregations(dice, 0));
    }
    if dice.chance(30) {
        body.insert("_source".to_owned(), source(dice));
    }
    Value::Object(body)
}

/// A query as words, for `?q=`.
pub fn words(dice: &mut Dice) -> String {
    let clauses = dice.some(4, |dice| clause(dice, 0));
    let joints = [" ", " ", " ", " AND ", " OR ", " && ", " || "];
    let mut text = String::new();
    for (index, clause) in clauses.iter().enumerate() {
        if index > 0 {
            let joint: &&str = dice.one(&joints);
            text.push_str(joint);
        }
        text.push_str(clause);
    }
    text
}

fn clause(dice: &mut Dice, depth: usize) -> String {
    let sign = *dice.one(&["", "", "", "", "+", "-", "NOT ", "!"]);
    let field = match dice.below(10) {
        0..5 => String::new(),
        5..7 => format!("{}:", dice.one(FULL_TEXTS)),
        7 => format!("{}.keyword:", dice.one(FULL_TEXTS)),
        _ => format!("{}:", dice.one(KEYWORDS)),
    };
    let value = match dice.below(12) {
        0 if depth < 2 && field.is_empty() => {
            format!("({} {})", clause(dice, depth + 1), clause(dice, depth + 1))
        }
        1 => {
            let text: &&str = dice.one(TEXTS);
            format!("\"{}\"", escaped(text))
        }
        2 => format!("{}*", escaped(&single(dice).chars().take(3).collect::<String>())),
        3 => return format!("{sign}_exists_:{}", dice.one(KEYWORDS)),
        4 => {
            return format!(
                "{sign}{}:{}{}",
                dice.one(NUMBERS),
                dice.one(&["", ">", "<", ">=", "<="]),
                dice.below(12)
            );
        }
        5 => return format!("{sign}{}:>={}", dice.one(DATES), "2026-03-10"),
        6 => return format!("{sign}onHold:true"),
        _ => escaped(&single(dice)),
    };
    format!("{sign}{field}{value}")
}

/// One word without blanks.
fn single(dice: &mut Dice) -> String {
    let text = if dice.chance(70) { *dice.one(TEXTS) } else { *dice.one(WORDS) };
    let words: Vec<_> = text.split_whitespace().collect();
    if words.is_empty() { "phone".to_owned() } else { (*dice.one(&words)).to_owned() }
}

fn escaped(text: &str) -> String {
    let special = |c: char| "+-=&|><!(){}[]^\"~*?:\\/".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn query(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth < 3 { 20 } else { 15 }) {
        0 => json!({"match_all": {}}),
        1 => json!({"exists": {"field": any_field(dice)}}),
        2 => json!({"ids": {"values": dice.some(6, |dice| format!("{:04}", dice.below(400)))}}),
        3 => prefix(dice),
        4 => {
            let values = dice.some(5, |dice| json!(dice.one(WORDS)));
            json!({"terms": {(*dice.one(KEYWORDS)): values}})
        }
        5 => json!({"terms": {(*dice.one(NUMBERS)): dice.some(4, |dice| dice.below(12))}}),
        6 => range(dice),
        7 => json!({"match_phrase": {text_field(dice): phrase(dice)}}),
        8 => json!({"term": {(*dice.one(KEYWORDS)): dice.one(WORDS)}}),
        9 => odd_term(dice),
        10..15 => matching(dice),
        _ => bool(dice, depth),
    }
}

fn matching(dice: &mut Dice) -> Value {
    let text = match dice.below(4) {
        0 => format!("{} {}", dice.one(TEXTS), dice.one(TEXTS)),
        _ => phrase(dice),
    };
    let field = if dice.chance(80) { text_field(dice) } else { (*dice.one(KEYWORDS)).to_owned() };
    if dice.chance(50) {
        return json!({"match": {field: text}});
    }
    let mut inner = Map::from_iter([("query".to_owned(), json!(text))]);
    if dice.chance(60) {
        inner.insert("operator".to_owned(), json!(dice.one(&["and", "or", "AND"])));
    } else {
        inner.insert("minimum_should_match".to_owned(), minimum(dice));
    }
    json!({"match": {field: inner}})
}

fn odd_term(dice: &mut Dice) -> Value {
    match dice.below(6) {
        0 => {
            json!({"term": {(*dice.one(NUMBERS)): {"value": dice.one(&[json!(7), json!("7"), json!(1.5), json!(-3)])}}})
        }
        1 => json!({"term": {"onHold": dice.one(&[json!(true), json!("false")])}}),
        2 => json!({"term": {(*dice.one(DATES)): moment(dice)}}),
        3 => json!({"term": {text_field(dice): single(dice).to_lowercase()}}),
        4 => json!({"term": {"nothing.here": "x"}}),
        _ => json!({"term": {format!("{}.keyword", dice.one(FULL_TEXTS)): dice.one(TEXTS)}}),
    }
}

fn prefix(dice: &mut Dice) -> Value {
    let (field, from) = match dice.below(3) {
        0 => ((*dice.one(KEYWORDS)).to_owned(), (*dice.one(WORDS)).to_owned()),
        1 => (format!("{}.keyword", dice.one(FULL_TEXTS)), phrase(dice)),
        _ => (text_field(dice), single(dice).to_lowercase()),
    };
    let length = 1 + dice.below(3);
    json!({"prefix": {field: from.chars().take(length).collect::<String>()}})
}

fn range(dice: &mut Dice) -> Value {
    let (field, edge): (_, fn(&mut Dice) -> Value) = match dice.below(5) {
        0 | 1 => (*dice.one(NUMBERS), number),
        2 => (*dice.one(KEYWORDS), |dice| json!(dice.one(WORDS))),
        _ => (*dice.one(DATES), moment),
    };
    let mut inner = Map::new();
    if dice.chance(75) {
        inner.insert((*dice.one(&["gt", "gte"])).to_owned(), edge(dice));
    }
    if dice.chance(75) {
        inner.insert((*dice.one(&["lt", "lte"])).to_owned(), edge(dice));
    }
    json!({"range": {field: inner}})
}

fn number(dice: &mut Dice) -> Value {
    match dice.below(8) {
        0 => json!(2.5),
        1 => json!("4"),
        _ => json!(dice.below(14)),
    }
}

/// Dates of every form that requests may use.
fn moment(dice: &mut Dice) -> Value {
    let time = epoch() + SignedDuration::from_mins(i64::try_from(dice.below(60 * 24 * 45)).unwrap());
    let form = |form: &str| json!(time.strftime(form).to_string());
    match dice.below(10) {
        0 => json!(time.as_millisecond()),
        1 => form("%Y-%m-%dT%H:%M:%SZ"),
        2 => form("%Y-%m-%dT%H:%M:%S.%3f+01:00"),
        3 => form("%Y-%m-%dT%H:%M"),
        4 => form("%Y-%m"),
        5 => form("%Y-%m-%d||/M"),
        6 => form("%Y-%m-%d||+1d/w"),
        7 => form("%Y-%m-%dT%H"),
        _ => form("%Y-%m-%d"),
    }
}

fn bool(dice: &mut Dice, depth: usize) -> Value {
    let mut inner = Map::new();
    for (name, chance) in [("must", 40), ("filter", 40), ("should", 50), ("must_not", 30)] {
        if dice.chance(chance) {
            inner.insert(name.to_owned(), dice.some(3, |dice| query(dice, depth + 1)).into());
        }
    }
    if dice.chance(25) {
        inner.insert("minimum_should_match".to_owned(), minimum(dice));
    }
    json!({"bool": inner})
}

fn minimum(dice: &mut Dice) -> Value {
    dice.one(&[json!(1), json!(2), json!(0), json!(5), json!(-1), json!("50%"), json!("-30%"), json!("75%")])
        .clone()
}

fn any_field(dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => (*dice.one(NUMBERS)).to_owned(),
        1 => (*dice.one(DATES)).to_owned(),
        2 => text_field(dice),
        3 => (*dice.one(&["events", "onHold", "metadata", "unknown", "status.keyword", "everything"]))
            .to_owned(),
        _ => (*dice.one(KEYWORDS)).to_owned(),
    }
}

fn text_field(dice: &mut Dice) -> String {
    if dice.chance(25) { "everything".to_owned() } else { (*dice.one(FULL_TEXTS)).to_owned() }
}

fn phrase(dice: &mut Dice) -> String {
    let text = if dice.chance(75) { *dice.one(TEXTS) } else { *dice.one(WORDS) };
    let words: Vec<_> = text.split(' ').collect();
    let first = dice.below(words.len());
    if dice.chance(50) { text.to_owned() } else { words[first..].join(" ") }
}

/// By some fields, and by the id at last; sometimes a page in the middle.
fn sorted(dice: &mut Dice, body: &mut Map<String, Value>) {
    let mut sort = Vec::new();
    for _ in 0..dice.below(3) {
        let field = match dice.below(6) {
            0 => (*dice.one(NUMBERS)).to_owned(),
            1 | 2 => (*dice.one(DATES)).to_owned(),
            3 => format!("{}.keyword", dice.one(FULL_TEXTS)),
            4 => "onHold".to_owned(),
            _ => (*dice.one(KEYWORDS)).to_owned(),
        };
        let mut inner = Map::from_iter([("order".to_owned(), json!(dice.one(&["asc", "desc"])))]);
        if dice.chance(30) {
            inner.insert("missing".to_owned(), json!(dice.one(&["_first", "_last"])));
        }
        sort.push(json!({field: inner}));
    }
    sort.push(json!({"id": dice.one(&["asc", "desc"])}));
    body.insert("sort".to_owned(), sort.into());
    body.insert("size".to_owned(), json!(dice.below(40)));
    if dice.chance(40) {
        body.insert("from".to_owned(), json!(dice.below(60)));
    }
}

fn aggregations(dice: &mut Dice, depth: usize) -> Value {
    let named = dice.some(2, |dice| aggregation(dice, depth)).into_iter().enumerate();
    Value::Object(named.map(|(index, one)| (format!("a{index}"), one)).collect())
}

fn aggregation(dice: &mut Dice, depth: usize) -> Value {
    let mut one = match dice.below(10) {
        0..4 => json!({"terms": terms(dice)}),
        4..7 => json!({"date_histogram": date_histogram(dice)}),
        _ => {
            let metric = *dice.one(&["sum", "avg", "min", "max", "value_count"]);
            let field = match metric {
                "value_count" => any_exact(dice),
                "sum" => "quantity".to_owned(), // no sense in that of dates
                _ => counted(dice),
            };
            return json!({metric: {"field": field}});
        }
    };
    if depth < 2 && dice.chance(40) {
        one["aggs"] = aggregations(dice, depth + 1);
    }
    one
}

fn terms(dice: &mut Dice) -> Value {
    let mut inner = json!({"field": any_exact(dice)});
    if dice.chance(60) {
        inner["size"] = json!(1 + dice.below(30));
    }
    if dice.chance(40) {
        let key = *dice.one(&["_key", "_count"]);
        inner["order"] = json!({key: dice.one(&["asc", "desc"])});
    }
    // Where the largest are not first, a server drops the smaller ones after it has chosen.
    if inner.get("order").is_none() && dice.chance(20) {
        inner["min_doc_count"] = json!(1 + dice.below(5));
    }
    inner
}

fn date_histogram(dice: &mut Dice) -> Value {
    let mut inner = json!({"field": dice.one(&["updatedAt", "createdAt", "events.at"])});
    if dice.chance(50) {
        // Not by minutes: some dates are of 1969.
        let unit = *dice.one(&["day", "week", "month", "quarter", "year", "1M", "1d"]);
        inner["calendar_interval"] = json!(unit);
    } else {
        inner["fixed_interval"] = json!(dice.one(&["7d", "30d", "36h", "10000m"]));
    }
    if dice.chance(60) {
        inner["min_doc_count"] = json!(dice.below(3));
    }
    if dice.chance(20) {
        inner["order"] = json!({"_key": "desc"});
    }
    inner
}

fn any_exact(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => counted(dice),
        1 => format!("{}.keyword", dice.one(FULL_TEXTS)),
        _ => (*dice.one(KEYWORDS)).to_owned(),
    }
}

fn counted(dice: &mut Dice) -> String {
    (*dice.one(&["quantity", "quantity", "createdAt", "events.at", "onHold"])).to_owned()
}

fn source(dice: &mut Dice) -> Value {
    match dice.below(7) {
        0 => json!(false),
        1 => json!(["id", "status"]),
        2 => json!("events.type"),
        3 => json!({"includes": ["*tatus", "events.*"], "excludes": ["events.at"]}),
        4 => json!({"excludes": ["metadata", "customer*"]}),
        5 => json!(["metadata.deep", "events"]),
        _ => json!("cust*Name"),
    }
}
