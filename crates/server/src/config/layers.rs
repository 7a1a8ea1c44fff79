//! The layers of settings, one over the other, each value with where it came from: the documented default file, a
//! file of the user's, the environment, flags.
//!
//! The default file is the list of all settings: a key that it does not have is unknown, and a value must be of the
//! kind that it has there.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use toml::{Table, Value, de::DeTable};

use super::{DEFAULTS, SERVER_VARIABLE};

/// What variables of settings begin with.
const PREFIX: &str = "CARTWRIGHT__";

/// What all variables of ours begin with.
const FAMILY: &str = "CARTWRIGHT_";

/// Variables of ours that are no settings: of other commands, and of our own tests.
const OTHER_VARIABLES: [&str; 19] = [
    SERVER_VARIABLE,
    "CARTWRIGHT_ADVISORIES",
    "CARTWRIGHT_BIN",
    "CARTWRIGHT_CI_TARGET",
    "CARTWRIGHT_CLOCK",
    "CARTWRIGHT_CUTS",
    "CARTWRIGHT_GOLDEN",
    "CARTWRIGHT_KILL_AT",
    "CARTWRIGHT_SEARCHES",
    "CARTWRIGHT_SEED",
    "CARTWRIGHT_SERVERS",
    "CARTWRIGHT_SERVERS_KAFKA_PORT",
    "CARTWRIGHT_SERVERS_OPENSEARCH_PORT",
    "CARTWRIGHT_SERVERS_POSTGRES_PORT",
    "CARTWRIGHT_TEST_KAFKA",
    "CARTWRIGHT_TEST_POSTGRES",
    "CARTWRIGHT_TEST_PYTHON",
    "CARTWRIGHT_TEST_SEARCH",
    "CARTWRIGHT_TEST_STACK",
];

/// What Kubernetes tells every container about a service that is called `cartwright`.
const KUBERNETES: [&str; 2] = ["CARTWRIGHT_SERVICE_", "CARTWRIGHT_PORT"];

/// What stands behind a variable whose value is the name of a file that holds a secret.
const FILE_SUFFIX: &str = "_FILE";

/// The largest file that is taken for a secret.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A name so much like another is taken for a slip.
const LIKENESS: f64 = 0.6;

/// Parts of the names of secrets.
const SECRETS: [&str; 5] = ["token", "secret", "password", "key", "authorization"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The documented default file.
    Default,
    /// A file of the user's, and the line.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A file with a secret, which a variable of the environment names.
    SecretFile(String, PathBuf),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, 0) => write!(f, "{}", file.display()),
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::SecretFile(variable, file) => {
                write!(f, "file {} (environment variable {variable})", file.display())
            }
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A setting that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong, and what it must be; names the setting.
    pub what: String,
}

/// A setting in effect.
#[derive(Clone)]
pub struct Setting {
    /// Its whole key, such as `http.listen`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Where it was set.
    pub origin: Origin,
}

/// Without what is nobody's business: a secret, and what names of the user's own stand for.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Setting");
        shown.field("key", &self.key).field("origin", &self.origin);
        match &self.value {
            Value::Table(names) => shown.field("names", &names.keys().collect::<Vec<_>>()).finish(),
            _ if is_secret(&self.key) => shown.finish_non_exhaustive(),
            value => shown.field("value", value).finish(),
        }
    }
}

impl Setting {
    /// Whether nobody set it.
    pub fn is_default(&self) -> bool {
        self.origin == Origin::Default
    }
}

/// Whether a name says that what it names is nobody's business.
pub fn is_secret(key: &str) -> bool {
    if key == "database.url" {
        return true; // it may hold a password
    }
    let name = key.rsplit('.').next().unwrap_or(key).to_lowercase();
    name.split(['_', '-']).any(|part| SECRETS.iter().any(|secret| part.trim_end_matches('s') == *secret))
}

/// A value in a message.
fn told(key: &str, value: &Value) -> String {
    if is_secret(key) { "what it is".to_owned() } else { value.to_string() }
}

/// All settings, in the order of the default file.
pub struct Layers {
    settings: Vec<Setting>,
    wrong: Vec<Wrong>,
}

impl Layers {
    /// The settings of the default file.
    pub fn defaults() -> Self {
        let table: Table = DEFAULTS.parse().unwrap_or_default();
        let mut settings = Vec::new();
        flatten("", &table, &|_| false, &mut |key, value| {
            settings.push(Setting { key, value: value.clone(), origin: Origin::Default });
        });
        Self { settings, wrong: Vec::new() }
    }

