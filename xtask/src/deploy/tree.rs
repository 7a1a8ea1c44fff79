//! The files, read once: tests plant mistakes in what was read.

use std::{collections::BTreeMap, fs, path::Path};

use crate::Failure;

/// The files that others are compared with.
pub const SETTINGS: &str = "crates/server/config.default.toml";
pub const METRICS: &str = "docs/metrics.md";
pub const ROLES: &str = "crates/server/src/compose/roles.rs";
pub const TOOLCHAIN: &str = "rust-toolchain.toml";
/// Those that are checked, besides everything else in the folder.
pub const DOCKERFILE: &str = "Dockerfile";
pub const COMPOSE: &str = "deploy/compose.yaml";
/// What makes the files of secrets, which are nowhere else.
pub const SECRETS: &str = "deploy/secrets.sh";

const FOLDER: &str = "deploy/";
/// What [`SECRETS`] makes: nobody's business, and not there in a fresh checkout.
const MADE: &str = "deploy/secrets/";

/// Texts by their paths from the workspace's directory.
pub struct Tree {
    root: std::path::PathBuf,
    pub texts: BTreeMap<String, String>,
}

impl Tree {
    pub fn read(root: &Path) -> Result<Self, Failure> {
        let mut tree = Self { root: root.to_owned(), texts: BTreeMap::new() };
        for file in [SETTINGS, METRICS, ROLES, TOOLCHAIN, DOCKERFILE] {
            tree.add(file)?;
        }
        tree.add_folder(FOLDER)?;
        Ok(tree)
    }

    fn add(&mut self, file: &str) -> Result<(), Failure> {
        let text = fs::read_to_string(self.root.join(file)).map_err(|error| format!("{file}: {error}"))?;
        self.texts.insert(file.to_owned(), text);
        Ok(())
    }

    fn add_folder(&mut self, folder: &str) -> Result<(), Failure> {
        for entry in fs::read_dir(self.root.join(folder)).map_err(|error| format!("{folder}: {error}"))? {
            let entry = entry?;
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            if !entry.file_type()?.is_dir() {
                self.add(&path)?;
            } else if format!("{path}/") != MADE {
                self.add_folder(&format!("{path}/"))?;
            }
        }
        Ok(())
    }

    pub fn text(&self, file: &str) -> &str {
        self.texts.get(file).map_or("", String::as_str)
    }

    /// What is checked.
    pub fn checked(&self) -> impl Iterator<Item = (&str, &str)> {
        let ours = |file: &str| file == DOCKERFILE || file.starts_with(FOLDER);
        self.texts.iter().map(|(file, text)| (&**file, &**text)).filter(move |(file, _)| ours(file))
    }

    /// Whether there is a file or a folder of this path.
    pub fn has(&self, path: &str) -> bool {
        let within = format!("{path}/");
        self.texts.keys().any(|file| file == path || file.starts_with(&within))
            || !path.starts_with(FOLDER) && self.root.join(path).exists()
    }
}

/// The path that another file means by `path`.
pub fn beside(file: &str, path: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn paths_are_from_the_file_that_names_them() {
    assert_eq!(beside("deploy/compose.yaml", "./grafana/"), "deploy/grafana");
    assert_eq!(beside("deploy/compose.yaml", ".."), "");
    assert_eq!(beside("deploy/README.md", "../docs/metrics.md"), "docs/metrics.md");
}
