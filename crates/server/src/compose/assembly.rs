//! The loops, and what goes between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cartwright_core::{
    domain::ids::OrderId,
    events,
    ports::{Clock, Ids, Store},
    services::{Engine, Fulfillment, Logic, Orders, Payments},
};
use cartwright_store::{
    StoreKind,
    postgres::{
        PostgresStore, Scope,
        bell::{Rope, ring},
    },
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    StartError,
    listeners::Serving,
    outside::Outside,
    roles::{Role, Roles},
    stores::Stores,
};
use crate::{
    bus::{
        journal::{self, Reader, Source},
        kafka::{Health, Kafka, consumer, forms::Forms, relay::Relay},
        lanes::{self, Lanes},
        reports::Reports,
    },
    config::Config,
    http::{
        self, About, Api, Component, Serves, Simulated, State,
        dialects::{neighbours::Beside, order_processing, settings::Stays},
    },
    search::{Search, indexer::Indexer},
    telemetry::{Watched, metrics},
    workers::{
        gauges::Gauges,
        inbox::{Commands, Inbox, Intakes, inbox},
        operator::Handle,
        parked::Retries,
        runner::{Runner, RunnerSettings},
        service::{self, ServiceState, Surroundings},
        sweeper,
    },
};

/// How often the gauges and the free disk are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often processes look for each other's events without having been told of any.
const LOOK_UNTOLD: Duration = Duration::from_secs(1);

/// What is being put together.
pub struct Assembly {
    config: Config,
    roles: Roles,
    outside: Outside,
    /// The search index, if this process has to do with it.
    search: Option<Search>,
    clock: Arc<dyn Clock>,
    /// The halves of old systems that stay, and what is said to them.
    beside: Arc<Beside>,
    /// Names this process among others.
    holder: Uuid,
    pub stop_intake: CancellationToken,
    pub stop_loops: CancellationToken,
    pub intake: TaskTracker,
    pub loops: TaskTracker,
    services: Vec<Handle>,
    /// Whether Kafka's brokers answer.
    kafka: Health,
    orders: Option<Commands<Orders>>,
}

/// How a service hears of the others' events.
enum Bus {
    /// It reads their journals, in these lanes.
    Journals(Vec<Source>, Lanes),
    /// It is a consumer of these topics.
    Kafka(Kafka, Vec<Arc<str>>),
}

impl Bus {
    fn topics(&self) -> Vec<Arc<str>> {
        match self {
            Self::Journals(sources, _) => sources.iter().map(|source| source.topic.clone()).collect(),
            Self::Kafka(_, topics) => topics.clone(),
        }
    }
}

/// Tells of a journal that has grown, each in its turn.
struct Heads {
    orders: watch::Sender<u64>,
    payments: watch::Sender<u64>,
    fulfillment: watch::Sender<u64>,
}

/// Where a service that runs takes things in.
struct Started<L: Logic> {
    commands: Commands<L>,
    sweeps: mpsc::Sender<OrderId>,
}

impl Assembly {
    pub fn new(
        config: &Config,
        roles: &Roles,
        outside: Outside,
        search: Option<Search>,
        clock: Arc<dyn Clock>,
        stop_intake: CancellationToken,
    ) -> Self {
        Self {
            config: config.clone(),
            roles: roles.clone(),
            outside,
            search,
            clock,
            beside: Arc::new(Beside::new(config.dialects.clone())),
            holder: Uuid::now_v7(),
            stop_intake,
            stop_loops: CancellationToken::new(),
            intake: TaskTracker::new(),
            loops: TaskTracker::new(),
            services: vec![],
            kafka: Health::default(),
            orders: None,
        }
    }

