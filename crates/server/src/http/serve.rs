//! Connections: so many and no more, and none that only keeps a place.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::ConnectInfo, http::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::MapRequest;

use crate::{files, telemetry::metrics};

/// How long a client may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of a request, and for the first request of a connection; also how long an idle one is kept.
    pub head: Duration,
    /// For reading on, while we have something to tell it.
    pub reading: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(60), reading: Duration::from_secs(30) }
    }
}

/// The rest after the system could not give us a connection: no more files, say.
const REST: Duration = Duration::from_millis(100);
/// Files that we need for ourselves.
const OWN_FILES: u64 = 128;

/// Serves `routers` on the listener of this name until told to stop; then finishes the requests under way and returns. A
/// connection is answered by the router of the moment when it was made. More than `max_connections` wait in the system's queue.
pub async fn serve(
    name: &'static str,
    listener: TcpListener,
    routers: watch::Receiver<Router>,
    max_connections: usize,
    patience: Patience,
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
        if let Some((stream, client, place)) = accepted {
            let (router, stop, open) = (routers.borrow().clone(), stop.clone(), open.clone());
            connections.spawn(async move {
                let _counted = Counted::new(open);
                converse(stream, client, router, patience, stop, place).await;
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

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, client)) => Some((stream, client, place)),
        Err(error) => {
            tracing::warn!(%error, "can't accept a connection; trying again");
            tokio::time::sleep(REST).await;
            None
        }
    }
}

async fn converse(
    stream: TcpStream,
    client: SocketAddr,
    router: Router,
    patience: Patience,
    stop: CancellationToken,
    place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience.reading));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.head);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(patience.head);
    let asked = Arc::new(AtomicBool::new(false));
    let service = noting(router, client, asked.clone());
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    // Whatever ends a connection is its client's affair.
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = silent(&asked, patience.head) => return,
        () = stop.cancelled() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
    drop(place);
}

/// Notes that something was asked, and tells by whom.
fn noting(
    router: Router,
    client: SocketAddr,
    asked: Arc<AtomicBool>,
) -> MapRequest<Router, impl Fn(Request<Incoming>) -> Request<Incoming> + Clone> {
    MapRequest::new(router, move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(client));
        asked.store(true, Ordering::Relaxed);
        request
    })
}

/// Ends when a connection has asked nothing at all for so long. Hyper's own limit begins only once it knows which HTTP
/// is spoken, and whoever says nothing would keep a place for ever.
async fn silent(asked: &AtomicBool, limit: Duration) {
    tokio::time::sleep(limit).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

fn files_for_connections() -> usize {
    usize::try_from(files::allowed().saturating_sub(OWN_FILES).max(16)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const GENEROUS: Duration = Duration::from_secs(60);

    async fn connect(patience: Patience) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/much", get(async || vec![b'x'; 64 * 1024 * 1024]));
        tokio::spawn(serve(
            "test",
            listener,
            watch::channel(router).1,
            1,
            patience,
            CancellationToken::new(),
        ));
        TcpStream::connect(address).await.unwrap()
    }

    /// Until the server hangs up, which may well be with an error.
    async fn read_to_end(stream: &mut TcpStream) -> usize {
        let (mut bytes, mut read) = (vec![0; 64 * 1024], 0);
        while let Ok(n @ 1..) = stream.read(&mut bytes).await {
            read += n;
        }
        read
    }

    #[tokio::test]
    async fn whoever_asks_nothing_keeps_no_place() {
        let patience = Patience { head: Duration::from_millis(100), reading: GENEROUS };
        for says in [&b""[..], b"PRI * HT"] {
            let mut stream = connect(patience).await;
            stream.write_all(says).await.unwrap();
            assert_eq!(read_to_end(&mut stream).await, 0);
        }
    }

    #[tokio::test]
    async fn whoever_does_not_read_on_keeps_no_answer_in_memory() {
        let mut stream = connect(Patience { head: GENEROUS, reading: Duration::from_millis(100) }).await;
        stream.write_all(b"GET /much HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        // Nothing is read until the server must have lost patience: then less is there than it wanted to say.
        // There is one place only: the next one is served once it is free.
        let mut next = TcpStream::connect(stream.peer_addr().unwrap()).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        next.read_exact(&mut [0]).await.unwrap();
        let read = read_to_end(&mut stream).await;
        assert!(read < 64 * 1024 * 1024, "{read} bytes came all the same");
    }

    #[tokio::test]
    async fn whoever_asks_now_and_then_is_served() {
        let mut stream = connect(Patience { head: GENEROUS, reading: GENEROUS }).await;
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut bytes = [0; 512];
            let n = stream.read(&mut bytes).await.unwrap();
            assert!(String::from_utf8_lossy(&bytes[..n]).ends_with("hello"));
        }
    }
}
