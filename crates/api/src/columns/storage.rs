//! Claims, volumes and storage classes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Columns, age, name, text};

const UNSET: &str = "<unset>";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub(crate) fn claim() -> Columns {
    Columns::of("PersistentVolumeClaim", claim_cells)
}

fn claim_cells(claim: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&claim["spec"], &claim["status"]);
    let is_going = claim["metadata"]["deletionTimestamp"].is_string();
    let volume = text(&spec["volumeName"]);
    let capacity = match status["capacity"]["storage"].as_str() {
        _ if volume.is_empty() => "",
        None => "0",
        Some(capacity) => capacity,
    };
    let modes = if volume.is_empty() { String::new() } else { access_modes(&status["accessModes"]) };
    vec![
        name(claim),
        json!(if is_going { "Terminating" } else { text(&status["phase"]) }),
        json!(volume),
        json!(capacity),
        json!(modes),
        json!(class_of(claim)),
        json!(spec["volumeAttributesClassName"].as_str().unwrap_or(UNSET)),
        age(claim, now),
        json!(spec["volumeMode"].as_str().unwrap_or(UNSET)),
    ]
}

pub(crate) fn volume() -> Columns {
    Columns::of("PersistentVolume", volume_cells)
}

fn volume_cells(volume: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&volume["spec"], &volume["status"]);
    let is_going = volume["metadata"]["deletionTimestamp"].is_string();
    let claim = &spec["claimRef"];
    let claim =
        if claim.is_null() { String::new() } else { format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])) };
    vec![
        name(volume),
        json!(spec["capacity"]["storage"].as_str().unwrap_or("0")),
        json!(access_modes(&spec["accessModes"])),
        json!(text(&spec["persistentVolumeReclaimPolicy"])),
        json!(if is_going { "Terminating" } else { text(&status["phase"]) }),
        json!(claim),
        json!(class_of(volume)),
        json!(spec["volumeAttributesClassName"].as_str().unwrap_or(UNSET)),
        json!(text(&status["reason"])),
        age(volume, now),
        json!(spec["volumeMode"].as_str().unwrap_or(UNSET)),
    ]
}

pub(crate) fn class() -> Columns {
    Columns::of("StorageClass", |class, now| {
        let annotations = &class["metadata"]["annotations"];
        let is_default = DEFAULT_CLASS.iter().any(|annotation| annotations[annotation] == "true");
        let own = text(&class["metadata"]["name"]);
        vec![
            if is_default { json!(format!("{own} (default)")) } else { name(class) },
            json!(text(&class["provisioner"])),
            json!(class["reclaimPolicy"].as_str().unwrap_or("Delete")),
            json!(class["volumeBindingMode"].as_str().unwrap_or("Immediate")),
            json!(class["allowVolumeExpansion"].as_bool().unwrap_or_default()),
            age(class, now),
        ]
    })
}

/// In the order in which upstream prints them, each once.
fn access_modes(modes: &Value) -> String {
    const ORDER: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.as_array().is_some_and(|modes| modes.iter().any(|present| present == mode));
    let short: Vec<&str> = ORDER.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    short.join(",")
}

fn class_of(object: &Value) -> &str {
    let old = text(&object["metadata"]["annotations"][CLASS_ANNOTATION]);
    if old.is_empty() { text(&object["spec"]["storageClassName"]) } else { old }
}
