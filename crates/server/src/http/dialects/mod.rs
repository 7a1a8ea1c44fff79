//! The HTTP forms of older order systems: each room speaks as one of them did, and asks the same services as `/v1`.
//!
//! * One module for each system; [`DIALECTS`] names them.
//! * [`aspnet`]: how that framework binds bodies and tells errors; [`lenient`], [`decimal`]: JSON as it came.
//! * [`orders`]: placing, finding and listing the orders of a dialect; [`goods`]: what was ordered.
//! * [`paths`]: paths in whatever case. [`kafka`]: what they say on topics.
//!
//! An order keeps the dialect by which it came: a dialect finds its own orders only, `/v1` finds all.

mod aspnet;
mod cart_dotnet;
mod decimal;
mod documents;
mod goods;
pub mod kafka;
mod lenient;
mod order_fulfilment;
mod order_tracking;
mod orders;
mod paths;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
};

use self::{aspnet::Refusal, orders::NotDone, paths::AnyCase};
use super::Api;

/// A system that is spoken for.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Its name: what orders keep, and where it is on our own port (`/dialects/<name>`).
    pub name: &'static str,
    routes: fn(prefix: &str) -> Router<Arc<Api>>,
    /// The words of its paths, if they match in any case.
    any_case: &'static [&'static str],
}

/// All of them.
pub const DIALECTS: [Dialect; 3] = [cart_dotnet::DIALECT, order_fulfilment::DIALECT, order_tracking::DIALECT];

impl Dialect {
    fn prefix(&self) -> String {
        format!("/dialects/{}", self.name)
    }
}

/// Every dialect under `/dialects/<name>`.
pub fn mounted() -> Router<Arc<Api>> {
    DIALECTS.iter().fold(Router::new(), |all, dialect| all.merge((dialect.routes)(&dialect.prefix())))
}

/// Has the paths of dialects match in any case, where those of the old system did.
pub fn in_any_case(router: Router) -> Router {
    let place = |dialect: &Dialect| AnyCase { prefix: dialect.prefix(), words: dialect.any_case };
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
