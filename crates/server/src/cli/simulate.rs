//! `cartwright simulate`: how the simulated providers behave, and making them behave otherwise while the system runs.

use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    ServerArg,
    api::{Api, ApiError},
    out,
    style::{Paint, table},
};
use crate::control::{Behaviour, Mode, PROVIDERS};

/// Show how the simulated providers behave, or make them behave otherwise
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct SimulateArgs {
    /// What is to behave how: `payments=down`, `carrier=slow`; nothing: show how they behave
    #[arg(value_name = "PROVIDER=MODE", value_parser = read_wish)]
    wishes: Vec<Wish>,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "Modes:
  up       as its settings say
  down     no call reaches it
  slow     every answer takes long
  decline  every new operation is declined
  timeout  operations happen, but their first answer gets lost
  flaky    some calls fail, and some answers get lost

It lasts until told otherwise, also over a restart of the server. Rates and latencies of their own: PUT /v1/admin/simulated/payments (see /docs).

Examples:
  cartwright simulate payments=down
  cartwright simulate payments=up carrier=flaky";

/// What one provider is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    provider: &'static str,
    mode: Mode,
}

/// How both behave; `null` for one that is real.
#[derive(Debug, Deserialize, Serialize)]
struct Simulated {
    payments: Option<Behaviour>,
    carrier: Option<Behaviour>,
}

/// Runs `cartwright simulate …`.
pub async fn run(args: SimulateArgs) -> ExitCode {
    match simulate(&args).await {
        Ok(simulated) => {
            show(&simulated, args.json);
            ExitCode::SUCCESS
        }
        Err(error) => error.report(),
    }
}

async fn simulate(args: &SimulateArgs) -> Result<Simulated, ApiError> {
    let api = Api::new(args.server.url())?;
    for Wish { provider, mode } in &args.wishes {
        let path = format!("/v1/admin/simulated/{provider}");
        let _: Behaviour = api.put(&path, &json!({ "mode": mode })).await?;
    }
    api.get("/v1/admin/simulated", &[]).await
}

fn read_wish(text: &str) -> Result<Wish, String> {
    let how = "say who is to behave how, as in payments=down";
    let (provider, mode) = text.split_once('=').ok_or(how)?;
    let provider = PROVIDERS
        .into_iter()
        .find(|known| *known == provider)
        .ok_or_else(|| format!("there is no provider {provider:?}; there are {}", PROVIDERS.join(" and ")))?;
    let (_, mode) = Mode::ALL.into_iter().find(|(word, _)| *word == mode).ok_or_else(|| {
        let words: Vec<&str> = Mode::ALL.iter().map(|(word, _)| *word).collect();
        format!("there is no mode {mode:?}; there are {}", words.join(", "))
    })?;
    Ok(Wish { provider, mode })
}

fn show(simulated: &Simulated, json: bool) {
    if json {
        out::line(json!(simulated));
        return;
    }
    let paint = Paint::stdout();
    let mut table = table(&["PROVIDER", "MODE", "", "LATENCY", "FAILS", "DECLINES", "LOSES ANSWERS"]);
    for (name, behaviour) in [("payments", &simulated.payments), ("carrier", &simulated.carrier)] {
        table.add_row(match behaviour {
            Some(it) => {
                let mode = it.mode.as_str();
                let mode = if it.mode == Mode::Up { paint.green(mode) } else { paint.yellow(mode) };
                let latency = format!("{}-{} ms", it.latency_min_ms, it.latency_max_ms);
                let [fails, declines, loses] =
                    [it.failure_rate, it.decline_rate, it.timeout_rate].map(percent);
                vec![name.into(), mode, it.mode.meaning().into(), latency, fails, declines, loses]
            }
            None => vec![name.into(), paint.dim("real"), "not simulated, so not steered from here".into()],
        });
    }
    out::line(table.trim_fmt());
}

/// A share as a percentage of one decimal.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_and_unknown_words_are_named_with_the_known_ones() {
        assert_eq!(read_wish("carrier=slow"), Ok(Wish { provider: "carrier", mode: Mode::Slow }));
        assert!(read_wish("payments").unwrap_err().contains("payments=down"));
        assert!(read_wish("bank=up").unwrap_err().contains("payments and carrier"));
        assert!(read_wish("carrier=away").unwrap_err().contains("up, down, slow, decline, timeout, flaky"));
    }

    #[test]
    fn shares_are_shown_as_people_write_them() {
        assert_eq!([0.0, 0.07, 0.3, 1.0].map(percent), ["0 %", "7 %", "30 %", "100 %"]);
    }

    #[test]
    fn the_help_explains_every_mode() {
        for (word, mode) in Mode::ALL {
            assert!(AFTER_HELP.contains(&format!("  {word:7}  {}\n", mode.meaning())), "{word}");
        }
    }
}
