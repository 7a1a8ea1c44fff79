//! A neighbour that knows nothing of us: Kafka's own console programs do the part of our payments.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    cluster::{Bus, Cluster},
    servers,
};

#[test]
fn a_neighbour_with_plain_kafka_reads_a_request_and_answers_it() {
    let mut cluster = Cluster::new(Bus::Kafka);
    for role in ["orders", "fulfillment", "relay"] {
        cluster.spawn(role, role);
    }
    cluster.wait_until_ready();
    let order =
        r#"{"customer":{"id":"c-1"},"currency":"USD","lines":[{"sku":"a","quantity":2,"unitPrice":500}]}"#;
    let (status, placed) = cluster.ask("orders", "POST", "/v1/orders", order).unwrap();
    assert_eq!(status, 201, "{placed}");
    let id = serde_json::from_str::<Value>(&placed).unwrap()["id"].as_str().unwrap().to_owned();

    // Headers, key and value, as they lie in the topic.
    let read = console_consumer(&cluster.topic("orders"), 2);
    let line =
        read.lines().find(|line| line.contains("eventType:StepRequestedV1")).expect("the step is asked for");
    let fields: Vec<&str> = line.split('\t').collect();
    assert_eq!(fields[1], id, "the key is the order");
    assert!(fields[0].contains("ce_type:") && fields[0].contains("correlationId:"), "{line}");
    let request: Value = serde_json::from_str(fields[2]).unwrap();
    assert_eq!(request["payload"]["work"]["kind"], "pay", "{request:#}");

    let answer = json!({
        "eventId": "0192f3a1-7b1c-7000-8000-00000000000f",
        "eventType": "PaymentAuthorizedV1",
        "eventVersion": 1,
        "occurredAt": request["occurredAt"],
        "correlationId": request["correlationId"],
        "source": "payments",
        "sequence": 1,
        "actor": {"type": "service", "id": "the old payments"},
        "payload": {
            "orderId": id,
            "paymentId": request["payload"]["work"]["paymentId"],
            "step": request["payload"]["step"],
            "outcome": "done",
            "amount": 1_000,
            "currency": "USD",
            "reference": "from elsewhere"
        }
    });
    console_producer(&cluster.topic("payments"), &format!("eventType:PaymentAuthorizedV1\t{id}\t{answer}\n"));
    cluster.until("the order moves on and is shipped", |cluster| {
        cluster.json("orders", &format!("/v1/orders/{id}"))["status"] == "completed"
    });
    let done = cluster.json("orders", &format!("/v1/orders/{id}"));
    assert_eq!(done["payments"][0]["reference"], "from elsewhere", "{done:#}");
}

/// The first so many messages of a topic: headers, key and value of each in a line.
fn console_consumer(topic: &str, messages: u32) -> String {
    let output = java("org.apache.kafka.tools.consumer.ConsoleConsumer")
        .args(["--bootstrap-server", &servers::broker(), "--topic", topic, "--from-beginning"])
        .args(["--max-messages", &messages.to_string(), "--timeout-ms", "60000"])
        .args(["--property", "print.key=true", "--property", "print.headers=true"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a message whose headers, key and value are in a line.
fn console_producer(topic: &str, line: &str) {
    let mut producer = java("org.apache.kafka.tools.ConsoleProducer")
        .args(["--bootstrap-server", &servers::broker(), "--topic", topic])
        .args(["--property", "parse.key=true", "--property", "parse.headers=true"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    producer.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    assert!(producer.wait().unwrap().success());
}

fn java(class: &str) -> Command {
    let libs: PathBuf = servers::kafka_libs();
    let mut command = Command::new("java");
    command.arg("-cp").arg(libs.join("*")).arg(class);
    command
}
