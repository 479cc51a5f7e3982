//! What all workers of a node share.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use coracle_client::{EventType, Informer, Recorder};
use coracle_net::Fabric;
use coracle_runtime::Runtime;
use k8s_openapi::api::core::v1 as core;
use kube::Resource;
use parking_lot::Mutex;

use super::report::Desk;
use super::{Pods, addresses};
use crate::Config;
use crate::images::Images;
use crate::ipam::Ipam;
use crate::lifecycle::{Notice, Plan, Role, Severity};
use crate::logs::Logs;

pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) client: kube::Client,
    pub(crate) runtime: Runtime,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) images: Arc<Images>,
    pub(crate) logs: Logs,
    pub(crate) ipam: Mutex<Ipam>,
    /// What pods, by UID, had before the node was restarted, and get again: their services still name it.
    pub(crate) kept_addresses: Mutex<HashMap<String, Vec<IpAddr>>>,
    pub(crate) services: Informer<core::Service>,
    pub(crate) recorder: Recorder,
    /// What the node offers, by resource.
    pub(crate) allocatable: BTreeMap<String, String>,
    pub(crate) pods: Arc<Pods>,
    pub(crate) writes: Arc<Desk>,
}

impl Context {
    pub(crate) fn writes() -> Arc<Desk> {
        Arc::new(Desk::new())
    }

    /// Keeps the addresses that pods had for them, before any other gets one.
    pub(super) async fn keep_addresses(self: &Arc<Self>, pods: Vec<Arc<core::Pod>>) {
        let context = self.clone();
        let keep = move || {
            for pod in pods {
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                let had = addresses::before(&pod, addresses::read(&context.config.pod_dir(&uid)));
                if context.ipam.lock().take_back(&had) {
                    context.kept_addresses.lock().insert(uid, had);
                }
            }
        };
        tokio::task::spawn_blocking(keep).await.expect("reading files does not panic");
    }

    /// Frees what was kept for a pod that did not come to take it.
    pub(super) fn give_up_addresses(&self, uid: &str) {
        if let Some(addresses) = self.kept_addresses.lock().remove(uid) {
            self.ipam.lock().release(&addresses);
        }
    }

    /// Tells the user what happened to a pod, or to one of its containers.
    pub(super) fn tell(&self, pod: &core::Pod, plan: &Plan, notice: Notice) {
        let mut about = pod.object_ref(&());
        about.field_path = notice.container.map(|container| {
            let planned = &plan.containers[container];
            let list = match planned.role {
                Role::Init | Role::Sidecar => "initContainers",
                Role::Main => "containers",
                Role::Ephemeral => "ephemeralContainers",
            };
            format!("spec.{list}{{{}}}", planned.name)
        });
        let event_type = match notice.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        };
        self.recorder.event_about(about, event_type, notice.reason, notice.message);
    }
}
