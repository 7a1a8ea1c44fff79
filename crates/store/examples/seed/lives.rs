//! Orders that really went through the services.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use cartwright_core::{
    domain::{
        flow::PROCESSING_MS,
        frozen::Frozen,
        ids::OrderId,
        money::Currency,
        order::{
            Actor, Address, CancelReason, Customer, Line, OrderCommand, PaymentIntent, Placed, PlacedBy,
            Totals,
        },
        time::Timestamp,
    },
    events,
    ports::{
        AuthorizeCall, CallOutcome, CancelOutcome, Carrier, Clock, Delivery, Ids, Origin, PaymentProvider,
        ShipCall, Shipped, Store, UndoCall,
    },
    services::{
        Ask, Engine, Fulfillment, Input, Logic, Orders, Payments, PlaceOrder, Providers, Request, Settings,
        StepReport, TaskDone, Variation,
    },
};
use cartwright_testkit::MemoryStore;
use uuid::Uuid;

use crate::{
    Failure,
    stencil::{BEGIN, CUSTOMER, EXTERNAL, Life, NUMBER, PREFIX},
};

/// What becomes of an order.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    flow: &'static str,
    external: bool,
    end: End,
    /// How many of 10,000 orders are like this.
    share: u64,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Completed,
    Failed,
    Cancelled,
    OnHold,
}

impl Kind {
    pub fn share(self) -> u64 {
        self.share
    }
}

const KINDS: [Kind; 8] = [
    Kind { flow: "standard", external: false, end: End::Completed, share: 6_200 },
    Kind { flow: "standard", external: true, end: End::Completed, share: 2_000 },
    Kind { flow: "ship-only", external: false, end: End::Completed, share: 800 },
    Kind { flow: "scheduled", external: false, end: End::Completed, share: 500 },
    Kind { flow: "processing", external: false, end: End::Completed, share: 200 },
    Kind { flow: "standard", external: false, end: End::Failed, share: 100 },
    Kind { flow: "standard", external: false, end: End::Cancelled, share: 100 },
    Kind { flow: "standard", external: false, end: End::OnHold, share: 100 },
];

/// One life of each kind.
pub async fn all() -> Result<Vec<(Kind, Life)>, Failure> {
    let mut lives = Vec::with_capacity(KINDS.len());
    for kind in KINDS {
        lives.push((kind, Town::new(kind).await?.live().await?));
    }
    Ok(lives)
}

/// The three services with one order.
struct Town {
    kind: Kind,
    order: OrderId,
    clock: Arc<Ticking>,
    providers: Providers,
    orders: Service<Orders>,
    payments: Service<Payments>,
    fulfillment: Service<Fulfillment>,
}

struct Service<L: Logic> {
    store: MemoryStore,
    engine: Engine<L>,
    /// What was read from the others' journals.
    read: BTreeMap<&'static str, u64>,
}

impl Town {
    async fn new(kind: Kind) -> Result<Self, Failure> {
        let clock = Arc::new(Ticking(AtomicI64::new(BEGIN.as_micros())));
        let ids = Arc::new(AtomicU64::new(1));
        let refuse = matches!(kind.end, End::Failed);
        let orders = Service::new(Orders::default(), &clock, &ids);
        orders.store.reserve_numbers(NUMBER - 1).await?;
        Ok(Self {
            kind,
            order: OrderId::from(Counting(ids.clone()).next()),
            providers: Providers {
                payments: Arc::new(Outside { refuse }),
                carrier: Arc::new(Outside { refuse }),
            },
            orders,
            payments: Service::new(Payments, &clock, &ids),
            fulfillment: Service::new(Fulfillment, &clock, &ids),
            clock,
        })
    }

    async fn live(mut self) -> Result<Life, Failure> {
        let mut done = Vec::new();
        let mut first = vec![self.placing()?];
        match self.kind.end {
            End::Completed | End::Failed => {}
            End::Cancelled => {
                first.push(self.asking(OrderCommand::Cancel { reason: CancelReason::Customer, note: None }));
            }
            End::OnHold => first.push(self.asking(OrderCommand::Hold { note: None })),
        }
        self.orders.step(first, &self.providers, &mut done).await?;
        while !done.is_empty() {
            self.clock.0.fetch_add(i64::from(PROCESSING_MS) * 1_000, Ordering::Relaxed);
            let results = std::mem::take(&mut done).into_iter().map(Input::Task).collect();
            self.orders.step(results, &self.providers, &mut done).await?;
        }
        loop {
            let journals = [
                (events::ORDERS, self.orders.store.clone()),
                (events::PAYMENTS, self.payments.store.clone()),
                (events::FULFILLMENT, self.fulfillment.store.clone()),
            ];
            let [orders, payments, fulfillment] = &journals;
            let mut moved = self.orders.turn(&[payments, fulfillment], &self.providers).await?;
            moved |= self.payments.turn(&[orders], &self.providers).await?;
            moved |= self.fulfillment.turn(&[orders], &self.providers).await?;
            self.clock.0.fetch_add(40_000, Ordering::Relaxed);
            if !moved {
                break;
            }
        }
        let stores = [&self.orders.store, &self.payments.store, &self.fulfillment.store];
        Life::cut(&self.order, stores).await
    }

