//! Expected JSON in which some texts stand for many values.

use regex::Regex;
use serde_json::Value;

/// Says why a value is not as expected; nothing, if it is.
pub fn differs(expected: &Value, found: &Value, at: &str) -> Option<String> {
    let no = || Some(format!("{at}: expected {expected}, found {found}"));
    match (expected, found) {
        (Value::String(pattern), _) if pattern.starts_with('<') && pattern.ends_with('>') => {
            if matches(&pattern[1..pattern.len() - 1], found) { None } else { no() }
        }
        (Value::Object(all), Value::Array(items)) if all.contains_key("<every>") => {
            if all.get("<len>").is_some_and(|len| *len != items.len()) {
                return Some(format!("{at}: expected {} items, found {}", all["<len>"], items.len()));
            }
            let every = &all["<every>"];
            items.iter().enumerate().find_map(|(n, item)| differs(every, item, &format!("{at}/{n}")))
        }
        (Value::Object(expected), Value::Object(found)) => {
            let open = expected.contains_key("...");
            let missing = expected.iter().filter(|(name, _)| *name != "...").find_map(|(name, value)| {
                match found.get(name) {
                    Some(found) => differs(value, found, &format!("{at}/{name}")),
                    None => Some(format!("{at}/{name} is missing")),
                }
            });
            let extra = || found.keys().find(|name| !open && !expected.contains_key(*name));
            missing.or_else(|| extra().map(|name| format!("{at}/{name} is not expected: {}", found[name])))
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            expected.iter().zip(found).enumerate().find_map(|(n, (e, f))| differs(e, f, &format!("{at}/{n}")))
        }
        (Value::Number(expected), Value::Number(found)) => {
            let same =
                expected == found || (expected.as_f64().unwrap() - found.as_f64().unwrap()).abs() < 1e-9;
            if same { None } else { no() }
        }
        (expected, found) if expected == found => None,
        _ => no(),
    }
}

fn matches(pattern: &str, found: &Value) -> bool {
    let text = found.as_str();
    let is =
        |regex: &str| text.is_some_and(|text| Regex::new(&format!("^(?:{regex})$")).unwrap().is_match(text));
    let range = |range: &str| {
        let (least, most) = range.split_once("..").unwrap();
        least.parse::<f64>().unwrap()..=most.parse::<f64>().unwrap()
    };
    match pattern.split_once(' ').unwrap_or((pattern, "")) {
        ("guid", _) => is("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        ("time", _) => is(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"),
        ("any", _) => true,
        ("text", _) => text.is_some_and(|text| !text.is_empty()),
        ("int", of) => found.as_i64().is_some_and(|n| range(of).contains(&(n as f64))),
        ("number", of) => found.as_f64().is_some_and(|n| range(of).contains(&n)),
        ("match", regex) => is(regex),
        _ => panic!("there is no pattern <{pattern}>"),
    }
}

/// Checks sums and lengths within an answer: `sum(/items/*/quantity * /items/*/price) == /totalAmount`,
/// `/shippingCost == round2(/totalAmount * 0.02)`, `len(/items) == 2`.
pub fn fails(check: &str, found: &Value) -> Option<String> {
    let (left, right) = check.split_once(" == ").unwrap();
    let (left, right) = (value(left, found), value(right, found));
    let same = (left - right).abs() < 0.005_000_001;
    (!same).then(|| format!("{check}: {left} is not {right}"))
}

fn value(term: &str, found: &Value) -> f64 {
    let within =
        |name: &str| term.strip_prefix(name).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
    let number = |at: &str| found.pointer(at).and_then(Value::as_f64).unwrap_or(f64::NAN);
    if let Some(at) = within("len") {
        found.pointer(at).and_then(Value::as_array).map_or(f64::NAN, |items| items.len() as f64)
    } else if let Some(product) = within("round2") {
        (value(product, found) * 100.0).round() / 100.0
    } else if let Some(product) = within("sum") {
        let (list, _) = product.split_once("/*").unwrap();
        let items = found.pointer(list).and_then(Value::as_array).unwrap().len();
        (0..items).map(|n| value(&product.replace("/*", &format!("/{n}")), found)).sum()
    } else if let Some((one, other)) = term.split_once(" * ") {
        value(one, found) * value(other, found)
    } else if term.starts_with('/') {
        number(term)
    } else {
        term.parse().unwrap()
    }
}
