//! What of a document can be searched: one table, from which the mapping on a search server, the schema of the embedded
//! index and every check of a request follow.

use serde_json::{Map, Value, json};

/// The field for searches that name none: the words of all fields marked with [`Field::everywhere`].
pub const EVERYTHING: &str = "everything";

/// What is kept and given back, but never looked into.
pub const NOT_SEARCHED: &str = "metadata";

/// Longer texts (in UTF-16 units, as Java counts) are left out of the exact field beside a text.
pub const IGNORE_ABOVE: usize = 256;

/// Longer exact values, in bytes, are refused with their document, as Lucene does.
pub const MAX_KEYWORD_BYTES: usize = 32_766;

/// How a field is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// As it is written, as a whole.
    Keyword,
    /// By its words; its exact form is beside it under `.keyword`.
    Text,
    /// A whole number of 64 bits; money in minor units is one, too.
    Long,
    /// A time, in milliseconds.
    Date,
    /// Yes or no.
    Boolean,
}

impl Kind {
    /// Its name in a mapping.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Text => "text",
            Self::Long => "long",
            Self::Date => "date",
            Self::Boolean => "boolean",
        }
    }
}

/// One field of a document. `events.type` is the `type` of each object in `events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path in the document.
    pub path: &'static str,
    /// How it is searched.
    pub kind: Kind,
    /// Whether its words are found without naming it, through [`EVERYTHING`].
    pub everywhere: bool,
}

const fn field(path: &'static str, kind: Kind) -> Field {
    Field { path, kind, everywhere: false }
}

const fn everywhere(path: &'static str, kind: Kind) -> Field {
    Field { path, kind, everywhere: true }
}

/// Every field that can be searched. Each may hold several values.
pub const FIELDS: &[Field] = &[
    everywhere("id", Kind::Keyword),
    everywhere("number", Kind::Keyword),
    everywhere("externalId", Kind::Keyword),
    field("dialect", Kind::Keyword),
    field("channel", Kind::Keyword),
    field("version", Kind::Long),
    field("flow", Kind::Keyword),
    everywhere("status", Kind::Text),
    everywhere("orderStatus", Kind::Keyword),
    field("milestone", Kind::Keyword),
    field("onHold", Kind::Boolean),
    field("paymentStatus", Kind::Keyword),
    field("fulfillmentStatus", Kind::Keyword),
    everywhere("customerId", Kind::Keyword),
    everywhere("customerEmail", Kind::Text),
    everywhere("customerName", Kind::Text),
    everywhere("productType", Kind::Text),
    field("country", Kind::Keyword),
    field("currency", Kind::Keyword),
    field("total", Kind::Long),
    everywhere("skus", Kind::Keyword),
    everywhere("products", Kind::Text),
    field("quantity", Kind::Long),
    everywhere("trackingNumber", Kind::Keyword),
    field("carrier", Kind::Keyword),
    field("paymentScenario", Kind::Keyword),
    field("correlationId", Kind::Keyword),
    field("createdAt", Kind::Date),
    field("updatedAt", Kind::Date),
    field("refused", Kind::Keyword),
    field("events.type", Kind::Keyword),
    field("events.at", Kind::Date),
    field("events.source", Kind::Keyword),
];

/// What a path in a request leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Searched {
    /// A field as it is mapped.
    Field(Field),
    /// The exact form beside a text.
    Exact(Field),
    /// The words of many fields.
    Everything,
}

impl Searched {
    /// How it is searched.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Field(field) => field.kind,
            Self::Exact(_) => Kind::Keyword,
            Self::Everything => Kind::Text,
        }
    }
}

/// What a path leads to; `None`: it is not mapped, so it matches nothing.
#[must_use]
pub fn find(path: &str) -> Option<Searched> {
    if path == EVERYTHING {
        return Some(Searched::Everything);
    }
    let by_path = |path: &str| FIELDS.iter().find(|field| field.path == path).copied();
    if let Some(field) = by_path(path) {
        return Some(Searched::Field(field));
    }
    let field = by_path(path.strip_suffix(".keyword")?)?;
    (field.kind == Kind::Text).then_some(Searched::Exact(field))
}

/// The mapping of an index of documents, as Elasticsearch reads and shows it.
#[must_use]
pub fn mapping() -> Value {
    let mut properties = Map::new();
    for field in FIELDS {
        insert(&mut properties, field.path, property(field));
    }
    properties.insert(EVERYTHING.to_owned(), json!({"type": "text"}));
    properties.insert(NOT_SEARCHED.to_owned(), json!({"type": "object", "enabled": false}));
    json!({"dynamic": "false", "properties": properties})
}

/// The settings of an index that searches depend on. How many shards and copies it has is up to who runs it.
#[must_use]
pub fn settings() -> Value {
    json!({"index": {"query": {"default_field": [EVERYTHING]}}})
}

fn property(field: &Field) -> Value {
    let mut property = Map::new();
    property.insert("type".to_owned(), json!(field.kind.name()));
    if field.kind == Kind::Text {
        let exact = json!({"keyword": {"type": "keyword", "ignore_above": IGNORE_ABOVE}});
        property.insert("fields".to_owned(), exact);
    }
    if field.everywhere {
        property.insert("copy_to".to_owned(), json!([EVERYTHING]));
    }
    Value::Object(property)
}

/// Puts a property where its path belongs: `events.at` among the properties of `events`.
fn insert(properties: &mut Map<String, Value>, path: &str, property: Value) {
    let Some((object, rest)) = path.split_once('.') else {
        properties.insert(path.to_owned(), property);
        return;
    };
    let object = properties.entry(object).or_insert_with(|| json!({"properties": {}}));
    if let Some(inner) = object.get_mut("properties").and_then(Value::as_object_mut) {
        insert(inner, rest, property);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_says_what_each_field_is() {
        let mapping = mapping();
        let properties = &mapping["properties"];
        assert_eq!(mapping["dynamic"], "false");
        assert_eq!(properties["total"], json!({"type": "long"}));
        assert_eq!(properties["status"]["fields"]["keyword"]["type"], "keyword");
        assert_eq!(properties["status"]["copy_to"], json!(["everything"]));
        assert_eq!(properties["events"]["properties"]["at"], json!({"type": "date"}));
        assert_eq!(properties["metadata"]["enabled"], false);
    }

    #[test]
    fn paths_lead_to_fields_to_exact_forms_and_to_everything() {
        assert_eq!(find("status").map(Searched::kind), Some(Kind::Text));
        assert_eq!(find("status.keyword").map(Searched::kind), Some(Kind::Keyword));
        assert_eq!(find("events.at").map(Searched::kind), Some(Kind::Date));
        assert_eq!(find(EVERYTHING).map(Searched::kind), Some(Kind::Text));
        assert_eq!(find("country.keyword"), None, "a keyword has no other form");
        assert_eq!(find("metadata.note"), None);
        assert_eq!(find("events"), None);
    }
}
