//! The indices behind the alias: made, exchanged, thrown away.

use std::{collections::HashMap, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    answers,
    nodes::{Answer, Body, Nodes},
    settings::{self, Settings, SettingsError},
};
use crate::{
    fields,
    port::{Aim, Error, Progress},
};

/// What is written is searched after each commit, which says so; this is for what others write.
const REFRESH_INTERVAL: &str = "30s";

/// How long an index is kept for searches that began before another took its place.
const GRACE: Duration = Duration::from_secs(1);

/// Higher than the templates that servers bring along.
const TEMPLATE_PRIORITY: u32 = 200;

/// The indices of one alias.
pub(super) struct Indices {
    pub(super) nodes: Nodes,
    pub(super) alias: String,
    settings: Value,
}

impl Indices {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let alias = settings::index(settings)?;
        Ok(Self { nodes: Nodes::new(settings)?, alias, settings: index_settings(settings) })
    }

    /// The alias of the one that is meant.
    pub(super) fn name(&self, aim: Aim) -> String {
        match aim {
            Aim::Live => self.alias.clone(),
            Aim::Next => format!("{}-next", self.alias),
        }
    }

    /// The index behind an alias.
    pub(super) async fn behind(&self, aim: Aim) -> Result<Option<String>, Error> {
        let name = self.name(aim);
        let answer = self.send(Method::GET, &format!("_alias/{name}"), None).await?;
        let mut indices = answers::aliases(&answer)?.into_keys();
        match (indices.next(), indices.next()) {
            (index, None) => Ok(index),
            (_, Some(_)) => Err(Error::Refused(format!(
                "several indices stand behind {name}: leave the one that is current"
            ))),
        }
    }

    /// Makes what is missing of template, progress and live index.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        self.put_template().await?;
        self.make_notes().await?;
        if self.behind(Aim::Live).await?.is_some() {
            return Ok(());
        }
        let alias = &self.alias;
        if self.send(Method::HEAD, alias, None).await?.status.is_success()
            && self.behind(Aim::Live).await?.is_none()
        {
            return Err(Error::Refused(format!(
                "{alias} is an index, and must be an alias: delete it, if nobody needs it, or choose another name"
            )));
        }
        let made = self.make(Aim::Live).await.map(drop);
        // Another process may have made it at the same time: the server lets an alias have only one index to write to.
        match made {
            Err(_) if self.behind(Aim::Live).await?.is_some() => Ok(()),
            made => made,
        }
    }

    /// An empty index beside the live one, and its name. What earlier attempts left is thrown away: indices with our names
    /// that no alias of others leads to.
    pub(super) async fn begin_next(&self) -> Result<String, Error> {
        self.put_template().await?;
        self.make_notes().await?;
        let (next, pattern) = (self.name(Aim::Next), format!("{}-*/_alias", self.alias));
        let all = answers::aliases(&self.send(Method::GET, &pattern, None).await?)?;
        for index in leftovers(&self.alias, &next, all) {
            self.drop_index(&index).await?;
        }
        self.make(Aim::Next).await
    }

    /// Puts this one in the live one's place, if it is still the next one: another process may have begun one since.
    pub(super) async fn swap(&self, new: &str) -> Result<(), Error> {
        let next = self.name(Aim::Next);
        // Should another one be begun after this look, ours is deleted, and nothing can be exchanged.
        if self.behind(Aim::Next).await?.as_deref() != Some(new) {
            return Err(Error::Refused(format!(
                "{new} is not behind {next} any more: begin the rebuild again"
            )));
        }
        let old = self.behind(Aim::Live).await?.filter(|old| old != new);
        let mut actions = vec![
            json!({"add": {"index": new, "alias": self.alias, "is_write_index": true}}),
            json!({"remove": {"index": new, "alias": next}}),
        ];
        if let Some(old) = &old {
            actions.push(json!({"remove": {"index": old, "alias": self.alias}}));
        }
        let exchanged = self.done(Method::POST, "_aliases", &json!({"actions": actions})).await;
        // It may have been done although we did not hear so.
        if exchanged.is_err() && self.behind(Aim::Live).await?.as_deref() != Some(new) {
            return exchanged;
        }
        if let Some(old) = old {
            // Who searches there already may finish. If we don't get to it, the next rebuild drops it.
            tokio::time::sleep(GRACE).await;
            if let Err(error) = self.drop_index(&old).await {
                tracing::warn!(index = old, %error, "the old index stays until the next rebuild");
            }
        }
        Ok(())
    }

    /// Has what was written be found. `false`: there is no such index.
    pub(super) async fn refresh(&self, index: &str) -> Result<bool, Error> {
        let answer = self.send(Method::POST, &format!("{index}/_refresh"), None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        let failed = answer.json()?.pointer("/_shards/failed").and_then(Value::as_u64).unwrap_or_default();
        match failed {
            0 => Ok(true),
            failed => Err(Error::Unavailable(format!("{failed} parts of {index} could not be refreshed"))),
        }
    }

    /// Notes how far an index goes. The position is text: searches of others may read numbers as floats.
    pub(super) async fn note(&self, index: &str, progress: Progress) -> Result<(), Error> {
        let Progress { incarnation, position } = progress;
        let note = json!({"incarnation": incarnation, "position": position.to_string()});
        self.done(Method::PUT, &self.note_of(index), &note).await
    }

    /// What was noted of an index.
    pub(super) async fn noted(&self, index: &str) -> Result<Option<Progress>, Error> {
        answers::progress(&self.send(Method::GET, &self.note_of(index), None).await?)
    }

    fn note_of(&self, index: &str) -> String {
        format!("{}/_doc/{index}", self.notes())
    }

    /// No name that the pattern of our indices fits.
    fn notes(&self) -> String {
        format!("{}_progress", self.alias)
    }

    async fn make_notes(&self) -> Result<(), Error> {
        let notes = self.notes();
        if self.send(Method::HEAD, &notes, None).await?.status.is_success() {
            return Ok(());
        }
        let mut settings = self.settings.clone();
        settings["index"]["number_of_shards"] = json!(1);
        let body = json!({"settings": settings, "mappings": {"dynamic": "false"}});
        let made = self.done(Method::PUT, &notes, &body).await;
        match made {
            Err(_) if self.send(Method::HEAD, &notes, None).await?.status.is_success() => Ok(()),
            made => made,
        }
    }

    /// For those that somebody makes by hand beside ours, to copy documents into. Ours say themselves how they are mapped,
    /// so a user without rights for templates loses nothing else.
    async fn put_template(&self) -> Result<(), Error> {
        let alias = &self.alias;
        let body = json!({
            "index_patterns": [format!("{alias}-*")],
            "priority": TEMPLATE_PRIORITY,
            "template": {"settings": self.settings, "mappings": fields::mapping()},
        });
        match self.done(Method::PUT, &format!("_index_template/{alias}"), &body).await {
            Err(Error::Refused(reason)) => {
                tracing::warn!(%alias, %reason, "the template of the search index is not written");
                Ok(())
            }
            done => done,
        }
    }

    async fn make(&self, aim: Aim) -> Result<String, Error> {
        let index = format!("{}-{}", self.alias, Uuid::now_v7().simple());
        let alias = Map::from_iter([(self.name(aim), json!({"is_write_index": true}))]);
        let body = json!({"settings": self.settings, "mappings": fields::mapping(), "aliases": alias});
        self.done(Method::PUT, &index, &body).await?;
        Ok(index)
    }

    async fn drop_index(&self, index: &str) -> Result<(), Error> {
        let answer = self.send(Method::DELETE, index, None).await?;
        if answer.status != StatusCode::NOT_FOUND {
            answer.json()?;
        }
        self.forget(index).await;
        Ok(())
    }

    /// A note without an index is never read; it only takes room.
    async fn forget(&self, index: &str) {
        if let Err(error) = self.send(Method::DELETE, &self.note_of(index), None).await {
            tracing::debug!(%index, %error, "the progress of a search index that is gone was not deleted");
        }
    }

    async fn done(&self, method: Method, path: &str, body: &Value) -> Result<(), Error> {
        self.send(method, path, Some(body)).await?.json().map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Error> {
        self.nodes.send(method, path, body.map_or(Body::None, Body::Json)).await
    }
}

/// Our own indices behind no alias but that of the next one.
fn leftovers(alias: &str, next: &str, all: HashMap<String, Vec<String>>) -> Vec<String> {
    let ours = |index: &str| {
        let suffix = index.strip_prefix(alias).and_then(|rest| rest.strip_prefix('-'));
        suffix.is_some_and(|suffix| suffix.len() == 32 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let left =
        all.into_iter().filter(|(index, aliases)| ours(index) && aliases.iter().all(|name| name == next));
    left.map(|(index, _)| index).collect()
}

fn index_settings(settings: &Settings) -> Value {
    let mut body = fields::settings();
    let index = &mut body["index"];
    index["refresh_interval"] = json!(REFRESH_INTERVAL);
    if let Some(shards) = settings.shards {
        index["number_of_shards"] = json!(shards);
    }
    if let Some(replicas) = settings.replicas {
        index["number_of_replicas"] = json!(replicas);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_indices_without_other_aliases_are_thrown_away() {
        let suffix = Uuid::now_v7().simple().to_string();
        let index = |prefix: &str| format!("{prefix}-{suffix}");
        let all = [
            (index("orders"), vec!["orders-next".to_owned()]),
            (index("orders") + "0", vec![]),
            ("orders-backup".to_owned(), vec![]),
            (index("orders-v2"), vec![]),
        ];
        assert_eq!(leftovers("orders", "orders-next", HashMap::from(all)), [index("orders")]);
        let live = [(index("orders"), vec!["orders".to_owned(), "orders-next".to_owned()])];
        assert!(leftovers("orders", "orders-next", HashMap::from(live)).is_empty());
    }

    #[test]
    fn an_index_is_as_large_as_its_settings_say() {
        let mut settings = Settings::new(Vec::new(), "orders");
        assert_eq!(index_settings(&settings)["index"]["number_of_replicas"], Value::Null);
        (settings.shards, settings.replicas) = (Some(3), Some(0));
        let index = &index_settings(&settings)["index"];
        assert_eq!((&index["number_of_shards"], &index["number_of_replicas"]), (&json!(3), &json!(0)));
    }
}
