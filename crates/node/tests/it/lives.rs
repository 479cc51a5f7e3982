//! Lives of pods as users see them.

use coracle_testkit::wait_for;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::guests;
use super::world::World;

fn state(status: &Value) -> &Value {
    &status["containerStatuses"][0]["state"]
}

fn is_running(status: &Value) -> bool {
    status["phase"] == "Running" && !state(status)["running"].is_null()
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let all = status["conditions"].as_array().expect("a status has conditions");
    all.iter().find(|one| one["type"] == kind).expect("it has this one")
}

#[tokio::test]
async fn a_job_runs_to_its_end_and_its_log_stays() {
    let world = World::new().await;
    world.image("job:v1", guests::exits_with(0)).await;
    let node = world.node("n1").await;
    world.pod("n1", "job", "job:v1", json!({"restartPolicy": "Never"})).await;
    let status = world.until("job", "the end", |status| status["phase"] == "Succeeded").await;
    let ended = &state(&status)["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(0), &json!("Completed")));
    assert!(ended["containerID"].as_str().unwrap().starts_with("coracle://"));
    assert!(status["containerStatuses"][0]["imageID"].as_str().unwrap().starts_with("job@sha256:"));
    assert_eq!(condition(&status, "Ready")["reason"], "PodCompleted");
    assert_eq!(status["podIP"], "10.244.0.2");
    assert_eq!(node.log("job", "").await, (200, "hello\n".to_owned()));
    let events = world.events("job", "Started").await;
    assert_eq!(events, ["Pulled", "Created", "Started"]);
    world.delete("job", 30).await;
    world.until_gone("job").await;
    wait_for("the log to be gone", async || match node.log("job", "").await {
        (404, _) => Ok(()),
        seen => Err(format!("{seen:?}")),
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_crasher_is_restarted_and_then_backs_off() {
    let world = World::new().await;
    world.image("crasher:v1", guests::exits_with(3)).await;
    let node = world.node("n1").await;
    world.pod("n1", "crasher", "crasher:v1", json!({})).await;
    let status =
        world.until("crasher", "the back-off", |status| state(status)["waiting"]["reason"] == "CrashLoopBackOff").await;
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(condition(&status, "Ready")["message"], "containers with unready status: [a]");
    assert_eq!(node.log("crasher", "?previous=true").await, (200, "hello\n".to_owned()));
    world.delete("crasher", 30).await;
    world.until_gone("crasher").await;
    node.stop().await;
}

#[tokio::test]
async fn a_spinning_guest_is_killed_when_its_grace_is_over() {
    let world = World::new().await;
    world.image("spin:v1", guests::spins()).await;
    let node = world.node("n1").await;
    world.pod("n1", "spin", "spin:v1", json!({})).await;
    let status = world.until("spin", "the start", is_running).await;
    assert_eq!(condition(&status, "Ready")["status"], "True");
    let (code, metrics) = node.get("/metrics").await;
    assert_eq!(code, 200);
    assert!(metrics.contains("container_cpu_usage_seconds_total{namespace=\"default\",pod=\"spin\""), "{metrics}");
    world.delete("spin", 1).await;
    world.until_gone("spin").await;
    wait_for("its directory to be gone", async || {
        let left: Vec<_> = world.data_dir().join("n1/pods").read_dir().unwrap().collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_trap_and_a_lack_of_memory_are_told_in_words() {
    let world = World::new().await;
    world.image("trap:v1", guests::traps()).await;
    world.image("hog:v1", guests::wants_memory()).await;
    let node = world.node("n1").await;
    world.pod("n1", "trap", "trap:v1", json!({"restartPolicy": "Never"})).await;
    let limits = json!({"restartPolicy": "Never", "containers": [{"resources": {"limits": {"memory": "16Mi"}}}]});
    world.pod("n1", "hog", "hog:v1", limits).await;
    let failed = |status: &Value| status["phase"] == "Failed";
    let trap = world.until("trap", "the trap", failed).await;
    let ended = &state(&trap)["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(134), &json!("Error")));
    assert!(ended["message"].as_str().unwrap().contains("unreachable"), "{ended}");
    assert!(node.log("trap", "").await.1.contains("unreachable"));
    world.events("trap", "Trapped").await;
    let (code, dump) = node.get("/coredump/default/trap/a").await;
    assert!(code == 200 && dump.starts_with("\0asm"), "{code}");
    assert_eq!(node.get("/coredump/default/hog/none").await.0, 404);
    let hog = world.until("hog", "the kill", failed).await;
    let ended = &state(&hog)["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(137), &json!("OOMKilled")));
    world.events("hog", "OOMKilled").await;
    node.stop().await;
}

#[tokio::test]
async fn a_guest_may_say_why_it_ends() {
    let world = World::new().await;
    world.image("words:v1", guests::leaves_a_message(3)).await;
    world.image("job:v1", guests::exits_with(3)).await;
    let node = world.node("n1").await;
    let spec = json!({"restartPolicy": "Never"});
    world.pod("n1", "words", "words:v1", spec.clone()).await;
    let words = world.until("words", "the end", |status| status["phase"] == "Failed").await;
    assert_eq!(state(&words)["terminated"]["message"], "hello");
    let fallback = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
    world.pod("n1", "job", "job:v1", json!({"restartPolicy": "Never", "containers": [fallback]})).await;
    let job = world.until("job", "the end", |status| status["phase"] == "Failed").await;
    assert_eq!(state(&job)["terminated"]["message"], "hello\n");
    node.stop().await;
}

#[tokio::test]
async fn a_pod_that_fills_its_volume_is_evicted() {
    let world = World::new().await;
    world.image("fills:v1", guests::fills_a_volume()).await;
    let node = world.node("n1").await;
    let volume = json!({"name": "v", "emptyDir": {"sizeLimit": "64Ki"}});
    let mounts = json!([{"name": "v", "mountPath": "/data"}]);
    let spec = json!({"volumes": [volume], "containers": [{"volumeMounts": mounts}]});
    world.pod("n1", "fills", "fills:v1", spec).await;
    let status = world.until("fills", "the eviction", |status| status["phase"] == "Failed").await;
    assert_eq!(status["reason"], "Evicted");
    assert_eq!(status["message"], "Usage of EmptyDir volume \"v\" exceeds the limit \"64Ki\". ");
    world.events("fills", "Evicted").await;
    node.stop().await;
}

#[tokio::test]
async fn what_pods_use_is_told_in_every_form() {
    let world = World::new().await;
    world.image("spin:v1", guests::spins()).await;
    let node = world.node("n1").await;
    world.pod("n1", "spin", "spin:v1", json!({})).await;
    world.until("spin", "the start", is_running).await;
    let (_, pods) = node.get("/metrics/pods").await;
    let pods: Value = serde_json::from_str(&pods).unwrap();
    let item = &pods["items"][0];
    assert_eq!((&item["metadata"]["name"], &item["containers"][0]["name"]), (&json!("spin"), &json!("a")));
    assert_eq!(item["containers"][0]["usage"]["memory"], "256Ki");
    let (_, nodes) = node.get("/metrics/nodes").await;
    let nodes: Value = serde_json::from_str(&nodes).unwrap();
    assert_eq!(nodes["items"][0]["metadata"]["name"], "n1");
    let (_, summary) = node.get("/stats/summary").await;
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["pods"][0]["podRef"]["name"], "spin");
    assert!(node.get("/metrics/resource").await.1.contains("pod_memory_working_set_bytes"));
    node.stop().await;
}

#[tokio::test]
async fn environment_and_volumes_come_from_config_maps() {
    let world = World::new().await;
    world.image("env:v1", guests::prints_environment()).await;
    world.image("file:v1", guests::prints_file()).await;
    let node = world.node("n1").await;
    let variable = json!({"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "key"}}});
    let name = json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    let spec = json!({"restartPolicy": "Never", "containers": [{"env": [variable, name]}]});
    world.pod("n1", "env", "env:v1", spec).await;
    world
        .until("env", "the missing map", |status| {
            let waiting = &state(status)["waiting"];
            waiting["reason"] == "CreateContainerConfigError" && waiting["message"] == "configmap \"cfg\" not found"
        })
        .await;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "cfg"}, "data": {"key": "blue"}})).unwrap();
    Api::namespaced(world.admin.clone(), "default").create(&PostParams::default(), &map).await.unwrap();
    world.until("env", "the end", |status| status["phase"] == "Succeeded").await;
    let (_, log) = node.log("env", "").await;
    let variables: Vec<&str> = log.split('\0').collect();
    for expected in ["COLOR=blue", "POD_NAME=env", "KUBERNETES_SERVICE_HOST=10.96.0.1"] {
        assert!(variables.contains(&expected), "{expected} in {variables:?}");
    }
    let spec = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "volumes": [{"name": "v", "configMap": {"name": "cfg"}}],
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/etc/v"}]}],
    });
    world.pod("n1", "file", "file:v1", spec).await;
    world.until("file", "the end", |status| status["phase"] == "Succeeded").await;
    assert_eq!(node.log("file", "").await.1, "blue");
    node.stop().await;
}

#[tokio::test]
async fn what_cannot_run_waits_with_a_reason_that_names_the_cause() {
    let world = World::new().await;
    world.image("odd:v1", guests::imports_the_unknown()).await;
    let node = world.node("n1").await;
    world.pod("n1", "odd", "odd:v1", json!({})).await;
    world.pod("n1", "never", "none:v1", json!({"containers": [{"imagePullPolicy": "Never"}]})).await;
    world.pod("n1", "foreign", "ghcr.io/a/b:v1", json!({})).await;
    let host_path = json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]});
    world.pod("n1", "host", "odd:v1", host_path).await;
    for (pod, reason, words) in [
        ("odd", "UnknownImport", "mystery"),
        ("never", "ErrImageNeverPull", "is not present with pull policy of Never"),
        ("foreign", "ImagePullBackOff", "registry ghcr.io is not this cluster's"),
        ("host", "UnsupportedVolume", "hostPath volumes cannot be given to a wasm sandbox"),
    ] {
        let status = world.until(pod, reason, |status| state(status)["waiting"]["reason"] == reason).await;
        let message = state(&status)["waiting"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert_eq!(status["phase"], "Pending");
    }
    let (code, text) = node.log("never", "").await;
    assert_eq!(code, 400);
    assert_eq!(text, "container \"a\" in pod \"never\" is waiting to start: ErrImageNeverPull\n");
    node.stop().await;
}

#[tokio::test]
async fn pods_go_on_after_the_node_was_stopped_and_orphans_are_swept() {
    let world = World::new().await;
    world.image("spin:v1", guests::spins()).await;
    let node = world.node("n1").await;
    let stays = world.pod("n1", "stays", "spin:v1", json!({})).await;
    let once = world.pod("n1", "once", "spin:v1", json!({"restartPolicy": "Never"})).await;
    world.pod("n1", "goes", "spin:v1", json!({})).await;
    for name in ["stays", "once", "goes"] {
        world.until(name, "the start", is_running).await;
    }
    node.stop().await;
    assert!(is_running(&serde_json::to_value(world.pods().get("stays").await.unwrap().status).unwrap()));
    world.pods().delete("goes", &DeleteParams::default().grace_period(0)).await.unwrap();
    let node = world.node("n1").await;
    let status = world
        .until("stays", "the second start", |status| {
            is_running(status) && status["containerStatuses"][0]["restartCount"] == 1
        })
        .await;
    assert_eq!(status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 255);
    world.until("once", "its failure", |status| status["phase"] == "Failed").await;
    let mut left: Vec<String> = world
        .data_dir()
        .join("n1/pods")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let mut known = [stays.metadata.uid.unwrap(), once.metadata.uid.unwrap()];
    known.sort();
    assert_eq!(left, known);
    node.stop().await;
}

#[tokio::test]
async fn a_node_registers_itself_and_keeps_its_lease() {
    let world = World::new().await;
    let node = world.node("n1").await;
    let nodes: Api<Node> = Api::all(world.admin.clone());
    let ready = wait_for("the node to be ready", async || {
        let node = serde_json::to_value(nodes.get("n1").await.unwrap()).unwrap();
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        if is_ready { Ok(node) } else { Err(format!("{node:#}")) }
    })
    .await;
    assert_eq!(ready["spec"]["podCIDR"], "10.244.0.0/24");
    assert_eq!(ready["status"]["allocatable"]["pods"], "110");
    assert_eq!(ready["metadata"]["labels"]["kubernetes.io/os"], "linux");
    let leases: Api<Lease> = Api::namespaced(world.admin.clone(), "kube-node-lease");
    wait_for("the lease", async || {
        let lease = leases.get_opt("n1").await.map_err(|error| error.to_string())?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        if holder.as_deref() == Some("n1") { Ok(()) } else { Err(format!("{holder:?}")) }
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_pod_beyond_the_nodes_room_is_rejected() {
    let world = World::new().await;
    world.image("spin:v1", guests::spins()).await;
    let node = world.node_with_room("n1", 1).await;
    world.pod("n1", "first", "spin:v1", json!({})).await;
    world.until("first", "the start", is_running).await;
    world.pod("n1", "second", "spin:v1", json!({})).await;
    let status = world.until("second", "the rejection", |status| status["phase"] == "Failed").await;
    assert_eq!(status["reason"], "OutOfpods");
    world.delete("second", 30).await;
    world.until_gone("second").await;
    node.stop().await;
}
