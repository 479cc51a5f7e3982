//! A real API server over a store in memory, for tests of what talks to one. Never part of what users run.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use coracle_api::identity::User;
use coracle_apiserver::{ApiServer, Config};
use coracle_pki::Pki;
use coracle_stdx::CancellationToken;
use coracle_store::Store;
use kube::Client;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition that nothing announces is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// An API server in this process. It ends when dropped.
pub struct Api {
    pub server: ApiServer,
    token: CancellationToken,
    _keys: tempfile::TempDir,
}

impl Api {
    /// A server with what every cluster begins with, and nothing else.
    ///
    /// # Panics
    /// When it cannot be made: a test has nothing to do then.
    pub async fn start() -> Self {
        let keys = tempfile::tempdir().expect("make a directory for keys");
        let pki = Pki::open(keys.path()).expect("make an authority");
        let token = CancellationToken::new();
        let advertise = SocketAddr::from((Ipv4Addr::LOCALHOST, 6443));
        let server = ApiServer::new(Config::new(advertise), Store::memory(), pki, None, token.clone()).await;
        Self { server: server.expect("start an API server"), token, _keys: keys }
    }

    /// A client with the identity of `user`.
    pub fn client(&self, user: User) -> Client {
        coracle_client::in_process(self.server.service(), user)
    }

    /// A client that may do everything.
    pub fn admin(&self) -> Client {
        self.client(User::admin())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// Looks until `look` answers `Ok`, and returns it.
///
/// # Panics
/// After [`PATIENCE`], with what `look` said last.
pub async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if tokio::time::Instant::now() > deadline => {
                panic!("waited {PATIENCE:?} for {what}; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
