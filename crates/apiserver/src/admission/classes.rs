//! What a new pod gets from the classes that it names: its priority, and what its runtime needs.

use coracle_api::kind::name_of;
use coracle_api::status::Status;
use serde_json::{Map, Value, json};

use crate::registry::Write;

const CRITICAL: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
const PREEMPTS: &str = "PreemptLowerPriority";

/// What a class of priorities gives.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Priority {
    class: String,
    value: i64,
    preemption: Option<String>,
}

/// Turns the name of a priority class into a number.
pub(super) async fn prioritise(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    let class = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let priority =
        if class.is_empty() { default_priority(write).await? } else { named_priority(write, &class).await? };
    let refused = |why: &str| Status::forbidden(write.resource.kind.resource(), name_of(pod), why);
    let priority = priority.ok_or_else(|| refused(&format!("no PriorityClass with name {class} was found")))?;
    apply_priority(&pod["spec"], &priority).map_err(|why| refused(&why))?;
    if let Some(spec) = pod["spec"].as_object_mut() {
        if !priority.class.is_empty() {
            spec.insert("priorityClassName".to_owned(), json!(priority.class));
        }
        spec.insert("priority".to_owned(), json!(priority.value));
        if let Some(preemption) = priority.preemption {
            spec.insert("preemptionPolicy".to_owned(), json!(preemption));
        }
    }
    Ok(())
}

/// What the client wrote itself must be what the class says.
fn apply_priority(spec: &Value, priority: &Priority) -> Result<(), String> {
    let computed = "must not be provided in pod spec; priority admission controller computed";
    let from = "from the given PriorityClass name";
    if let Some(own) = spec["priority"].as_i64().filter(|own| *own != priority.value) {
        return Err(format!("the integer value of priority ({own}) {computed} {} {from}", priority.value));
    }
    match (spec["preemptionPolicy"].as_str(), &priority.preemption) {
        (Some(own), Some(policy)) if own != policy => {
            Err(format!("the string value of PreemptionPolicy ({own}) {computed} {policy} {from}"))
        }
        _ => Ok(()),
    }
}

fn priority_of(class: &Value) -> Priority {
    Priority {
        class: name_of(class).to_owned(),
        value: class["value"].as_i64().unwrap_or_default(),
        preemption: class["preemptionPolicy"].as_str().map(str::to_owned),
    }
}

async fn named_priority(write: &Write<'_>, name: &str) -> Result<Option<Priority>, Status> {
    let classes = write.state.resource("scheduling.k8s.io", "v1", "priorityclasses");
    if let Some(class) = write.state.object(&classes, "", name).await? {
        return Ok(Some(priority_of(&class)));
    }
    let critical = CRITICAL.iter().find(|(class, _)| *class == name);
    Ok(critical.map(|(class, value)| Priority {
        class: (*class).to_owned(),
        value: *value,
        preemption: Some(PREEMPTS.to_owned()),
    }))
}

async fn default_priority(write: &Write<'_>) -> Result<Option<Priority>, Status> {
    let classes = write.state.resource("scheduling.k8s.io", "v1", "priorityclasses");
    let all = write.state.objects(&classes, None).await?;
    let defaults = all.iter().filter(|class| class["globalDefault"] == true).map(priority_of);
    let none = Priority { class: String::new(), value: 0, preemption: Some(PREEMPTS.to_owned()) };
    Ok(Some(defaults.min_by_key(|priority| priority.value).unwrap_or(none)))
}

/// The class of runtimes that the pod names.
pub(super) async fn runtime(write: &Write<'_>, pod: &Value) -> Result<Option<Value>, Status> {
    let Some(name) = pod["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    let classes = write.state.resource("node.k8s.io", "v1", "runtimeclasses");
    let found = write.state.object(&classes, "", name).await?;
    let why = || format!("pod rejected: RuntimeClass {name:?} not found");
    let refused = || Status::forbidden(write.resource.kind.resource(), name_of(pod), &why());
    found.map(Some).ok_or_else(refused)
}

/// Adds what the runtime costs and which nodes have it.
pub(super) fn run_with(spec: &mut Map<String, Value>, class: Option<&Value>) -> Result<(), String> {
    let overhead = class.map_or(&Value::Null, |class| &class["overhead"]["podFixed"]);
    let own = spec.get("overhead").and_then(Value::as_object).is_some_and(|amounts| !amounts.is_empty());
    match (overhead.is_null(), own) {
        (true, true) => {
            return Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned());
        }
        (false, true) if spec["overhead"] != *overhead => {
            return Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned());
        }
        (false, _) => {
            spec.insert("overhead".to_owned(), overhead.clone());
        }
        (true, false) => {}
    }
    let Some(scheduling) = class.map(|class| &class["scheduling"]).filter(|scheduling| scheduling.is_object()) else {
        return Ok(());
    };
    select_nodes(spec, &scheduling["nodeSelector"])?;
    let added = scheduling["tolerations"].as_array().cloned().unwrap_or_default();
    for toleration in added {
        let present = spec.get("tolerations").and_then(Value::as_array);
        if !present.is_some_and(|present| present.contains(&toleration)) {
            super::pods::push(spec, "tolerations", toleration);
        }
    }
    Ok(())
}

fn select_nodes(spec: &mut Map<String, Value>, wanted: &Value) -> Result<(), String> {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        let own = spec.get("nodeSelector").and_then(|selector| selector.get(key));
        if let Some(own) = own.filter(|own| *own != value) {
            let (value, own) = (value.as_str().unwrap_or_default(), own.as_str().unwrap_or_default());
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            ));
        }
        let selector = spec.entry("nodeSelector").or_insert_with(|| json!({}));
        selector[key] = value.clone();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_of_ones_own_must_be_that_of_the_class() {
        let priority = Priority { class: String::new(), value: 0, preemption: Some(PREEMPTS.to_owned()) };
        let said = |spec: Value| apply_priority(&spec, &priority).err().unwrap_or_default();
        assert_eq!(said(json!({"priority": 0})), "");
        assert_eq!(
            said(json!({"priority": 7})),
            "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"
        );
        assert!(said(json!({"preemptionPolicy": "Never"})).starts_with("the string value of PreemptionPolicy (Never)"));
    }

    #[test]
    fn a_runtime_brings_its_cost_and_its_nodes() {
        let class = json!({"overhead": {"podFixed": {"cpu": "10m"}},
            "scheduling": {"nodeSelector": {"fancy": "yes"}, "tolerations": [{"key": "fancy", "operator": "Exists"}]}});
        let run = |spec: Value, class: Option<&Value>| {
            let mut spec = spec.as_object().unwrap().clone();
            run_with(&mut spec, class).map(|()| Value::Object(spec))
        };
        let spec = run(json!({}), Some(&class)).unwrap();
        assert_eq!(spec["nodeSelector"], json!({"fancy": "yes"}));
        assert_eq!((&spec["overhead"], &spec["tolerations"][0]["key"]), (&json!({"cpu": "10m"}), &json!("fancy")));
        assert_eq!(
            run(json!({"nodeSelector": {"fancy": "no"}}), Some(&class)).unwrap_err(),
            "conflict: runtimeClass.scheduling.nodeSelector[fancy] = yes; pod.spec.nodeSelector[fancy] = no"
        );
        assert!(run(json!({"overhead": {"cpu": "1"}}), None).unwrap_err().contains("without corresponding"));
        assert!(run(json!({"overhead": {"cpu": "1"}}), Some(&class)).unwrap_err().contains("doesn't match"));
    }
}
