//! How the providers were switched, kept in a small file beside the stores, or in the database that many processes
//! share: a restart turns nothing on again.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cartwright_core::ports::StoreError;
use serde::{Deserialize, Serialize};

/// The name of the file in the data directory.
pub const FILE_NAME: &str = cartwright_store::backup::SWITCHES;

/// The name under which a database keeps the same.
pub const NOTE: &str = "providers";

/// Where it is in a database, for messages.
pub const IN_DATABASE: &str = "`providers` in the table `note` of the schema of orders";

/// How one provider was switched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Switched {
    /// Whether calls are made.
    pub enabled: bool,
    /// Calls per second (`Some(None)`: without a limit); `None`: as the setting says.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "stated")]
    pub rate: Option<Option<f64>>,
    /// What kind of provider was used last, where it was no simulated one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// Who is behind a provider's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nobody: it is played.
    #[default]
    Simulated,
    /// A real one, over HTTP.
    Http,
}

impl Kind {
    /// Its word, as in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Http => "http",
        }
    }
}

impl Default for Switched {
    fn default() -> Self {
        Self { enabled: true, rate: None, kind: None }
    }
}

/// How all of them were switched.
pub struct Switches {
    kept: Box<dyn Kept>,
    /// Held while something is read or written there, which may take long; so never by those who only want to know.
    turn: Mutex<()>,
    all: Mutex<BTreeMap<String, Switched>>,
}

/// Where it is kept. Both calls block.
pub trait Kept: Send + Sync {
    /// What is kept; `None`: nothing yet.
    ///
    /// # Errors
    /// It can't be read.
    fn read(&self) -> Result<Option<Vec<u8>>, SwitchError>;

    /// Keeps this from now on, durably, in place of what `was` kept; `false` if that was something else by now, and stays.
    ///
    /// # Errors
    /// It can't be written; then what was kept stays.
    fn write(&self, was: Option<&[u8]>, text: &[u8]) -> Result<bool, SwitchError>;

    /// What it is called in messages.
    fn place(&self) -> String;
}

