//! The model disk: files, their names, who has them open, and what goes wrong.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicU64},
};

use super::{
    Dice,
    content::Content,
    directory::Directory,
    locks::{Level, Locks, Slots},
};

/// A disk, mounted at a directory. Files in it exist here only.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    state: Mutex<State>,
}

/// The disks that SQLite can find by the paths of their files.
static MOUNTED: Mutex<Vec<Weak<Disk>>> = Mutex::new(Vec::new());

impl Disk {
    /// An empty disk for the files of `dir`, until it is dropped. `dir` must be nobody else's, and need not exist.
    pub fn mount(dir: impl Into<PathBuf>, seed: u64) -> Arc<Self> {
        let disk = Arc::new(Self { dir: dir.into(), state: Mutex::new(State::new(seed)) });
        let mut mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        mounted.retain(|disk| disk.strong_count() > 0);
        mounted.push(Arc::downgrade(&disk));
        disk
    }

    /// The path of a file on it.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Cuts the power now. Whatever has a file open gets nothing but errors from here on.
    pub fn cut(&self) {
        self.state().cut();
    }

    /// Cuts the power in the middle of a [`Change`] to come, after `changes` more.
    pub fn cut_after(&self, changes: u64) {
        self.state().faults.ending = Some((changes, Ending::Cut));
    }

    /// Kills the process now: open files are dead as after a cut, but the cache keeps what was written.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// Kills the process at a [`Change`] to come, after `changes` more.
    pub fn kill_after(&self, changes: u64) {
        self.state().faults.ending = Some((changes, Ending::Kill));
    }

    /// What the last cut or kill interrupted: the kind of change and the file's name.
    pub fn interrupted(&self) -> Option<(Change, String)> {
        self.state().interrupted.clone()
    }

    /// Whether it has power, and the process is alive.
    pub fn is_on(&self) -> bool {
        self.state().on
    }

    /// Gives it power, and lets a new process begin. Faults are gone.
    pub fn power_on(&self) {
        let mut state = self.state();
        state.on = true;
        state.faults = Faults::default();
    }

    /// How many changes there have been.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// How many syncs have failed.
    pub fn failed_syncs(&self) -> u64 {
        self.state().failed_syncs
    }

    /// Lets syncs of files whose names end in `suffix` fail: `times` ones, after `good` good ones.
    pub fn fail_syncs(&self, suffix: &'static str, good: u64, times: u64) {
        self.state().faults.syncs = Some(Failing { suffix, good, times });
    }

    /// From now on, what a failed sync should have written is gone from the cache, too, as with Btrfs. Else the cache
    /// keeps it, as with ext4 and XFS, and only a cut shows that it is not on the disk.
    pub fn revert_failed_syncs(&self) {
        self.state().faults.revert = true;
    }

    /// Lets writes to files whose names end in `suffix` fail: `times` ones, after `good` good ones.
    pub fn fail_writes(&self, suffix: &'static str, good: u64, times: u64) {
        self.state().faults.writes = Some(Failing { suffix, good, times });
    }

    /// A disk that says that it has synced and has not.
    pub fn ignore_syncs(&self) {
        self.state().faults.ignore_syncs = true;
    }

    /// There is room for so many bytes more.
    pub fn leave_room(&self, bytes: usize) {
        let mut state = self.state();
        state.faults.capacity = Some(state.used() + bytes);
    }

    /// No more faults, and room enough.
    pub fn heal(&self) {
        self.state().faults = Faults::default();
    }

    /// The disk that a file is on.
    pub(super) fn of(file: &Path) -> Option<Arc<Self>> {
        let mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        mounted.iter().filter_map(Weak::upgrade).find(|disk| file.starts_with(&disk.dir))
    }

    pub(super) fn open(self: &Arc<Self>, name: &Path, how: Opening) -> Result<Handle, Trouble> {
        let mut state = self.state();
        if !state.on {
            return Err(Trouble::Io);
        }
        let found = state.directory.find(name);
        let file = match found {
            Some(_) if how.create && how.exclusive => return Err(Trouble::Io),
            Some(file) => file,
            None if how.create => state.create(name)?,
            None => return Err(Trouble::Absent),
        };
        state.newest += 1;
        let id = HandleId(state.newest);
        let life = state.life;
        let opened = state.file(file)?;
        opened.handles += 1;
        let seen_failures = opened.failures;
        drop(state);
        Ok(Handle {
            disk: Arc::clone(self),
            name: name.to_owned(),
            file,
            id,
            life,
            seen_failures,
            name_unsynced: found.is_none() && how.syncs_name,
            delete: how.delete_on_close,
            shared: None,
        })
    }

