//! Many documents in one request, and what became of each.

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::nodes::{Answer, Body, Nodes, said};
use crate::port::{Document, Error, Written};

/// A request holds no more, unless one document does: servers take 100 MB, what stands before them often less.
const MAX_BYTES: usize = 5 * 1024 * 1024;

/// Nor more documents.
const MAX_DOCUMENTS: usize = 5_000;

/// The largest version that a server takes.
const MAX_VERSION: u64 = i64::MAX as u64;

/// Only what we read of the answer.
const ANSWER: &str = "filter_path=items.*._index,items.*.status,items.*.error.type,items.*.error.reason,\
                      items.*.error.caused_by.reason,error,status";

/// What became of documents that were sent, and where they are.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) written: Vec<Written>,
    /// The indices that answered, each once, by the names that are no aliases.
    pub(super) indices: Vec<String>,
}

/// Sends documents to an alias, as many at once as fit, in their order.
///
/// # Errors
/// A request as a whole failed, or one document for a reason that is not its own: all may be sent again.
pub(super) async fn write(nodes: &Nodes, alias: &str, documents: &[Document]) -> Result<Sent, Failed> {
    // An alias that is gone must not become an index that nobody mapped.
    let path = format!("{alias}/_bulk?require_alias=true&{ANSWER}");
    let mut sent = Sent::default();
    let mut left: Vec<&[Document]> = vec![documents];
    while let Some(next) = left.pop() {
        let (now, later) = next.split_at(fitting(next));
        if !later.is_empty() {
            left.push(later);
        }
        if now.is_empty() {
            continue;
        }
        let answer = nodes.send(Method::POST, &path, Body::Lines(lines(now))).await?;
        match (answer.status, now) {
            (StatusCode::PAYLOAD_TOO_LARGE, [_]) => {
                let reason = format!("too large for the search server: {}", answer.reason());
                sent.written.push(Written::Refused(reason));
            }
            // What stands before the server may take less.
            (StatusCode::PAYLOAD_TOO_LARGE, _) => {
                let (first, second) = now.split_at(now.len() / 2);
                left.extend([second, first]);
            }
            _ => read(&answer, now, &mut sent)?,
        }
    }
    Ok(sent)
}

/// Why documents were not written.
pub(super) enum Failed {
    /// The alias leads nowhere.
    Gone,
    /// Anything else.
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// How many of these fit into one request; at least one.
fn fitting(documents: &[Document]) -> usize {
    let mut bytes = 0;
    let fits = |document: &&Document| {
        bytes += document.source.len() + document.id.len() + LINE;
        bytes <= MAX_BYTES
    };
    documents.iter().take(MAX_DOCUMENTS).take_while(fits).count().max(1).min(documents.len())
}

/// About what goes before each document.
const LINE: usize = 100;

fn lines(documents: &[Document]) -> Vec<u8> {
    let mut lines = Vec::new();
    for document in documents.iter().filter(|document| document.version <= MAX_VERSION) {
        let action =
            json!({"index": {"_id": document.id, "version": document.version, "version_type": "external"}});
        lines.extend_from_slice(action.to_string().as_bytes());
        lines.push(b'\n');
        // Outside of texts, where JSON has none, an end of line is as good as a blank.
        lines.extend(document.source.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        lines.push(b'\n');
    }
    lines
}

#[derive(Deserialize)]
struct Answered {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "_index")]
    index: Option<String>,
    status: u16,
    error: Option<Value>,
}

