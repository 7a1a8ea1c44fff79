//! Puts the system together. The only module that knows adapters.

mod outside;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cartwright_core::{
    domain::ids::OrderId,
    events,
    ports::{Clock, Ids, Store, StoreError},
    services::{Engine, Fulfillment, Logic, Orders, Payments},
};
use cartwright_store::{
    DataDir, OpenError, StoreKind, check_cursors,
    sqlite::{SqliteOptions, SqliteStore},
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    bus::journal::{self, Source},
    clock::SystemClock,
    config::Config,
    http::{self, About, Api, Component, Serves, Simulated, serve::serve},
    providers::{LedgerError, SwitchError, UrlError},
    telemetry::metrics,
    workers::{
        inbox::{Commands, Inbox, Intakes, inbox},
        runner::{Runner, RunnerSettings},
        service::{self, ServiceState, Surroundings},
        sweeper,
    },
};

use self::outside::Outside;

/// How long stopping may take before what is left is left to the next start.
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// How often the gauges and the free disk are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Connections to the operator's own listener.
const ADMIN_CONNECTIONS: usize = 64;

/// The system, running.
pub struct System {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Where the operator's calls are, if they have a listener of their own.
    pub admin: Option<SocketAddr>,
    /// Where the files are.
    pub data: PathBuf,
    /// Which of the payment provider and the carrier are simulated.
    pub simulated: (bool, bool),
    stop_intake: CancellationToken,
    stop_loops: CancellationToken,
    intake: TaskTracker,
    loops: TaskTracker,
    stores: Vec<Arc<SqliteStore>>,
    server: JoinHandle<()>,
}

/// Why the system did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error(
        "can't listen on {listen}: another process uses this port. Stop that one, or choose another port (setting \
         {setting}{flag}); `cartwright doctor` says whether it is another Cartwright"
    )]
    PortTaken {
        /// Which setting says so.
        setting: &'static str,
        /// The flag for it, if there is one.
        flag: &'static str,
        /// What was asked for.
        listen: String,
    },
    /// The address is not ours, or the port needs rights that we don't have.
    #[error(
        "can't listen on {listen}: {error}. It must be an address of this machine, such as 127.0.0.1:8080, or \
         0.0.0.0:8080 for all of them, with a port that may be used (from 1024 on); choose another (setting \
         {setting}{flag})"
    )]
    Listen {
        /// Which setting says so.
        setting: &'static str,
        /// The flag for it, if there is one.
        flag: &'static str,
        /// What was asked for.
        listen: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The data directory, or a file in it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The files do not belong together.
    #[error("the files in {dir} don't belong together: {error}")]
    Cursors {
        /// Where.
        dir: String,
        /// Why not.
        error: cartwright_store::CursorMismatch,
    },
    /// The ledger of the simulated providers.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// How the providers were switched.
    #[error(transparent)]
    Switches(#[from] SwitchError),
    /// A provider's address, or what is sent there.
    #[error(
        "the setting {name}.{error}. docs/providers.md says what is needed for {name}.provider = \"http\""
    )]
    Provider {
        /// Which.
        name: &'static str,
        /// What is wrong.
        error: UrlError,
    },
    /// A store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Starts everything on embedded parts.
///
/// # Errors
/// [`StartError`] says what is in the way and what to do.
pub async fn start(config: &Config, prometheus: Option<PrometheusHandle>) -> Result<System, StartError> {
    start_with(config, prometheus, &SqliteOptions::default()).await
}

