//! `/portForward/NAMESPACE/POD`: connections to ports of a pod, over the pod network.

mod channels;
mod relay;
mod tunnel;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};

use super::Kubelet;
use super::channels::Protocol;
use super::target;
use super::upgrade::{Handshake, Refusal};
use relay::{Target, address};

/// SPDY in the messages of a WebSocket, as kubectl asks for it.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const PROTOCOLS: [&str; 8] = [
    TUNNEL,
    "",
    "portforward.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "v5.channel.k8s.io",
];
/// Ports that one request may name. Each has two channels, and those are numbered by a byte.
const PORTS_MAX: usize = 100;

pub(super) async fn serve(
    State(kubelet): State<Kubelet>,
    Path((namespace, pod)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    begin(&kubelet, &namespace, &pod, &query, request).unwrap_or_else(IntoResponse::into_response)
}

fn begin(
    kubelet: &Kubelet,
    namespace: &str,
    pod: &str,
    query: &[(String, String)],
    request: Request,
) -> Result<Response, Refusal> {
    let handle = target::pod(&kubelet.pods, namespace, pod)?;
    if address(&handle).is_none() {
        return Err(Refusal::internal(format!("pod not found (\"{pod}_{namespace}\"): it has no address here")));
    }
    let (mut parts, _) = request.into_parts();
    let handshake = Handshake::of(&mut parts, &PROTOCOLS)?;
    let target = Target { fabric: kubelet.fabric.clone(), pod: handle };
    if handshake.protocol() == TUNNEL {
        return handshake.accept(&kubelet.sessions, move |socket| tunnel::carry(socket, target));
    }
    let ports = ports(query).map_err(Refusal::bad_request)?;
    let protocol = Protocol::named(handshake.protocol());
    handshake.accept(&kubelet.sessions, move |socket| channels::carry(socket, protocol, target, ports))
}

/// The ports that a client of channels must name beforehand.
fn ports(query: &[(String, String)]) -> Result<Vec<u16>, String> {
    let named = query.iter().filter(|(name, _)| name == "port").flat_map(|(_, value)| value.split(','));
    let mut ports = Vec::new();
    for text in named.filter(|text| !text.is_empty()) {
        let port = text.parse::<u16>().map_err(|_| format!("unable to parse \"{text}\" as a port"))?;
        if port == 0 {
            return Err(format!("port \"{text}\" must be > 0"));
        }
        ports.push(port);
    }
    match ports.len() {
        0 => Err("query parameter \"port\" is required".to_owned()),
        n if n > PORTS_MAX => Err(format!("at most {PORTS_MAX} ports can be forwarded at once")),
        _ => Ok(ports),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_above_zero() {
        let ask = |values: &[&str]| ports(&values.iter().map(|v| ("port".into(), (*v).into())).collect::<Vec<_>>());
        assert_eq!(ask(&["80,81", "82"]), Ok(vec![80, 81, 82]));
        for bad in ["0", "x", "70000", ""] {
            assert!(ask(&[bad]).is_err(), "{bad}");
        }
    }
}
