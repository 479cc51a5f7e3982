//! The endpoints behind one port of a service, and the choice between them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coracle_net::{Counter, Endpoint, Outstanding, Protocol, Route, Via};
use ipnet::IpNet;
use rand::Rng;
use tokio::time::Instant;

use crate::affinity::Affinity;

/// Where an endpoint is, and how many connections it has: one for every service and every table that names it.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) at: (SocketAddr, Protocol),
    n_outstanding: AtomicUsize,
}

impl Counted {
    pub(crate) fn new(address: SocketAddr, protocol: Protocol) -> Self {
        Self { at: (address, protocol), n_outstanding: AtomicUsize::new(0) }
    }
}

impl Counter for Counted {
    fn count(&self) -> &AtomicUsize {
        &self.n_outstanding
    }
}

/// One endpoint of a service.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) counted: Arc<Counted>,
    pub(crate) via: Via,
}

impl Backend {
    fn address(&self) -> SocketAddr {
        self.counted.at.0
    }

    fn route(&self) -> Route {
        let outstanding = Some(Outstanding::begin(self.counted.clone()));
        Route::Endpoint(Endpoint { address: self.address(), via: self.via, outstanding })
    }

    fn load(&self) -> usize {
        self.counted.n_outstanding.load(Ordering::Relaxed)
    }
}

/// The endpoints that take connections, and how clients stick to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backends {
    pub(crate) usable: Box<[Backend]>,
    pub(crate) affinity: Option<(Arc<Affinity>, Duration)>,
    /// Who may come; everybody when it is empty.
    pub(crate) sources: Arc<[IpNet]>,
}

impl Backends {
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|net| net.contains(&client))
    }

    pub(crate) fn has(&self, endpoint: SocketAddr) -> bool {
        self.usable.iter().any(|backend| backend.address() == endpoint)
    }

    /// The endpoint for one more connection of `client`, or none when all have refused.
    pub(crate) fn choose(&self, client: Option<IpAddr>, refused: &[SocketAddr]) -> Route {
        let (Some((affinity, timeout)), Some(client)) = (&self.affinity, client) else {
            return self.least_busy_of_two(refused).map_or(Route::NoEndpoints, Backend::route);
        };
        let now = Instant::now();
        let known = affinity.recall(client, *timeout, now).filter(|address| !refused.contains(address));
        if let Some(backend) = known.and_then(|address| self.usable.iter().find(|b| b.address() == address)) {
            return backend.route();
        }
        let Some(backend) = self.least_busy_of_two(refused) else { return Route::NoEndpoints };
        affinity.remember(client, backend.address(), *timeout, now);
        backend.route()
    }

    fn least_busy_of_two(&self, refused: &[SocketAddr]) -> Option<&Backend> {
        if refused.is_empty() {
            return two_choices(self.usable.len(), |idx| &self.usable[idx]);
        }
        let left: Vec<&Backend> = self.usable.iter().filter(|b| !refused.contains(&b.address())).collect();
        two_choices(left.len(), |idx| left[idx])
    }
}

/// The less busy of two different ones, chosen at random.
fn two_choices<'a>(n: usize, nth: impl Fn(usize) -> &'a Backend) -> Option<&'a Backend> {
    if n < 2 {
        return (n == 1).then(|| nth(0));
    }
    let mut rng = rand::rng();
    let first = rng.random_range(0..n);
    let second = (first + rng.random_range(1..n)) % n;
    let (first, second) = (nth(first), nth(second));
    Some(if second.load() < first.load() { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(n: u16) -> Backends {
        let backend = |port| Backend {
            counted: Arc::new(Counted::new(SocketAddr::new([10, 0, 0, 1].into(), port), Protocol::Tcp)),
            via: Via::Fabric,
        };
        Backends { usable: (1..=n).map(backend).collect(), ..Backends::default() }
    }

    fn chosen(route: Route) -> Option<(SocketAddr, Option<Outstanding>)> {
        match route {
            Route::Endpoint(endpoint) => Some((endpoint.address, endpoint.outstanding)),
            Route::NoEndpoints | Route::NotService => None,
        }
    }

    #[test]
    fn open_connections_spread_evenly() {
        let backends = backends(4);
        let held: Vec<_> = (0..400).map(|_| chosen(backends.choose(None, &[])).unwrap()).collect();
        assert!(backends.usable.iter().all(|backend| (95..=105).contains(&backend.load())));
        drop(held);
        assert!(backends.usable.iter().all(|backend| backend.load() == 0));
    }

    #[test]
    fn who_refused_is_not_asked_again() {
        let backends = backends(3);
        let mut refused = Vec::new();
        while let Some((address, _)) = chosen(backends.choose(None, &refused)) {
            assert!(!refused.contains(&address));
            refused.push(address);
        }
        assert_eq!(refused.len(), 3);
    }

    #[test]
    fn a_client_stays_with_its_endpoint_until_that_refuses() {
        let mut backends = backends(8);
        backends.affinity = Some((Arc::default(), Duration::from_secs(60)));
        let client = Some([10, 0, 0, 9].into());
        let (first, _held) = chosen(backends.choose(client, &[])).unwrap();
        for _ in 0..50 {
            assert_eq!(chosen(backends.choose(client, &[])).unwrap().0, first);
        }
        let (second, _) = chosen(backends.choose(client, &[first])).unwrap();
        assert_ne!(second, first);
        assert_eq!(chosen(backends.choose(client, &[])).unwrap().0, second);
    }
}