/// As [`start`], with other options for the stores: tests put them on a disk of their own.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    config: &Config,
    prometheus: Option<PrometheusHandle>,
    options: &SqliteOptions,
) -> Result<System, StartError> {
    let listeners = Listeners::bind(config).await?;
    let dir = Arc::new(DataDir::lock(&config.data.dir)?);
    let stores = Stores::open(&dir, options)?;
    stores.check(config).await?;
    let outside = Outside::open(config, stores.orders.origin())?;
    let mut assembly = Assembly::new(config, outside);
    let (orders_head, orders_bell) = watch::channel(0);
    let (payments_head, payments_bell) = watch::channel(0);
    let (fulfillment_head, fulfillment_bell) = watch::channel(0);
    let source = |topic: &'static str, store: &Arc<SqliteStore>, head: &watch::Receiver<u64>| Source {
        topic: topic.into(),
        store: store.clone(),
        head: head.clone(),
    };
    let from_orders = source(events::ORDERS, &stores.orders, &orders_bell);
    let from_others = [
        source(events::PAYMENTS, &stores.payments, &payments_bell),
        source(events::FULFILLMENT, &stores.fulfillment, &fulfillment_bell),
    ];
    let orders = assembly.service(Orders, &stores.orders, from_others.into(), orders_head).await?;
    assembly.sweep(&stores.orders, orders.sweeps);
    assembly.service(Payments, &stores.payments, vec![from_orders.clone()], payments_head).await?;
    assembly.service(Fulfillment, &stores.fulfillment, vec![from_orders], fulfillment_head).await?;
    let enough_disk = assembly.watch(config, &stores);
    let (address, admin) = (listeners.api.1, listeners.admin.as_ref().map(|(_, address)| *address));
    let server = assembly.serve(listeners, &stores, orders.commands, enough_disk, prometheus);
    Ok(System {
        address,
        admin,
        data: config.data.dir.clone(),
        simulated: (config.payments.is_simulated(), config.carrier.is_simulated()),
        stop_intake: assembly.stop_intake,
        stop_loops: assembly.stop_loops,
        intake: assembly.intake,
        loops: assembly.loops,
        stores: vec![stores.orders, stores.payments, stores.fulfillment],
        server,
    })
}

impl System {
    /// Stops taking in, finishes what was begun, and closes the files. What does not end in time is left to the
    /// next start; nothing is lost by that.
    pub async fn stop(self) {
        self.stop_intake.cancel();
        self.intake.close();
        let ended = async {
            let _ = self.server.await;
            self.intake.wait().await;
        };
        if timeout(STOP_LIMIT / 2, ended).await.is_err() {
            tracing::warn!("some calls are still under way; the next start takes them up again");
        }
        self.stop_loops.cancel();
        self.loops.close();
        if timeout(STOP_LIMIT / 2, self.loops.wait()).await.is_err() {
            tracing::warn!("some work is unfinished; the next start takes it up again");
        }
        // Closing waits for the threads of the files, which must not keep anybody from a second signal.
        let _ = tokio::task::spawn_blocking(move || drop(self.stores)).await;
    }
}

/// The ports that we listen on.
struct Listeners {
    api: (TcpListener, SocketAddr),
    admin: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        let api = listen("http.listen", ", flag --listen 127.0.0.1:PORT", &config.http.listen).await?;
        let admin = match &*config.admin.listen {
            own if config.admin.enabled && !own.is_empty() => Some(listen("admin.listen", "", own).await?),
            _ => None,
        };
        Ok(Self { api, admin })
    }
}

async fn listen(
    setting: &'static str,
    flag: &'static str,
    on: &str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => StartError::PortTaken { setting, flag, listen: on.to_owned() },
        _ => StartError::Listen { setting, flag, listen: on.to_owned(), error },
    };
    let listener = TcpListener::bind(on).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    Ok((listener, address))
}

struct Stores {
    orders: Arc<SqliteStore>,
    payments: Arc<SqliteStore>,
    fulfillment: Arc<SqliteStore>,
}

impl Stores {
    fn open(dir: &Arc<DataDir>, options: &SqliteOptions) -> Result<Self, OpenError> {
        let options = SqliteOptions { dir: Some(dir.clone()), ..options.clone() };
        let open = |name: &str, kind| SqliteStore::open(&dir.path().join(name), kind, &options).map(Arc::new);
        Ok(Self {
            orders: open("orders.db", StoreKind::Orders)?,
            payments: open("payments.db", StoreKind::Payments)?,
            fulfillment: open("fulfillment.db", StoreKind::Fulfillment)?,
        })
    }

