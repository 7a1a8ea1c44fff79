use std::{collections::BTreeSet, io::Write};

use super::*;

/// Reads settings with this file (none if empty), these variables and these flags.
fn read(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Effective, String> {
    let mut mine = tempfile::Builder::new().suffix("-shop.toml").tempfile().unwrap();
    mine.write_all(file.as_bytes()).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let file = (!file.is_empty()).then(|| mine.path());
    Config::effective(Some(variables.collect()), file, &flags).map_err(|error| {
        let text = error.to_string();
        // The directory is another one each time.
        text.replace(&mine.path().display().to_string(), "shop.toml")
    })
}

#[test]
fn later_layers_win_and_each_setting_knows_where_it_came_from() {
    let file = "[http]\nlisten = '127.0.0.1:1'\nmax_connections = 5\n[orders]\nmax_open = 6\n";
    let variables = [("CARTWRIGHT__HTTP__LISTEN", "127.0.0.1:2"), ("CARTWRIGHT__ORDERS__MAX_OPEN", "7")];
    let effective = read(file, &variables, &[("http.listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(effective.config.http.listen, "127.0.0.1:3");
    assert_eq!((effective.config.http.max_connections, effective.config.orders.max_open), (5, 7));
    let from =
        |key: &str| effective.settings.iter().find(|setting| setting.key == key).unwrap().origin.clone();
    assert_eq!(from("http.listen"), Origin::Flag("--listen".into()));
    assert_eq!(from("orders.max_open"), Origin::Environment("CARTWRIGHT__ORDERS__MAX_OPEN".into()));
    assert!(matches!(from("http.max_connections"), Origin::File(_, 3)), "{:?}", from("http.max_connections"));
    assert_eq!(from("data.dir"), Origin::Default);
}

#[test]
fn variables_have_the_kind_of_their_setting() {
    let variables = [
        ("CARTWRIGHT__WORKERS__PAUSED", "payments, fulfillment"),
        ("CARTWRIGHT__SIMULATED__PAYMENTS__FAILURE_RATE", "1"),
        ("CARTWRIGHT__DATA__DIR", "17"),
        ("CARTWRIGHT_SERVER", "http://elsewhere"),
        ("CARTWRIGHT_SERVICE_HOST", "10.0.0.1"),
        ("CARTWRIGHT_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    let config = read("", &variables, &[]).unwrap().config;
    assert_eq!(config.workers.paused, ["payments", "fulfillment"]);
    assert_eq!(config.data.dir, Path::new("17"));
    assert!((config.simulated.payments.failure_rate - 1.0).abs() < f64::EPSILON);
}

/// Every wrong setting, in a file, and what is said about it.
const WRONG: &[(&str, &str)] = &[
    ("[http]\nlisen = 'x'", "shop.toml:2: there is no setting http.lisen; did you mean http.listen?"),
    ("listen = 'x'", "shop.toml:1: there is no setting listen; did you mean http.listen?"),
    ("[htttp]\nlisten = 'x'", "shop.toml:2: there is no setting htttp.listen; did you mean http.listen?"),
    ("[webshop]\nzebra = 1", "shop.toml:2: there is no setting webshop.zebra\n"),
    ("http = 'x'", "shop.toml:1: http is a section with settings of its own, not a setting"),
    ("[http]\nlisten = 8080", "shop.toml:2: http.listen must be text, not 8080"),
    (
        "\n\n[http]\nmax_connections = '5'",
        "shop.toml:4: http.max_connections must be a whole number, not \"5\"",
    ),
    ("[http]\nmax_connections = 1.5", "http.max_connections must be a whole number, not 1.5"),
    ("[http]\nmax_connections = 0", "shop.toml:2: http.max_connections must be between 1 and 1000000, not 0"),
    ("[http]\nmax_connections = -1", "http.max_connections must be between 1 and 1000000, not -1"),
    ("[http]\nlisten = 'nonsense'", "http.listen must be an address and a port, such as 127.0.0.1:8080"),
    ("[http]\nlisten = ':8080'", "http.listen must be an address and a port"),
    ("[http]\nlisten = '::1:8080'", "http.listen must be an address and a port"),
    ("[http]\nlisten = '127.0.0.1:99999'", "http.listen must be an address and a port"),
    ("[data]\ndir = ''", "data.dir must name a directory"),
    ("[data]\nmin_free_mb = -1", "data.min_free_mb must be between 0 and"),
    ("[orders]\nmax_open = 0", "orders.max_open must be between 1 and"),
    (
        "[idempotency]\nretention_days = 99999",
        "idempotency.retention_days must be between 0 and 3650, not 99999",
    ),
    ("[sweeper]\nafter_seconds = 0", "sweeper.after_seconds must be between 1 and 2592000, not 0"),
    ("[providers]\nmax_calls = 0", "providers.max_calls must be between 1 and 100000, not 0"),
    (
        "[providers]\ndeadline_hours = 9000",
        "providers.deadline_hours must be between 0.0001 and 8760, not 9000",
    ),
    ("[providers.retry]\nquick_tries = 0", "providers.retry.quick_tries must be between 1 and 10000, not 0"),
    (
        "[simulated.payments]\ndecline_rate = 1.5",
        "simulated.payments.decline_rate must be between 0 and 1, not 1.5",
    ),
    (
        "[simulated.payments]\nfailure_rate = nan",
        "simulated.payments.failure_rate must be between 0 and 1, not NaN",
    ),
    (
        "[simulated.carrier]\nlatency_max_ms = 10",
        "shop.toml:2: simulated.carrier.latency_min_ms (20) must not be greater than simulated.carrier.latency_max_ms (10)",
    ),
    (
        "[workers]\npaused = ['orders']",
        "workers.paused may name payments and fulfillment only, not \"orders\"",
    ),
    ("[workers]\npaused = [1]", "shop.toml:2: workers.paused may name payments and fulfillment only, not 1"),
    ("[workers]\npaused = 'payments'", "workers.paused must be a list, not \"payments\""),
    (
        "[workers]\npaused = ['pay']",
        "shop.toml:2: workers.paused may name payments and fulfillment only, not \"pay\"",
    ),
    ("[log]\nformat = 'xml'", "shop.toml:2: log.format must be one of auto, text, json, not \"xml\""),
    ("[payments]\nprovider = 'http'", "shop.toml:2: payments.url is missing"),
    (
        "[carrier]\nprovider = 'http'\nurl = 'ftp://x'",
        "shop.toml:3: carrier.url must begin with http:// or https://",
    ),
    (
        "[carrier]\nprovider = 'http'\nurl = 'http://u:p@x'",
        "shop.toml:3: carrier.url must hold no user or password",
    ),
    ("[carrier]\nprovider = 'http'\nurl = 'http://x/?a=1'", "shop.toml:3: carrier.url must end with a path"),
    (
        "[payments]\nprovider = 'http'\nurl = 'http://x'\ntoken = \"a\\nb\"",
        "shop.toml:4: payments.token can't be sent in an HTTP header",
    ),
    (
        "[payments]\nprovider = 'http'\nurl = 'http://x'\n[payments.headers]\n'x y' = '1'",
        "shop.toml:4: payments.headers.x y can't be sent in an HTTP header",
    ),
    ("[payments.headers]\nx = 1", "shop.toml:1: payments.headers.x must be text"),
    (
        "[http]\nlisten = '0.0.0.0:9000'\n[admin]\nlisten = 'localhost:9000'",
        "shop.toml:4: admin.listen (localhost:9000) must be another port than that of http.listen (0.0.0.0:9000)",
    ),
    ("[admin]\nlisten = '127.0.0.1:8080'", "shop.toml:2: admin.listen (127.0.0.1:8080) must be another port"),
    ("[search]\nuser = 'shop'", "shop.toml:2: search.user is for a search server, but search.url names none"),
    (
        "[search]\nurl = 'http://x:9200'\nuser = 'shop'",
        "search.password is empty, but there is a search.user: set both",
    ),
    (
        "[search]\nurl = 'http://x:9200'\npassword = 'p'",
        "search.user is empty, but there is a password: set both",
    ),
    (
        "[search]\nurl = 'http://x:9200'\nuser = 'u'\npassword = 'p'\napi_key = 'k'",
        "shop.toml:5: search.api_key stands beside a user: set one of them",
    ),
    ("[search]\nurl = 'http://u:p@x:9200'", "shop.toml:2: search.url must not hold credentials"),
    ("[search]\nurl = 'x:9200'", "search.url must"),
    (
        "[search]\nurl = 'https://x:9200'\nca_file = '/nowhere.pem'",
        "shop.toml:3: search.ca_file /nowhere.pem: can't be read",
    ),
    ("[log]\nfilter = 'inof'", "log.filter has \"inof\" in it: did you mean info?"),
    ("[log]\nfilter = 'info,cartwright_server=debgu'", "did you mean debug?"),
    ("[log]\nfilter = 'a=b=c'", "log.filter can't be read"),
    ("[log]\nfilter = ''", "log.filter must not be empty"),
    ("[http\nlisten = 'x'", "shop.toml:1: the file is not TOML: "),
    ("[http]\nlisten = 'a:1'\nlisten = 'a:2'", "shop.toml:3: the file is not TOML: "),
];

#[test]
fn every_wrong_setting_is_named_with_its_file_and_what_it_must_be() {
    for (file, says) in WRONG {
        let error = read(file, &[], &[]).expect_err(file);
        assert!(error.contains(says), "{file}\n  said: {error}\n  must say: {says}");
    }
}

#[test]
fn wrong_variables_and_flags_are_named_too() {
    for (variable, value, says) in [
        ("CARTWRIGHT_HTTP_LISTEN", "x", "did you mean CARTWRIGHT__HTTP__LISTEN?"),
        ("CARTWRIGHT__HTTP_LISTEN", "x", "there is no setting http_listen; did you mean http.listen?"),
        ("CARTWRIGHT_ORDERS__MAX_OPEN", "5", "did you mean CARTWRIGHT__ORDERS__MAX_OPEN?"),
        ("CARTWRIGHT_SERVR", "x", "did you mean CARTWRIGHT_SERVER?"),
        ("CARTWRIGHT_XYZZY", "x", "a setting such as http.listen is CARTWRIGHT__HTTP__LISTEN"),
        ("CARTWRIGHT__ORDERS__MAX_OPEN", "many", "orders.max_open must be a whole number, not \"many\""),
        ("CARTWRIGHT__ORDERS__MAX_OPEN", "0", "orders.max_open must be between 1 and"),
        ("CARTWRIGHT__LOG__FILTER", "", "log.filter must not be empty"),
    ] {
        let error = read("", &[(variable, value)], &[]).expect_err(variable);
        assert!(error.contains(says), "{variable}={value}\n  said: {error}\n  must say: {says}");
        assert!(error.contains(&format!("environment variable {variable}: ")), "{error}");
    }
    let error = read("", &[], &[("http.listen", "nonsense")]).unwrap_err();
    assert!(error.contains("flag --listen: http.listen must be an address and a port"), "{error}");
}

#[test]
fn what_a_provider_can_t_do_is_named() {
    for (key, value, named) in [
        ("simulated.payments.latency_min_ms", "500", "simulated.payments.latency_max_ms"),
        ("payments.timeout_ms", "60000", "payments.timeout_ms must be between 1 and 12000"),
        ("carrier.rate", "-1", "carrier.rate must be between 0 and"),
        ("carrier.provider", "pigeon", "carrier.provider must be one of simulated, http, not \"pigeon\""),
        ("providers.breaker.max_open_ms", "1", "providers.breaker.max_open_ms"),
        ("providers.held_back_ms", "0", "providers.held_back_ms must be between 1 and 60000"),
        ("payments.headers", "x", "payments.headers must be names and values, as only a file can hold them"),
        ("admin.listen", "nonsense", "admin.listen must be an address and a port"),
    ] {
        let error = read("", &[], &[(key, value)]).unwrap_err();
        assert!(error.contains(named), "{key} = {value}: {error}");
    }
    let file = "[payments.headers]\nx-api-version = '2'\n[providers]\ndeadline_hours = 12";
    let config = read(file, &[], &[]).unwrap().config;
    assert_eq!(config.payments.http().headers.len(), 1);
    let error = read("[payments]\nheaders = { x = 1 }", &[], &[]).unwrap_err();
    assert!(error.contains("shop.toml:") && error.contains("payments.headers"), "{error}");
}

#[test]
fn secrets_are_taken_as_they_are_and_never_shown() {
    let config = read("", &[("CARTWRIGHT__PAYMENTS__TOKEN", "007")], &[]).unwrap().config;
    assert_eq!(config.payments.http().token, "007");
    assert!(!format!("{config:?}").contains("007"), "{config:?}");
    let error = read("[payments]\ntoken = 4711", &[], &[]).unwrap_err();
    assert!(error.contains("payments.token must be text") && !error.contains("4711"), "{error}");
}

/// A file that holds a secret, and its name.
fn kept(secret: &[u8]) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(secret).unwrap();
    let name = file.path().display().to_string();
    (file, name)
}

#[test]
fn a_secret_may_be_in_a_file_that_a_variable_names() {
    let (_url, url) = kept(b"postgres://shop:pa55@db.example/shop\n");
    let (_token, token) = kept(b" tok 1 \r\n");
    let variables =
        [("CARTWRIGHT__DATABASE__URL_FILE", &*url), ("cartwright__PAYMENTS__TOKEN_FILE", &*token)];
    let effective = read("[payments]\ntoken = 'of the file of settings'", &variables, &[]).unwrap();
    assert_eq!(effective.config.database.url.expose(), "postgres://shop:pa55@db.example/shop");
    assert_eq!(effective.config.payments.http().token, " tok 1 ", "only the end of the line is cut");
    let url_setting = effective.settings.iter().find(|setting| setting.key == "database.url").unwrap();
    let from = format!("file {url} (environment variable CARTWRIGHT__DATABASE__URL_FILE)");
    assert_eq!(url_setting.origin.to_string(), from);
    assert!(!format!("{effective:?}").contains("pa55"), "{effective:?}");
}

#[test]
fn a_secret_that_its_file_does_not_give_is_named_with_variable_file_and_reason() {
    let name = "CARTWRIGHT__PAYMENTS__TOKEN_FILE";
    let (_empty, empty) = kept(b"\n");
    let (_bytes, bytes) = kept(b"s3cret\xff");
    let (_large, large) = kept(&vec![b'x'; 100_000]);
    for (file, why) in [
        ("/nowhere/token", "can't be read (No such file or directory"),
        ("/", "can't be read (Is a directory"),
        ("", "can't be read (No such file or directory"),
        (&empty, "is empty"),
        (&bytes, "is not text in UTF-8"),
        (&large, "holds more than 65536 bytes"),
    ] {
        let error = read("", &[(name, file)], &[]).unwrap_err();
        let says = format!(
            "environment variable {name}: the file {file:?}, which should hold payments.token, {why}"
        );
        assert!(error.contains(&says), "{error}\n  must say: {says}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let (_good, good) = kept(b"s3cret");
    for itself in ["CARTWRIGHT__PAYMENTS__TOKEN", "cartwright__payments__token"] {
        let error = read("", &[(name, &good), (itself, "an0ther")], &[]).unwrap_err();
        assert!(error.contains(&format!("payments.token is also given by {itself}")), "{error}");
        assert!(!error.contains("s3cret") && !error.contains("an0ther"), "{error}");
    }
    for (variable, says) in [
        ("CARTWRIGHT__HTTP__LISTEN_FILE", "http.listen is no secret: only secrets can be given as files"),
        ("CARTWRIGHT__DATABASE__PASSWORD_FILE", "there is no setting database.password_file"),
        ("CARTWRIGHT_DATABASE_URL_FILE", "did you mean CARTWRIGHT__DATABASE__URL_FILE?"),
    ] {
        let error = read("", &[(variable, &good)], &[]).unwrap_err();
        assert!(error.contains(says), "{error}\n  must say: {says}");
    }
}

#[test]
fn a_wrong_url_of_a_database_is_refused_without_showing_it() {
    for (url, says) in [
        ("postgres://shop:s3cret@db:port/x", "port"),
        ("postgres://shop:s3cret@", "it names no host"),
        ("postgres://shop:x@s3cret@db/x", "percent-encoded"),
        ("postgres://shop:x@y/s3cret@db/x", "percent-encoded"),
        ("host=db password=x s3cret=1", "percent-encoded"),
        ("host=db password=x s3cret", "must be a PostgreSQL URL"),
        ("mysql://shop:s3cret@db", "must be a PostgreSQL URL"),
        ("postgres://shop:s3cret@db/x?sslmode=verify-full", "database.tls"),
        ("postgres://shop:s3cret@db/x?sslrootcert=/x", "database.ca_file"),
    ] {
        let (_file, file) = kept(url.as_bytes());
        for variable in [("CARTWRIGHT__DATABASE__URL", url), ("CARTWRIGHT__DATABASE__URL_FILE", &file)] {
            let error = read("", &[variable], &[]).expect_err(url);
            assert!(
                error.contains("database.url must be a PostgreSQL URL") && error.contains(says),
                "{url}: {error}"
            );
            assert!(!error.contains("s3"), "{url}: {error}");
        }
    }
}

#[test]
fn how_a_database_is_encrypted_must_not_contradict_itself() {
    let url = ("database.url", "postgres://shop@db/x");
    let config = read("", &[], &[url]).unwrap().config;
    assert_eq!(config.postgres().unwrap().tls, PostgresTls::Prefer);
    let (_ca, ca) = kept(b"-----BEGIN CERTIFICATE-----");
    let verify = [url, ("database.tls", "verify"), ("database.ca_file", &ca)];
    let config = read("", &[], &verify).unwrap().config;
    let verify = PostgresTls::Verify { ca_file: Some(ca.clone().into()) };
    assert_eq!(config.postgres().unwrap().tls, verify);
    let disabled = ("database.url", "postgres://shop@db/x?sslmode=disable");
    let required = ("database.url", "postgres://shop@db/x?sslmode=require");
    for (settings, says) in [
        (
            &[url, ("database.tls", "always")][..],
            "database.tls must be one of off, prefer, verify, not \"always\"",
        ),
        (&[url, ("database.ca_file", &ca)], "database.ca_file is used with database.tls = \"verify\" only"),
        (
            &[url, ("database.tls", "verify"), ("database.ca_file", "/nowhere.pem")],
            "database.ca_file (/nowhere.pem) can't be read",
        ),
        (
            &[disabled, ("database.tls", "verify")],
            "database.url says sslmode=disable, but database.tls is \"verify\"",
        ),
        (
            &[required, ("database.tls", "off")],
            "database.url says sslmode=require, but database.tls is \"off\"",
        ),
    ] {
        let error = read("", &[], settings).unwrap_err();
        assert!(error.contains(says), "{error}\n  must say: {says}");
    }
    assert!(
        read("", &[], &[disabled]).is_ok() && read("", &[], &[required]).is_ok(),
        "the url may say more than the default"
    );
}

#[test]
fn secrets_are_told_by_their_names() {
    for secret in ["payments.token", "admin.api_keys", "a.PASSWORD", "x-secret", "Authorization"] {
        assert!(is_secret(secret), "{secret}");
    }
    for other in ["data.dir", "http.listen", "keyboard.layout", "token.count"] {
        assert!(!is_secret(other), "{other}");
    }
}

#[test]
fn an_empty_section_sets_nothing() {
    assert!(read("[http]\n[orders]\n", &[], &[]).is_ok());
    let error = read("[nothing]\n", &[], &[]).unwrap_err();
    assert!(error.contains("there is no setting nothing"), "{error}");
}

#[test]
fn everything_wrong_is_said_at_once_and_a_missing_file_is_named() {
    let error = read("[http]\nlisten = 1\n[orders]\nmax_open = 0", &[("CARTWRIGHT_X", "")], &[]).unwrap_err();
    assert!(error.starts_with("3 settings are wrong:"), "{error}");
    assert_eq!(error.lines().count(), 5, "{error}");
    let file = "[log]\nformat = 'xml'\n[workers]\npaused = ['pay']\n[payments]\nprovider = 'http'\ntoken = \"\\n\"\n\
        [carrier]\nprovider = 'pigeon'\n[orders]\nmax_open = 0\n";
    let error = read(file, &[], &[]).unwrap_err();
    assert!(error.starts_with("6 settings are wrong:"), "{error}");
    assert_eq!(error.lines().count(), 8, "each once: {error}");
    let error = Config::read(Some(Path::new("/nowhere/mine.toml")), &[]).unwrap_err().to_string();
    assert!(error.contains("/nowhere/mine.toml: the file can't be read"), "{error}");
}

#[test]
fn the_default_file_is_the_documentation_of_every_setting() {
    let config = Config::read_in(Some(HashMap::new()), None, &[]).unwrap();
    assert_eq!(config.services().sweep_after, Duration::from_secs(300));
    let in_file: BTreeSet<String> = Layers::defaults().settings().iter().map(|s| s.key.clone()).collect();
    let mut in_struct = BTreeSet::new();
    let table = toml::Table::try_from(&config).unwrap();
    keys("", &table, &mut in_struct);
    // Only a carrier's shipment can be stopped; both simulated ones share a struct.
    assert!(in_struct.remove("simulated.payments.cancel_window_ms"));
    assert_eq!(in_file, in_struct, "the file and the struct name the same settings");
    // A comment above a setting, or above the run of settings that it is about.
    let mut commented = false;
    for line in DEFAULTS.lines().map(str::trim) {
        match line.chars().next() {
            None | Some('[') => commented = false,
            Some('#') => commented = true,
            Some(_) => assert!(commented, "{line} has no comment"),
        }
    }
}

#[test]
fn every_word_that_a_setting_may_be_is_read() {
    for (key, words) in checks::WORDS {
        for word in *words {
            let needed = [
                (*key, *word),
                ("payments.url", "http://x"),
                ("carrier.url", "http://x"),
                ("database.url", "postgres://x"),
                ("kafka.brokers", "x:9092"),
                ("kafka.user", "x"),
                ("kafka.password", "x"),
                ("dialects.order_processing.front_url", "http://x"),
            ];
            assert!(read("", &[], &needed).is_ok(), "{key} = {word}");
        }
    }
    let may_share = [("admin.listen", "127.0.0.1:8080"), ("admin.enabled", "false")];
    assert!(read("", &[], &may_share).is_ok(), "nobody listens there");
    assert!(read("", &[], &[("http.listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0")]).is_ok());
    assert!(read("", &[], &[("payments.url", "ftp://x")]).is_ok(), "nobody is asked there");
}

#[test]
fn every_number_has_a_range() {
    for setting in Layers::defaults().settings() {
        let known = match setting.value {
            toml::Value::Integer(_) => checks::RANGES.iter().any(|(key, _)| *key == setting.key),
            toml::Value::Float(_) => checks::RATES.iter().any(|(key, _)| *key == setting.key),
            _ => true,
        };
        assert!(known, "{} has no range in config/checks.rs", setting.key);
    }
    let defaults = Layers::defaults();
    let keys = checks::RANGES.iter().map(|(key, _)| key).chain(checks::RATES.iter().map(|(key, _)| key));
    for key in keys {
        assert!(defaults.get(key).is_some(), "{key} has a range and is no setting");
    }
}

fn keys(above: &str, table: &toml::Table, into: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            toml::Value::Table(table) if !table.is_empty() => keys(&key, table, into),
            _ => {
                into.insert(key);
            }
        }
    }
}
