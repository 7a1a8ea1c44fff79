//! Puts the system together. The only module that knows adapters.

mod outside;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
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
    sqlite::{SqliteOptions, SqliteStore, inspect},
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
    control::Mode,
    http::{
        self, About, Api, Component, Serves, Simulated, State,
        serve::{Patience, serve},
    },
    providers::{LedgerError, SwitchError, UrlError},
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
    /// The simulated providers that somebody told, before this start, to be otherwise than up.
    pub told: Vec<(&'static str, Mode)>,
    /// What else holds work back from the start, and what undoes it.
    pub held: Vec<Held>,
    stop_intake: CancellationToken,
    stop_loops: CancellationToken,
    intake: TaskTracker,
    loops: TaskTracker,
    stores: Vec<Arc<SqliteStore>>,
    server: JoinHandle<()>,
}

/// Something that holds work back.
#[derive(Clone, Debug)]
pub struct Held {
    /// What, and what it means.
    pub what: String,
    /// The path that takes the undoing by PUT.
    pub path: String,
    /// What is put there.
    pub undo: &'static str,
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
    /// A service's file is gone, and others are there.
    #[error(
        "{missing} is missing in {dir}, while the other services' files are there and know of orders: put it back, or \
         restore a backup (cartwright restore BACKUP --data NEW). Nothing was written"
    )]
    Missing {
        /// Where.
        dir: String,
        /// Which.
        missing: String,
    },
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
    /// Another provider than the one that has worked on the open orders.
    #[error(
        "{open_orders} orders are open that {name}.provider = \"{was}\" has worked on; with \"{now}\", what it did for them \
         could not be undone. Start with \"{was}\" (an adapter may have another url) until no order is open; or, if its \
         books are settled by hand, set \"kind\" to \"{now}\" for {name} in providers.json in the data directory"
    )]
    ProviderChanged {
        /// Which.
        name: &'static str,
        /// Who has worked on them.
        was: &'static str,
        /// Who would from now on.
        now: &'static str,
        /// How many.
        open_orders: u64,
    },
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
    all_there(dir.path())?;
    let stores = Stores::open(&dir, options)?;
    stores.check(config).await?;
    let open_orders = stores.orders.stats().await?.open_orders;
    let outside = Outside::open(config, stores.orders.origin(), open_orders)?;
    let told = outside.controls.told();
    let held = outside.held.iter().cloned().chain(paused(config)).collect();
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
    let enough_disk = assembly.watch(config);
    let (address, admin) = (listeners.api.1, listeners.admin.as_ref().map(|(_, address)| *address));
    let server = assembly.serve(listeners, &stores, orders.commands, enough_disk, prometheus);
    Ok(System {
        address,
        admin,
        data: config.data.dir.clone(),
        simulated: (config.payments.is_simulated(), config.carrier.is_simulated()),
        told,
        held,
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

/// The services that begin paused.
fn paused(config: &Config) -> impl Iterator<Item = Held> {
    config.workers.paused.iter().map(|service| Held {
        what: format!("{service} is paused (setting workers.paused): what it is asked for waits"),
        path: format!("/v1/admin/services/{service}"),
        undo: r#"{"paused":false}"#,
    })
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

/// The services' files.
const FILES: [(StoreKind, &str); 3] = [
    (StoreKind::Orders, "orders.db"),
    (StoreKind::Payments, "payments.db"),
    (StoreKind::Fulfillment, "fulfillment.db"),
];

/// A file is made only where nothing has happened yet: also if the first start was interrupted.
fn all_there(dir: &Path) -> Result<(), StartError> {
    let (there, missing): (Vec<_>, Vec<_>) = FILES.iter().partition(|(_, name)| dir.join(name).exists());
    let used = |(kind, name): &(StoreKind, &str)| {
        inspect(&dir.join(name), *kind).is_ok_and(|file| file.position > 0 || !file.cursors.is_empty())
    };
    if missing.is_empty() || !there.into_iter().any(used) {
        return Ok(());
    }
    let missing = missing.into_iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    Err(StartError::Missing { dir: dir.display().to_string(), missing })
}

struct Stores {
    orders: Arc<SqliteStore>,
    payments: Arc<SqliteStore>,
    fulfillment: Arc<SqliteStore>,
}

impl Stores {
    fn open(dir: &Arc<DataDir>, options: &SqliteOptions) -> Result<Self, OpenError> {
        let options = SqliteOptions { dir: Some(dir.clone()), ..options.clone() };
        let open =
            |(kind, name): (_, &str)| SqliteStore::open(&dir.path().join(name), kind, &options).map(Arc::new);
        let [orders, payments, fulfillment] = FILES;
        Ok(Self { orders: open(orders)?, payments: open(payments)?, fulfillment: open(fulfillment)? })
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
    services: Vec<Handle>,
}

/// Where a service that runs takes things in.
struct Started<L: Logic> {
    commands: Commands<L>,
    sweeps: mpsc::Sender<OrderId>,
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
            services: vec![],
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
        let around =
            Surroundings { store: store.clone(), head, reading, runner: tasks, state: state.clone() };
        self.loops.spawn(vital(L::NAME, service::run(engine, inbox, around, self.stop_loops.clone())));
        self.intake.spawn(vital("task runner", runner.run(self.stop_intake.clone())));
        let reads = sources.iter().map(|source| source.topic.clone()).collect();
        for source in sources {
            let deliveries = intakes.deliveries.clone();
            let (readings, paused, stop) = (readings.clone(), paused.clone(), self.stop_intake.clone());
            let reader = journal::follow(source, store.clone(), readings, paused, deliveries, stop);
            self.intake.spawn(vital("bus", reader));
        }
        // Orders takes commands, which nobody pauses.
        let paused = (L::NAME != events::ORDERS).then(|| Arc::new(pause));
        self.services.push(Handle { name: L::NAME, store, state, words: intakes.words, reads, paused });
        Ok(Started { commands: intakes.commands, sweeps: intakes.sweeps })
    }

    /// Starts the sweeper.
    fn sweep(&self, store: &Arc<SqliteStore>, to: mpsc::Sender<OrderId>) {
        let retention = Duration::from_secs(u64::from(self.config.idempotency.retention_days) * 24 * 3600);
        let sweeper =
            sweeper::run(store.clone(), self.clock.clone(), to, retention, self.stop_intake.clone());
        self.intake.spawn(vital("sweeper", sweeper));
    }

    /// Looks at the gauges and the free disk now and then. The answer tells whether there is room for new orders.
    fn watch(&self, config: &Config) -> Arc<AtomicBool> {
        let enough = Arc::new(AtomicBool::new(has_room(config)));
        let mut gauges = Gauges::new(self.services.clone(), self.clock.clone());
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

    fn serve(
        &mut self,
        listeners: Listeners,
        stores: &Stores,
        orders: Commands<Orders>,
        enough_disk: Arc<AtomicBool>,
        prometheus: Option<PrometheusHandle>,
    ) -> JoinHandle<()> {
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
        components.append(&mut self.outside.components);
        let api = Api {
            orders,
            store: stores.orders.clone(),
            topics: stores.topics(),
            clock: self.clock.clone(),
            services: self.services.clone(),
            retries: Retries::new(self.clock.clone(), self.stop_intake.clone()),
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
        let main = serve(
            "api",
            listeners.api.0,
            http::router(api.clone(), serves),
            limit,
            Patience::default(),
            stop.clone(),
        );
        let admin = listeners.admin.map(|(listener, _)| {
            let router = http::router(api, Serves::Admin);
            serve("admin", listener, router, ADMIN_CONNECTIONS, Patience::default(), stop.clone())
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
