//! The door to the image registry below `/v2/`: who may pull and who may push. It never looks at an image.

mod pace;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use coracle_api::identity::{MASTERS, User};
use coracle_api::status::{Attributes, Status};
use http::request::Parts;
use http::{Method, Request};
use tower::ServiceExt;

use crate::handler::Reply;
use crate::state::State;
use pace::Pace;

/// True for paths of the registry.
pub(crate) fn owns(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

/// Passes a request on to the registry.
pub(crate) async fn serve(state: &Arc<State>, user: &User, parts: Parts, body: Body) -> Result<Reply, Status> {
    check(user, &parts.method, parts.uri.path())?;
    let Some(registry) = &state.registry else { return Err(Status::path_not_found()) };
    let pace = Pace::new();
    let answering = registry.clone().oneshot(Request::from_parts(parts, pace.watch(body)));
    let answered = tokio::select! {
        answered = answering => answered,
        () = pace.stalled(state.config.limits.request_timeout) => {
            return Err(Status::timeout("the image did not come in time", 0));
        }
    };
    let response: Response = answered.unwrap_or_else(|error: std::convert::Infallible| match error {});
    Ok(Reply::Response(Box::new(response)))
}

/// Who is known pulls; who rules pushes.
fn check(user: &User, method: &Method, path: &str) -> Result<(), Status> {
    if user.is_anonymous() {
        return Err(Status::unauthorized());
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let pulls = user.is_in(MASTERS) || user.node_name().is_some() || user.service_account_name().is_some();
    if user.is_in(MASTERS) || (reads && pulls) {
        return Ok(());
    }
    let verb = if reads { "pull" } else { "push" };
    Err(Status::denied(user, &Attributes { verb, path, ..Attributes::default() }, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_pull_and_only_masters_push() {
        let may = |user: &User, method: Method| check(user, &method, "/v2/a/manifests/b").map_err(|status| status.code);
        assert_eq!(may(&User::admin(), Method::PUT), Ok(()));
        assert_eq!(may(&User::node("n1"), Method::GET), Ok(()));
        assert_eq!(may(&User::node("n1"), Method::PUT), Err(403));
        assert_eq!(may(&User::new("jane", &[]), Method::GET), Err(403));
        assert_eq!(may(&User::anonymous(), Method::GET), Err(401));
        assert!(owns("/v2/") && owns("/v2") && !owns("/v2x"));
    }
}