    /// Starts what is among the roles.
    pub async fn build(&mut self, stores: &Stores) -> Result<(), StartError> {
        let (orders, orders_bell) = watch::channel(stores.orders.stats().await?.head);
        let (payments, payments_bell) = watch::channel(stores.payments.stats().await?.head);
        let (fulfillment, fulfillment_bell) = watch::channel(stores.fulfillment.stats().await?.head);
        let heads = Heads { orders, payments, fulfillment };
        let source = |topic: &'static str, store: &Arc<dyn Store>, head: &watch::Receiver<u64>| Source {
            topic: topic.into(),
            store: store.clone(),
            head: head.clone(),
        };
        let from_orders = source(events::ORDERS, &stores.orders, &orders_bell);
        let from_others = [
            source(events::PAYMENTS, &stores.payments, &payments_bell),
            source(events::FULFILLMENT, &stores.fulfillment, &fulfillment_bell),
        ];
        self.ring(stores, &heads);
        let database = stores.database.as_ref();
        if database.is_some() {
            let (follow, stop) = (self.outside.follow_others(), self.stop_intake.clone());
            self.intake.spawn(vital("switches", until(stop, follow)));
        }
        if self.roles.has(Role::Orders) {
            let mut bus = self.bus(from_others.into(), database.map(|database| &database.orders));
            let mut logic = Orders::default();
            if let Bus::Kafka(kafka, topics) = &mut bus {
                let heard = self.beside.heard();
                kafka.others = heard.iter().map(|topic| kafka.topic(topic)).collect();
                topics.extend(heard);
                logic.neighbours = Some(self.beside.clone());
            }
            let started = self.service(logic, &stores.orders, bus, heads.orders).await?;
            self.sweep(&stores.orders, started.sweeps);
            self.orders = Some(started.commands);
        }
        if self.roles.has(Role::Payments) {
            let bus = self.bus(vec![from_orders.clone()], database.map(|database| &database.payments));
            self.service(Payments, &stores.payments, bus, heads.payments).await?;
        }
        if self.roles.has(Role::Fulfillment) {
            let bus = self.bus(vec![from_orders], database.map(|database| &database.fulfillment));
            self.service(Fulfillment, &stores.fulfillment, bus, heads.fulfillment).await?;
        }
        self.index(stores, &orders_bell);
        if let (true, Some(database)) = (self.roles.has(Role::Relay), database) {
            self.report(&database.orders, &orders_bell);
            self.relay(events::ORDERS, &database.orders, orders_bell);
            self.relay(events::PAYMENTS, &database.payments, payments_bell);
            self.relay(events::FULFILLMENT, &database.fulfillment, fulfillment_bell);
        }
        Ok(())
    }

    /// How a service hears of the others' events.
    fn bus(&self, sources: Vec<Source>, store: Option<&Arc<PostgresStore>>) -> Bus {
        match self.config.kafka() {
            Some(kafka) => Bus::Kafka(kafka, sources.into_iter().map(|source| source.topic).collect()),
            None => Bus::Journals(sources, self.lanes(store)),
        }
    }

    /// Forwards a journal to Kafka, or stands by.
    fn relay(&self, topic: &'static str, store: &Arc<PostgresStore>, head: watch::Receiver<u64>) {
        let Some(mut kafka) = self.config.kafka() else { return };
        if topic == events::ORDERS {
            (kafka.needed_of_others, kafka.others) = self.beside.written();
        }
        let says = !kafka.needed_of_others.is_empty() || !kafka.others.is_empty();
        let forms: Option<Arc<dyn Forms>> = says.then(|| self.beside.clone() as _);
        let relay = Relay {
            kafka,
            topic,
            forms,
            store: store.clone(),
            head,
            holder: self.holder,
            clock: self.clock.clone(),
            health: self.kafka.clone(),
        };
        self.intake.spawn(vital("relay", relay.run(self.stop_intake.clone())));
    }

    /// Keeps the search index. One on a search server is kept by one process at a time.
    fn index(&self, stores: &Stores, head: &watch::Receiver<u64>) {
        let Some(Search { index, state: Some(state), .. }) = self.search.clone() else { return };
        let indexer = Indexer::new(stores.orders.clone(), head.clone(), index, state);
        let (stop, holder) = (self.stop_intake.clone(), self.holder);
        let shared = stores.database.as_ref().filter(|_| self.config.search.server().is_some());
        let shared = shared.map(|database| database.orders.clone());
        self.intake.spawn(vital("indexer", async move {
            match shared {
                Some(store) => {
                    lanes::while_held(&store, Scope::Index, holder, || indexer.run(), stop).await;
                }
                None => until(stop, indexer.run()).await,
            }
        }));
    }

    /// Tells an old order service that stays how far its orders are.
    fn report(&self, store: &Arc<PostgresStore>, head: &watch::Receiver<u64>) {
        let settings = &self.config.dialects.order_processing;
        if settings.stays != Stays::Front || !self.config.dialects.serves(order_processing::NAME) {
            return;
        }
        let reports = Reports {
            dialect: order_processing::NAME,
            url: settings.front_url.clone(),
            tell: order_processing::told,
            store: store.clone(),
            head: head.clone(),
            holder: self.holder,
        };
        self.intake.spawn(vital("reports", reports.run(self.stop_intake.clone())));
    }

    /// Has processes on one database wake each other.
    fn ring(&self, stores: &Stores, heads: &Heads) {
        let Some(database) = &stores.database else { return };
        let rope = |kind, head: &watch::Sender<u64>| Rope { kind, head: head.clone() };
        let ropes = vec![
            rope(StoreKind::Orders, &heads.orders),
            rope(StoreKind::Payments, &heads.payments),
            rope(StoreKind::Fulfillment, &heads.fulfillment),
        ];
        let (ring, stop) = (ring(database.options.clone(), ropes, LOOK_UNTOLD), self.stop_intake.clone());
        self.intake.spawn(vital("bell", until(stop, ring)));
    }

    /// What a service reads of its sources here: all, or what it holds leases of.
    fn lanes(&self, store: Option<&Arc<PostgresStore>>) -> Lanes {
        let Some(store) = store else { return Lanes::whole() };
        let (lanes, keep) = lanes::shared(store.clone(), self.holder, self.stop_intake.clone());
        self.intake.spawn(vital("leases", keep));
        lanes
    }

    /// Starts a service: its loop, its task runner and its readers.
    async fn service<L: Logic + 'static>(
        &mut self,
        logic: L,
        store: &Arc<dyn Store>,
        bus: Bus,
        head: watch::Sender<u64>,
    ) -> Result<Started<L>, StartError> {
        let stats = store.stats().await?;
        let state = Arc::new(ServiceState::default());
        let (intakes, inbox): (Intakes<L>, Inbox<L>) = inbox(state.clone());
        let store: Arc<dyn Store> = Arc::new(Watched { service: L::NAME, inner: store.clone() });
        let services = self.config.services();
        let is_paused = self.config.workers.paused.iter().any(|paused| paused == L::NAME);
        if is_paused {
            tracing::warn!(service = L::NAME, "is paused (setting workers.paused)");
        }
        let (pause, paused) = watch::channel(is_paused);
        let settings = RunnerSettings {
            service: L::NAME,
            max_calls: self.config.providers.max_calls,
            lease: services.lease,
            paused: paused.clone(),
        };
        let (runner, tasks) = Runner::new(
            store.clone(),
            self.clock.clone(),
            self.outside.providers.clone(),
            settings,
            intakes.results.clone(),
        );
        let (reading, readings) = watch::channel(0);
        let engine = Engine::new(
            logic,
            store.clone(),
            self.clock.clone(),
            Box::new(SystemIds),
            services,
            stats.open_orders,
        );
        let (settled_to, settled) = mpsc::unbounded_channel();
        let around = Surroundings {
            store: store.clone(),
            head,
            reading,
            settled: matches!(bus, Bus::Kafka(..)).then_some(settled_to),
            runner: tasks,
            state: state.clone(),
            paced: self.config.postgres().is_some(),
        };
        self.loops.spawn(vital(L::NAME, service::run(engine, inbox, around, self.stop_loops.clone())));
        self.intake.spawn(vital("task runner", runner.run(self.stop_intake.clone())));
        let retention = Duration::from_secs(u64::from(self.config.idempotency.retention_days) * 24 * 3600);
        let forget = sweeper::forget(store.clone(), self.clock.clone(), retention, self.stop_intake.clone());
        self.intake.spawn(vital("forgetting", forget));
        let reads = bus.topics();
        match bus {
            Bus::Journals(sources, lanes) => {
                for source in sources {
                    let reader = Reader {
                        consumer: store.clone(),
                        lanes: lanes.clone(),
                        reading: readings.clone(),
                        paused: paused.clone(),
                        to: intakes.deliveries.clone(),
                        state: state.clone(),
                    };
                    let follow = journal::follow(source, reader, self.stop_intake.clone());
                    self.intake.spawn(vital("bus", follow));
                }
            }
            Bus::Kafka(kafka, topics) => {
                let reader = consumer::Reader {
                    service: L::NAME,
                    topics,
                    reading: readings.clone(),
                    settled,
                    paused: paused.clone(),
                    to: intakes.deliveries.clone(),
                    state: state.clone(),
                    health: self.kafka.clone(),
                };
                let follow = consumer::follow(kafka, reader, self.stop_intake.clone());
                self.intake.spawn(vital("bus", follow));
            }
        }
        // Orders takes commands, which nobody pauses.
        let paused = (L::NAME != events::ORDERS).then(|| Arc::new(pause));
        let shared = self.config.postgres().is_some();
        self.services.push(Handle {
            name: L::NAME,
            store,
            state,
            words: intakes.words,
            reads,
            shared,
            paused,
        });
        Ok(Started { commands: intakes.commands, sweeps: intakes.sweeps })
    }

    /// Starts the sweeper.
    fn sweep(&self, store: &Arc<dyn Store>, to: mpsc::Sender<OrderId>) {
        let sweeper = sweeper::run(store.clone(), self.clock.clone(), to, self.stop_intake.clone());
        self.intake.spawn(vital("sweeper", sweeper));
    }

    /// Looks at the gauges and the free disk now and then. The answer tells whether there is room for new orders.
    fn watch(&self, stores: &Stores) -> Arc<AtomicBool> {
        let config = &self.config;
        let enough = Arc::new(AtomicBool::new(has_room(config)));
        let mut gauges = Gauges::new(self.services.clone(), stores.topics(), self.clock.clone());
        let (config, stop, room) = (config.clone(), self.stop_intake.clone(), enough.clone());
        self.intake.spawn(async move {
            loop {
                room.store(has_room(&config), Ordering::Relaxed);
                let looked = async {
                    gauges.look().await;
                    tokio::time::sleep(LOOK_EVERY).await;
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = looked => {}
                }
            }
        });
        enough
    }

    /// Answers everything from now on.
    pub fn answer(&mut self, serving: &Serving, stores: &Stores, prometheus: Option<PrometheusHandle>) {
        let enough_disk = self.watch(stores);
        let components = self.components(&enough_disk);
        let api = Arc::new(Api {
            orders: self.orders.clone().unwrap_or_else(Commands::nobody),
            store: stores.orders.clone(),
            topics: stores.topics(),
            clock: self.clock.clone(),
            services: self.services.clone(),
            retries: Retries::new(self.clock.clone(), self.stop_intake.clone()),
            components,
            enough_disk,
            about: About {
                system: stores.system,
                simulated: Simulated {
                    payments: self.config.payments.is_simulated(),
                    carrier: self.config.carrier.is_simulated(),
                },
            },
            controls: self.outside.controls.clone(),
            scenarios: self.outside.scenarios.clone(),
            dialects: self.config.dialects.clone(),
            search: self.search.clone(),
            metrics: prometheus,
        });
        let admin_here = self.config.admin.enabled && serving.admin.is_none();
        let serves = match (self.roles.has(Role::Orders), admin_here) {
            (true, true) => Serves::All,
            (true, false) => Serves::Public,
            (false, true) => Serves::Admin,
            (false, false) => Serves::Health,
        };
        let old = |port| http::old_port(&api, port);
        let (admin, search) = (http::router(api.clone(), Serves::Admin), http::search_port(&api));
        serving.answer(http::router(api.clone(), serves), admin, search, old);
    }

    /// What health shows.
    fn components(&mut self, enough_disk: &Arc<AtomicBool>) -> Vec<Component> {
        let mut components: Vec<Component> = self
            .services
            .iter()
            .map(|service| {
                let service = service.clone();
                let name = service.name.to_owned();
                let check = move || match (service.state.is_failing(), service.is_paused()) {
                    (true, _) => State::Failing("its store can't be written".to_owned()),
                    (false, true) => State::Note("paused".to_owned()),
                    (false, false) => service.state.lagging().map_or(State::Well, State::Note),
                };
                Component { name, check: Box::new(check) }
            })
            .collect();
        let disk = enough_disk.clone();
        let check = move || State::unless(!disk.load(Ordering::Relaxed), "the disk is nearly full");
        components.push(Component { name: "disk".to_owned(), check: Box::new(check) });
        if self.config.kafka().is_some() {
            // Orders are taken without it; everybody else has nothing to do.
            let (kafka, takes_orders) = (self.kafka.clone(), self.roles.has(Role::Orders));
            let state =
                move |trouble| if takes_orders { State::Note(trouble) } else { State::Failing(trouble) };
            let check = move || kafka.trouble().map_or(State::Well, &state);
            components.push(Component { name: http::KAFKA.to_owned(), check: Box::new(check) });
        }
        if let Some(state) = self.search.as_ref().and_then(|search| search.state.clone()) {
            // Nothing but searching needs it.
            let check = move || state.trouble().map_or(State::Well, State::Note);
            components.push(Component { name: "search".to_owned(), check: Box::new(check) });
        }
        components.append(&mut self.outside.components);
        components
    }
}

/// What goes on until told to stop.
async fn until(stop: CancellationToken, part: impl Future<Output = ()> + Send) {
    tokio::select! {
        () = part => {}
        () = stop.cancelled() => {}
    }
}

/// A part that the others rely on: if it panics, the process ends rather than take orders that nobody works on. What
/// is durable is taken up again by the next start.
async fn vital(name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
    if let Err(error) = tokio::spawn(part).await
        && error.is_panic()
    {
        tracing::error!(part = name, %error, "a part of the system panicked: please report this; ending the process");
        std::process::abort();
    }
}

fn has_room(config: &Config) -> bool {
    match rustix::fs::statvfs(&config.data.dir) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            metrics::disk_free(free);
            free / (1024 * 1024) >= config.data.min_free_mb
        }
        Err(_) => true, // unknown; a full disk shows itself at the next commit
    }
}

struct SystemIds;

impl Ids for SystemIds {
    fn next(&mut self) -> Uuid {
        Uuid::now_v7()
    }
}
