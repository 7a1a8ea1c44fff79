//! `[dialects]`: which are served, where, and which half of an old system is still at work beside us.

use serde::{Deserialize, Serialize};

/// `[dialects]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Names of dialects that are not served at all.
    pub off: Vec<String>,
    /// Whether the old systems' ports are listened on.
    pub ports: bool,
    /// `[dialects.listen]`
    pub listen: Listen,
    /// What stands before the names of their topics.
    pub topic_prefix: String,
    /// `[dialects.order_tracking]`
    pub order_tracking: OrderTracking,
    /// `[dialects.order_processing]`
    pub order_processing: OrderProcessing,
    /// `[dialects.order_fulfilment]`
    pub order_fulfilment: Plain,
    /// `[dialects.cart_dotnet]`
    pub cart_dotnet: Plain,
    /// `[dialects.cart_fastapi]`
    pub cart_fastapi: Plain,
}

/// `[dialects.listen]`: the ports of the old systems; empty: not there.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Of three at once: order-tracking, order-processing and the cart of cart-dotnet.
    pub shared: String,
    /// Of the order service of cart-dotnet.
    pub cart_dotnet_orders: String,
    /// Of order-fulfilment.
    pub order_fulfilment: String,
    /// Of the cart of cart-fastapi.
    pub cart_fastapi: String,
    /// Of its order service.
    pub cart_fastapi_orders: String,
}

/// Which half of an old system stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stays {
    /// None: both are ours.
    #[default]
    None,
    /// Whoever takes the orders: its messages become our orders.
    Front,
    /// Whoever works on them: we leave its steps to it.
    Back,
}

/// What every dialect has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Which half of the old system stays.
    pub stays: Stays,
    /// Whether its topics are written, where there is Kafka.
    pub topics: bool,
}

/// `[dialects.order_tracking]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OrderTracking {
    /// Which half of the old system stays.
    pub stays: Stays,
    /// Whether its topics are written, where there is Kafka.
    pub topics: bool,
    /// How long an order is worked on, in milliseconds.
    pub processing_ms: u32,
}

/// `[dialects.order_processing]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OrderProcessing {
    /// Which half of the old system stays.
    pub stays: Stays,
    /// Whether its topics are written, where there is Kafka.
    pub topics: bool,
    /// How names are written on its topic.
    pub letters: Letters,
    /// Requests that a client may make in a second; 0: any number.
    pub rate: u32,
    /// Where the old order service is, which is told how far orders are; for `stays = "front"`.
    pub front_url: String,
}

/// How names are written on a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Letters {
    /// As whoever reads them wants them: `Pascal` where the old back stays, `camel` else.
    #[default]
    Auto,
    /// `orderId`
    Camel,
    /// `OrderId`
    Pascal,
}

impl Settings {
    /// Whether a dialect is served.
    pub fn serves(&self, name: &str) -> bool {
        !self.off.iter().any(|off| off == name)
    }

    /// What every dialect has, for this one.
    pub fn of(&self, name: &str) -> Plain {
        match name {
            "order-tracking" => {
                Plain { stays: self.order_tracking.stays, topics: self.order_tracking.topics }
            }
            "order-processing" => {
                Plain { stays: self.order_processing.stays, topics: self.order_processing.topics }
            }
            "order-fulfilment" => self.order_fulfilment,
            "cart-dotnet" => self.cart_dotnet,
            "cart-fastapi" => self.cart_fastapi,
            _ => Plain::default(),
        }
    }
}
