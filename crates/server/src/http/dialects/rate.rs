//! How often a client may ask.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::extract::{ConnectInfo, Request};

/// The time in which requests are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// So many requests in each second from each address, as the old systems count them.
pub struct Limit {
    most: u32,
    seen: Mutex<Seen>,
}

struct Seen {
    since: Instant,
    clients: HashMap<IpAddr, u32>,
}

impl Limit {
    /// So many.
    pub fn of(most: u32) -> Arc<Self> {
        let seen = Seen { since: Instant::now(), clients: HashMap::new() };
        Arc::new(Self { most, seen: Mutex::new(seen) })
    }

    /// Whether this request may go on.
    pub fn allows(&self, request: &Request) -> bool {
        let client = request.extensions().get::<ConnectInfo<SocketAddr>>();
        match client {
            Some(ConnectInfo(client)) => self.counts(client.ip(), Instant::now()),
            None => true, // by no listener of ours
        }
    }

    fn counts(&self, client: IpAddr, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(seen.since) >= WINDOW {
            *seen = Seen { since: now, clients: HashMap::new() };
        }
        let count = seen.clients.entry(client).or_default();
        *count = count.saturating_add(1);
        *count <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_may_ask_so_often_in_a_second() {
        let (limit, now) = (Limit::of(2), Instant::now());
        let asks = |host: u8, later: u64| {
            limit.counts(IpAddr::from([127, 0, 0, host]), now + Duration::from_millis(later))
        };
        assert_eq!([asks(1, 0), asks(1, 1), asks(1, 2), asks(2, 3)], [true, true, false, true]);
        assert!(asks(1, 1_500));
    }
}
