//! What a new pod is given: the account that it runs as, with a token, the tolerations that everybody has, a priority.

use coracle_api::kind::name_of;
use coracle_api::names::generated_name;
use coracle_api::status::Status;
use serde_json::{Map, Value, json};

use crate::registry::Write;

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// One hour, and a little, by which upstream tells its own tokens apart.
const TOKEN_SECONDS: u32 = 3607;
const TOLERATION_SECONDS: u32 = 300;
const TOLERATED: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Completes a new pod.
pub(super) async fn complete(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    if pod["spec"].is_object() && pod["metadata"]["annotations"].get(MIRROR).is_none() {
        let account = account(write, pod).await?;
        use_account(pod, &account, &generated_name("kube-api-access-", rand::random::<u32>));
    }
    super::classes::prioritise(write, pod).await?;
    let class = super::classes::runtime(write, pod).await?;
    let name = name_of(pod).to_owned();
    let Some(spec) = pod["spec"].as_object_mut() else { return Ok(()) };
    tolerate(spec);
    let refused = |why: String| Status::forbidden(write.resource.kind.resource(), &name, &why);
    super::classes::run_with(spec, class.as_ref()).map_err(refused)
}

/// What a changed pod keeps although its client left it out.
pub(super) fn keep(pod: &mut Value, old: Option<&Value>) {
    let Some(spec) = pod["spec"].as_object_mut() else { return };
    for field in ["priority", "preemptionPolicy"] {
        let before = old.and_then(|old| old["spec"].get(field)).cloned();
        if let Some(before) = before.filter(|_| spec.get(field).is_none_or(Value::is_null)) {
            spec.insert(field.to_owned(), before);
        }
    }
    tolerate(spec);
}

/// The account that the pod runs as.
async fn account(write: &Write<'_>, pod: &mut Value) -> Result<Value, Status> {
    let spec = pod["spec"].as_object_mut().expect("the caller has seen the spec");
    let asked = spec.get("serviceAccountName").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = asked.unwrap_or("default").to_owned();
    spec.insert("serviceAccountName".to_owned(), json!(name));
    spec.insert("serviceAccount".to_owned(), json!(name));
    let accounts = write.state.resource("", "v1", "serviceaccounts");
    let found = write.state.object(&accounts, write.namespace, &name).await?;
    found.ok_or_else(|| {
        let namespace = write.namespace;
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        Status::forbidden(write.resource.kind.resource(), name_of(pod), &why)
    })
}

/// Gives the pod the account's pull secrets and, unless one of them does not want it, its token.
fn use_account(pod: &mut Value, account: &Value, volume: &str) {
    let Some(spec) = pod["spec"].as_object_mut() else { return };
    let is_empty = |list: Option<&Value>| list.and_then(Value::as_array).is_none_or(Vec::is_empty);
    if is_empty(spec.get("imagePullSecrets")) && !is_empty(account.get("imagePullSecrets")) {
        spec.insert("imagePullSecrets".to_owned(), account["imagePullSecrets"].clone());
    }
    let wish = |value: &Value| value.as_bool();
    let mounts = spec.get("automountServiceAccountToken").and_then(wish);
    if !mounts.or_else(|| wish(&account["automountServiceAccountToken"])).unwrap_or(true) {
        return;
    }
    let mut is_used = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            is_used |= mount(container, volume);
        }
    }
    if is_used {
        push(spec, "volumes", token_volume(volume));
    }
}

/// Mounts the token where nothing else is mounted.
fn mount(container: &mut Value, volume: &str) -> bool {
    let Some(container) = container.as_object_mut() else { return false };
    let taken = container.get("volumeMounts").and_then(Value::as_array);
    if taken.into_iter().flatten().any(|mount| mount["mountPath"] == TOKEN_PATH) {
        return false;
    }
    push(container, "volumeMounts", json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}));
    true
}

pub(super) fn push(fields: &mut Map<String, Value>, list: &str, item: Value) {
    match fields.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => {
            fields.insert(list.to_owned(), json!([item]));
        }
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

/// A pod stays for a while on a node that does not answer, unless it says otherwise.
fn tolerate(spec: &mut Map<String, Value>) {
    let present: Vec<Value> = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    let covers = |toleration: &Value, key: &str| {
        let effect = toleration["effect"].as_str().unwrap_or_default();
        let own_key = toleration["key"].as_str().unwrap_or_default();
        matches!(effect, "" | "NoExecute") && (own_key.is_empty() || own_key == key)
    };
    for key in TOLERATED {
        if !present.iter().any(|toleration| covers(toleration, key)) {
            let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": TOLERATION_SECONDS});
            push(spec, "tolerations", toleration);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_account(spec: Value, account: Value) -> Value {
        let mut pod = json!({"spec": spec});
        use_account(&mut pod, &account, "kube-api-access-x");
        pod["spec"].clone()
    }

    #[test]
    fn every_container_gets_the_token_where_nothing_is_mounted() {
        let own = json!([{"name": "t", "mountPath": TOKEN_PATH}]);
        let spec = json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": own}]});
        let spec = with_account(spec, json!({}));
        assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], "kube-api-access-x");
        assert_eq!(spec["containers"][1]["volumeMounts"], own);
        assert_eq!(spec["volumes"][0]["projected"]["sources"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_pod_overrides_its_account_in_whether_it_wants_the_token() {
        let containers = json!([{"name": "a"}]);
        let unwilling = json!({"automountServiceAccountToken": false});
        assert!(with_account(json!({"containers": containers}), unwilling.clone()).get("volumes").is_none());
        let insisting = json!({"containers": containers, "automountServiceAccountToken": true});
        assert!(with_account(insisting, unwilling).get("volumes").is_some());
    }

    #[test]
    fn pull_secrets_come_from_the_account_unless_the_pod_has_some() {
        let account = json!({"imagePullSecrets": [{"name": "reg"}]});
        assert_eq!(with_account(json!({}), account.clone())["imagePullSecrets"][0]["name"], "reg");
        let own = json!({"imagePullSecrets": [{"name": "own"}]});
        assert_eq!(with_account(own, account)["imagePullSecrets"][0]["name"], "own");
    }

    #[test]
    fn tolerations_are_added_unless_they_are_covered() {
        let tolerated = |tolerations: Value| {
            let mut spec = json!({"tolerations": tolerations}).as_object().unwrap().clone();
            tolerate(&mut spec);
            spec["tolerations"].as_array().unwrap().len()
        };
        assert_eq!(tolerated(json!([])), 2);
        assert_eq!(tolerated(json!([{"operator": "Exists"}])), 1);
        assert_eq!(tolerated(json!([{"key": "x", "effect": "NoSchedule"}])), 3);
        assert_eq!(tolerated(json!([{"key": TOLERATED[0], "operator": "Exists", "effect": "NoExecute"}])), 2);
    }
}
