//! What a load balancer outside asks of each node: whether a service that is served by its own node's endpoints alone has
//! any there. Answers are those of Kubernetes' proxy, whatever the path.

use std::convert::Infallible;
use std::time::Duration;

use coracle_client::Key;
use hyper::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

/// How long a balancer may think about its next question.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
const WEIGHT: &str = "x-load-balancing-endpoint-weight";

/// A service that balancers ask for, and how many of its endpoints are ready on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) service: Key,
    pub(crate) n_local: usize,
}

impl Health {
    fn answer(&self) -> Response<String> {
        let Self { service: Key { namespace, name }, n_local } = self;
        let body = format!(
            "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\
             \t\"localEndpoints\": {n_local},\n\t\"serviceProxyHealthy\": true\n}}"
        );
        let status = if *n_local > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let answer = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
        let answer = answer.header(X_CONTENT_TYPE_OPTIONS, "nosniff").header(WEIGHT, n_local.to_string());
        answer.body(body).expect("each header has a value")
    }
}

/// Answers the requests of one connection with what `health` says at the time.
pub(crate) async fn serve(tcp: TcpStream, health: impl Fn() -> Option<Health>) {
    let answer = service_fn(|_: Request<_>| {
        let answer = health().map_or_else(gone, |health| health.answer());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    // How it ended is the client's business.
    let _ = http.serve_connection(TokioIo::new(tcp), answer).await;
}

/// For a service that went while it was asked for.
fn gone() -> Response<String> {
    let mut answer = Response::new(String::new());
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_endpoints_of_the_service_is_not_to_be_sent_anything() {
        let health = |n_local| Health { service: Key::new("shop", "web"), n_local }.answer();
        let some = health(2);
        assert_eq!(
            (some.status(), &some.headers()[WEIGHT], &some.headers()[CONTENT_TYPE]),
            (StatusCode::OK, &"2".parse().unwrap(), &"application/json".parse().unwrap())
        );
        let expected = "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t},\n\
                        \t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}";
        assert_eq!(some.body(), expected);
        assert_eq!(health(0).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
