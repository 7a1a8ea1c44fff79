//! The RustSec advisory database: one file for each advisory, TOML between fences and then text.

use std::{fs, path::Path};

use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::Failure;

#[derive(Deserialize)]
struct Entry {
    advisory: Advisory,
    versions: Versions,
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
    package: String,
    /// Not a vulnerability, but news such as that nobody keeps it any more.
    informational: Option<String>,
    /// It was taken back.
    withdrawn: Option<String>,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    patched: Vec<VersionReq>,
    #[serde(default)]
    unaffected: Vec<VersionReq>,
}

/// What the database in this folder says of these libraries, a line each.
///
/// # Errors
/// It is none, or can't be read.
pub fn check(dir: &Path, packages: &[(&str, &Version)]) -> Result<Vec<String>, Failure> {
    let crates = dir.join("crates");
    if !crates.is_dir() {
        return Err(format!("{} is no advisory database: it has no folder `crates`", dir.display()).into());
    }
    let mut wrong = vec![];
    for (name, version) in packages {
        let Ok(files) = fs::read_dir(crates.join(name)) else { continue }; // nothing is known of it
        for file in files {
            let path = file?.path();
            let entry =
                read(&fs::read_to_string(&path)?).map_err(|why| format!("{}: {why}", path.display()))?;
            wrong.extend(told(&entry, name, version));
        }
    }
    Ok(wrong)
}

fn read(text: &str) -> Result<Entry, String> {
    let fenced = text.split_once("```toml").and_then(|(_, rest)| rest.split_once("```"));
    let (toml, _) = fenced.ok_or("it has no TOML")?;
    toml::from_str(toml).map_err(|error| error.to_string())
}

fn told(entry: &Entry, name: &str, version: &Version) -> Option<String> {
    let Entry { advisory, versions } = entry;
    let concerns = advisory.package == name && advisory.withdrawn.is_none();
    let is_safe = versions.patched.iter().chain(&versions.unaffected).any(|fine| fine.matches(version));
    let what = advisory.informational.as_deref().unwrap_or("vulnerable");
    (concerns && !is_safe).then(|| format!("{name} {version}: {what} ({})", advisory.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADVISORY: &str = "```toml\n[advisory]\nid = \"RUSTSEC-2099-0001\"\npackage = \"leaky\"\ndate = \"2099-01-01\"\n\
        [versions]\npatched = [\">= 1.2.3\"]\nunaffected = [\"< 1.0.0\"]\n```\n\n# It leaks\n";

    #[test]
    fn an_advisory_is_about_the_versions_that_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let of_leaky = dir.path().join("crates/leaky");
        fs::create_dir_all(&of_leaky).unwrap();
        fs::write(of_leaky.join("RUSTSEC-2099-0001.md"), ADVISORY).unwrap();
        let about = |version: &str| {
            let version = Version::parse(version).unwrap();
            check(dir.path(), &[("leaky", &version), ("sound", &version)]).unwrap()
        };
        assert_eq!(about("1.1.0"), ["leaky 1.1.0: vulnerable (RUSTSEC-2099-0001)"]);
        assert_eq!(about("1.2.3"), [""; 0]);
        assert_eq!(about("0.9.0"), [""; 0]);
        fs::write(of_leaky.join("RUSTSEC-2099-0002.md"), "no TOML").unwrap();
        assert!(check(dir.path(), &[("leaky", &Version::new(2, 0, 0))]).is_err());
        assert!(check(&dir.path().join("elsewhere"), &[]).is_err());
    }
}
