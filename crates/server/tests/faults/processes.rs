//! Processes that are killed, frozen, added and taken away, with and without Kafka; and a database that goes away.

use std::{thread::sleep, time::Duration};

use crate::{
    cluster::{Bus, Cluster},
    servers::{self, Server},
    wire::Wire,
};

/// Longer than any lease and any session.
const PAST_ALL_LEASES: Duration = Duration::from_secs(9);

const ROLES: [&str; 3] = ["orders", "payments", "fulfillment"];

/// How often each role is killed.
fn kills() -> usize {
    std::env::var("CARTWRIGHT_KILLS").map_or(2, |kills| kills.parse().unwrap())
}

fn each_role_killed(bus: Bus) {
    let mut cluster = Cluster::new(bus);
    cluster.start_all();
    let roles = ROLES.into_iter().chain((bus == Bus::Kafka).then_some("relay"));
    let mut load = cluster.load(1_500 * kills() as u32, 150);
    for role in roles.cycle().take(kills() * if bus == Bus::Kafka { 4 } else { 3 }) {
        load.wait_for_more(100);
        cluster.signal(role, "KILL");
        cluster.restart(role);
        cluster.wait_until_ready();
    }
    load.finish();
    cluster.verify();
}

#[test]
fn each_role_may_be_killed_without_kafka() {
    each_role_killed(Bus::Journals);
}

#[test]
fn each_role_may_be_killed_with_kafka() {
    each_role_killed(Bus::Kafka);
}

/// The frozen one still believes that its partitions, or its lanes, are its own.
fn a_zombie(bus: Bus) {
    let mut cluster = Cluster::new(bus);
    cluster.start_all();
    cluster.spawn("payments 2", "payments");
    cluster.spawn("fulfillment 2", "fulfillment");
    cluster.wait_until_ready();
    let mut load = cluster.load(2_000, 100);
    for zombie in ["payments", "fulfillment 2"] {
        load.wait_for_more(100);
        cluster.signal(zombie, "STOP");
        // Not a time within which something must happen: it must be over.
        sleep(PAST_ALL_LEASES);
        cluster.signal(zombie, "CONT");
    }
    load.finish();
    cluster.verify();
}

#[test]
fn a_frozen_reader_may_wake_as_a_zombie_without_kafka() {
    a_zombie(Bus::Journals);
}

#[test]
fn a_frozen_reader_may_wake_as_a_zombie_with_kafka() {
    a_zombie(Bus::Kafka);
}

#[test]
fn a_frozen_relay_is_replaced_and_may_wake() {
    let mut cluster = Cluster::new(Bus::Kafka);
    cluster.start_all();
    cluster.spawn("relay 2", "relay");
    cluster.wait_until_ready();
    let mut load = cluster.load(2_000, 100);
    for frozen in ["relay", "relay 2"] {
        load.wait_for_more(50);
        cluster.signal(frozen, "STOP");
        sleep(PAST_ALL_LEASES);
        cluster.signal(frozen, "CONT");
    }
    load.finish();
    cluster.verify();
}

/// Partitions, or lanes, move while they are read.
fn added_and_removed(bus: Bus) {
    let mut cluster = Cluster::new(bus);
    cluster.start_all();
    let mut load = cluster.load(2_000, 150);
    for name in ["payments 2", "payments 3", "orders 2"] {
        load.wait_for_more(100);
        cluster.spawn(name, name.split(' ').next().unwrap());
        cluster.wait_until_ready();
    }
    for name in ["payments", "payments 2"] {
        load.wait_for_more(100);
        cluster.signal(name, "TERM");
    }
    load.finish();
    cluster.restart("payments");
    cluster.restart("payments 2");
    cluster.verify();
}

#[test]
fn processes_come_and_go_under_load_without_kafka() {
    added_and_removed(Bus::Journals);
}

#[test]
fn processes_come_and_go_under_load_with_kafka() {
    added_and_removed(Bus::Kafka);
}

