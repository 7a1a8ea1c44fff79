//! Where the search server is, and how we show who we are.

use std::{fmt, fs, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Certificate, Client, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect,
};

/// How long one exchange may take where nobody says.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Index names have at most 255 bytes, and ours get something behind them.
const MAX_INDEX_BYTES: usize = 200;

/// More nodes than this are not worth naming: any of them forwards.
const MAX_URLS: usize = 64;

/// The largest file that is taken for certificates.
const MAX_CA_BYTES: u64 = 1024 * 1024;

/// All that has to be known of a search server.
#[derive(Clone)]
pub struct Settings {
    /// Its nodes, such as `https://search-1:9200`; a path is allowed.
    pub urls: Vec<String>,
    /// Who we are; empty: nobody.
    pub user: String,
    /// That user's password.
    pub password: String,
    /// Instead of a user: an API key, as the server gives it out encoded; empty: none.
    pub api_key: String,
    /// The certificates to trust, in a PEM file, and no others; `None`: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// What the index is called for those who search.
    pub index: String,
    /// How many parts a new index has; `None`: as many as the server thinks fit.
    pub shards: Option<u32>,
    /// How many copies of each part; `None`: as many as the server thinks fit.
    pub replicas: Option<u32>,
    /// How long one exchange may take, from connecting to the answer's last byte.
    pub timeout: Duration,
}

