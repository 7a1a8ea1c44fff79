//! A Python with the official clients of Elasticsearch and OpenSearch, for the test that runs them against us.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{place::Place, process};
use crate::Failure;

/// What tests read.
const VARIABLE: &str = "CARTWRIGHT_TEST_PYTHON";

/// What is installed.
const CLIENTS: [&str; 2] = ["elasticsearch==8.19.3", "opensearch-py==3.2.0"];

/// The variable that tells tests where it is, unless it names one already.
///
/// # Errors
/// There is no Python, or the clients can't be installed.
pub fn for_tests() -> Result<Option<(&'static str, String)>, Failure> {
    if env::var_os(VARIABLE).is_some() {
        return Ok(None);
    }
    let place = Place::made()?;
    let _lock = place.lock()?; // another checkout may want the same at the same time
    let python = installed(&place.of("python"))?;
    Ok(Some((VARIABLE, python.display().to_string())))
}

/// The interpreter of an environment that has the clients; it is made if there is none, or one with others.
fn installed(dir: &Path) -> Result<PathBuf, Failure> {
    let (python, note) = (dir.join("bin/python"), dir.join("clients"));
    let wanted = CLIENTS.join("\n");
    if fs::read_to_string(&note).is_ok_and(|noted| noted == wanted) && python.is_file() {
        return Ok(python);
    }
    println!("python: installing {}", CLIENTS.join(" and "));
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    let advice = "Python 3 with its module venv is needed (on Debian: apt-get install python3-venv)";
    run(Command::new("python3").args(["-m", "venv"]).arg(dir), advice)?;
    let advice = "the clients are fetched from the package index that pip is set up with";
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(CLIENTS), advice)?;
    fs::write(&note, wanted)?;
    Ok(python)
}

fn run(command: &mut Command, advice: &str) -> Result<(), Failure> {
    process::run(command).map(drop).map_err(|error| format!("{error}\n{advice}").into())
}
