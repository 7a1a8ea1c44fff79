//! The headers of a message: one buffer, written once and passed on as it is.

use std::fmt;

use bytes::Bytes;

/// Header names and their values, in their order; a name may come more than once. Values are bytes, as on Kafka.
/// Cheap to clone.
///
/// They lie in one buffer, each text behind its length (LEB128), which is also how a store keeps them: writing,
/// reading and forwarding a message takes none of them apart.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Headers(Bytes);

/// Bytes that are no headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not headers: the bytes end early, or a name is not UTF-8")]
pub struct BadHeaders;

impl Headers {
    /// Reads what [`as_bytes`](Self::as_bytes) gave.
    ///
    /// # Errors
    /// [`BadHeaders`] when it is cut or was never written by us.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, BadHeaders> {
        let mut left = &bytes[..];
        while !left.is_empty() {
            let name = take(&mut left).ok_or(BadHeaders)?;
            std::str::from_utf8(name).map_err(|_| BadHeaders)?;
            take(&mut left).ok_or(BadHeaders)?;
        }
        Ok(Self(bytes))
    }

    /// All of them in one buffer.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first value of this name, if it is text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut left = &self.0[..];
        std::iter::from_fn(move || {
            let name = take(&mut left)?;
            Some((std::str::from_utf8(name).ok()?, take(&mut left)?))
        })
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut buffer = Vec::with_capacity(256);
        for (name, value) in pairs {
            put(name.as_ref().as_bytes(), &mut buffer);
            put(value.as_ref(), &mut buffer);
        }
        Self(buffer.into())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

fn put(text: &[u8], into: &mut Vec<u8>) {
    let mut length = text.len();
    while length >= 0x80 {
        into.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    into.push(length as u8);
    into.extend_from_slice(text);
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0_usize;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            break;
        }
    }
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back() {
        let (long, longer) = ("x".repeat(127), "ü".repeat(20_000));
        let pairs = [("ce_id", long.as_str()), ("", &longer), ("twice", "1"), ("twice", "")];
        let headers = Headers::from_iter(pairs);
        let bytes = Bytes::copy_from_slice(headers.as_bytes());
        assert_eq!(Headers::from_bytes(bytes.clone()), Ok(headers.clone()));
        assert!(headers.iter().eq(pairs.map(|(name, value)| (name, value.as_bytes()))));
        assert_eq!((headers.get("twice"), headers.get("none")), (Some("1"), None));
        assert_eq!(Headers::from_bytes(bytes.slice(..bytes.len() - 1)), Err(BadHeaders), "a cut is noticed");
        assert_eq!(
            Headers::from_bytes(Bytes::from_static(&[0xff; 16])),
            Err(BadHeaders),
            "an endless length"
        );
    }
}
