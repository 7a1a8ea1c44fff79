//! `cartwright config`: the settings in effect and where each came from, before anything starts.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    exit, out,
    style::{Paint, table},
};
use crate::config::{Config, ConfigError, DEFAULTS, Effective, Setting, is_secret};

/// What stands for a secret.
const MASK: &str = "***";

/// The settings that a command is given.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingsArgs {
    /// Where the data is kept [default: ./cartwright-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port of the API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SettingsArgs {
    /// The exit code when the settings are wrong: a file that is not there is another matter than one that is.
    fn exit_code(&self) -> u8 {
        let can_be_read = |file: &PathBuf| std::fs::File::open(file).is_ok();
        if self.config.as_ref().is_none_or(can_be_read) { exit::FAILED } else { exit::UNREACHABLE }
    }

    /// Reads the settings: the default file < the file given < the environment < the flags.
    ///
    /// # Errors
    /// [`ConfigError`] names every setting that is wrong.
    pub fn read(&self) -> Result<Effective, ConfigError> {
        let mut flags = Vec::new();
        if let Some(data) = &self.data {
            flags.push(("data.dir", data.display().to_string()));
        }
        if let Some(listen) = &self.listen {
            flags.push(("http.listen", listen.clone()));
        }
        Config::effective(None, self.config.as_deref(), &flags)
    }
}

/// `cartwright config …`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright config print")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with settings.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the settings in effect and where each came from
    #[command(
        after_help = "Secrets are shown as ***.\n\nExamples:\n  cartwright config print --config shop.toml\n  \
        cartwright config print --defaults > shop.toml"
    )]
    Print {
        /// Print the documented default file instead
        #[arg(long)]
        defaults: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Check the settings, and name everything that is wrong with them
    #[command(
        after_help = "Example:\n  cartwright config check --config shop.toml && systemctl restart cartwright"
    )]
    Check(SettingsArgs),
}

/// Runs `cartwright config …`.
pub fn run(args: &ConfigArgs) -> ExitCode {
    match &args.command {
        ConfigCommand::Print { defaults: true, .. } => {
            if args.json {
                out::line(json!({"file": DEFAULTS}));
            } else {
                out::raw(DEFAULTS.as_bytes());
            }
            ExitCode::SUCCESS
        }
        ConfigCommand::Print { settings, .. } => print(settings, args.json),
        ConfigCommand::Check(settings) => check(settings, args.json),
    }
}

/// Prints the settings in effect.
pub fn print(settings: &SettingsArgs, json: bool) -> ExitCode {
    let effective = match settings.read() {
        Ok(effective) => effective,
        Err(error) => return report(&error, settings),
    };
    if json {
        let settings: Vec<Value> = effective.settings.iter().map(as_json).collect();
        out::line(json!({"settings": settings}));
    } else {
        let mut rows = table(&["SETTING", "VALUE", "FROM"]);
        for setting in &effective.settings {
            rows.add_row([setting.key.clone(), shown(setting).to_string(), setting.origin.to_string()]);
        }
        let paint = Paint::stdout();
        for (n, line) in rows.lines().enumerate() {
            let line = line.trim_end();
            out::line(match n.checked_sub(1).and_then(|n| effective.settings.get(n)) {
                None => paint.bold(line),
                Some(setting) if setting.is_default() => paint.dim(line),
                Some(_) => line.to_owned(),
            });
        }
    }
    ExitCode::SUCCESS
}

fn check(settings: &SettingsArgs, json: bool) -> ExitCode {
    match (settings.read(), json) {
        (Ok(effective), false) => {
            let own = effective.settings.iter().filter(|setting| !setting.is_default()).count();
            out::line(format!(
                "the settings are good; {own} of {} differ from the default file",
                effective.settings.len()
            ));
            ExitCode::SUCCESS
        }
        (Ok(_), true) => {
            out::line(json!({"ok": true, "wrong": []}));
            ExitCode::SUCCESS
        }
        (Err(error), false) => report(&error, settings),
        (Err(error), true) => {
            let wrong: Vec<Value> = error
                .wrong
                .iter()
                .map(|wrong| json!({"from": wrong.origin.to_string(), "what": wrong.what}))
                .collect();
            out::line(json!({"ok": false, "wrong": wrong}));
            settings.exit_code().into()
        }
    }
}

fn report(error: &ConfigError, settings: &SettingsArgs) -> ExitCode {
    eprintln!("{} {error}", Paint::stderr().red("error:"));
    settings.exit_code().into()
}

fn as_json(setting: &Setting) -> Value {
    let value = serde_json::to_value(shown(setting)).unwrap_or_default();
    json!({"setting": setting.key, "value": value, "from": setting.origin.to_string()})
}

/// The value, unless it is a secret or a URL with a password in it.
fn shown(setting: &Setting) -> toml::Value {
    mask(&setting.value, is_secret(&setting.key))
}

fn mask(value: &toml::Value, secret: bool) -> toml::Value {
    match value {
        toml::Value::String(text) if secret && !text.is_empty() => MASK.into(),
        toml::Value::String(text) => without_password(text).unwrap_or_else(|| text.clone()).into(),
        toml::Value::Array(items) => items.iter().map(|item| mask(item, secret)).collect::<Vec<_>>().into(),
        toml::Value::Table(fields) => {
            let masked =
                fields.iter().map(|(name, value)| (name.clone(), mask(value, secret || is_secret(name))));
            toml::Value::Table(masked.collect())
        }
        other => other.clone(),
    }
}

/// The URL with its password masked; `None` if it has none.
fn without_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (name, _) = user.split_once(':')?;
    Some(format!("{scheme}://{name}:{MASK}{}", &rest[user.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        let setting =
            |key: &str, value: toml::Value| Setting { key: key.into(), value, origin: Origin::Default };
        let masked = |key: &str, value: &str| shown(&setting(key, value.into())).as_str().unwrap().to_owned();
        assert_eq!(masked("admin.token", "abc"), "***");
        assert_eq!(masked("http.api_keys", "abc"), "***");
        assert_eq!(masked("admin.token", ""), "");
        assert_eq!(masked("providers.url", "https://u:p@host/x"), "https://u:***@host/x");
        assert_eq!(masked("http.listen", "127.0.0.1:8080"), "127.0.0.1:8080");
        assert_eq!(masked("data.monkey", "abc"), "abc");
        let list = toml::Value::Array(vec!["abc".into()]);
        assert_eq!(shown(&setting("http.tokens", list)).to_string(), "[\"***\"]");
        let hook: toml::Table = "url = 'x'\nsecret = 'y'".parse().unwrap();
        let hooks = toml::Value::Array(vec![toml::Value::Table(hook)]);
        assert!(!shown(&setting("webhooks", hooks)).to_string().contains('y'));
    }
}
