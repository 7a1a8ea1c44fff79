//! Paths that match in whatever case, as ASP.NET's do.

use axum::{
    Router,
    extract::Request,
    http::{Uri, uri::PathAndQuery},
};
use tower::{Layer as _, util::MapRequestLayer};

/// Where paths match in any case: what they begin with, and the words that they may hold behind it.
#[derive(Clone, Debug)]
pub struct AnyCase {
    /// What they begin with.
    pub prefix: String,
    /// Words as the routes have them; everything else, such as an id, stays as it came.
    pub words: Vec<&'static str>,
}

/// Has paths reach the routes in whatever case.
pub fn in_any_case(router: Router, places: Vec<AnyCase>) -> Router {
    let rewrite = move |mut request: Request| {
        if let Some(uri) = places.iter().find_map(|place| rewritten(request.uri(), place)) {
            *request.uri_mut() = uri;
        }
        request
    };
    // Around the router, not in it: a layer of the router comes after the path was matched.
    let inner = MapRequestLayer::new(rewrite).layer(router);
    Router::new().fallback_service(inner)
}

/// The path as the routes have it; nothing, if it is so already or not of this place.
fn rewritten(uri: &Uri, place: &AnyCase) -> Option<Uri> {
    let path = uri.path();
    let (prefix, rest) = path.split_at_checked(place.prefix.len())?;
    if !prefix.eq_ignore_ascii_case(&place.prefix) || !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    let known = |segment| place.words.iter().find(|word| word.eq_ignore_ascii_case(segment)).copied();
    let segments: Vec<&str> = rest.split('/').map(|segment| known(segment).unwrap_or(segment)).collect();
    let better = format!("{}{}", place.prefix, segments.join("/"));
    if better == path {
        return None;
    }
    let text = match uri.query() {
        Some(query) => format!("{better}?{query}"),
        None => better,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_are_written_as_the_routes_have_them_and_ids_stay() {
        let rewritten = |prefix: &str, uri: &'static str| {
            let place = AnyCase { prefix: prefix.to_owned(), words: vec!["api", "orders"] };
            rewritten(&Uri::from_static(uri), &place).map(|uri| uri.to_string())
        };
        assert_eq!(rewritten("", "/API/Orders/ABC?x=Y"), Some("/api/orders/ABC?x=Y".to_owned()));
        assert_eq!(rewritten("/dialects/a", "/Dialects/A/ORDERS"), Some("/dialects/a/orders".to_owned()));
        assert_eq!(rewritten("/dialects/a", "/dialects/ab/ORDERS"), None);
        assert_eq!(rewritten("", "/api/orders/ABC"), None);
        assert_eq!(rewritten("/dialects/a", "/"), None);
    }
}
