//! The loops about the cluster's own affairs: certificates, quotas and volumes.

use coracle_client::{Change, Key};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::bootstrap_tokens::BootstrapTokens;
use crate::certificates::approval::Approvals;
use crate::certificates::cleaner::Cleaner;
use crate::certificates::signer::Signer;
use crate::driver::Driver;
use crate::informers::SERVICE_NAME;
use crate::load_balancers::{self, LoadBalancers};
use crate::nodes::{READY, condition_status};
use crate::quota::{self, Quotas};
use crate::volumes::binder::{self, Binder};
use crate::volumes::ephemeral::{self, EphemeralClaims};
use crate::volumes::protection::{self, ClaimProtection, VolumeProtection};

use super::{Builder, WORKERS, itself};

impl Builder<'_> {
    /// Quotas are counted anew when something went: the result is to be called with its namespace.
    pub(super) fn quotas(&mut self) -> impl Fn(&str) + Send + Sync + 'static {
        let (client, informers) = (self.client.clone(), self.informers.clone());
        let mut driver = self.driver("resourcequota");
        driver.feed(self.scope, &informers.quotas, quota::keys_of_quota);
        let quotas = informers.quotas.clone();
        driver.feed(self.scope, &informers.pods, move |change| quota::keys_of_pod(&quotas, change));
        let quotas = informers.quotas.clone();
        driver.feed(self.scope, &informers.services, move |change| quota::keys_of_service(&quotas, change));
        let shared = driver.shared();
        driver.start(self.scope, WORKERS, Quotas { client, clock: self.config.clock.clone() });
        let quotas = informers.quotas.clone();
        move |namespace| quota::keys_in(&quotas, namespace).into_iter().for_each(|key| shared.enqueue(key))
    }

    pub(super) fn volumes(&mut self) {
        let (client, informers) = (self.client.clone(), self.informers.clone());

        let mut driver: Driver<binder::Item> = Driver::new("persistentvolume-binder");
        let shared = driver.shared();
        self.metrics.add(Box::new(move || shared.metrics()));
        driver.feed(self.scope, &informers.claims, binder::items_of_claim);
        let claims = informers.claims.clone();
        driver.feed(self.scope, &informers.volumes, move |change| binder::items_of_volume(&claims, change));
        let claims = informers.claims.clone();
        driver.feed(self.scope, &informers.storage_classes, move |_| binder::waiting(&claims));
        let claims = informers.claims.clone();
        driver.feed(self.scope, &informers.nodes, move |change| match (&change.old, &change.new) {
            (None, Some(_)) => binder::waiting(&claims),
            _ => Vec::new(),
        });
        let recorder = self.recorder("persistentvolume-controller");
        // One at a time: two claims that are looked at together could choose the same volume.
        driver.start(self.scope, 1, Binder { client: client.clone(), informers: informers.clone(), recorder });

        let mut driver = self.driver("ephemeral-volume");
        driver.feed(self.scope, &informers.pods, ephemeral::keys_of_pod);
        driver.feed(self.scope, &informers.claims, ephemeral::keys_of_claim);
        let recorder = self.recorder("ephemeral_volume");
        let claims = EphemeralClaims { client: client.clone(), informers: informers.clone(), recorder };
        driver.start(self.scope, WORKERS, claims);

        let mut driver = self.driver("pvc-protection");
        driver.feed(self.scope, &informers.claims, itself);
        driver.feed(self.scope, &informers.pods, protection::keys_of_pod);
        driver.start(self.scope, WORKERS, ClaimProtection { client: client.clone(), informers: informers.clone() });

        let mut driver = self.driver("pv-protection");
        driver.feed(self.scope, &informers.volumes, itself);
        driver.start(self.scope, WORKERS, VolumeProtection { client, informers });
    }

    pub(super) fn load_balancers(&mut self) {
        let (client, informers) = (self.client.clone(), self.informers.clone());
        let mut driver = self.driver("service-lb");
        let services = informers.services.clone();
        driver.feed(self.scope, &informers.services, move |change| {
            // What one gives up another may wait for.
            let mut keys = load_balancers::concerned(&services);
            keys.push(change.key.clone());
            keys
        });
        let services = informers.services.clone();
        driver.feed(self.scope, &informers.nodes, move |change| match is_seen(change) {
            true => load_balancers::concerned(&services),
            false => Vec::new(),
        });
        driver.feed(self.scope, &informers.endpoint_slices, |change| {
            [&change.old, &change.new].into_iter().flatten().filter_map(|slice| service_of(slice)).collect()
        });
        let recorder = self.recorder("service-controller");
        let pools = self.config.load_balancer_pools.clone();
        let given = parking_lot::Mutex::default();
        // One at a time: two services that are looked at together could be given the same address.
        driver.start(self.scope, 1, LoadBalancers { client, informers, recorder, pools, given });
    }

    pub(super) fn bootstrap_tokens(&mut self) {
        let (client, informers) = (self.client.clone(), self.informers.clone());
        let mut driver = self.driver("token-cleaner");
        driver.feed(self.scope, &informers.bootstrap_tokens, itself);
        let clock = self.config.clock.clone();
        driver.start(self.scope, 1, BootstrapTokens { client, informers, clock });
    }

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

/// True when a load balancer can tell the difference.
fn is_seen(change: &Change<Node>) -> bool {
    let view = |node: &Node| {
        let addresses = node.status.as_ref().and_then(|status| status.addresses.clone());
        (condition_status(node, READY).to_owned(), addresses, node.metadata.labels.clone())
    };
    change.old.as_deref().map(view) != change.new.as_deref().map(view)
}

fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(Key::new(slice.metadata.namespace.as_deref().unwrap_or_default(), name))
}
