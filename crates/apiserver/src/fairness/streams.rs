//! How many watches and other streams are open, for each client and in all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Client;

#[derive(Debug)]
pub(super) struct Streams {
    n_max: usize,
    per_client_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    n: usize,
    /// Only clients that have any.
    by_client: HashMap<Client, usize>,
}

/// A stream that is open, until this is dropped.
#[derive(Debug)]
pub(crate) struct Stream {
    streams: Arc<Streams>,
    client: Client,
}

impl Streams {
    pub(super) fn new(n_max: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self { n_max, per_client_max, open: Mutex::default() })
    }

    /// One stream more, unless there are too many.
    pub(super) fn enter(self: &Arc<Self>, client: &Client) -> Option<Stream> {
        let mut open = self.open.lock();
        let n_own = open.by_client.get(client).copied().unwrap_or_default();
        if open.n >= self.n_max || n_own >= self.per_client_max {
            return None;
        }
        open.n += 1;
        open.by_client.insert(client.clone(), n_own + 1);
        Some(Stream { streams: Arc::clone(self), client: client.clone() })
    }

    pub(super) fn len(&self) -> usize {
        self.open.lock().n
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        open.n -= 1;
        if let Some(n_own) = open.by_client.get_mut(&self.client) {
            *n_own -= 1;
            if *n_own == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use coracle_api::identity::User;

    use super::*;

    #[test]
    fn a_client_has_its_bound_and_all_have_theirs() {
        let client = |name: &str| Client::new(&User::new(name, &[]), None);
        let streams = Streams::new(3, 2);
        let mut a: Vec<_> = (0..2).map(|_| streams.enter(&client("a")).unwrap()).collect();
        assert!(streams.enter(&client("a")).is_none(), "that is more than one client may have");
        let b = streams.enter(&client("b")).unwrap();
        assert!(streams.enter(&client("c")).is_none(), "that is more than all may have");
        a.pop();
        assert!(streams.enter(&client("a")).is_some());
        drop((a, b));
        assert_eq!((streams.len(), streams.open.lock().by_client.len()), (0, 0));
    }
}
