//! Each dialect's own OpenAPI document, and the page that shows it.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use utoipa::openapi::{
    HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, ResponseBuilder,
    path::OperationBuilder,
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::http::Api;

/// A call: its method, its path, what it does, and the statuses of its answers.
pub type Call = (HttpMethod, &'static str, &'static str, &'static [u16]);

/// The document of these calls.
pub fn document(title: &str, prefix: &str, calls: &[Call]) -> OpenApi {
    let paths = calls.iter().fold(PathsBuilder::new(), |paths, (method, path, summary, statuses)| {
        let operation =
            statuses.iter().fold(OperationBuilder::new().summary(Some(*summary)), |operation, status| {
                let what = axum::http::StatusCode::from_u16(*status)
                    .ok()
                    .and_then(|status| status.canonical_reason());
                operation.response(status.to_string(), ResponseBuilder::new().description(what.unwrap_or("")))
            });
        paths.path(format!("{prefix}{path}"), PathItem::new(method.clone(), operation))
    });
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title(title).version(env!("CARGO_PKG_VERSION")))
        .paths(paths)
        .build()
}

/// The document at `/swagger/v1/swagger.json`, where ASP.NET has it.
pub fn at_swagger(prefix: &str, document: OpenApi) -> Router<Arc<Api>> {
    at(format!("{prefix}/swagger/v1/swagger.json"), document)
}

/// The document at `/openapi.json`, where FastAPI has it.
pub fn at_openapi(prefix: &str, document: OpenApi) -> Router<Arc<Api>> {
    at(format!("{prefix}/openapi.json"), document)
}

fn at(path: String, document: OpenApi) -> Router<Arc<Api>> {
    let document = Arc::new(document);
    Router::new().route(&path, get(async move || Json((*document).clone())))
}

/// The page that shows it, at the root of the dialect.
pub fn page(prefix: &str) -> Router<Arc<Api>> {
    let config = Config::from(format!("{prefix}/swagger/v1/swagger.json"));
    SwaggerUi::new(format!("{prefix}/")).config(config).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_one_path_stand_beside_each_other() {
        let calls: [Call; 2] =
            [(HttpMethod::Post, "/orders", "Place", &[201]), (HttpMethod::Get, "/orders", "List", &[200])];
        let document = serde_json::to_value(document("Some", "/at", &calls)).unwrap();
        let path = &document["paths"]["/at/orders"];
        assert_eq!((&path["post"]["summary"], &path["get"]["summary"]), (&"Place".into(), &"List".into()));
        assert_eq!(path["post"]["responses"]["201"]["description"], "Created");
    }
}
