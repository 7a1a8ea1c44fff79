//! What surrounds every request: a time limit, counting, and an answer even if a handler panics.

use std::{
    any::Any,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};

use super::{hear_out::hear_out, problem::Problem};
use crate::telemetry::metrics;

/// How long a request may take, its body's arrival included.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Limits a request's time and counts it.
pub async fn observe(request: Request, next: Next) -> Response {
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = within(TIME_LIMIT, request, next).await;
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    metrics::request(method, route, response.status().as_u16());
    response
}

/// Gives up on what takes longer. Handlers begin only once all of a body is there, so before that nothing was done.
async fn within(limit: Duration, request: Request, next: Next) -> Response {
    let awaited = Arc::new(AtomicBool::new(false));
    let noted = awaited.clone();
    let request = request.map(|body| Body::new(Noted { body, awaited: noted }));
    tokio::time::timeout(limit, hear_out(request, next)).await.unwrap_or_else(|_| {
        if awaited.load(Ordering::Relaxed) {
            let detail = "the body did not arrive in time; nothing was done, so send it again";
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", detail).into_response();
        }
        Problem::unknown("the request took too long; whether it was done is unknown").into_response()
    })
}

/// A body that notes whether somebody waits for the rest of it.
struct Noted {
    body: Body,
    awaited: Arc<AtomicBool>,
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let goes_on = match &polled {
            Poll::Pending => true,
            Poll::Ready(Some(Ok(_))) => !self.body.is_end_stream(),
            Poll::Ready(Some(Err(_)) | None) => false,
        };
        self.awaited.store(goes_on, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Anybody may invent a method; a metric of its own it does not get.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The answer when a handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the layer asks for this form")]
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = what.unwrap_or("unknown"), "a handler panicked: please report this");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", "this is a bug of ours; the logs say more")
        .into_response()
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware, routing::post};
    use tower::ServiceExt;

    use super::*;

    /// The first bytes of a body; the rest never comes.
    fn half_a_body() -> Body {
        use futures_util::{StreamExt, stream};
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        Body::from_stream(first.chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_that_never_arrives_is_told_from_a_call_that_takes_too_long() {
        let never = async |_: Bytes| std::future::pending::<()>().await;
        let limit = middleware::from_fn(|request, next| within(Duration::from_millis(50), request, next));
        let calls = Router::new().route("/", post(never)).layer(limit);
        for (body, status, kind, says) in [
            (half_a_body(), 408, "request-timeout", "nothing was done"),
            (Body::from("{}"), 504, "unknown", "unknown"),
            (Body::empty(), 504, "unknown", "unknown"),
        ] {
            let request = Request::post("/").body(body).unwrap();
            let response = calls.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status);
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["type"], format!("urn:cartwright:problem:{kind}"));
            assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
        }
    }
}
