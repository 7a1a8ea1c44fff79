//! SQLite's callbacks. Each one turns pointers into values, asks the [`Disk`], and turns the answer into a code.
#![expect(unsafe_code, reason = "SQLite calls a VFS through C function pointers")]

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    ptr, slice,
    sync::{
        OnceLock,
        atomic::{Ordering, fence},
    },
};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_vfs};

use super::{
    disk::{Busy, Disk, Handle, Opening, Trouble},
    locks::Level,
};

const NAME: &CStr = c"cartwright-power";
/// As `unix` does it: what SQLite takes for a sector, and that a cut harms no bytes beside those being written.
const SECTOR: c_int = 4096;
const TRAITS: c_int = ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE;
const LONGEST_PATH: c_int = 1024;

/// The name of the VFS that finds files on mounted [`Disk`]s. Registers it at the first call.
///
/// # Panics
/// If SQLite does not take it.
pub fn vfs() -> &'static str {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(register);
    assert_eq!(code, ffi::SQLITE_OK, "SQLite takes a VFS");
    NAME.to_str().expect("ASCII")
}

fn register() -> c_int {
    // SAFETY: both functions may be called at any time. The struct is leaked, so it outlives its registration, and
    // what it borrows from the system's VFS (time, sleep, chance) does not depend on which VFS is passed.
    unsafe {
        let system = ffi::sqlite3_vfs_find(ptr::null());
        if system.is_null() {
            return ffi::SQLITE_ERROR;
        }
        let vfs = sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: LONGEST_PATH,
            pNext: ptr::null_mut(),
            zName: NAME.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            ..*system
        };
        ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0)
    }
}

