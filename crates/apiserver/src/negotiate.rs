//! Which of its representations a client wants an answer in. It never makes one.

use coracle_api::status::{Details, Status};
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};

use crate::query::Query;

/// Every media type of objects, as errors name them.
pub(crate) const MEDIA_TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The media types that answers are made in.
const MADE: &str = "application/json, application/yaml";

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) form: Form,
    pub(crate) format: Format,
    pub(crate) pretty: bool,
}

/// The structure of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects as they are.
    Object,
    /// A table of them, of the meta version that is named.
    Table(&'static str),
    /// Their metadata only.
    Partial(&'static str),
}

/// How the structure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

impl Wanted {
    pub(crate) const JSON: Self = Self { form: Form::Object, format: Format::Json, pretty: false };

    /// What the headers ask for. `streams` is true where watches are served too.
    pub(crate) fn of(headers: &HeaderMap, query: &Query, streams: bool) -> Result<Self, Status> {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut wanted = choose(accept, streams)?;
        wanted.pretty = match query.get("pretty") {
            Some(value) => !matches!(value, "false" | "0"),
            None => wanted.pretty || is_read_by_people(headers),
        };
        Ok(wanted)
    }
}

/// True when the client takes compressed answers.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    encodings.any(|value| {
        value.split(',').map(str::trim).any(|coding| {
            let (name, quality) = coding.split_once(";q=").unwrap_or((coding, "1"));
            name.eq_ignore_ascii_case("gzip") && quality.parse::<f32>().is_ok_and(|quality| quality > 0.0)
        })
    })
}

struct Clause<'a> {
    media_type: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let mut clause = Self { media_type, quality: 1.0, parameters: Vec::new() };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => clause.quality = value.trim().parse().unwrap_or(1.0),
                name => clause.parameters.push((name, value.trim())),
            }
        }
        clause
    }

    fn parameter(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
}

fn choose(accept: &str, streams: bool) -> Result<Wanted, Status> {
    if accept.trim().is_empty() {
        return Ok(Wanted::JSON);
    }
    let mut clauses: Vec<Clause<'_>> = accept.split(',').map(Clause::parse).collect();
    let served = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "*/*"];
    if !clauses.iter().any(|clause| served.contains(&clause.media_type)) {
        return Err(not_representable(streams));
    }
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses.iter().find_map(understand).ok_or_else(|| {
        // What is made, as opposed to what is read, is told to those who want what is only read.
        let wants_protobuf = clauses.iter().all(|clause| clause.media_type == "application/vnd.kubernetes.protobuf");
        Status::not_acceptable(if wants_protobuf { MADE } else { MEDIA_TYPES })
    })
}

fn understand(clause: &Clause<'_>) -> Option<Wanted> {
    let format = match clause.media_type {
        "application/json" | "*/*" => Format::Json,
        "application/yaml" => Format::Yaml,
        _ => return None,
    };
    let version = match clause.parameter("v") {
        "v1" => "v1",
        "v1beta1" => "v1beta1",
        _ => "",
    };
    let form = match (clause.parameter("as"), clause.parameter("g"), version) {
        ("", _, _) => Form::Object,
        (_, _, "") => return None,
        ("Table", "meta.k8s.io", version) => Form::Table(version),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", version) => Form::Partial(version),
        _ => return None,
    };
    Some(Wanted { form, format, pretty: matches!(clause.parameter("pretty"), "1" | "true") })
}

fn not_representable(streams: bool) -> Status {
    let mut available = MEDIA_TYPES.to_owned();
    if streams {
        available.push_str(", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
    }
    Status {
        message: format!("406: Not Acceptable\n\nAvailable representations: {available}"),
        details: Some(Box::new(Details::default())),
        ..Status::not_acceptable("")
    }
}

fn is_read_by_people(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|program| agent.starts_with(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Form {
        choose(accept, true).unwrap().form
    }

    #[test]
    fn kubectl_gets_tables_and_objects() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                       application/json";
        assert_eq!(form(kubectl), Form::Table("v1"));
        assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Form::Object);
        assert_eq!(form("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"), Form::Partial("v1"));
        assert_eq!(form("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,*/*"), Form::Object);
    }

    #[test]
    fn quality_decides_and_yaml_is_spoken() {
        assert_eq!(choose("text/html, application/json;q=0.5", true).unwrap(), Wanted::JSON);
        assert_eq!(choose("application/json;q=0.1,application/yaml", true).unwrap().format, Format::Yaml);
        assert_eq!(choose("", true).unwrap(), Wanted::JSON);
    }

    #[test]
    fn what_nobody_can_make_is_not_acceptable() {
        for accept in ["text/html", "application/*", "nonsense", "image/png"] {
            let status = choose(accept, true).unwrap_err();
            assert!(status.message.starts_with("406: Not Acceptable\n\nAvailable"), "{accept}");
        }
        let protobuf = choose("application/vnd.kubernetes.protobuf", true).unwrap_err();
        assert_eq!(protobuf.message, format!("only the following media types are accepted: {MADE}"));
        for accept in ["application/json;as=Odd;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v9;g=meta.k8s.io"] {
            let status = choose(accept, true).unwrap_err();
            assert_eq!(status.message, format!("only the following media types are accepted: {MEDIA_TYPES}"));
        }
    }

    #[test]
    fn gzip_is_used_only_when_it_is_wanted() {
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip") && accepts("deflate, GZIP;q=0.5"));
        assert!(!accepts("gzip;q=0") && !accepts("identity"));
    }
}
