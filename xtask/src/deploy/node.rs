//! YAML and JSON as one kind of tree, whose values know where they stand.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::Value;

/// A value and its place: `file:line` in YAML, `file: path` in JSON.
#[derive(Debug)]
pub struct Node {
    pub at: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What a map has under this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// The entries of a map.
    pub fn entries(&self) -> &[(String, Self)] {
        if let Kind::Map(entries) = &self.kind { entries } else { &[] }
    }

    /// The items of a list.
    pub fn items(&self) -> &[Self] {
        if let Kind::List(items) = &self.kind { items } else { &[] }
    }

    /// The text of what is neither; numbers and truths as they are usually written.
    pub fn text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// Calls `each` with this node and all that are in it.
    pub fn walk<'a>(&'a self, each: &mut impl FnMut(&'a Self)) {
        each(self);
        for node in self.items().iter().chain(self.entries().iter().map(|(_, node)| node)) {
            node.walk(each);
        }
    }
}

/// Reads a file of one document.
pub fn yaml(file: &str, text: &str) -> Result<Node, String> {
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|error| format!("{file}:{}: {}", error.marker().line(), error.info()))?;
    match &documents[..] {
        [document] => Ok(of_yaml(file, document)),
        others => Err(format!("{file}: it must be one document, not {}", others.len())),
    }
}

fn of_yaml(file: &str, yaml: &MarkedYaml<'_>) -> Node {
    let kind = match &yaml.data {
        YamlData::Sequence(items) => Kind::List(items.iter().map(|item| of_yaml(file, item)).collect()),
        YamlData::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| (text_of(key), of_yaml(file, value)));
            Kind::Map(merged(entries.collect()))
        }
        YamlData::Tagged(_, inner) => return of_yaml(file, inner),
        _ => Kind::Text(text_of(yaml)),
    };
    Node { at: format!("{file}:{}", yaml.span.start.line()), kind }
}

/// `<<` brings in what another map has and this one has not.
fn merged(entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let (others, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key == "<<");
    for (_, other) in others {
        if let Kind::Map(entries) = other.kind {
            let new: Vec<_> =
                entries.into_iter().filter(|(key, _)| own.iter().all(|(have, _)| have != key)).collect();
            own.extend(new);
        }
    }
    own
}

fn text_of(yaml: &MarkedYaml<'_>) -> String {
    match &yaml.data {
        YamlData::Value(Scalar::String(text)) => text.to_string(),
        YamlData::Value(Scalar::Boolean(truth)) => truth.to_string(),
        YamlData::Value(Scalar::Integer(number)) => number.to_string(),
        YamlData::Value(Scalar::FloatingPoint(number)) => number.to_string(),
        YamlData::Representation(text, ..) => text.to_string(),
        _ => String::new(),
    }
}

/// Reads a file.
pub fn json(file: &str, text: &str) -> Result<Node, String> {
    let value = serde_json::from_str(text).map_err(|error| format!("{file}:{}: {error}", error.line()))?;
    Ok(of_json(file, "", value))
}

fn of_json(file: &str, path: &str, value: Value) -> Node {
    let kind = match value {
        Value::Object(entries) => {
            let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            let entries = entries.into_iter().map(|(key, value)| {
                let node = of_json(file, &below(&key), value);
                (key, node)
            });
            Kind::Map(entries.collect())
        }
        Value::Array(items) => {
            let items =
                (0..).zip(items).map(|(n, item): (usize, _)| of_json(file, &format!("{path}[{n}]"), item));
            Kind::List(items.collect())
        }
        Value::String(text) => Kind::Text(text),
        other => Kind::Text(other.to_string()),
    };
    Node { at: format!("{file}: {path}"), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_merged_and_places_kept() {
        let text = "x: &x\n  a: 1\n  b: {c: two}\ny:\n  <<: *x\n  a: [true, 1.5]\n";
        let node = yaml("f.yaml", text).unwrap();
        let y = node.get("y").unwrap();
        let list: Vec<_> = y.get("a").unwrap().items().iter().map(|item| item.text().unwrap()).collect();
        assert_eq!(list, ["true", "1.5"]);
        let c = y.get("b").and_then(|b| b.get("c")).unwrap();
        assert_eq!((c.text(), &*c.at), (Some("two"), "f.yaml:3"));
    }

    #[test]
    fn what_does_not_parse_names_its_line() {
        assert!(yaml("f.yaml", "a: 1\nb: [").unwrap_err().starts_with("f.yaml:"));
        assert!(yaml("f.yaml", "a: 1\nb: 2\na: 3\n").unwrap_err().starts_with("f.yaml:3: "), "a key twice");
        assert!(yaml("f.yaml", "a: 1\n---\nb: 2\n").is_err());
        assert!(json("f.json", "{\n  \"a\": ,\n}").unwrap_err().starts_with("f.json:2: "));
    }
}
