//! What one client may take from the others: seats for requests at work, streams, and memory for bodies. Who asks for
//! more than its share waits, and when too many wait, is told to come back.

mod memory;
mod seats;
mod streams;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coracle_api::identity::{MASTERS, NODES, User};
use coracle_api::status::Status;

use crate::config::Limits;

use memory::Memory;
pub(crate) use memory::Reserved;
use seats::{Bounds, Seat, Seating};
pub(crate) use streams::Stream;
use streams::Streams;

/// How long a request waits for a seat before its client is told to come back.
const QUEUE_TIME_MAX: Duration = Duration::from_secs(15);
/// A cluster's own parts get so many seats of their own for each one of everybody else's.
const SYSTEM_SHARE: f64 = 0.5;

/// Who asks, where it comes to sharing: a user at an address. Callers in this process have none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    user: Arc<str>,
    address: Option<IpAddr>,
    is_system: bool,
}

impl Client {
    pub(crate) fn new(user: &User, address: Option<IpAddr>) -> Self {
        Self { user: user.name.as_str().into(), address, is_system: is_system(user) }
    }
}

/// True for the parts of the cluster itself, which no other client can keep from working.
fn is_system(user: &User) -> bool {
    let is_account_of_system = user.service_account_name().is_some_and(|(namespace, _)| namespace == "kube-system");
    let is_component = user.name.starts_with("system:") && user.service_account_name().is_none();
    is_account_of_system || user.is_in(NODES) || (is_component && !user.is_anonymous() && !user.is_in(MASTERS))
}

/// The two kinds of requests that are bounded apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Read,
    Write,
}

impl Work {
    pub(crate) fn of(verb: &str) -> Self {
        match verb {
            "get" | "list" | "watch" | "head" | "options" => Self::Read,
            _ => Self::Write,
        }
    }
}

/// Everything that is shared out.
#[derive(Debug)]
pub(crate) struct Fairness {
    reads: Pair<Arc<Seating>>,
    writes: Pair<Arc<Seating>>,
    streams: Pair<Arc<Streams>>,
    memory: Pair<Memory>,
}

/// What everybody has, and what the cluster's own parts have for themselves.
#[derive(Debug)]
struct Pair<T> {
    everybody: T,
    system: T,
}

impl<T> Pair<T> {
    fn of(&self, client: &Client) -> &T {
        if client.is_system { &self.system } else { &self.everybody }
    }
}

impl Pair<Arc<Seating>> {
    fn new(n_seats: usize, limits: &Limits) -> Self {
        let bounds = Bounds { n_seats, share_max: n_seats.div_ceil(2), queue_max: limits.queue_max };
        let n_system = (n_seats as f64 * SYSTEM_SHARE).ceil() as usize;
        let system = Bounds { n_seats: n_system, share_max: n_system, ..bounds };
        Self { everybody: Seating::new(bounds), system: Seating::new(system) }
    }
}

impl Fairness {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            reads: Pair::new(limits.reads_max, limits),
            writes: Pair::new(limits.writes_max, limits),
            streams: {
                let streams = || Streams::new(limits.streams_max, limits.streams_per_client_max);
                Pair { everybody: streams(), system: streams() }
            },
            memory: {
                let memory = || Memory::new(limits.memory_bytes_max, limits.memory_per_client_bytes_max);
                Pair { everybody: memory(), system: memory() }
            },
        }
    }

    /// A seat for a request, as soon as it is this client's turn.
    pub(crate) async fn seat(&self, client: &Client, work: Work) -> Result<Seat, Status> {
        let pair = match work {
            Work::Read => &self.reads,
            Work::Write => &self.writes,
        };
        let seated = tokio::time::timeout(QUEUE_TIME_MAX, pair.of(client).seat(client)).await;
        seated.ok().flatten().ok_or_else(too_many)
    }

    /// Counts a stream in, unless this client or all together have too many.
    pub(crate) fn stream(&self, client: &Client) -> Result<Stream, Status> {
        self.streams.of(client).enter(client).ok_or_else(too_many)
    }

    /// Waits until this client may hold so many bytes more.
    pub(crate) async fn reserve(&self, client: &Client, n_bytes: usize) -> Reserved {
        self.memory.of(client).reserve(client, n_bytes).await
    }

    /// Requests at work.
    pub(crate) fn n_seated(&self) -> usize {
        [&self.reads, &self.writes].into_iter().map(|pair| pair.everybody.n_taken() + pair.system.n_taken()).sum()
    }

    /// Requests that wait for a seat.
    pub(crate) fn n_waiting(&self) -> usize {
        [&self.reads, &self.writes].into_iter().map(|pair| pair.everybody.n_waiting() + pair.system.n_waiting()).sum()
    }

    /// Watches and other streams that are open.
    pub(crate) fn n_streams(&self) -> usize {
        self.streams.everybody.len() + self.streams.system.len()
    }
}

fn too_many() -> Status {
    Status::too_many_requests("Too many requests, please try again later.", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clusters_own_parts_are_told_from_everybody_else() {
        let system = [
            User::new("system:kube-scheduler", &[]),
            User::node("n1"),
            User::service_account("kube-system", "coredns", ""),
        ];
        assert!(system.iter().all(is_system));
        let others =
            [User::admin(), User::anonymous(), User::service_account("default", "default", ""), User::new("jane", &[])];
        assert!(!others.iter().any(is_system));
    }

    #[tokio::test]
    async fn what_others_hold_never_keeps_the_clusters_own_parts_from_working() {
        let fairness = Fairness::new(&Limits { writes_max: 2, ..Limits::default() });
        let clients: Vec<_> = ["a", "b"].map(|name| Client::new(&User::new(name, &[]), None)).into();
        let mut seats = Vec::new();
        for client in &clients {
            seats.push(fairness.seat(client, Work::Write).await.unwrap());
        }
        let scheduler = Client::new(&User::new("system:kube-scheduler", &[]), None);
        assert!(fairness.seat(&scheduler, Work::Write).await.is_ok());
        assert!(fairness.seat(&clients[0], Work::Read).await.is_ok(), "reads are bounded apart");
        assert_eq!(fairness.n_seated(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_to_come_back() {
        let fairness = Fairness::new(&Limits { reads_max: 1, ..Limits::default() });
        let client = Client::new(&User::new("jane", &[]), None);
        let _seat = fairness.seat(&client, Work::Read).await.unwrap();
        let refused = fairness.seat(&client, Work::Read).await.unwrap_err();
        assert_eq!((refused.code, refused.details.unwrap().retry_after_seconds), (429, 1));
        assert_eq!(fairness.n_waiting(), 0);
    }
}
