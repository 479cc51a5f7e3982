//! A request's target, as guests of WASI 0.3 expect it.

use http::uri::{self, Authority};
use http::{Request, Uri, header};

/// A request of 0.3 knows its scheme and authority by its target alone, which HTTP/1.1 sends without them.
pub(crate) fn absolute<B>(mut request: Request<B>) -> Request<B> {
    let mut target = request.uri().clone().into_parts();
    let host = request.headers().get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    target.scheme.get_or_insert(uri::Scheme::HTTP);
    target.authority = target.authority.or(host);
    target.path_and_query.get_or_insert(uri::PathAndQuery::from_static("/"));
    // What cannot be a target is passed on as it came.
    if let Ok(target) = Uri::from_parts(target) {
        *request.uri_mut() = target;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_scheme_and_authority_gets_both() {
        for (target, host, whole) in [
            ("/a?b", "web:8080", "http://web:8080/a?b"),
            ("http://other/a", "web", "http://other/a"),
            ("/", "not a host", "/"),
        ] {
            let request = Request::builder().uri(target).header(header::HOST, host).body(()).unwrap();
            assert_eq!(absolute(request).uri().to_string(), whole);
        }
    }
}
