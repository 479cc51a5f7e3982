//! How much memory the instances of one container hold together, with what the host holds for them, and the refusal when
//! it becomes too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use wasmtime::ResourceLimiter;

/// Bytes of the host's that are not worth being counted one by one: what waits is counted with what waits for it.
const SMALL: usize = 4 << 10;

/// What all live instances of a container hold.
#[derive(Debug)]
pub(crate) struct MemoryAccount {
    used: AtomicU64,
    peak: AtomicU64,
    /// What was held when a guest last failed.
    last: AtomicU64,
    n_instances: AtomicU64,
    /// `u64::MAX` when there is no limit.
    max: AtomicU64,
}

/// A guest asked for more than its container may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("memory limit of {limit} bytes exceeded")]
pub(crate) struct MemoryExceeded {
    pub(crate) limit: u64,
    /// The memory is held by other instances of the same container.
    pub(crate) by_others: bool,
}

impl MemoryAccount {
    pub(crate) fn new(max: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            last: AtomicU64::new(0),
            n_instances: AtomicU64::new(0),
            max: AtomicU64::new(max.unwrap_or(u64::MAX)),
        })
    }

    /// What holds from the next growth on.
    pub(crate) fn set_max(&self, max: Option<u64>) {
        self.max.store(max.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that was held at one time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// What was held when a guest last failed.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// A guest has failed: what is held now is worth telling.
    pub(crate) fn note_last(&self) {
        self.last.store(self.used(), Ordering::Relaxed);
    }

    pub(crate) fn n_instances(&self) -> u64 {
        self.n_instances.load(Ordering::Relaxed)
    }

    /// True when that much more may be held now.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.max.load(Ordering::Relaxed)
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, bytes: u64, own: u64) -> Result<(), MemoryExceeded> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let limit = self.max.load(Ordering::Relaxed);
        if used > limit {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(MemoryExceeded { limit, by_others: own + bytes <= limit });
        }
        self.peak.fetch_max(used, Ordering::Relaxed);
        Ok(())
    }
}

/// Memory of the host's that is held for a container, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    account: Arc<MemoryAccount>,
    bytes: u64,
}

impl Held {
    pub(crate) fn new(account: &Arc<MemoryAccount>, bytes: u64) -> Result<Self, MemoryExceeded> {
        account.take(bytes, 0)?;
        Ok(Self { account: Arc::clone(account), bytes })
    }

    /// What is held already: it counts, also where it is too much.
    pub(crate) fn anyway(account: &Arc<MemoryAccount>, bytes: u64) -> Self {
        let used = account.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        account.peak.fetch_max(used, Ordering::Relaxed);
        Self { account: Arc::clone(account), bytes }
    }

    /// `bytes`, which count until the last of their owners lets them go.
    pub(crate) fn bytes(account: &Arc<MemoryAccount>, bytes: Bytes) -> Result<Bytes, MemoryExceeded> {
        if bytes.len() < SMALL {
            return Ok(bytes);
        }
        let held = Self::new(account, bytes.len() as u64)?;
        Ok(Bytes::from_owner(Counted { bytes, _held: held }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// One instance's part of the account. Dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct Limiter {
    account: Arc<MemoryAccount>,
    own: u64,
    last: u64,
}

impl Limiter {
    pub(crate) fn new(account: &Arc<MemoryAccount>) -> Self {
        account.n_instances.fetch_add(1, Ordering::Relaxed);
        Self { account: Arc::clone(account), own: 0, last: 0 }
    }

    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        let bytes = bytes as u64;
        self.account.take(bytes, self.own)?;
        self.own += bytes;
        self.last = bytes;
        Ok(true)
    }

    fn undo(&mut self) {
        self.account.used.fetch_sub(self.last, Ordering::Relaxed);
        self.own -= self.last;
        self.last = 0;
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.account.used.fetch_sub(self.own, Ordering::Relaxed);
        self.account.n_instances.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, max: Option<usize>) -> wasmtime::Result<bool> {
        if max.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.grow(desired.saturating_sub(current))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, max: Option<usize>) -> wasmtime::Result<bool> {
        if max.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>()))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_share_one_limit_and_give_back_what_they_held() {
        let account = MemoryAccount::new(Some(100));
        let mut first = Limiter::new(&account);
        let mut second = Limiter::new(&account);
        assert!(first.memory_growing(0, 60, None).unwrap());
        let refused = second.memory_growing(0, 60, None).unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&MemoryExceeded { limit: 100, by_others: true }));
        let refused = first.memory_growing(60, 101, None).unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&MemoryExceeded { limit: 100, by_others: false }));
        drop(first);
        assert!(second.memory_growing(0, 100, None).unwrap());
        assert_eq!((account.used(), account.n_instances()), (100, 1));
    }

    #[test]
    fn a_new_limit_holds_from_the_next_growth_on() {
        let account = MemoryAccount::new(Some(100));
        let mut limiter = Limiter::new(&account);
        assert!(limiter.memory_growing(0, 80, None).unwrap());
        account.set_max(Some(50));
        assert!(limiter.memory_growing(80, 81, None).is_err());
        account.set_max(None);
        assert!(limiter.memory_growing(80, 1000, None).unwrap());
    }

    #[test]
    fn what_the_host_holds_counts_until_nobody_has_it() {
        let account = MemoryAccount::new(Some(64 << 10));
        let bytes = Held::bytes(&account, vec![0; 48 << 10].into()).unwrap();
        let part = bytes.slice(..7);
        assert_eq!(account.used(), 48 << 10);
        assert!(Held::bytes(&account, vec![0; 48 << 10].into()).is_err());
        assert!(account.has_room(16 << 10) && !account.has_room(17 << 10));
        drop((bytes, part));
        let _beyond = Held::anyway(&account, 65 << 10);
        assert_eq!((account.used(), account.has_room(0)), (65 << 10, false));
        assert_eq!(Held::bytes(&account, "small".into()).unwrap(), "small");
    }

    #[test]
    fn a_guests_own_maximum_is_no_offence() {
        let account = MemoryAccount::new(Some(100));
        let mut limiter = Limiter::new(&account);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn what_the_engine_could_not_grow_is_not_counted() {
        let account = MemoryAccount::new(None);
        let mut limiter = Limiter::new(&account);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        assert_eq!(account.used(), 0);
    }
}
