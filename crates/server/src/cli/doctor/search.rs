//! The search server.

use cartwright_search::elastic::Elastic;

use super::Check;
use crate::config::SearchSettings;

/// Looks whether it answers, and lets us in. An index of our own needs no look: it is made anew from the stores.
pub async fn check(settings: &SearchSettings) -> Option<Check> {
    let server = settings.server().filter(|_| settings.enabled)?;
    let advice = "check the settings [search], and whether a search server runs there; orders are taken meanwhile, and \
        the index follows them once it answers";
    let place = &settings.url;
    let answer = match Elastic::open(&server) {
        Ok(index) => index.server().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    Some(match answer {
        Ok(said) => {
            let version = said["version"]["number"].as_str().unwrap_or("of an unknown version");
            let kind = said["version"]["distribution"].as_str().unwrap_or("elasticsearch");
            Check::ok("search", format!("{place} answers: {kind} {version}"))
        }
        Err(why) => Check::fail("search", format!("{place}: {why}"), advice),
    })
}
