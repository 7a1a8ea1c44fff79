//! The index on Elasticsearch 8 or OpenSearch 2, over HTTP.
//!
//! Those who search know it by an alias, such as `orders-v1`. Behind that is one index, `orders-v1-…`, whose name nobody
//! has used before; while another is being made, that one is behind `orders-v1-next`. How far each goes is noted in
//! `orders-v1_progress` under its own name: an index that was made anew has no note, so everything is written to it.
//!
//! Whoever writes remembers which index it is that its progress is about. When documents turn out to be in another one,
//! because an operator deleted the old one or another process put a new one in its place, writing fails and
//! [`SearchIndex::progress`] says from where to go on.

mod answers;
mod bulk;
mod indices;
mod nodes;
mod settings;

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;

use crate::{
    port::{Aim, Document, Error, Found, Progress, SearchIndex, Written},
    query::Request,
};
use bulk::Failed;
use indices::Indices;
use nodes::Body;
pub use settings::{DEFAULT_TIMEOUT, Settings, SettingsError};

/// An index on a search server.
pub struct Elastic {
    indices: Indices,
    /// The live index that documents go to, since its progress was asked for.
    live: Mutex<Option<String>>,
    /// The one that we are making. Another process may make one, too, and then it is not ours that stands behind the alias.
    next: Mutex<Option<String>>,
}

impl Elastic {
    /// Checks the settings; no connection is made.
    ///
    /// # Errors
    /// [`SettingsError`] names what is wrong.
    pub fn open(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self { indices: Indices::new(settings)?, live: Mutex::new(None), next: Mutex::new(None) })
    }

    /// What the nodes say who they are, as JSON: name, version and kind of server.
    ///
    /// # Errors
    /// None answers, or it refuses us.
    pub async fn server(&self) -> Result<serde_json::Value, Error> {
        self.indices.nodes.send(Method::GET, "", Body::None).await?.json()
    }

    fn place(&self, aim: Aim) -> MutexGuard<'_, Option<String>> {
        let place = match aim {
            Aim::Live => &self.live,
            Aim::Next => &self.next,
        };
        place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, aim: Aim) -> Option<String> {
        self.place(aim).clone()
    }

    fn remember(&self, aim: Aim, index: Option<String>) {
        *self.place(aim) = index;
    }

    /// Whether documents went where those before them are.
    fn check_place(&self, aim: Aim, indices: &[String]) -> Result<(), Error> {
        match (indices, self.remembered(aim), aim) {
            ([], ..) => Ok(()),
            ([index], None, Aim::Live) => {
                self.remember(aim, Some(index.clone()));
                Ok(())
            }
            ([index], Some(expected), _) if *index == expected => Ok(()),
            (.., Aim::Live) => {
                let alias = &self.indices.alias;
                Err(Error::Unavailable(format!(
                    "another index stands behind {alias} than before; go on from its progress"
                )))
            }
            (.., Aim::Next) => Err(self.not_ours()),
        }
    }

    fn not_ours(&self) -> Error {
        let alias = self.indices.name(Aim::Next);
        Error::Refused(format!("what stands behind {alias} is not what we began: begin the rebuild again"))
    }

    /// Makes an index that was deleted, and has it filled again from its beginning.
    async fn gone(&self, aim: Aim) -> Error {
        let alias = self.indices.name(aim);
        match aim {
            Aim::Live => match self.prepare().await {
                Ok(()) => {
                    Error::Unavailable(format!("what stood behind {alias} is gone; go on from its progress"))
                }
                Err(error) => error,
            },
            Aim::Next => Error::Refused(format!("{alias} is gone: begin the rebuild again")),
        }
    }
}

#[async_trait]
impl SearchIndex for Elastic {
    async fn prepare(&self) -> Result<(), Error> {
        self.indices.prepare().await
    }

    async fn write(&self, aim: Aim, documents: &[Document]) -> Result<Vec<Written>, Error> {
        match bulk::write(&self.indices.nodes, &self.indices.name(aim), documents).await {
            Ok(sent) => {
                self.check_place(aim, &sent.indices)?;
                Ok(sent.written)
            }
            Err(Failed::Gone) => Err(self.gone(aim).await),
            Err(Failed::Error(error)) => Err(error),
        }
    }

    async fn commit(&self, aim: Aim, progress: Option<Progress>) -> Result<(), Error> {
        // By its own name: what was written is there, whatever stands behind the alias by now.
        let index = match (self.remembered(aim), aim) {
            (Some(index), _) => Some(index),
            (None, Aim::Live) => self.indices.behind(aim).await?,
            (None, Aim::Next) => return Err(self.not_ours()),
        };
        let Some(index) = index else { return Err(self.gone(aim).await) };
        if !self.indices.refresh(&index).await? {
            return Err(self.gone(aim).await);
        }
        match progress {
            Some(progress) => self.indices.note(&index, progress).await,
            None => Ok(()),
        }
    }

    async fn progress(&self) -> Result<Option<Progress>, Error> {
        let index = self.indices.behind(Aim::Live).await?;
        self.remember(Aim::Live, index.clone());
        match index {
            Some(index) => self.indices.noted(&index).await,
            None => Ok(None),
        }
    }

    async fn search(&self, request: &Request) -> Result<Found, Error> {
        // Half an answer would say that orders don't exist.
        let path = format!("{}/_search?allow_partial_search_results=false", self.indices.alias);
        answers::found(&self.indices.nodes.send(Method::POST, &path, Body::Json(&request.to_json())).await?)
    }

    async fn get(&self, id: &str) -> Result<Option<Document>, Error> {
        // Not by `_doc/{id}`: an id of dots would change the path.
        let path = format!("{}/_mget", self.indices.alias);
        let body = json!({"ids": [id]});
        answers::document(&self.indices.nodes.send(Method::POST, &path, Body::Json(&body)).await?)
    }

    async fn begin_next(&self) -> Result<(), Error> {
        let index = self.indices.begin_next().await?;
        self.remember(Aim::Next, Some(index));
        Ok(())
    }

    async fn swap(&self) -> Result<(), Error> {
        let Some(index) = self.remembered(Aim::Next) else { return Err(self.not_ours()) };
        self.indices.swap(&index).await?;
        self.remember(Aim::Next, None);
        self.remember(Aim::Live, Some(index));
        Ok(())
    }
}