    /// Lays a file over what there is.
    pub fn file(&mut self, file: &Path) {
        let at = |line| Origin::File(file.to_owned(), line);
        let text = match std::fs::read(file).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                let what = format!("the file is not text in UTF-8 ({error})");
                return self.wrong.push(Wrong { origin: at(0), what });
            }
            Err(error) => {
                let what = format!("the file can't be read ({error}); name another with --config");
                return self.wrong.push(Wrong { origin: at(0), what });
            }
        };
        let (table, lines) = match text.parse::<Table>() {
            Ok(table) => (table, lines_of(&text)),
            Err(error) => {
                let line = error.span().map_or(0, |span| line_at(&text, span.start));
                let what = format!("the file is not TOML: {}", error.message().trim());
                return self.wrong.push(Wrong { origin: at(line), what });
            }
        };
        let mut found = Vec::new();
        let is_map = |key: &str| self.get(key).is_some_and(|setting| setting.value.is_table());
        flatten("", &table, &is_map, &mut |key, value| found.push((key, value.clone())));
        for (key, value) in found {
            let origin = at(lines.get(&key).copied().unwrap_or(0));
            self.set(&key, value, origin);
        }
    }

    /// Lays the environment over what there is. Names are taken in any case, as long as they begin like ours.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        let given: HashMap<String, String> =
            variables.keys().map(|variable| (variable.to_ascii_uppercase(), variable.clone())).collect();
        for (variable, value) in variables {
            let name = variable.to_ascii_uppercase();
            if let Some(rest) = name.strip_prefix(PREFIX) {
                let key = rest.to_lowercase().replace("__", ".");
                if let Some(secret) = self.kept_in_file(&key) {
                    let itself = name.strip_suffix(FILE_SUFFIX).and_then(|itself| given.get(itself));
                    self.secret_file(&secret, &variable, &value, itself);
                    continue;
                }
                self.set_text(&key, &value, Origin::Environment(variable));
            } else if let Some(rest) = name.strip_prefix(FAMILY).filter(|_| !is_other(&name)) {
                let what = match self.variable_like(rest) {
                    Some(meant) => format!(
                        "this is not a variable of ours ({}); did you mean {meant}?",
                        name.to_lowercase()
                    ),
                    None => format!(
                        "this is not a variable of ours ({}); a setting such as http.listen is {PREFIX}HTTP__LISTEN",
                        name.to_lowercase()
                    ),
                };
                self.wrong.push(Wrong { origin: Origin::Environment(variable), what });
            }
        }
    }

    /// Lays a flag over what there is.
    pub fn flag(&mut self, flag: &str, key: &str, value: &str) {
        self.set_text(key, value, Origin::Flag(flag.to_owned()));
    }

    /// Says that a setting, or something in it (`workers.paused[0]`), is wrong; `what` must name it.
    pub fn complain(&mut self, key: &str, what: String) {
        let holds = |setting: &&Setting| {
            key.strip_prefix(&*setting.key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let origin =
            self.settings.iter().find(holds).map_or(Origin::Default, |setting| setting.origin.clone());
        self.wrong.push(Wrong { origin, what });
    }

    /// Everything that is wrong so far.
    pub fn wrong(&self) -> &[Wrong] {
        &self.wrong
    }

    /// All settings.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The settings as they lie in a file.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        for Setting { key, value, .. } in &self.settings {
            let mut parts: Vec<&str> = key.split('.').collect();
            let Some(name) = parts.pop() else { continue };
            let mut at = &mut table;
            for part in parts {
                let section = at.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
                let Value::Table(section) = section else { return table };
                at = section;
            }
            at.insert(name.to_owned(), value.clone());
        }
        table
    }

    /// A setting by its key.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// The setting whose value is in the file that the variable of this key names.
    fn kept_in_file(&self, key: &str) -> Option<String> {
        let of = key.strip_suffix(&FILE_SUFFIX.to_lowercase())?;
        (self.get(key).is_none() && self.get(of).is_some()).then(|| of.to_owned())
    }

    /// Lays what is in a file over a secret setting; `itself` is the variable that holds the same secret, if there is one.
    fn secret_file(&mut self, key: &str, variable: &str, file: &str, itself: Option<&String>) {
        let taken = match itself {
            _ if !is_secret(key) => Err(format!("{key} is no secret: only secrets can be given as files")),
            Some(itself) => Err(format!("{key} is also given by {itself}: take one of them away")),
            None => read_secret(Path::new(file))
                .map_err(|why| format!("the file {file:?}, which should hold {key}, {why}")),
        };
        match taken {
            Ok(secret) => self.set_text(key, &secret, Origin::SecretFile(variable.to_owned(), file.into())),
            Err(what) => self.wrong.push(Wrong { origin: Origin::Environment(variable.to_owned()), what }),
        }
    }

    fn set_text(&mut self, key: &str, text: &str, origin: Origin) {
        let Some(setting) = self.get(key) else { return self.unknown(key, origin) };
        match read(text, &setting.value) {
            Some(value) => self.set(key, value, origin),
            None => {
                let what = format!("{key} must be {}, not {}", kind(&setting.value), told(key, &text.into()));
                self.wrong.push(Wrong { origin, what });
            }
        }
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        if value.as_table().is_some_and(Table::is_empty) && self.is_section(key) {
            return; // a section without anything in it sets nothing
        }
        let Some(setting) = self.settings.iter_mut().find(|setting| setting.key == key) else {
            return self.unknown(key, origin);
        };
        let value = match (&setting.value, value) {
            (Value::Float(_), Value::Integer(number)) => Value::Float(number as f64),
            (_, value) => value,
        };
        if std::mem::discriminant(&setting.value) == std::mem::discriminant(&value) {
            *setting = Setting { key: key.to_owned(), value, origin };
        } else {
            let what = format!("{key} must be {}, not {}", kind(&setting.value), told(key, &value));
            self.wrong.push(Wrong { origin, what });
        }
    }

    fn unknown(&mut self, key: &str, origin: Origin) {
        let what = if self.is_section(key) {
            format!("{key} is a section with settings of its own, not a setting")
        } else {
            match self.key_like(key) {
                Some(meant) => format!("there is no setting {key}; did you mean {meant}?"),
                None => format!("there is no setting {key}"),
            }
        };
        self.wrong.push(Wrong { origin, what });
    }

    fn is_section(&self, key: &str) -> bool {
        let section = format!("{key}.");
        self.settings.iter().any(|setting| setting.key.starts_with(&section))
    }

    /// The setting that was probably meant: one of the same name in another section, else one that is spelled alike.
    fn key_like(&self, key: &str) -> Option<String> {
        fn name(key: &str) -> &str {
            key.rsplit('.').next().unwrap_or(key)
        }
        let nearest = |of: &mut dyn Iterator<Item = &Setting>| {
            of.map(|setting| (alike(key, &setting.key), setting.key.clone()))
                .max_by(|a, b| a.0.total_cmp(&b.0))
        };
        nearest(&mut self.settings.iter().filter(|setting| name(&setting.key) == name(key)))
            .or_else(|| nearest(&mut self.settings.iter()).filter(|(likeness, _)| *likeness >= LIKENESS))
            .map(|(_, key)| key)
    }

    /// The variable that was probably meant, whatever its underscores; `rest` is what follows after `CARTWRIGHT_`.
    fn variable_like(&self, rest: &str) -> Option<String> {
        let plain = |text: &str| text.to_lowercase().replace(['.', '_'], "");
        let variable = |key: &str| format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"));
        let settings = self.settings.iter().flat_map(|Setting { key, .. }| {
            let in_file = is_secret(key).then(|| format!("{}{FILE_SUFFIX}", variable(key)));
            let itself = (plain(key), variable(key));
            [Some(itself), in_file.map(|name| (plain(key) + "file", name))].into_iter().flatten()
        });
        let server = (plain("SERVER"), SERVER_VARIABLE.to_owned());
        settings
            .chain([server])
            .map(|(name, variable)| (alike(&plain(rest), &name), variable))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness >= LIKENESS)
            .map(|(_, variable)| variable)
    }
}

