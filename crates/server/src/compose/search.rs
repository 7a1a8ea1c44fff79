//! The search index: one of our own in the data directory, or one on a search server.

use std::sync::Arc;

use cartwright_search::{
    SearchIndex,
    elastic::{self, Elastic},
    embedded::Embedded,
};

use super::{
    StartError,
    roles::{Role, Roles},
};
use crate::{
    config::Config,
    search::{IndexState, Search},
};

/// Its folder in the data directory.
const FOLDER: &str = "search";

/// The index, if this process has to do with it.
///
/// # Errors
/// A setting is wrong, or the folder can't be used.
pub fn open(config: &Config, roles: &Roles) -> Result<Option<Search>, StartError> {
    let settings = &config.search;
    let (keeps, asks) = (roles.has(Role::Indexer), roles.has(Role::Orders));
    let nodes = settings.nodes();
    // An index of our own is searched where it is kept, and nowhere else.
    if !settings.enabled || !(keeps || asks && !nodes.is_empty()) {
        return Ok(None);
    }
    let index: Arc<dyn SearchIndex> = if nodes.is_empty() {
        Arc::new(Embedded::open(&config.data.dir.join(FOLDER))?)
    } else {
        Arc::new(Elastic::open(&elastic::Settings {
            user: settings.user.clone(),
            password: settings.password.expose().to_owned(),
            api_key: settings.api_key.expose().to_owned(),
            ca_file: Some(settings.ca_file.clone()).filter(|file| !file.as_os_str().is_empty()),
            replicas: Some(settings.replicas),
            ..elastic::Settings::new(nodes, &settings.index)
        })?)
    };
    let state = keeps.then(|| Arc::new(IndexState::default()));
    Ok(Some(Search { index, name: settings.index.as_str().into(), state }))
}