fn read(answer: &Answer, documents: &[Document], sent: &mut Sent) -> Result<(), Failed> {
    if answer.kind().as_deref() == Some(NOT_FOUND) {
        return Err(Failed::Gone);
    }
    let answered: Answered = serde_json::from_value(answer.json()?)
        .map_err(|error| Error::Unavailable(format!("its answer is not understood: {error}")))?;
    let mut outcomes = answered.items.into_iter();
    for document in documents {
        if document.version > MAX_VERSION {
            let reason = format!("version {} is larger than {MAX_VERSION}", document.version);
            sent.written.push(Written::Refused(reason));
            continue;
        }
        let outcome =
            outcomes.next().ok_or_else(|| Error::Unavailable("its answer is too short".to_owned()))?.index;
        sent.written.push(written(&outcome)?);
        if let Some(index) = outcome.index.filter(|index| !sent.indices.contains(index)) {
            sent.indices.push(index);
        }
    }
    Ok(())
}

/// What a server says of an alias that leads nowhere.
pub(super) const NOT_FOUND: &str = "index_not_found_exception";

fn written(outcome: &Outcome) -> Result<Written, Failed> {
    let kind = outcome.error.as_ref().and_then(|error| error.get("type")?.as_str()).unwrap_or_default();
    let reason = || {
        let said = outcome.error.as_ref().and_then(said);
        said.unwrap_or_else(|| format!("it answers {} for a document", outcome.status))
    };
    match outcome.status {
        200..=299 => Ok(Written::Stored),
        409 => Ok(Written::Older),
        404 if kind == NOT_FOUND => Err(Failed::Gone),
        // An alias of several indices: no document's fault.
        400 if reason().contains("no write index") => Err(Error::Refused(reason()).into()),
        400 => Ok(Written::Refused(reason())),
        429 | 500.. => Err(Error::Unavailable(reason()).into()),
        _ => Err(Error::Refused(reason()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str, version: u64, source: &str) -> Document {
        Document { id: id.to_owned(), version, source: source.as_bytes().to_vec() }
    }

    fn outcome(status: u16, kind: &str, reason: &str) -> Result<Written, Failed> {
        let error = (!kind.is_empty()).then(|| json!({"type": kind, "reason": reason}));
        written(&Outcome { index: None, status, error })
    }

    #[test]
    fn each_document_has_two_lines() {
        let documents = [document("a\"\n", 7, "{\"a\":\n1}"), document("b", u64::MAX, "{}")];
        let expected = r#"{"index":{"_id":"a\"\n","version":7,"version_type":"external"}}"#.to_owned()
            + "\n{\"a\": 1}\n";
        assert_eq!(String::from_utf8(lines(&documents)).unwrap(), expected);
    }

    #[test]
    fn requests_are_bounded_by_their_bytes_and_hold_something() {
        let large = document("a", 1, &"x".repeat(MAX_BYTES / 2));
        assert_eq!(fitting(&[large.clone(), large]), 1);
        let huge = document("a", 1, &"x".repeat(2 * MAX_BYTES));
        assert_eq!(fitting(&[huge]), 1);
        assert_eq!(fitting(&vec![document("a", 1, "{}"); MAX_DOCUMENTS + 1]), MAX_DOCUMENTS);
        assert_eq!(fitting(&[]), 0);
    }

    #[test]
    fn a_document_pays_only_for_what_is_its_own_fault() {
        assert!(matches!(outcome(201, "", ""), Ok(Written::Stored)));
        assert!(matches!(outcome(409, "version_conflict_engine_exception", "newer"), Ok(Written::Older)));
        let poison = outcome(400, "mapper_parsing_exception", "failed to parse");
        assert!(
            matches!(poison, Ok(Written::Refused(reason)) if reason == "mapper_parsing_exception: failed to parse")
        );
        assert!(matches!(outcome(404, NOT_FOUND, "no such index"), Err(Failed::Gone)));
        for status in [429, 500, 503] {
            assert!(matches!(outcome(status, "x", "y"), Err(Failed::Error(Error::Unavailable(_)))));
        }
        assert!(matches!(
            outcome(403, "cluster_block_exception", "y"),
            Err(Failed::Error(Error::Refused(_)))
        ));
        let unclear = outcome(400, "illegal_argument_exception", "no write index is defined for alias [x]");
        assert!(matches!(unclear, Err(Failed::Error(Error::Refused(_)))));
    }
}
