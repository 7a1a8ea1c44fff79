//! Reads a request.
use serde_json::Value;
use super::{Request, Wrong};
pub(super) fn json(body: &[u8]) -> Result<Value, Wrong> {
    serde_json::from_slice(body).map_err(|e| Wrong::parsing(e.to_string()))
}
pub(super) fn search(_: &Value) -> Result<Request, Wrong> { Ok(Request::default()) }
pub(super) fn count(_: &Value) -> Result<Request, Wrong> { Ok(Request::default()) }
