//! Finding an order by what a person has at hand: its id or its number.

use serde_json::Value;

use super::{
    super::api::{Api, ApiError, path_part},
    show::text,
};

/// The path of the order that is named so. An id wins over a number, since ids are the client's to choose; what is
/// neither is left as it is, so that the server says that there is none.
pub async fn path(api: &Api, named: &str) -> Result<String, ApiError> {
    let by_id = format!("/v1/orders/{}", path_part(named));
    if named.is_empty() || !named.bytes().all(|byte| byte.is_ascii_digit()) || named.parse::<u64>().is_err() {
        return Ok(by_id);
    }
    match api.get_bytes(&by_id, &[]).await {
        Err(error) if error.status() == Some(404) => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(by_id),
    }
    let page: Value = api.get("/v1/orders", &[("number", named.to_owned())]).await?;
    Ok(match page.pointer("/orders/0") {
        Some(order) => format!("/v1/orders/{}", path_part(text(order, "/id"))),
        None => by_id,
    })
}
