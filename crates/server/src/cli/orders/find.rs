//! Finding an order by what a person has at hand: its id or its number.

use serde_json::Value;

use super::{
    super::api::{Api, ApiError, path_part},
    show::text,
};

/// What an order is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// It is only looked at: of two orders that a name may mean, the one with this id.
    Looking,
    /// Something is to change: a name that may mean two orders is refused.
    Changing,
}

/// The path of the order that is named so. `#1001` is a number. Anything else is an id first, since ids are the client's
/// to choose, and then a number; what is neither is left as it is, so that the server says that there is none.
pub async fn path(api: &Api, named: &str, purpose: For) -> Result<String, ApiError> {
    let by_id = path_of(named);
    let Some(number) = number(named) else { return Ok(by_id) };
    let is_id = number == named && exists(api, &by_id).await?;
    if is_id && purpose == For::Looking {
        return Ok(by_id);
    }
    match numbered(api, number).await? {
        Some(other) if is_id && other != named => Err(ApiError::Wrong(format!(
            "{named} names two orders: the one with the id {named}, and the one with the number {number}, whose id is {other}. \
             Say '#{number}' for the latter; the former goes by its own number, which `cartwright orders get {named}` shows"
        ))),
        Some(id) => Ok(path_of(&id)),
        None if is_id || number == named => Ok(by_id),
        None => Err(ApiError::Wrong(format!("there is no order with the number {number}"))),
    }
}

/// The id of the order that is named so; there must be one.
pub async fn id(api: &Api, named: &str, purpose: For) -> Result<String, ApiError> {
    let order: Value = api.get(&path(api, named, purpose).await?, &[]).await?;
    Ok(text(&order, "/id").to_owned())
}

fn path_of(id: &str) -> String {
    format!("/v1/orders/{}", path_part(id))
}

/// The number in a name, if it may be one.
fn number(named: &str) -> Option<&str> {
    let digits = named.strip_prefix('#').unwrap_or(named);
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    (all && digits.parse::<u64>().is_ok()).then_some(digits)
}

async fn exists(api: &Api, path: &str) -> Result<bool, ApiError> {
    match api.get_bytes(path, &[]).await {
        Err(error) if error.status() == Some(404) => Ok(false),
        Err(error) => Err(error),
        Ok(_) => Ok(true),
    }
}

/// The id of the order with this number.
async fn numbered(api: &Api, number: &str) -> Result<Option<String>, ApiError> {
    let page: Value = api.get("/v1/orders", &[("number", number.to_owned())]).await?;
    Ok(page.pointer("/orders/0").map(|order| text(order, "/id").to_owned()))
}
