//! What providers answer, and what is made of it.

use cartwright_core::ports::CallOutcome;
use serde::Deserialize;

/// Bytes of an answer that are read; a longer one is no answer.
pub const MAX_ANSWER: usize = 64 * 1024;

/// Characters of a reason that are kept.
const MAX_REASON: usize = 300;

/// Characters of a reference, a carrier or a tracking number; a longer one is no answer.
const MAX_NAME: usize = 200;

/// The fields that an answer may have. Which of them must be there depends on the call.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Answer {
    pub status: Option<String>,
    pub reference: Option<String>,
    pub carrier: Option<String>,
    pub tracking_number: Option<String>,
    pub reason: Option<String>,
}

/// Where a refusal may say why: our own field, and those of RFC 9457.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    reason: Option<String>,
    detail: Option<String>,
    title: Option<String>,
}

impl Answer {
    /// Reads the body of an answer. An empty one says nothing, which is enough for some calls.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|error| format!("an answer that can't be read: {error}"))
    }

    /// A name that the answer must carry.
    pub fn name(value: Option<String>, field: &str) -> Result<String, String> {
        match value {
            Some(name) if is_name(&name) => Ok(name),
            Some(_) => Err(format!("an answer whose {field} is not 1 to {MAX_NAME} printable characters")),
            None => Err(format!("an answer without {field}")),
        }
    }

    /// A status that none of the call's own is.
    pub fn odd<T>(self) -> CallOutcome<T> {
        match self.status {
            Some(status) => unknown(format!("an answer of the unknown status {:?}", clip(&status))),
            None => unknown("an answer without a status"),
        }
    }

    /// Why, in the provider's words or else in ours.
    pub fn reason_or(&self, ours: &str) -> String {
        self.reason.as_deref().filter(|reason| !reason.is_empty()).map_or_else(|| ours.to_owned(), clip)
    }
}

/// Why a call was refused: what the body says, else its status.
pub fn refusal(status: u16, body: &[u8]) -> String {
    let Refusal { reason, detail, title } = serde_json::from_slice(body).unwrap_or_default();
    let said = [reason, detail, title].into_iter().flatten().find(|text| !text.is_empty());
    said.map_or_else(|| format!("answered {status}"), |text| clip(&text))
}

/// An outcome that nobody knows.
pub fn unknown<T>(reason: impl Into<String>) -> CallOutcome<T> {
    CallOutcome::Unknown { reason: reason.into(), retry_after: None }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_NAME && !text.chars().any(char::is_control)
}

fn clip(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_in_the_provider_s_words() {
        assert_eq!(refusal(402, br#"{"reason":"no funds"}"#), "no funds");
        assert_eq!(refusal(422, br#"{"type":"x","title":"Bad","detail":"card expired"}"#), "card expired");
        assert_eq!(refusal(400, b"<html>"), "answered 400");
        assert_eq!(
            refusal(400, format!(r#"{{"reason":"{}"}}"#, "x".repeat(9_999)).as_bytes()).len(),
            MAX_REASON
        );
    }

    #[test]
    fn names_are_bounded_and_printable() {
        let name = |text: &str| Answer::name(Some(text.into()), "reference");
        assert_eq!(name("ch_1"), Ok("ch_1".into()));
        for bad in ["", "a\nb", &"x".repeat(MAX_NAME + 1)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
