//! What the values of settings may be.

use std::{collections::BTreeMap, net::IpAddr, ops::RangeInclusive, time::Duration};

use cartwright_search::elastic::SettingsError;
use cartwright_store::postgres::{PostgresOptions, PostgresTls};
use toml::Value;
use tracing_subscriber::EnvFilter;

use super::{layers::Layers, search::SearchSettings};
use crate::{
    control::MAX_RATE,
    http::dialects::{DIALECTS, OldPort},
    providers::HttpSettings,
};

const HOUR_MS: i64 = 3_600_000;

/// The longest that one exchange with a provider may take: three of them fit into the time that a call has in all.
const MAX_TIMEOUT_MS: i64 = 12_000;

/// The range of every whole number, in the unit that its name says.
pub const RANGES: &[(&str, RangeInclusive<i64>)] = &[
    ("data.min_free_mb", 0..=1_000_000_000_000),
    ("database.connections", 2..=1_000),
    ("kafka.session_timeout_ms", 1_000..=HOUR_MS),
    ("kafka.partitions", 1..=10_000),
    ("kafka.replication_factor", -1..=100),
    ("http.max_connections", 1..=1_000_000),
    ("dialects.order_tracking.processing_ms", 0..=HOUR_MS),
    ("dialects.order_processing.rate", 0..=1_000_000),
    ("search.replicas", 0..=100),
    ("orders.max_open", 1..=1_000_000_000),
    ("idempotency.retention_days", 0..=3_650),
    ("sweeper.after_seconds", 1..=30 * 24 * 3_600),
    ("providers.max_calls", 1..=100_000),
    ("providers.held_back_ms", 1..=60_000),
    ("providers.breaker.after", 0..=1_000_000),
    ("providers.breaker.open_ms", 1..=24 * HOUR_MS),
    ("providers.breaker.max_open_ms", 1..=24 * HOUR_MS),
    ("payments.timeout_ms", 1..=MAX_TIMEOUT_MS),
    ("carrier.timeout_ms", 1..=MAX_TIMEOUT_MS),
    ("providers.retry.quick_tries", 1..=10_000),
    ("providers.retry.quick_wait_ms", 1..=HOUR_MS),
    ("providers.retry.long_wait_ms", 1..=24 * HOUR_MS),
    ("providers.retry.max_wait_ms", 1..=7 * 24 * HOUR_MS),
    ("simulated.payments.latency_min_ms", 0..=HOUR_MS),
    ("simulated.payments.latency_max_ms", 0..=HOUR_MS),
    ("simulated.payments.slow_ms", 0..=HOUR_MS),
    ("simulated.payments.seed", 0..=i64::MAX),
    ("simulated.carrier.latency_min_ms", 0..=HOUR_MS),
    ("simulated.carrier.latency_max_ms", 0..=HOUR_MS),
    ("simulated.carrier.slow_ms", 0..=HOUR_MS),
    ("simulated.carrier.seed", 0..=i64::MAX),
    ("simulated.carrier.cancel_window_ms", 0..=30 * 24 * HOUR_MS),
];

/// The range of every number that is not whole.
pub const RATES: &[(&str, RangeInclusive<f64>)] = &[
    ("providers.deadline_hours", 0.0001..=8_760.0),
    ("payments.rate", 0.0..=MAX_RATE),
    ("carrier.rate", 0.0..=MAX_RATE),
    ("simulated.payments.failure_rate", 0.0..=1.0),
    ("simulated.payments.decline_rate", 0.0..=1.0),
    ("simulated.payments.timeout_rate", 0.0..=1.0),
    ("simulated.carrier.failure_rate", 0.0..=1.0),
    ("simulated.carrier.decline_rate", 0.0..=1.0),
    ("simulated.carrier.timeout_rate", 0.0..=1.0),
];

/// Pairs of which the first may not be greater than the second.
const ORDERED: &[(&str, &str)] = &[
    ("providers.breaker.open_ms", "providers.breaker.max_open_ms"),
    ("simulated.payments.latency_min_ms", "simulated.payments.latency_max_ms"),
    ("simulated.carrier.latency_min_ms", "simulated.carrier.latency_max_ms"),
];

/// The settings that are one of several words.
pub const WORDS: &[(&str, &[&str])] = &[
    ("payments.provider", &["simulated", HTTP]),
    ("carrier.provider", &["simulated", HTTP]),
    ("kafka.tls", &["off", "verify"]),
    ("kafka.sasl", &["none", "plain", "scram-sha-256", "scram-sha-512"]),
    ("database.tls", &["off", "prefer", VERIFY]),
    ("dialects.order_tracking.stays", STAYS),
    ("dialects.order_processing.stays", STAYS),
    ("dialects.order_fulfilment.stays", STAYS),
    ("dialects.cart_dotnet.stays", STAYS),
    ("dialects.cart_fastapi.stays", STAYS),
    ("dialects.order_processing.letters", &["auto", "camel", "pascal"]),
    ("log.format", &["auto", "text", "json"]),
];

