//! What fuzzers may call: readers of what comes from outside. Nobody else needs them.

use coracle_api::schema::Message;
use coracle_api::status::Status;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use crate::continue_token::Continuation;
use crate::deadline;
use crate::negotiate::{Wanted, accepts_gzip};
use crate::options::{FieldValidation, ListOptions};
use crate::query::Query;
use crate::registry::{Patch, PatchType};
use crate::request_info::RequestInfo;

/// Reads a path with its query, and what its client accepts.
pub fn request(target: &str, accept: &str) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = Query::parse(query);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let _ = RequestInfo::parse(&method, path, &query);
    }
    let _ = ListOptions::parse(&query, true).map(|options| options.validate());
    let _ = deadline::of(&query, std::time::Duration::from_secs(60));
    let Ok(value) = HeaderValue::from_str(accept) else { return };
    let headers = HeaderMap::from_iter([(ACCEPT, value)]);
    let _ = (Wanted::of(&headers, &query, true), accepts_gzip(&headers));
}

/// Reads a continue token. One that is good is written as it was read.
pub fn continue_token(token: &str) {
    if let Ok(continuation) = Continuation::decode(token) {
        let again = Continuation::decode(&continuation.encode());
        assert_eq!(again.ok(), Some(continuation), "a token reads as it is written");
    }
}

/// What a patch of a content type makes of `live`.
pub fn patch(content_type: &str, body: &[u8], live: &Value, message: &Message) -> Result<Value, Status> {
    let patch_type = PatchType::of(content_type).ok_or_else(|| Status::unsupported_media_type(""))?;
    let patch = Patch::parse(patch_type, body)?;
    Ok(patch.result(live, message, FieldValidation::Warn)?.0)
}
