//! Claims: the class of those that name none, and who may grow.

use coracle_api::kind::name_of;
use coracle_api::quantity::Quantity;
use coracle_api::quota;
use coracle_api::status::Status;
use serde_json::{Value, json};

use crate::registry::Write;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// Completes a new claim, or refuses one that may not grow.
pub(super) async fn complete(write: &Write<'_>, claim: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    let Some(old) = old else { return give_class(write, claim).await };
    if size(claim) > size(old) { check_growth(write, claim, old).await } else { Ok(()) }
}

fn size(claim: &Value) -> Quantity {
    quota::amounts(&claim["spec"]["resources"]["requests"]).remove("storage").unwrap_or(Quantity::ZERO)
}

async fn give_class(write: &Write<'_>, claim: &mut Value) -> Result<(), Status> {
    let is_named = claim["spec"].get("storageClassName").is_some_and(Value::is_string);
    if is_named || claim["metadata"]["annotations"].get(CLASS_ANNOTATION).is_some() {
        return Ok(());
    }
    let classes = write.state.resource("storage.k8s.io", "v1", "storageclasses");
    if let Some(class) = fallback(write.state.objects(&classes, None).await?) {
        claim["spec"]["storageClassName"] = json!(class);
    }
    Ok(())
}

/// The newest of the classes that are the default.
fn fallback(classes: Vec<Value>) -> Option<String> {
    let is_default = |class: &Value| DEFAULT.iter().any(|name| class["metadata"]["annotations"][name] == "true");
    let mut defaults: Vec<Value> = classes.into_iter().filter(is_default).collect();
    let created = |class: &Value| class["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    defaults.sort_by(|a, b| created(b).cmp(&created(a)).then_with(|| name_of(a).cmp(name_of(b))));
    defaults.first().map(|class| name_of(class).to_owned())
}

async fn check_growth(write: &Write<'_>, claim: &Value, old: &Value) -> Result<(), Status> {
    let refuse = |why: &str| Err(Status::forbidden(write.resource.kind.resource(), write.name, why));
    if old["status"]["phase"] != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let name = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    let classes = write.state.resource("storage.k8s.io", "v1", "storageclasses");
    let class = if name.is_empty() { None } else { write.state.object(&classes, "", name).await? };
    if class.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_default_class_is_given() {
        let class = |name: &str, created: &str, is_default: &str| json!({"metadata": {"name": name, "creationTimestamp": created, "annotations": {DEFAULT[0]: is_default}}});
        let all = vec![
            class("old", "2026-01-01T00:00:00Z", "true"),
            class("b", "2026-01-02T00:00:00Z", "true"),
            class("a", "2026-01-02T00:00:00Z", "true"),
            class("other", "2026-01-03T00:00:00Z", "false"),
        ];
        assert_eq!(fallback(all).as_deref(), Some("a"));
        assert_eq!(fallback(Vec::new()), None);
    }
}
