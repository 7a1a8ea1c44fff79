//! What stands in the address of a call: which index, and the parameters.

use cartwright_search::query::{Parameters, Wrong};

/// What the parameters of a call say.
#[derive(Default)]
pub struct Address {
    /// What of a search stands there.
    pub search: Parameters,
    /// Whether the answer is to be read by people.
    pub pretty: bool,
    /// Whether names of indices that there are not are passed over.
    pub ignore_unavailable: bool,
}

impl Address {
    /// Reads the parameters.
    ///
    /// # Errors
    /// One is unknown here, or its value is not allowed.
    pub fn read(path: &str, query: Option<&str>) -> Result<Self, Wrong> {
        let mut address = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "pretty" => address.pretty = value != "false",
                "human" | "error_trace" => {}
                "ignore_unavailable" => address.ignore_unavailable = value != "false",
                _ if address.search.take(&name, &value)? => {}
                _ => {
                    let reason =
                        format!("request [{path}] contains a parameter that is not supported: [{name}]");
                    return Err(Wrong::Unsupported { kind: "illegal_argument_exception", reason });
                }
            }
        }
        Ok(address)
    }
}

/// Whether these names, with `*` for any characters, name our index.
///
/// # Errors
/// The first name without a `*` that is not ours.
pub fn names(ours: &str, names: &str) -> Result<bool, String> {
    let mut named = false;
    for name in names.split(',') {
        match name {
            "_all" => named = true,
            _ if name.contains('*') => named |= fits(name, ours),
            _ if name == ours => named = true,
            _ => return Err(name.to_owned()),
        }
    }
    Ok(named)
}

/// Whether a pattern with stars fits a name.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(start) else { return false };
    (0..=name.len()).any(|at| name.get(at..).is_some_and(|name| fits(rest, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_named_by_itself_or_by_a_pattern() {
        for text in ["orders-v1", "orders-*", "*", "_all", "others-*,orders-v1", "o*1", "o*s-*"] {
            assert_eq!(names("orders-v1", text), Ok(true), "{text}");
        }
        assert_eq!(names("orders-v1", "logs-*"), Ok(false));
        assert_eq!(names("orders-v1", "o*x*1"), Ok(false));
        assert_eq!(names("orders-v1", "orders-v1-*"), Ok(false));
        assert_eq!(names("orders-v1", "orders-v1,orders-v2"), Err("orders-v2".to_owned()));
    }

    #[test]
    fn parameters_are_those_of_a_search_and_a_few_more() {
        assert!(Address::read("/_search", Some("pretty&q=phone&size=3")).unwrap().pretty);
        assert!(!Address::read("/_search", Some("pretty=false&human")).unwrap().pretty);
        let wrong = Address::read("/_search", Some("scroll=1m")).err().unwrap();
        assert!(wrong.reason().contains("[scroll]"), "{wrong}");
    }
}
