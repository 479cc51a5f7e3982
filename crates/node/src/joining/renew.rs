//! Keeps a node certified: asks for the next certificate when most of this one's time is over.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coracle_stdx::{Backoff, CancellationToken};
use kube::Client;
use kube::client::Body;
use parking_lot::RwLock;
use tower::service_fn;
use tracing::{info, warn};

use super::{Error, Joined, certificate};
use crate::error::chain;

const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// The client of the newest certificate.
pub(super) struct Swapped(RwLock<Client>);

impl Swapped {
    pub(super) fn new(client: Client) -> Self {
        Self(RwLock::new(client))
    }
}

/// A client whose requests each take the road that is the newest then.
pub(super) fn client(swapped: &Arc<Swapped>) -> Client {
    let swapped = swapped.clone();
    let send = move |request: http::Request<Body>| {
        let client = swapped.0.read().clone();
        async move { client.send(request).await }
    };
    Client::new(service_fn(send), "default")
}

pub(super) async fn keep(mut joined: Joined, token: CancellationToken) {
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
    while let Ok(validity) = joined.record.validity() {
        let pause = coracle_pki::renewal_due_in(validity, SystemTime::now()).max(if backoff.n_failures() == 0 {
            Duration::ZERO
        } else {
            backoff.next_delay_jittered()
        });
        if token.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        match renew(&mut joined, &token).await {
            Ok(()) => {
                info!(node = %joined.name, "certificate renewed");
                backoff.reset();
            }
            Err(_) if token.is_cancelled() => return,
            Err(error) => {
                warn!(node = %joined.name, error = %chain(&error), "certificate not renewed, trying again");
                backoff.next_delay();
            }
        }
    }
}

async fn renew(joined: &mut Joined, token: &CancellationToken) -> Result<(), Error> {
    let identity = certificate::obtain(&joined.client(), &joined.name, token).await?;
    let record = joined.record.renewed(identity.clone());
    record.write(&joined.dir)?;
    let client = record.client()?;
    joined.identity.replace(&identity)?;
    *joined.client.0.write() = client;
    joined.record = record;
    Ok(())
}