    /// Removes a name; with `sync`, for good.
    pub(super) fn delete(&self, name: &Path, sync: bool) -> Result<(), Trouble> {
        let mut state = self.state();
        if !state.on {
            return Err(Trouble::Io);
        }
        let Some(file) = state.directory.find(name) else { return Err(Trouble::Absent) };
        state.directory.remove(name);
        state.forget_if_unused(file);
        state.changed(Change::Delete, name)?;
        if sync { state.sync_names(name) } else { Ok(()) }
    }

    /// Whether there is a file of this name with something in it: an empty one is as good as none to SQLite.
    pub(super) fn holds(&self, name: &Path) -> Result<bool, Trouble> {
        let mut state = self.state();
        if !state.on {
            return Err(Trouble::Io);
        }
        let Some(file) = state.directory.find(name) else { return Ok(false) };
        Ok(state.file(file)?.content.len() > 0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics inside the model disk")
    }
}

/// What is done to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A file is made.
    Create,
    /// Bytes are written.
    Write,
    /// A file is made shorter.
    Truncate,
    /// A file is synced.
    Sync,
    /// The names of the directory are synced.
    SyncNames,
    /// A name is removed.
    Delete,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Handle {
    disk: Arc<Disk>,
    name: PathBuf,
    file: FileId,
    id: HandleId,
    life: u64,
    seen_failures: u64,
    /// Its name is new: the first sync makes that durable, too.
    name_unsynced: bool,
    delete: bool,
    shared: Option<Arc<SharedMemory>>,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opening {
    pub(super) create: bool,
    pub(super) exclusive: bool,
    pub(super) delete_on_close: bool,
    /// Whether its first sync also makes its name durable; SQLite does this for journals and logs only.
    pub(super) syncs_name: bool,
}

/// What keeps something from being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Io,
    Full,
    Absent,
}

/// Somebody else has a lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HandleId(pub(super) u64);

/// A part of a log's index. SQLite reads and writes it through a pointer, from several threads.
pub(super) type Region = Arc<[AtomicU64]>;

/// The index of a log, shared by all connections; never on the disk.
#[derive(Debug, Default)]
struct SharedMemory(Mutex<Vec<Region>>);

impl Handle {
    pub(super) fn read(&self, at: usize, into: &mut [u8]) -> Result<usize, Trouble> {
        self.within(|state, file| Ok(state.file(file)?.content.read(at, into)))
    }

    pub(super) fn write(&self, at: usize, bytes: &[u8]) -> Result<(), Trouble> {
        self.within(|state, file| {
            if Failing::strikes(&mut state.faults.writes, &self.name) {
                return Err(Trouble::Io);
            }
            let room = state.room(file, at, bytes.len())?;
            if room > 0 {
                state.file(file)?.content.write(at, &bytes[..room]);
            }
            state.changed(Change::Write, &self.name)?;
            if room < bytes.len() { Err(Trouble::Full) } else { Ok(()) }
        })
    }

    pub(super) fn truncate(&self, len: usize) -> Result<(), Trouble> {
        self.within(|state, file| {
            state.file(file)?.content.resize(len);
            state.changed(Change::Truncate, &self.name)
        })
    }

    pub(super) fn sync(&mut self) -> Result<(), Trouble> {
        let (seen, name_unsynced) = (self.seen_failures, self.name_unsynced);
        let failures = self.within(|state, file| {
            state.sync(file, &self.name)?;
            if name_unsynced {
                // SQLite does not look at how this ends.
                let _ = state.sync_names(&self.name);
            }
            Ok(state.file(file)?.failures)
        })?;
        self.name_unsynced = false;
        self.seen_failures = failures;
        if failures > seen { Err(Trouble::Io) } else { Ok(()) }
    }

    pub(super) fn len(&self) -> Result<usize, Trouble> {
        self.within(|state, file| Ok(state.file(file)?.content.len()))
    }