fn database_restarted(bus: Bus) {
    let mut cluster = Cluster::new(bus);
    cluster.start_all();
    let mut load = cluster.load(1_500, 100);
    load.wait_for_more(200);
    Server::Postgres.stop();
    cluster.until("orders are refused with a word about when to come again", |cluster| {
        let order =
            r#"{"customer":{"id":"c"},"currency":"USD","lines":[{"sku":"a","quantity":1,"unitPrice":1}]}"#;
        cluster.ask("orders", "POST", "/v1/orders", order).is_some_and(|(status, _)| status == 503)
    });
    Server::Postgres.start();
    load.wait_for_more(200);
    load.finish();
    cluster.verify();
}

#[test]
fn the_database_may_be_restarted_without_kafka() {
    database_restarted(Bus::Journals);
}

#[test]
fn the_database_may_be_restarted_with_kafka() {
    database_restarted(Bus::Kafka);
}

/// It could not write what it reads, and nobody else could read it.
#[test]
fn a_process_that_loses_its_database_alone_leaves_its_share_to_the_others() {
    let mut cluster = Cluster::new(Bus::Kafka);
    cluster.start_all();
    let (before, after) = (servers::database(), "@127.0.0.1:");
    let (user, server) = before.split_once('@').unwrap();
    let (server, name) = server.split_once('/').unwrap();
    let wire = Wire::to(server);
    cluster.set("database.url", &format!("{user}{after}{}/{name}", wire.port));
    cluster.spawn("lonely", "payments,fulfillment");
    cluster.wait_until_ready();
    cluster.load(50, 100).finish(); // it has its share by now
    wire.cut();
    cluster.load(100, 100).finish();
    cluster.until("the others finish every order", |cluster| {
        cluster.json("orders", "/v1/orders?status=open&limit=1")["orders"] == serde_json::json!([])
    });
    wire.mend();
    cluster.load(50, 100).finish();
    cluster.verify();
}

#[test]
fn roles_may_start_before_their_database_and_their_broker() {
    servers::up();
    Server::Postgres.stop();
    Server::Kafka.stop();
    let mut cluster = Cluster::without_servers(Bus::Kafka);
    for role in ["orders", "payments", "fulfillment", "relay"] {
        cluster.spawn(role, role);
    }
    for role in ["orders", "payments", "fulfillment", "relay"] {
        cluster.until(&format!("{role} says what it waits for"), |cluster| {
            cluster
                .get(role, "/health/ready")
                .is_some_and(|(status, body)| status == 503 && body.contains("database"))
        });
    }
    Server::Postgres.start();
    cluster.until("orders takes orders without the broker", |cluster| {
        cluster.get("orders", "/health/ready").is_some_and(|(status, _)| status == 200)
    });
    cluster.until("payments waits for the broker", |cluster| {
        cluster
            .get("payments", "/health/ready")
            .is_some_and(|(status, body)| status == 503 && body.contains("broker"))
    });
    let load = cluster.load(100, 100);
    load.finish();
    Server::Kafka.start();
    cluster.wait_until_ready();
    cluster.verify();
}

#[test]
fn what_an_operator_switches_counts_in_every_process() {
    let mut cluster = Cluster::new(Bus::Journals);
    cluster.start_all();
    let put = |cluster: &Cluster, path: &str, body: &str| {
        let (status, answer) = cluster.ask("orders", "PUT", path, body).unwrap();
        assert_eq!(status, 200, "{answer}");
    };
    let provider =
        |cluster: &Cluster, name: &str| cluster.json(name, "/v1/admin/providers")["payments"].clone();
    put(&cluster, "/v1/admin/providers/payments", r#"{"enabled":false}"#);
    cluster.until("payments has heard of it", |cluster| provider(cluster, "payments")["enabled"] == false);
    cluster.signal("payments", "KILL");
    cluster.restart("payments");
    cluster.wait_until_ready();
    assert_eq!(provider(&cluster, "payments")["enabled"], false, "and it stays so");
    put(&cluster, "/v1/admin/simulated/payments", r#"{"mode":"decline"}"#);
    put(&cluster, "/v1/admin/providers/payments", r#"{"enabled":true}"#);
    cluster.until("payments is told to decline", |cluster| {
        cluster.json("payments", "/v1/admin/simulated")["payments"]["mode"] == "decline"
    });
    cluster.until("payments has heard of it", |cluster| provider(cluster, "payments")["enabled"] == true);
}
