//! What the doubles of all old systems have in common: plain Kafka clients, and the messages that their contracts show.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, Headers as _, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use serde_json::{Value, json};

use super::pattern;
use crate::{
    cluster::{Bus, Cluster},
    servers,
};

const DIALECTS: [&str; 5] =
    ["cart-dotnet", "cart-fastapi", "order-fulfilment", "order-processing", "order-tracking"];
/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a message may be on its way when there is one.
const MOMENT: Duration = Duration::from_millis(20);

/// One process of ours with all roles, on the topics of one old system, of which this half stays.
pub fn beside(dialect: &str, stays: &str, more: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::new(Bus::Kafka);
    for name in DIALECTS {
        let spoken = (name == dialect).to_string();
        cluster.set(&setting(name, "topics"), &spoken);
    }
    cluster.set(&setting(dialect, "stays"), stays);
    // Here it counts who says what to whom, and not how often a provider fails.
    for provider in ["payments", "carrier"] {
        for rate in ["failure_rate", "timeout_rate"] {
            cluster.set(&format!("simulated.{provider}.{rate}"), "0");
        }
    }
    for (setting, value) in more {
        cluster.set(setting, value);
    }
    cluster.spawn("orders", "orders,payments,fulfillment,relay");
    cluster.wait_until_ready();
    cluster
}

fn setting(dialect: &str, name: &str) -> String {
    format!("dialects.{}.{name}", dialect.replace('-', "_"))
}

/// What a cluster puts before the names of the topics: tests run beside each other.
fn prefix(cluster: &Cluster) -> String {
    format!("{}.", cluster.name())
}

/// Asks us over HTTP: status, and JSON or text.
pub fn ask(cluster: &Cluster, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, body) = cluster.ask("orders", method, path, &body.to_string()).expect("it answers");
    let json = serde_json::from_str(&body);
    (status, json.unwrap_or(Value::String(body)))
}

/// The JSON that we answer.
pub fn get(cluster: &Cluster, path: &str) -> Value {
    cluster.json("orders", path)
}

/// An order as our own API shows it.
pub fn order(cluster: &Cluster, id: &str) -> Value {
    get(cluster, &format!("/v1/orders/{id}"))
}

/// All orders that we have.
pub fn orders(cluster: &Cluster) -> Vec<Value> {
    get(cluster, "/v1/orders")["orders"].as_array().unwrap().clone()
}

/// What our own services were asked to do for an order.
pub fn asked_of_us(cluster: &Cluster, id: &str) -> Vec<Value> {
    let events = get(cluster, &format!("/v1/orders/{id}/events"));
    let all = events["events"].as_array().unwrap().iter();
    all.filter(|event| event["eventType"] == "StepRequestedV1").cloned().collect()
}

/// What is set aside.
pub fn parked(cluster: &Cluster) -> Vec<Value> {
    get(cluster, "/v1/admin/parked?limit=500")["parked"].as_array().unwrap().clone()
}

/// Whether something is set aside for an order.
pub fn waits(cluster: &Cluster, id: &str) -> bool {
    parked(cluster).iter().any(|parked| parked["order"] == id)
}

/// Waits until we have dealt with all that was said on these topics.
pub fn until_all_is_read(cluster: &mut Cluster, topics: &[&str]) {
    let ours = our_group(cluster);
    let topics: Vec<String> = topics.iter().map(|topic| format!("{}{topic}", prefix(cluster))).collect();
    cluster.until("all is read", |_| topics.iter().all(|topic| is_read(&ours, topic)));
}

fn is_read(group: &BaseConsumer, topic: &str) -> bool {
    let metadata = group.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut places = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        places.add_partition(topic, partition.id());
    }
    let committed = group.committed_offsets(places, PATIENCE).unwrap();
    committed.elements().iter().all(|place| {
        let (_, end) = group.fetch_watermarks(topic, place.partition(), PATIENCE).unwrap();
        end == 0 || place.offset() == Offset::Offset(end)
    })
}

/// The topics that we listen to for neighbours and our own services, in one text: their names stand as they are in what
/// members tell their group.
pub fn listened_to(cluster: &mut Cluster) -> String {
    let (name, group) = (our_group_name(cluster), our_group(cluster));
    let mut topics = String::new();
    cluster.until("we have joined our group", |_| {
        let groups = group.fetch_group_list(Some(&name), PATIENCE).unwrap();
        let members = groups.groups().iter().flat_map(|group| group.members());
        let told = members.flat_map(|member| member.metadata().unwrap_or_default()).copied();
        topics = String::from_utf8_lossy(&told.collect::<Vec<u8>>()).into_owned();
        !topics.is_empty()
    });
    topics
}

fn our_group_name(cluster: &Cluster) -> String {
    format!("{}.orders", cluster.name())
}

/// A look at our consumer group; it never joins.
fn our_group(cluster: &Cluster) -> BaseConsumer {
    client().set("group.id", our_group_name(cluster)).create().unwrap()
}

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers::broker()).set("topic.metadata.refresh.interval.ms", "500");
    config
}

