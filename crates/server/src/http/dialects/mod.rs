//! The HTTP forms of older order systems: each room speaks as one of them did, and asks the same services as `/v1`.
//!
//! * One module for each system; [`DIALECTS`] names them. [`ports`]: who is on which of their old ports.
//! * [`aspnet`], [`pydantic`]: how those frameworks bind bodies and tell errors; [`lenient`], [`decimal`], [`dates`]: JSON as
//!   it came.
//! * [`orders`]: placing, finding and listing the orders of a dialect; [`goods`]: what was ordered; [`carts`]: those that carts
//!   make up.
//! * [`paths`]: paths in whatever case. [`settings`]: what operators say about all this.
//! * [`kafka`]: what they say on topics; [`neighbours`]: to whom, and who is heard.
//!
//! An order keeps the dialect by which it came: a dialect finds its own orders only, `/v1` finds all.

mod aspnet;
mod cart_dotnet;
mod cart_fastapi;
mod carts;
mod dates;
mod decimal;
mod documents;
mod goods;
pub mod kafka;
mod lenient;
pub mod neighbours;
mod order_fulfilment;
pub mod order_processing;
mod order_tracking;
mod orders;
mod paths;
mod ports;
mod pydantic;
mod rate;
pub mod settings;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
};
use cartwright_core::domain::order::Order;

use self::{aspnet::Refusal, orders::NotDone, paths::AnyCase};
pub use self::{order_fulfilment::SCENARIO as PAYMENT_SCENARIO, ports::OldPort};
use super::Api;

/// A system that is spoken for.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Its name: what orders keep, and where it is on our own port (`/dialects/<name>`).
    pub name: &'static str,
    /// All its calls, behind a prefix.
    routes: fn(api: &Arc<Api>, prefix: &str) -> Router<Arc<Api>>,
    /// The words of its paths, if they match in any case.
    any_case: &'static [&'static str],
    /// What it says and hears on Kafka.
    kafka: kafka::Form,
    /// Its word for where an order is.
    word: fn(&Order) -> &str,
}

/// All of them.
pub const DIALECTS: [Dialect; 5] = [
    cart_dotnet::DIALECT,
    cart_fastapi::DIALECT,
    order_fulfilment::DIALECT,
    order_processing::DIALECT,
    order_tracking::DIALECT,
];

impl Dialect {
    fn prefix(&self) -> String {
        format!("/dialects/{}", self.name)
    }
}

/// How an order stands, in the word of the dialect by which it came; in ours, if it came by none.
pub fn word(order: &Order) -> &str {
    let name = order.placed.dialect.as_deref();
    let dialect = DIALECTS.iter().find(|dialect| Some(dialect.name) == name);
    dialect.map_or(order.status.as_str(), |dialect| (dialect.word)(order))
}

/// Every dialect that is served, under `/dialects/<name>`.
pub fn mounted(api: &Arc<Api>) -> Router<Arc<Api>> {
    let served = DIALECTS.iter().filter(|dialect| api.dialects.serves(dialect.name));
    served.fold(Router::new(), |all, dialect| all.merge((dialect.routes)(api, &dialect.prefix())))
}

/// Has the paths of dialects match in any case, where those of the old system did.
pub fn in_any_case(router: Router) -> Router {
    let place = |dialect: &Dialect| AnyCase { prefix: dialect.prefix(), words: dialect.any_case.to_vec() };
    let places = DIALECTS.iter().filter(|dialect| !dialect.any_case.is_empty()).map(place);
    paths::in_any_case(router, places.collect())
}

/// Why a call was not answered as it wished.
enum Refused {
    /// It is not as it must be.
    Bad(Refusal),
    /// It could not be done.
    NotDone(NotDone),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Bad(refusal)
    }
}

impl From<NotDone> for Refused {
    fn from(why: NotDone) -> Self {
        Self::NotDone(why)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Bad(refusal) => refusal.into_response(),
            Self::NotDone(why) => orders::unavailable(why),
        }
    }
}
