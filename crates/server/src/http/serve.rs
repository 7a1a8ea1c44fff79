//! Connections: so many and no more, and none that only keeps a place.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::telemetry::metrics;

/// How long the head of a request may take to arrive; also how long an idle connection is kept.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// The rest after the system could not give us a connection: no more files, say.
const REST: Duration = Duration::from_millis(100);
/// Files that we need for ourselves.
const OWN_FILES: u64 = 128;

/// Serves `router` on the listener of this name until told to stop; then finishes the requests under way and returns.
/// More than `max_connections` wait in the system's queue.
pub async fn serve(
    name: &'static str,
    listener: TcpListener,
    router: Router,
    max_connections: usize,
    stop: CancellationToken,
) {
    let open = metrics::connections(name);
    open.set(0.0);
    let room = max_connections.min(files_for_connections()).clamp(1, Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(room));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        if let Some((stream, place)) = accepted {
            let (router, stop, open) = (router.clone(), stop.clone(), open.clone());
            connections.spawn(async move {
                let _counted = Counted::new(open);
                converse(stream, router, stop, place).await;
            });
        }
    }
    connections.close();
    connections.wait().await;
}

/// A connection while it is counted.
struct Counted(metrics::Gauge);

impl Counted {
    fn new(open: metrics::Gauge) -> Self {
        open.increment(1.0);
        Self(open)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "can't accept a connection; trying again");
            tokio::time::sleep(REST).await;
            None
        }
    }
}

async fn converse(stream: TcpStream, router: Router, stop: CancellationToken, place: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_LIMIT);
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // Whatever ends a connection is its client's affair.
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
    drop(place);
}

/// As many as the system allows this process, raised as far as that goes.
fn files_for_connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let wanted = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            limit.current = limit.maximum;
        }
    }
    let files = limit.current.unwrap_or(u64::MAX).saturating_sub(OWN_FILES).max(16);
    usize::try_from(files).unwrap_or(usize::MAX)
}
