//! Order ids in little memory: the commands hold a few million of them.

use std::fmt;

use uuid::Uuid;

/// An order id; a UUID needs 16 bytes, and nearly all of them are UUIDs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CompactId {
    /// Spelled as we spell UUIDs.
    Uuid(u128),
    /// Anything else.
    Text(Box<str>),
}

impl From<&str> for CompactId {
    fn from(text: &str) -> Self {
        match Uuid::try_parse(text) {
            // Only the spelling that comes out again: two texts must never become one id.
            Ok(id) if id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text => {
                Self::Uuid(id.as_u128())
            }
            _ => Self::Text(text.into()),
        }
    }
}

impl fmt::Display for CompactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(id) => write!(f, "{}", Uuid::from_u128(*id).hyphenated()),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_comes_out_as_it_went_in() {
        for id in [
            "0198c0de-0000-7000-8000-00000000000a",
            "0198C0DE-0000-7000-8000-00000000000A",
            "0198c0de00007000800000000000000a",
            "ORD-1",
        ] {
            assert_eq!(CompactId::from(id).to_string(), id);
        }
    }
}
