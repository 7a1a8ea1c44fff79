//! Hearing a client out. One that is still sending when we refuse what it sends would find its connection closed, and
//! never read why: so what is left of its body is read and thrown away, up to a limit and not for long, before the
//! answer goes out.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::MAX_BODY;

/// Who sends more than this is cut off.
const MAX_HEARD: usize = 64 * MAX_BODY;

/// Who takes longer than this for the rest is cut off: a promised body may never come.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads the rest of a large body after a refusal.
pub async fn hear_out(request: Request, next: Next) -> Response {
    // Small bodies arrive in one piece, and who expects a word from us first sends nothing without it.
    let announced = request.body().size_hint().exact();
    let worth_it = announced.is_none_or(|bytes| bytes > MAX_BODY as u64 && bytes <= MAX_HEARD as u64);
    if !worth_it || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (hand_back, mut rest) = oneshot::channel();
    let request = request.map(|body| Body::new(Lent { body: Some(body), hand_back: Some(hand_back) }));
    let response = next.run(request).await;
    if response.status().is_client_error()
        && let Ok(body) = rest.try_recv()
    {
        // Heard or not, the answer goes out.
        let _ = tokio::time::timeout(PATIENCE, hear(body)).await;
    }
    response
}

async fn hear(mut body: Body) {
    let mut heard = 0;
    while heard < MAX_HEARD
        && let Some(Ok(frame)) = body.frame().await
    {
        heard += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A body that comes back when whoever has it drops it.
struct Lent {
    body: Option<Body>,
    hand_back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        match self.body.as_mut() {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(hand_back)) = (self.body.take(), self.hand_back.take()) {
            // Nobody waits for it when the request was given up.
            let _ = hand_back.send(body);
        }
    }
}
