//! What of a search stands in its address: `?q=status:Created&size=5&sort=createdAt:desc`.

use super::{Operator, Request, SourceFilter, Wrong, check, read, words};

/// Those that change no answer of ours, and that clients send.
const NO_MATTER: &[&str] = &[
    "allow_no_indices",
    "batched_reduce_size",
    "ccs_minimize_roundtrips",
    "expand_wildcards",
    "ignore_throttled",
    "ignore_unavailable",
    "max_concurrent_shard_requests",
    "pre_filter_shard_size",
    "preference",
    "request_cache",
    "timeout",
];

/// What of a search stands in its address. It counts more than the body.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    words: Option<String>,
    operator: Operator,
    from: Option<usize>,
    size: Option<usize>,
    sort: Option<String>,
    source: Option<String>,
    includes: Option<String>,
    excludes: Option<String>,
    track_total_hits: Option<bool>,
}

impl Parameters {
    /// Takes one parameter; whether it is one of a search.
    ///
    /// # Errors
    /// It is, but its value is not allowed.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, Wrong> {
        match name {
            "q" => self.words = Some(value.to_owned()),
            "default_operator" => self.operator = read::operator(value)?,
            "from" => self.from = Some(read::count_text(name, value)?),
            "size" => self.size = Some(read::count_text(name, value)?),
            "sort" => self.sort = Some(value.to_owned()),
            "_source" => self.source = Some(value.to_owned()),
            "_source_includes" => self.includes = Some(value.to_owned()),
            "_source_excludes" => self.excludes = Some(value.to_owned()),
            "track_total_hits" => self.track_total_hits = Some(value != "false"),
            other => return Ok(NO_MATTER.contains(&other)),
        }
        Ok(true)
    }

    /// The request with what its address says.
    ///
    /// # Errors
    /// What the address says is no search, or asks for too much.
    pub fn apply(self, mut request: Request) -> Result<Request, Wrong> {
        if let Some(text) = &self.words {
            request.query = words(text, self.operator)?;
        }
        request.from = self.from.unwrap_or(request.from);
        request.size = self.size.unwrap_or(request.size);
        request.track_total_hits = self.track_total_hits.unwrap_or(request.track_total_hits);
        if let Some(sorts) = &self.sort {
            request.sort = read::sorts_text(sorts)?;
        }
        if let Some(source) = self.filter() {
            request.source = source;
        }
        check::request(&request)?;
        Ok(request)
    }

    /// What is given of each document, if the address says it.
    #[must_use]
    pub fn filter(&self) -> Option<SourceFilter> {
        let list = |paths: &Option<String>| {
            let paths = paths.iter().flat_map(|paths| paths.split(',')).filter(|path| !path.is_empty());
            paths.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut includes = list(&self.includes);
        match self.source.as_deref() {
            Some("false") => return Some(SourceFilter::Nothing),
            Some("true") | None => {}
            Some(_) => includes.extend(list(&self.source)),
        }
        let said = self.source.is_some() || self.includes.is_some() || self.excludes.is_some();
        let excludes = list(&self.excludes);
        match (said, includes.is_empty() && excludes.is_empty()) {
            (false, _) => None,
            (true, true) => Some(SourceFilter::All),
            (true, false) => Some(SourceFilter::Paths { includes, excludes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Order, Query, Sort};

    fn applied(parameters: &[(&str, &str)]) -> Result<Request, Wrong> {
        let mut taken = Parameters::default();
        for (name, value) in parameters {
            assert!(taken.take(name, value)?, "{name}");
        }
        taken.apply(Request::default())
    }

    #[test]
    fn an_address_can_hold_a_whole_search() {
        let request = applied(&[
            ("q", "phone"),
            ("default_operator", "AND"),
            ("from", "5"),
            ("size", "20"),
            ("sort", "createdAt:desc,id"),
            ("_source_includes", "id,status"),
            ("ignore_unavailable", "true"),
        ]);
        let expected = Request {
            query: Query::anywhere("phone", Operator::And),
            from: 5,
            size: 20,
            sort: vec![Sort::by("createdAt", Order::Descending), Sort::by("id", Order::Ascending)],
            source: SourceFilter::Paths { includes: vec!["id".into(), "status".into()], excludes: vec![] },
            ..Request::default()
        };
        assert_eq!(request.unwrap(), expected);
    }

    #[test]
    fn what_is_none_of_a_search_is_told_apart_from_what_is_wrong() {
        assert_eq!(Parameters::default().take("pretty", ""), Ok(false));
        assert!(Parameters::default().take("size", "many").is_err());
        assert!(applied(&[("size", "10001")]).is_err());
        assert!(applied(&[("sort", "status")]).is_err());
        assert_eq!(applied(&[("_source", "false")]).unwrap().source, SourceFilter::Nothing);
    }
}
