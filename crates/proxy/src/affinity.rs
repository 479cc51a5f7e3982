//! Which endpoint a client was sent to before. It forgets who has been away for the service's timeout.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Clients remembered per service port. Beyond that, new clients are spread as if the service asked for no affinity.
const CLIENTS_MAX: usize = 64 * 1024;

/// The memory of one service port, kept while the table around it is replaced.
#[derive(Debug, Default)]
pub(crate) struct Affinity {
    clients: Mutex<HashMap<IpAddr, (SocketAddr, Instant)>>,
}

impl Affinity {
    pub(crate) fn recall(&self, client: IpAddr, timeout: Duration, now: Instant) -> Option<SocketAddr> {
        let mut clients = self.clients.lock();
        let (endpoint, used) = clients.get_mut(&client)?;
        if now.saturating_duration_since(*used) >= timeout {
            clients.remove(&client);
            return None;
        }
        *used = now;
        Some(*endpoint)
    }

    pub(crate) fn remember(&self, client: IpAddr, endpoint: SocketAddr, timeout: Duration, now: Instant) {
        let mut clients = self.clients.lock();
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            clients.retain(|_, (_, used)| now.saturating_duration_since(*used) < timeout);
            if clients.len() >= CLIENTS_MAX {
                return;
            }
        }
        clients.insert(client, (endpoint, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_forgotten_after_the_timeout() {
        let affinity = Affinity::default();
        let (client, endpoint) = ("10.0.0.9".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let (start, timeout) = (Instant::now(), Duration::from_secs(10));
        affinity.remember(client, endpoint, timeout, start);
        assert_eq!(affinity.recall(client, timeout, start + Duration::from_secs(9)), Some(endpoint));
        assert_eq!(affinity.recall(client, timeout, start + Duration::from_secs(18)), Some(endpoint));
        assert_eq!(affinity.recall(client, timeout, start + Duration::from_secs(28)), None);
    }
}