/// Somebody who listens to topics, with a consumer group of its own.
pub struct Listener {
    consumer: BaseConsumer,
    prefix: String,
    heard: Vec<Heard>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Heard {
    pub topic: String,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub value: Value,
}

impl Listener {
    pub fn new(cluster: &Cluster, group: &str, topics: &[&str]) -> Self {
        let prefix = prefix(cluster);
        let mut config = client();
        config.set("group.id", format!("{prefix}{group}")).set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        let topics: Vec<String> = topics.iter().map(|topic| format!("{prefix}{topic}")).collect();
        consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        Self { consumer, prefix, heard: vec![] }
    }

    /// All that was said so far; what is about one order in its order.
    pub fn heard(&mut self) -> &[Heard] {
        while let Some(polled) = self.consumer.poll(MOMENT) {
            let Ok(message) = polled else { continue }; // such as a topic that is still being made
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            self.heard.push(Heard {
                topic: message.topic().strip_prefix(&self.prefix).unwrap().to_owned(),
                key: text(message.key().unwrap()),
                headers: headers.map(|h| (h.key.to_owned(), text(h.value.unwrap()))).collect(),
                value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
            });
        }
        &self.heard
    }

    /// The same, once it is so much.
    pub fn until(&mut self, cluster: &mut Cluster, messages: usize) -> Vec<Heard> {
        cluster.until(&format!("{messages} messages are heard"), |_| self.heard().len() >= messages);
        self.heard.clone()
    }
}

impl Heard {
    /// Fails unless it is what the contract shows, about this order. More headers disturb nobody.
    pub fn must_be(&self, row: &Value, order: &str) {
        assert_eq!((&*self.topic, &*self.key), (row["topic"].as_str().unwrap(), order), "{self:?}");
        let mut headers = row.get("headers").cloned().unwrap_or_else(|| json!({}));
        headers["..."] = json!(true);
        assert_eq!(pattern::differs(&headers, &json!(self.headers), "headers"), None, "{self:?}");
        assert_eq!(pattern::differs(&row["value"], &self.value, "value"), None, "{self:?}");
    }
}

/// The message about an order, if there is just one.
pub fn about<'a>(heard: &'a [Heard], order: &str) -> &'a Heard {
    let mut all = heard.iter().filter(|message| message.key == order);
    let first = all.next().unwrap_or_else(|| panic!("nothing about {order}: {heard:#?}"));
    assert!(all.next().is_none(), "more than one message about {order}: {heard:#?}");
    first
}

/// Somebody who says something on topics.
pub struct Speaker {
    producer: BaseProducer,
    prefix: String,
}

impl Speaker {
    pub fn new(cluster: &Cluster) -> Self {
        Self { producer: client().create().unwrap(), prefix: prefix(cluster) }
    }

    /// Says what stands in a row: its `value`, or else the bytes of its `raw`.
    pub fn say(&self, row: &Value) {
        let topic = format!("{}{}", self.prefix, row["topic"].as_str().unwrap());
        let value = match row.get("value") {
            Some(value) => Some(value.to_string()),
            None => row["raw"].as_str().map(str::to_owned), // null: a tombstone
        };
        let headers = row.get("headers").and_then(Value::as_object);
        let headers = headers
            .into_iter()
            .flatten()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: value.as_str() }));
        let mut record = BaseRecord::to(&topic).key(row["key"].as_str().unwrap()).headers(headers);
        if let Some(value) = &value {
            record = record.payload(value);
        }
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Says one after the other.
    pub fn say_all<'a>(&self, rows: impl IntoIterator<Item = &'a Value>) {
        rows.into_iter().for_each(|row| self.say(row));
    }
}

/// The messages that a contract shows: what is read, and patterns of what is written.
pub struct Golden(Vec<Value>);

impl Golden {
    pub fn of(lines: &str) -> Self {
        Self(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// The one that is there for this.
    pub fn row(&self, why: &str) -> &Value {
        self.0.iter().find(|row| row["why"] == why).unwrap_or_else(|| panic!("no row {why:?}"))
    }

    /// These, in this order.
    pub fn rows(&self, whys: &[&str]) -> Vec<&Value> {
        whys.iter().map(|why| self.row(why)).collect()
    }

    /// All that are malformed, of these topics.
    pub fn malformed(&self, topics: &[&str]) -> Vec<&Value> {
        let of = |row: &&Value| row["malformed"] == true && topics.iter().any(|topic| row["topic"] == *topic);
        self.0.iter().filter(of).collect()
    }
}

/// Fails unless just the malformed messages are set aside, each with its reason.
pub fn only_malformed_is_parked(cluster: &Cluster, malformed: &[&Value]) {
    let parked = parked(cluster);
    assert_eq!(parked.len(), malformed.len(), "{parked:#?}");
    assert!(parked.iter().all(|parked| parked["reason"].as_str().is_some_and(|why| !why.is_empty())));
}

/// Fails unless a value is as the pattern says.
pub fn must_match(pattern: &Value, found: &Value) {
    assert_eq!(pattern::differs(pattern, found, ""), None, "{found:#}");
}
