//! Memory for large bodies, those that are read and those that are answered, until they have been worked on or sent.
//! Who wants more than there is waits: first for itself, then for the others.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Client;

/// Bodies up to this size are not counted: the number of requests bounds them.
const SMALL_BYTES: usize = 64 << 10;
/// Permits are for so many bytes each, as a semaphore counts to less than there are bytes.
const UNIT_BYTES: usize = 1 << 10;

#[derive(Debug)]
pub(super) struct Memory {
    all: Arc<Semaphore>,
    n_units: usize,
    per_client_units: usize,
    /// Only clients that hold some, or wait for some, or did so lately.
    clients: Mutex<HashMap<Client, Weak<Semaphore>>>,
}

/// Memory that somebody holds, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    _own: Option<(Arc<Semaphore>, OwnedSemaphorePermit)>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(super) fn new(bytes_max: usize, per_client_bytes_max: usize) -> Self {
        let (n_units, per_client_units) = (bytes_max / UNIT_BYTES, per_client_bytes_max / UNIT_BYTES);
        Self { all: Arc::new(Semaphore::new(n_units)), n_units, per_client_units, clients: Mutex::default() }
    }

    /// Waits for so many bytes. What is larger than everything there is gets all of it.
    pub(super) async fn reserve(&self, client: &Client, n_bytes: usize) -> Reserved {
        if n_bytes <= SMALL_BYTES {
            return Reserved::default();
        }
        let own = self.own(client);
        let n_units = n_bytes.div_ceil(UNIT_BYTES);
        let own_permit = acquire(&own, n_units.min(self.per_client_units)).await;
        let all = acquire(&self.all, n_units.min(self.n_units)).await;
        Reserved { _own: Some((own, own_permit)), _all: Some(all) }
    }

    fn own(&self, client: &Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock();
        if let Some(own) = clients.get(client).and_then(Weak::upgrade) {
            return own;
        }
        clients.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.per_client_units));
        clients.insert(client.clone(), Arc::downgrade(&own));
        own
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, n: usize) -> OwnedSemaphorePermit {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    Arc::clone(semaphore).acquire_many_owned(n).await.expect("nobody closes it")
}

impl Reserved {
    /// `bytes`, which hold on to their memory until the last of them is gone.
    pub(crate) fn attach(self, bytes: Bytes) -> Bytes {
        if self._all.is_none() {
            return bytes;
        }
        Bytes::from_owner(Held { bytes, _reserved: self })
    }
}

struct Held {
    bytes: Bytes,
    _reserved: Reserved,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use coracle_api::identity::User;
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    fn client(name: &str) -> Client {
        Client::new(&User::new(name, &[]), None)
    }

    #[test]
    fn a_client_waits_for_itself_and_then_for_the_others() {
        let memory = Memory::new(3 * MIB, 2 * MIB);
        let reserve = |name: &str, n_bytes| memory.reserve(&client(name), n_bytes).now_or_never();
        let first = reserve("a", 2 * MIB).unwrap().attach(Bytes::from_static(b"answer"));
        assert!(reserve("a", MIB).is_none(), "its share is taken");
        let _other = reserve("b", MIB).expect("there is some for others");
        assert!(reserve("c", MIB).is_none(), "now there is none for anybody");
        assert!(reserve("c", SMALL_BYTES).is_some(), "what is small is not counted");
        let rest = first.slice(3..);
        drop(first);
        assert!(reserve("c", MIB).is_none(), "a part of the answer is still there");
        drop(rest);
        assert!(reserve("c", 100 * MIB).is_none() && reserve("c", MIB).is_some());
    }

    #[test]
    fn who_holds_nothing_is_forgotten() {
        let memory = Memory::new(3 * MIB, 2 * MIB);
        for n in 0..10 {
            drop(memory.reserve(&client(&n.to_string()), MIB).now_or_never().unwrap());
        }
        assert_eq!(memory.clients.lock().len(), 1);
    }
}
