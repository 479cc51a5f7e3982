//! Logs: checked here, fetched from the node that the pod runs on.

use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse;
use coracle_api::kind::Resource as Name;
use coracle_api::status::Status;
use coracle_api::validation::FieldError;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use url::form_urlencoded;

use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::query::Query;
use crate::state::State;

/// Bytes of a node's own words when it refuses.
const REFUSAL_BYTES_MAX: usize = 4096;

/// Answers a GET of a pod's log.
pub(super) async fn serve(state: &Arc<State>, call: &Call) -> Result<Reply, Status> {
    let name = &call.info.name;
    let query = forwarded(name, &call.query)?;
    let pods = state.resource("", "v1", "pods");
    let pod = state.existing(&pods, &call.info.namespace, name).await?;
    let container = container(&pod, call.query.text("container"))?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        return Ok(Reply::Response(Box::new(StatusCode::NO_CONTENT.into_response())));
    }
    let path = format!("/containerLogs/{}/{name}/{container}?{query}", call.info.namespace);
    let response = ask(state, node, &path).await?;
    let follows = call.query.flag("follow");
    let guard = if follows { Some(state.fairness.stream(&call.client)?) } else { None };
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let token = state.token.clone();
    let body = response.into_body().map_frame(move |frame| {
        let _open_until_here = &guard;
        frame
    });
    let stream = futures::StreamExt::take_until(body.into_data_stream(), token.cancelled_owned());
    Ok(Answer::stream("text/plain", Body::from_stream(stream)).into())
}

async fn ask(state: &State, node: &str, path: &str) -> Result<axum::response::Response, Status> {
    let road = state
        .kubelets
        .get(node)
        .ok_or_else(|| Status::internal(&format!("Get \"https://{node}{path}\": the node cannot be reached")))?;
    let uri: Uri = path.parse().map_err(|_| Status::bad_request("the log's path cannot be asked for"))?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    request.headers_mut().insert(http::header::HOST, HeaderValue::from_static("node"));
    Ok(road.oneshot(request).await.unwrap_or_else(|error: std::convert::Infallible| match error {}))
}

/// What a node says that has no such log.
async fn refusal(response: axum::response::Response) -> Status {
    let code = response.status().as_u16();
    let text = axum::body::to_bytes(response.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    match code {
        404 => Status { message: text, ..Status::path_not_found() },
        400..=499 => Status::bad_request(text),
        _ => Status::internal(&text),
    }
}

/// The container whose log is meant.
pub(super) fn container(pod: &Value, asked: &str) -> Result<String, Status> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let names = |list: &str| {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str()).collect::<Vec<_>>()
    };
    let name = coracle_api::kind::name_of(pod);
    if !asked.is_empty() {
        if lists.iter().any(|list| names(list).contains(&asked)) {
            return Ok(asked.to_owned());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    let chosen = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    match (chosen, names("containers").as_slice()) {
        (Some(chosen), several) if several.contains(&chosen) => Ok(chosen.to_owned()),
        (_, [only]) => Ok((*only).to_owned()),
        (_, several) => {
            let mut why =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", several.join(" "));
            let init = names("initContainers");
            if !init.is_empty() {
                why.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(Status::bad_request(why))
        }
    }
}

/// The query for the node, once every option is found to be good.
fn forwarded(name: &str, query: &Query) -> Result<String, Status> {
    let mut errors = Vec::new();
    let mut out = form_urlencoded::Serializer::new(String::new());
    for flag in ["follow", "previous", "timestamps"] {
        if query.flag(flag) {
            out.append_pair(flag, "true");
        }
    }
    for (option, min, why) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ] {
        let Some(number) = query.number(option)? else { continue };
        if number < min {
            errors.push(FieldError::invalid(option, &json!(number), why));
        }
        out.append_pair(option, &number.to_string());
    }
    if let Some(time) = query.get("sinceTime") {
        out.append_pair("sinceTime", time);
        if query.get("sinceSeconds").is_some() {
            errors.push(FieldError::forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
    }
    let stream = query.text("stream");
    if !matches!(stream, "" | "All" | "Stdout" | "Stderr") {
        errors.push(FieldError::not_supported("stream", &json!(stream), &["All", "Stderr", "Stdout"]));
    } else if !stream.is_empty() {
        out.append_pair("stream", stream);
        if stream != "All" && query.get("tailLines").is_some() {
            let why = "`tailLines` and specific `stream` are mutually exclusive for now";
            errors.push(FieldError::forbidden("", why));
        }
    }
    if errors.is_empty() {
        return Ok(out.finish());
    }
    Err(Status::invalid(Name { group: "", name: "PodLogOptions" }, name, &errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_is_named_chosen_or_the_only_one() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}]}});
        assert_eq!(container(&pod, "i").unwrap(), "i");
        assert_eq!(container(&pod, "x").unwrap_err().message, "container x is not valid for pod p");
        assert_eq!(
            container(&pod, "").unwrap_err().message,
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
        );
        let mut chosen = pod.clone();
        chosen["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "b"});
        assert_eq!(container(&chosen, "").unwrap(), "b");
        let one = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}});
        assert_eq!(container(&one, "").unwrap(), "a");
    }

    #[test]
    fn options_are_checked_and_passed_on() {
        let query = |text: &str| forwarded("p", &Query::parse(text));
        assert_eq!(query("follow=true&tailLines=5&container=a").unwrap(), "follow=true&tailLines=5");
        assert_eq!(
            query("tailLines=-1").unwrap_err().message,
            "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"
        );
        assert_eq!(query("sinceSeconds=0").unwrap_err().code, 422);
        assert_eq!(query("stream=Stderr").unwrap(), "stream=Stderr");
        assert_eq!(query("stream=Stderr&tailLines=1").unwrap_err().code, 422);
        assert_eq!(query("limitBytes=x").unwrap_err().code, 400);
    }
}
