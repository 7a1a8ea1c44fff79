//! The old systems' ports, and who is there. Three systems share one: they are told apart as their contracts say.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, Uri},
    response::Response,
    routing::{get, post},
};

use super::{
    DIALECTS, Refused, aspnet, cart_dotnet, cart_fastapi, documents, order_fulfilment, order_processing,
    order_tracking, orders,
    paths::{self, AnyCase},
    settings::Listen,
};
use crate::http::Api;

/// A port of an old system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldPort {
    /// Of order-tracking, order-processing and the cart of cart-dotnet.
    Shared,
    /// Of the order service of cart-dotnet.
    CartDotnetOrders,
    /// Of order-fulfilment.
    OrderFulfilment,
    /// Of the cart of cart-fastapi.
    CartFastapi,
    /// Of its order service.
    CartFastapiOrders,
}

impl OldPort {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Shared,
        Self::CartDotnetOrders,
        Self::OrderFulfilment,
        Self::CartFastapi,
        Self::CartFastapiOrders,
    ];

    /// The setting that says where it is.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Shared => "dialects.listen.shared",
            Self::CartDotnetOrders => "dialects.listen.cart_dotnet_orders",
            Self::OrderFulfilment => "dialects.listen.order_fulfilment",
            Self::CartFastapi => "dialects.listen.cart_fastapi",
            Self::CartFastapiOrders => "dialects.listen.cart_fastapi_orders",
        }
    }

    /// Where it is by that setting; empty: nowhere.
    pub fn listen(self, listen: &Listen) -> &str {
        match self {
            Self::Shared => &listen.shared,
            Self::CartDotnetOrders => &listen.cart_dotnet_orders,
            Self::OrderFulfilment => &listen.order_fulfilment,
            Self::CartFastapi => &listen.cart_fastapi,
            Self::CartFastapiOrders => &listen.cart_fastapi_orders,
        }
    }

    /// The dialects that are spoken there.
    pub const fn dialects(self) -> &'static [&'static str] {
        match self {
            Self::Shared => &[order_tracking::NAME, order_processing::NAME, cart_dotnet::NAME],
            Self::CartDotnetOrders => &[cart_dotnet::NAME],
            Self::OrderFulfilment => &[order_fulfilment::NAME],
            Self::CartFastapi | Self::CartFastapiOrders => &[cart_fastapi::NAME],
        }
    }

    /// What is answered there.
    pub fn router(self, api: &Arc<Api>) -> Router<Arc<Api>> {
        match self {
            Self::Shared => shared(api),
            Self::CartDotnetOrders => cart_dotnet::order_service(""),
            Self::OrderFulfilment => order_fulfilment::routes(api, ""),
            Self::CartFastapi => cart_fastapi::on_its_own("", cart_fastapi::cart("")),
            Self::CartFastapiOrders => cart_fastapi::on_its_own("", cart_fastapi::order_service("")),
        }
    }

    /// Has its paths match in any case, where those of its systems did.
    pub fn in_any_case(self, router: Router) -> Router {
        let here = DIALECTS.iter().filter(|dialect| self.dialects().contains(&dialect.name));
        let words: Vec<_> = here.flat_map(|dialect| dialect.any_case).copied().collect();
        paths::in_any_case(router, vec![AnyCase { prefix: String::new(), words }])
    }
}

fn shared(api: &Arc<Api>) -> Router<Arc<Api>> {
    let serves = |name| api.dialects.serves(name);
    let router = match (serves(order_tracking::NAME), serves(order_processing::NAME)) {
        (true, true) => {
            let orders = Router::new()
                .route("/api/orders", post(place).get(order_tracking::all))
                .route("/api/orders/{id}", get(one));
            order_processing::at_its_rate(api, orders)
                .merge(order_tracking::beside(""))
                .merge(order_processing::beside(api, ""))
        }
        (true, false) => order_tracking::routes(api, ""),
        (false, true) => order_processing::routes(api, "").merge(documents::page("")),
        (false, false) => Router::new(),
    };
    if serves(cart_dotnet::NAME) { router.merge(cart_dotnet::cart("")) } else { router }
}

/// Either's order, by what the body holds.
async fn place(
    state: State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let tracked = body
        .as_ref()
        .ok()
        .and_then(|body| aspnet::object(body).ok())
        .is_some_and(|body| ["userId", "productName", "price"].into_iter().any(|name| body.has(name)));
    if tracked {
        order_tracking::place(state, headers, body).await
    } else {
        order_processing::place(state, uri, headers, body).await
    }
}

/// Either's order, by how it was placed; one that is unknown is order-tracking's.
async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Response, Refused> {
    match orders::find_text(&api, order_processing::NAME, &id).await? {
        Some(order) => Ok(order_processing::show(&api, &order)),
        None => order_tracking::one(State(api), Path(id)).await,
    }
}
