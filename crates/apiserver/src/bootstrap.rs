//! What every cluster begins with: its own namespaces, and the Service by which its workloads reach this server.

use coracle_api::identity::User;
use coracle_api::kind::{Part, name_of};
use coracle_api::kinds::SYSTEM_PRIORITIES;
use coracle_api::status::Status;
use coracle_store::{Txn, TxnOutcome};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::options::{FieldValidation, WriteOptions};
use crate::registry::{self, Ownership, Write};
use crate::resources::Resource;
use crate::state::State;
use crate::versions::store_failure;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
const NAME: &str = "kubernetes";
const LOCAL_PROVISIONER: &str = "local.coracle.dev";
const ISOLATED: &str = "isolated";
const PORT: u16 = 443;

/// Notes what is allocated, and makes what is missing.
pub(crate) async fn run(state: &State) -> Result<(), Status> {
    for service in state.objects(&state.resource("", "v1", "services"), None).await? {
        state.allocators.adopt(&service);
    }
    for name in NAMESPACES {
        let namespace = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        create(state, &state.resource("", "v1", "namespaces"), "", namespace).await?;
    }
    let classes = state.resource("scheduling.k8s.io", "v1", "priorityclasses");
    for (name, value, description) in SYSTEM_PRIORITIES {
        create(state, &classes, "", priority_class(name, value, description)).await?;
    }
    create(state, &state.resource("node.k8s.io", "v1", "runtimeclasses"), "", runtime_class()).await?;
    create(state, &state.resource("storage.k8s.io", "v1", "storageclasses"), "", storage_class()).await?;
    create(state, &state.resource("", "v1", "services"), "default", service(state)).await?;
    keep(state, &state.resource("", "v1", "endpoints"), endpoints(state)).await?;
    keep(state, &state.resource("discovery.k8s.io", "v1", "endpointslices"), endpoint_slice(state)).await
}

/// Creates an object unless it exists. What exists is left alone: its addresses are allocated already.
async fn create(state: &State, resource: &Resource, namespace: &str, object: Value) -> Result<(), Status> {
    if state.stored(resource, namespace, name_of(&object)).await?.is_some() {
        return Ok(());
    }
    let options = WriteOptions {
        dry_run: false,
        manager: "kube-apiserver".to_owned(),
        field_validation: FieldValidation::Strict,
        force: false,
    };
    let user = User::new("system:apiserver", &["system:masters"]);
    let write = Write { state, resource, namespace, name: "", part: Part::Object, user: &user, options: &options };
    match registry::create(&write, object, Ownership::Derived).await {
        Err(status) if status.reason != "AlreadyExists" => Err(status),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Makes an object what it should be. It is written past the checks of endpoints, which know no server on loopback.
async fn keep(state: &State, resource: &Resource, wanted: Value) -> Result<(), Status> {
    loop {
        let found = state.stored(resource, "default", NAME).await?;
        let (object, revision) = match &found {
            None => {
                let mut object = wanted.clone();
                registry::begin(&mut object, Timestamp::now());
                (object, 0)
            }
            Some(kv) => {
                let mut object = resource.decode(kv);
                for (field, value) in wanted.as_object().into_iter().flatten().filter(|(name, _)| *name != "metadata") {
                    object[field] = value.clone();
                }
                (object, kv.mod_revision)
            }
        };
        let stored = resource.encode(&object);
        if found.is_some_and(|kv| kv.value == stored) {
            return Ok(());
        }
        let txn = Txn::put(resource.kind.key("default", NAME), stored, revision);
        let outcome = state.store.txn(txn).await.map_err(|error| store_failure(&error))?;
        if matches!(outcome, TxnOutcome::Committed { .. }) {
            return Ok(());
        }
    }
}

fn priority_class(name: &str, value: i64, description: &str) -> Value {
    json!({
        "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1",
        "metadata": {"name": name}, "value": value, "description": description,
    })
}

/// Pods whose containers have processes of their own.
fn runtime_class() -> Value {
    json!({
        "kind": "RuntimeClass", "apiVersion": "node.k8s.io/v1",
        "metadata": {"name": ISOLATED}, "handler": ISOLATED,
    })
}

/// Volumes on the nodes' own disks, made where their first pod runs.
fn storage_class() -> Value {
    json!({
        "kind": "StorageClass", "apiVersion": "storage.k8s.io/v1",
        "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": LOCAL_PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    })
}

fn service(state: &State) -> Value {
    json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": state.config.service_address().to_string(),
            "clusterIPs": [state.config.service_address().to_string()],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": PORT, "targetPort": state.config.advertise.port()}],
        },
    })
}

fn endpoints(state: &State) -> Value {
    let advertise = state.config.advertise;
    json!({
        "kind": "Endpoints", "apiVersion": "v1",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{
            "addresses": [{"ip": advertise.ip().to_string()}],
            "ports": [{"name": "https", "port": advertise.port(), "protocol": "TCP"}],
        }],
    })
}

fn endpoint_slice(state: &State) -> Value {
    let advertise = state.config.advertise;
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": if advertise.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [advertise.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": advertise.port(), "protocol": "TCP"}],
    })
}
