//! `cartwright orders place`: a sample order, or one from a file.

use std::{io::Read, process::ExitCode};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{
        api::{Api, ApiError, path_part},
        exit, out,
        style::Paint,
    },
    show, watch,
};

/// What the simulated provider and carrier can be told to do with an order.
const SCENARIOS: &str = "Scenarios, for the simulated provider and carrier only:
  success       ship-success      it works, whatever the rates in the settings
  decline       ship-decline      it is refused
  timeout       ship-timeout      it works, but the first answer is lost
  pending       ship-pending      the answer comes only later
  error         ship-error        the first calls fail without effect
  slow          ship-slow         the answer takes long (setting simulated.….slow_ms)

Examples:
  cartwright orders place --sample --watch
  cartwright orders place --sample --scenario ship-decline --watch
  cartwright orders place --file order.json --key basket-77
  echo '{\"customer\":{\"id\":\"c-1\"},\"currency\":\"USD\",
         \"lines\":[{\"sku\":\"a\",\"quantity\":1,\"unitPrice\":999}]}' | cartwright orders place --file -";

/// `cartwright orders place`
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true).args(["sample", "file"])), after_help = SCENARIOS)]
pub struct PlaceArgs {
    /// Place a sample order
    #[arg(long)]
    sample: bool,
    /// Place the order in this JSON file; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Steer the simulated provider, or with `ship-` in front the simulated carrier: see below
    #[arg(long)]
    scenario: Option<String>,
    /// The flow of the order: standard, scheduled, ship-only, processing or manual
    #[arg(long)]
    flow: Option<String>,
    /// The Idempotency-Key: the same key places the same order once [default: a new one]
    #[arg(long)]
    key: Option<String>,
    /// Watch the order until it is final
    #[arg(long)]
    watch: bool,
    /// Stop watching after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = watch::PATIENCE)]
    timeout: u64,
}

/// An order to try things with: what the old demo shops sold.
pub fn sample_order(scenario: Option<&str>) -> Value {
    let mut order = json!({
        "customer": {"id": "customer-123", "name": "John Doe", "email": "user@example.com"},
        "currency": "USD",
        "lines": [{"sku": "product-456", "name": "Gaming Laptop", "quantity": 2, "unitPrice": 129_999}],
        "charges": [{"type": "shipping", "amount": 500, "tax": 0}],
        "shipTo": {"country": "US"},
    });
    if let Some(scenario) = scenario {
        order["payment"]["scenario"] = scenario.into();
    }
    order
}

/// Places the order, and says so if it was placed before under the same key.
pub async fn run(api: &Api, args: PlaceArgs, json: bool) -> Result<ExitCode, ApiError> {
    let mut body = match &args.file {
        None => sample_order(None),
        Some(file) => match read_order(file) {
            Ok(body) => body,
            Err((why, code)) => {
                eprintln!("{} {why}", Paint::stderr().red("error:"));
                return Ok(code.into());
            }
        },
    };
    if let Some(scenario) = &args.scenario {
        body["payment"]["scenario"] = scenario.as_str().into();
    }
    if let Some(flow) = &args.flow {
        body["flow"] = flow.as_str().into();
    }
    let key = args.key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let answer = match api.post::<Value>("/v1/orders", &body, Some(&key)).await {
        Ok(answer) => answer,
        Err(error) => return Ok(not_answered(&error, &key)),
    };
    match (json, answer.replayed) {
        (true, _) if args.watch => {}
        (true, _) => out::line(&answer.body),
        (false, false) => out::line(show::placed(&answer.body)),
        (false, true) => out::line(show::placed_before(&answer.body)),
    }
    if args.watch {
        return watch::watch(api, &order_path(&answer.body), Some(args.timeout), json).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what became of an order that was not answered well, as far as can be known.
fn not_answered(error: &ApiError, key: &str) -> ExitCode {
    let code = error.report();
    if error.may_have_happened() {
        eprintln!(
            "The order may have been placed all the same. Repeat the command with `--key {key}`: it is placed once, and shown \
             if it was placed already."
        );
    }
    code
}

/// The path of an order that the server has shown.
fn order_path(order: &Value) -> String {
    format!("/v1/orders/{}", path_part(show::text(order, "/id")))
}

/// The order in a file, or what is wrong with it, and the exit code that says so.
fn read_order(file: &str) -> Result<Value, (String, u8)> {
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(file).map(|content| text = content)
    };
    read.map_err(|error| (format!("{file} can't be read: {error}"), exit::UNREACHABLE))?;
    let wrong = |why: String| (format!("{file} is not {why}"), exit::FAILED);
    let order: Value = serde_json::from_str(&text).map_err(|error| wrong(format!("JSON: {error}")))?;
    if order.is_object() { Ok(order) } else { Err(wrong("an order: it must be an object".into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_order_is_what_the_contract_wants() {
        let expected: Value = serde_json::from_str(
            r#"{"customer":{"id":"customer-123","name":"John Doe","email":"user@example.com"},"currency":"USD",
                "lines":[{"sku":"product-456","name":"Gaming Laptop","quantity":2,"unitPrice":129999}],
                "charges":[{"type":"shipping","amount":500,"tax":0}],"shipTo":{"country":"US"}}"#,
        )
        .unwrap();
        assert_eq!(sample_order(None), expected);
        assert_eq!(sample_order(Some("decline"))["payment"]["scenario"], "decline");
    }
}
