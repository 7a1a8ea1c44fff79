//! How texts are cut into words, in documents and in requests alike: as Elasticsearch's standard analyzer does it.

mod pictographs;

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

use pictographs::is_emoji;

/// Longer words are cut into pieces of this many UTF-16 units, as Java counts.
const MAX_WORD: usize = 255;

/// The words of a text by the rules of Unicode (UAX #29), in lower case.
#[derive(Clone, Default)]
pub(crate) struct Words {
    token: Token,
}

/// The words of one text.
pub(crate) struct Stream<'a> {
    words: Box<dyn Iterator<Item = (usize, &'a str)> + 'a>,
    /// What is left of a word that is too long, and where it begins.
    rest: Option<(usize, &'a str)>,
    token: &'a mut Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        self.token.reset();
        Stream { words: parts(text), rest: None, token: &mut self.token }
    }
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let Some((at, word)) = self.rest.take().or_else(|| self.words.next()) else { return false };
        let end = cut(word);
        if end < word.len() {
            self.rest = Some((at + end, &word[end..]));
        }
        let word = &word[..end];
        self.token.offset_from = at;
        self.token.offset_to = at + end;
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text.clear();
        if word.is_ascii() {
            self.token.text.push_str(word);
            self.token.text.make_ascii_lowercase();
        } else {
            self.token.text.extend(lower(word));
        }
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// The words as they are written, and where each begins.
fn parts(text: &str) -> Box<dyn Iterator<Item = (usize, &str)> + '_> {
    if text.is_ascii() {
        return Box::new(text.unicode_word_indices());
    }
    let is_word = |part: &str| part.chars().any(char::is_alphanumeric) || is_emoji(part);
    Box::new(text.split_word_bound_indices().filter(move |(_, part)| is_word(part)))
}

/// Letter by letter, as Java's filter does: a last sigma stays what it is, and İ becomes i without a second dot.
pub(crate) fn lower(word: &str) -> impl Iterator<Item = char> {
    word.chars().filter_map(|letter| letter.to_lowercase().next())
}

/// Where a word is cut.
fn cut(word: &str) -> usize {
    if word.len() <= MAX_WORD {
        return word.len();
    }
    let mut units = 0;
    for (at, letter) in word.char_indices() {
        units += letter.len_utf16();
        if units > MAX_WORD {
            return at;
        }
    }
    word.len()
}

/// The words of a text of a request.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut analyzer = Words::default();
    let mut stream = analyzer.token_stream(text);
    while stream.advance() {
        words.push(stream.token().text.clone());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_as_the_standard_analyzer_cuts_them() {
        let cases = [
            ("FulfillmentScheduled", vec!["fulfillmentscheduled"]),
            ("The 2 QUICK Brown-Foxes jumped", vec!["the", "2", "quick", "brown", "foxes", "jumped"]),
            ("the dog's bone.", vec!["the", "dog's", "bone"]),
            ("ada@example.com", vec!["ada", "example.com"]),
            ("SKU_1 3.14", vec!["sku_1", "3.14"]),
            ("Größe ÄÖ İSTANBUL", vec!["größe", "äö", "istanbul"]),
            ("… - !", vec![]),
            ("phone😀case 👍🏽", vec!["phone", "😀", "case", "👍🏽"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn long_words_are_cut_into_pieces() {
        let lengths: Vec<_> = words(&"ä".repeat(600)).iter().map(|word| word.chars().count()).collect();
        assert_eq!(lengths, [255, 255, 90]);
    }
}
