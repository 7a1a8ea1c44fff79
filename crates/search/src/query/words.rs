//! Reads `?q=`: a query written as words, with `field:value`, `"phrases"`, `AND`, `OR`, `NOT`, `+`, `-` and parentheses.

use serde_json::Value;

use super::{Edge, MAX_CLAUSES, MAX_DEPTH, Operator, Query, Together, Wrong, check};
use crate::fields::{EVERYTHING, Kind, Searched, find};

/// Signs with a meaning that we don't know; with a backslash before them they stand for themselves.
const REFUSED: &[char] = &['^', '~', '?', '{', '}', '[', ']', '/'];

/// Reads a query written as words; none: everything.
///
/// Between words without `AND` and `OR` this operator stands.
///
/// # Errors
/// It can't be read, or says what is not supported.
pub fn words(text: &str, operator: Operator) -> Result<Query, Wrong> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader { chars: &chars, at: 0, operator, clauses: 0 };
    let query = reader.group(None, 0)?;
    match reader.peek() {
        // Signs alone look for nothing, and nothing asks for everything.
        None if reader.clauses > 0 => Ok(query.unwrap_or(Query::MatchNone)),
        None => Ok(query.unwrap_or(Query::MatchAll)),
        Some(sign) => Err(reader.wrong(format!("[{sign}] stands alone"))),
    }
}

/// What a word between two others says about them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    And,
    Or,
    None,
}

/// What stands before a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
    None,
}

/// What becomes of a word, as in Lucene's classic grammar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Must,
    Should,
    MustNot,
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    operator: Operator,
    clauses: usize,
}