/// Which half of an old system stays.
const STAYS: &[&str] = &["none", "front", "back"];

/// The word for a provider that answers over HTTP.
const HTTP: &str = "http";

/// The word for connections to a database that is checked.
const VERIFY: &str = "verify";

/// Services that can be paused.
const PAUSABLE: [&str; 2] = ["payments", "fulfillment"];

/// The levels of a log filter.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Complains about every value that can't work.
pub fn check(layers: &mut Layers) {
    for (key, range) in RANGES {
        if let Some(number) = integer(layers, key).filter(|number| !range.contains(number)) {
            let (from, to) = (range.start(), range.end());
            layers.complain(key, format!("{key} must be between {from} and {to}, not {number}"));
        }
    }
    for (key, range) in RATES {
        let number = layers.get(key).and_then(|setting| setting.value.as_float());
        if let Some(number) = number.filter(|number| !range.contains(number)) {
            let (from, to) = (range.start(), range.end());
            layers.complain(key, format!("{key} must be between {from} and {to}, not {number}"));
        }
    }
    for (low, high) in ORDERED {
        if let (Some(least), Some(most)) = (integer(layers, low), integer(layers, high))
            && least > most
        {
            let what = format!("{low} ({least}) must not be greater than {high} ({most}); set both");
            // Whichever was set by somebody is to blame; both: the lower.
            let blamed = [low, high].into_iter().find(|key| is_set(layers, key)).unwrap_or(low);
            layers.complain(blamed, what);
        }
    }
    check_text(layers, "http.listen", listen);
    check_text(layers, "admin.listen", |own| if own.is_empty() { None } else { listen(own) });
    for port in OldPort::ALL {
        check_text(layers, port.setting(), |own| if own.is_empty() { None } else { listen(own) });
    }
    check_text(layers, "dialects.topic_prefix", |name| if name.is_empty() { None } else { kafka_name(name) });
    dialects(layers);
    search(layers);
    check_text(layers, "data.dir", |dir| {
        dir.is_empty().then(|| "must name a directory, not be empty".to_owned())
    });
    check_text(layers, "database.url", database_url);
    check_text(layers, "database.schema", schema);
    check_text(layers, "kafka.brokers", brokers);
    for key in ["kafka.topic_prefix", "kafka.group"] {
        check_text(layers, key, kafka_name);
    }
    check_text(layers, "kafka.instance", |name| if name.is_empty() { None } else { kafka_name(name) });
    check_text(layers, "kafka.ca_file", |file| {
        let missing = !file.is_empty() && !std::path::Path::new(file).is_file();
        missing.then(|| format!("names no file that is there: {file:?}"))
    });
    if text(layers, "kafka.sasl") != "none" && !text(layers, "kafka.brokers").is_empty() {
        for key in ["kafka.user", "kafka.password"] {
            if text(layers, key).is_empty() {
                layers.complain(
                    key,
                    format!("{key} must be given for kafka.sasl = {:?}", text(layers, "kafka.sasl")),
                );
            }
        }
    }
    if !text(layers, "kafka.brokers").is_empty() && text(layers, "database.url").is_empty() {
        let what =
            "kafka.brokers needs database.url: on files, all services are in one process and need no Kafka";
        layers.complain("kafka.brokers", what.to_owned());
    }
    check_text(layers, "log.filter", log_filter);
    for (key, words) in WORDS {
        check_text(layers, key, |text| {
            (!words.contains(&text)).then(|| format!("must be one of {}, not {text:?}", words.join(", ")))
        });
    }
    paused(layers);
    same_address(layers);
    database_tls(layers);
    for name in ["payments", "carrier"] {
        provider(layers, name);
    }
}

fn integer(layers: &Layers, key: &str) -> Option<i64> {
    layers.get(key)?.value.as_integer()
}

fn is_set(layers: &Layers, key: &str) -> bool {
    layers.get(key).is_some_and(|setting| !setting.is_default())
}

fn check_text(layers: &mut Layers, key: &str, wrong: impl Fn(&str) -> Option<String>) {
    let what = layers.get(key).and_then(|setting| setting.value.as_str()).and_then(wrong);
    if let Some(what) = what {
        layers.complain(key, format!("{key} {what}"));
    }
}

fn text<'a>(layers: &'a Layers, key: &str) -> &'a str {
    layers.get(key).and_then(|setting| setting.value.as_str()).unwrap_or_default()
}