    fn placing(&self) -> Result<Input<Ask>, Failure> {
        let line = |id: &str, sku: &str, name: &str, quantity, unit_price| Line {
            id: id.into(),
            sku: sku.into(),
            name: Some(name.into()),
            quantity,
            unit_price: Some(unit_price),
            discount: 0,
            tax: 0,
            total: 0,
        };
        let mut placed = Placed {
            dialect: None,
            taken_at: None,
            external_id: self.kind.external.then(|| EXTERNAL.to_owned()),
            channel: self.kind.external.then(|| "web".to_owned()),
            flow: self.kind.flow.into(),
            customer: Customer { id: CUSTOMER.into(), name: Some("John Doe".into()), email: None },
            currency: Currency::parse("USD").ok_or("no currency")?,
            scale: None,
            lines: vec![
                line("1", "product-456", "Gaming Laptop", 2, 129_999),
                line("2", "product-789", "Mouse", 1, 2_950),
            ],
            charges: vec![],
            totals: Totals::default(),
            ship_to: Some(Address {
                name: Some("John Doe".into()),
                line1: Some("1 Main Street".into()),
                city: Some("Springfield".into()),
                country: Some("US".into()),
                ..Address::default()
            }),
            bill_to: None,
            metadata: BTreeMap::new(),
        };
        placed.add_up().map_err(|wrong| format!("{wrong:?}"))?;
        let ask = Ask::Place(PlaceOrder {
            id: self.order.clone(),
            placed: Frozen::new(placed),
            intent: PaymentIntent::default(),
            placed_by: PlacedBy { caller: "seed".into(), key: None, fingerprint: "seed".into() },
            correlation_id: uuid(0xffff),
            put: false,
            variation: Variation::default(),
        });
        Ok(Input::Command { token: 0, command: Arc::new(ask) })
    }

    fn asking(&self, command: OrderCommand) -> Input<Ask> {
        let request = Request {
            order: self.order.clone(),
            command,
            actor: Actor::api("seed"),
            key: None,
            expected: None,
        };
        Input::Command { token: 1, command: Arc::new(Ask::Change(request)) }
    }
}

impl<L: Logic> Service<L> {
    fn new(logic: L, clock: &Arc<Ticking>, ids: &Arc<AtomicU64>) -> Self {
        let store = MemoryStore::new(Uuid::from_u128(1));
        let settings = Settings { exclusive: true, ..Settings::default() };
        let (shared, ids) = (Arc::new(store.clone()), Box::new(Counting(ids.clone())));
        let engine = Engine::new(logic, shared, clock.clone(), ids, settings, 0);
        Self { store, engine, read: BTreeMap::new() }
    }

    /// Reads what is new and does what comes of it; whether there was anything.
    async fn turn(
        &mut self,
        from: &[&(&'static str, MemoryStore)],
        providers: &Providers,
    ) -> Result<bool, Failure> {
        let mut inputs = Vec::new();
        for (topic, store) in from {
            let read = self.read.entry(topic).or_default();
            for row in store.journal(*read, 1_000).await? {
                *read = row.position;
                inputs.push(Input::Delivery(Delivery {
                    origin: Origin { source: (*topic).into(), lane: 0, position: row.position },
                    incarnation: store.incarnation(),
                    key: row.message.key.as_str().to_owned().into(),
                    headers: row.message.headers,
                    value: row.message.value,
                }));
            }
        }
        if inputs.is_empty() {
            return Ok(false);
        }
        let mut done = Vec::new();
        self.step(inputs, providers, &mut done).await?;
        while !done.is_empty() {
            let results = std::mem::take(&mut done).into_iter().map(Input::Task).collect();
            self.step(results, providers, &mut done).await?;
        }
        Ok(true)
    }

    /// One batch; its tasks are carried out at once.
    async fn step(
        &mut self,
        inputs: Vec<Input<L::Command>>,
        providers: &Providers,
        done: &mut Vec<TaskDone>,
    ) -> Result<(), Failure> {
        let report: StepReport<L::Answer> =
            self.engine.step(inputs, 100).await.map_err(|unfinished| unfinished.error)?;
        for task in report.tasks.into_iter().chain(report.instead) {
            done.push(providers.carry_out(task, false).await);
        }
        Ok(())
    }
}

/// Providers that answer at once.
struct Outside {
    refuse: bool,
}

#[async_trait]
impl PaymentProvider for Outside {
    async fn authorize(&self, _: &AuthorizeCall, _: bool) -> CallOutcome<String> {
        if self.refuse {
            CallOutcome::Refused("declined".into())
        } else {
            CallOutcome::Done("PAY-5EED".into())
        }
    }

    async fn void(&self, _: &UndoCall, _: bool) -> CallOutcome<()> {
        CallOutcome::Done(())
    }
}

#[async_trait]
impl Carrier for Outside {
    async fn ship(&self, _: &ShipCall, _: bool) -> CallOutcome<Shipped> {
        CallOutcome::Done(Shipped { carrier: "FedEx".into(), tracking_number: "TRACK-00005EED".into() })
    }

    async fn cancel(&self, _: &UndoCall, _: bool) -> CallOutcome<CancelOutcome> {
        CallOutcome::Done(CancelOutcome::Cancelled)
    }
}

/// A clock that is moved on by hand.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Ids that begin alike, so that they are found again.
struct Counting(Arc<AtomicU64>);

impl Ids for Counting {
    fn next(&mut self) -> Uuid {
        uuid(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn uuid(n: u64) -> Uuid {
    Uuid::from_u128((u128::from(PREFIX) << 64) | (0x8000 << 48) | u128::from(n))
}
