//! A service on a model store, and good things to be spoiled.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use cartwright_core::{
    domain::{
        ids::derive_uuid,
        order::{CancelReason, Milestone, OrderCommand},
    },
    ports::{Delivery, Headers, Origin, Store, Stored},
    services::{Ask, Engine, Input, Logic, Settings, StepReport},
};
use cartwright_testkit::{
    MemoryStore,
    asks::{self, Counting, Still},
    block_on, build,
};
use serde_json::Value;
use uuid::Uuid;

/// Every released event, about the order `a`.
pub fn golden() -> &'static [Value] {
    static GOLDEN: OnceLock<Vec<Value>> = OnceLock::new();
    let read = || {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let about_a = |file: PathBuf| {
            let text = std::fs::read_to_string(file).unwrap();
            serde_json::from_str(&text.replace("0198c0de-0000-7000-8000-00000000000a", "a")).unwrap()
        };
        files.into_iter().map(about_a).collect()
    };
    GOLDEN.get_or_init(read)
}

/// A service on a model store that outlives it.
pub struct World<L: Logic> {
    pub store: MemoryStore,
    pub engine: Engine<L>,
}

impl<L: Logic + Default> World<L> {
    pub fn new() -> Self {
        Self::on(MemoryStore::new(Uuid::from_u128(1)))
    }

    /// A service that knows nothing by heart.
    pub fn on(store: MemoryStore) -> Self {
        let settings = Settings { exclusive: true, ..Settings::default() };
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let engine =
            Engine::new(L::default(), shared, Arc::new(Still(1)), Box::new(Counting::default()), settings, 0);
        Self { store, engine }
    }

    #[track_caller]
    pub fn step(&mut self, inputs: Vec<Input<L::Command>>) -> StepReport<L::Answer> {
        block_on(self.engine.step(inputs, 100)).expect("the model store never fails")
    }

    pub fn stored(&self, order: &str) -> Stored {
        block_on(self.store.load(&[build::id(order)])).unwrap().remove(0)
    }

    pub fn record(&self, order: &str) -> Value {
        serde_json::from_slice(&self.stored(order).record.expect("a record")).unwrap()
    }
}

pub fn placing(order: &str, flow: &str) -> Input<Ask> {
    asks::place(0, order, flow)
}

/// All that can be asked of an order.
pub fn commands(order: &str) -> impl Iterator<Item = Input<Ask>> {
    let all = [
        OrderCommand::Hold { note: None },
        OrderCommand::Release { note: None },
        OrderCommand::SetMilestone(Milestone::Shipped),
        OrderCommand::Cancel { reason: CancelReason::Other, note: None },
    ];
    all.into_iter().zip(1..).map(move |(command, token)| asks::change(token, order, command, None))
}

/// A delivery as its sender would make it.
pub fn delivery(position: u64, source: &str, event: &Value) -> Delivery {
    let kind = event["eventType"].as_str().unwrap();
    let step = event["payload"]["work"]["kind"].as_str().or(event["payload"]["kind"].as_str());
    let headers = [("eventType", kind)].into_iter().chain(step.map(|step| ("stepKind", step)));
    let key = event["payload"]["orderId"].as_str().unwrap().to_owned();
    raw_delivery(position, source, key.into(), headers.collect(), event.to_string().into())
}

pub fn raw_delivery(position: u64, source: &str, key: Bytes, headers: Headers, value: Bytes) -> Delivery {
    let origin = Origin { source: source.into(), lane: 0, position };
    Delivery { origin, incarnation: Uuid::from_u128(7), key, headers, value }
}

/// The golden event of this name, about another order and with an id of its own.
pub fn event(kind: &str, step: &str, order: &str) -> Value {
    let mut event = golden()
        .iter()
        .find(|event| {
            event["eventType"] == kind && event["payload"]["work"]["kind"].as_str().is_none_or(|k| k == step)
        })
        .unwrap()
        .clone();
    event["payload"]["orderId"] = order.into();
    let number = event["payload"]["step"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    event["payload"]["step"] = format!("{order}:{number}").into();
    event["eventId"] = derive_uuid("test", &[kind, step, order]).to_string().into();
    event
}
