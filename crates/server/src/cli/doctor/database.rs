//! The database that the stores are in, and what is beside it in the data directory.

use std::time::Duration;

use cartwright_store::postgres::{Inspection, PostgresOptions, inspect, place};

use super::{
    Check,
    files::{self, Journal, misfit},
    server,
};
use crate::{
    config::Config,
    providers::{
        SwitchError, Switches,
        switches::{IN_DATABASE, NOTE},
    },
};

/// Clocks this far apart are wrong: who does which work is agreed by them. Less is the business of time servers.
const APART: Duration = Duration::from_secs(5);

/// Looks at the database; also says whether the server of the settings works on it. `simulated`: some provider writes a
/// ledger in the data directory. And how operators have switched the providers.
pub async fn check(
    config: &Config,
    options: &PostgresOptions,
    simulated: bool,
) -> (Vec<Check>, Result<Switches, SwitchError>, bool) {
    let mut checks = files::place(&config.data);
    let place = place(options);
    let found = match inspect(options).await {
        Ok(found) => found,
        Err(error) => {
            let advice = "check the setting database.url, and whether that server runs and lets us in";
            checks.push(Check::fail("database", format!("{place}: {error}"), advice));
            return (checks, Switches::found(None, ""), false);
        }
    };
    checks.push(Check::ok("database", format!("{place} answers (PostgreSQL {})", found.version)));
    checks.push(clocks(found.clocks_differ));
    checks.push(stores(&found, &options.schema));
    if simulated && !found.stores.is_empty() {
        checks.push(files::ledger(&config.data.dir));
    }
    let runs = match found.stores.first() {
        Some(store) => server::system_at(&config.http.listen).await == Some(store.origin),
        None => false,
    };
    let switched = found.notes.into_iter().find(|(name, _)| name == NOTE).map(|(_, text)| text);
    (checks, Switches::found(switched, IN_DATABASE), runs)
}

fn clocks(apart: Duration) -> Check {
    let found = format!("{:.1} s from the database's", apart.as_secs_f64());
    if apart > APART {
        let advice = "set both clocks (timedatectl): processes whose clocks differ take each other's work";
        Check::warn("clocks", found, advice)
    } else {
        Check::ok("clocks", found)
    }
}

fn stores(found: &Inspection, schema: &str) -> Check {
    let numbers = found.stores.iter().map(|store| format!("{} {}", store.kind, store.schema));
    let numbers = numbers.collect::<Vec<_>>().join(", ");
    match found.stores.len() {
        0 => Check::ok("stores", format!("no schemas {schema}_* yet; `cartwright up` makes them")),
        1 | 2 => {
            let found = format!("of the schemas {schema}_* there is only this: {numbers}");
            Check::fail("stores", found, "the three belong together: restore all of them from one dump")
        }
        _ => {
            let journals: Vec<Journal<'_>> = found
                .stores
                .iter()
                .map(|store| Journal {
                    kind: store.kind,
                    incarnation: store.incarnation,
                    position: store.position,
                    cursors: &store.cursors,
                })
                .collect();
            if let Some(found) = misfit(&journals) {
                return Check::fail("stores", found, "restore all of them from one dump");
            }
            let known = found.known;
            let found = format!("schemas {schema}_*, readable, and they fit together");
            Check::ok("stores", format!("{found} (versions: {numbers}; this binary knows {known})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_told() {
        use super::super::State;
        assert_eq!(clocks(Duration::from_millis(40)).state, State::Ok);
        assert_eq!(clocks(Duration::from_secs(6)).state, State::Warn);
    }
}
