//! Ids: one space of text ids for all orders, and the ids that are derived from them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The longest order id, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// The id of an order: text of 1–128 bytes without control characters. UUID-shaped ids are lower-cased, so that
/// one UUID is one order however it is spelled. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(Arc<str>);

/// Why a text is not an order id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be text of 1 to {MAX_ID_BYTES} bytes without control characters, and not `.` or `..`")]
pub struct BadId;

impl OrderId {
    /// Reads an id as a client sent it.
    ///
    /// # Errors
    /// [`BadId`] when it is empty, `.`, `..`, longer than [`MAX_ID_BYTES`] or contains a control character.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        // `.` and `..` would be unreachable: URL parsers resolve them away.
        let reachable = !matches!(text, "" | "." | "..");
        if !reachable || text.len() > MAX_ID_BYTES || text.chars().any(char::is_control) {
            return Err(BadId);
        }
        if text.len() == 36 && text.bytes().any(|b| b.is_ascii_uppercase()) && Uuid::try_parse(text).is_ok() {
            return Ok(Self(text.to_ascii_lowercase().into()));
        }
        Ok(Self(text.into()))
    }

    /// The id of an order placed with an `Idempotency-Key` and no id of its own: a UUIDv8 (RFC 9562, 5.8) derived
    /// from caller and key, so that the same key finds the same order for ever.
    pub fn from_key(caller: &str, key: &str) -> Self {
        Self::from(derive_uuid("order", &[caller, key]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for OrderId {
    fn from(id: Uuid) -> Self {
        Self(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).into())
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderId({})", self.0)
    }
}

impl Serialize for OrderId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OrderId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The id of a step: the order's id and the step's number in its flow, from 1. Written `<order>:<number>`; the
/// number stands behind the last colon, so that order ids may contain colons.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId {
    /// The order.
    pub order: OrderId,
    /// The number of the step in the order's flow, from 1.
    pub number: u32,
}

impl StepId {
    /// Reads what [`Display`](fmt::Display) wrote; `None` when it is no step's id.
    pub fn parse(text: &str) -> Option<Self> {
        let (order, number) = text.rsplit_once(':')?;
        Some(Self { order: OrderId::parse(order).ok()?, number: number.parse().ok()? })
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.order, self.number)
    }
}

impl Serialize for StepId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a step id"))
    }
}

/// A UUIDv8 that is the same for the same purpose and parts: the first 122 usable bits of their SHA-256.
pub fn derive_uuid(purpose: &str, parts: &[&str]) -> Uuid {
    let digest = digest(purpose, parts);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::new_v8(bytes)
}

/// SHA-256 over a purpose and parts, each prefixed with its length, so that no two lists of parts collide.
pub fn digest(purpose: &str, parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(&purpose).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_shaped_ids_are_lower_cased_and_others_kept() {
        let upper = OrderId::parse("0198C0DE-0000-7000-8000-00000000000A").unwrap();
        assert_eq!(upper.as_str(), "0198c0de-0000-7000-8000-00000000000a");
        assert_eq!(OrderId::parse("ORD-123").unwrap().as_str(), "ORD-123");
    }

    #[test]
    fn bad_ids_are_refused() {
        for bad in ["", ".", "..", "a\nb", "\u{7f}", &"x".repeat(129)] {
            assert_eq!(OrderId::parse(bad), Err(BadId), "{bad:?}");
        }
        assert!(OrderId::parse(&"x".repeat(128)).is_ok());
    }

    #[test]
    fn a_step_id_reads_back_also_when_the_order_id_has_colons() {
        let step = StepId { order: OrderId::parse("a:1:b").unwrap(), number: 3 };
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(text, r#""a:1:b:3""#);
        assert_eq!(serde_json::from_str::<StepId>(&text).unwrap(), step);
    }

    #[test]
    fn derived_ids_do_not_collide_across_part_borders() {
        assert_ne!(derive_uuid("order", &["ab", "c"]), derive_uuid("order", &["a", "bc"]));
        assert_eq!(derive_uuid("order", &["a"]), derive_uuid("order", &["a"]));
        assert_eq!(derive_uuid("order", &["a"]).get_version_num(), 8);
    }
}
