//! The loops about the cluster's own affairs: certificates, quotas and volumes.

use crate::certificates::approval::Approvals;
use crate::certificates::cleaner::Cleaner;
use crate::certificates::signer::Signer;

use super::{Builder, WORKERS, itself};

impl Builder<'_> {
    pub(super) fn certificates(&mut self) {
        let (client, informers) = (self.client.clone(), self.informers.clone());
        let requests = &informers.certificate_requests;

        let mut driver = self.driver("certificate-approval");
        driver.feed(self.scope, requests, itself);
        driver.start(self.scope, WORKERS, Approvals { client: client.clone(), informers: informers.clone() });

        if let Some(pki) = self.config.signer.clone() {
            let mut driver = self.driver("certificate-signing");
            driver.feed(self.scope, requests, itself);
            driver.start(self.scope, WORKERS, Signer { client: client.clone(), informers: informers.clone(), pki });
        }

        let mut driver = self.driver("certificate-cleaner");
        driver.feed(self.scope, requests, itself);
        let clock = self.config.clock.clone();
        driver.start(self.scope, 1, Cleaner { client, informers: informers.clone(), clock });
    }
}
