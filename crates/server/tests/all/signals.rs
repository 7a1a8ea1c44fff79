//! What the real binary does when it is told to stop, twice.

use std::{
    cell::RefCell,
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Home, Shop, Stack, end_leases, program, small_with, wait_until};

#[tokio::test]
async fn a_second_signal_stops_at_once_and_nothing_is_lost() {
    let home = Home::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = RefCell::new(up(home.path(), port));
    let orders = format!("http://127.0.0.1:{port}/v1/orders");
    let client = reqwest::Client::new();
    let body = small_with(json!({"payment": {"scenario": "slow"}}));
    let ready = async || client.get(&orders).send().await.is_ok_and(|answer| answer.status() == 200);
    wait_until("the server answers", ready).await;
    let placed: Value = client.post(&orders).json(&body).send().await.unwrap().json().await.unwrap();
    // The call is under way for a minute: whoever stops in peace waits for it as long as it may.
    wait_until("the provider is called", async || says(home.path(), "the provider is asked")).await;

    signal(&server.borrow());
    wait_until("it has heard", async || says(home.path(), "a second signal stops at once")).await;
    signal(&server.borrow());
    wait_until("it is gone", async || server.borrow_mut().try_wait().unwrap().is_some()).await;
    assert!(!says(home.path(), "still under way"), "it did not wait for the call");

    end_leases(home.path(), "payments").await;
    let shop = Shop::on(home).await;
    let id = placed["id"].as_str().unwrap();
    assert_eq!(shop.finish(id).await["status"], "completed");
    assert_eq!(shop.effects(id), ["authorize", "ship"]);
}

fn up(home: &Path, port: u16) -> Child {
    Command::new(program())
        .env("CARTWRIGHT__DIALECTS__PORTS", "false")
        .env("CARTWRIGHT__SEARCH__LISTEN", "")
        .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data"])
        .arg(home)
        .envs(Stack::here().environment(home))
        .env("CARTWRIGHT__SIMULATED__PAYMENTS__SLOW_MS", "60000")
        .env("CARTWRIGHT__LOG__FILTER", "info,cartwright_server::workers::runner=debug")
        .stdout(Stdio::null())
        .stderr(File::create(home.join("server.log")).unwrap())
        .spawn()
        .unwrap()
}

fn says(home: &Path, words: &str) -> bool {
    std::fs::read_to_string(home.join("server.log")).unwrap_or_default().contains(words)
}

fn signal(server: &Child) {
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}
