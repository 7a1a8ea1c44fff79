//! PromQL, as far as it names metrics and labels. That the rest of it is right, Prometheus says at its start.

use std::ops::Range;

use super::{
    known::{Known, Metric},
    tree,
};

/// Labels that Prometheus adds to everything that it collects here: see prometheus.yaml.
const ADDED: &[&str] = &["instance", "job", "role"];
/// The label of a histogram's buckets.
const BUCKET: &str = "le";
/// What all our metrics begin with.
const OURS: &str = "cartwright_";

/// What an expression names.
#[derive(Debug, Default)]
pub struct Expression<'a> {
    uses: Vec<Use<'a>>,
    groups: Vec<Group<'a>>,
}

/// A metric with its matchers.
#[derive(Debug)]
struct Use<'a> {
    at: usize,
    metric: &'a str,
    matchers: Vec<(&'a str, &'a str)>,
}

/// `by (…)` and its kind: labels, and the part of the expression that must have them.
#[derive(Debug)]
struct Group<'a> {
    labels: Vec<&'a str>,
    of: Range<usize>,
    /// Whether the result has these labels, and only these.
    by: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Mark(char),
    /// A number, a duration, a variable of Grafana's.
    Other,
}

impl<'a> Expression<'a> {
    pub fn read(text: &'a str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let pairs = pairs(&tokens)?;
        let mut expression = Self::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1);
            let end = pairs.iter().find(|(open, _)| *open == at + 1).map(|(_, close)| *close);
            match (token, next, end) {
                (
                    Token::Word("by" | "without" | "on" | "ignoring" | "group_left" | "group_right"),
                    Some(Token::Mark('(')),
                    Some(end),
                ) => {
                    let labels = words(&tokens[at..end]).skip(1).collect();
                    let grouping = matches!(token, Token::Word("by" | "without"));
                    let of = if grouping { grouped(&tokens, &pairs, at, end)? } else { 0..tokens.len() };
                    expression.groups.push(Group { labels, of, by: *token == Token::Word("by") });
                    at = end;
                }
                (Token::Word(metric), Some(Token::Mark('{')), Some(end)) => {
                    expression.uses.push(Use { at, metric, matchers: matchers(&tokens[at + 2..end]) });
                    at = end;
                }
                (Token::Word(metric), _, _) if metric.starts_with(OURS) => {
                    expression.uses.push(Use { at, metric, matchers: vec![] });
                }
                _ => {}
            }
            at += 1;
        }
        Ok(expression)
    }

    /// Everything it names that is not there.
    pub fn check(&self, known: &Known) -> Vec<String> {
        let mut wrong = Vec::new();
        for used in &self.uses {
            for (_, value) in used.matchers.iter().filter(|(label, _)| *label == "role") {
                let unknown = value.split('|').filter(|role| !known.roles.iter().any(|known| known == role));
                wrong.extend(unknown.map(|role| format!("there is no role {role}")));
            }
            let Some(metric) = used.metric(known, &mut wrong) else { continue };
            let grouped = self.groups.iter().filter(|group| group.of.contains(&used.at));
            let grouped = grouped.flat_map(|group| group.labels.iter().copied());
            for label in used.matchers.iter().map(|(label, _)| *label).chain(grouped) {
                if !used.has(metric, label) {
                    let has = metric.labels.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                    let has = if has.is_empty() { "none" } else { &has };
                    wrong.push(format!("{} has no label {label}; it has {has}", used.metric));
                }
            }
        }
        wrong
    }

    /// Whether what it finds may have this label.
    pub fn yields(&self, known: &Known, label: &str) -> bool {
        let mut by = self.groups.iter().filter(|group| group.by).peekable();
        if by.peek().is_some() {
            return by.any(|group| group.labels.contains(&label));
        }
        ADDED.contains(&label)
            || self
                .uses
                .iter()
                .any(|used| used.metric(known, &mut vec![]).is_some_and(|metric| used.has(metric, label)))
    }
}

impl Use<'_> {
    /// Its row, if it is one of ours and there.
    fn metric<'k>(&self, known: &'k Known, wrong: &mut Vec<String>) -> Option<&'k Metric> {
        if !self.metric.starts_with(OURS) {
            return None;
        }
        if let Some(metric) = known.metrics.get(self.metric) {
            if metric.histogram {
                wrong.push(format!("{} is a histogram: it has _bucket, _sum and _count", self.metric));
            }
            return Some(metric);
        }
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| self.metric.strip_suffix(part));
        let metric = part.and_then(|base| known.metrics.get(base)).filter(|metric| metric.histogram);
        if metric.is_none() {
            wrong.push(format!("{} is not in {}", self.metric, tree::METRICS));
        }
        metric
    }

    fn has(&self, metric: &Metric, label: &str) -> bool {
        let bucket = label == BUCKET && self.metric.ends_with("_bucket");
        bucket || ADDED.contains(&label) || metric.labels.contains(label)
    }
}

/// The labels that a text shows: `{{label}}` in a legend, `{{ $labels.label }}` in an annotation.
pub fn labels_shown(text: &str) -> Vec<&str> {
    let shown = text.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0));
    let labels = shown.filter_map(|shown| {
        let mut words = shown.split_whitespace();
        let first = words.next()?;
        match first.strip_prefix('$') {
            Some(variable) => variable.strip_prefix("labels."),
            None => words.next().is_none().then_some(first),
        }
    });
    labels.collect()
}

