//! gRPC's health check, as a client of one call.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use coracle_net::Fabric;
use coracle_stdx::{CancellationToken, Scope};
use http_body_util::{BodyExt, Full, Limited};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use super::{USER_AGENT, connect};
use crate::lifecycle::Outcome;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const ANSWER_BYTES_MAX: usize = 4096;
const UNIMPLEMENTED: u64 = 12;
const SERVING: u8 = 1;

/// Asks the server at `to` for the health of `service`.
pub(super) async fn check(fabric: &Fabric, to: SocketAddr, service: &str, limit: Duration) -> Outcome {
    match tokio::time::timeout(limit, ask(fabric, to, service, limit)).await {
        Ok(Ok(())) => Outcome::Success,
        Ok(Err(why)) => Outcome::Failure(why),
        Err(_) => Outcome::Failure(format!("timeout: health rpc did not complete within {}s", limit.as_secs())),
    }
}

async fn ask(fabric: &Fabric, to: SocketAddr, service: &str, limit: Duration) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("error: health rpc probe failed: {error}");
    let stream = connect(fabric, to, limit)
        .await
        .map_err(|why| format!("timeout: failed to connect service \"{to}\" within {}s: {why}", limit.as_secs()))?;
    let tasks = Tasks(Arc::new(Mutex::new(Scope::child_of(&CancellationToken::new()))));
    let _until_the_end = Ending(tasks.clone());
    let handshake = hyper::client::conn::http2::handshake(tasks.clone(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
    tasks.execute(async move {
        // What breaks it breaks the call, and is told there.
        let _ = connection.await;
    });
    let request = http::Request::post(format!("http://{to}{CHECK}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", USER_AGENT)
        .body(Full::new(question(service)))
        .map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| failed(&error))?;
    let trailer = |name: &str| {
        let value = body.trailers().and_then(|trailers| trailers.get(name)).or_else(|| parts.headers.get(name));
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    match trailer("grpc-status").parse() {
        Ok(0) => judge(&body.to_bytes()),
        Ok(UNIMPLEMENTED) => Err(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            trailer("grpc-message")
        )),
        status => Err(failed(&format!("grpc status {}: {}", status.unwrap_or(2), trailer("grpc-message")))),
    }
}

/// A message that names the service, in gRPC's frame.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a service's name is short"));
    frame.put_slice(&message);
    frame.freeze()
}

/// The answer is one number.
fn judge(frame: &[u8]) -> Result<(), String> {
    let status = match frame.get(5..) {
        Some([0x08, status, ..]) => *status,
        Some(_) | None => 0,
    };
    let name = match status {
        SERVING => return Ok(()),
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    };
    Err(format!("service unhealthy (responded with \"{name}\")"))
}

/// Runs the parts of one connection, which end with the call.
#[derive(Clone)]
struct Tasks(Arc<Mutex<Scope<Infallible>>>);

/// Aborts what still runs. The tasks themselves hold their scope, so that it would not end by itself.
struct Ending(Tasks);

impl Drop for Ending {
    fn drop(&mut self) {
        let ended = std::mem::replace(&mut *self.0.0.lock(), Scope::child_of(&CancellationToken::new()));
        drop(ended);
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.lock().spawn(|_| async move {
            task.await;
            Ok(())
        });
    }
}
