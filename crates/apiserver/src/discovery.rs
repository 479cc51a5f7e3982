//! Discovery: what is served, in both forms that clients ask for. The documents are derived from the table of kinds.

use coracle_api::discovery;
use coracle_api::kind::Kind;
use coracle_api::status::Status;
use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::paths;
use crate::state::State;

/// True when there is such a document.
pub(crate) fn knows(state: &State, segments: &[&str]) -> bool {
    let kinds = state.catalog.kinds();
    match segments {
        ["api"] | ["apis"] => true,
        ["api", version] => kinds.iter().any(|kind| kind.group.is_empty() && kind.version == *version),
        ["apis", group] => kinds.iter().any(|kind| kind.group == *group),
        ["apis", group, version] => kinds.iter().any(|kind| kind.group == *group && kind.version == *version),
        _ => false,
    }
}

/// Answers `/api`, `/apis` and the documents below them.
pub(crate) fn serve(state: &State, segments: &[&str], call: &Call) -> Result<Reply, Status> {
    let kinds = state.catalog.kinds();
    let all = || kinds.iter().map(AsRef::as_ref);
    let headers = &call.parts.headers;
    let document = match (segments, aggregated_version(headers)) {
        (["api"], Some(version)) => return Ok(aggregated(headers, all(), true, version)),
        (["apis"], Some(version)) => return Ok(aggregated(headers, all(), false, version)),
        (["api"], None) => Some(discovery::api_versions(&state.config.advertise.to_string())),
        (["apis"], None) => Some(discovery::api_group_list(all())),
        (["api", version], _) => discovery::api_resource_list(all(), "", version),
        (["apis", group], _) => discovery::api_group(all(), group),
        (["apis", group, version], _) => discovery::api_resource_list(all(), group, version),
        _ => None,
    };
    let wanted = call.wanted(false)?;
    match document {
        Some(document) => Ok(Reply::Answer(Answer::json(200, &document), wanted)),
        None => Ok(Answer::text(404, "404 page not found\n").into()),
    }
}

fn aggregated<'k>(
    headers: &HeaderMap,
    kinds: impl IntoIterator<Item = &'k Kind>,
    core: bool,
    version: &'static str,
) -> Reply {
    let document: Value = discovery::aggregated(kinds, core, version);
    let bytes = serde_json::to_vec(&document).expect("a JSON value always serialises");
    let etag = hex::encode_upper(Sha512::digest(&bytes));
    let media_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    paths::document(headers, media_type, bytes.into(), &etag)
}

/// The version of aggregated discovery that the client takes, if it takes one.
fn aggregated_version(headers: &HeaderMap) -> Option<&'static str> {
    let accept = headers.get(ACCEPT)?.to_str().ok()?;
    accept.split(',').find_map(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let is_json = parts.next() == Some("application/json");
        let parameters: Vec<&str> = parts.collect();
        let has = |parameter: &str| parameters.contains(&parameter);
        if !is_json || !has("g=apidiscovery.k8s.io") || !has("as=APIGroupDiscoveryList") {
            return None;
        }
        has("v=v2").then_some("v2")
    })
}
