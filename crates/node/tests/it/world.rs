//! A cluster's API, a registry's worth of images, and nodes that can be started and stopped.

use std::path::Path;
use std::sync::Arc;

use coracle_api::identity::User;
use coracle_net::{Fabric, FabricConfig};
use coracle_node::{Config, Images, Node, join};
use coracle_oci::{Limits, Registry, push};
use coracle_runtime::Runtime;
use coracle_stdx::{CancellationToken, Scope};
use coracle_testkit::{Api as TestApi, wait_for};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(super) struct World {
    pub(super) api: TestApi,
    pub(super) admin: Client,
    dir: tempfile::TempDir,
    images: Arc<Images>,
    registry: Registry,
    runtime: Runtime,
}

/// A node that runs until it is stopped.
pub(super) struct Running {
    pub(super) router: axum::Router,
    scope: Scope<coracle_node::Error>,
}

impl World {
    pub(super) async fn new() -> Self {
        let api = TestApi::start().await;
        let dir = tempfile::tempdir().unwrap();
        let admin = api.admin();
        let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "default");
        let account = json!({"metadata": {"name": "default"}});
        // Others may have made them already.
        let _ = accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await;
        let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), "default");
        let map = json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "CA"}});
        let _ = maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await;
        let _: Option<Namespace> = Api::all(admin.clone()).get_opt("default").await.unwrap();
        let images = Arc::new(Images::open(&dir.path().join("images")).unwrap());
        let registry = Registry::open(&dir.path().join("registry"), Limits::default()).unwrap();
        let runtime = Runtime::new(coracle_runtime::Config::new(dir.path().join("compiled"))).unwrap();
        Self { api, admin, dir, images, registry, runtime }
    }

    /// Has an image on the machine.
    pub(super) async fn image(&self, name: &str, binary: Vec<u8>) {
        let reference = name.parse().unwrap();
        push(&self.registry, &reference, binary.into()).await.unwrap();
        self.images.pull(&self.registry, &reference).await.unwrap();
    }

    /// Starts a node. The same name finds the same directory again.
    pub(super) async fn node(&self, name: &str) -> Running {
        self.node_with_room(name, 110).await
    }

    pub(super) async fn node_with_room(&self, name: &str, max_pods: u32) -> Running {
        let token = CancellationToken::new();
        let config = Config {
            pod_cidrs: vec!["10.244.0.0/24".parse().unwrap()],
            drain: std::time::Duration::from_millis(100),
            max_pods,
            ..Config::new(name, self.data_dir().join(name))
        };
        let client = self.api.client(User::node(name));
        let networks = join(&config, &client, token.clone()).await.unwrap();
        let fabric = Fabric::new(FabricConfig { pod_cidrs: networks.clone(), ..FabricConfig::default() });
        let node = Node::new(config, networks, client, self.runtime.clone(), fabric, self.images.clone()).unwrap();
        let router = node.router();
        self.api.server.kubelets().register(name, router.clone());
        let mut scope = Scope::child_of(&token);
        scope.spawn(|token| node.run(token));
        Running { router, scope }
    }

    pub(super) fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.admin.clone(), "default")
    }

    /// Creates a pod with one container `a` of `image`, bound to `node`.
    pub(super) async fn pod(&self, node: &str, name: &str, image: &str, spec: Value) -> Pod {
        let mut full = json!({"nodeName": node, "containers": [{"name": "a", "image": image}]});
        merge(&mut full, spec);
        let pod = json!({"metadata": {"name": name}, "spec": full});
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
    }

    pub(super) async fn delete(&self, name: &str, grace_s: u32) {
        self.pods().delete(name, &DeleteParams::default().grace_period(grace_s)).await.unwrap();
    }

    /// Waits until the pod's status, as JSON, is as `wanted` says.
    pub(super) async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, async || {
            let pod = self.pods().get_opt(name).await.map_err(|error| error.to_string())?;
            let status = serde_json::to_value(pod.and_then(|pod| pod.status)).unwrap();
            if wanted(&status) { Ok(status) } else { Err(format!("{status:#}")) }
        })
        .await
    }

    pub(super) async fn until_gone(&self, name: &str) {
        wait_for("the pod to be gone", async || match self.pods().get_opt(name).await {
            Ok(None) => Ok(()),
            seen => Err(format!("{seen:#?}")),
        })
        .await;
    }

    /// The reasons of the events about a pod, once `last` is among them.
    pub(super) async fn events(&self, name: &str, last: &str) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.admin.clone(), "default");
        let params = ListParams::default().fields(&format!("involvedObject.name={name}"));
        wait_for(&format!("the event {last}"), async || {
            let events = api.list(&params).await.map_err(|error| error.to_string())?;
            let mut events = events.items;
            events.sort_by_key(|event| event.metadata.resource_version.clone().unwrap().parse::<u64>().unwrap());
            let reasons: Vec<String> = events.into_iter().filter_map(|event| event.reason).collect();
            if reasons.iter().any(|reason| reason == last) { Ok(reasons) } else { Err(format!("{reasons:?}")) }
        })
        .await
    }
}

impl Running {
    pub(super) async fn stop(self) {
        self.scope.cancel();
        self.scope.join().await.unwrap();
    }

    /// What a GET of `path` gives: its status and text.
    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) async fn log(&self, pod: &str, query: &str) -> (u16, String) {
        self.get(&format!("/containerLogs/default/{pod}/a{query}")).await
    }
}

/// Merges objects and the elements of arrays.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) if into.len() == from.len() => {
            for (into, from) in into.iter_mut().zip(from) {
                merge(into, from);
            }
        }
        (into, from) => *into = from,
    }
}
