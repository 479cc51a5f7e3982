//! A quota holds however many ask at once.

use serde_json::{Value, json};

use super::cluster::Cluster;

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q";
const MERGE: &str = "merge-patch+json";

async fn with_quota(hard: Value) -> Cluster {
    let cluster = Cluster::start().await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    cluster.post("/api/v1/namespaces/default/resourcequotas", quota).await;
    let used: Value = hard.as_object().unwrap().keys().map(|name| (name.clone(), json!("0"))).collect();
    let status = json!({"status": {"hard": hard, "used": used}});
    assert_eq!(cluster.patch(&format!("{QUOTA}/status"), MERGE, status).await.0, 200);
    cluster
}

#[tokio::test]
async fn many_creations_at_once_never_exceed_a_quota() {
    let cluster = with_quota(json!({"count/secrets": "5"})).await;
    let creations = (0..40).map(|i| {
        let secret = json!({"metadata": {"name": format!("s{i}")}});
        let cluster = &cluster;
        async move { cluster.post(SECRETS, secret).await.0 }
    });
    let codes = futures::future::join_all(creations).await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 5, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 201 | 403)), "{codes:?}");
    assert_eq!(cluster.get(QUOTA).await.1["status"]["used"]["count/secrets"], "5");
    assert_eq!(cluster.get(SECRETS).await.1["items"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn what_is_refused_or_only_tried_costs_nothing() {
    let cluster = with_quota(json!({"secrets": "5"})).await;
    let secret = json!({"metadata": {"name": "a"}});
    cluster.post(&format!("{SECRETS}?dryRun=All"), secret.clone()).await;
    cluster.post(SECRETS, json!({"metadata": {"name": "Not valid"}})).await;
    cluster.post(SECRETS, secret.clone()).await;
    assert_eq!(cluster.post(SECRETS, secret).await.0, 409);
    assert_eq!(cluster.get(QUOTA).await.1["status"]["used"]["secrets"], "1");
}
