//! How values of the port lie in columns.

use uuid::Uuid;

use super::failure::unreadable;

/// Appends headers as (length, bytes) pairs; the lengths are LEB128.
pub(super) fn encode_headers(headers: &[(String, String)], into: &mut Vec<u8>) {
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        let mut length = text.len();
        while length >= 0x80 {
            into.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        into.push(length as u8);
        into.extend_from_slice(text.as_bytes());
    }
}

/// Reads what [`encode_headers`] wrote.
pub(super) fn decode_headers(mut bytes: &[u8]) -> rusqlite::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let name = take_text(&mut bytes)?;
        headers.push((name, take_text(&mut bytes)?));
    }
    Ok(headers)
}

/// A UUID from its column.
pub(super) fn uuid(bytes: &[u8]) -> rusqlite::Result<Uuid> {
    Uuid::from_slice(bytes).map_err(unreadable)
}

/// A number that SQLite has to compare or sort; ours never come near the border.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A limit as SQLite takes it.
pub(super) fn limit(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn take_text(bytes: &mut &[u8]) -> rusqlite::Result<String> {
    let mut length = 0_usize;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| unreadable("headers end early"))?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f)
            .checked_shl(shift)
            .ok_or_else(|| unreadable("a header's length is too long"))?;
        if byte < 0x80 {
            break;
        }
    }
    let (text, rest) = bytes.split_at_checked(length).ok_or_else(|| unreadable("headers end early"))?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back() {
        let headers = vec![
            ("ce_id".to_owned(), "x".repeat(127)),
            (String::new(), "ü".repeat(20_000)),
            ("a".to_owned(), String::new()),
        ];
        let mut bytes = Vec::new();
        encode_headers(&headers, &mut bytes);
        assert_eq!(decode_headers(&bytes).unwrap(), headers);
        assert!(decode_headers(&bytes[..bytes.len() - 1]).is_err(), "a cut is noticed");
        assert!(decode_headers(&[0xff; 16]).is_err(), "an endless length is noticed");
    }
}
