//! What each topic holds, and how far its readers are.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bus::kafka::relay,
    http::{Api, problem::Problem},
};

/// All topics.
#[derive(Serialize, ToSchema)]
struct TopicList {
    /// Each topic once.
    topics: Vec<Topic>,
}

/// One topic.
#[derive(Serialize, ToSchema)]
struct Topic {
    /// Its name.
    name: String,
    /// How many events it holds.
    events: u64,
    /// The oldest position that is kept; one more than `newest` when there is none.
    oldest: u64,
    /// The newest position; 0 when nothing was ever written.
    newest: u64,
    /// The services that read it. With Kafka: the relay that forwards it; how far the services are behind is for Kafka's
    /// own tools to say, and in the metric `cartwright_lag_events`.
    readers: Vec<Reader>,
}

/// A service that reads a topic.
#[derive(Serialize, ToSchema)]
struct Reader {
    /// Its name.
    name: String,
    /// Everything up to here is settled.
    position: u64,
    /// Events behind that position. A reader notes how far it is with its next write, so on a quiet system the last few,
    /// if they do not concern it, still count.
    lag: u64,
}

/// The routes with their documentation.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(topics))
}

/// The topics: how many events they hold, and how far behind each reader is.
#[utoipa::path(get, path = "/v1/admin/topics", tag = "admin",
    responses((status = 200, body = TopicList), (status = 503, body = Problem)))]
async fn topics(State(api): State<Arc<Api>>) -> Result<Json<TopicList>, Problem> {
    let mut topics = Vec::with_capacity(api.topics.len());
    let mut cursors = Vec::with_capacity(api.topics.len());
    for (name, store) in &api.topics {
        cursors.push((*name, store.cursors().await?));
    }
    // After the cursors: nobody has read further than what is there.
    for (name, store) in &api.topics {
        let (oldest, newest) = store.journal_bounds().await?;
        let readers = cursors.iter().flat_map(|(owner, cursors)| {
            cursors.iter().filter_map(move |cursor| {
                let forwards = *cursor.source == *relay::CURSOR && owner == name;
                let reader = if forwards { relay::READER } else { owner };
                (forwards || *cursor.source == **name).then(|| Reader {
                    name: reader.to_owned(),
                    position: cursor.position,
                    lag: newest.saturating_sub(cursor.position),
                })
            })
        });
        topics.push(Topic {
            name: (*name).to_owned(),
            events: (newest + 1).saturating_sub(oldest),
            oldest,
            newest,
            readers: readers.collect(),
        });
    }
    Ok(Json(TopicList { topics }))
}
