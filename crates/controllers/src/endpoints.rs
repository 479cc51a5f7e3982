//! The addresses behind a Service, as EndpointSlices and as the older Endpoints. It decides readiness for nobody.

pub(crate) mod address;
pub(crate) mod legacy;
pub(crate) mod mirrored;
mod pack;
pub(crate) mod slices;
pub(crate) mod topology;

use coracle_client::{Change, Informer, Key};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::labels;

/// Drops endpoints that nobody here reads, and there may be many: of slices that others manage only the nodes count.
pub(crate) fn trim(slice: &mut EndpointSlice) {
    let is_ours = slices::is_ours(slice) || mirrored::is_ours(slice);
    if let Some(endpoints) = &mut slice.endpoints {
        endpoints.retain(|endpoint| is_ours || endpoint.node_name.is_some());
        endpoints.iter_mut().for_each(|endpoint| endpoint.addresses.shrink_to_fit());
        endpoints.shrink_to_fit();
    }
}

/// The services that a change of a pod concerns: those that selected it before, or do now.
pub(crate) fn keys_of_pod(services: &Informer<Service>, change: &Change<Pod>) -> Vec<Key> {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && !is_noticed(old, new)
    {
        return Vec::new();
    }
    let versions = [change.old.as_ref(), change.new.as_ref()];
    let is_selected = |service: &Service| {
        let Some(selector) = selector_of(service) else { return false };
        let selector = labels::selector_of_labels(selector);
        versions.iter().flatten().any(|pod| labels::matches(&selector, pod.metadata.labels.as_ref()))
    };
    let services = services.in_namespace(&change.key.namespace);
    services.iter().filter(|service| is_selected(service)).map(|service| Key::of(&service.metadata)).collect()
}

/// A selector that selects something: other services' endpoints are made by others.
pub(crate) fn selector_of(service: &Service) -> Option<&labels::Labels> {
    let spec = service.spec.as_ref()?;
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    spec.selector.as_ref().filter(|selector| !selector.is_empty() && !is_external)
}

pub(crate) fn is_headless(service: &Service) -> bool {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    matches!(address, None | Some("" | "None"))
}

pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false)
}

/// True when a service can tell the difference.
fn is_noticed(old: &Pod, new: &Pod) -> bool {
    let view = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let is_ready = crate::pods::is_ready(pod);
        (status.phase, status.pod_ip, status.pod_ips, is_ready, pod.metadata.labels.clone())
    };
    let node = |pod: &Pod| crate::pods::node_name(pod).to_owned();
    view(old) != view(new)
        || node(old) != node(new)
        || crate::pods::is_ending(old) != crate::pods::is_ending(new)
        || old.metadata.uid != new.metadata.uid
}
