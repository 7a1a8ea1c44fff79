//! `docs/guarantees.md` names what proves each promise. What it names must be there.

use crate::cargo::root;

/// The page, and where its links start from.
const PAGE: &str = "docs/guarantees.md";

/// What stands in the page as [`name`](path), with the path from the page's folder.
fn named(page: &str) -> Vec<(&str, &str)> {
    let links = page.split("[`").skip(1);
    links
        .filter_map(|rest| {
            rest.split_once("`](").and_then(|(name, rest)| Some((name, rest.split_once(')')?.0)))
        })
        .collect()
}

/// Whether a source defines a test, a check or a variant of this name.
fn defines(source: &str, name: &str) -> bool {
    let word = |line: &str| {
        let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
        let line = line.strip_prefix("fn ").unwrap_or(line);
        let rest = line.strip_prefix(name)?;
        Some(rest.starts_with(['(', ',', ':', ' ']) || rest.is_empty())
    };
    source.lines().any(|line| word(line) == Some(true))
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let folder = root().join(PAGE);
    let page = std::fs::read_to_string(&folder).expect("the page");
    let names = named(&page);
    assert!(names.len() > 40, "only {} names were found", names.len());
    for (name, path) in names {
        let file = folder.with_file_name(path);
        let source =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{PAGE} names {path}: {error}"));
        assert!(defines(&source, name), "{PAGE} names `{name}`, which is not in {path}");
    }
}

#[test]
fn a_name_is_found_only_where_it_is_defined() {
    let source = "    pub async fn holds(a: u8) {}\n// fn gone()\n    Planted,\n";
    assert!(defines(source, "holds") && defines(source, "Planted"));
    assert!(!defines(source, "gone") && !defines(source, "hold") && !defines(source, "Plant"));
    assert_eq!(named("see [`a`](b.rs), [`c`](../d.rs) and [e](f)"), [("a", "b.rs"), ("c", "../d.rs")]);
}
