//! helm's life of a release: installed, upgraded, rolled back and uninstalled, each waited for.

use std::path::Path;

use crate::cluster::{Cluster, helm, said};

#[test]
fn a_chart_is_installed_upgraded_rolled_back_and_uninstalled() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("hello-http", "hello-http:v1");
    cluster.push("hello-http", "hello-http:v2");
    let chart = dir.path().join("chart");
    write_chart(&chart);
    let chart = chart.to_str().unwrap();

    says(&cluster, &["install", "shop", chart, "--wait", "--timeout=60s"], &["STATUS: deployed", "REVISION: 1"]);
    says(&cluster, &["install", "shop", chart], &["cannot reuse a name that is still in use"]);
    assert_eq!(image_and_color(&cluster), "hello-http:v1 red");
    assert_eq!(cluster.ask(&["get", "deploy", "shop", "-o", "jsonpath={.status.readyReplicas}"]), "2");

    let upgrade = ["upgrade", "shop", chart, "--set=tag=v2,color=blue", "--wait", "--timeout=60s"];
    says(&cluster, &upgrade, &["has been upgraded", "STATUS: deployed", "REVISION: 2"]);
    assert_eq!(image_and_color(&cluster), "hello-http:v2 blue");

    says(&cluster, &["rollback", "shop", "1", "--wait", "--timeout=60s"], &["Rollback was a success!"]);
    assert_eq!(image_and_color(&cluster), "hello-http:v1 red");

    let broken = ["upgrade", "shop", chart, "--set=tag=none", "--rollback-on-failure", "--timeout=8s"];
    says(&cluster, &broken, &["exit status: 1", "has been rolled back due to rollback-on-failure being set"]);
    assert_eq!(image_and_color(&cluster), "hello-http:v1 red");
    says(&cluster, &["status", "shop"], &["STATUS: deployed", "REVISION: 5"]);
    says(&cluster, &["history", "shop"], &["failed", "Rollback to 3"]);
    says(&cluster, &["get", "values", "shop", "--revision=2"], &["color: blue", "tag: v2"]);

    says(&cluster, &["list"], &["shop", "5", "deployed", "shop-0.1.0"]);
    says(&cluster, &["history", "shop"], &["superseded", "Install complete", "Upgrade complete", "Rollback to 1"]);
    says(&cluster, &["get", "manifest", "shop"], &["kind: Deployment", "kind: ServiceAccount"]);
    says(&cluster, &["uninstall", "shop", "--wait", "--timeout=60s"], &["release \"shop\" uninstalled"]);
    says(&cluster, &["status", "shop"], &["release: not found"]);
    let left = cluster.ask(&["get", "deploy,rs,pods,svc,sa,cm,secrets", "-l", "app=shop", "-o", "name"]);
    assert_eq!(left, "");
    assert_eq!(cluster.ask(&["get", "secrets", "-l", "owner=helm", "-o", "name"]), "");
}

fn says(cluster: &Cluster, args: &[&str], words: &[&str]) {
    let heard = said(&cluster.client(&helm()).args(args).output().expect("start helm"));
    for word in words {
        assert!(heard.contains(word), "helm {args:?}: expected {word:?}, got {heard}\n{}", cluster.log());
    }
}

fn image_and_color(cluster: &Cluster) -> String {
    let image = cluster.ask(&["get", "deploy", "shop", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]);
    let color = cluster.ask(&["get", "cm", "shop", "-o", "jsonpath={.data.color}"]);
    format!("{image} {color}")
}

fn write_chart(dir: &Path) {
    std::fs::create_dir_all(dir.join("templates")).unwrap();
    for (file, text) in [
        ("Chart.yaml", "{apiVersion: v2, name: shop, version: 0.1.0, appVersion: '1'}\n"),
        ("values.yaml", "{tag: v1, color: red}\n"),
        ("templates/all.yaml", TEMPLATE),
    ] {
        std::fs::write(dir.join(file), text).unwrap();
    }
}

const TEMPLATE: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .Release.Name }}
  labels: {app: shop}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  labels: {app: shop}
data:
  color: {{ .Values.color }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}
  labels: {app: shop}
spec:
  selector: {app: shop}
  ports:
    - {name: http, port: 80, targetPort: http}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {app: shop}
spec:
  replicas: 2
  selector:
    matchLabels: {app: shop}
  template:
    metadata:
      labels: {app: shop}
    spec:
      serviceAccountName: {{ .Release.Name }}
      containers:
        - name: web
          image: hello-http:{{ .Values.tag }}
          ports:
            - {name: http, containerPort: 80}
          envFrom:
            - configMapRef: {name: {{ .Release.Name }}}
          readinessProbe:
            httpGet: {path: /, port: http}
            periodSeconds: 1
"#;
