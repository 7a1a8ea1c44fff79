//! The search index: one of our own in the data directory, or one on a search server.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use cartwright_search::{
    Aim, Document, Error, Found, Progress, SearchIndex, Written, elastic::Elastic, embedded::Embedded,
    query::Request,
};
use tokio::{sync::OnceCell, task::spawn_blocking};

use super::{
    StartError,
    roles::{Role, Roles},
};
use crate::{
    config::Config,
    search::{IndexState, Search},
};

/// The folder of our own in the data directory.
const FOLDER: &str = "search";

/// The index, if this process has to do with it.
///
/// # Errors
/// A setting is wrong.
pub fn open(config: &Config, roles: &Roles) -> Result<Option<Search>, StartError> {
    let settings = &config.search;
    let (keeps, asks) = (roles.has(Role::Indexer), roles.has(Role::Orders));
    let server = settings.server();
    // An index of our own is searched where it is kept, and nowhere else.
    if !settings.enabled || !(keeps || asks && server.is_some()) {
        return Ok(None);
    }
    let index: Arc<dyn SearchIndex> = match server {
        Some(server) => Arc::new(Elastic::open(&server)?),
        None => Arc::new(OpenedLater { dir: config.data.dir.join(FOLDER), opened: OnceCell::new() }),
    };
    let state = keeps.then(|| Arc::new(IndexState::default()));
    Ok(Some(Search { index, name: settings.index.as_str().into(), state }))
}

/// An index of our own, opened by the indexer, again and again if need be: orders are taken without it.
struct OpenedLater {
    dir: PathBuf,
    opened: OnceCell<Embedded>,
}

impl OpenedLater {
    fn index(&self) -> Result<&Embedded, Error> {
        self.opened.get().ok_or_else(|| Error::Unavailable("it is being opened".to_owned()))
    }
}

#[async_trait]
impl SearchIndex for OpenedLater {
    async fn prepare(&self) -> Result<(), Error> {
        let open = async || {
            let dir = self.dir.clone();
            let in_it = |error| Error::Unavailable(format!("{}: {error}", self.dir.display()));
            let opened = spawn_blocking(move || Embedded::open(&dir)).await;
            opened.map_err(|error| in_it(Error::Unavailable(error.to_string())))?.map_err(in_it)
        };
        self.opened.get_or_try_init(open).await?.prepare().await
    }

    async fn write(&self, aim: Aim, documents: &[Document]) -> Result<Vec<Written>, Error> {
        self.index()?.write(aim, documents).await
    }

    async fn commit(&self, aim: Aim, progress: Option<Progress>) -> Result<(), Error> {
        self.index()?.commit(aim, progress).await
    }

    async fn progress(&self) -> Result<Option<Progress>, Error> {
        self.index()?.progress().await
    }

    async fn search(&self, request: &Request) -> Result<Found, Error> {
        self.index()?.search(request).await
    }

    async fn get(&self, id: &str) -> Result<Option<Document>, Error> {
        self.index()?.get(id).await
    }

    async fn begin_next(&self) -> Result<(), Error> {
        self.index()?.begin_next().await
    }

    async fn swap(&self) -> Result<(), Error> {
        self.index()?.swap().await
    }
}
