//! What a request says outside its body: path, query, headers and continue tokens.

use coracle_apiserver::fuzzing;

/// Path and query in the first line, what is accepted in the second.
pub(super) fn request(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (target, accept) = text.split_once('\n').unwrap_or((&text, ""));
    fuzzing::request(target, accept);
}

pub(super) fn continuation(bytes: &[u8]) {
    if let Ok(token) = std::str::from_utf8(bytes) {
        fuzzing::continue_token(token);
    }
}
