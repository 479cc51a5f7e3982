//! Makes one probe or HTTP hook over the pod network, and says how it went in upstream's words.

mod grpc;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coracle_net::Fabric;
use coracle_runtime::network::{NetworkError, Stream};
use futures::future::{Either, select};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;

use crate::lifecycle::{HttpGet, Outcome, ProbePlan, ProbeTarget};

const USER_AGENT: &str = "kube-probe/1.37";

/// Makes a probe of a pod that has `address`.
pub(super) async fn probe(fabric: Arc<Fabric>, probe: ProbePlan, address: Option<IpAddr>) -> Outcome {
    match &probe.target {
        ProbeTarget::HttpGet(get) => http(&fabric, get, address, probe.timeout).await,
        ProbeTarget::TcpSocket { host, port } => match target(host.as_deref(), address, *port) {
            Some(to) => match connect(&fabric, to, probe.timeout).await {
                Ok(_) => Outcome::Success,
                Err(error) => Outcome::Failure(error),
            },
            None => Outcome::Unknown("the probe's host is not an address".to_owned()),
        },
        ProbeTarget::Exec(_) => Outcome::Unknown("a command is run in its container, not over the network".to_owned()),
        ProbeTarget::Grpc { port, service } => match target(None, address, *port) {
            Some(to) => grpc::check(&fabric, to, service, probe.timeout).await,
            None => Outcome::Unknown("the pod has no address".to_owned()),
        },
    }
}

/// Makes an HTTP hook.
pub(super) async fn hook(
    fabric: Arc<Fabric>,
    get: HttpGet,
    address: Option<IpAddr>,
    limit: Duration,
) -> Result<(), String> {
    match http(&fabric, &get, address, limit).await {
        Outcome::Success => Ok(()),
        Outcome::Failure(message) | Outcome::Unknown(message) => Err(message),
    }
}

fn target(host: Option<&str>, address: Option<IpAddr>, port: u16) -> Option<SocketAddr> {
    let ip = match host {
        Some(host) => host.parse().ok()?,
        None => address?,
    };
    Some(SocketAddr::new(ip, port))
}

async fn connect(fabric: &Fabric, to: SocketAddr, limit: Duration) -> Result<Stream, String> {
    let why = match tokio::time::timeout(limit, fabric.connect(to)).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(NetworkError::ConnectionRefused)) => "connect: connection refused".to_owned(),
        Ok(Err(error)) => format!("connect: {error}"),
        Err(_) => "i/o timeout".to_owned(),
    };
    Err(format!("dial tcp {to}: {why}"))
}

async fn http(fabric: &Fabric, get: &HttpGet, address: Option<IpAddr>, limit: Duration) -> Outcome {
    if get.tls {
        return Outcome::Unknown("HTTPS probes are not made; use HTTP or tcpSocket".to_owned());
    }
    let Some(to) = target(get.host.as_deref(), address, get.port) else {
        return Outcome::Unknown("the probe's host is not an address".to_owned());
    };
    let url = format!("http://{to}{}", get.path);
    match tokio::time::timeout(limit, status(fabric, get, to, limit)).await {
        Ok(Ok(code)) if (200..400).contains(&code) => Outcome::Success,
        Ok(Ok(code)) => Outcome::Failure(format!("HTTP probe failed with statuscode: {code}")),
        Ok(Err(error)) => Outcome::Failure(format!("Get \"{url}\": {error}")),
        Err(_) => Outcome::Failure(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

async fn status(fabric: &Fabric, get: &HttpGet, to: SocketAddr, limit: Duration) -> Result<u16, String> {
    let stream = connect(fabric, to, limit).await?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(|error| error.to_string())?;
    let answer = sender.send_request(request(get, to)?);
    match select(std::pin::pin!(answer), std::pin::pin!(connection)).await {
        Either::Left((answer, _)) => answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string()),
        Either::Right((Err(error), _)) => Err(error.to_string()),
        Either::Right((Ok(()), answer)) => {
            answer.await.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
        }
    }
}

fn request(get: &HttpGet, to: SocketAddr) -> Result<http::Request<Empty<Bytes>>, String> {
    let mut request = http::Request::get(&get.path);
    let named = |name: &str| get.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if !named("host") {
        request = request.header("host", to.to_string());
    }
    if !named("user-agent") {
        request = request.header("user-agent", USER_AGENT);
    }
    for (name, value) in &get.headers {
        request = request.header(name, value);
    }
    request.header("connection", "close").body(Empty::new()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
