//! Errors as RFC 9457 problem documents.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// An error answer: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// A name for the kind of problem; stable.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of problem it is, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong in this case, and what to do about it.
    pub detail: String,
    /// The order that is in the way, if one is.
    #[serde(rename = "orderId", skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Every bad field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which a repeat makes sense.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

/// A bad field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or the name of a query parameter or header.
    pub field: String,
    /// What it must be.
    pub message: String,
}

impl Problem {
    /// A problem of this status; `kind` is the last part of its `type`.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:cartwright:problem:{kind}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            order_id: None,
            errors: vec![],
            retry_after: None,
        }
    }

    /// 400 with every bad field.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match &errors[..] {
            [one] => format!("{} {}", one.field, one.message),
            many => format!("{} fields are not as they must be", many.len()),
        };
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "invalid-fields", detail) }
    }

    /// 400 with one bad field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.to_owned(), message: message.into() }])
    }

    /// 503: nothing was done, and a repeat is welcome after so many seconds.
    pub fn busy(detail: impl Into<String>, retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        }
    }

    /// 504: it may have been done. Only a repeat under the same `Idempotency-Key` or id is safe.
    pub fn unknown(what: impl std::fmt::Display) -> Self {
        let detail = format!("{what}; repeat it under the same Idempotency-Key or id to find out");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "unknown", detail)
    }

    /// Names the order that is in the way.
    #[must_use]
    pub fn about(mut self, order: impl ToString) -> Self {
        self.order_id = Some(order.to_string());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
