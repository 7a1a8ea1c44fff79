//! Why a request is not answered, in the form that Elasticsearch's clients know.

use serde_json::{Value, json};

/// A request that is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It says nothing that could be answered anywhere.
    #[error("{reason}")]
    Malformed {
        /// The name that Elasticsearch has for this.
        kind: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// Elasticsearch might answer it; here it is outside of what is supported.
    #[error("{reason}")]
    Unsupported {
        /// The name that Elasticsearch has for this.
        kind: &'static str,
        /// What is not supported, by its name.
        reason: String,
    },
}

impl Wrong {
    /// The HTTP status that goes with it.
    pub const STATUS: u16 = 400;

    /// The name that Elasticsearch has for this, such as `parsing_exception`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Malformed { kind, .. } | Self::Unsupported { kind, .. } => kind,
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Malformed { reason, .. } | Self::Unsupported { reason, .. } => reason,
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let cause = json!({"type": self.kind(), "reason": self.reason()});
        json!({
            "error": {"root_cause": [cause], "type": self.kind(), "reason": self.reason()},
            "status": Self::STATUS,
        })
    }

    /// The JSON can be read, but is not of the form that it should have.
    pub(crate) fn parsing(reason: impl Into<String>) -> Self {
        Self::Malformed { kind: "parsing_exception", reason: reason.into() }
    }

    /// A value that is not allowed where it stands.
    pub(crate) fn argument(reason: impl Into<String>) -> Self {
        Self::Malformed { kind: "illegal_argument_exception", reason: reason.into() }
    }

    /// It has the right form, and asks for what this field can't answer.
    pub(crate) fn shard(reason: impl Into<String>) -> Self {
        Self::Malformed { kind: "query_shard_exception", reason: reason.into() }
    }

    /// A part of Elasticsearch's language that we don't speak.
    pub(crate) fn unsupported(reason: impl Into<String>) -> Self {
        Self::Unsupported { kind: "parsing_exception", reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_as_elasticsearch_tells_it() {
        let told = Wrong::unsupported("query [fuzzy] is not supported").to_json();
        assert_eq!(told["status"], 400);
        assert_eq!(told["error"]["type"], "parsing_exception");
        assert_eq!(told["error"]["root_cause"][0]["reason"], "query [fuzzy] is not supported");
    }
}
