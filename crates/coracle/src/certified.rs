//! The certificates of who runs in the control plane's own process: issued without asking, and renewed before they end.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use coracle_pki::{Pki, Renewable};
use coracle_stdx::{Backoff, CancellationToken};
use tracing::{info, warn};

const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Somebody who shows a certificate of the cluster's authority to others.
pub(crate) struct Certified {
    pki: Pki,
    user: String,
    group: &'static str,
    own: Renewable,
    validity: (SystemTime, SystemTime),
}

impl Certified {
    pub(crate) fn issue(pki: &Pki, user: impl Into<String>, group: &'static str) -> Result<Self> {
        let user = user.into();
        let identity = pki.issue_client(&user, Some(group))?;
        let validity = coracle_pki::validity(&identity.certificate_pem)?;
        Ok(Self { pki: pki.clone(), user, group, own: Renewable::new(&identity)?, validity })
    }

    /// What is shown, whatever it is at the time.
    pub(crate) fn own(&self) -> &Renewable {
        &self.own
    }

    /// Renews the certificate in time, until `token` is cancelled.
    pub(crate) async fn keep(mut self, token: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
        loop {
            let pause = coracle_pki::renewal_due_in(self.validity, SystemTime::now()).max(match backoff.n_failures() {
                0 => RETRY_BASE,
                _ => backoff.next_delay_jittered(),
            });
            if token.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            match self.renew() {
                Ok(()) => {
                    info!(user = %self.user, "certificate renewed");
                    backoff.reset();
                }
                Err(error) => {
                    warn!(user = %self.user, error = %format_args!("{error:#}"), "certificate not renewed, trying again");
                    backoff.next_delay();
                }
            }
        }
    }

    fn renew(&mut self) -> Result<()> {
        let identity = self.pki.issue_client(&self.user, Some(self.group))?;
        self.validity = coracle_pki::validity(&identity.certificate_pem)?;
        self.own.replace(&identity)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_renewed_is_seen_by_who_shows_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut certified =
            Certified::issue(&Pki::open(dir.path()).unwrap(), "system:node:n1", "system:nodes").unwrap();
        let before = format!("{:?}", certified.own());
        certified.renew().unwrap();
        assert_ne!(format!("{:?}", certified.own()), before);
    }
}