    async fn check(&self, config: &Config) -> Result<(), StartError> {
        let mismatch = |error| StartError::Cursors { dir: config.data.dir.display().to_string(), error };
        let orders: [(&str, &dyn Store); 1] = [(events::ORDERS, &*self.orders)];
        let others: [(&str, &dyn Store); 2] =
            [(events::PAYMENTS, &*self.payments), (events::FULFILLMENT, &*self.fulfillment)];
        check_cursors(&*self.orders, &others).await.map_err(mismatch)?;
        check_cursors(&*self.payments, &orders).await.map_err(mismatch)?;
        check_cursors(&*self.fulfillment, &orders).await.map_err(mismatch)
    }

    fn topics(&self) -> Vec<(&'static str, Arc<dyn Store>)> {
        vec![
            (events::ORDERS, self.orders.clone()),
            (events::PAYMENTS, self.payments.clone()),
            (events::FULFILLMENT, self.fulfillment.clone()),
        ]
    }
}

/// What is being put together.
struct Assembly {
    config: Config,
    outside: Outside,
    clock: Arc<dyn Clock>,
    stop_intake: CancellationToken,
    stop_loops: CancellationToken,
    intake: TaskTracker,
    loops: TaskTracker,
    states: Vec<(&'static str, Arc<ServiceState>)>,
}

/// Where a service that runs takes things in.
struct Started<L: Logic> {
    commands: Commands<L>,
    /// `None` while it is paused.
    sweeps: Option<mpsc::Sender<OrderId>>,
}

impl Assembly {
    fn new(config: &Config, outside: Outside) -> Self {
        Self {
            config: config.clone(),
            outside,
            clock: Arc::new(SystemClock::start()),
            stop_intake: CancellationToken::new(),
            stop_loops: CancellationToken::new(),
            intake: TaskTracker::new(),
            loops: TaskTracker::new(),
            states: vec![],
        }
    }

