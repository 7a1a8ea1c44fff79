//! The data directory and the files in it.

use std::path::Path;

use cartwright_store::{
    DataDir, Holder, StoreKind,
    sqlite::{Inspection, inspect},
};
use uuid::Uuid;

use super::Check;
use crate::{config::Data, providers::ledger};

const MIB: u64 = 1024 * 1024;

/// The stores of a data directory.
const STORES: [(StoreKind, &str); 3] = [
    (StoreKind::Orders, "orders.db"),
    (StoreKind::Payments, "payments.db"),
    (StoreKind::Fulfillment, "fulfillment.db"),
];

/// Looks at the directory and the stores in it; also says whether a process has it. `simulated`: some provider writes a
/// ledger there.
pub fn check(data: &Data, simulated: bool) -> (Vec<Check>, bool) {
    let dir = &data.dir;
    let mut checks = place(data);
    if !dir.exists() {
        return (checks, false);
    }
    let holder = match DataDir::holder(dir) {
        Ok(holder) => {
            checks.push(Check::ok("lock", held(holder)));
            holder
        }
        Err(error) => {
            let advice = "check the rights of the file LOCK in the data directory";
            checks.push(Check::fail("lock", format!("can't be looked at: {error}"), advice));
            None
        }
    };
    checks.extend(stores(dir, holder.is_some(), simulated));
    (checks, holder.is_some())
}

/// Looks at the directory itself.
pub fn place(data: &Data) -> Vec<Check> {
    let dir = &data.dir;
    if !dir.exists() {
        let parent = dir.ancestors().skip(1).find(|above| above.as_os_str().is_empty() || above.exists());
        let parent = parent.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let found = format!("{} does not exist yet; `cartwright up` makes it", dir.display());
        return match may_write(parent) {
            Ok(()) => vec![Check::ok("data directory", found), disk(data, parent)],
            Err(why) => {
                let advice =
                    format!("{} {why}: make it by hand, or choose another with --data", parent.display());
                vec![Check::fail("data directory", found, advice)]
            }
        };
    }
    vec![directory(dir), disk(data, dir)]
}

fn held(holder: Option<Holder>) -> String {
    match holder {
        None => "free: no cartwright has this directory".into(),
        Some(Holder { pid: Some(pid) }) => format!("a cartwright runs on this directory (pid {pid})"),
        Some(Holder { pid: None }) => "a cartwright runs on this directory".into(),
    }
}

fn directory(dir: &Path) -> Check {
    let shown = dir.display();
    if !dir.is_dir() {
        return Check::fail(
            "data directory",
            format!("{shown} is not a directory"),
            "choose another with --data",
        );
    }
    match may_write(dir) {
        Ok(()) => Check::ok("data directory", format!("{shown} is there and may be written")),
        Err(why) => {
            let advice = "give this user the right to write there, or choose another with --data";
            Check::fail("data directory", format!("{shown} {why}"), advice)
        }
    }
}

/// By the rights of the directory; a file system that is read-only shows here, too.
fn may_write(dir: &Path) -> Result<(), String> {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|error| format!("may not be written ({error})"))
}

fn disk(data: &Data, dir: &Path) -> Check {
    let disk = match rustix::fs::statvfs(dir) {
        Ok(disk) => disk,
        Err(error) => {
            return Check::warn("disk", format!("its free space is unknown: {error}"), "look with df");
        }
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) / MIB;
    let found = format!("{free} MB free; new orders are refused below {} MB", data.min_free_mb);
    let advice = "make room, or move the data to a larger disk (setting data.dir)";
    if free < data.min_free_mb {
        Check::fail("disk", found, advice)
    } else if free / 4 < data.min_free_mb {
        Check::warn("disk", found, advice)
    } else {
        Check::ok("disk", found)
    }
}

fn stores(dir: &Path, in_use: bool, simulated: bool) -> Vec<Check> {
    let there: Vec<_> = STORES.iter().filter(|(_, name)| dir.join(name).exists()).collect();
    if there.is_empty() {
        return vec![Check::ok("stores", "none yet; `cartwright up` makes them")];
    }
    if there.len() < STORES.len() {
        let missing = STORES.iter().filter(|store| !there.contains(store)).map(|(_, name)| *name);
        let found = format!("{} is missing", missing.collect::<Vec<_>>().join(", "));
        let advice = "the three belong together: restore all of them from one backup";
        return vec![Check::fail("stores", found, advice)];
    }
    let mut checks = Vec::new();
    let mut inspections = Vec::new();
    for (kind, name) in STORES {
        match inspect(&dir.join(name), kind) {
            Ok(inspection) => inspections.push((kind, inspection)),
            Err(error) => {
                let advice = "if it can't be mended, restore all stores from one backup";
                checks.push(Check::fail("stores", error.to_string(), advice));
            }
        }
    }
    if inspections.len() == STORES.len() {
        checks.push(together(&inspections, in_use));
    }
    if simulated {
        checks.push(ledger(dir));
    }
    checks
}

/// Whether the stores belong together. One that runs has checked that at its start, and reads on meanwhile.
fn together(stores: &[(StoreKind, Inspection)], in_use: bool) -> Check {
    let schemas = stores.iter().map(|(kind, found)| format!("{kind} {}", found.schema));
    let schemas = schemas.collect::<Vec<_>>().join(", ");
    let known = stores.first().map_or(0, |(_, found)| found.known);
    if in_use {
        return Check::ok("stores", format!("readable (schemas: {schemas}; this binary knows {known})"));
    }
    let journals: Vec<Journal<'_>> = stores
        .iter()
        .map(|(kind, found)| Journal {
            kind: *kind,
            incarnation: found.incarnation,
            position: found.position,
            cursors: &found.cursors,
        })
        .collect();
    if let Some(found) = misfit(&journals) {
        return Check::fail("stores", found, "restore all of them from one backup");
    }
    Check::ok(
        "stores",
        format!("readable, and they fit together (schemas: {schemas}; this binary knows {known})"),
    )
}

/// A store's journal, and how far the store has read the others.
pub struct Journal<'a> {
    pub kind: StoreKind,
    pub incarnation: Uuid,
    pub position: u64,
    pub cursors: &'a [(String, Uuid, u64)],
}

/// Why stores don't belong together, if they don't.
pub fn misfit(stores: &[Journal<'_>]) -> Option<String> {
    stores.iter().find_map(|reader| {
        reader.cursors.iter().find_map(|(source, incarnation, position)| {
            let read = stores.iter().find(|store| store.kind.as_str() == source)?;
            let fits = read.incarnation == *incarnation && read.position >= *position;
            let reader = reader.kind;
            (!fits).then(|| {
                format!("{reader} has read what {source} does not hold: they are from different times")
            })
        })
    })
}

/// Whether the simulated providers' own record of what they did is there.
pub fn ledger(dir: &Path) -> Check {
    let file = dir.join(ledger::FILE_NAME);
    if file.exists() {
        return Check::ok("ledger", "of the simulated providers, is there");
    }
    let advice = "`cartwright verify` will miss every charge and shipment; restore it if it was lost";
    Check::warn("ledger", "of the simulated providers, is missing", advice)
}
