//! What there is to be named, from the files that say so.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::tree::{self, Tree};
use crate::Failure;

/// What variables of settings begin with.
const PREFIX: &str = "CARTWRIGHT__";
/// What is added to a secret's variable to name a file that holds it.
const IN_FILE: &str = "_file";
/// Parts of the names of secrets, as in crates/server/src/config/layers.rs.
const SECRETS: &[&str] = &["token", "secret", "password", "key", "authorization"];

/// Everything that may be named.
pub struct Known {
    settings: BTreeSet<String>,
    pub metrics: BTreeMap<String, Metric>,
    pub roles: Vec<String>,
    /// The version of Rust.
    pub rust: String,
}

/// A row of docs/metrics.md.
#[derive(Debug, PartialEq)]
pub struct Metric {
    pub histogram: bool,
    pub labels: BTreeSet<String>,
}

impl Known {
    pub fn read(tree: &Tree) -> Result<Self, Failure> {
        let parse = |file: &str| -> Result<Table, Failure> {
            tree.text(file).parse().map_err(|error| format!("{file}: {error}").into())
        };
        let mut settings = BTreeSet::new();
        flatten("", &parse(tree::SETTINGS)?, &mut settings);
        let toolchain = parse(tree::TOOLCHAIN)?;
        let rust = toolchain.get("toolchain").and_then(|it| it.get("channel")).and_then(Value::as_str);
        let known = Self {
            settings,
            metrics: metrics(tree.text(tree::METRICS)),
            roles: roles(tree.text(tree::ROLES)),
            rust: rust.ok_or_else(|| format!("{} names no channel", tree::TOOLCHAIN))?.to_owned(),
        };
        // Where nothing is found, the file has changed its form, and everything would be called wrong.
        let found = [
            (tree::SETTINGS, known.settings.is_empty()),
            (tree::METRICS, known.metrics.is_empty()),
            (tree::ROLES, known.roles.is_empty()),
        ];
        match found.into_iter().find(|(_, empty)| *empty) {
            Some((file, _)) => {
                Err(format!("nothing is found in {file}: see xtask/src/deploy/known.rs").into())
            }
            None => Ok(known),
        }
    }

    /// Settings and roles, wherever they stand in a text.
    pub fn check_names(&self, file: &str, text: &str, wrong: &mut Vec<String>) {
        for (number, line) in (1..).zip(text.lines()) {
            for variable in words_after(line, PREFIX, |c| c.is_ascii_alphanumeric() || c == '_') {
                let key = variable.to_lowercase().replace("__", ".");
                let secret = key.strip_suffix(IN_FILE).filter(|key| is_secret(key));
                if [Some(&*key), secret].into_iter().flatten().all(|key| !self.settings.contains(key)) {
                    wrong.push(format!("{file}:{number}: there is no setting {key}"));
                }
            }
            for roles in words_after(line, "--role", |c| " ,='\"".contains(c) || c.is_ascii_lowercase()) {
                let words = roles.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty());
                // Of `--role a, b` on a line of YAML or in prose, only the first is sure to be a role.
                let sure = if roles.contains(", ") { 1 } else { usize::MAX };
                let unknown = words.take(sure).filter(|word| !self.roles.iter().any(|role| role == word));
                wrong.extend(unknown.map(|word| format!("{file}:{number}: there is no role {word}")));
            }
        }
    }
}

fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    key == "database.url" || name.split('_').any(|part| SECRETS.contains(&part.trim_end_matches('s')))
}

/// What follows `start` wherever it stands in a line, as long as the characters belong to it.
fn words_after<'a>(line: &'a str, start: &str, belongs: fn(char) -> bool) -> Vec<&'a str> {
    let rests = line.match_indices(start).map(|(at, _)| &line[at + start.len()..]);
    rests.map(|rest| rest.split(|c| !belongs(c)).next().unwrap_or_default()).collect()
}

/// The whole keys of all settings. A table without anything in it is one.
fn flatten(above: &str, table: &Table, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            Value::Table(table) if !table.is_empty() => flatten(&key, table, keys),
            _ => drop(keys.insert(key)),
        }
    }
}

/// The rows of the page: name, type, labels.
fn metrics(page: &str) -> BTreeMap<String, Metric> {
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with("| `cartwright_"));
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let [_, name, kind, labels, ..] = &cells[..] else { return None };
        let labels = quoted(labels).into_iter().collect();
        Some((quoted(name).pop()?, Metric { histogram: kind.trim() == "histogram", labels }))
    })
    .collect()
}

/// The variants of `enum Role`, as they are called on the command line.
fn roles(source: &str) -> Vec<String> {
    let variants = source.split_once("pub enum Role {").and_then(|(_, rest)| rest.split_once('}'));
    let lines = variants.map_or("", |(variants, _)| variants).lines().map(str::trim);
    lines.filter_map(|line| Some(line.strip_suffix(',')?.to_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_named_is_found() {
        let known = Known::read(&Tree::read(&crate::cargo::root()).unwrap()).unwrap();
        assert_eq!(known.roles, ["orders", "payments", "fulfillment", "relay", "indexer"]);
        for setting in ["data.dir", "providers.retry.quick_tries", "payments.headers", "workers.paused"] {
            assert!(known.settings.contains(setting), "{setting}");
        }
        assert!(!known.settings.contains("providers.retry"), "a section is no setting");
        let calls = &known.metrics["cartwright_provider_call_seconds"];
        assert!(calls.histogram);
        assert_eq!(calls.labels.iter().collect::<Vec<_>>(), ["call", "outcome", "provider"]);
        assert_eq!(known.metrics["cartwright_open_orders"].labels.len(), 0);
    }

    #[test]
    fn names_are_found_wherever_they_stand() {
        let known = Known {
            settings: ["http.listen".to_owned(), "database.url".to_owned()].into(),
            metrics: BTreeMap::new(),
            roles: ["orders", "relay"].map(str::to_owned).into(),
            rust: String::new(),
        };
        let found = |line: &str| {
            let mut wrong = Vec::new();
            known.check_names("f", line, &mut wrong);
            wrong
        };
        for fine in [
            "CARTWRIGHT__HTTP__LISTEN=0.0.0.0:1 CARTWRIGHT__DATABASE__URL_FILE=x cartwright serve --role orders,relay",
            "command: [serve, --role, orders, --listen, x]",
            "`--role=relay`, and others",
            "serve --role ROLES",
        ] {
            assert_eq!(found(fine), Vec::<String>::new(), "{fine}");
        }
        assert_eq!(found("x # CARTWRIGHT__HTTP__PORT: 1"), ["f:1: there is no setting http.port"]);
        assert_eq!(found("CARTWRIGHT__HTTP__LISTEN_FILE=x"), ["f:1: there is no setting http.listen_file"]);
        assert_eq!(found("--role orders,search"), ["f:1: there is no role search"]);
        assert_eq!(found("[\"--role\", \"order\"]"), ["f:1: there is no role order"]);
    }
}
