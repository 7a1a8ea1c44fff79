//! What is copied: the tables of a store, and their rows in the form in which PostgreSQL takes and gives them (that of
//! binary COPY). A row has the same bytes on both sides, so these are what is compared, too.

use std::borrow::Cow;

use rusqlite::{Row, types::ValueRef};

use self::Kind::{Bytes, Flag, Integer, Text, Uuid};

/// What PostgreSQL calls the values of a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Integer,
    Text,
    Bytes,
    Flag,
    Uuid,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name in the database.
    pub(super) name: &'static str,
    /// Its columns there.
    columns: &'static [(&'static str, Kind)],
    /// How its rows are read from the file, in the order of `key`; `None`: as they are called there.
    read: Option<&'static str>,
    /// What orders its rows.
    key: &'static str,
    /// How many rows the file has.
    pub(super) count: &'static str,
}

/// All of them. What is not here begins empty: leases, members, batches that somebody may still ask for.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "head",
        columns: &[("position", Integer), ("open_orders", Integer), ("tasks", Integer), ("parked", Integer)],
        read: None,
        key: "position",
        count: "SELECT 1",
    },
    Table {
        name: "numbers",
        columns: &[("number", Integer)],
        read: Some("SELECT number FROM head"),
        key: "number",
        count: "SELECT 1",
    },
    Table {
        name: "record",
        columns: &[
            ("key", Integer),
            ("id", Text),
            ("revision", Integer),
            ("schema", Integer),
            ("history", Integer),
            ("parked", Integer),
            ("counted", Flag),
            ("number", Integer),
            ("channel", Text),
            ("external_id", Text),
            ("customer", Text),
            ("created_at", Integer),
            ("record", Bytes),
        ],
        read: None,
        key: "key",
        count: "SELECT count(*) FROM record",
    },
    Table {
        name: "stage",
        columns: &[
            ("key", Integer),
            ("number", Integer),
            ("counted", Flag),
            ("status", Text),
            ("milestone", Text),
            ("flow", Text),
            ("created_at", Integer),
            ("updated_at", Integer),
            ("sweep_at", Integer),
        ],
        // A part of the file's `record`.
        read: Some(
            "SELECT key, number, counted, status, milestone, flow, created_at, updated_at, sweep_at FROM record
             WHERE number IS NOT NULL ORDER BY key",
        ),
        key: "key",
        count: "SELECT count(number) FROM record",
    },
    Table {
        name: "journal",
        columns: &[("position", Integer), ("topic", Text), ("key", Text), ("headers", Bytes), ("value", Bytes)],
        read: None,
        key: "position",
        // Positions have no gaps; counting rows would read all of it.
        count: "SELECT coalesce(max(position) - min(position) + 1, 0) FROM journal",
    },
    Table {
        name: "history",
        columns: &[("record", Integer), ("n", Integer), ("position", Integer), ("value", Bytes)],
        read: None,
        key: "record, n",
        count: "SELECT coalesce(sum(history), 0) FROM record",
    },
    Table {
        name: "task",
        columns: &[
            ("id", Text),
            ("order_id", Text),
            ("due_at", Integer),
            ("ready_at", Integer),
            ("attempts", Integer),
            ("work", Text),
        ],
        // As at every start of a system that was stopped: nobody has a lease.
        read: Some("SELECT id, order_id, due_at, due_at, attempts, work FROM task ORDER BY id"),
        key: "id",
        count: "SELECT count(*) FROM task",
    },
    Table {
        name: "answer",
        columns: &[
            ("order_id", Text),
            ("caller", Text),
            ("idempotency", Text),
            ("saved_at", Integer),
            ("fingerprint", Bytes),
            ("record", Bytes),
        ],
        read: None,
        key: "order_id, caller, idempotency",
        count: "SELECT count(*) FROM answer",
    },
    Table {
        name: "parked",
        columns: &[
            ("arrival", Integer),
            ("record", Integer),
            ("source", Text),
            ("lane", Integer),
            ("position", Integer),
            ("incarnation", Uuid),
            ("key", Bytes),
            ("headers", Bytes),
            ("event_id", Uuid),
            ("reason", Text),
            ("parked_at", Integer),
            ("value", Bytes),
        ],
        read: None,
        key: "arrival",
        count: "SELECT count(*) FROM parked",
    },
    Table {
        name: "cursor",
        columns: &[("source", Text), ("lane", Integer), ("incarnation", Uuid), ("position", Integer)],
        // A process that has the files to itself reads in one lane; in the database, each lane begins where that one was.
        read: Some(
            "WITH RECURSIVE lanes (lane) AS (SELECT 0 UNION ALL SELECT lane + 1 FROM lanes WHERE lane + 1 < ?1)
             SELECT source, lanes.lane, incarnation, position FROM cursor JOIN lanes WHERE cursor.lane = 0
             ORDER BY source, lanes.lane",
        ),
        key: "source, lane",
        count: "SELECT count(*) FROM cursor",
    },
];

impl Table {
    /// Reads all its rows from the file.
    pub(super) fn select(&self) -> Cow<'static, str> {
        match self.read {
            Some(read) => read.into(),
            None => format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.name, self.key).into(),
        }
    }

    /// Writes rows into the database. The table is new to this transaction: nobody else sees its rows before they stand.
    pub(super) fn copy_in(&self) -> String {
        format!("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)", self.name, self.names())
    }

    /// Reads them there.
    pub(super) fn copy_out(&self) -> String {
        let (names, name, key) = (self.names(), self.name, self.key);
        format!("COPY (SELECT {names} FROM {name} ORDER BY {key}) TO STDOUT (FORMAT binary)")
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Puts a row of the file behind what is there; or says what is wrong with it.
    pub(super) fn put(&self, row: &Row<'_>, into: &mut Vec<u8>) -> Result<(), String> {
        into.extend((self.columns.len() as i16).to_be_bytes());
        for (n, (name, kind)) in self.columns.iter().enumerate() {
            let value = row.get_ref(n).map_err(|error| error.to_string())?;
            let wrong = |what: &str| format!("its column {name} {what}");
            match (kind, value) {
                (_, ValueRef::Null) => into.extend((-1_i32).to_be_bytes()),
                (Integer, ValueRef::Integer(number)) => field(&number.to_be_bytes(), into)?,
                (Flag, ValueRef::Integer(number)) => field(&[u8::from(number != 0)], into)?,
                (Text, ValueRef::Text(text)) => {
                    let text = str::from_utf8(text).map_err(|_| wrong("is not text in UTF-8"))?;
                    field(crate::postgres::clean(text).as_bytes(), into)?;
                }
                (Bytes, ValueRef::Blob(bytes)) => field(bytes, into)?,
                (Uuid, ValueRef::Blob(bytes)) if bytes.len() == 16 => field(bytes, into)?,
                _ => return Err(wrong("holds what it can't hold")),
            }
        }
        Ok(())
    }
}

fn field(bytes: &[u8], into: &mut Vec<u8>) -> Result<(), String> {
    let length = i32::try_from(bytes.len()).map_err(|_| "a value of it is too long".to_owned())?;
    into.extend(length.to_be_bytes());
    into.extend(bytes);
    Ok(())
}
