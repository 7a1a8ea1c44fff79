//! `[payments]`, `[carrier]` and `[providers]`: who is asked, how, and when again.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    control::SwitchWish,
    providers::{BreakerSettings, GateSettings, HttpSettings},
};

/// `[payments]`, `[carrier]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Who is asked.
    pub provider: ProviderKind,
    /// Where, for `http`.
    pub url: String,
    /// Milliseconds of one exchange.
    pub timeout_ms: u64,
    /// Sent as `Authorization: Bearer …`.
    pub token: Secret,
    /// Further headers.
    pub headers: BTreeMap<String, Secret>,
    /// Whether calls are made from the start.
    pub enabled: bool,
    /// Calls per second; 0: without a limit.
    pub rate: f64,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// A part of this process that behaves like a provider.
    Simulated,
    /// Somebody who answers over HTTP.
    Http,
}

/// `[providers.breaker]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Calls in a row without a known outcome.
    pub after: u32,
    /// How long it stays open the first time.
    pub open_ms: u64,
    /// How long at most.
    pub max_open_ms: u64,
}

/// A text that is never shown.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Provider {
    /// How it is asked over HTTP.
    pub fn http(&self) -> HttpSettings {
        HttpSettings {
            url: self.url.clone(),
            timeout: Duration::from_millis(self.timeout_ms),
            token: self.token.0.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect(),
        }
    }

    /// How its calls are let through.
    pub fn gate(&self, all: &super::ProviderCalls) -> GateSettings {
        GateSettings {
            provider: self.provider.as_str(),
            at_start: SwitchWish {
                enabled: self.enabled,
                rate: Some((self.rate > 0.0).then_some(self.rate)),
            },
            breaker: BreakerSettings {
                after: all.breaker.after,
                open: Duration::from_millis(all.breaker.open_ms),
                max_open: Duration::from_millis(all.breaker.max_open_ms),
            },
            shortest_wait: Duration::from_millis(all.held_back_ms),
        }
    }

    /// Whether it is simulated.
    pub fn is_simulated(&self) -> bool {
        self.provider == ProviderKind::Simulated
    }
}

impl ProviderKind {
    /// Its word in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Http => "http",
        }
    }
}

impl Secret {
    /// The text itself, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // The text of an error would show the value.
        String::deserialize(from)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("this must be a text in quotes"))
    }
}