    pub(super) fn lock(&self, level: Level) -> Result<Result<(), Busy>, Trouble> {
        self.within(|state, file| Ok(state.file(file)?.locks.raise(self.id, level)))
    }

    pub(super) fn unlock(&self, level: Level) {
        let _ = self.within(|state, file| {
            state.file(file)?.locks.lower(self.id, level);
            Ok(())
        });
    }

    pub(super) fn is_reserved(&self) -> Result<bool, Trouble> {
        self.within(|state, file| Ok(state.file(file)?.locks.is_reserved()))
    }

    /// A part of the shared memory; `None` if it is not there and may not be made.
    pub(super) fn map(&mut self, n: usize, bytes: usize, extend: bool) -> Result<Option<Region>, Trouble> {
        let known = self.shared.clone();
        let (shared, region) = self.within(|state, file| {
            let room = state.faults.capacity.map(|capacity| capacity.saturating_sub(state.used()));
            let shared = known.unwrap_or_else(|| state.shared_memory(file));
            let region = shared.region(n, bytes, extend, room)?;
            Ok((shared, region))
        })?;
        self.shared = Some(shared);
        Ok(region)
    }

    pub(super) fn unmap(&mut self) {
        self.shared = None;
        self.release(u8::MAX);
    }

    pub(super) fn share(&self, slots: u8) -> Result<Result<(), Busy>, Trouble> {
        self.within(|state, file| Ok(state.file(file)?.slots.share(self.id, slots)))
    }

    pub(super) fn take(&self, slots: u8) -> Result<Result<(), Busy>, Trouble> {
        self.within(|state, file| Ok(state.file(file)?.slots.take(self.id, slots)))
    }

    pub(super) fn release(&self, slots: u8) {
        let _ = self.within(|state, file| {
            state.file(file)?.slots.release(self.id, slots);
            Ok(())
        });
    }

    /// Does something with the disk, if it is still the one that the file was opened on.
    fn within<T>(&self, work: impl FnOnce(&mut State, FileId) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut state = self.disk.state();
        if !state.on || state.life != self.life {
            return Err(Trouble::Io);
        }
        work(&mut state, self.file)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.unmap();
        self.unlock(Level::None);
        let _ = self.within(|state, id| {
            if self.delete {
                state.directory.remove(&self.name);
            }
            state.file(id)?.handles -= 1;
            state.forget_if_unused(id);
            Ok(())
        });
    }
}

impl SharedMemory {
    fn region(
        &self,
        n: usize,
        bytes: usize,
        extend: bool,
        room: Option<usize>,
    ) -> Result<Option<Region>, Trouble> {
        let mut regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while regions.len() <= n && extend {
            if room.is_some_and(|room| room < bytes) {
                return Err(Trouble::Full);
            }
            regions.push((0..bytes / 8).map(|_| AtomicU64::new(0)).collect());
        }
        Ok(regions.get(n).cloned())
    }

    fn bytes(&self) -> usize {
        let regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        regions.iter().map(|region| region.len() * 8).sum()
    }
}

#[derive(Debug)]
struct State {
    on: bool,
    /// How many cuts and kills there were: a handle of an earlier life is dead.
    life: u64,
    files: BTreeMap<FileId, File>,
    directory: Directory,
    /// The newest id given to a file or a handle.
    newest: u64,
    changes: u64,
    failed_syncs: u64,
    interrupted: Option<(Change, String)>,
    faults: Faults,
    dice: Dice,
}

#[derive(Debug, Default)]
struct File {
    content: Content,
    handles: usize,
    /// Failed syncs, so that each handle hears of each of them once.
    failures: u64,
    locks: Locks,
    slots: Slots,
    shared: Weak<SharedMemory>,
}

#[derive(Debug, Default)]
struct Faults {
    ending: Option<(u64, Ending)>,
    capacity: Option<usize>,
    syncs: Option<Failing>,
    writes: Option<Failing>,
    ignore_syncs: bool,
    revert: bool,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Cut,
    Kill,
}

#[derive(Debug)]
struct Failing {
    suffix: &'static str,
    good: u64,
    times: u64,
}

impl Failing {
    fn strikes(failing: &mut Option<Self>, name: &Path) -> bool {
        let Some(fault) = failing.as_mut().filter(|fault| name.to_string_lossy().ends_with(fault.suffix))
        else {
            return false;
        };
        if fault.good > 0 {
            fault.good -= 1;
            return false;
        }
        let strikes = fault.times > 0;
        fault.times = fault.times.saturating_sub(1);
        strikes
    }
}

impl State {
    fn new(seed: u64) -> Self {
        Self {
            on: true,
            life: 0,
            files: BTreeMap::new(),
            directory: Directory::default(),
            newest: 0,
            changes: 0,
            failed_syncs: 0,
            interrupted: None,
            faults: Faults::default(),
            dice: Dice::new(seed),
        }
    }

