//! How documents lie in the embedded index: the schema that follows from the fields, and a document in it.

use std::collections::HashMap;

use serde_json::Value;
use tantivy::{
    TantivyDocument,
    schema::{Field, IndexRecordOption, NumericOptions, STORED, Schema, TextFieldIndexing, TextOptions},
    tokenizer::{TextAnalyzer, TokenizerManager},
};

use crate::{
    analyzer::Words,
    fields::{self, EVERYTHING, FIELDS, IGNORE_ABOVE, Kind, MAX_KEYWORD_BYTES},
    port::Document,
    query::{Round, dates, values},
};

/// Longer ids are refused, as Elasticsearch does.
const MAX_ID_BYTES: usize = 512;

/// The name under which the index knows how to cut texts into words.
const WORDS: &str = "words";

/// Where in the index a field of documents lies.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The index's field.
    pub(super) field: Field,
    /// Its name, by which its column is found.
    pub(super) name: String,
    /// How it is searched.
    pub(super) kind: Kind,
}

/// How documents lie in the index.
pub(super) struct Layout {
    pub(super) schema: Schema,
    /// The document's id.
    pub(super) id: Field,
    /// Its version.
    pub(super) version: Field,
    /// Its JSON.
    pub(super) source: Field,
    /// The paths of those texts that a document has.
    pub(super) present: Field,
    places: HashMap<String, Place>,
    /// Every field with its places, so that no document has to look for them.
    targets: Vec<Target>,
    everything: Field,
}

/// Where the values of a field go.
struct Target {
    of: &'static fields::Field,
    /// Its path in parts.
    keys: Vec<&'static str>,
    field: Field,
    /// Of a text: where it lies as a whole.
    exact: Option<Field>,
}

pub(super) const ID: &str = "_id";
pub(super) const VERSION: &str = "_version";
const SOURCE: &str = "_source";
const PRESENT: &str = "_present";

impl Layout {
    pub(super) fn new() -> Self {
        let mut builder = Schema::builder();
        let id = builder.add_text_field(ID, exact());
        let version = builder.add_u64_field(VERSION, NumericOptions::default().set_fast());
        let source = builder.add_bytes_field(SOURCE, STORED);
        let present = builder.add_text_field(PRESENT, exact_only_searched());
        let mut places = HashMap::new();
        let mut add = |path: String, kind: Kind| {
            // A dot has a meaning of its own in the index's names.
            let name = path.replace('.', "/");
            let field = match kind {
                Kind::Keyword => builder.add_text_field(&name, exact()),
                Kind::Text => builder.add_text_field(&name, by_words()),
                Kind::Long | Kind::Date | Kind::Boolean => {
                    builder.add_i64_field(&name, NumericOptions::default().set_fast())
                }
            };
            places.insert(path, Place { field, name, kind });
            field
        };
        let mut target = |of: &'static fields::Field| Target {
            of,
            keys: of.path.split('.').collect(),
            field: add(of.path.to_owned(), of.kind),
            exact: (of.kind == Kind::Text).then(|| add(format!("{}.keyword", of.path), Kind::Keyword)),
        };
        let targets = FIELDS.iter().map(&mut target).collect();
        let everything = add(EVERYTHING.to_owned(), Kind::Text);
        Self { schema: builder.build(), id, version, source, present, places, targets, everything }
    }

    /// Where a path of a request leads; `None`: it is not mapped.
    pub(super) fn place(&self, path: &str) -> Option<&Place> {
        self.places.get(path)
    }

    /// The places of what lies within an object, such as `events`.
    pub(super) fn within(&self, object: &str) -> impl Iterator<Item = &Place> {
        let inside = move |path: &str| path.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'));
        FIELDS.iter().filter(move |field| inside(field.path)).filter_map(|field| self.place(field.path))
    }

    /// A document as it is written, or why it can't be.
    pub(super) fn document(&self, document: &Document) -> Result<TantivyDocument, String> {
        if document.id.is_empty() || document.id.len() > MAX_ID_BYTES {
            return Err(format!("its id must have 1 to {MAX_ID_BYTES} bytes, but has {}", document.id.len()));
        }
        let source: Value =
            serde_json::from_slice(&document.source).map_err(|error| format!("it is not JSON: {error}"))?;
        if !source.is_object() {
            return Err("it is not a JSON object".to_owned());
        }
        let mut written = TantivyDocument::new();
        written.add_text(self.id, &document.id);
        written.add_u64(self.version, document.version);
        written.add_bytes(self.source, &document.source);
        let mut filling = Filling { everything: self.everything, written, has_everything: false };
        let mut found = Vec::new();
        for target in &self.targets {
            found.clear();
            let wrong = |reason: String| format!("[{}]: {reason}", target.of.path);
            collect(&source, &target.keys, &mut found).map_err(wrong)?;
            for value in &found {
                filling.add(target, value).map_err(wrong)?;
            }
            if target.of.kind == Kind::Text && !found.is_empty() {
                filling.written.add_text(self.present, target.of.path);
            }
        }
        if filling.has_everything {
            filling.written.add_text(self.present, EVERYTHING);
        }
        Ok(filling.written)
    }
}

