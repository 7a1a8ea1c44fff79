//! The dependency directions: `server → store → core`, `server → search`, `testkit → core`, and a core without I/O.
//!
//! Crates are checked on cargo's own graph, modules of the server on their source.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    path::Path,
};

use serde::Deserialize;

use crate::{
    Failure,
    cargo::{metadata, root},
};

/// Which crates of the workspace each one may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("cartwright-core", &[]),
    ("cartwright-search", &["cartwright-core"]),
    ("cartwright-store", &["cartwright-core"]),
    ("cartwright-testkit", &["cartwright-core"]),
    ("cartwright", &["cartwright-core", "cartwright-search", "cartwright-store"]),
    ("xtask", &[]),
];

/// Tests may also use this one.
const FOR_TESTS: &str = "cartwright-testkit";

/// What the core must not reach, by itself or through others: the crate of this name, and all that begin with it and a hyphen.
const NOT_IN_CORE: &[&str] = &[
    "async-std",
    "axum",
    "deadpool",
    "diesel",
    "http",
    "hyper",
    "kafka",
    "libsqlite3-sys",
    "mio",
    "postgres",
    "rdkafka",
    "refinery",
    "reqwest",
    "rusqlite",
    "smol",
    "sqlx",
    "tokio",
    "tower",
    "ureq",
];

/// Modules of the server that see ports, never adapters.
const SEE_PORTS_ONLY: &[&str] = &["http", "workers"];

/// What those modules must not name: top-level modules of the server, and crates.
const ADAPTER_MODULES: &[&str] = &["compose", "providers"];
const ADAPTER_CRATES: &[&str] = &["cartwright_store", "rusqlite", "tantivy"];

/// A crate that holds a port beside its adapters, and the modules of these.
const PORT_CRATE: &str = "cartwright_search";
const PORT_CRATE_ADAPTERS: &[&str] = &["elastic", "embedded"];

/// Everything that points the wrong way, in words.
///
/// # Errors
/// Cargo or the source can't be read.
pub fn check() -> Result<Vec<String>, Failure> {
    let mut wrong = check_crates(&Graph::read(&metadata()?)?);
    let server = root().join("crates/server/src");
    for module in SEE_PORTS_ONLY {
        check_sources(&server.join(module), &mut wrong)?;
    }
    Ok(wrong)
}

/// The crates and what each one depends on.
#[derive(Default)]
struct Graph {
    names: HashMap<String, String>,
    workspace: Vec<String>,
    edges: HashMap<String, Vec<Edge>>,
}

struct Edge {
    to: String,
    /// Whether it is there outside of tests, too.
    normal: bool,
}

impl Graph {
    fn read(json: &[u8]) -> Result<Self, Failure> {
        let metadata: Metadata = serde_json::from_slice(json)?;
        let names = metadata.packages.into_iter().map(|package| (package.id, package.name)).collect();
        let edges = metadata.resolve.nodes.into_iter().map(|node| {
            let deps = node.deps.into_iter().map(|dep| Edge {
                normal: dep.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev")),
                to: dep.pkg,
            });
            (node.id, deps.collect())
        });
        Ok(Self { names, workspace: metadata.workspace_members, edges: edges.collect() })
    }

    fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("?", String::as_str)
    }

    fn edges(&self, id: &str) -> &[Edge] {
        self.edges.get(id).map_or(&[], Vec::as_slice)
    }

    /// The way from one crate to each that it reaches outside of tests, shortest first.
    fn ways(&self, from: &str) -> Vec<Vec<&str>> {
        let mut ways = Vec::new();
        let mut seen = vec![from.to_owned()];
        let mut next = VecDeque::from([(from.to_owned(), vec![self.name(from)])]);
        while let Some((id, way)) = next.pop_front() {
            for edge in self.edges(&id).iter().filter(|edge| edge.normal) {
                if seen.contains(&edge.to) {
                    continue;
                }
                seen.push(edge.to.clone());
                let mut way = way.clone();
                way.push(self.name(&edge.to));
                next.push_back((edge.to.clone(), way.clone()));
                ways.push(way);
            }
        }
        ways
    }
}

