//! Do the files of a data directory belong together? A store restored alone from a backup does not fit the others.

use cartwright_core::ports::{Cursor, Store, StoreError};
use uuid::Uuid;

/// Compares how far `consumer` has read with what its sources hold; cursors of sources not named are not looked at.
///
/// # Errors
/// [`CursorMismatch`] when a cursor can't belong to its source, or when a store can't be read.
pub async fn check_cursors(
    consumer: &dyn Store,
    sources: &[(&str, &dyn Store)],
) -> Result<(), CursorMismatch> {
    let cursors = consumer.cursors().await?;
    for (name, source) in sources {
        let (oldest, head) = source.journal_bounds().await?;
        for cursor in cursors.iter().filter(|c| &*c.source == *name) {
            fits(cursor, source.incarnation(), oldest, head)?;
        }
    }
    Ok(())
}

/// Why the files of a data directory are not taken to belong together.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CursorMismatch {
    /// It was made against another incarnation of the source.
    #[error(
        "the cursor at position {position} of `{origin}` belongs to journal {read}, but that store's journal is {found}: \
         the files were restored from different times; restore all of them from one backup"
    )]
    Incarnation {
        /// The source.
        origin: String,
        /// How far it was read.
        position: u64,
        /// The journal that was read.
        read: Uuid,
        /// The journal that is there.
        found: Uuid,
    },
    /// It has read what the source does not hold yet.
    #[error(
        "the cursor stands at position {position} of `{origin}`, but that journal ends at {head}: the files were restored \
         from different times; restore all of them from one backup"
    )]
    Ahead {
        /// The source.
        origin: String,
        /// How far it was read.
        position: u64,
        /// Where the journal ends.
        head: u64,
    },
    /// What it needs next is no longer there.
    #[error(
        "the cursor stands at position {position} of `{origin}`, but that journal begins at {oldest}: events in between were \
         dropped or the files were restored from different times; restore all of them from one backup"
    )]
    Expired {
        /// The source.
        origin: String,
        /// How far it was read.
        position: u64,
        /// Where the journal begins.
        oldest: u64,
    },
    /// A store could not be read, so nobody knows.
    #[error("the cursors could not be checked: {0}")]
    Unread(#[from] StoreError),
}

pub(crate) fn fits(cursor: &Cursor, incarnation: Uuid, oldest: u64, head: u64) -> Result<(), CursorMismatch> {
    let origin = cursor.source.to_string();
    let position = cursor.position;
    if cursor.incarnation != incarnation {
        return Err(CursorMismatch::Incarnation {
            origin,
            position,
            read: cursor.incarnation,
            found: incarnation,
        });
    }
    if position > head {
        return Err(CursorMismatch::Ahead { origin, position, head });
    }
    if position.saturating_add(1) < oldest {
        return Err(CursorMismatch::Expired { origin, position, oldest });
    }
    Ok(())
}
