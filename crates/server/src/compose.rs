//! Puts the system together. The only module that knows adapters.
//!
//! * `roles` … what a process does. `listeners` … where it answers.
//! * `stores` … files or a database. `outside` … providers. `assembly` … the loops and what goes between them.

mod assembly;
mod listeners;
mod outside;
mod roles;
mod search;
mod stores;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use cartwright_core::ports::{Store, StoreError};
use cartwright_store::{OpenError, postgres::DatabaseError, sqlite::SqliteOptions};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::roles::{Role, Roles};
use self::{
    assembly::Assembly,
    listeners::{Listeners, Serving},
    outside::Outside,
    stores::Stores,
};
use crate::{
    config::Config,
    control::Mode,
    http::dialects::OldPort,
    providers::{LedgerError, SwitchError, UrlError},
};

/// How long stopping may take before what is left is left to the next start.
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// The system, running.
pub struct System {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Where the operator's calls are, if they have a listener of their own.
    pub admin: Option<SocketAddr>,
    /// Where older systems are spoken for.
    pub old: Vec<(OldPort, SocketAddr)>,
    /// The URL of the index that is searched as on a search server.
    pub search: Option<String>,
    /// What this process does of it.
    pub roles: Roles,
    /// Where the files are.
    pub data: PathBuf,
    /// What the names of its schemas begin with, if it is on a database.
    pub schema: Option<String>,
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
    stores: Vec<Arc<dyn Store>>,
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
    /// The database, or a schema of it.
    #[error("{0} (setting database.url)")]
    Database(#[from] DatabaseError),
    /// A role that this system has no use for.
    #[error("wrong roles ({role}): {why}")]
    Role {
        /// Which.
        role: Role,
        /// Why not.
        why: &'static str,
    },
    /// The stores do not belong together.
    #[error("{place} don't belong together: {error}")]
    Cursors {
        /// Where.
        place: String,
        /// Why not.
        error: cartwright_store::CursorMismatch,
    },
    /// The ledger of the simulated providers.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// How the providers were switched.
    #[error(transparent)]
    Switches(#[from] SwitchError),
    /// The search server.
    #[error("the setting search.{0}")]
    SearchServer(#[from] cartwright_search::elastic::SettingsError),
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

/// Starts all roles in this process.
///
/// # Errors
/// [`StartError`] says what is in the way and what to do. A database that is not there yet is waited for.
pub async fn start(config: &Config, prometheus: Option<PrometheusHandle>) -> Result<System, StartError> {
    start_with(config, &Roles::all(config), prometheus, &SqliteOptions::default()).await
}

/// As [`start`], with these roles only, and with other options for files: tests put them on a disk of their own.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    config: &Config,
    roles: &Roles,
    prometheus: Option<PrometheusHandle>,
    options: &SqliteOptions,
) -> Result<System, StartError> {
    roles.check(config)?;
    let stop_intake = CancellationToken::new();
    let unstarted = stop_intake.clone().drop_guard();
    let serving = Serving::start(config, Listeners::bind(config, roles).await?, &stop_intake);
    let stores = Stores::open(config, options, &serving).await?;
    let open_orders = stores.orders.stats().await?.open_orders;
    let outside = {
        let (config, database, system) = (config.clone(), stores.database.clone(), stores.system);
        let open = move || Outside::open(&config, database.as_ref(), system, open_orders);
        tokio::task::spawn_blocking(open).await.map_err(std::io::Error::from).map_err(LedgerError::from)??
    };
    let told = outside.controls.told();
    let held = outside.held.iter().cloned().chain(paused(config, roles)).collect();
    let search = search::open(config, roles)?;
    let mut assembly = Assembly::new(config, roles, outside, search, stores.clock().await, stop_intake);
    assembly.build(&stores).await?;
    assembly.answer(&serving, &stores, prometheus);
    unstarted.disarm();
    Ok(System {
        address: serving.address,
        admin: serving.admin,
        old: serving.old.clone(),
        search: serving.search.map(|address| format!("http://{address}/{}", config.search.index)),
        roles: roles.clone(),
        data: config.data.dir.clone(),
        schema: stores.database.map(|database| database.options.schema),
        simulated: (config.payments.is_simulated(), config.carrier.is_simulated()),
        told,
        held,
        stop_intake: assembly.stop_intake,
        stop_loops: assembly.stop_loops,
        intake: assembly.intake,
        loops: assembly.loops,
        stores: vec![stores.orders, stores.payments, stores.fulfillment],
        server: serving.server,
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
fn paused(config: &Config, roles: &Roles) -> impl Iterator<Item = Held> {
    let ours = config.workers.paused.iter().filter(|service| roles.run(service));
    ours.map(|service| Held {
        what: format!("{service} is paused (setting workers.paused): what it is asked for waits"),
        path: format!("/v1/admin/services/{service}"),
        undo: r#"{"paused":false}"#,
    })
}
