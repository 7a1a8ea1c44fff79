//! Where our libraries come from: licences that ask for nothing but their text, a reason for each that we name, none that
//! nobody uses, and no known vulnerability, as far as an advisory database is at hand.

mod advisories;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::{
    Failure,
    cargo::{metadata, root},
};

/// Licences that ask for no more than being shown.
const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Where each direct dependency has its reason.
const REASONS: &str = "CONTRIBUTING.md";
/// The heading above them.
const HEADING: &str = "## Libraries";

/// Where an advisory database lies, if nobody says so on the command line.
const ADVISORIES: &str = "CARTWRIGHT_ADVISORIES";

#[derive(Args)]
pub struct SupplyArgs {
    /// A checkout of the RustSec advisory database [default: what CARTWRIGHT_ADVISORIES names]
    #[arg(long, value_name = "DIR")]
    advisories: Option<PathBuf>,
}

/// Checks and tells. `false` if something is wrong.
///
/// # Errors
/// Cargo can't be asked, or a file can't be read.
pub fn run(args: &SupplyArgs) -> Result<bool, Failure> {
    let all: Packages = serde_json::from_slice(&metadata()?)?;
    let wrong = problems(&all, args.advisories.as_deref())?;
    for line in &wrong {
        println!("{line}");
    }
    println!("{} libraries, {} problems", all.libraries().len(), wrong.len());
    Ok(wrong.is_empty())
}

/// What is wrong, a line each. Without an advisory database vulnerabilities are not looked for, which is said.
///
/// # Errors
/// Cargo can't be asked, or a file can't be read.
pub fn check() -> Result<Vec<String>, Failure> {
    problems(&serde_json::from_slice(&metadata()?)?, None)
}

fn problems(all: &Packages, advisories: Option<&Path>) -> Result<Vec<String>, Failure> {
    let mut wrong = licences(all);
    let page = fs::read_to_string(root().join(REASONS))?;
    wrong.extend(reasons(&all.direct(), &page));
    wrong.extend(unused(all)?);
    let given = std::env::var_os(ADVISORIES).map(PathBuf::from);
    match advisories.map(Path::to_owned).or(given) {
        Some(dir) => wrong.extend(advisories::check(&dir, &all.libraries())?),
        None => println!("supply chain: {ADVISORIES} names no advisory database, so none was looked at"),
    }
    Ok(wrong)
}

/// What cargo says of the workspace and all that it is built with.
#[derive(Deserialize)]
struct Packages {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: semver::Version,
    license: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None`: it is one of our own crates.
    source: Option<String>,
}

impl Packages {
    fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    fn libraries(&self) -> Vec<(&str, &semver::Version)> {
        let others = self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id));
        others.map(|package| (&*package.name, &package.version)).collect()
    }

    /// The libraries that we name ourselves.
    fn direct(&self) -> BTreeSet<&str> {
        let named = self.ours().flat_map(|package| &package.dependencies);
        named.filter(|named| named.source.is_some()).map(|named| &*named.name).collect()
    }
}

fn licences(all: &Packages) -> Vec<String> {
    let refused = all.packages.iter().filter(|package| !is_permissive(package.license.as_deref()));
    let told = |package: &Package| {
        let licence = package.license.as_deref().unwrap_or("none");
        format!("{} {}: its licence ({licence}) is none of those that we take", package.name, package.version)
    };
    refused.map(told).collect()
}

fn is_permissive(licence: Option<&str>) -> bool {
    let expression = licence.and_then(|text| Expression::parse_mode(text, ParseMode::LAX).ok());
    expression.is_some_and(|expression| {
        expression.evaluate(|asked| asked.license.id().is_some_and(|id| ALLOWED.contains(&id.name)))
    })
}

/// Each library has one line `- `name`: …` under the heading, and no line is about another.
fn reasons(direct: &BTreeSet<&str>, page: &str) -> Vec<String> {
    let section = page.split_once(HEADING).map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    let line = |line: &str| Some(line.strip_prefix("- `")?.split_once("`: ")?.0.to_owned());
    let given: BTreeSet<String> = section.lines().filter_map(line).collect();
    let missing = direct.iter().filter(|name| !given.contains(**name));
    let stale = given.iter().filter(|name| !direct.contains(&***name));
    let missing = missing.map(|name| format!("{name}: {REASONS} gives no reason for it ({HEADING})"));
    missing
        .chain(stale.map(|name| format!("{name}: {REASONS} has a reason, but nobody depends on it")))
        .collect()
}

/// Libraries that a crate of ours names in its manifest and nowhere else.
fn unused(all: &Packages) -> Result<Vec<String>, Failure> {
    let mut wrong = vec![];
    for package in all.ours() {
        let words = words_of(package.manifest_path.parent().unwrap_or(Path::new(".")))?;
        for named in &package.dependencies {
            if !words.contains(&named.name.replace('-', "_")) {
                wrong.push(format!("{}: it depends on {}, and does not use it", package.name, named.name));
            }
        }
    }
    Ok(wrong)
}

/// All words of a crate's sources.
fn words_of(dir: &Path) -> Result<BTreeSet<String>, Failure> {
    let (mut words, mut dirs) = (BTreeSet::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path)?;
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                words.extend(text.split(|c| !is_part(c)).map(str::to_owned));
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_that_ask_for_more_than_their_text_are_refused() {
        for fine in ["MIT", "MIT OR GPL-3.0-only", "Apache-2.0 / MIT", "ISC AND (Apache-2.0 OR MPL-2.0)"] {
            assert!(is_permissive(Some(fine)), "{fine}");
        }
        for wrong in [None, Some("GPL-3.0-only"), Some("MIT AND MPL-2.0"), Some("what?")] {
            assert!(!is_permissive(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn each_library_has_a_reason_and_no_other_has() {
        let page = "## Other\n- `x`: no\n## Libraries\nText.\n- `a`: why\n- `old`: why\n\n## Next\n- `b`: no";
        let told = reasons(&BTreeSet::from(["a", "b"]), page);
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].starts_with("b: ") && told[1].starts_with("old: "), "{told:#?}");
    }

    #[test]
    fn what_is_used_is_found_in_the_sources() {
        let words = words_of(&root().join("xtask")).unwrap();
        assert!(words.contains("serde_json") && !words.contains(&["no", "such", "library"].join("_")));
    }
}
