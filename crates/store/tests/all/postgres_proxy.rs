//! A connection to PostgreSQL that breaks when it is told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

/// Stands between a client and the server.
pub struct Proxy {
    url: String,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    swallow: AtomicBool,
    swallowed: AtomicUsize,
    freeze: AtomicBool,
    frozen: Notify,
}

impl Proxy {
    /// Before the server of this url, which names a host and a port.
    pub async fn start(url: &str) -> Self {
        let (before, rest) = url.split_once('@').expect("a url with a user");
        let (server, path) = rest.split_once('/').expect("a url with a database");
        let server: SocketAddr = server.parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("an address");
        let faults = Arc::<Faults>::default();
        let proxy = Self { url: format!("{before}@{here}/{path}"), faults: faults.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(requests(from_client, to_server, faults.clone()));
                tokio::spawn(answers(from_server, to_client, faults.clone()));
            }
        });
        proxy
    }

    /// How clients get here.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The next thing that the server says is lost, and its connection with it.
    pub fn swallow_next_answer(&self) {
        self.faults.swallow.store(true, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub fn swallowed(&self) -> usize {
        self.faults.swallowed.load(Ordering::SeqCst)
    }

    /// From now on, the end of each request does not arrive.
    pub fn freeze(&self) {
        self.faults.freeze.store(true, Ordering::SeqCst);
    }

    /// What is stuck stays so, and everything else passes again.
    pub fn thaw(&self) {
        self.faults.freeze.store(false, Ordering::SeqCst);
    }

    /// Until a request is stuck.
    pub async fn until_frozen(&self) {
        self.faults.frozen.notified().await;
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: Arc<Faults>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if faults.freeze.load(Ordering::SeqCst) {
            let _ = to.write_all(&bytes[..n / 2]).await;
            faults.frozen.notify_one();
            return std::future::pending().await; // and the connection stays open
        }
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: Arc<Faults>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if faults.swallow.swap(false, Ordering::SeqCst) {
            faults.swallowed.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}