impl Reader<'_> {
    /// Words up to the end or a closing parenthesis.
    fn group(&mut self, field: Option<&str>, depth: usize) -> Result<Option<Query>, Wrong> {
        if depth > MAX_DEPTH {
            return Err(self.wrong(format!("parentheses stand at most {MAX_DEPTH} deep")));
        }
        let mut placed: Vec<(Place, Query)> = Vec::new();
        let mut is_first = true;
        loop {
            let joint = self.joint();
            let sign = self.sign();
            self.skip_blanks();
            if matches!(self.peek(), None | Some(')')) {
                if joint != Joint::None || sign != Sign::None {
                    return Err(self.wrong("it ends where a word should be".to_owned()));
                }
                break;
            }
            if is_first && joint != Joint::None {
                return Err(self.wrong("it begins with AND or OR; put a word before it".to_owned()));
            }
            is_first = false;
            let query = self.clause(field, depth)?;
            self.clauses += 1;
            if self.clauses > MAX_CLAUSES {
                return Err(self.wrong(format!("there are more than {MAX_CLAUSES} words")));
            }
            self.place(&mut placed, joint, sign, query);
        }
        Ok(together(placed))
    }

    /// `a AND b` makes both needed; `a OR b` neither, even where all are needed otherwise.
    fn place(&self, placed: &mut Vec<(Place, Query)>, joint: Joint, sign: Sign, query: Option<Query>) {
        if let Some((before, _)) = placed.last_mut().filter(|(place, _)| *place != Place::MustNot) {
            match (joint, self.operator) {
                (Joint::And, _) => *before = Place::Must,
                (Joint::Or, Operator::And) => *before = Place::Should,
                (Joint::Or, Operator::Or) | (Joint::None, _) => {}
            }
        }
        let place = match (sign, self.operator) {
            (Sign::Minus, _) => Place::MustNot,
            (Sign::Plus, Operator::Or) => Place::Must,
            (_, Operator::Or) if joint == Joint::And => Place::Must,
            (_, Operator::Or) => Place::Should,
            (_, Operator::And) if joint == Joint::Or => Place::Should,
            (_, Operator::And) => Place::Must,
        };
        // Signs without words are passed over, as in Lucene, although they join what stands around them.
        placed.extend(query.filter(|query| !is_empty(query)).map(|query| (place, query)));
    }

    /// One word, phrase or group, perhaps of a field.
    fn clause(&mut self, field: Option<&str>, depth: usize) -> Result<Option<Query>, Wrong> {
        match self.peek() {
            Some('"') => {
                let text = self.quoted()?;
                let field = field.unwrap_or(EVERYTHING).to_owned();
                self.checked(Query::MatchPhrase { field, text }).map(Some)
            }
            Some('(') => {
                self.at += 1;
                let query = self.group(field, depth + 1)?;
                if self.peek() != Some(')') {
                    return Err(self.wrong("a parenthesis is not closed".to_owned()));
                }
                self.at += 1;
                Ok(query)
            }
            _ => self.word_or_field(field, depth),
        }
    }

    fn word_or_field(&mut self, field: Option<&str>, depth: usize) -> Result<Option<Query>, Wrong> {
        if let Some(edge) = self.comparison(field)? {
            return Ok(Some(edge));
        }
        let (word, star) = self.word()?;
        if self.peek() == Some(':') && !star && !word.is_empty() {
            if field.is_some() {
                return Err(self.wrong(format!("[{word}:] stands within another field")));
            }
            self.at += 1;
            self.skip_blanks();
            if word == "_exists_" {
                let (field, _) = self.word()?;
                return Ok(Some(Query::Exists { field }));
            }
            if matches!(self.peek(), None | Some(')')) {
                return Err(self.wrong(format!("[{word}:] needs a value")));
            }
            return self.clause(Some(&word), depth);
        }
        match (field, word.is_empty(), star) {
            (None, true, true) => {
                // "*:*" is everything, too.
                if self.chars.get(self.at..self.at + 2) == Some(&[':', '*']) {
                    self.at += 2;
                }
                Ok(Some(Query::MatchAll))
            }
            (Some(field), true, true) => Ok(Some(Query::Exists { field: field.to_owned() })),
            (_, true, false) => {
                let sign = self.peek().map_or_else(|| "the end".to_owned(), |sign| format!("[{sign}]"));
                Err(self.wrong(format!("a word is missing before {sign}")))
            }
            (field, false, true) => self.checked(prefix(field.unwrap_or(EVERYTHING), &word)).map(Some),
            (field, false, false) => {
                let (field, text) = (field.unwrap_or(EVERYTHING).to_owned(), Value::from(word));
                self.checked(Query::Match { field, text, operator: self.operator, minimum: None }).map(Some)
            }
        }
    }

    /// `total:>=100`.
    fn comparison(&mut self, field: Option<&str>) -> Result<Option<Query>, Wrong> {
        let (Some(sign @ ('<' | '>')), Some(field)) = (self.peek(), field) else { return Ok(None) };
        self.at += 1;
        let including = self.peek() == Some('=');
        self.at += usize::from(including);
        let (value, star) = self.word()?;
        if value.is_empty() || star {
            return Err(self.wrong(format!("[{field}:{sign}] needs a value")));
        }
        let value = Value::from(value);
        let edge = if including { Edge::Including(value) } else { Edge::Excluding(value) };
        let field = field.to_owned();
        let query = match sign {
            '>' => Query::Range { field, from: edge, to: Edge::Open },
            _ => Query::Range { field, from: Edge::Open, to: edge },
        };
        self.checked(query).map(Some)
    }

    /// A word up to a blank or a sign, and whether a star ends it.
    fn word(&mut self) -> Result<(String, bool), Wrong> {
        let mut word = String::new();
        while let Some(sign) = self.peek() {
            match sign {
                '\\' => {
                    self.at += 1;
                    let escaped = self.peek().ok_or_else(|| self.wrong("a backslash ends it".to_owned()))?;
                    word.push(escaped);
                }
                '*' => {
                    self.at += 1;
                    if self.peek().is_some_and(|next| !next.is_whitespace() && next != ')' && next != ':') {
                        return Err(self.wrong("[*] is supported at the end of a word only".to_owned()));
                    }
                    return Ok((word, true));
                }
                sign if REFUSED.contains(&sign) => {
                    return Err(self.wrong(format!(
                        "[{sign}] is not supported here; write \\{sign} for the sign itself"
                    )));
                }
                ':' | '(' | ')' | '"' => break,
                sign if sign.is_whitespace() => break,
                sign => word.push(sign),
            }
            self.at += 1;
        }
        Ok((word, false))
    }

    fn quoted(&mut self) -> Result<Value, Wrong> {
        self.at += 1;
        let mut text = String::new();
        while let Some(sign) = self.peek() {
            self.at += 1;
            match sign {
                '"' => return Ok(Value::from(text)),
                '\\' => {
                    text.extend(self.peek());
                    self.at += 1;
                }
                sign => text.push(sign),
            }
        }
        Err(self.wrong("a quotation is not closed".to_owned()))
    }

    fn joint(&mut self) -> Joint {
        self.skip_blanks();
        let joints = [("AND", Joint::And), ("OR", Joint::Or), ("&&", Joint::And), ("||", Joint::Or)];
        for (name, joint) in joints {
            if self.skip_name(name) {
                return joint;
            }
        }
        Joint::None
    }

    fn sign(&mut self) -> Sign {
        self.skip_blanks();
        if self.skip_name("NOT") {
            return Sign::Minus;
        }
        let sign = match self.peek() {
            Some('+') => Sign::Plus,
            Some('-' | '!') => Sign::Minus,
            _ => return Sign::None,
        };
        self.at += 1;
        sign
    }

    /// Passes over a name that stands alone: `ANDROID` holds no AND.
    fn skip_name(&mut self, name: &str) -> bool {
        let end = self.at + name.chars().count();
        let there = self.chars.get(self.at..end).is_some_and(|chars| chars.iter().copied().eq(name.chars()));
        let alone =
            self.chars.get(end).is_none_or(|next| next.is_whitespace() || *next == '(' || *next == '"');
        if there && alone {
            self.at = end;
        }
        there && alone
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn checked(&self, query: Query) -> Result<Query, Wrong> {
        check::query(&query)?;
        Ok(query)
    }

    fn wrong(&self, what: String) -> Wrong {
        Wrong::Malformed {
            kind: "query_shard_exception",
            reason: format!("Failed to parse query [{}]: {what}", self.chars.iter().collect::<String>()),
        }
    }
}

