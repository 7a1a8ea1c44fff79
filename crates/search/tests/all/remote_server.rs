//! A search server for tests: it says what it is told to, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method and the path.
    pub what: String,
    /// The headers, as they came.
    pub headers: String,
    pub body: Vec<u8>,
}

impl Asked {
    /// The ids of the documents in a bulk request.
    pub fn ids(&self) -> Vec<String> {
        let lines = self.body.split(|byte| *byte == b'\n').step_by(2).filter(|line| !line.is_empty());
        let action = |line: &[u8]| serde_json::from_slice::<Value>(line).unwrap();
        lines.map(|line| action(line)["index"]["_id"].as_str().unwrap().to_owned()).collect()
    }
}

/// What it does then.
pub enum Reply {
    Json(u16, Value),
    Text(u16, String),
    /// Nothing, and it keeps the connection.
    Hang,
    /// Half of an answer.
    Cut,
}

/// A node.
pub struct FakeServer {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeServer {
    pub async fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (Arc::clone(&asked), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen), Arc::clone(&reply)));
            }
        });
        Self { url, asked }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<Asked>>>,
    reply: Arc<impl Fn(&Asked) -> Reply + Send + Sync>,
) {
    let Some(asked) = read(&mut stream).await else { return };
    seen.lock().unwrap().push(asked.clone());
    let answer = match reply(&asked) {
        Reply::Json(status, body) => answer(status, &body.to_string()),
        Reply::Text(status, text) => answer(status, &text),
        Reply::Hang => return std::future::pending().await,
        Reply::Cut => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"hits\":".to_owned(),
    };
    let _ = stream.write_all(answer.as_bytes()).await; // whoever asked may have gone
}

fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let (first, headers) = text.split_once("\r\n")?;
    let length =
        headers.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let whole = head + 4 + length.unwrap_or(0);
    while bytes.len() < whole {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let what = first.strip_suffix(" HTTP/1.1")?.to_owned();
    Some(Asked { what, headers: headers.to_owned(), body: bytes[head + 4..whole].to_vec() })
}
