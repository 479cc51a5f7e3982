//! From a request to a WebSocket: which of the client's protocols is spoken, and refusals that clients print well.

use std::future::Future;

use axum::body::Body;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::SinkExt;
use futures::stream::SplitSink;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::sessions::Sessions;

/// Bytes of one message. Clients send a piece of a stream in each; what is larger is not one.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

pub(super) type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a request is not served: a code and a sentence, as kubelet answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl Refusal {
    pub(super) fn bad_request(why: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into())
    }

    pub(super) fn internal(why: impl Into<String>) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, why.into())
    }
}

/// Closes in order. Clients take a close without a code for a failure.
pub(super) async fn close(sink: &mut SplitSink<WebSocket, Message>) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    // Who has left already needs no goodbye.
    if sink.send(Message::Close(Some(frame))).await.is_ok() {
        let _ = sink.close().await;
    }
}

/// A request to change over to a WebSocket that can be granted.
pub(super) struct Handshake {
    accept: String,
    protocol: &'static str,
    upgrade: OnUpgrade,
}

impl Handshake {
    /// Reads the request's wish for one of `protocols`. An empty one among them stands for a client that names none.
    pub(super) fn of(parts: &mut Parts, protocols: &[&'static str]) -> Result<Self, Refusal> {
        let protocol = choose(&parts.headers, protocols)?;
        let key = parts.headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| Refusal::bad_request("no Sec-WebSocket-Key"))?;
        let accept = derive_accept_key(key.as_bytes());
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let upgrade = upgrade.ok_or_else(|| Refusal::bad_request("this connection cannot be upgraded"))?;
        Ok(Self { accept, protocol, upgrade })
    }

    pub(super) fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// Answers, and runs `session` once the connection has changed over.
    pub(super) fn accept<F, S>(self, sessions: &Sessions, session: F) -> Result<Response, Refusal>
    where
        F: FnOnce(WebSocket) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let upgrade = self.upgrade;
        let begun = sessions.begin(async move {
            // A client that leaves before the change has nothing to be told.
            let Ok(upgraded) = upgrade.await else { return };
            let mut config = WebSocketConfig::default();
            config.max_message_size = Some(MESSAGE_BYTES_MAX);
            config.max_frame_size = Some(MESSAGE_BYTES_MAX);
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            session(socket).await;
        });
        begun.map_err(|full| Refusal(StatusCode::SERVICE_UNAVAILABLE, full.to_string()))?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is a header's value");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if !self.protocol.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.protocol));
        }
        Ok(response)
    }
}

/// The client's first choice among `protocols`.
fn choose(headers: &HeaderMap, protocols: &[&'static str]) -> Result<&'static str, Refusal> {
    let lists = |name, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    if !lists(CONNECTION, "upgrade") || !headers.contains_key(UPGRADE) {
        return Err(Refusal::bad_request("Upgrade request required"));
    }
    if lists(UPGRADE, "SPDY/3.1") {
        let why = "SPDY is not served here, only WebSockets are: use a client that speaks them, such as kubectl 1.31 or later";
        return Err(Refusal::bad_request(why));
    }
    if !lists(UPGRADE, "websocket") || !lists(SEC_WEBSOCKET_VERSION, "13") {
        return Err(Refusal::bad_request("only WebSockets of version 13 are served here"));
    }
    let asked = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let asked: Vec<&str> = asked.flat_map(|value| value.split(',')).map(str::trim).collect();
    let asked = if asked.is_empty() { vec![""] } else { asked };
    let chosen = asked.iter().find_map(|asked| protocols.iter().find(|known| *known == asked));
    chosen.copied().ok_or_else(|| {
        let supported: Vec<&str> = protocols.iter().copied().filter(|known| !known.is_empty()).collect();
        let why = format!("requested protocol(s) are not supported: {asked:?}; supports {supported:?}");
        Refusal(StatusCode::FORBIDDEN, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_clients_first_choice_is_taken() {
        let mut wish = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "v9.channel.k8s.io, v5.channel.k8s.io,v4.channel.k8s.io"),
        ]);
        let protocols = ["", "v4.channel.k8s.io", "v5.channel.k8s.io"];
        assert_eq!(choose(&wish, &protocols), Ok("v5.channel.k8s.io"));
        assert_eq!(choose(&wish, &["other"]).unwrap_err().0, StatusCode::FORBIDDEN);
        wish.remove("sec-websocket-protocol");
        assert_eq!(choose(&wish, &protocols), Ok(""));
    }

    #[test]
    fn other_upgrades_are_refused_in_words() {
        let spdy = headers(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]);
        assert!(choose(&spdy, &[""]).unwrap_err().1.contains("kubectl 1.31"));
        assert_eq!(choose(&HeaderMap::new(), &[""]).unwrap_err().1, "Upgrade request required");
    }
}
