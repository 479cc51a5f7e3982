//! Who pays for what waits in a queue of the network: the container that wrote to a stream, or that is to read datagrams.

use std::sync::Arc;

use crate::limits::MemoryAccount;

/// What a queue may hold for the price of its socket. It is never refused, so that whoever waits for room gets some.
const FREE: usize = 16 << 10;

/// The memory of one container.
#[derive(Clone, Debug)]
pub struct Account(pub(crate) Arc<MemoryAccount>);

impl Account {
    /// Of nobody but whoever holds it.
    pub fn new(max: Option<u64>) -> Self {
        Self(MemoryAccount::new(max))
    }

    /// What is held now.
    pub fn used(&self) -> u64 {
        self.0.used()
    }
}

/// What one queue holds of its container's memory. Dropping it gives that back.
#[derive(Debug, Default)]
pub struct Queued {
    account: Option<Account>,
    charged: usize,
}

impl Queued {
    /// Counts what is queued from now on.
    pub fn charge_to(&mut self, account: Account) {
        self.resize(0);
        self.account = Some(account);
    }

    /// How many bytes the queue may hold now, when it would like to hold `wanted`.
    pub fn grow(&mut self, wanted: usize) -> usize {
        let beyond = wanted.saturating_sub(FREE);
        match &self.account {
            Some(Account(account)) if beyond > self.charged => match account.take((beyond - self.charged) as u64, 0) {
                Ok(()) => self.charged = beyond,
                Err(_) => return FREE + self.charged,
            },
            Some(_) | None => {}
        }
        wanted
    }

    /// The queue holds that many bytes, and no more than before.
    pub fn shrink(&mut self, held: usize) {
        self.resize(held.saturating_sub(FREE));
    }

    fn resize(&mut self, charged: usize) {
        if let Some(Account(account)) = &self.account
            && charged < self.charged
        {
            account.give_back((self.charged - charged) as u64);
            self.charged = charged;
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_pays_beyond_what_is_free_and_never_stands_still() {
        let account = MemoryAccount::new(Some(64 << 10));
        let mut queued = Queued::default();
        assert_eq!(queued.grow(1 << 20), 1 << 20);
        queued.charge_to(Account(Arc::clone(&account)));
        assert_eq!((queued.grow(FREE), account.used()), (FREE, 0));
        assert_eq!((queued.grow(48 << 10), account.used()), (48 << 10, 32 << 10));
        assert_eq!((queued.grow(128 << 10), account.used()), (48 << 10, 32 << 10));
        queued.shrink(20 << 10);
        assert_eq!(account.used(), 4 << 10);
        let mut other = Queued::default();
        other.charge_to(Account(Arc::clone(&account)));
        assert_eq!(other.grow(1 << 20), FREE);
        drop(queued);
        assert_eq!(account.used(), 0);
    }
}