impl Settings {
    /// These nodes and this index, and all else as usual.
    #[must_use]
    pub fn new(urls: Vec<String>, index: &str) -> Self {
        Self {
            urls,
            user: String::new(),
            password: String::new(),
            api_key: String::new(),
            ca_file: None,
            index: index.to_owned(),
            shards: None,
            replicas: None,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Checks that they can be used, as far as that can be seen without a connection.
    ///
    /// # Errors
    /// [`SettingsError`] names the first that can't be.
    pub fn check(&self) -> Result<(), SettingsError> {
        bases(self)?;
        index(self)?;
        credentials(self)?;
        self.ca_file.as_ref().map_or(Ok(()), |file| certificates(file).map(drop))
    }
}

/// Shows no secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &str| if secret.is_empty() { "" } else { "***" };
        f.debug_struct("Settings")
            .field("urls", &self.urls)
            .field("user", &self.user)
            .field("password", &hidden(&self.password))
            .field("api_key", &hidden(&self.api_key))
            .field("ca_file", &self.ca_file)
            .field("index", &self.index)
            .field("shards", &self.shards)
            .field("replicas", &self.replicas)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Which setting can't be used, and why. Secrets are not shown.
#[derive(Debug, thiserror::Error)]
#[error("{field} {problem}")]
pub struct SettingsError {
    /// The name of the setting, as in [`Settings`].
    pub field: &'static str,
    /// What about it, and what to do.
    pub problem: String,
}

fn wrong(field: &'static str, problem: impl Into<String>) -> SettingsError {
    SettingsError { field, problem: problem.into() }
}

/// The nodes' addresses.
pub(super) fn bases(settings: &Settings) -> Result<Vec<Url>, SettingsError> {
    if !(1..=MAX_URLS).contains(&settings.urls.len()) {
        return Err(wrong("urls", format!("must name between 1 and {MAX_URLS} nodes")));
    }
    settings.urls.iter().map(|text| base(text).map_err(|problem| wrong("urls", problem))).collect()
}

/// The text is not shown where it may hold a password.
fn base(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|error| format!("must be URLs such as https://search:9200: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must begin with http:// or https:// and name a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold credentials: set user and password instead".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("must not have anything behind the path, as {text} has"));
    }
    Ok(url)
}

/// The index's name, which then fits into URLs and patterns as it is.
pub(super) fn index(settings: &Settings) -> Result<String, SettingsError> {
    let name = &settings.index;
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if first && name.bytes().all(fine) && name.len() <= MAX_INDEX_BYTES {
        return Ok(name.clone());
    }
    let rule = "small letters, digits, '.', '_' and '-', beginning with a letter or a digit";
    Err(wrong("index", format!("must be at most {MAX_INDEX_BYTES} of {rule}, not {name:?}")))
}

/// The client, with the credentials in every request.
pub(super) fn client(settings: &Settings) -> Result<Client, SettingsError> {
    let mut headers = HeaderMap::new();
    if let Some(credentials) = credentials(settings)? {
        headers.insert(AUTHORIZATION, credentials);
    }
    let mut client = Client::builder()
        .user_agent(concat!("cartwright/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
        .timeout(settings.timeout)
        .tcp_nodelay(true)
        // A redirect would carry the credentials elsewhere.
        .redirect(redirect::Policy::none());
    if let Some(file) = &settings.ca_file {
        client = client.tls_certs_only(certificates(file)?);
    }
    client.build().map_err(|error| wrong("urls", format!("can't be connected to: {error}")))
}

fn credentials(settings: &Settings) -> Result<Option<HeaderValue>, SettingsError> {
    let Settings { user, password, api_key, .. } = settings;
    let (field, text) = match (user.is_empty(), password.is_empty(), api_key.is_empty()) {
        (true, true, true) => return Ok(None),
        (true, true, false) => ("api_key", format!("ApiKey {api_key}")),
        (true, false, _) => return Err(wrong("user", "is empty, but there is a password: set both")),
        (false, _, true) if user.contains(':') => return Err(wrong("user", "must not contain ':'")),
        (false, _, true) => ("user", format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))),
        (false, _, false) => return Err(wrong("api_key", "stands beside a user: set one of them")),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| wrong(field, "can't be sent in an HTTP header: only visible ASCII characters can"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn certificates(file: &PathBuf) -> Result<Vec<Certificate>, SettingsError> {
    let failed = |problem: String| wrong("ca_file", format!("{}: {problem}", file.display()));
    let size = fs::metadata(file).map_err(|error| failed(format!("can't be read: {error}")))?.len();
    if size > MAX_CA_BYTES {
        return Err(failed(format!(
            "is larger than {MAX_CA_BYTES} bytes; it must be a PEM file of certificates"
        )));
    }
    let text = fs::read(file).map_err(|error| failed(format!("can't be read: {error}")))?;
    let found =
        Certificate::from_pem_bundle(&text).map_err(|error| failed(format!("is no PEM file: {error}")))?;
    if found.is_empty() {
        return Err(failed("holds no certificate; it must be a PEM file of certificates".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(vec!["https://search:9200".to_owned()], "orders-v1")
    }

    fn problem(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = settings();
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named_without_secrets() {
        assert!(problem(|s| s.urls.clear()).starts_with("urls must name"));
        assert!(
            problem(|s| s.urls = vec!["search:9200".to_owned()]).starts_with("urls must begin with http")
        );
        let told = problem(|s| s.urls = vec!["http://me:geheim@search:9200".to_owned()]);
        assert!(told.contains("set user and password") && !told.contains("geheim"), "{told}");
        for name in ["", "Orders", "-orders", "a/b", "a,b", "a*", "é"] {
            assert!(problem(|s| s.index = name.to_owned()).starts_with("index must be"), "{name}");
        }
        assert!(problem(|s| s.password = "geheim".to_owned()).starts_with("user is empty"));
        let both = |s: &mut Settings| (s.user, s.api_key) = ("me".to_owned(), "geheim".to_owned());
        assert!(problem(both).starts_with("api_key stands beside a user"));
        assert!(problem(|s| s.api_key = "geheim\n".to_owned()).starts_with("api_key can't be sent"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = |text: &str| text.to_owned();
        let settings = Settings { password: secret("geheim"), api_key: secret("auch geheim"), ..settings() };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("geheim") && shown.contains("orders-v1"), "{shown}");
    }

    #[test]
    fn credentials_are_sent_as_the_servers_read_them() {
        let sent = |user: &str, password: &str, key: &str| {
            let [user, password, api_key] = [user, password, key].map(str::to_owned);
            credentials(&Settings { user, password, api_key, ..settings() }).unwrap()
        };
        assert_eq!(sent("", "", ""), None);
        assert_eq!(sent("elastic", "changeme", "").unwrap(), "Basic ZWxhc3RpYzpjaGFuZ2VtZQ==");
        assert_eq!(sent("", "", "a2V5").unwrap(), "ApiKey a2V5");
    }

    #[test]
    fn a_file_of_certificates_must_hold_some() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let told = || problem(|s| s.ca_file = Some(file.clone()));
        assert!(told().contains("can't be read"));
        fs::write(&file, "no certificate").unwrap();
        assert!(told().contains("holds no certificate"));
    }
}
