//! Roles: what one process does of the whole system.

use std::{collections::BTreeSet, fmt, str::FromStr};

use cartwright_core::events;

use super::StartError;
use crate::config::Config;

/// A part of the system that a process can take on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes orders over HTTP and leads them through their flows.
    Orders,
    /// Has orders paid.
    Payments,
    /// Has orders shipped.
    Fulfillment,
    /// Forwards the journals to Kafka.
    Relay,
    /// Keeps the search index.
    Indexer,
}

/// The roles of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Role {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Orders, Self::Payments, Self::Fulfillment, Self::Relay, Self::Indexer];

    /// Its word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => events::ORDERS,
            Self::Payments => events::PAYMENTS,
            Self::Fulfillment => events::FULFILLMENT,
            Self::Relay => "relay",
            Self::Indexer => "indexer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str).join(", ");
            format!("it must be one of {words}")
        })
    }
}

impl Roles {
    /// These.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Self {
        Self(roles.into_iter().collect())
    }

    /// Everything that a system with these settings has.
    pub fn all(config: &Config) -> Self {
        Self::new(Role::ALL.into_iter().filter(|role| match role {
            Role::Relay => config.kafka().is_some(),
            Role::Indexer => config.search.enabled,
            Role::Orders | Role::Payments | Role::Fulfillment => true,
        }))
    }

    /// Whether this one is among them.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether the service of this name runs here.
    pub fn run(&self, service: &str) -> bool {
        self.0.iter().any(|role| role.as_str() == service)
    }

    /// Files have one process, which must do everything; and without Kafka there is nothing to forward to.
    pub(super) fn check(&self, config: &Config) -> Result<(), StartError> {
        let missing = Self::all(config).0.into_iter().find(|role| !self.has(*role));
        match missing {
            Some(role) if config.postgres().is_none() => {
                let why = "it is missing, and on files one process has all roles: use `cartwright up`, or set database.url";
                Err(StartError::Role { role, why })
            }
            _ if self.has(Role::Relay) && config.kafka().is_none() => {
                let why =
                    "without kafka.brokers the services read each other's journals, and nothing is forwarded";
                Err(StartError::Role { role: Role::Relay, why })
            }
            _ if self.has(Role::Indexer) && !config.search.enabled => {
                Err(StartError::Role { role: Role::Indexer, why: "search.enabled is false" })
            }
            _ if self.has(Role::Indexer) && config.search.server().is_none() && !self.has(Role::Orders) => {
                let why = "without search.url the index is in this process, where nobody could search it: add the role \
                    orders, or set search.url";
                Err(StartError::Role { role: Role::Indexer, why })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|role| role.as_str()).collect();
        f.write_str(&words.join(", "))
    }
}
