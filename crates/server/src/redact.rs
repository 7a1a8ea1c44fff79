//! What may be shown of an event: all but what stands for a means of payment. That is for the payments service alone.

use std::borrow::Cow;

/// The name of the field that holds it.
const NAME: &[u8] = b"\"token\"";

/// What is shown instead.
const INSTEAD: &[u8] = b"***";

/// These bytes with the text of every field `token` blacked out, whether they are JSON or only began as such.
pub fn without_tokens(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut shown = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(NAME.len()).position(|window| window == NAME) {
        let (before, after) = rest.split_at(at + NAME.len());
        shown.extend_from_slice(before);
        rest = after;
        let Some(opening) = text_begins(rest) else { continue };
        shown.extend_from_slice(&rest[..opening]);
        shown.extend_from_slice(INSTEAD);
        rest = &rest[opening + text_length(&rest[opening..])..];
    }
    if shown.is_empty() {
        return Cow::Borrowed(bytes);
    }
    shown.extend_from_slice(rest);
    Cow::Owned(shown)
}

/// Where the text begins that is the value of a field, if it is a text: behind the colon and the quotation mark.
fn text_begins(after_name: &[u8]) -> Option<usize> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    let colon = after_name.iter().position(|byte| !is_space(byte)).filter(|at| after_name[*at] == b':')?;
    let quote = colon + 1 + after_name[colon + 1..].iter().position(|byte| !is_space(byte))?;
    (after_name[quote] == b'"').then_some(quote + 1)
}

/// The length of a JSON text up to its closing quotation mark, or all there is.
fn text_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        String::from_utf8_lossy(&without_tokens(text.as_bytes())).into_owned()
    }

    #[test]
    fn tokens_are_blacked_out_wherever_they_are() {
        assert_eq!(
            shown(r#"{"token":"tok_1","a":{"token" : "to\"k\\","b":"token"}}"#),
            r#"{"token":"***","a":{"token" : "***","b":"token"}}"#
        );
        assert_eq!(shown(r#"{"a":1,"token":"cut of"#), r#"{"a":1,"token":"***"#);
    }

    #[test]
    fn what_holds_none_stays_as_it_is() {
        for text in
            ["", "{}", r#"{"token":null}"#, r#"{"token":7,"b":"c"}"#, r#"["token","b"]"#, r#""token""#]
        {
            assert_eq!(shown(text), text);
        }
    }
}
