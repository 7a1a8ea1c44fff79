//! The ports that we listen on, and what is answered there: first that we are starting, then everything.

use std::net::SocketAddr;

use axum::Router;
use futures_util::future::join_all;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    StartError,
    roles::{Role, Roles},
};
use crate::{
    config::Config,
    http::{
        dialects::OldPort,
        serve::{Patience, serve},
        starting,
    },
};

/// Connections to the operator's own listener.
const ADMIN_CONNECTIONS: usize = 64;

/// The ports that we listen on.
pub struct Listeners {
    pub api: (TcpListener, SocketAddr),
    pub admin: Option<(TcpListener, SocketAddr)>,
    pub old: Vec<(OldPort, TcpListener, SocketAddr)>,
    pub search: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    /// The ports of older systems only where orders are taken, that of a search server where we are one; whichever of them
    /// can't be had is left out.
    pub async fn bind(config: &Config, roles: &Roles) -> Result<Self, StartError> {
        let takes_orders = roles.has(Role::Orders);
        let api = listen("http.listen", ", flag --listen 127.0.0.1:PORT", &config.http.listen).await?;
        let admin = match &*config.admin.listen {
            own if config.admin.enabled && !own.is_empty() => Some(listen("admin.listen", "", own).await?),
            _ => None,
        };
        let mut old = Vec::new();
        let dialects = &config.dialects;
        let spoken = |port: &OldPort| port.dialects().iter().any(|name| dialects.serves(name));
        for port in OldPort::ALL.iter().filter(|port| takes_orders && dialects.ports && spoken(port)) {
            let on = port.listen(&dialects.listen);
            if on.is_empty() {
                continue;
            }
            let whose = port.dialects().join(", ");
            let had = listen_if_possible(on, &whose, port.setting()).await;
            old.extend(had.map(|(listener, address)| (*port, listener, address)));
        }
        let search = match &*config.search.listen {
            "" => None,
            on if roles.has(Role::Indexer) && config.search.server().is_none() => {
                listen_if_possible(on, "searches", "search.listen").await
            }
            _ => None,
        };
        Ok(Self { api, admin, old, search })
    }
}

/// A port that the system can do without.
async fn listen_if_possible(on: &str, whose: &str, setting: &str) -> Option<(TcpListener, SocketAddr)> {
    match TcpListener::bind(on).await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
        Ok((address, listener)) => Some((listener, address)),
        Err(error) => {
            tracing::warn!(
                "{on} can't be had for {whose}: {error}. It is left out; the setting {setting} moves it"
            );
            None
        }
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

/// What listens and answers.
pub struct Serving {
    /// Where the API is.
    pub address: SocketAddr,
    /// Where the operator's calls are, if they have a listener of their own.
    pub admin: Option<SocketAddr>,
    api_router: watch::Sender<Router>,
    admin_router: watch::Sender<Router>,
    /// Where older systems are spoken for.
    pub old: Vec<(OldPort, SocketAddr)>,
    old_routers: Vec<watch::Sender<Router>>,
    /// Where orders are searched as on a search server.
    pub search: Option<SocketAddr>,
    search_router: watch::Sender<Router>,
    /// Ends after it was told to stop.
    pub server: JoinHandle<()>,
}

impl Serving {
    /// Answers from now on that we are starting.
    pub fn start(config: &Config, listeners: Listeners, stop: &CancellationToken) -> Self {
        let (api_router, routes) = watch::channel(starting::router(None));
        let (admin_router, admin_routes) = watch::channel(starting::router(None));
        let (api, address) = listeners.api;
        let (stop, limit) = (stop.clone(), config.http.max_connections);
        let (search_router, search_routes) = watch::channel(starting::router(None));
        let (mut old, mut old_routers, mut beside) = (vec![], vec![], vec![]);
        for (port, listener, address) in listeners.old {
            let (router, routes) = watch::channel(starting::router(None));
            old.push((port, address));
            old_routers.push(router);
            beside.push(serve("dialects", listener, routes, limit, Patience::default(), stop.clone()));
        }
        let search = listeners.search.as_ref().map(|(_, address)| *address);
        beside.extend(listeners.search.map(|(listener, _)| {
            serve("search", listener, search_routes, limit, Patience::default(), stop.clone())
        }));
        let main = serve("api", api, routes, limit, Patience::default(), stop.clone());
        let own = listeners.admin.as_ref().map(|(_, address)| *address);
        let admin = listeners.admin.map(|(listener, _)| {
            serve("admin", listener, admin_routes, ADMIN_CONNECTIONS, Patience::default(), stop)
        });
        let server = tokio::spawn(async move {
            tokio::join!(main, join_all(beside), async {
                if let Some(admin) = admin {
                    admin.await;
                }
            });
        });
        Self {
            address,
            admin: own,
            api_router,
            admin_router,
            old,
            old_routers,
            search,
            search_router,
            server,
        }
    }

    /// Says what is waited for.
    pub fn waits_for(&self, what: &str) {
        drop(self.api_router.send_replace(starting::router(Some(what))));
        drop(self.admin_router.send_replace(starting::router(Some(what))));
        drop(self.search_router.send_replace(starting::router(Some(what))));
        for old in &self.old_routers {
            drop(old.send_replace(starting::router(Some(what))));
        }
    }

    /// Answers everything from now on.
    pub fn answer(&self, api: Router, admin: Router, search: Router, old: impl Fn(OldPort) -> Router) {
        drop(self.search_router.send_replace(search));
        for ((port, _), router) in self.old.iter().zip(&self.old_routers) {
            drop(router.send_replace(old(*port)));
        }
        drop(self.api_router.send_replace(api));
        drop(self.admin_router.send_replace(admin));
    }
}
