//! A cluster without sandboxes: API server, loops, scheduler, and nodes that say what is expected of them.

use std::time::Duration;

use coracle_api::identity::User;
use coracle_client::{Change, Heartbeat, Informer, Key};
use coracle_controllers::{Config, Controllers, NodeTimings};
use coracle_scheduler::Scheduler;
use coracle_stdx::{CancellationToken, Clock, Scope};
use coracle_testkit::{Api as Server, wait_for};
use k8s_openapi::api::core::v1::{Event, Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) client: Client,
    scope: Scope<Infallible>,
    _server: Server,
}

type Infallible = std::convert::Infallible;

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(NodeTimings::default()).await
    }

    pub(crate) async fn with(node_timings: NodeTimings) -> Self {
        let server = Server::start().await;
        let mut scope = Scope::child_of(&CancellationToken::new());
        let controllers = server.client(User::new("system:kube-controller-manager", &[]));
        let config = Config { node_timings, root_ca: Some("PEM".into()), ..Config::default() };
        scope.spawn(|token| async move {
            Controllers::new(controllers, config).run(token).await.unwrap();
            Ok(())
        });
        let scheduler = server.client(User::new("system:kube-scheduler", &[]));
        scope.spawn(|token| async move {
            Scheduler::new(scheduler, coracle_scheduler::Config::default()).run(token).await.unwrap();
            Ok(())
        });
        let accounts: Api<ServiceAccount> = Api::default_namespaced(server.admin());
        wait_for("the default account", async || accounts.get("default").await.map_err(|error| error.to_string()))
            .await;
        Self { client: server.admin(), scope, _server: server }
    }

    /// A node that is ready, whose pods are ready at once; cancelling the token silences it.
    pub(crate) async fn node(&mut self, name: &str) -> CancellationToken {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {
                "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }))
        .unwrap();
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let patch = json!({"status": node.status});
        nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        let silence = self.scope.token().child_token();
        let key = Key::new("kube-node-lease", name);
        let heartbeat = Heartbeat::new(self.client.clone(), key, name, Duration::from_secs(40), Clock::System);
        let beats = silence.clone();
        self.scope.spawn(|_| async move {
            heartbeat.run(Duration::from_millis(100), beats).await;
            Ok(())
        });
        let (client, token, name) = (self.client.clone(), silence.clone(), name.to_owned());
        self.scope.spawn(|_| async move {
            pretend(client, name, token).await;
            Ok(())
        });
        silence
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Serialize
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api().create(&PostParams::default(), &object).await.unwrap()
    }

    pub(crate) async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.api().list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until what there is of a kind is as it should be.
    pub(crate) async fn until<K>(&self, what: &str, is_so: impl Fn(&[K]) -> bool) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        wait_for(what, async || {
            let all = self.list().await;
            if is_so(&all) { Ok(all) } else { Err(format!("{all:#?}")) }
        })
        .await
    }

    /// Waits for an event of this reason and returns its text.
    pub(crate) async fn event(&self, reason: &str) -> String {
        let is_it = |event: &Event| event.reason.as_deref() == Some(reason);
        let events = self.until(reason, |events: &[Event]| events.iter().any(is_it)).await;
        events.into_iter().find(is_it).unwrap().message.unwrap()
    }

    pub(crate) async fn end(self) {
        self.scope.cancel();
        self.scope.join().await.unwrap();
    }
}

/// The kubelet of one node, without sandboxes.
async fn pretend(client: Client, node: String, token: CancellationToken) {
    let mut scope = Scope::<Infallible>::child_of(&token);
    let pods: Informer<Pod> = Informer::new(Api::all(client.clone())).fields(format!("spec.nodeName={node}"));
    pods.start(&mut scope);
    let mut changes = pods.subscribe();
    let mut next_address = 1;
    while let Some(changes) = token.run_until_cancelled(changes.next()).await {
        for change in changes {
            follow(&client, &node, change, &mut next_address).await;
        }
    }
    scope.join().await.unwrap();
}

async fn follow(client: &Client, node: &str, change: Change<Pod>, next_address: &mut u8) {
    let Some(pod) = change.new else { return };
    let api: Api<Pod> = Api::namespaced(client.clone(), &change.key.namespace);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if pod.metadata.deletion_timestamp.is_some() {
        let now = DeleteParams::default().grace_period(0);
        drop(api.delete(&pod.name_any(), &now).await);
    } else if phase != Some("Running") {
        *next_address += 1;
        let third = node.bytes().last().unwrap_or_default();
        let ip = format!("10.244.{third}.{next_address}");
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let patch = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": now},
            {"type": "ContainersReady", "status": "True", "lastTransitionTime": now}]}});
        drop(api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await);
    }
}

pub(crate) fn deployment(name: &str, replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "i:1", "ports": [{"name": "http", "containerPort": 8080}]}]}},
        },
    })
}
