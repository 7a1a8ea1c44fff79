//! The client's own memory of what was answered: one id a line, synced. `cartwright verify` holds the server to it.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use tokio::sync::mpsc;

use super::Failure;

/// What the first line begins with; then comes the system whose orders these are.
const HEAD: &str = "# cartwright-system: ";

/// Ids that may wait for the disk; then placing waits too.
const MAX_WAITING: usize = 65_536;

/// Ids written in one go.
const MAX_BATCH: usize = 16_384;

/// The file, with a thread that writes what waits, syncs once, and begins again.
pub struct AnsweredFile {
    ids: AnsweredIds,
    thread: JoinHandle<std::io::Result<u64>>,
    path: PathBuf,
}

/// Where answered ids are handed in.
#[derive(Clone)]
pub struct AnsweredIds(mpsc::Sender<String>);

/// The file can't be written any more.
#[derive(Debug)]
pub struct Closed;

impl AnsweredIds {
    pub async fn add(&self, id: String) -> Result<(), Closed> {
        self.0.send(id).await.map_err(|_| Closed)
    }
}

impl AnsweredFile {
    /// Opens the file to append to it, for the orders of this system if it is known. What a crash tore is cut off
    /// first: that line was never counted.
    pub fn open(path: &Path, system: Option<&str>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| local(path, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let end = cut_torn_line(&mut file).map_err(failed)?;
        if let Some(system) = system {
            sign(path, &mut file, end, system)?;
        }
        let (ids, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("answered".into())
            .spawn(move || write(file, waiting))
            .map_err(failed)?;
        Ok(Self { ids: AnsweredIds(ids), thread, path: path.to_owned() })
    }

    pub fn ids(&self) -> AnsweredIds {
        self.ids.clone()
    }

    /// Closes the file; says how many ids were made durable. Returns once every other [`AnsweredIds`] is dropped.
    pub fn finish(self) -> Result<u64, Failure> {
        drop(self.ids);
        match self.thread.join() {
            Ok(synced) => synced.map_err(|error| local(&self.path, &error)),
            Err(_) => Err(Failure::Local("the thread that writes answered orders died".into())),
        }
    }
}

/// Calls `each` with every id of a file of answered orders; says to which system they belong, if the file knows. A
/// last line without its end was never synced, and so never counted as answered.
///
/// # Errors
/// When the file can't be read.
pub fn read_answered(path: &Path, mut each: impl FnMut(&str)) -> std::io::Result<Option<String>> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    let mut system = None;
    loop {
        line.clear();
        lines.read_until(b'\n', &mut line)?;
        let Some(id) = line.strip_suffix(b"\n") else { return Ok(system) };
        if let Some(named) = id.strip_prefix(HEAD.as_bytes()) {
            system = Some(String::from_utf8_lossy(named).into_owned());
        } else if !id.is_empty() {
            each(&String::from_utf8_lossy(id));
        }
    }
}

fn write(mut file: File, mut waiting: mpsc::Receiver<String>) -> std::io::Result<u64> {
    let mut batch = Vec::new();
    let mut bytes = Vec::new();
    let mut synced = 0;
    while waiting.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        bytes.clear();
        for id in &batch {
            bytes.extend_from_slice(id.as_bytes());
            bytes.push(b'\n');
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        synced += batch.len() as u64;
        batch.clear();
    }
    Ok(synced)
}

/// Writes the head of a new file; checks that of an old one. A file without any is of an older version, and taken.
fn sign(path: &Path, file: &mut File, end: u64, system: &str) -> Result<(), Failure> {
    if end == 0 {
        return writeln!(file, "{HEAD}{system}").map_err(|error| local(path, &error));
    }
    let first = BufReader::new(File::open(path).map_err(|error| local(path, &error))?).lines().next();
    match first.and_then(Result::ok).as_deref().and_then(|line| line.strip_prefix(HEAD)) {
        Some(other) if other != system => Err(Failure::Local(format!(
            "{} holds orders of another system ({other}) than the one that answers ({system}): delete it, or name another \
             file with --answered",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Says where the file ends now.
fn cut_torn_line(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut last)?;
        if last == *b"\n" {
            break;
        }
        end -= 1;
    }
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))
}

fn local(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Local(format!("{} can't be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(path: &Path) -> Vec<String> {
        let mut ids = Vec::new();
        read_answered(path, |id| ids.push(id.to_owned())).unwrap();
        ids
    }

    #[test]
    fn a_torn_last_line_was_never_answered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!(ids(&path), ["one", "two"]);
        std::fs::write(&path, "torn").unwrap();
        assert!(ids(&path).is_empty());
        std::fs::write(&path, "").unwrap();
        assert!(ids(&path).is_empty());
    }

    #[tokio::test]
    async fn appending_cuts_the_torn_line_and_counts_what_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "one\ntw").unwrap();
        let file = AnsweredFile::open(&path, None).unwrap();
        for id in ["three", "four"] {
            file.ids().add(id.into()).await.unwrap();
        }
        let synced = tokio::task::spawn_blocking(|| file.finish()).await.unwrap().unwrap();
        assert_eq!(synced, 2);
        assert_eq!(ids(&path), ["one", "three", "four"]);
    }

    #[tokio::test]
    async fn a_file_belongs_to_one_system() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for id in ["one", "two"] {
            let file = AnsweredFile::open(&path, Some("system-a")).unwrap();
            file.ids().add(id.into()).await.unwrap();
            tokio::task::spawn_blocking(|| file.finish()).await.unwrap().unwrap();
        }
        assert_eq!(ids(&path), ["one", "two"]);
        assert_eq!(read_answered(&path, |_| {}).unwrap().as_deref(), Some("system-a"));
        let Err(Failure::Local(why)) = AnsweredFile::open(&path, Some("system-b")) else { panic!() };
        assert!(why.contains("another system (system-a)") && why.contains("--answered"), "{why}");
        assert!(AnsweredFile::open(&path, None).is_ok(), "a server that names no system is not refused");
    }
}