/// A document while its fields are written.
struct Filling {
    written: TantivyDocument,
    everything: Field,
    has_everything: bool,
}

impl Filling {
    fn add(&mut self, to: &Target, value: &Value) -> Result<(), String> {
        let text = values::as_text(value).ok_or_else(|| format!("{} has no object", to.of.kind.name()))?;
        match to.of.kind {
            Kind::Keyword => {
                bounded(&text)?;
                self.written.add_text(to.field, &text);
            }
            Kind::Text => {
                self.written.add_text(to.field, &text);
                if let Some(exact) = to.exact.filter(|_| utf16_length(&text) <= IGNORE_ABOVE) {
                    self.written.add_text(exact, &text);
                }
            }
            Kind::Long | Kind::Date | Kind::Boolean => {
                let number = number(to.of.kind, value, &text).ok_or_else(|| {
                    format!("failed to parse field of type [{}]: [{text}] is none", to.of.kind.name())
                })?;
                self.written.add_i64(to.field, number);
            }
        }
        if to.of.everywhere {
            self.has_everything = true;
            self.written.add_text(self.everything, &text);
        }
        Ok(())
    }
}

fn number(kind: Kind, value: &Value, text: &str) -> Option<i64> {
    match (kind, value) {
        (Kind::Long, Value::Number(number)) => values::whole(number),
        (Kind::Long, Value::String(text)) => values::whole_text(text),
        (Kind::Date, Value::String(_) | Value::Number(_)) => dates::instant(text, Round::Down),
        (Kind::Boolean, Value::Bool(_) | Value::String(_)) => values::boolean(text),
        _ => None,
    }
}

fn bounded(text: &str) -> Result<(), String> {
    if text.len() <= MAX_KEYWORD_BYTES {
        return Ok(());
    }
    Err(format!("a keyword has at most {MAX_KEYWORD_BYTES} bytes, but this one has {}", text.len()))
}

fn utf16_length(text: &str) -> usize {
    if text.len() <= IGNORE_ABOVE { text.len() } else { text.encode_utf16().count() }
}

/// The values under a path, through objects and lists; nulls are none.
fn collect<'a>(value: &'a Value, path: &[&str], found: &mut Vec<&'a Value>) -> Result<(), String> {
    match (value, path) {
        (Value::Null, _) => {}
        (Value::Array(items), _) => items.iter().try_for_each(|item| collect(item, path, found))?,
        (_, []) => found.push(value),
        (Value::Object(object), [key, rest @ ..]) => {
            if let Some(value) = object.get(*key) {
                collect(value, rest, found)?;
            }
        }
        (Value::Bool(_) | Value::Number(_) | Value::String(_), _) => {
            return Err(format!("there is {value} where an object should be"));
        }
    }
    Ok(())
}

/// What cuts texts into words in an index.
pub(super) fn tokenizers() -> TokenizerManager {
    let tokenizers = TokenizerManager::default();
    tokenizers.register(WORDS, TextAnalyzer::builder(Words::default()).build());
    tokenizers
}

fn exact() -> TextOptions {
    exact_only_searched().set_fast("raw")
}

fn exact_only_searched() -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_index_option(IndexRecordOption::Basic)
        .set_fieldnorms(false);
    TextOptions::default().set_indexing_options(indexing)
}

fn by_words() -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(WORDS)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions)
        .set_fieldnorms(true);
    TextOptions::default().set_indexing_options(indexing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(source: Value) -> String {
        let document = Document { id: "a".into(), version: 1, source: source.to_string().into_bytes() };
        Layout::new().document(&document).err().unwrap_or_else(|| panic!("{source} is taken"))
    }

    #[test]
    fn documents_that_no_field_can_hold_are_refused_with_the_field() {
        assert!(refused(json!([])).contains("object"));
        assert!(
            refused(json!({"total": "many"})).starts_with("[total]: failed to parse field of type [long]")
        );
        assert!(refused(json!({"createdAt": "soon"})).starts_with("[createdAt]"));
        assert!(refused(json!({"onHold": 1})).starts_with("[onHold]"));
        assert!(refused(json!({"country": {"code": "US"}})).starts_with("[country]"));
        assert!(refused(json!({"events": "none"})).starts_with("[events.type]"));
        assert!(refused(json!({"number": "x".repeat(32_767)})).starts_with("[number]"));
    }

    #[test]
    fn values_are_found_through_objects_and_lists() {
        let source = json!({"events": [{"type": "a"}, {"type": ["b", null, "c"]}, {}, null]});
        let mut found = Vec::new();
        collect(&source, &["events", "type"], &mut found).unwrap();
        assert_eq!(found, [&json!("a"), &json!("b"), &json!("c")]);
    }
}
