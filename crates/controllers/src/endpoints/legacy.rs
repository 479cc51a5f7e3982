//! Keeps the Endpoints object of a Service, for clients that do not know slices.

use std::collections::BTreeMap;
use std::sync::Arc;

use coracle_client::{Key, is_already_exists};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};

use super::address;
use super::slices::HEADLESS;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;
use crate::{Error, labels, pods, template};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in one Endpoints object; the rest is in slices only.
const ADDRESSES_MAX: usize = 1000;

pub(crate) struct EndpointsObjects {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
}

/// The object as it should be, built upon what it is.
fn wanted(service: &Service, pods: &[Arc<Pod>], current: Option<&Endpoints>) -> Endpoints {
    let (subsets, is_truncated) = truncated(subsets(service, pods));
    let mut object = current.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            namespace: service.metadata.namespace.clone(),
            name: service.metadata.name.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if super::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    object.metadata.labels = Some(labels);
    let mut annotations = object.metadata.annotations.take().unwrap_or_default();
    annotations.remove(OVER_CAPACITY);
    if is_truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    object.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
    object.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
    object
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Readiness {
    Ready,
    NotReady,
}

/// Ports, and the addresses that have them.
type Shared = (Option<Vec<EndpointPort>>, Vec<(Readiness, EndpointAddress)>);

/// Ports and addresses, so that pods which have the same ports share a subset.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let mut by_ports: BTreeMap<String, Shared> = BTreeMap::new();
    let family = address::families(service)[0];
    let publishes_not_ready = super::publishes_not_ready(service);
    for pod in pods {
        let is_in = !pods::is_finished(pod) && (publishes_not_ready || !pods::is_ending(pod));
        let Some(node_name) = address::node_name(pod).filter(|_| is_in) else { continue };
        let Some(ip) = address::address(pod, family) else { continue };
        let ports = ports(service, pod);
        if ports.is_none() && !super::is_headless(service) {
            continue;
        }
        let readiness = if publishes_not_ready || pods::is_ready(pod) { Readiness::Ready } else { Readiness::NotReady };
        let address = EndpointAddress {
            ip: ip.to_owned(),
            hostname: address::hostname(pod, service),
            node_name: Some(node_name),
            target_ref: Some(address::reference(pod)),
        };
        let text = serde_json::to_string(&ports).expect("ports can be written");
        by_ports.entry(text).or_insert_with(|| (ports, Vec::new())).1.push((readiness, address));
    }
    by_ports.into_values().map(|(ports, addresses)| subset(ports, addresses)).collect()
}

fn subset(ports: Option<Vec<EndpointPort>>, mut addresses: Vec<(Readiness, EndpointAddress)>) -> EndpointSubset {
    let uid = |address: &EndpointAddress| address.target_ref.as_ref().and_then(|target| target.uid.clone());
    addresses.sort_by_key(|(_, address)| (address.ip.clone(), uid(address)));
    let (ready, not_ready): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|(r, _)| *r == Readiness::Ready);
    let list = |addresses: Vec<(Readiness, EndpointAddress)>| {
        Some(addresses.into_iter().map(|(_, address)| address).collect::<Vec<_>>()).filter(|list| !list.is_empty())
    };
    EndpointSubset { addresses: list(ready), not_ready_addresses: list(not_ready), ports }
}

fn ports(service: &Service, pod: &Pod) -> Option<Vec<EndpointPort>> {
    let wanted = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        Some(EndpointPort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            port: address::port(pod, port)?,
            protocol: Some(address::protocol(port).to_owned()),
            app_protocol: port.app_protocol.clone(),
        })
    };
    Some(wanted.filter_map(port).collect::<Vec<_>>()).filter(|ports| !ports.is_empty())
}

/// Cuts what is over capacity; addresses that are ready stay first.
fn truncated(mut subsets: Vec<EndpointSubset>) -> (Vec<EndpointSubset>, bool) {
    let len = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let n_all: usize = subsets.iter().map(|s| len(&s.addresses) + len(&s.not_ready_addresses)).sum();
    if n_all <= ADDRESSES_MAX {
        return (subsets, false);
    }
    let mut room = ADDRESSES_MAX;
    let mut cut = |list: &mut Option<Vec<EndpointAddress>>| {
        if let Some(addresses) = list {
            addresses.truncate(room);
            room -= addresses.len();
        }
        *list = list.take().filter(|addresses| !addresses.is_empty());
    };
    subsets.iter_mut().for_each(|subset| cut(&mut subset.addresses));
    subsets.iter_mut().for_each(|subset| cut(&mut subset.not_ready_addresses));
    subsets.retain(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    (subsets, true)
}

impl Reconcile for EndpointsObjects {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let current = self.informers.endpoints.get(&key.namespace, &key.name);
        let Some(service) = self.informers.services.get(&key.namespace, &key.name) else {
            self.delete(key, current.as_deref()).await?;
            return Ok(Next::Change);
        };
        let Some(selector) = super::selector_of(&service) else { return Ok(Next::Change) };
        let pods = self.informers.selected_pods(&key.namespace, &labels::selector_of_labels(selector));
        let object = wanted(&service, &pods, current.as_deref());
        if current.as_deref() != Some(&object) {
            self.write(key, current.is_some(), &object).await?;
        }
        Ok(Next::Change)
    }
}