/// Whether a text is looked for that holds no words.
fn is_empty(query: &Query) -> bool {
    let (Query::Match { field, text, .. } | Query::MatchPhrase { field, text }) = query else { return false };
    let is_text = find(field).is_some_and(|found| found.kind() == Kind::Text);
    is_text && text.as_str().is_some_and(|text| crate::analyzer::words(text).is_empty())
}

/// Words of a text are kept in lower case, so the beginning of one is looked for in it.
fn prefix(field: &str, word: &str) -> Query {
    let value = match find(field).map(Searched::kind) {
        Some(Kind::Text) => crate::analyzer::lower(word).collect(),
        Some(Kind::Keyword | Kind::Long | Kind::Date | Kind::Boolean) | None => word.to_owned(),
    };
    Query::Prefix { field: field.to_owned(), value }
}

fn together(mut placed: Vec<(Place, Query)>) -> Option<Query> {
    if placed.is_empty() {
        return None;
    }
    if let [(Place::Must | Place::Should, _)] = placed.as_slice() {
        return placed.pop().map(|(_, query)| query);
    }
    let mut together = Together::default();
    for (place, query) in placed {
        match place {
            Place::Must => together.must.push(query),
            Place::Should => together.should.push(query),
            Place::MustNot => together.must_not.push(query),
        }
    }
    Some(Query::Bool(Box::new(together)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::query::Request;

    fn read(text: &str) -> Value {
        Request::of(words(text, Operator::Or).unwrap()).to_json()["query"].take()
    }

    fn found(field: &str, text: &str) -> Value {
        json!({"match": {field: {"query": text, "operator": "or"}}})
    }

    #[test]
    fn words_fields_and_phrases_are_read() {
        assert_eq!(read(""), json!({"match_all": {}}));
        assert_eq!(read("*"), json!({"match_all": {}}));
        assert_eq!(read("*:*"), json!({"match_all": {}}));
        assert_eq!(read("phone"), found("everything", "phone"));
        assert_eq!(read("status:Created"), found("status", "Created"));
        assert_eq!(read("a-b ada@example.com")["bool"]["should"][1], found("everything", "ada@example.com"));
        assert_eq!(read("status:\"a b\""), json!({"match_phrase": {"status": {"query": "a b"}}}));
        assert_eq!(read("carrier:*"), json!({"exists": {"field": "carrier"}}));
        assert_eq!(read("_exists_:carrier"), json!({"exists": {"field": "carrier"}}));
        assert_eq!(read("Pho*"), json!({"prefix": {"everything": {"value": "pho"}}}));
        assert_eq!(read("total:>=5"), json!({"range": {"total": {"gte": "5"}}}));
        assert_eq!(read("a\\:b"), found("everything", "a:b"));
    }

    #[test]
    fn operators_join_words_as_in_lucene() {
        let (a, b, c) = (found("everything", "a"), found("everything", "b"), found("everything", "c"));
        assert_eq!(read("a b"), json!({"bool": {"should": [a, b]}}));
        assert_eq!(read("a AND b OR c"), json!({"bool": {"must": [a, b], "should": [c]}}));
        assert_eq!(read("+a -b c"), json!({"bool": {"must": [a], "must_not": [b], "should": [c]}}));
        assert_eq!(read("NOT a"), json!({"bool": {"must_not": [a]}}));
        assert_eq!(read("\\- OR a"), a, "signs alone are passed over");
        assert_eq!(read("-\\-"), json!({"match_none": {}}));
        assert_eq!(read("a && !b"), json!({"bool": {"must": [a], "must_not": [b]}}));
        assert_eq!(read("c (a b)"), json!({"bool": {"should": [c, {"bool": {"should": [a, b]}}]}}));
        let both = words("a b", Operator::And).unwrap();
        assert!(matches!(both, Query::Bool(together) if together.must.len() == 2));
        let either = words("a OR b", Operator::And).unwrap();
        assert!(matches!(either, Query::Bool(together) if together.should.len() == 2));
    }

    #[test]
    fn a_field_may_have_a_group() {
        let (a, b) = (found("status", "a"), found("status", "b"));
        assert_eq!(read("status:(a OR b)"), json!({"bool": {"should": [a, b]}}));
    }

    #[test]
    fn what_can_not_be_read_is_refused() {
        let wrong =
            ["(a", "a)", "\"a", "a~2", "a^3", "te?t", "t*t", "[1 TO 2]", "/a/", "a AND", "OR a", "status:"];
        for text in wrong.into_iter().chain(["total:many", "total:1*", ":a", "a\\", "status:(id:b)", "-"]) {
            let error = words(text, Operator::Or).err().unwrap_or_else(|| panic!("{text} is read"));
            assert!(!error.reason().is_empty());
        }
        assert!(words(&"(".repeat(100_000), Operator::Or).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", signs in "[a:()\"*+!&|\\\\ <>=-]{0,24}") {
            for operator in [Operator::Or, Operator::And] {
                let _ = words(&text, operator);
                let _ = words(&signs, operator);
            }
        }
    }
}