fn paused(layers: &mut Layers) {
    let key = "workers.paused";
    let named = layers.get(key).and_then(|setting| setting.value.as_array()).into_iter().flatten();
    let strange: Vec<String> = named
        .filter(|name| !name.as_str().is_some_and(|name| PAUSABLE.contains(&name)))
        .map(Value::to_string)
        .collect();
    if !strange.is_empty() {
        let what = format!("{key} may name payments and fulfillment only, not {}", strange.join(", "));
        layers.complain(key, what);
    }
}

/// Where the search server is, by what name the index goes there, and one proof of who we are.
fn search(layers: &mut Layers) {
    check_text(layers, "search.listen", |own| if own.is_empty() { None } else { listen(own) });
    check_text(layers, "search.index", |name| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.len() <= 100
            && name.chars().all(plain);
        let rule = "must be a small letter and up to 99 small letters, digits, hyphens, underscores and dots";
        (!good).then(|| format!("{rule}, not {name:?}"))
    });
    let given = |key: &str| text(layers, &format!("search.{key}")).to_owned();
    let settings = SearchSettings {
        enabled: true,
        url: given("url"),
        index: given("index"),
        listen: String::new(),
        user: given("user"),
        password: given("password").into(),
        api_key: given("api_key").into(),
        ca_file: given("ca_file").into(),
        replicas: 0,
    };
    let wrong = match settings.server() {
        Some(server)
            if server.password.is_empty() && !server.user.is_empty() && server.api_key.is_empty() =>
        {
            Some(("password", "is empty, but there is a search.user: set both".to_owned()))
        }
        Some(server) => server
            .check()
            .err()
            .map(|SettingsError { field, problem }| (if field == "urls" { "url" } else { field }, problem)),
        // An index of our own asks nobody who we are.
        None => ["user", "password", "api_key", "ca_file"]
            .into_iter()
            .find(|key| !given(key).is_empty())
            .map(|key| (key, "is for a search server, but search.url names none".to_owned())),
    };
    if let Some((key, what)) = wrong {
        let key = format!("search.{key}");
        layers.complain(&key, format!("{key} {what}"));
    }
}

/// What the dialects need: names that exist, and Kafka where a half of an old system stays.
fn dialects(layers: &mut Layers) {
    let key = "dialects.off";
    let known = DIALECTS.map(|dialect| dialect.name);
    let named = layers.get(key).and_then(|setting| setting.value.as_array()).into_iter().flatten();
    let strange: Vec<String> = named
        .filter(|name| !name.as_str().is_some_and(|name| known.contains(&name)))
        .map(Value::to_string)
        .collect();
    if !strange.is_empty() {
        let what = format!("{key} may name {} only, not {}", known.join(", "), strange.join(", "));
        layers.complain(key, what);
    }
    let no_kafka = text(layers, "kafka.brokers").is_empty();
    for dialect in known {
        let section = format!("dialects.{}", dialect.replace('-', "_"));
        let key = format!("{section}.stays");
        let stays = text(layers, &key).to_owned();
        if no_kafka && matches!(&*stays, "front" | "back") {
            let what = format!("{key} = {stays:?} needs kafka.brokers: the halves speak through Kafka");
            layers.complain(&key, what);
        }
        let spoken = layers.get(&format!("{section}.topics")).and_then(|setting| setting.value.as_bool());
        if stays == "back" && spoken == Some(false) {
            let what =
                format!("{key} = \"back\" needs {section}.topics = true: the old half hears of orders there");
            layers.complain(&key, what);
        }
        let url = format!("{section}.front_url");
        if stays == "front" && layers.get(&url).is_some() && text(layers, &url).is_empty() {
            let what = format!("{url} must say where the old order service is, such as http://orders:5000");
            layers.complain(&key, what);
        }
    }
}

/// Two listeners can't share a port of an address, nor can one have it on all of them.
fn same_address(layers: &mut Layers) {
    let enabled = layers.get("admin.enabled").and_then(|setting| setting.value.as_bool()).unwrap_or_default();
    let address = |key| {
        let (host, port) = text(layers, key).rsplit_once(':')?;
        let host = if host == "localhost" { "127.0.0.1" } else { host.trim_matches(['[', ']']) };
        // With port 0, the system chooses another one for each.
        Some((host.to_owned(), port.parse::<u16>().ok().filter(|port| *port != 0)?))
    };
    let all = |host: &str| host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    if let (true, Some((api, port)), Some((own, own_port))) =
        (enabled, address("http.listen"), address("admin.listen"))
        && port == own_port
        && (api == own || all(&api) || all(&own))
    {
        let what = format!(
            "admin.listen ({}) must be another port than that of http.listen ({}), or empty: then it is on the API's listener",
            text(layers, "admin.listen"),
            text(layers, "http.listen"),
        );
        layers.complain("admin.listen", what);
    }
}

