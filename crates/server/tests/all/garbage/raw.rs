//! Requests that no client library would send.

use std::{cell::Cell, time::Duration};

use cartwright_testkit::garbage;
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::sent::{Target, full};
use crate::harness::Shop;

const CASES: u32 = 300;
/// How long an answer may take. Generous: it only decides how long a broken server keeps us waiting.
const LIMIT: Duration = Duration::from_secs(30);

/// More than any body or head may have: whatever a request promises comes, so that nobody waits for more.
const PADDING: usize = 600_000;

const LENGTHS: [&str; 11] =
    ["0", "-1", "+5", "5, 5", "5, 6", "18446744073709551616", "1e3", "x", "", "999999999999", "300000"];

#[test]
fn a_request_of_anything_ends_without_a_server_error() {
    let target = Target::open();
    let body = full().to_string();
    let length = prop_oneof![
        2 => Just(format!("content-length: {}", body.len())),
        4 => select(&LENGTHS[..]).prop_map(|length| format!("content-length: {length}")),
        1 => (0..2_000_usize).prop_map(|length| format!("content-length: {length}")),
        1 => Just("transfer-encoding: chunked".to_owned()),
        1 => Just(format!("transfer-encoding: chunked\r\ncontent-length: {}", body.len())),
        1 => Just("transfer-encoding: gzip".to_owned()),
    ];
    let answered = Cell::new(0);
    let edits = prop::option::weighted(0.5, garbage::edits());
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(CASES) };
    let checked = TestRunner::new(config).run(&(length, edits), |(length, edits)| {
        let request = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{length}\r\n\r\n{body}"
        );
        let bytes = match edits {
            Some(edits) => garbage::edit(request.as_bytes(), &edits),
            None => request.into_bytes(),
        };
        let answer = target.run(send(&target.shop, &bytes, PADDING));
        let answer = String::from_utf8_lossy(&answer);
        prop_assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{answer}");
        prop_assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
        answered.set(answered.get() + u32::from(!answer.is_empty()));
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
    assert!(answered.get() > CASES / 4, "only {} of {CASES} were answered", answered.get());
    let good = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = target.run(send(&target.shop, good.as_bytes(), 0));
    assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
}

/// All that comes back until the server hangs up.
async fn send(shop: &Shop, request: &[u8], padding: usize) -> Vec<u8> {
    let mut answer = Vec::new();
    let talk = async {
        let mut stream = TcpStream::connect(shop.address()).await.unwrap();
        // A server that has heard enough may hang up before all of it is sent.
        let _ = stream.write_all(request).await;
        let _ = stream.write_all(&vec![b' '; padding]).await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    tokio::time::timeout(LIMIT, talk).await.expect("the server neither answers nor hangs up");
    answer
}
