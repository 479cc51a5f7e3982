//! Answers that are the host's own: what a request cannot have here, and what became of one that failed.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};

use crate::http::body::Body;
use crate::http::counters::Fault;
use crate::http::request_id::{self, RequestId};

/// When a client that was turned away may come again, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// What no guest could answer, in words; nothing if it may have an instance.
pub(crate) fn of<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.uri().authority().is_none() && !request.headers().contains_key(header::HOST) {
        return Some(plain(StatusCode::BAD_REQUEST, "the request names no host\n".into()));
    }
    if request.method() == Method::CONNECT {
        let text = "this server is no proxy: CONNECT is not implemented\n";
        return Some(plain(StatusCode::NOT_IMPLEMENTED, text.into()));
    }
    wants_websocket(request).then(|| {
        let text = "WebSocket is not implemented: the guest speaks wasi:http, which has requests and answers only. \
                    Stream the answer's body, or listen on a socket\n";
        plain(StatusCode::NOT_IMPLEMENTED, text.into())
    })
}

/// Other upgrades, such as to h2c, are offers that a server may ignore.
fn wants_websocket<B>(request: &Request<B>) -> bool {
    let upgrades = || request.headers().get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    request.version() == Version::HTTP_11
        && upgrades().flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("websocket"))
}

/// Why a request has no answer of the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Guest,
    /// There was no room for it.
    Crowded,
    Overdue,
}

impl Failure {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Guest => "the guest failed",
            Self::Crowded => "too many requests at once",
            Self::Overdue => "the guest took too long",
        }
    }

    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::Guest => Fault::Failed,
            Self::Crowded => Fault::Refused,
            Self::Overdue => Fault::Overdue,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Guest => StatusCode::BAD_GATEWAY,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Overdue => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(crate) fn response(self, id: &RequestId) -> Response<Body> {
        let mut response = plain(self.status(), format!("{} (request {id})\n", self.text()).into());
        response.headers_mut().insert(request_id::HEADER, id.header());
        if self == Self::Crowded {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S);
        }
        response
    }
}

fn plain(status: StatusCode, text: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(method: Method, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        of(&request.body(()).unwrap()).map(|response| response.status().as_u16())
    }

    #[test]
    fn what_no_guest_could_answer_is_refused_and_offers_are_not() {
        let host = ("host", "web");
        assert_eq!(status_of(Method::GET, &[host]), None);
        assert_eq!(status_of(Method::GET, &[]), Some(400));
        assert_eq!(status_of(Method::CONNECT, &[host]), Some(501));
        assert_eq!(status_of(Method::GET, &[host, ("upgrade", "WebSocket")]), Some(501));
        assert_eq!(status_of(Method::GET, &[host, ("upgrade", "h2c, websocket")]), Some(501));
        assert_eq!(status_of(Method::GET, &[host, ("upgrade", "h2c")]), None);
    }

    #[test]
    fn whoever_is_turned_away_learns_when_to_come_again() {
        let id = RequestId::new(Some(HeaderValue::from_static("r1")));
        let response = Failure::Crowded.response(&id);
        assert_eq!((response.status().as_u16(), &response.headers()[header::RETRY_AFTER]), (503, &RETRY_AFTER_S));
        assert_eq!(response.headers()["x-request-id"], "r1");
        assert!(!Failure::Guest.response(&id).headers().contains_key(header::RETRY_AFTER));
    }
}
