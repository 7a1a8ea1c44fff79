//! Settings: whatever a file, the environment or a flag holds, it is read, or the setting is named.

use std::{collections::HashMap, path::Path};

use cartwright_server::config::{Config, DEFAULTS};
use cartwright_testkit::garbage;
use proptest::{prelude::*, sample::Index};

/// Every setting of the default file, by its whole key.
fn settings() -> Vec<String> {
    let mut section = "";
    let mut keys = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push(format!("{section}.{key}"));
        }
    }
    keys
}

fn value() -> impl Strategy<Value = String> {
    let number =
        prop_oneof![any::<i64>().prop_map(|n| n.to_string()), any::<f64>().prop_map(|n| n.to_string())];
    prop_oneof![
        number,
        any::<String>(),
        "[-+0-9.,e_]{1,12}|true|nan|inf|-inf|\\[\\]|\\{\\}|payments|payments,orders"
    ]
}

/// Reads the default file with this in place of itself.
fn read(text: &[u8]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, text).unwrap();
    read_in(HashMap::new(), Some(&file), &[])
}

fn read_in(
    environment: HashMap<String, String>,
    file: Option<&Path>,
    flags: &[(&str, String)],
) -> Result<Config, String> {
    let config = Config::read_in(Some(environment), file, flags).map_err(|error| error.to_string())?;
    config.services(); // nothing that was read overflows on its way to the services
    Ok(config)
}

/// Whether an error says which setting is meant: by its name, or by the section that it is in.
fn names(error: &str, key: &str) -> bool {
    key.split('.').any(|part| error.contains(&format!("`{part}`")) || error.contains(&format!("{part}.")))
        || error.contains(key)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_read_or_named(edits in garbage::edits()) {
        let text = garbage::edit(DEFAULTS.as_bytes(), &edits);
        if let Err(error) = read(&text) {
            let named = error.contains("mine.toml") || settings().iter().any(|key| names(&error, key));
            prop_assert!(named, "{error}");
        }
    }

    #[test]
    fn a_file_of_anything_is_read_or_named(bytes in garbage::bytes()) {
        if let Err(error) = read(&bytes) {
            prop_assert!(error.contains("mine.toml") || error.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn a_bad_value_in_a_file_names_its_setting(which in any::<Index>(), value in value()) {
        let keys = settings();
        let key = which.get(&keys);
        let (section, name) = key.rsplit_once('.').unwrap();
        if let Err(error) = read(format!("[{section}]\n{name} = {value}\n").as_bytes()) {
            prop_assert!(error.contains("mine.toml") || names(&error, key), "{key} = {value}: {error}");
        }
    }

    #[test]
    fn a_bad_value_in_the_environment_names_its_setting(which in any::<Index>(), value in value()) {
        let keys = settings();
        let key = which.get(&keys);
        let variable = format!("CARTWRIGHT__{}", key.replace('.', "__").to_uppercase());
        let environment = HashMap::from([(variable, value.clone()), ("CARTWRIGHT".into(), value.clone())]);
        if let Err(error) = read_in(environment, None, &[]) {
            prop_assert!(names(&error, key), "{key} = {value}: {error}");
        }
    }

    #[test]
    fn a_variable_of_any_name_is_refused_by_name_or_not_ours(name in "[A-Za-z_0-9é]{0,20}", value in any::<String>()) {
        for variable in [format!("CARTWRIGHT__{name}"), format!("CARTWRIGHT_{name}"), name.clone()] {
            let environment = HashMap::from([(variable, value.clone())]);
            if let Err(error) = read_in(environment, None, &[]) {
                let part = name.to_lowercase();
                let part = part.split("__").map(|part| part.trim_matches('_')).find(|part| !part.is_empty());
                prop_assert!(error.contains(part.unwrap_or_default()), "{name}: {error}");
            }
        }
    }

    #[test]
    fn a_bad_flag_names_its_setting(which in any::<Index>(), value in value()) {
        let keys = settings();
        let key = which.get(&keys);
        if let Err(error) = read_in(HashMap::new(), None, &[(key, value.clone())]) {
            prop_assert!(names(&error, key), "{key} = {value}: {error}");
        }
    }
}
