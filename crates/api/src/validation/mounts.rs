//! Where a container sees its pod's volumes.

use std::collections::BTreeSet;

use super::volumes::Volumes;
use super::{Cursor, Errors, common};

/// Volume mounts and block devices of one container.
pub(super) fn mounts(container: Cursor<'_, '_>, volumes: &Volumes<'_>, errors: &mut Errors) {
    let (mounts, devices) = (container.field("volumeMounts"), container.field("volumeDevices"));
    let mut paths = BTreeSet::new();
    for mount in mounts.items() {
        name(mount, volumes, errors);
        mount_path(mount, &mut paths, devices, errors);
        sub_path(mounts, mount, errors);
        propagation(container, mounts, mount, errors);
    }
    self::devices(mounts, devices, volumes, errors);
}

fn name(mount: Cursor<'_, '_>, volumes: &Volumes<'_>, errors: &mut Errors) {
    let name = mount.field("name");
    common::required(name, errors);
    if !volumes.contains(name.str()) {
        errors.push(name.not_found());
    }
}

fn mount_path<'v>(mount: Cursor<'_, 'v>, paths: &mut BTreeSet<&'v str>, devices: Cursor<'_, '_>, errors: &mut Errors) {
    let path = mount.field("mountPath");
    common::required(path, errors);
    if !path.str().is_empty() && !paths.insert(path.str()) {
        errors.push(path.invalid("must be unique"));
    }
    let name = mount.field("name");
    if devices.items().any(|device| device.field("name").str() == name.str()) {
        errors.push(name.invalid("must not already exist in volumeDevices"));
    }
    if !path.str().is_empty() && devices.items().any(|device| device.field("devicePath").str() == path.str()) {
        errors.push(path.invalid("must not already exist as a path in volumeDevices"));
    }
}

/// The path of these errors names the list and not the mount, as upstream's does.
fn sub_path(list: Cursor<'_, '_>, mount: Cursor<'_, '_>, errors: &mut Errors) {
    for field in ["subPath", "subPathExpr"] {
        if !mount.field(field).str().is_empty() {
            common::relative_path(list.with(field, mount.get(field)), errors);
        }
    }
    if !mount.field("subPath").str().is_empty() && !mount.field("subPathExpr").str().is_empty() {
        errors.push(mount.field("subPathExpr").invalid("subPathExpr and subPath are mutually exclusive"));
    }
}

fn propagation(container: Cursor<'_, '_>, list: Cursor<'_, '_>, mount: Cursor<'_, '_>, errors: &mut Errors) {
    let at = list.with("mountPropagation", mount.get("mountPropagation"));
    common::optional_one_of(at, &["Bidirectional", "HostToContainer", "None"], errors);
    let privileged = container.field("securityContext").get("privileged").as_bool().unwrap_or_default();
    if at.str() == "Bidirectional" && !privileged {
        errors.push(at.forbidden("Bidirectional mount propagation is available only to privileged containers"));
    }
    let recursive = list.with("recursiveReadOnly", mount.get("recursiveReadOnly"));
    common::optional_one_of(recursive, &["Disabled", "Enabled", "IfPossible"], errors);
    if ["Enabled", "IfPossible"].contains(&recursive.str()) {
        if !mount.field("readOnly").bool() {
            errors.push(recursive.forbidden("may only be specified when readOnly is true"));
        }
        if !["", "None"].contains(&at.str()) {
            errors.push(recursive.forbidden("may only be specified when mountPropagation is None or not specified"));
        }
    }
}

fn devices(mounts: Cursor<'_, '_>, devices: Cursor<'_, '_>, volumes: &Volumes<'_>, errors: &mut Errors) {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for device in devices.items() {
        let (name, path) = (device.field("name"), device.field("devicePath"));
        common::required(name, errors);
        if !name.str().is_empty() && !names.insert(name.str()) {
            errors.push(name.invalid("must be unique"));
        }
        if volumes.contains(name.str()) && !volumes.is_claim(name.str()) {
            let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
            errors.push(name.invalid(detail));
        }
        if !volumes.contains(name.str()) {
            errors.push(name.not_found());
        }
        common::required(path, errors);
        if !path.str().is_empty() && !paths.insert(path.str()) {
            errors.push(path.invalid("must be unique"));
        }
        if path.str().split('/').any(|part| part == "..") {
            errors.push(path.invalid("can not contain backsteps ('..')"));
        }
        if mounts.items().any(|mount| mount.field("name").str() == name.str()) {
            errors.push(name.invalid("must not already exist in volumeMounts"));
        }
        if !path.str().is_empty() && mounts.items().any(|mount| mount.field("mountPath").str() == path.str()) {
            errors.push(path.invalid("must not already exist as a path in volumeMounts"));
        }
    }
}
