//! Requests that guests make. They leave through the container's network and nothing else.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Interval, interval, timeout};
use tracing::debug;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode as ErrorCode2;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode as ErrorCode3;
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

use crate::http::work::REQUEST_BYTES;
use crate::limits::Held;
use crate::network::{Account, Network, NetworkError, Stream};
use crate::sandbox::Sandbox;

/// What `wasi:http` leaves to the host when the guest sets no limit.
const TIMEOUT: Duration = Duration::from_secs(600);
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// What a guest writes to a body at a time. One such piece waits for the connection.
const CHUNK_MAX: usize = 64 << 10;

/// A connection, be it in the clear or under TLS.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

type Io = Connection<TokioIo<Box<dyn Wire>>, WasiBody>;
type IoResult = Box<dyn Future<Output = Result<()>> + Send>;
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, IoResult)>> + Send>;

/// The way out of one guest.
pub(crate) struct Outgoing(Arc<Sandbox>);

impl Outgoing {
    pub(crate) fn new(sandbox: &Arc<Sandbox>) -> Self {
        Self(Arc::clone(sandbox))
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _received: IoResult,
    ) -> Sending {
        Box::new(send(Arc::clone(&self.0), request, options.unwrap_or_default()))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_MAX
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_MAX
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode2 {
        debug!(%error, "a guest's request failed");
        ErrorCode2::HttpProtocolError
    }

    fn p3_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode3 {
        debug!(%error, "a guest's request failed");
        ErrorCode3::HttpProtocolError
    }
}

async fn send(
    sandbox: Arc<Sandbox>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, IoResult)> {
    let is_secure = request.uri().scheme() == Some(&Scheme::HTTPS);
    let authority = request.uri().authority().cloned().ok_or(Error::HttpRequestUriInvalid)?;
    let held = Held::new(&sandbox.memory, REQUEST_BYTES).map_err(|_| Error::ConnectionLimitReached)?;
    let connecting = async {
        let wire = connect(&sandbox, &authority, is_secure).await?;
        handshake(TokioIo::new(wire)).await.map_err(Error::from)
    };
    let connected = timeout(options.connect_timeout.unwrap_or(TIMEOUT), connecting).await;
    let (sender, io) = connected.map_err(|_| Error::ConnectionTimeout)??;
    *request.uri_mut() = Uri::from(target(request.uri()));
    exchange(sender, io, request, &options, held).await
}

/// What the request line has: the authority went into the Host header, and a path has a slash at least.
fn target(uri: &Uri) -> PathAndQuery {
    let slash = PathAndQuery::from_static("/");
    match (uri.path(), uri.query()) {
        ("" | "/", None) => slash,
        ("" | "/", Some(query)) => PathAndQuery::try_from(format!("/?{query}")).unwrap_or(slash),
        _ => uri.path_and_query().cloned().unwrap_or(slash),
    }
}

async fn connect(sandbox: &Sandbox, authority: &Authority, is_secure: bool) -> Result<Box<dyn Wire>> {
    let port = authority.port_u16().unwrap_or(if is_secure { HTTPS_PORT } else { HTTP_PORT });
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let mut stream = dial(&*sandbox.spec.network, host, port).await?;
    stream.charge_to(Account(Arc::clone(&sandbox.memory)));
    Ok(if is_secure { Box::new(sandbox.engine.tls.shake_hands(stream, host).await?) } else { Box::new(stream) })
}

async fn dial(network: &dyn Network, host: &str, port: u16) -> Result<Stream> {
    let mut last = NetworkError::NameUnresolvable;
    for ip in network.resolve(host).await.map_err(refusal)? {
        match network.connect(None, SocketAddr::new(ip, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(refusal(last))
}

/// Waits for the answer's head while driving the connection; the answer's body drives it further.
async fn exchange(
    mut sender: SendRequest<WasiBody>,
    io: Io,
    request: Request<WasiBody>,
    options: &RequestOptions,
    held: Held,
) -> Result<(Response<WasiBody>, IoResult)> {
    let first_byte = options.first_byte_timeout.unwrap_or(TIMEOUT);
    let mut sending = pin!(timeout(first_byte, sender.send_request(request)));
    let mut io = Some(io);
    let response = poll_fn(|cx| {
        if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
            return Poll::Ready(sent.map_err(|_| Error::ConnectionReadTimeout)?.map_err(Error::from));
        }
        if let Some(driven) = &mut io {
            let ended = ready!(Pin::new(driven).poll(cx));
            io = None;
            ended.map_err(Error::from)?;
            return sending
                .as_mut()
                .poll(cx)
                .map(|sent| sent.map_err(|_| Error::ConnectionReadTimeout)?.map_err(Error::from));
        }
        Poll::Pending
    })
    .await?;
    // An interval of nothing is not allowed, and a nanosecond is as good.
    let between = options.between_bytes_timeout.unwrap_or(TIMEOUT).max(Duration::from_nanos(1));
    let response = response.map(|incoming| {
        let mut silence = interval(between);
        silence.reset();
        Received { incoming, silence, _held: held }.boxed_unsync()
    });
    let rest = async move {
        match io {
            Some(io) => io.await.map_err(Error::from),
            None => Ok(()),
        }
    };
    Ok((response, Box::new(rest)))
}

/// An answer's body that must not pause for too long.
struct Received {
    incoming: Incoming,
    silence: Interval,
    _held: Held,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silence.reset();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.silence.poll_tick(cx));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn refusal(error: NetworkError) -> Error {
    let dns = |rcode: &str| Error::DnsError { rcode: Some(rcode.into()), info_code: None };
    match error {
        NetworkError::AccessDenied => Error::DestinationIpProhibited,
        NetworkError::ConnectionRefused => Error::ConnectionRefused,
        NetworkError::ConnectionReset | NetworkError::ConnectionAborted => Error::ConnectionTerminated,
        NetworkError::RemoteUnreachable => Error::DestinationIpUnroutable,
        NetworkError::Timeout => Error::ConnectionTimeout,
        NetworkError::NameUnresolvable => dns("NXDOMAIN"),
        NetworkError::TemporaryResolverFailure => dns("SERVFAIL"),
        NetworkError::NewSocketLimit => Error::ConnectionLimitReached,
        NetworkError::AddressInUse
        | NetworkError::AddressNotBindable
        | NetworkError::DatagramTooLarge
        | NetworkError::NotSupported
        | NetworkError::InvalidArgument => Error::InternalError(Some(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn asks(path: &'static str, line: &str) {
        let uri = Uri::builder().scheme("http").authority("web").path_and_query(path).build().unwrap();
        assert_eq!(Uri::from(target(&uri)).to_string(), line, "{path:?}");
    }

    #[test]
    fn a_request_line_has_a_path_although_the_guest_gave_none() {
        asks("/a/b?c=d", "/a/b?c=d");
        asks("/", "/");
        asks("", "/");
        asks("?c=d", "/?c=d");
    }
}
