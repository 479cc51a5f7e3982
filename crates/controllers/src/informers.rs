//! The caches that the loops share: one list and watch per kind. It never writes.

use std::sync::Arc;

use coracle_api::selector::Selector;
use coracle_client::Informer;
use coracle_stdx::Scope;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController,
    ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Api, Client, Resource};

use crate::{bootstrap_tokens, endpoints, job, labels, owners};

/// Index by the uid of the managing owner.
pub(crate) const BY_CONTROLLER: &str = "controller";
/// Index by the pod's node.
pub(crate) const BY_NODE: &str = "node";
/// Index by the object's own uid.
const BY_UID: &str = "uid";
/// Index by namespace, of pods that no owner manages.
const ORPHANS: &str = "orphans";
/// Index of pods that a job has to let go, by its namespace and name.
pub(crate) const TRACKED: &str = "tracked";
/// Index of slices by namespace/service.
pub(crate) const BY_SERVICE: &str = "service";

pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(crate) const NODE_LEASES: &str = "kube-node-lease";
pub(crate) const ROOT_CA: &str = "kube-root-ca.crt";

pub(crate) struct Informers {
    pub(crate) pods: Informer<Pod>,
    pub(crate) replica_sets: Informer<ReplicaSet>,
    pub(crate) deployments: Informer<Deployment>,
    pub(crate) replication_controllers: Informer<ReplicationController>,
    pub(crate) stateful_sets: Informer<StatefulSet>,
    pub(crate) daemon_sets: Informer<DaemonSet>,
    pub(crate) controller_revisions: Informer<ControllerRevision>,
    pub(crate) jobs: Informer<Job>,
    pub(crate) cron_jobs: Informer<CronJob>,
    pub(crate) disruption_budgets: Informer<PodDisruptionBudget>,
    pub(crate) services: Informer<Service>,
    pub(crate) endpoint_slices: Informer<EndpointSlice>,
    pub(crate) endpoints: Informer<Endpoints>,
    pub(crate) nodes: Informer<Node>,
    pub(crate) leases: Informer<Lease>,
    pub(crate) namespaces: Informer<Namespace>,
    pub(crate) service_accounts: Informer<ServiceAccount>,
    pub(crate) root_cas: Informer<ConfigMap>,
    pub(crate) certificate_requests: Informer<CertificateSigningRequest>,
    pub(crate) quotas: Informer<ResourceQuota>,
    pub(crate) claims: Informer<PersistentVolumeClaim>,
    pub(crate) volumes: Informer<PersistentVolume>,
    pub(crate) storage_classes: Informer<StorageClass>,
    pub(crate) bootstrap_tokens: Informer<Secret>,
}

impl Informers {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            pods: Informer::new(Api::all(client.clone()))
                .indexed(BY_CONTROLLER, |pod: &Pod| owners::controller_uid(&pod.metadata))
                .indexed(BY_NODE, |pod: &Pod| pod.spec.iter().filter_map(|spec| spec.node_name.clone()).collect())
                .indexed(BY_UID, |pod: &Pod| pod.metadata.uid.clone().into_iter().collect())
                .indexed(ORPHANS, orphan)
                .indexed(TRACKED, job::tracked),
            replica_sets: Informer::new(Api::all(client.clone()))
                .indexed(BY_CONTROLLER, |set: &ReplicaSet| owners::controller_uid(&set.metadata)),
            deployments: Informer::new(Api::all(client.clone())),
            replication_controllers: Informer::new(Api::all(client.clone())),
            stateful_sets: Informer::new(Api::all(client.clone())),
            daemon_sets: Informer::new(Api::all(client.clone())),
            controller_revisions: Informer::new(Api::all(client.clone())),
            jobs: Informer::new(Api::all(client.clone()))
                .indexed(BY_CONTROLLER, |job: &Job| owners::controller_uid(&job.metadata)),
            cron_jobs: Informer::new(Api::all(client.clone())),
            disruption_budgets: Informer::new(Api::all(client.clone())),
            services: Informer::new(Api::all(client.clone())),
            endpoint_slices: Informer::new(Api::all(client.clone()))
                .indexed(BY_SERVICE, service_of)
                .trimmed(endpoints::trim),
            endpoints: Informer::new(Api::all(client.clone())),
            nodes: Informer::new(Api::all(client.clone())),
            leases: Informer::new(Api::namespaced(client.clone(), NODE_LEASES)),
            namespaces: Informer::new(Api::all(client.clone())),
            service_accounts: Informer::new(Api::all(client.clone())).fields("metadata.name=default"),
            root_cas: Informer::new(Api::all(client.clone())).fields(format!("metadata.name={ROOT_CA}")),
            certificate_requests: Informer::new(Api::all(client.clone())),
            quotas: Informer::new(Api::all(client.clone())),
            claims: Informer::new(Api::all(client.clone())),
            volumes: Informer::new(Api::all(client.clone())),
            storage_classes: Informer::new(Api::all(client.clone())),
            bootstrap_tokens: Informer::new(Api::namespaced(client.clone(), bootstrap_tokens::NAMESPACE))
                .fields(format!("type={}", bootstrap_tokens::TYPE)),
        }
    }

    pub(crate) fn start<E: Send + 'static>(&self, scope: &mut Scope<E>) {
        self.pods.start(scope);
        self.replica_sets.start(scope);
        self.deployments.start(scope);
        self.replication_controllers.start(scope);
        self.stateful_sets.start(scope);
        self.daemon_sets.start(scope);
        self.controller_revisions.start(scope);
        self.jobs.start(scope);
        self.cron_jobs.start(scope);
        self.disruption_budgets.start(scope);
        self.services.start(scope);
        self.endpoint_slices.start(scope);
        self.endpoints.start(scope);
        self.nodes.start(scope);
        self.leases.start(scope);
        self.namespaces.start(scope);
        self.service_accounts.start(scope);
        self.root_cas.start(scope);
        self.certificate_requests.start(scope);
        self.quotas.start(scope);
        self.claims.start(scope);
        self.volumes.start(scope);
        self.storage_classes.start(scope);
        self.bootstrap_tokens.start(scope);
    }

    /// Pods of one namespace that no owner manages.
    pub(crate) fn orphan_pods(&self, namespace: &str) -> Vec<Arc<Pod>> {
        self.pods.by_index(ORPHANS, namespace)
    }

    /// Pods of one namespace that a selector selects.
    pub(crate) fn selected_pods(&self, namespace: &str, selector: &Selector) -> Vec<Arc<Pod>> {
        let mut pods = self.pods.in_namespace(namespace);
        pods.retain(|pod| labels::matches(selector, pod.metadata.labels.as_ref()));
        pods
    }

    pub(crate) fn pod_by_uid(&self, uid: &str) -> Option<Arc<Pod>> {
        self.pods.by_index(BY_UID, uid).pop()
    }
}

fn orphan(pod: &Pod) -> Vec<String> {
    let is_managed = owners::controller_of(&pod.metadata).is_some();
    pod.metadata.namespace.clone().filter(|_| !is_managed).into_iter().collect()
}

fn service_of(slice: &EndpointSlice) -> Vec<String> {
    let meta = slice.meta();
    let name = meta.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
    name.map(|name| format!("{}/{name}", meta.namespace.as_deref().unwrap_or_default())).into_iter().collect()
}
