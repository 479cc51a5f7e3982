//! Volumes that do nothing any more, and files of one volume that hide each other.

use std::collections::BTreeSet;

use super::pod::fraction;
use crate::validation::{Cursor, go_quote};

const GONE: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

pub(super) fn sources(list: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    for volume in list.items() {
        for (field, named, why) in GONE {
            if field == "cephfs" {
                claim(volume, warnings);
            }
            if volume.field(field).is_set() {
                warnings.push(format!("{}: {why}", volume.field(named).path()));
            }
        }
    }
}

fn claim(volume: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let ephemeral = volume.field("ephemeral");
    let template = ephemeral.field("volumeClaimTemplate");
    let spec = template.field("spec");
    let resources = spec.field("resources");
    fraction(resources.field("requests").key("storage"), warnings);
}

pub(super) fn overlaps(list: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    for volume in list.items() {
        let name = go_quote(volume.field("name").str());
        for (field, kind, source) in [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")] {
            let at = volume.field(field);
            let title = format!("volume {name} ({kind} {}): overlapping paths", go_quote(at.field(source).str()));
            warnings.extend(clashes(&paths(at), &title));
        }
        let title = format!("volume {name} (DownwardAPI): overlapping paths");
        warnings.extend(clashes(&paths(volume.field("downwardAPI")), &title));
        projected(volume.field("projected"), &name, warnings);
    }
}

fn paths(source: Cursor<'_, '_>) -> Vec<String> {
    source.field("items").items().map(|item| item.field("path").str().to_owned()).collect()
}

/// The files of one source among themselves, then together with those of the sources before.
fn projected(at: Cursor<'_, '_>, name: &str, warnings: &mut Vec<String>) {
    let (mut all, mut own, mut title) = (BTreeSet::new(), Vec::new(), String::new());
    for source in at.field("sources").items() {
        if source.value().as_object().is_none_or(|fields| fields.values().all(serde_json::Value::is_null)) {
            warnings.push(format!("volume {name} (Projected) has no sources provided"));
            continue;
        }
        if let Some((paths, kind)) = projection(source) {
            (own, title) = (paths, format!("volume {name} (Projected {kind}): overlapping paths"));
        }
        if own.is_empty() {
            continue;
        }
        warnings.extend(clashes(&own, &title));
        let unique: BTreeSet<String> = own.iter().cloned().collect();
        let mut together: Vec<String> = unique.iter().chain(&all).cloned().collect();
        together.sort();
        warnings.extend(clashes(&together, &title));
        all.extend(unique);
    }
}

fn projection(source: Cursor<'_, '_>) -> Option<(Vec<String>, String)> {
    let named = |field: &str| go_quote(source.field(field).field("name").str());
    let has_items = |field: &str| source.field(field).field("items").is_set();
    if has_items("configMap") {
        Some((paths(source.field("configMap")), format!("ConfigMap {}", named("configMap"))))
    } else if has_items("secret") {
        Some((paths(source.field("secret")), format!("Secret {}", named("secret"))))
    } else if has_items("downwardAPI") {
        Some((paths(source.field("downwardAPI")), "DownwardAPI".to_owned()))
    } else if source.field("serviceAccountToken").is_set() {
        let path = source.field("serviceAccountToken").field("path").str().to_owned();
        Some((vec![path], "ServiceAccountToken".to_owned()))
    } else {
        trust_bundle(source.field("clusterTrustBundle"))
    }
}

fn trust_bundle(bundle: Cursor<'_, '_>) -> Option<(Vec<String>, String)> {
    let name = if bundle.field("name").is_set() { "name" } else { "signerName" };
    let title = format!("ClusterTrustBundle {}", go_quote(bundle.field(name).str()));
    bundle.is_set().then(|| (vec![bundle.field("path").str().to_owned()], title))
}

fn clashes(paths: &[String], title: &str) -> Vec<String> {
    let (mut known, mut found): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    for path in paths.iter().map(|path| path.trim_end_matches('/')) {
        if let Some(other) = known.iter().find(|known| hides(known, path)).filter(|_| !path.is_empty()) {
            found.push(format!("{title}: {} with {}", go_quote(path), go_quote(other)));
        }
        known.push(path);
    }
    found
}

fn hides(one: &str, other: &str) -> bool {
    !one.is_empty() && (format!("{one}/").starts_with(other) || format!("{other}/").starts_with(one))
}
