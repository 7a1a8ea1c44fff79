//! `[search]`: where orders are searched, and who we are there.

use std::path::PathBuf;

use cartwright_search::elastic;
use serde::{Deserialize, Serialize};

use super::Secret;

/// `[search]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// Whether they are.
    pub enabled: bool,
    /// The nodes of a search server; empty: an index of our own.
    pub url: String,
    /// What the index is called.
    pub index: String,
    /// Address and port of the index of our own.
    pub listen: String,
    /// Who we are.
    pub user: String,
    /// And the proof.
    pub password: Secret,
    /// Or a key instead of both.
    pub api_key: Secret,
    /// Whom we trust; empty: whom the system trusts.
    pub ca_file: PathBuf,
    /// Copies of the index.
    pub replicas: u32,
}

impl SearchSettings {
    /// The search server; `None`: the index is our own.
    pub fn server(&self) -> Option<elastic::Settings> {
        let nodes: Vec<String> =
            self.url.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect();
        (!nodes.is_empty()).then(|| elastic::Settings {
            user: self.user.clone(),
            password: self.password.expose().to_owned(),
            api_key: self.api_key.expose().to_owned(),
            ca_file: Some(self.ca_file.clone()).filter(|file| !file.as_os_str().is_empty()),
            replicas: Some(self.replicas),
            ..elastic::Settings::new(nodes, &self.index)
        })
    }
}
