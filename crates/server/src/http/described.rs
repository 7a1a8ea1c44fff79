//! What holds for all calls alike, added to the documentation of each: what a body or a condition may be answered with,
//! and what parameters mean that are the same everywhere.

use utoipa::openapi::{
    Content, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    path::{Operation, Parameter},
};

/// What a call with a body may be answered with.
const OF_A_BODY: [(&str, &str); 4] = [
    ("400", "A field, a parameter or a header is not as it must be, or the body is not JSON"),
    ("408", "The body did not arrive in time; nothing was done"),
    ("413", "The body is too large"),
    ("415", "The body is not said to be JSON (Content-Type: application/json)"),
];

/// What a call with an `If-Match` may be answered with.
const OF_A_CONDITION: (&str, &str) = ("412", "The order has another version than `If-Match` names");

/// What parameters mean, wherever nothing else is said.
const PARAMETERS: [(&str, &str); 6] = [
    ("id", "The id of the order"),
    ("limit", "How many a page holds, at most"),
    ("cursor", "The `next` of an earlier page of the same list"),
    ("If-Match", "The `ETag` that the order must have; `*`: any"),
    ("If-None-Match", "The `ETag` that is known already: then the answer is 304 without a body"),
    (
        "Idempotency-Key",
        "A repeat under the same key is answered like the first time, and does nothing again",
    ),
];

/// Completes the documentation.
pub fn complete(openapi: &mut OpenApi) {
    for path in openapi.paths.paths.values_mut() {
        let calls = [&mut path.get, &mut path.put, &mut path.post, &mut path.patch, &mut path.delete];
        calls.into_iter().flatten().for_each(describe);
    }
}

fn describe(call: &mut Operation) {
    let mut answers = Vec::new();
    if call.request_body.is_some() {
        answers.extend(OF_A_BODY);
    }
    for parameter in call.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.name == "If-Match" {
            answers.push(OF_A_CONDITION);
        }
        explain(parameter);
    }
    for (status, says) in answers {
        call.responses.responses.entry(status.to_owned()).or_insert_with(|| problem(says));
    }
}

fn explain(parameter: &mut Parameter) {
    if parameter.description.as_ref().is_none_or(String::is_empty)
        && let Some((_, says)) = PARAMETERS.iter().find(|(name, _)| *name == parameter.name)
    {
        parameter.description = Some((*says).to_owned());
    }
}

fn problem(says: &str) -> RefOr<Response> {
    let body = Content::new(Some(Ref::from_schema_name("Problem")));
    RefOr::T(ResponseBuilder::new().description(says).content("application/problem+json", body).build())
}