/// What SQLite allocates for an open file; `handle` comes from `Box::into_raw`.
#[repr(C)]
struct File {
    base: sqlite3_file,
    handle: *mut Handle,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

// ---------------------------------------------------------------------------------------------- files by name

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    guarded(|| {
        // SAFETY: SQLite passes `szOsFile` bytes for us to fill. Without methods, it does not call `close`.
        unsafe { (*file).pMethods = ptr::null() };
        // Our connections keep temporary tables in memory: a file without a name would be a surprise.
        // SAFETY: a name is null or a C string that lives during the call.
        let Some(path) = (unsafe { path(name) }) else { return ffi::SQLITE_CANTOPEN };
        let Some(disk) = Disk::of(path) else { return ffi::SQLITE_CANTOPEN };
        let is = |flag| flags & flag != 0;
        let how = Opening {
            create: is(ffi::SQLITE_OPEN_CREATE),
            exclusive: is(ffi::SQLITE_OPEN_EXCLUSIVE),
            delete_on_close: is(ffi::SQLITE_OPEN_DELETEONCLOSE),
            syncs_name: is(ffi::SQLITE_OPEN_MAIN_JOURNAL
                | ffi::SQLITE_OPEN_SUPER_JOURNAL
                | ffi::SQLITE_OPEN_WAL),
        };
        let handle = match disk.open(path, how) {
            Ok(handle) => handle,
            Err(Trouble::Full) => return ffi::SQLITE_FULL,
            Err(Trouble::Io | Trouble::Absent) => return ffi::SQLITE_CANTOPEN,
        };
        // SAFETY: as above; `out_flags` is null or ours to write.
        unsafe {
            (*file.cast::<File>()).handle = Box::into_raw(Box::new(handle));
            (*file).pMethods = &raw const METHODS;
            if !out_flags.is_null() {
                *out_flags = flags;
            }
        }
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    guarded(|| {
        // SAFETY: a name is null or a C string that lives during the call.
        let Some(path) = (unsafe { path(name) }) else { return ffi::SQLITE_IOERR_DELETE };
        let Some(disk) = Disk::of(path) else { return ffi::SQLITE_IOERR_DELETE };
        match disk.delete(path, sync_dir != 0) {
            Ok(()) => ffi::SQLITE_OK,
            Err(Trouble::Absent) => ffi::SQLITE_IOERR_DELETE_NOENT,
            Err(Trouble::Io | Trouble::Full) => ffi::SQLITE_IOERR_DELETE,
        }
    })
}

unsafe extern "C" fn access(_: *mut sqlite3_vfs, name: *const c_char, _: c_int, found: *mut c_int) -> c_int {
    guarded(|| {
        // SAFETY: a name is null or a C string that lives during the call.
        let disk = unsafe { path(name) }.and_then(|path| Some((path, Disk::of(path)?)));
        let Some((path, disk)) = disk else { return ffi::SQLITE_IOERR_ACCESS };
        let Ok(holds) = disk.holds(path) else { return ffi::SQLITE_IOERR_ACCESS };
        // SAFETY: SQLite passes where the answer goes.
        unsafe { *found = c_int::from(holds) };
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn full_path(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    guarded(|| {
        // SAFETY: SQLite passes a C string, and `room` bytes to copy it to.
        unsafe {
            let bytes = CStr::from_ptr(name).to_bytes_with_nul();
            if bytes.len() > room as usize {
                return ffi::SQLITE_CANTOPEN;
            }
            ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
        }
        ffi::SQLITE_OK
    })
}

// -------------------------------------------------------------------------------------------------- open files

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    guarded(|| {
        // SAFETY: `open` made it with `Box::into_raw`, and SQLite closes a file once.
        drop(unsafe { Box::from_raw((*file.cast::<File>()).handle) });
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    len: c_int,
    at: sqlite3_int64,
) -> c_int {
    with(file, |handle| {
        // SAFETY: SQLite passes a buffer of `len` bytes, which nobody else uses during the call.
        let into = unsafe { slice::from_raw_parts_mut(into.cast::<u8>(), len as usize) };
        match handle.read(at as usize, into) {
            Ok(count) if count == into.len() => ffi::SQLITE_OK,
            Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
            Err(_) => ffi::SQLITE_IOERR_READ,
        }
    })
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    len: c_int,
    at: sqlite3_int64,
) -> c_int {
    with(file, |handle| {
        // SAFETY: SQLite passes `len` bytes, which stay as they are during the call.
        let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), len as usize) };
        code(handle.write(at as usize, bytes), ffi::SQLITE_IOERR_WRITE)
    })
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, len: sqlite3_int64) -> c_int {
    with(file, |handle| code(handle.truncate(len as usize), ffi::SQLITE_IOERR_TRUNCATE))
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    with(file, |handle| code(handle.sync(), ffi::SQLITE_IOERR_FSYNC))
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    with(file, |handle| {
        let Ok(len) = handle.len() else { return ffi::SQLITE_IOERR_FSTAT };
        // SAFETY: SQLite passes where the answer goes.
        unsafe { *size = len as sqlite3_int64 };
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    SECTOR
}

unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    TRAITS
}

// -------------------------------------------------------------------------------------------------------- locks

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    with(file, |handle| busy(handle.lock(level_of(level)), ffi::SQLITE_IOERR_LOCK))
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    with(file, |handle| {
        handle.unlock(level_of(level));
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, reserved: *mut c_int) -> c_int {
    with(file, |handle| {
        let Ok(is_reserved) = handle.is_reserved() else { return ffi::SQLITE_IOERR_CHECKRESERVEDLOCK };
        // SAFETY: SQLite passes where the answer goes.
        unsafe { *reserved = c_int::from(is_reserved) };
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    with(file, |handle| {
        let (at, code) = match handle.map(region as usize, bytes as usize, extend != 0) {
            // Atomics, so what SQLite writes through the pointer is allowed; and the handle keeps the region.
            Ok(Some(region)) => (region.as_ptr().cast_mut().cast(), ffi::SQLITE_OK),
            Ok(None) => (ptr::null_mut(), ffi::SQLITE_OK),
            Err(Trouble::Full) => (ptr::null_mut(), ffi::SQLITE_IOERR_SHMSIZE),
            Err(Trouble::Io | Trouble::Absent) => (ptr::null_mut(), ffi::SQLITE_IOERR_SHMMAP),
        };
        // SAFETY: SQLite passes where the answer goes.
        unsafe { *out = at };
        code
    })
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    with(file, |handle| {
        let slots = (((1_u32 << count) - 1) << first) as u8;
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            handle.release(slots);
            return ffi::SQLITE_OK;
        }
        let taken = match flags & ffi::SQLITE_SHM_SHARED != 0 {
            true => handle.share(slots),
            false => handle.take(slots),
        };
        busy(taken, ffi::SQLITE_IOERR_SHMLOCK)
    })
}

unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _: c_int) -> c_int {
    with(file, |handle| {
        handle.unmap();
        ffi::SQLITE_OK
    })
}

// -------------------------------------------------------------------------------------------------------- border

/// Calls `work` with the handle of an open file.
fn with(file: *mut sqlite3_file, work: impl FnOnce(&mut Handle) -> c_int) -> c_int {
    guarded(|| {
        // SAFETY: `open` filled it in, and a connection uses its files from one thread at a time.
        work(unsafe { &mut *(*file.cast::<File>()).handle })
    })
}

/// A panic must not unwind into C. It poisons the disk, so the test hears of it.
fn guarded(work: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(ffi::SQLITE_IOERR)
}

/// # Safety
/// `name` is null or a C string that lives as long as the result is used.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())))
}

fn code(done: Result<(), Trouble>, otherwise: c_int) -> c_int {
    match done {
        Ok(()) => ffi::SQLITE_OK,
        Err(Trouble::Full) => ffi::SQLITE_FULL,
        Err(Trouble::Io | Trouble::Absent) => otherwise,
    }
}

fn busy(taken: Result<Result<(), Busy>, Trouble>, otherwise: c_int) -> c_int {
    match taken {
        Ok(Ok(())) => ffi::SQLITE_OK,
        Ok(Err(Busy)) => ffi::SQLITE_BUSY,
        Err(_) => otherwise,
    }
}

fn level_of(level: c_int) -> Level {
    match level {
        ffi::SQLITE_LOCK_NONE => Level::None,
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        _ => Level::Exclusive,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rusqlite::{Connection, OpenFlags};

    use super::*;

    fn connect(disk: &Arc<Disk>) -> Connection {
        let conn = Connection::open_with_flags_and_vfs(disk.path("test.db"), OpenFlags::default(), vfs());
        conn.expect("a database on the model disk")
    }

    fn count(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a count")
    }

    #[test]
    fn sqlite_works_on_it_in_both_journal_modes() {
        for mode in ["DELETE", "WAL"] {
            let disk = Disk::mount(format!("/model/works/{mode}"), 1);
            let writer = connect(&disk);
            writer.pragma_update(None, "journal_mode", mode).expect("the mode");
            writer.execute_batch("CREATE TABLE t (v BLOB)").expect("a table");
            for _ in 0..50 {
                writer.execute("INSERT INTO t VALUES (randomblob(3000))", []).expect("a row");
            }
            let reader = connect(&disk);
            assert_eq!(count(&reader), 50, "{mode}");
            assert!(disk.changes() > 50, "it was written there");
            let sound: String =
                reader.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
            assert_eq!(sound, "ok");
        }
    }

    #[test]
    fn a_second_writer_and_a_checkpoint_are_kept_out_by_the_locks() {
        let disk = Disk::mount("/model/locks", 1);
        let (one, two) = (connect(&disk), connect(&disk));
        for conn in [&one, &two] {
            conn.busy_timeout(std::time::Duration::ZERO).expect("a setting");
            conn.pragma_update(None, "journal_mode", "WAL").expect("the mode");
        }
        one.execute_batch("CREATE TABLE t (v); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").expect("a write");
        assert_eq!(count(&two), 0, "readers see the last commit");
        let refused = two.execute_batch("BEGIN IMMEDIATE").expect_err("one writer at a time");
        assert_eq!(refused.sqlite_error_code(), Some(ffi::ErrorCode::DatabaseBusy));
        two.execute_batch("BEGIN; SELECT * FROM t").expect("a snapshot");
        one.execute_batch("COMMIT").expect("a commit");
        let checkpoint = |conn: &Connection| {
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
        };
        assert_eq!(checkpoint(&one), Ok(true), "a reader is in the way");
        two.execute_batch("COMMIT").expect("the end of the snapshot");
        assert_eq!(checkpoint(&one), Ok(false));
        assert_eq!(count(&two), 1);
    }

    #[test]
    fn threads_write_side_by_side_without_losing_anything() {
        let disk = Disk::mount("/model/threads", 1);
        let conn = connect(&disk);
        conn.pragma_update(None, "journal_mode", "WAL").expect("the mode");
        conn.execute_batch("CREATE TABLE t (v)").expect("a table");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let conn = connect(&disk);
                    conn.busy_timeout(std::time::Duration::from_secs(60)).expect("a setting");
                    for _ in 0..100 {
                        conn.execute("INSERT INTO t VALUES (randomblob(100))", []).expect("a row");
                    }
                });
            }
        });
        assert_eq!(count(&conn), 400);
    }

    #[test]
    fn a_full_disk_and_a_failed_sync_have_sqlites_own_codes() {
        let disk = Disk::mount("/model/codes", 1);
        let conn = connect(&disk);
        conn.pragma_update(None, "journal_mode", "WAL").expect("the mode");
        conn.execute_batch("CREATE TABLE t (v BLOB)").expect("a table");
        let insert = || conn.execute("INSERT INTO t VALUES (randomblob(20000))", []);
        disk.leave_room(5_000);
        let full = insert().expect_err("no room").sqlite_error().map(|e| e.extended_code);
        assert_eq!(full, Some(ffi::SQLITE_FULL));
        disk.heal();
        conn.pragma_update(None, "synchronous", "FULL").expect("a setting");
        disk.fail_syncs("-wal", 0, 1);
        let failed = insert().expect_err("not durable").sqlite_error().map(|e| e.extended_code);
        assert_eq!(failed, Some(ffi::SQLITE_IOERR_FSYNC));
        insert().expect("well again");
        assert_eq!(count(&conn), 1);
    }
}
