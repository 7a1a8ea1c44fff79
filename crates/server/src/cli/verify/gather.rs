//! Where `verify` gets its facts: the clients' files, the server's orders, the providers' ledger.

use std::{borrow::Cow, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::Deserialize;

use super::{
    super::api::{Api, ApiError, path_part},
    judge::{Facts, Flow, Status, Stored, Trace},
};

/// Orders on one page.
const PAGE: &str = "200";

/// Orders asked for once more by id before they are called missing.
const MAX_RECHECKS: usize = 10_000;

/// Pages all orders of the server into the facts.
pub async fn read_orders(api: &Api, facts: &mut Facts) -> Result<(), ApiError> {
    let mut cursor = None;
    loop {
        let body = page(api, cursor, None).await?;
        let page: Page<'_> = api.read(&body)?;
        for order in &page.orders {
            order.note(facts);
        }
        facts.unreadable(page.unreadable);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// Whether any order is still on its way to a final state.
pub async fn is_any_waiting(api: &Api) -> Result<bool, ApiError> {
    let mut cursor = None;
    loop {
        let body = page(api, cursor, Some("open")).await?;
        let page: Page<'_> = api.read(&body)?;
        if page.orders.iter().any(|order| order.stored().is_waiting()) {
            return Ok(true);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(false);
        }
    }
}

/// Asks for what seems to be missing by its id: it may be younger than our reading of the list.
pub async fn recheck_missing(api: &Api, facts: &mut Facts) -> Result<(), ApiError> {
    for id in facts.missing(MAX_RECHECKS) {
        match api.get_bytes(&format!("/v1/orders/{}", path_part(&id)), &[]).await {
            Ok(body) => api.read::<Order<'_>>(&body)?.note(facts),
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whose ledger this is; `None` if it does not say so.
pub fn system_of_ledger(file: &Path) -> rusqlite::Result<Option<String>> {
    let ledger = open(file)?;
    let signed: bool =
        ledger.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')", [], |row| {
            row.get(0)
        })?;
    if !signed {
        return Ok(None);
    }
    ledger.query_row("SELECT value FROM meta WHERE name = 'system'", [], |row| row.get(0)).optional()
}

/// Reads every effect of the providers' ledger into the facts.
pub fn read_ledger(file: &Path, facts: &mut Facts) -> rusqlite::Result<()> {
    let ledger = open(file)?;
    let mut effects = ledger.prepare(
        "SELECT order_id, kind, EXISTS (SELECT 1 FROM effects AS undo WHERE undo.undoes = effects.operation) \
         FROM effects",
    )?;
    let mut rows = effects.query([])?;
    while let Some(row) = rows.next()? {
        let trace = match (row.get_ref(1)?.as_str()?, row.get::<_, bool>(2)?) {
            ("authorize", false) => Trace::LiveCharge,
            ("ship", false) => Trace::LiveShipment,
            _ => Trace::Settled,
        };
        facts.effect(row.get_ref(0)?.as_str()?, trace);
    }
    Ok(())
}

/// We open the file ourselves, and only to read.
fn open(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let ledger = Connection::open_with_flags(file, flags)?;
    ledger.busy_timeout(Duration::from_secs(10))?;
    Ok(ledger)
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    orders: Vec<Order<'a>>,
    next: Option<String>,
    /// Orders of this page whose records can't be read.
    #[serde(default)]
    unreadable: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    flow: Cow<'a, str>,
    #[serde(borrow, default)]
    milestone: Cow<'a, str>,
    #[serde(default)]
    on_hold: bool,
    #[serde(borrow, default)]
    waiting_for: Option<WaitingFor<'a>>,
    #[serde(default)]
    neighbours: Vec<String>,
}

#[derive(Deserialize)]
struct WaitingFor<'a> {
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
}

impl Order<'_> {
    fn stored(&self) -> Stored {
        // A status that we don't know is not final to us.
        let status = Status::parse(&self.status).unwrap_or(Status::Open);
        // What others do stands in no ledger of ours.
        let flow = if self.neighbours.is_empty() { Flow::parse(&self.flow) } else { Flow::Other };
        Stored { status, flow }
    }

    fn note(&self, facts: &mut Facts) {
        let stored = self.stored();
        facts.stored(&self.id, stored, stored.is_waiting().then(|| self.waits_for()));
    }

    fn waits_for(&self) -> String {
        if self.on_hold {
            return "on hold".into();
        }
        let Some(waiting) = &self.waiting_for else { return format!("after {}", self.milestone) };
        let text = |part: &Option<Cow<'_, str>>| part.as_deref().unwrap_or("").to_owned();
        let (what, reason) =
            (format!("{} {}", text(&waiting.kind), text(&waiting.state)), text(&waiting.reason));
        let what = what.trim();
        if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") }
    }
}

async fn page(
    api: &Api,
    cursor: Option<String>,
    status: Option<&str>,
) -> Result<hyper::body::Bytes, ApiError> {
    let mut query = vec![("limit", PAGE.to_owned())];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    query.extend(status.map(|status| ("status", status.to_owned())));
    api.get_bytes("/v1/orders", &query).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_what_it_waits_for() {
        let waits = |json: &str| serde_json::from_str::<Order<'_>>(json).unwrap().waits_for();
        let order = r#""id":"a","status":"open","flow":"standard","milestone":"authorized""#;
        assert_eq!(waits(&format!("{{{order}}}")), "after authorized");
        assert_eq!(waits(&format!(r#"{{{order},"onHold":true,"waitingFor":null}}"#)), "on hold");
        let waiting = r#""waitingFor":{"step":"a:1","kind":"pay","state":"retrying","reason":"timed out","nextTryAt":null}"#;
        assert_eq!(waits(&format!("{{{order},{waiting}}}")), "pay retrying: timed out");
    }

    #[test]
    fn what_neighbours_do_is_looked_for_in_no_ledger() {
        let flow = |json: &str| serde_json::from_str::<Order<'_>>(json).unwrap().stored().flow;
        let order = r#""id":"a","status":"completed","flow":"ship-only""#;
        assert_eq!(flow(&format!("{{{order}}}")), Flow::ShipOnly);
        assert_eq!(flow(&format!(r#"{{{order},"neighbours":["ship"]}}"#)), Flow::Other);
    }
}