/// What the database's url, its encryption and its authorities say must agree.
fn database_tls(layers: &mut Layers) {
    let (key, word) = ("database.ca_file", text(layers, "database.tls").to_owned());
    let file = text(layers, key).to_owned();
    if !file.is_empty() && word != VERIFY {
        layers.complain(
            key,
            format!("{key} is used with database.tls = \"{VERIFY}\" only, not with \"{word}\""),
        );
    } else if !file.is_empty()
        && let Err(error) = std::fs::read(&file)
    {
        layers.complain(key, format!("{key} ({file}) can't be read: {error}"));
    }
    let tls = match word.as_str() {
        "off" => PostgresTls::Off,
        VERIFY => PostgresTls::Verify { ca_file: None },
        _ => PostgresTls::Prefer,
    };
    if let Some(said) = PostgresOptions::contradiction(text(layers, "database.url"), &tls) {
        let what = format!("database.url says {said}, but database.tls is {word:?}: one of them must change");
        layers.complain("database.tls", what);
    }
}

/// What a provider over HTTP needs. Nothing of it is looked at for a simulated one.
fn provider(layers: &mut Layers, name: &str) {
    let key = |name_of: &str| format!("{name}.{name_of}");
    let values = layers.get(&key("headers")).and_then(|setting| setting.value.as_table());
    let (mut headers, mut wrong) = (BTreeMap::new(), Vec::new());
    for (header, value) in values.into_iter().flatten() {
        match value.as_str() {
            Some(value) => {
                headers.insert(header.clone(), value.to_owned());
            }
            None => {
                wrong.push((key("headers"), format!("{} must be text", key(&format!("headers.{header}")))))
            }
        }
    }
    if text(layers, &key("provider")) == HTTP {
        let url = text(layers, &key("url")).to_owned();
        // Who asked for HTTP left out the URL.
        let blamed = |of: &str| if of == "url" && url.is_empty() { key("provider") } else { key(of) };
        let token = text(layers, &key("token")).to_owned();
        let settings = HttpSettings { url: url.clone(), timeout: Duration::ZERO, token, headers };
        for (of, error) in settings.wrong() {
            let needed = format!("docs/providers.md says what is needed for {name}.provider = \"http\"");
            wrong.push((blamed(&of), format!("{name}.{error}. {needed}")));
        }
    }
    for (key, what) in wrong {
        layers.complain(&key, what);
    }
}

/// An address and a port; whether the address is ours shows when we listen.
fn listen(text: &str) -> Option<String> {
    let form = "an address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080";
    let good = match text.rsplit_once(':') {
        Some((host, port)) => {
            let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
            !host.is_empty() && !bare_v6 && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok()
        }
        None => false,
    };
    (!good).then(|| format!("must be {form}, not {text:?}"))
}

/// What can be read as the address of a database. It is not shown: it may hold a password.
fn database_url(text: &str) -> Option<String> {
    let form = "must be a PostgreSQL URL, such as postgres://user:password@host:5432/database";
    if text.is_empty() {
        return None;
    }
    PostgresOptions::wrong(text).map(|wrong| format!("{form}: {wrong}"))
}

fn brokers(text: &str) -> Option<String> {
    let good = |broker: &str| {
        let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok()
    };
    let bad = text.split(',').map(str::trim).find(|broker| !good(broker)).filter(|_| !text.is_empty())?;
    Some(format!("must be addresses such as kafka-1:9092,kafka-2:9092; {bad:?} is none"))
}

/// What Kafka takes as a part of a name.
fn kafka_name(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = !text.is_empty() && text.len() <= 200 && text.chars().all(plain);
    (!good).then(|| format!("must have letters, digits, '.', '_' and '-' only, at most 200, not {text:?}"))
}

/// With what follows it must be a name that PostgreSQL does not cut.
fn schema(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let good =
        text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= 48 && text.chars().all(plain);
    (!good).then(|| format!("must begin with a letter and have lower-case letters, digits and _ only, at most 48, not {text:?}"))
}

/// The form of `RUST_LOG`. A bare word that looks like a level and is none would name a module that logs nothing.
fn log_filter(text: &str) -> Option<String> {
    let form = "it is a list such as info,cartwright_server=debug with the levels off, error, warn, info, debug, trace";
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let level = word.rsplit_once('=').map_or(word, |(_, level)| level).to_lowercase();
        let near = LEVELS.iter().find(|known| strsim::damerau_levenshtein(known, &level) <= 2);
        if let Some(near) = near.filter(|near| **near != level && level.parse::<u8>().is_err()) {
            return Some(format!("has {word:?} in it: did you mean {near}? {form}"));
        }
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) if !text.trim().is_empty() => None,
        Ok(_) => Some(format!("must not be empty: {form}")),
        Err(error) => Some(format!("can't be read ({error}): {form}")),
    }
}
