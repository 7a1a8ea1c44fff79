//! Who of the old systems' halves is still at work beside us, and what we and they say to each other on Kafka.

use std::sync::Arc;

use cartwright_core::{
    domain::{ids::derive_uuid, order::Order},
    events::Envelope,
    ports::{Delivery, Origin},
    services::{Neighbours, Said, Saying, Variation},
};

use uuid::Uuid;

use super::{
    DIALECTS, Dialect,
    kafka::{Letters, Message},
    order_processing, order_tracking,
    settings::{self, Settings, Stays},
};
use crate::bus::kafka::forms::{Forms, OURS, Written};

/// Who has placed an order that came by a dialect's topic.
pub fn caller(dialect: &str) -> String {
    format!("{dialect} neighbour")
}

/// The dialects on Kafka, as the settings say.
pub struct Beside {
    settings: Settings,
}

impl Beside {
    /// As these settings say.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The topics that we write, by their whole names: first those by which alone an old back hears of its orders, then
    /// the others.
    pub fn written(&self) -> (Vec<String>, Vec<String>) {
        let of = |needed: bool| {
            let stays = |dialect: &&Dialect| self.settings.of(dialect.name).stays == Stays::Back;
            let dialects = self.dialects().filter(move |dialect| stays(dialect) == needed);
            let topics = dialects.flat_map(|dialect| self.ours(dialect));
            topics.map(|topic| self.whole(topic)).collect()
        };
        (of(true), of(false))
    }

    /// The topics that we listen to, each behind its dialect: `order-tracking/orders`.
    pub fn heard(&self) -> Vec<Arc<str>> {
        let of = |dialect: &'static Dialect| {
            let topics = self.theirs(dialect).iter();
            topics.map(|topic| format!("{}/{}", dialect.name, self.whole(topic)).into()).collect::<Vec<_>>()
        };
        self.dialects().flat_map(of).collect()
    }

    fn dialects(&self) -> impl Iterator<Item = &'static Dialect> {
        DIALECTS.iter().filter(|dialect| self.settings.serves(dialect.name))
    }

    /// The topics of a dialect on which we speak.
    fn ours(&self, dialect: &Dialect) -> Vec<&'static str> {
        let plain = self.settings.of(dialect.name);
        let (front, back) = (dialect.kafka.front, dialect.kafka.back);
        match plain.stays {
            _ if !plain.topics => vec![],
            Stays::None => [front, back].concat(),
            Stays::Front => back.to_vec(),
            Stays::Back => front.to_vec(),
        }
    }

    /// The topics of a dialect on which a half of the old system speaks.
    fn theirs(&self, dialect: &Dialect) -> &'static [&'static str] {
        match self.settings.of(dialect.name).stays {
            Stays::None => &[],
            Stays::Front => dialect.kafka.front,
            Stays::Back => dialect.kafka.back,
        }
    }

    fn whole(&self, topic: &str) -> String {
        format!("{}{topic}", self.settings.topic_prefix)
    }

    fn letters(&self) -> Letters {
        let processing = &self.settings.order_processing;
        match (processing.letters, processing.stays) {
            (settings::Letters::Camel, _) => Letters::Camel,
            (settings::Letters::Pascal, _) | (settings::Letters::Auto, Stays::Back) => Letters::Pascal,
            (settings::Letters::Auto, _) => Letters::Camel,
        }
    }

    /// What goes otherwise for a neighbour's orders than for those of others with the same flow.
    fn variation(&self, dialect: &str) -> Variation {
        match dialect {
            order_tracking::NAME => order_tracking::variation(&self.settings),
            order_processing::NAME => order_processing::variation(&self.settings),
            _ => Variation::default(),
        }
    }
}

impl Forms for Beside {
    fn messages(&self, event: &Envelope, order: &Order) -> Vec<Written> {
        let name = order.placed.dialect.as_deref();
        let Some(dialect) = self.dialects().find(|dialect| Some(dialect.name) == name) else { return vec![] };
        let ours = self.ours(dialect);
        if ours.is_empty() {
            return vec![];
        }
        let said = (dialect.kafka.write)(event, order, self.letters()).into_iter();
        said.filter(|message| ours.contains(&message.topic))
            .map(|message| Written {
                topic: self.whole(message.topic),
                headers: message.headers,
                value: message.value,
            })
            .collect()
    }
}

impl Neighbours for Beside {
    fn is_ours(&self, delivery: &Delivery) -> bool {
        delivery.origin.source.contains('/') && delivery.headers.get(OURS.0) == Some(OURS.1)
    }

    fn hear(&self, delivery: &Delivery) -> Option<Result<Said, String>> {
        let (name, topic) = delivery.origin.source.split_once('/')?;
        let dialect = DIALECTS.iter().find(|dialect| dialect.name == name)?;
        let message = Message {
            topic: topic.strip_prefix(&*self.settings.topic_prefix).unwrap_or(topic),
            key: &delivery.key,
            headers: &delivery.headers,
            value: &delivery.value,
            place: place(delivery),
        };
        let said = (dialect.kafka.read)(&message).map(|said| match said.what {
            Saying::Placed(mut place) => {
                let word = place.variation.word.take();
                place.variation = Variation { word, taken: true, ..self.variation(name) };
                Said { what: Saying::Placed(place), ..said }
            }
            what => Said { what, ..said },
        });
        Some(said)
    }
}

/// A name for the place in a topic at which a message stands: a repeated delivery has it, too, and no other message.
fn place(delivery: &Delivery) -> Uuid {
    let Origin { source, lane, position } = &delivery.origin;
    let parts = [delivery.incarnation.to_string(), lane.to_string(), position.to_string()];
    derive_uuid("place", &[source, &parts[0], &parts[1], &parts[2]])
}