/// What a grouping is about: the parentheses behind it, else those before it.
fn grouped(
    tokens: &[Token<'_>],
    pairs: &[(usize, usize)],
    at: usize,
    end: usize,
) -> Result<Range<usize>, String> {
    let behind = pairs.iter().find(|(open, _)| *open == end + 1 && tokens[*open] == Token::Mark('('));
    let before = pairs.iter().find(|(_, close)| *close + 1 == at);
    match behind.or(before) {
        Some((open, close)) => Ok(*open..*close),
        None => Err("a grouping has nothing to group".to_owned()),
    }
}

/// The labels before each text, and the text.
fn matchers<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, &'a str)> {
    let each = tokens.split(|token| *token == Token::Mark(','));
    let pair = each.filter_map(|part| match (part.first(), part.last()) {
        (Some(Token::Word(label)), Some(Token::Text(text))) => Some((*label, *text)),
        _ => None,
    });
    pair.collect()
}

fn words<'a>(tokens: &[Token<'a>]) -> impl Iterator<Item = &'a str> {
    tokens.iter().filter_map(|token| if let Token::Word(word) = token { Some(*word) } else { None })
}

/// Where brackets open and close.
fn pairs(tokens: &[Token<'_>]) -> Result<Vec<(usize, usize)>, String> {
    let (mut open, mut pairs) = (Vec::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark(mark @ ('(' | '[' | '{')) => open.push((at, *mark)),
            Token::Mark(mark @ (')' | ']' | '}')) => match open.pop() {
                Some((from, '(')) if *mark == ')' => pairs.push((from, at)),
                Some((from, '[')) if *mark == ']' => pairs.push((from, at)),
                Some((from, '{')) if *mark == '}' => pairs.push((from, at)),
                _ => return Err(format!("a {mark} closes nothing")),
            },
            _ => {}
        }
    }
    match open.pop() {
        Some((_, mark)) => Err(format!("a {mark} is never closed")),
        None => Ok(pairs),
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end_of = |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let (token, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = end_of(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                (Token::Word(&rest[..end]), end)
            }
            '0'..='9' | '.' | '$' => {
                (Token::Other, end_of(|c| c.is_ascii_alphanumeric() || "._$".contains(c)))
            }
            '"' | '\'' => {
                let end = rest[1..].find(first).ok_or("a text is never closed")? + 1;
                (Token::Text(&rest[1..end]), end + 1)
            }
            mark => (Token::Mark(mark), mark.len_utf8()),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cargo::root, deploy::tree::Tree};

    fn found(text: &str) -> Vec<String> {
        let known = Known::read(&Tree::read(&root()).unwrap()).unwrap();
        match Expression::read(text) {
            Ok(expression) => expression.check(&known),
            Err(error) => vec![error],
        }
    }

    #[test]
    fn what_is_documented_passes() {
        for fine in [
            "max(cartwright_open_orders) > 0.8 * 1e6",
            "histogram_quantile(0.99, sum by (service, le) (rate(cartwright_store_write_seconds_bucket[$__rate_interval])))",
            "sum(rate(cartwright_commits_total{outcome=\"failed\", service!='x}'}[5m])) by (service)",
            "cartwright_lag_events * on (reader) group_left (topic) cartwright_lag_events",
            "up{job=\"cartwright\", role=~\"orders|relay\"} == 0",
            "sum by (role, instance) (cartwright_disk_free_bytes) + sum by (x) (up)",
        ] {
            assert_eq!(found(fine), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn planted_names_are_found() {
        let planted = [
            ("cartwright_open_order", "cartwright_open_order is not in docs/metrics.md"),
            ("cartwright_open_orders_sum", "cartwright_open_orders_sum is not in docs/metrics.md"),
            (
                "cartwright_batch_inputs",
                "cartwright_batch_inputs is a histogram: it has _bucket, _sum and _count",
            ),
            (
                "cartwright_open_orders{flow=\"standard\"}",
                "cartwright_open_orders has no label flow; it has none",
            ),
            (
                "sum by (le) (cartwright_batch_inputs_sum)",
                "cartwright_batch_inputs_sum has no label le; it has service",
            ),
            ("sum(cartwright_tasks) by (topic)", "cartwright_tasks has no label topic; it has service"),
            ("sum without (topic) (cartwright_tasks)", "cartwright_tasks has no label topic; it has service"),
            ("up + on (reader) cartwright_tasks", "cartwright_tasks has no label reader; it has service"),
            ("up{role=\"order\"}", "there is no role order"),
            ("sum((cartwright_tasks)", "a ( is never closed"),
            ("sum(cartwright_tasks])", "a ] closes nothing"),
            ("up{role=\"orders}", "a text is never closed"),
            ("by (service)", "a grouping has nothing to group"),
        ];
        for (text, complaint) in planted {
            assert_eq!(found(text), [complaint], "{text}");
        }
    }

    #[test]
    fn a_grouping_is_about_its_own_part() {
        let two = "sum by (topic) (cartwright_unsent_events) and sum by (service) (cartwright_tasks)";
        assert_eq!(found(two), Vec::<String>::new());
    }

    #[test]
    fn shown_labels_are_found() {
        assert_eq!(labels_shown("{{a}} of {{ b }}"), ["a", "b"]);
        assert_eq!(labels_shown("{{ $labels.a }}: {{ $value | humanize }}, {{ printf \"x\" }}"), ["a"]);
    }
}
