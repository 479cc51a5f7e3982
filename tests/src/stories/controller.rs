//! A controller written with kube-rs, over HTTPS: it converges, cleans up before its objects go, and outlives a restart
//! of the server. A ConfigMap labelled `story=site` asks for a Secret `NAME-page` of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};

use crate::cluster::Cluster;
use crate::wait;

const FINALIZER: &str = "story.example.com/site";
const NAMESPACE: &str = "default";
const RETRY_AFTER: Duration = Duration::from_millis(200);

#[test]
fn a_controller_with_a_finalizer_converges_cleans_up_and_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let controlling = runtime.spawn(control(kubeconfig)); // it ends with the runtime

    says(&cluster, "create configmap site --from-literal=color=red");
    says(&cluster, "label configmap site story=site");
    page_shows(&cluster, "red");
    assert_eq!(field(&cluster, "cm site", "{.metadata.finalizers}"), format!("[\"{FINALIZER}\"]"));
    assert_eq!(field(&cluster, "secret site-page", "{.metadata.ownerReferences[0].kind}"), "ConfigMap");

    says(&cluster, r#"patch configmap site -p {"data":{"color":"blue"}}"#);
    page_shows(&cluster, "blue");
    says(&cluster, "delete secret site-page");
    page_shows(&cluster, "blue");

    let address = cluster.address();
    assert_eq!(cluster.stop(), Some(0));
    let cluster = Cluster::up_at(&address, dir.path(), &[]);
    says(&cluster, r#"patch configmap site -p {"data":{"color":"green"}}"#);
    page_shows(&cluster, "green");

    says(&cluster, "delete configmap site --timeout=60s");
    assert_eq!(field(&cluster, "cm site-cleaned", "{.data.while}"), "the site was going");
    wait::until("the page to go with its owner", || match field(&cluster, "secret -l story=page", "{.items}") {
        none if none == "[]" => Ok(()),
        some => Err(some),
    });
    assert!(!controlling.is_finished(), "the controller went on all the time");
}

async fn control(kubeconfig: Kubeconfig) {
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    let sites = Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE);
    let pages = Api::<Secret>::namespaced(client.clone(), NAMESPACE);
    Controller::new(sites, watcher::Config::default().labels("story=site"))
        .owns(pages, watcher::Config::default().labels("story=page"))
        .run(reconcile, |_, _, _| Action::requeue(RETRY_AFTER), Arc::new(client))
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn reconcile(site: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, finalizer::Error<kube::Error>> {
    let sites = Api::<ConfigMap>::namespaced((*client).clone(), NAMESPACE);
    finalizer(&sites, FINALIZER, site, |event| async move {
        match event {
            Event::Apply(site) => publish(&site, &client).await,
            Event::Cleanup(site) => clean(&site, &client).await,
        }
    })
    .await
}

async fn publish(site: &ConfigMap, client: &Client) -> Result<Action, kube::Error> {
    let name = format!("{}-page", site.name_any());
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        labels: Some(BTreeMap::from([("story".into(), "page".into())])),
        owner_references: Some(site.controller_owner_ref(&()).into_iter().collect()),
        ..ObjectMeta::default()
    };
    let page = Secret { metadata, string_data: site.data.clone(), ..Secret::default() };
    let pages = Api::<Secret>::namespaced(client.clone(), NAMESPACE);
    pages.patch(&name, &PatchParams::apply("story").force(), &Patch::Apply(page)).await?;
    Ok(Action::await_change())
}

/// Leaves a note that says whether the site was still there.
async fn clean(site: &ConfigMap, client: &Client) -> Result<Action, kube::Error> {
    let all = Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE);
    let there = all.get_opt(&site.name_any()).await?;
    let going = there.is_some_and(|site| site.meta().deletion_timestamp.is_some());
    let found = if going { "the site was going" } else { "the site was not going" };
    let name = format!("{}-cleaned", site.name_any());
    let note = ConfigMap {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("while".into(), found.into())])),
        ..ConfigMap::default()
    };
    all.patch(&name, &PatchParams::apply("story").force(), &Patch::Apply(note)).await?;
    Ok(Action::await_change())
}

fn page_shows(cluster: &Cluster, color: &str) {
    let path = "{range .items[*]}{.data.color}{end}";
    wait::until("the page to converge", || match field(cluster, "secret -l story=page", path) {
        seen if seen == base64(color) => Ok(()),
        seen => Err(format!("{seen}, not {}", base64(color))),
    });
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn field(cluster: &Cluster, what: &str, path: &str) -> String {
    let output = format!("jsonpath={path}");
    let mut args = vec!["get"];
    args.extend(what.split(' '));
    args.extend(["-o", &output]);
    cluster.ask(&args)
}

fn says(cluster: &Cluster, line: &str) {
    cluster.ask(&line.split(' ').collect::<Vec<_>>());
}