impl EndpointsObjects {
    fn api(&self, key: &Key) -> Api<Endpoints> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// What was made for a service goes with it; what a user made stays.
    async fn delete(&self, key: &Key, current: Option<&Endpoints>) -> Result<(), Error> {
        let labels = current.and_then(|current| current.metadata.labels.as_ref());
        if labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == MANAGER) {
            let answer = self.api(key).delete(&key.name, &DeleteParams::default()).await;
            answer.unless_gone().map_err(Error::at("delete endpoints", key.clone()))?;
        }
        Ok(())
    }

    async fn write(&self, key: &Key, exists: bool, object: &Endpoints) -> Result<(), Error> {
        let answer = match exists {
            true => self.api(key).replace(&key.name, &PostParams::default(), object).await,
            false => self.api(key).create(&PostParams::default(), object).await,
        };
        match answer {
            Ok(_) => Ok(()),
            Err(error) if is_already_exists(&error) => Err(Error::Replaced { subject: key.clone() }),
            Err(error) if template::is_namespace_ending(&error) => Ok(()),
            Err(error) => Err(Error::at("write endpoints", key.clone())(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(change: Value) -> Service {
        let mut service = json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "svc", "labels": {"x": "y"}},
            "spec": {"clusterIP": "10.96.0.10", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        for (key, value) in change.as_object().unwrap() {
            service["spec"][key] = value.clone();
        }
        serde_json::from_value(service).unwrap()
    }

    fn pod(i: usize, node: &str, is_ready: bool) -> Arc<Pod> {
        let ip = format!("10.244.{}.{}", i / 250, i % 250);
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": format!("p{i}"), "namespace": "default", "uid": format!("p{i}")},
                "spec": {"nodeName": node, "containers": []},
                "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": if is_ready { "True" } else { "False" }}]},
            }))
            .unwrap(),
        )
    }

    #[test]
    fn ready_and_unready_pods_share_a_subset() {
        let object = wanted(&service(json!({})), &[pod(2, "n1", true), pod(1, "n1", false), pod(3, "", true)], None);
        insta::assert_snapshot!(serde_json::to_string_pretty(&object).unwrap(), @r#"
        {
          "apiVersion": "v1",
          "kind": "Endpoints",
          "metadata": {
            "labels": {
              "endpoints.kubernetes.io/managed-by": "endpoint-controller",
              "x": "y"
            },
            "name": "web",
            "namespace": "default"
          },
          "subsets": [
            {
              "addresses": [
                {
                  "ip": "10.244.0.2",
                  "nodeName": "n1",
                  "targetRef": {
                    "kind": "Pod",
                    "name": "p2",
                    "namespace": "default",
                    "uid": "p2"
                  }
                }
              ],
              "notReadyAddresses": [
                {
                  "ip": "10.244.0.1",
                  "nodeName": "n1",
                  "targetRef": {
                    "kind": "Pod",
                    "name": "p1",
                    "namespace": "default",
                    "uid": "p1"
                  }
                }
              ],
              "ports": [
                {
                  "port": 8080,
                  "protocol": "TCP"
                }
              ]
            }
          ]
        }
        "#);
        assert_eq!(wanted(&service(json!({})), &[pod(1, "n1", false), pod(2, "n1", true)], Some(&object)), object);
    }

    #[test]
    fn too_many_addresses_are_cut_and_the_cut_is_told() {
        let pods: Vec<_> = (0..1500).map(|i| pod(i, "n1", i % 2 == 0)).collect();
        let object = wanted(&service(json!({})), &pods, None);
        assert_eq!(object.metadata.annotations.as_ref().unwrap()[OVER_CAPACITY], "truncated");
        let subset = &object.subsets.unwrap()[0];
        assert_eq!(subset.addresses.as_ref().unwrap().len(), 750, "all that are ready");
        assert_eq!(subset.not_ready_addresses.as_ref().unwrap().len(), 250);
    }

    #[test]
    fn a_headless_service_without_ports_has_addresses_all_the_same() {
        let headless = service(json!({"clusterIP": "None", "ports": null}));
        let object = wanted(&headless, &[pod(1, "n1", true)], None);
        let subset = &object.subsets.unwrap()[0];
        assert_eq!((subset.addresses.as_ref().unwrap().len(), &subset.ports), (1, &None));
    }
}