    fn file(&mut self, id: FileId) -> Result<&mut File, Trouble> {
        self.files.get_mut(&id).ok_or(Trouble::Io)
    }

    fn create(&mut self, name: &Path) -> Result<FileId, Trouble> {
        self.newest += 1;
        let id = FileId(self.newest);
        self.files.insert(id, File::default());
        self.directory.add(name, id);
        self.changed(Change::Create, name)?;
        Ok(id)
    }

    fn sync(&mut self, id: FileId, name: &Path) -> Result<(), Trouble> {
        let ends_now = self.ends_now();
        // A cut in the middle of a sync: before it, or after it and before anybody has heard of it.
        let done = !self.faults.ignore_syncs && (!ends_now || self.dice.hit(1, 2));
        let fails = Failing::strikes(&mut self.faults.syncs, name);
        let file = self.files.get_mut(&id).ok_or(Trouble::Io)?;
        if fails {
            file.content.fail_sync(self.faults.revert, &mut self.dice);
            file.failures += 1;
            self.failed_syncs += 1;
        } else if done {
            file.content.sync();
        }
        self.changed(Change::Sync, name)
    }

    fn sync_names(&mut self, after: &Path) -> Result<(), Trouble> {
        if !self.faults.ignore_syncs && (!self.ends_now() || self.dice.hit(1, 2)) {
            self.directory.sync();
        }
        self.changed(Change::SyncNames, after)
    }

    /// Something changed; the power may go just now.
    fn changed(&mut self, what: Change, file: &Path) -> Result<(), Trouble> {
        self.changes += 1;
        match &mut self.faults.ending {
            Some((0, ending)) => {
                let ending = *ending;
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.interrupted = Some((what, name));
                match ending {
                    Ending::Cut => self.cut(),
                    Ending::Kill => self.kill(),
                }
                Err(Trouble::Io)
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn ends_now(&self) -> bool {
        matches!(self.faults.ending, Some((0, _)))
    }

    fn cut(&mut self) {
        self.kill();
        self.directory.cut(&mut self.dice);
        let directory = &self.directory;
        self.files.retain(|id, _| directory.names(*id));
        for file in self.files.values_mut() {
            file.content.cut(&mut self.dice);
        }
    }

    fn kill(&mut self) {
        self.on = false;
        self.life += 1;
        let directory = &self.directory;
        self.files.retain(|id, _| directory.names(*id));
        for file in self.files.values_mut() {
            (file.locks, file.slots) = (Locks::default(), Slots::default());
            (file.shared, file.handles, file.failures) = (Weak::new(), 0, 0);
        }
    }

    /// How many of `len` bytes at `at` there is room for.
    fn room(&mut self, id: FileId, at: usize, len: usize) -> Result<usize, Trouble> {
        let Some(capacity) = self.faults.capacity else { return Ok(len) };
        let free = capacity.saturating_sub(self.used());
        let end = self.file(id)?.content.len();
        Ok((end + free).saturating_sub(at).min(len))
    }

    fn used(&self) -> usize {
        let visible = self.files.iter().filter(|(id, file)| file.handles > 0 || self.directory.shows(**id));
        visible
            .map(|(_, file)| file.content.len() + file.shared.upgrade().map_or(0, |shared| shared.bytes()))
            .sum()
    }

    fn shared_memory(&mut self, id: FileId) -> Arc<SharedMemory> {
        let Some(file) = self.files.get_mut(&id) else { return Arc::default() };
        file.shared.upgrade().unwrap_or_else(|| {
            let shared = Arc::default();
            file.shared = Arc::downgrade(&shared);
            shared
        })
    }

    fn forget_if_unused(&mut self, id: FileId) {
        if self.files.get(&id).is_some_and(|file| file.handles == 0) && !self.directory.names(id) {
            self.files.remove(&id);
        }
    }
}
