//! What a volume may come from.

use std::collections::BTreeSet;

use super::{Cursor, Errors, FieldError, common, env, resources};
use crate::names;

/// The order in which upstream looks at the sources.
pub(super) const ORDER: [&str; 31] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
    "flexVolume",
    "clusterTrustBundle",
];
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

pub(super) fn check(name: &str, at: Cursor<'_, '_>, errors: &mut Errors) {
    match name {
        "emptyDir" => empty_dir(at, errors),
        "hostPath" => host_path(at, errors),
        "secret" => files(at, "secretName", errors),
        "configMap" => files(at, "name", errors),
        "persistentVolumeClaim" => common::required(at.field("claimName"), errors),
        "nfs" => nfs(at, errors),
        "iscsi" => iscsi(at, errors),
        "downwardAPI" => downward(at, errors),
        "projected" => projected(at, errors),
        "csi" => common::required_text(at.field("driver"), names::dns_subdomain, errors),
        "ephemeral" => ephemeral(at, errors),
        "image" => image(at, errors),
        "gcePersistentDisk" => common::required(at.field("pdName"), errors),
        "awsElasticBlockStore" | "cinder" => common::required(at.field("volumeID"), errors),
        "gitRepo" => common::required(at.field("repository"), errors),
        _ => {}
    }
}

fn empty_dir(at: Cursor<'_, '_>, errors: &mut Errors) {
    if resources::parsed(at.get("sizeLimit")).is_some_and(|q| q.is_negative()) {
        errors.push(at.field("sizeLimit").forbidden("SizeLimit field must be a valid resource quantity"));
    }
    let medium = at.field("medium");
    if !["", "Memory", "HugePages"].contains(&medium.str()) && !medium.str().starts_with("HugePages-") {
        errors.push(medium.not_supported(&["", "HugePages", "Memory"]));
    }
}

fn host_path(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::required(at.field("path"), errors);
    common::no_backsteps(at.field("path"), errors);
    common::optional_one_of(at.field("type"), &HOST_PATH_TYPES, errors);
}

fn files(at: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    common::required(at.field(name), errors);
    mode(at.field("defaultMode"), errors);
    for item in at.field("items").items() {
        key_to_path(item, errors);
    }
}

fn key_to_path(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::required(at.field("key"), errors);
    local_path(at.field("path"), errors);
    mode(at.field("mode"), errors);
}

fn local_path(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::required(at, errors);
    if at.str().starts_with("..") && !at.str().starts_with("../") {
        errors.push(at.invalid("must not start with '..'"));
    }
    common::relative_path(at, errors);
}

fn mode(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !(0..=0o777).contains(&at.int()) {
        errors.push(at.invalid(FILE_MODE));
    }
}

fn nfs(at: Cursor<'_, '_>, errors: &mut Errors) {
    let path = at.field("path");
    common::required(at.field("server"), errors);
    common::required(path, errors);
    if !path.str().is_empty() && !path.str().starts_with('/') {
        errors.push(path.invalid("must be an absolute path"));
    }
}

fn iscsi(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::required(at.field("targetPortal"), errors);
    let (iqn, lun) = (at.field("iqn"), at.field("lun"));
    common::required(iqn, errors);
    if !iqn.str().is_empty() && !["iqn", "eui", "naa"].iter().any(|start| iqn.str().starts_with(start)) {
        errors.push(iqn.invalid("must be valid format starting with iqn, eui, or naa"));
    }
    if !(0..=255).contains(&lun.int()) {
        errors.push(lun.invalid("must be between 0 and 255, inclusive"));
    }
}

fn downward(at: Cursor<'_, '_>, errors: &mut Errors) {
    mode(at.field("defaultMode"), errors);
    for item in at.field("items").items() {
        downward_file(at, item, errors);
    }
}

/// The path of some errors names the volume and not the item, as upstream's does.
fn downward_file(at: Cursor<'_, '_>, item: Cursor<'_, '_>, errors: &mut Errors) {
    local_path(at.with("path", item.get("path")), errors);
    let (field, resource) =
        (at.with("fieldRef", item.get("fieldRef")), at.with("resourceFieldRef", item.get("resourceFieldRef")));
    match (field.is_set(), resource.is_set()) {
        (true, true) => errors
            .push(at.invalid_value("resource", "fieldRef and resourceFieldRef can not be specified simultaneously")),
        (true, false) => env::field_ref(field, &VOLUME_FIELDS, errors),
        (false, true) => env::resource_field_ref(resource, true, errors),
        (false, false) => errors.push(at.required("one of fieldRef and resourceFieldRef is required")),
    }
    mode(item.field("mode"), errors);
}

fn projected(at: Cursor<'_, '_>, errors: &mut Errors) {
    mode(at.field("defaultMode"), errors);
    let mut paths = BTreeSet::new();
    for source in at.field("sources").items() {
        let mut given = 0;
        for name in
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"]
        {
            let projection = source.field(name);
            if !projection.is_set() {
                continue;
            }
            given += 1;
            if given > 1 {
                errors.push(projection.forbidden("may not specify more than 1 volume type"));
                continue;
            }
            projection_source(name, projection, errors);
            collect_paths(at, projection, &mut paths, errors);
        }
    }
}

fn projection_source(name: &str, at: Cursor<'_, '_>, errors: &mut Errors) {
    match name {
        "secret" | "configMap" => {
            common::required(at.field("name"), errors);
            at.field("items").items().for_each(|item| key_to_path(item, errors));
        }
        "downwardAPI" => at.field("items").items().for_each(|item| downward_file(at, item, errors)),
        "serviceAccountToken" => token(at, errors),
        _ => {}
    }
}

fn token(at: Cursor<'_, '_>, errors: &mut Errors) {
    let seconds = at.field("expirationSeconds");
    if seconds.int() < 600 {
        errors.push(seconds.invalid("may not specify a duration less than 10 minutes"));
    }
    if seconds.int() > 1 << 32 {
        errors.push(seconds.invalid("may not specify a duration larger than 2^32 seconds"));
    }
    common::required(at.field("path"), errors);
}

/// No two sources may write the same file.
fn collect_paths<'v>(
    volume: Cursor<'_, '_>,
    projection: Cursor<'_, 'v>,
    paths: &mut BTreeSet<&'v str>,
    errors: &mut Errors,
) {
    let items = projection.field("items");
    let listed: Vec<&str> = items.items().map(|item| item.field("path").str()).collect();
    for path in listed.into_iter().chain(projection.get("path").as_str()) {
        if !path.is_empty() && !paths.insert(path) {
            let source = projection.get("name").as_str().unwrap_or(path);
            errors.push(FieldError::invalid(volume.path(), &source.into(), "conflicting duplicate paths"));
        }
    }
}

fn ephemeral(at: Cursor<'_, '_>, errors: &mut Errors) {
    let template = at.field("volumeClaimTemplate");
    if !template.is_set() {
        errors.push(template.required(""));
        return;
    }
    let spec = template.field("spec");
    if spec.field("accessModes").is_empty() {
        errors.push(spec.field("accessModes").required("at least 1 access mode is required"));
    }
    let (resources, requests) = (spec.field("resources"), spec.field("resources"));
    if requests.field("requests").get("storage").is_null() {
        errors.push(resources.key("storage").required(""));
    }
}

fn image(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::required(at.field("reference"), errors);
    common::optional_one_of(at.field("pullPolicy"), &["Always", "IfNotPresent", "Never"], errors);
}