fn check_crates(graph: &Graph) -> Vec<String> {
    let mut wrong = Vec::new();
    for id in &graph.workspace {
        let name = graph.name(id);
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name} is new: say in xtask/src/directions.rs what it may depend on"));
            continue;
        };
        for edge in graph.edges(id).iter().filter(|edge| graph.workspace.contains(&edge.to)) {
            let to = graph.name(&edge.to);
            let for_tests = !edge.normal && to == FOR_TESTS;
            if !allowed.contains(&to) && !for_tests {
                wrong.push(format!("{name} must not depend on {to}"));
            }
        }
        if name == "cartwright-core" {
            let forbidden =
                graph.ways(id).into_iter().filter(|way| way.last().is_some_and(|name| has_io(name)));
            wrong.extend(forbidden.map(|way| format!("the core does no I/O, but: {}", way.join(" → "))));
        }
    }
    wrong
}

fn has_io(name: &str) -> bool {
    NOT_IN_CORE
        .iter()
        .any(|word| name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

fn check_sources(dir: &Path, wrong: &mut Vec<String>) -> Result<(), Failure> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            check_sources(&path, wrong)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            let found = adapters_in(&fs::read_to_string(&path)?);
            wrong.extend(found.into_iter().map(|what| format!("{shown} sees ports only, but names {what}")));
        }
    }
    Ok(())
}

