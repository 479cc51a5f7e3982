//! A latch that opens once. It never closes again.

use tokio::sync::watch;

/// Opens once, for everybody who waits now or later.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it. Opening it twice is the same as once.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// True once it has been opened.
    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it is open. Cancel-safe.
    pub async fn opened(&self) {
        let mut state = self.0.subscribe();
        state.wait_for(|open| *open).await.expect("self holds the sender");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_late_finds_it_open() {
        let gate = Gate::new();
        assert!(!gate.is_open());
        gate.clone().open();
        gate.opened().await;
        assert!(gate.is_open());
    }
}
