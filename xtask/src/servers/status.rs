//! What the servers are doing.

use std::path::PathBuf;

use serde::Serialize;

use super::{ALL, Name, Server, place::Place};
use crate::{
    Failure,
    table::{table, text},
};

/// Prints them, for people or for machines.
///
/// # Errors
/// Nothing says where they are.
pub fn show(json: bool) -> Result<(), Failure> {
    let place = Place::chosen()?;
    let rows = ALL.into_iter().map(|name| status(name, name.server(&place).as_ref()));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", shown(&rows));
    }
    Ok(())
}

/// One row of the status.
#[derive(Debug, Serialize)]
struct Status {
    server: &'static str,
    version: Option<String>,
    address: String,
    pid: Option<u32>,
    state: State,
    data: PathBuf,
    log: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It answers.
    Up,
    /// It runs, and does not answer, or not yet.
    Silent,
    /// It does not run.
    Down,
}

fn status(name: Name, server: &dyn Server) -> Result<Status, Failure> {
    let running = server.running();
    let state = match &running {
        Some(running) if server.answers(running.port) => State::Up,
        Some(_) => State::Silent,
        None => State::Down,
    };
    let port = running.as_ref().map_or_else(|| name.port(), |running| Ok(running.port))?;
    Ok(Status {
        server: name.text(),
        version: server.version(),
        address: name.url(port),
        pid: running.map(|running| running.process.id()),
        state,
        data: server.data(),
        log: server.log(),
    })
}

fn shown(rows: &[Status]) -> String {
    let mut shown = table(&["server", "version", "state", "pid", "address", "data", "log"], &[3]);
    for row in rows {
        let state = match row.state {
            State::Up => "up",
            State::Silent => "silent",
            State::Down => "down",
        };
        shown.add_row([
            row.server.to_owned(),
            row.version.clone().unwrap_or_else(|| "-".to_owned()),
            state.to_owned(),
            row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            row.address.clone(),
            row.data.display().to_string(),
            row.log.display().to_string(),
        ]);
    }
    text(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: State, pid: Option<u32>) -> Status {
        Status {
            server: "postgres",
            version: pid.map(|_| "15.18".to_owned()),
            address: Name::Postgres.url(25432),
            pid,
            state,
            data: "/s/data".into(),
            log: "/s/log".into(),
        }
    }

    #[test]
    fn the_status_is_a_table_for_people_and_json_for_machines() {
        let rows = [row(State::Up, Some(4711)), row(State::Down, None)];
        let address = "postgres://postgres@127.0.0.1:25432/postgres";
        let expected = format!(
            "server    version  state   pid  address                                       data     log\n\
             postgres  15.18    up     4711  {address}  /s/data  /s/log\n\
             postgres  -        down      -  {address}  /s/data  /s/log\n"
        );
        assert_eq!(shown(&rows), expected);
        let json = serde_json::to_value(&rows).unwrap();
        assert_eq!(json[0]["state"], "up");
        assert_eq!(json[0]["pid"], 4711);
        assert!(json[1]["pid"].is_null());
    }
}