    /// Starts a service: its loop, its task runner and its readers.
    async fn service<L: Logic + 'static>(
        &mut self,
        logic: L,
        store: &Arc<SqliteStore>,
        sources: Vec<Source>,
        head: watch::Sender<u64>,
    ) -> Result<Started<L>, StartError> {
        let stats = store.stats().await?;
        head.send_replace(stats.head);
        let state = Arc::new(ServiceState::default());
        self.states.push((L::NAME, state.clone()));
        let (intakes, inbox): (Intakes<L>, Inbox<L>) = inbox(state.clone());
        let store: Arc<dyn Store> = store.clone();
        let services = self.config.services();
        let settings = RunnerSettings {
            service: L::NAME,
            max_calls: self.config.providers.max_calls,
            lease: services.lease,
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
        let around = Surroundings { store: store.clone(), head, reading, runner: tasks, state };
        self.loops.spawn(vital(L::NAME, service::run(engine, inbox, around, self.stop_loops.clone())));
        if self.config.workers.paused.iter().any(|paused| paused == L::NAME) {
            tracing::warn!(service = L::NAME, "is paused (setting workers.paused)");
            self.loops.spawn(keep_open(intakes.results.clone(), self.stop_loops.clone()));
            return Ok(Started { commands: intakes.commands, sweeps: None });
        }
        self.intake.spawn(vital("task runner", runner.run(self.stop_intake.clone())));
        for source in sources {
            let deliveries = intakes.deliveries.clone();
            let (readings, stop) = (readings.clone(), self.stop_intake.clone());
            self.intake
                .spawn(vital("bus", journal::follow(source, store.clone(), readings, deliveries, stop)));
        }
        Ok(Started { commands: intakes.commands, sweeps: Some(intakes.sweeps) })
    }

    /// Starts the sweeper, unless the service is paused.
    fn sweep(&self, store: &Arc<SqliteStore>, to: Option<mpsc::Sender<OrderId>>) {
        let Some(to) = to else { return };
        let retention = Duration::from_secs(u64::from(self.config.idempotency.retention_days) * 24 * 3600);
        let sweeper =
            sweeper::run(store.clone(), self.clock.clone(), to, retention, self.stop_intake.clone());
        self.intake.spawn(vital("sweeper", sweeper));
    }

    /// Looks at the gauges and the free disk now and then. The answer tells whether there is room for new orders.
    fn watch(&self, config: &Config, stores: &Stores) -> Arc<AtomicBool> {
        let enough = Arc::new(AtomicBool::new(has_room(config)));
        let (config, topics, states) = (config.clone(), stores.topics(), self.states.clone());
        let (stop, room) = (self.stop_intake.clone(), enough.clone());
        self.intake.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                room.store(has_room(&config), Ordering::Relaxed);
                look(&topics, &states).await;
            }
        });
        enough
    }

    fn serve(
        &mut self,
        listeners: Listeners,
        stores: &Stores,
        orders: Commands<Orders>,
        enough_disk: Arc<AtomicBool>,
        prometheus: Option<PrometheusHandle>,
    ) -> JoinHandle<()> {
        let mut components: Vec<Component> = self
            .states
            .iter()
            .map(|(name, state)| {
                let state = state.clone();
                let check = move || state.is_failing().then(|| "its store can't be written".to_owned());
                Component { name: (*name).to_owned(), needed: true, check: Box::new(check) }
            })
            .collect();
        let disk = enough_disk.clone();
        let check = move || (!disk.load(Ordering::Relaxed)).then(|| "the disk is nearly full".to_owned());
        components.push(Component { name: "disk".to_owned(), needed: true, check: Box::new(check) });
        components.append(&mut self.outside.components);
        let api = Api {
            orders,
            store: stores.orders.clone(),
            topics: stores.topics(),
            components,
            enough_disk,
            about: About {
                system: stores.orders.origin(),
                simulated: Simulated {
                    payments: self.config.payments.is_simulated(),
                    carrier: self.config.carrier.is_simulated(),
                },
            },
            controls: self.outside.controls.clone(),
            scenarios: self.outside.scenarios.clone(),
            metrics: prometheus,
        };
        let api = Arc::new(api);
        let limit = self.config.http.max_connections;
        let stop = &self.stop_intake;
        let shared = self.config.admin.enabled && listeners.admin.is_none();
        let serves = if shared { Serves::All } else { Serves::Public };
        let main = serve(listeners.api.0, http::router(api.clone(), serves), limit, stop.clone());
        let admin = listeners.admin.map(|(listener, _)| {
            serve(listener, http::router(api, Serves::Admin), ADMIN_CONNECTIONS, stop.clone())
        });
        tokio::spawn(async move {
            tokio::join!(main, async {
                if let Some(admin) = admin {
                    admin.await;
                }
            });
        })
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

/// Keeps an inbox open that nobody fills.
async fn keep_open<T>(intake: mpsc::Sender<T>, stop: CancellationToken) {
    stop.cancelled().await;
    drop(intake);
}

fn has_room(config: &Config) -> bool {
    match rustix::fs::statvfs(&config.data.dir) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) / (1024 * 1024) >= config.data.min_free_mb,
        Err(_) => true, // unknown; a full disk shows itself at the next commit
    }
}

/// Sets the gauges.
async fn look(topics: &[(&'static str, Arc<dyn Store>)], states: &[(&'static str, Arc<ServiceState>)]) {
    let mut heads = Vec::with_capacity(topics.len());
    for (name, store) in topics {
        if let Ok(stats) = store.stats().await {
            metrics::service(name, stats.tasks, stats.parked);
            heads.push((*name, stats.head));
        }
    }
    for (name, store) in topics {
        for cursor in store.cursors().await.unwrap_or_default() {
            if let Some((_, head)) = heads.iter().find(|(topic, _)| **topic == *cursor.source) {
                metrics::lag(name, cursor.source.to_string(), head.saturating_sub(cursor.position));
            }
        }
    }
    if let Some((_, orders)) = states.iter().find(|(name, _)| *name == events::ORDERS) {
        metrics::open_orders(orders.open_orders());
    }
}

struct SystemIds;

impl Ids for SystemIds {
    fn next(&mut self) -> Uuid {
        Uuid::now_v7()
    }
}
