//! A client that does nothing but ask and take the time: one connection, one request after the other.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::Failure;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server.
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

/// An answer, and how long it took.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// When to come again, if it says so.
    pub retry_after: Option<String>,
    pub took: Duration,
}

impl Client {
    /// Connects to `http://host:port`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(url: &str) -> Result<Self, Failure> {
        let host = url.strip_prefix("http://").ok_or("not an http URL")?.to_owned();
        let stream = TcpStream::connect(&host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// The JSON of a path that must be there.
    ///
    /// # Errors
    /// It is not, or the connection is lost.
    pub fn json(&mut self, path: &str) -> Result<(Value, Duration), Failure> {
        let answer = self.ask("GET", path, "")?;
        if answer.status != 200 {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(format!("GET {path}: {} {said}", answer.status).into());
        }
        Ok((serde_json::from_slice(&answer.body)?, answer.took))
    }

    /// A number of its metrics, with its labels if it has any. `None`: it does not tell it, or not yet.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn metric(&mut self, name: &str) -> Result<Option<f64>, Failure> {
        let metrics = self.ask("GET", "/metrics", "")?;
        let metrics = String::from_utf8_lossy(&metrics.body);
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.and_then(|number| number.trim().parse().ok()))
    }

    /// One request.
    ///
    /// # Errors
    /// The connection is lost, or the answer is no HTTP that we understand.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Answer, Failure> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        let began = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no HTTP status")?;
        let (mut length, mut retry_after) = (0, None);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse()?
                }
                Some((name, value)) if name.eq_ignore_ascii_case("retry-after") => {
                    retry_after = Some(value.trim().to_owned());
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body, retry_after, took: began.elapsed() })
    }
}
