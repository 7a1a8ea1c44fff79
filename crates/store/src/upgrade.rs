//! What a start would change in the files of a data directory, or in the schemas of a database; and doing it without
//! starting.

use std::path::Path;

use crate::{
    DataDir, OpenError, STORES, StoreKind,
    postgres::{self, DatabaseError, PostgresOptions, PostgresStore},
    sqlite::{self, SqliteOptions},
};

/// What a start would do with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose store.
    pub store: StoreKind,
    /// Its file, or its schema in the database.
    pub place: String,
    /// What is there; `None`: nothing yet.
    pub found: Option<Found>,
    /// The newest schema that this binary knows.
    pub known: u32,
    /// The migrations that it would run, in their order.
    pub migrations: Vec<String>,
    /// What a binary must know to use the store after it.
    pub oldest_binary: u32,
}

/// What a store says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its schema.
    pub schema: u32,
    /// What a binary must know to use it.
    pub oldest_binary: u32,
}

impl Plan {
    pub(crate) fn new(
        store: StoreKind,
        place: String,
        found: Option<Found>,
        (known, oldest_binary): (u32, u32),
        all: impl IntoIterator<Item = (u32, String)>,
    ) -> Self {
        let schema = found.map_or(0, |found| found.schema);
        let mut migrations: Vec<_> = all.into_iter().filter(|(version, _)| *version > schema).collect();
        migrations.sort();
        // What a newer binary has changed stays as it says itself.
        let oldest_binary = match found {
            Some(found) if found.schema >= known => found.oldest_binary,
            Some(_) | None => oldest_binary,
        };
        let migrations = migrations.into_iter().map(|(_, name)| name).collect();
        Self { store, place, found, known, migrations, oldest_binary }
    }

    /// Whether this binary may use it.
    pub fn is_usable(&self) -> bool {
        self.oldest_binary <= self.known
    }

    /// Whether a binary that knows no more than what is there now can go on, or be started again, after it.
    pub fn keeps_older(&self) -> bool {
        self.found.is_some_and(|found| found.schema >= self.oldest_binary)
    }
}

/// What a start would do with the files of a data directory. Changes nothing, and a system may run on them.
///
/// # Errors
/// As opening them would say.
pub fn plan_files(dir: &Path) -> Result<Vec<Plan>, OpenError> {
    STORES.iter().map(|(kind, name)| sqlite::plan(&dir.join(name), *kind)).collect()
}

/// Does what a start would do with them; files that are missing beside others are not made.
///
/// # Errors
/// As opening them says, and when a system runs on them.
pub fn upgrade_files(dir: &Path) -> Result<(), OpenError> {
    let dir = DataDir::lock(dir)?;
    let files = STORES.map(|(kind, name)| (kind, dir.path().join(name)));
    let none = !files.iter().any(|(_, file)| file.exists());
    for (kind, file) in files.iter().filter(|(_, file)| none || file.exists()) {
        sqlite::settle(file, *kind, &SqliteOptions::default())?;
    }
    Ok(())
}

/// What a start would do with the schemas of a database. Changes nothing, and systems may run on them.
///
/// # Errors
/// As opening them would say.
pub async fn plan_schemas(options: &PostgresOptions) -> Result<Vec<Plan>, DatabaseError> {
    let mut plans = Vec::new();
    for (kind, _) in STORES {
        plans.push(postgres::plan(kind, options).await?);
    }
    Ok(plans)
}

/// Does what a start would do with them. Systems may run on them meanwhile, as far as the plan says so.
///
/// # Errors
/// As opening them says.
pub async fn upgrade_schemas(options: &PostgresOptions) -> Result<(), DatabaseError> {
    for (kind, _) in STORES {
        PostgresStore::open(kind, options).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(found: Option<(u32, u32)>, known: (u32, u32)) -> Plan {
        let all = [(3, "V3__c".to_owned()), (1, "V1__a".to_owned()), (2, "V2__b".to_owned())];
        let found = found.map(|(schema, oldest_binary)| Found { schema, oldest_binary });
        Plan::new(StoreKind::Orders, "orders.db".into(), found, known, all)
    }

    #[test]
    fn a_plan_says_what_is_run_and_who_may_go_on() {
        let fresh = plan(None, (3, 2));
        assert_eq!(fresh.migrations, ["V1__a", "V2__b", "V3__c"]);
        assert!(fresh.is_usable() && !fresh.keeps_older());
        let expanding = plan(Some((2, 1)), (3, 2));
        assert_eq!((&*expanding.migrations, expanding.oldest_binary), (&["V3__c".to_owned()][..], 2));
        assert!(expanding.is_usable() && expanding.keeps_older());
        let contracting = plan(Some((1, 1)), (3, 2));
        assert!(
            contracting.is_usable() && !contracting.keeps_older(),
            "what knows schema 1 only must stop first"
        );
        let same = plan(Some((3, 2)), (3, 2));
        assert!(same.migrations.is_empty() && same.is_usable() && same.keeps_older());
        let newer = plan(Some((4, 3)), (3, 2));
        assert!(newer.migrations.is_empty() && newer.is_usable() && newer.oldest_binary == 3);
        assert!(!plan(Some((5, 4)), (3, 2)).is_usable());
    }
}
