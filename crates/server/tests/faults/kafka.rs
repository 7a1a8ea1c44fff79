//! What may happen to the broker and its topics.

use std::{thread::sleep, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};

use serde_json::Value;

use crate::{
    cluster::{Bus, Cluster},
    servers::{self, Server},
};

const TOPICS: [&str; 3] = ["orders", "payments", "fulfillment"];

#[test]
fn the_broker_may_be_away_and_orders_are_taken_meanwhile() {
    let mut cluster = Cluster::new(Bus::Kafka);
    cluster.start_all();
    let mut load = cluster.load(3_000, 100);
    load.wait_for_more(200);
    Server::Kafka.stop();
    let before = load.answered();
    sleep(Duration::from_secs(15));
    load.wait_for_more(1);
    assert!(load.answered() >= before + 500, "{before} before, {} after 15 s", load.answered());
    Server::Kafka.start();
    load.finish();
    cluster.verify();
}

#[test]
fn the_broker_may_be_killed() {
    let mut cluster = Cluster::new(Bus::Kafka);
    cluster.start_all();
    let mut load = cluster.load(1_500, 100);
    load.wait_for_more(200);
    Server::Kafka.kill();
    load.wait_for_more(50);
    Server::Kafka.start();
    load.finish();
    cluster.verify();
}

#[test]
fn topics_may_be_deleted_and_made_again() {
    let mut cluster = Cluster::new(Bus::Kafka);
    cluster.start_all();
    let mut load = cluster.load(1_500, 100);
    load.wait_for_more(200);
    delete(&TOPICS.map(|topic| cluster.topic(topic)));
    load.finish();
    cluster.verify(); // the sweeper brings home what was in them
}

#[test]
fn everything_may_be_delivered_once_more() {
    let mut cluster = Cluster::new(Bus::Kafka);
    cluster.start_all();
    cluster.load(500, 200).finish();
    cluster.verify();
    for role in ["orders", "payments", "fulfillment"] {
        cluster.signal(role, "TERM");
    }
    let group = format!("{}-anew", cluster.name());
    cluster.set("kafka.group", &group);
    for role in ["orders", "payments", "fulfillment"] {
        cluster.restart(role);
    }
    cluster.wait_until_ready();
    cluster.until("all is read again", |cluster| {
        ["orders", "payments", "fulfillment"].iter().all(|role| {
            let services = cluster.json(role, "/v1/admin/services");
            let reads = services["services"][0]["reads"].as_array().unwrap().clone();
            !reads.is_empty() && reads.iter().all(|read| read["behind"] == 0)
        })
    });
    cluster.load(100, 100).finish();
    cluster.verify();
}

#[test]
fn poison_is_set_aside_with_its_bytes_and_stops_nobody() {
    let mut cluster = Cluster::new(Bus::Kafka);
    cluster.start_all();
    let large = vec![b'x'; 5 * 1024 * 1024];
    let newer = br#"{"eventId":"0192f3a1-7b1c-7000-8000-000000000001","eventType":"StepRequestedV9","eventVersion":9}"#;
    let poison: [(&str, &[u8]); 4] = [
        ("not JSON", b"{nonsense"),
        ("another type", b"[1,2]"),
        ("a newer version", newer),
        ("5 MB", &large),
    ];
    allow_large(&cluster.topic("orders"));
    for (what, bytes) in poison {
        let id = format!("poison {what}");
        produce(
            &cluster.topic("orders"),
            &id,
            &[("eventType", "StepRequestedV1"), ("who", "a stranger")],
            bytes,
        );
    }
    cluster.load(300, 150).finish();
    cluster.verify();
    cluster.until("all four are parked in payments", |cluster| {
        parked_in_payments(cluster).len() == poison.len()
    });
    let parked = parked_in_payments(&cluster);
    for (what, bytes) in poison {
        let one = parked.iter().find(|p| p["order"] == format!("poison {what}"));
        let one = one.unwrap_or_else(|| panic!("{what} is not parked: {parked:#?}"));
        assert!(one["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{one:#}");
        let id = one["id"].as_str().unwrap();
        let shown = cluster.json("payments", &format!("/v1/admin/parked/payments/{id}"));
        let headers = shown["headers"].as_array().unwrap();
        assert!(
            headers.iter().any(|header| header["name"] == "who" && header["value"] == "a stranger"),
            "{what}"
        );
        assert_eq!(shown["size"].as_u64().unwrap(), bytes.len() as u64, "{what}");
    }
}

/// All pages: one with 5 MB in it is short.
fn parked_in_payments(cluster: &Cluster) -> Vec<Value> {
    let (mut all, mut path) = (vec![], "/v1/admin/parked".to_owned());
    loop {
        let page = cluster.json("payments", &path);
        all.extend(page["parked"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/admin/parked?cursor={next}"),
            None => return all,
        }
    }
}

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers::broker()).set("message.max.bytes", "10000000");
    config
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn delete(topics: &[String]) {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    block_on(async {
        let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
        for result in admin.delete_topics(&names, &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
    });
}

/// Has a topic take larger messages than brokers usually do.
fn allow_large(topic: &str) {
    use rdkafka::admin::{AlterConfig, ResourceSpecifier};
    block_on(async {
        let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
        let config = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", "10000000");
        for result in admin.alter_configs([&config], &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
    });
}

/// A message of somebody who does not know us.
pub fn produce(topic: &str, key: &str, headers: &[(&str, &str)], value: &[u8]) {
    block_on(async {
        let producer: FutureProducer = client().create().unwrap();
        let mut all = OwnedHeaders::new();
        for (key, value) in headers {
            all = all.insert(Header { key, value: Some(*value) });
        }
        let record = FutureRecord::to(topic).key(key).headers(all).payload(value);
        producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error).unwrap();
    });
}
