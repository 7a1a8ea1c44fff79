//! Our own API, version 1.

mod commands;
mod docs;
mod events;
pub mod headers;
mod lists;
mod place;
mod search;
mod view;

use std::sync::Arc;

use axum::http::StatusCode;
use cartwright_core::{ports::StoreError, services::Rejection};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::place::{Asked, read_order};
use super::{Api, problem::Problem};
use crate::workers::inbox::NotTaken;

/// Who calls, until there is authentication.
const CALLER: &str = "anonymous";

/// The routes with their documentation.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(commands::place, lists::list))
        .routes(routes!(commands::put, lists::get, commands::patch))
        .routes(routes!(commands::cancel))
        .routes(routes!(commands::hold))
        .routes(routes!(commands::release))
        .routes(routes!(events::history))
        .routes(routes!(events::topic))
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let says = rejection.to_string();
        match &rejection {
            Rejection::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "no-such-order", says),
            Rejection::IdTaken(order) => Self::new(StatusCode::CONFLICT, "id-taken", says).about(order),
            Rejection::ExternalIdTaken(order) => {
                Self::new(StatusCode::CONFLICT, "external-id-taken", says).about(order)
            }
            Rejection::Unchanged => Self::new(StatusCode::CONFLICT, "unchanged", says),
            Rejection::KeyReused => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", says),
            Rejection::NotNow(_) => Self::new(StatusCode::CONFLICT, "not-now", says),
            Rejection::Stale(_) => Self::new(StatusCode::PRECONDITION_FAILED, "stale", says),
            Rejection::Full(_) => Self::busy(says, 10),
            Rejection::Unreadable(order) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", says).about(order)
            }
        }
    }
}

impl From<NotTaken> for Problem {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::Full => Self::busy(why.to_string(), 1),
            NotTaken::Failing | NotTaken::NoRoom | NotTaken::Stopping => Self::busy(why.to_string(), 5),
            NotTaken::Unknown => Self::unknown(why),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::TooLong(_) = error {
            return Self::busy(format!("{error}: narrow it, by createdAfter for example"), 10);
        }
        tracing::error!(%error, "can't read the store");
        Self::busy("the store is not available", 1)
    }
}
