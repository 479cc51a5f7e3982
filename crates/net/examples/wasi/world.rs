//! What all programs share: a runtime, a fabric with the names they ask for, and a server that echoes requests.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use coracle_net::{Answer, Egress, Fabric, FabricConfig, Names, PodIdentity, PodNetwork};
use coracle_runtime::network::{Listener, Network};
use coracle_runtime::{Config, Runtime};
use coracle_stdx::{CancellationToken, Scope};
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tempfile::TempDir;

use crate::Result;

/// The address of the echoing server.
pub(crate) const SERVER: &str = "10.0.0.2:3000";
/// The port of a server that is only named.
const SERVER_NAMED: &str = "10.0.0.2:80";
/// Where it speaks HTTP/2 and nothing else.
pub(crate) const SERVER_2: &str = "10.0.0.2:3002";

/// The address that programs expect nobody to answer at.
const SILENT: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 1);

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) fabric: Arc<Fabric>,
    next_host: AtomicU16,
    _silent: Arc<PodNetwork>,
    _server: Scope<Infallible>,
    _cache: TempDir,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let cache = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let config = Config { instances_max: 64, ..Config::new(cache.path()) };
        let runtime = Runtime::new(config).map_err(|error| error.to_string())?;
        let nets = ["10.0.0.0/8", "fd00::/64"].map(|net| net.parse().expect("it is a network")).to_vec();
        let config = FabricConfig {
            pod_cidrs: nets.clone(),
            cluster_cidrs: nets,
            egress: Egress::Denied,
            ..FabricConfig::default()
        };
        let fabric = Fabric::new(config);
        fabric.set_names(Arc::new(Known));
        let pod = attach(&fabric, "server", 2)?;
        let silent = fabric.attach(identity("silent"), &[SILENT.into()]).map_err(|error| error.to_string())?;
        let mut server = Scope::child_of(&CancellationToken::new());
        let http = auto::Builder::new(TokioExecutor::new());
        for (address, http) in [(SERVER, http.clone()), (SERVER_NAMED, http.clone()), (SERVER_2, http.http2_only())] {
            let local: SocketAddr = address.parse().expect("it is an address");
            let listener = pod.listen(local, 64).map_err(|error| error.to_string())?;
            let pod = Arc::clone(&pod);
            server.spawn(|_| serve(pod, listener, http));
        }
        Ok(Self { runtime, fabric, next_host: AtomicU16::new(3), _silent: silent, _server: server, _cache: cache })
    }

    /// A pod of the program's own.
    pub(crate) fn pod(&self, name: &str) -> Result<Arc<PodNetwork>> {
        attach(&self.fabric, name, self.next_host.fetch_add(1, Ordering::Relaxed))
    }
}

fn attach(fabric: &Arc<Fabric>, name: &str, n: u16) -> Result<Arc<PodNetwork>> {
    let [high, low] = n.to_be_bytes();
    let v4 = IpAddr::V4(Ipv4Addr::new(10, 0, high, low));
    let v6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
    fabric.attach(identity(name), &[v4, v6]).map_err(|error| error.to_string())
}

fn identity(name: &str) -> PodIdentity {
    PodIdentity { namespace: "default".into(), name: name.into(), uid: name.into() }
}

/// The names from outside that programs ask for.
struct Known;

impl Names for Known {
    fn resolve(&self, _from: &PodIdentity, name: &str) -> Answer {
        match name {
            "example.com" => Answer::Addresses(vec![
                Ipv4Addr::new(192, 0, 2, 1).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            ]),
            "p3-test" => Answer::Addresses(vec![Ipv4Addr::new(10, 0, 0, 2).into()]),
            _ => Answer::NoSuchName,
        }
    }
}

async fn serve(
    _pod: Arc<PodNetwork>,
    listener: Box<dyn Listener>,
    http: auto::Builder<TokioExecutor>,
) -> std::result::Result<(), Infallible> {
    let mut connections = Scope::<Infallible>::child_of(&CancellationToken::new());
    while let Ok(stream) = listener.accept().await {
        let http = http.clone();
        connections.spawn(|_| async move {
            let _ = http.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
            Ok(())
        });
    }
    Ok(())
}

/// The request's body, with its method and target in headers.
async fn echo(request: Request<Incoming>) -> std::result::Result<Response<Incoming>, hyper::http::Error> {
    let mut response = Response::builder()
        .header("x-wasmtime-test-method", request.method().as_str())
        .header("x-wasmtime-test-uri", request.uri().to_string());
    if let Some(length) = request.headers().get(CONTENT_LENGTH) {
        response = response.header(CONTENT_LENGTH, length);
    }
    response.body(request.into_body())
}