/// Why it can't be known, or not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database can't be read or written.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// It holds something else.
    #[error(
        "{place} says how the providers were switched, but can't be read: {source}. Mend it, or delete it: then the settings [payments] and [carrier] count"
    )]
    Content {
        /// What.
        place: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl Switches {
    /// Reads the file in this directory. Where there is none, nobody has switched anything. Blocks.
    ///
    /// # Errors
    /// When it can't be read: it may say that a provider is off.
    pub fn open(dir: &Path) -> Result<Self, SwitchError> {
        Self::kept_in(Box::new(InFile { dir: dir.to_owned() }))
    }

    /// Reads what is kept elsewhere. Blocks.
    ///
    /// # Errors
    /// When it can't be read: it may say that a provider is off.
    pub fn kept_in(kept: Box<dyn Kept>) -> Result<Self, SwitchError> {
        let all = read(&*kept)?;
        Ok(Self { kept, turn: Mutex::default(), all: Mutex::new(all) })
    }

    /// Reads what was found elsewhere, only to look at it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn found(text: Option<String>, place: &str) -> Result<Self, SwitchError> {
        Self::kept_in(Box::new(Found { text, place: place.to_owned() }))
    }

    /// Looks whether another process has switched something. Blocks.
    ///
    /// # Errors
    /// When it can't be read: everything stays as it is.
    pub fn look_again(&self) -> Result<(), SwitchError> {
        let _turn = self.turn.lock();
        *self.all() = read(&*self.kept)?;
        Ok(())
    }

    /// How this provider was switched.
    pub fn of(&self, provider: &str) -> Switched {
        self.all().get(provider).copied().unwrap_or_default()
    }

    /// Notes durably how this provider is switched (a rate that is not stated stays), and then has it count. Of two
    /// that come at once, the one that is noted last also counts last. Blocks.
    ///
    /// # Errors
    /// When it could not be written; then it stays as it was.
    pub fn set(
        &self,
        provider: &str,
        enabled: bool,
        rate: Option<Option<f64>>,
        have_it_count: impl FnOnce(),
    ) -> Result<(), SwitchError> {
        let change = |now: &mut Switched| {
            now.enabled = enabled;
            now.rate = rate.or(now.rate);
        };
        self.change(provider, change, have_it_count)
    }

    /// Notes durably which kind of provider is used from now on. Blocks.
    ///
    /// # Errors
    /// When it could not be written; then it stays as it was.
    pub fn use_kind(&self, provider: &str, kind: Kind) -> Result<(), SwitchError> {
        self.change(provider, |now| now.kind = Some(kind), || ())
    }

    fn change(
        &self,
        provider: &str,
        change: impl Fn(&mut Switched),
        have_it_count: impl FnOnce(),
    ) -> Result<(), SwitchError> {
        let _turn = self.turn.lock();
        // Another process may be switching the other provider: then again, on top of that.
        let next = loop {
            let was = self.kept.read()?;
            let mut next = parse(was.as_deref(), &*self.kept)?;
            change(next.entry(provider.to_owned()).or_default());
            let text = serde_json::to_vec_pretty(&next)
                .map_err(|source| SwitchError::Content { place: self.kept.place(), source })?;
            if self.kept.write(was.as_deref(), &text)? {
                break next;
            }
        };
        *self.all() = next;
        have_it_count();
        Ok(())
    }

    /// For a moment.
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Switched>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the file in this directory says, for whoever takes it to a database; nothing where there is none. Blocks.
///
/// # Errors
/// When it can't be read: it may say that a provider is off.
pub fn kept(dir: &Path) -> Result<Option<String>, SwitchError> {
    let file = InFile { dir: dir.to_owned() };
    let text = file.read()?;
    parse(text.as_deref(), &file)?; // what can't be read is not passed on
    Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
}

fn read(kept: &dyn Kept) -> Result<BTreeMap<String, Switched>, SwitchError> {
    parse(kept.read()?.as_deref(), kept)
}

fn parse(text: Option<&[u8]>, kept: &dyn Kept) -> Result<BTreeMap<String, Switched>, SwitchError> {
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    serde_json::from_slice(text).map_err(|source| SwitchError::Content { place: kept.place(), source })
}

/// A text that somebody has found.
struct Found {
    text: Option<String>,
    place: String,
}

impl Kept for Found {
    fn read(&self) -> Result<Option<Vec<u8>>, SwitchError> {
        Ok(self.text.clone().map(String::into_bytes))
    }

    fn write(&self, _: Option<&[u8]>, _: &[u8]) -> Result<bool, SwitchError> {
        Err(StoreError::Unavailable("it is only looked at".to_owned()).into())
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

/// A file in the data directory.
struct InFile {
    dir: PathBuf,
}

impl InFile {
    fn path(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }

    /// A new file in the place of the old one: a crash leaves the one or the other.
    fn replace(&self, text: &[u8]) -> io::Result<()> {
        let new = self.dir.join(format!("{FILE_NAME}.new"));
        let mut file = File::create(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        File::open(&self.dir)?.sync_all()
    }
}

impl Kept for InFile {
    fn read(&self) -> Result<Option<Vec<u8>>, SwitchError> {
        match fs::read(self.path()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SwitchError::File { path: self.path(), source }),
        }
    }

    fn write(&self, _: Option<&[u8]>, text: &[u8]) -> Result<bool, SwitchError> {
        // One process alone has the directory.
        self.replace(text).map(|()| true).map_err(|source| SwitchError::File { path: self.path(), source })
    }

    fn place(&self) -> String {
        self.path().display().to_string()
    }
}

/// `null` is a statement here ("no limit"), and absence is another ("as the setting says").
mod stated {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(rate: &Option<Option<f64>>, to: S) -> Result<S::Ok, S::Error> {
        rate.flatten().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<f64>>, D::Error> {
        Option::<f64>::deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_switched_stays_so_and_a_damaged_file_is_not_passed_over() {
        let dir = tempfile::TempDir::new().unwrap();
        let switches = Switches::open(dir.path()).unwrap();
        assert_eq!(switches.of("payments"), Switched::default());
        let off = Switched { enabled: false, rate: Some(Some(2.5)), kind: None };
        let on = Switched { enabled: true, rate: Some(None), kind: Some(Kind::Http) };
        switches.set("payments", true, Some(Some(2.5)), || ()).unwrap();
        switches.set("payments", false, None, || ()).unwrap(); // and the rate stays
        switches.set("carrier", true, Some(None), || ()).unwrap();
        switches.use_kind("carrier", Kind::Http).unwrap();
        let again = Switches::open(dir.path()).unwrap();
        assert_eq!((again.of("payments"), again.of("carrier")), (off, on));
        fs::write(dir.path().join(FILE_NAME), "{").unwrap();
        let error = Switches::open(dir.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(FILE_NAME) && error.contains("[payments]"), "{error}");
    }
}