/// How alike two names are: from 0, nothing in common, to 1, the same.
fn alike(one: &str, other: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(one, other)
}

/// What a file holds, without the end of its last line; or why that can't be had.
fn read_secret(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(read) if read as u64 > MAX_SECRET_BYTES => {
            return Err(format!("holds more than {MAX_SECRET_BYTES} bytes"));
        }
        Ok(_) => {}
        Err(error) => return Err(format!("can't be read ({error})")),
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not text in UTF-8".to_owned())?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err("is empty".to_owned()) } else { Ok(secret.to_owned()) }
}

fn is_other(variable: &str) -> bool {
    OTHER_VARIABLES.contains(&variable) || KUBERNETES.iter().any(|prefix| variable.starts_with(prefix))
}

/// Calls `each` with every setting of a table by its whole key. A table without anything in it is a setting whose names
/// are free, as is one that `is_map`; any other is a section.
fn flatten(above: &str, table: &Table, is_map: &dyn Fn(&str) -> bool, each: &mut impl FnMut(String, &Value)) {
    for (name, value) in table {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            Value::Table(table) if !table.is_empty() && !is_map(&key) => flatten(&key, table, is_map, each),
            value => each(key, value),
        }
    }
}

/// On which line each setting of a file stands.
fn lines_of(text: &str) -> HashMap<String, usize> {
    fn walk(above: &str, table: &DeTable<'_>, text: &str, lines: &mut HashMap<String, usize>) {
        for (name, value) in table {
            let key = if above.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{above}.{}", name.get_ref())
            };
            if let toml::de::DeValue::Table(table) = value.get_ref() {
                walk(&key, table, text, lines);
            }
            // A table may be a setting as well.
            lines.insert(key, line_at(text, name.span().start));
        }
    }
    let mut lines = HashMap::new();
    if let Ok(table) = DeTable::parse(text) {
        walk("", table.get_ref(), text, &mut lines);
    }
    lines
}

fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

/// A value of the same kind as `like`, from the text of a variable or a flag.
fn read(text: &str, like: &Value) -> Option<Value> {
    Some(match like {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => Value::Integer(text.trim().parse().ok()?),
        Value::Float(_) => Value::Float(text.trim().parse().ok()?),
        Value::Boolean(_) => Value::Boolean(text.trim().parse().ok()?),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        Value::Datetime(_) => Value::Datetime(text.trim().parse().ok()?),
        Value::Table(_) => return None,
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Datetime(_) => "a time",
        Value::Table(_) => "names and values, as only a file can hold them",
    }
}
