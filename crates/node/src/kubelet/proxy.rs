//! `/proxy/ADDRESS:PORT/PATH`: an HTTP request into the pod network, for the API server, which has no place in it. Upgrades
//! go through.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use coracle_runtime::network::NetworkError;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::Kubelet;
use super::upgrade::Refusal;

/// Says that a response was made here, because there was none: the body is the reason.
const UNREACHABLE: &str = "x-coracle-unreachable";

pub(super) async fn serve(
    State(kubelet): State<Kubelet>,
    Path(segments): Path<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let target = segments.first().map(|(_, target)| target.as_str()).unwrap_or_default();
    let Ok(target) = target.parse::<SocketAddr>() else {
        return Refusal::bad_request("the target is not an address and a port").into_response();
    };
    match forward(&kubelet, target, request).await {
        Ok(response) => response,
        Err(why) => (StatusCode::BAD_GATEWAY, [(UNREACHABLE, "true")], why).into_response(),
    }
}

async fn forward(kubelet: &Kubelet, target: SocketAddr, mut request: Request) -> Result<Response, String> {
    let stream = kubelet.fabric.connect(target).await.map_err(|error| match error {
        NetworkError::ConnectionRefused => format!("dial tcp {target}: connect: connection refused"),
        other => format!("dial tcp {target}: connect: {other}"),
    })?;
    *request.uri_mut() = beyond(request.uri())?;
    let client = request.extensions_mut().remove::<OnUpgrade>().filter(|_| request.headers().contains_key(UPGRADE));
    if client.is_none() {
        request.headers_mut().remove(CONNECTION);
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let run = async move {
        // What breaks the connection breaks the response too, and is told there.
        let _ = connection.with_upgrades().await;
    };
    kubelet.sessions.begin(run).map_err(|full| full.to_string())?;
    let mut response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client) = client
    {
        let server = hyper::upgrade::on(&mut response);
        kubelet.sessions.begin(splice(client, server)).map_err(|full| full.to_string())?;
    }
    Ok(response.map(Body::new))
}

async fn splice(client: OnUpgrade, server: OnUpgrade) {
    let (Ok(client), Ok(server)) = tokio::join!(client, server) else { return };
    // Either side may break it; neither is left to be told.
    let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
}

/// What follows the target, as it was sent.
fn beyond(uri: &Uri) -> Result<Uri, String> {
    let sent = uri.path_and_query().map(|both| both.as_str()).unwrap_or_default();
    let rest = sent.trim_start_matches("/proxy/");
    let path = rest.find(['/', '?']).map_or("/", |at| &rest[at..]);
    let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
    path.parse().map_err(|_| "the path cannot be asked for".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_passed_on_as_it_was_sent() {
        for (sent, passed) in [
            ("/proxy/10.0.0.1:80", "/"),
            ("/proxy/10.0.0.1:80/", "/"),
            ("/proxy/10.0.0.1:80?a=b", "/?a=b"),
            ("/proxy/10.0.0.1:80/x%2Fy/?a=b%20c", "/x%2Fy/?a=b%20c"),
        ] {
            assert_eq!(beyond(&sent.parse().unwrap()).unwrap(), passed.parse::<Uri>().unwrap());
        }
    }
}
