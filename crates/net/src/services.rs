//! What the fabric asks about service addresses. It decides nothing itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Which network an endpoint is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Wherever its address leads: a pod, a link, or the host's network if policy allows.
    Fabric,
    /// The host's network, whatever the policy says.
    Host,
}

/// What knows how many connections an endpoint has.
pub trait Counter: std::fmt::Debug + Send + Sync {
    fn count(&self) -> &AtomicUsize;
}

impl Counter for AtomicUsize {
    fn count(&self) -> &AtomicUsize {
        self
    }
}

/// One connection more for an endpoint, for as long as this lives.
#[derive(Debug)]
pub struct Outstanding(Arc<dyn Counter>);

impl Outstanding {
    /// Counts one more in `counter`.
    pub fn begin(counter: Arc<dyn Counter>) -> Self {
        counter.count().fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.count().fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a service's connection goes.
#[derive(Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub via: Via,
    /// Held until the connection ends.
    pub outstanding: Option<Outstanding>,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { address, via: Via::Fabric, outstanding: None }
    }
}

/// The answer to "is this a service, and which endpoint takes it?".
#[derive(Debug)]
pub enum Route {
    NotService,
    Endpoint(Endpoint),
    /// A service that nobody serves now: the connection is refused.
    NoEndpoints,
}

/// The table of services. It is asked once per connection, and again after an endpoint refused.
pub trait ServiceRoutes: Send + Sync {
    /// The endpoint for a connection `from` a pod (or the node itself) `to` an address, without those in `refused`.
    fn route(&self, from: Option<IpAddr>, to: SocketAddr, protocol: Protocol, refused: &[SocketAddr]) -> Route;

    /// Moves when the table changes.
    fn version(&self) -> u64 {
        0
    }

    /// Whether `endpoint` is still one of those behind `to`.
    fn still_leads(&self, _to: SocketAddr, _protocol: Protocol, _endpoint: SocketAddr) -> bool {
        true
    }
}

/// A table without services.
#[derive(Debug)]
pub(crate) struct NoServices;

impl ServiceRoutes for NoServices {
    fn route(&self, _: Option<IpAddr>, _: SocketAddr, _: Protocol, _: &[SocketAddr]) -> Route {
        Route::NotService
    }
}