/// The adapters that a source names, in code (not in comments or texts).
fn adapters_in(source: &str) -> Vec<String> {
    let words = words(source);
    let mut found = Vec::new();
    for (i, word) in words.iter().enumerate() {
        if ADAPTER_CRATES.contains(&word.as_str()) {
            found.push(word.clone());
        }
        if word == PORT_CRATE && words.get(i + 1).is_some_and(|next| next == "::") {
            let adapters = heads(&words[i + 2..])
                .into_iter()
                .filter(|module| PORT_CRATE_ADAPTERS.contains(&module.as_str()));
            found.extend(adapters.map(|module| format!("{PORT_CRATE}::{module}")));
        }
        // `super` may lead to the root as well as `crate`; no module in between has such a name.
        if matches!(word.as_str(), "crate" | "super") && words.get(i + 1).is_some_and(|next| next == "::") {
            for module in heads(&words[i + 2..]) {
                if ADAPTER_MODULES.contains(&module.as_str()) {
                    found.push(format!("crate::{module}"));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The first names of a path, or of all paths of a group: `a::b` → a; `{a::b, c::{d}}` → a, c.
fn heads(words: &[String]) -> Vec<String> {
    let Some(first) = words.first() else { return vec![] };
    if first != "{" {
        return vec![first.clone()];
    }
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut begins = false;
    for word in words {
        match word.as_str() {
            "{" => {
                depth += 1;
                begins = depth == 1;
            }
            "}" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," => begins = depth == 1,
            name => {
                if begins {
                    heads.push(name.to_owned());
                }
                begins = false;
            }
        }
    }
    heads
}

/// A source's names, `::` and other signs, without comments, texts and blanks.
fn words(source: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = text_literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// The length of the comment that `rest` begins with; they may hold one another.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of the text or character that `rest` begins with, if it does.
fn text_literal(rest: &str) -> Option<usize> {
    for prefix in ["r", "br", "cr"] {
        if let Some(raw) = rest.strip_prefix(prefix) {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw[hashes..].starts_with('"') {
                let end = format!("\"{}", "#".repeat(hashes));
                let from = prefix.len() + hashes + 1;
                return Some(rest[from..].find(&end).map_or(rest.len(), |at| from + at + end.len()));
            }
        }
    }
    let quote = ["\"", "b\"", "c\""].into_iter().find(|quote| rest.starts_with(quote));
    if let Some(quote) = quote {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(quote.len()) {
            match c {
                '"' if !escaped => return Some(at + 1),
                _ => escaped = c == '\\' && !escaped,
            }
        }
        return Some(rest.len());
    }
    // The characters that would look like the beginning of something else; a lifetime has no closing quote.
    ["'\"'", "'\\''", "'\\\"'", "'{'", "'}'", "'/'"].iter().find(|c| rest.starts_with(**c)).map(|c| c.len())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    kind: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph from lines such as `store -> core` and `core -dev-> testkit`.
    fn graph(lines: &[&str]) -> Graph {
        let mut graph = Graph::default();
        for line in lines {
            let (from, to, normal) = match line.split_once(" -dev-> ") {
                Some((from, to)) => (from, to, false),
                None => line.split_once(" -> ").map(|(from, to)| (from, to, true)).unwrap(),
            };
            for name in [from, to] {
                graph.names.insert(name.to_owned(), name.to_owned());
                let ours = name.starts_with("cartwright") || name == "xtask" || name.starts_with("new");
                if ours && !graph.workspace.iter().any(|known| known == name) {
                    graph.workspace.push(name.to_owned());
                }
            }
            graph.edges.entry(from.to_owned()).or_default().push(Edge { to: to.to_owned(), normal });
        }
        graph
    }

    const RIGHT: &[&str] = &[
        "cartwright -> cartwright-store",
        "cartwright -> cartwright-core",
        "cartwright -> tokio",
        "cartwright-store -> cartwright-core",
        "cartwright-store -> rusqlite",
        "cartwright-store -dev-> cartwright-testkit",
        "cartwright -> cartwright-search",
        "cartwright-testkit -> cartwright-core",
        "cartwright-core -dev-> cartwright-testkit",
        "cartwright-core -> serde",
        "cartwright-core -dev-> tokio",
    ];

    fn with(planted: &[&str]) -> Vec<String> {
        check_crates(&graph(&[RIGHT, planted].concat()))
    }

    #[test]
    fn this_workspace_points_one_way() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_allowed_directions_pass() {
        assert_eq!(with(&[]), Vec::<String>::new());
    }

    #[test]
    fn planted_directions_are_found() {
        let planted = [
            ("cartwright-core -> cartwright-store", "cartwright-core must not depend on cartwright-store"),
            (
                "cartwright-core -> cartwright-testkit",
                "cartwright-core must not depend on cartwright-testkit",
            ),
            (
                "cartwright-store -> cartwright-testkit",
                "cartwright-store must not depend on cartwright-testkit",
            ),
            (
                "cartwright-testkit -> cartwright-store",
                "cartwright-testkit must not depend on cartwright-store",
            ),
            ("cartwright-store -dev-> cartwright", "cartwright-store must not depend on cartwright"),
            (
                "cartwright-search -> cartwright-store",
                "cartwright-search must not depend on cartwright-store",
            ),
            ("xtask -> cartwright", "xtask must not depend on cartwright"),
            ("new -> cartwright-core", "new is new: say in xtask/src/directions.rs what it may depend on"),
        ];
        for (line, complaint) in planted {
            assert!(with(&[line]).iter().any(|found| found == complaint), "{line}: {:?}", with(&[line]));
        }
    }

    #[test]
    fn io_in_the_core_is_found_through_others() {
        for name in ["tokio", "tokio-util", "rusqlite", "libsqlite3-sys", "hyper-util", "http", "rdkafka"] {
            let found = with(&["serde -> harmless", &format!("harmless -> {name}")]);
            let way = format!("the core does no I/O, but: cartwright-core → serde → harmless → {name}");
            assert_eq!(found, [way]);
        }
        assert!(!has_io("httparse") && !has_io("towering"), "only whole words count");
    }

    #[test]
    fn named_adapters_are_found() {
        let planted = [
            ("use cartwright_store::DataDir;", "cartwright_store"),
            ("use crate::compose;", "crate::compose"),
            ("use crate::{bus::{self, journal}, providers::Ledger};", "crate::providers"),
            ("use super::super::providers::Ledger;", "crate::providers"),
            ("fn f() { crate::compose::start() }", "crate::compose"),
            ("fn f(c: char) -> rusqlite::Result<()> { c == '\"'; }", "rusqlite"),
            ("use cartwright_search::{Aim, embedded::Embedded};", "cartwright_search::embedded"),
            ("fn f(index: cartwright_search::elastic::Elastic) {}", "cartwright_search::elastic"),
            ("const T: &str = r#\"a \" b\"#; use crate::compose::System;", "crate::compose"),
        ];
        for (source, adapter) in planted {
            assert_eq!(adapters_in(source), [adapter], "{source}");
        }
    }

    #[test]
    fn ports_comments_and_texts_are_fine() {
        let source = r#"
            //! Not crate::compose, and never rusqlite.
            /* use crate::providers; /* rusqlite */ */
            use crate::{bus::journal::Read, http::{problem::Problem, form::compose}, telemetry::metrics};
            use cartwright_core::services::Providers;
            use cartwright_search::{SearchIndex, query::{Request, elastic}};
            fn f<'a>(providers: &'a str) -> String { format!("crate::compose \" rusqlite {providers}") }
        "#;
        assert_eq!(adapters_in(source), Vec::<String>::new());
    }
}
