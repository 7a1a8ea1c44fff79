//! Calling cargo.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::Failure;

/// The workspace's directory.
pub fn root() -> PathBuf {
    // Cargo says at run time where the package is; the checkout may have been moved since it was built.
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo, in the workspace's directory.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root()).args(args);
    command
}

/// What cargo knows of the workspace and all that it is built with, as JSON.
///
/// # Errors
/// Cargo can't be run, or `Cargo.lock` does not fit.
pub fn metadata() -> Result<Vec<u8>, Failure> {
    let output = cargo(&["metadata", "--format-version", "1", "--locked"]).output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(output.stdout)
}

/// A program that cargo built.
pub struct Built {
    /// The name of its target.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The directory of its package, if it holds tests.
    tests_of: Option<PathBuf>,
}

/// Runs `cargo build` with these arguments; its messages are shown as they come. `None` if it failed.
///
/// # Errors
/// Cargo can't be run.
pub fn build(args: &[&str]) -> Result<Option<Vec<Built>>, Failure> {
    let mut command = cargo(&["build", "--message-format=json-render-diagnostics"]);
    let mut child = command.args(args).stdout(Stdio::piped()).spawn()?;
    let mut built = Vec::new();
    if let Some(messages) = child.stdout.take() {
        for line in BufReader::new(messages).lines() {
            built.extend(program_in(&line?));
        }
    }
    Ok(child.wait()?.success().then_some(built))
}

/// The path of one of the programs that were built.
///
/// # Errors
/// It is not among them.
pub fn path_of<'a>(built: &'a [Built], name: &str) -> Result<&'a Path, Failure> {
    let found = built.iter().find(|program| program.name == name && program.tests_of.is_none());
    found.map(|program| program.path.as_path()).ok_or_else(|| format!("cargo built no program {name}").into())
}

/// The program with the integration tests `name` of the package in this directory of the workspace.
///
/// # Errors
/// It is not among those that were built.
pub fn tests_of<'a>(built: &'a [Built], package: &str, name: &str) -> Result<&'a Path, Failure> {
    let is_it = |program: &&Built| {
        program.name == name && program.tests_of.as_ref().is_some_and(|dir| dir.ends_with(package))
    };
    let found = built.iter().find(is_it).map(|program| program.path.as_path());
    found.ok_or_else(|| format!("cargo built no tests {name} of {package}").into())
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

fn program_in(message: &str) -> Option<Built> {
    let message: Message = serde_json::from_str(message).ok()?;
    let dir = message.manifest_path.and_then(|manifest| Some(manifest.parent()?.to_owned()));
    let tests_of = if message.profile?.test { Some(dir?) } else { None };
    Some(Built { name: message.target?.name, path: message.executable?, tests_of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_libraries_and_tests() {
        let message = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/server/Cargo.toml","target":{{"name":"cartwright","kind":["bin"]}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let tests = program_in(&message(true, r#""/t/cartwright-1f""#)).unwrap();
        let program = program_in(&message(false, r#""/t/cartwright""#)).unwrap();
        let built = [tests, program];
        assert_eq!(path_of(&built, "cartwright").unwrap(), Path::new("/t/cartwright"));
        assert_eq!(tests_of(&built, "server", "cartwright").unwrap(), Path::new("/t/cartwright-1f"));
        assert!(tests_of(&built, "store", "cartwright").is_err());
        assert!(program_in(&message(false, "null")).is_none());
        assert!(program_in(r#"{"reason":"build-finished","success":true}"#).is_none());
    }
}
