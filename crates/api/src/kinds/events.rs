//! Events: stored as the core group has them, and served in two groups.

use serde_json::Value;

use super::{fields, row, strings};
use crate::kind::{Conversion, Hooks, Kind};
use crate::{columns, names, validation};

/// How the two groups name the same fields.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

pub(super) fn core() -> Kind {
    Kind {
        short_names: strings(&["ev"]),
        create_on_update: true,
        fields: fields(&[
            ("involvedObject.kind", |e| text(&e["involvedObject"]["kind"])),
            ("involvedObject.namespace", |e| text(&e["involvedObject"]["namespace"])),
            ("involvedObject.name", |e| text(&e["involvedObject"]["name"])),
            ("involvedObject.uid", |e| text(&e["involvedObject"]["uid"])),
            ("involvedObject.apiVersion", |e| text(&e["involvedObject"]["apiVersion"])),
            ("involvedObject.resourceVersion", |e| text(&e["involvedObject"]["resourceVersion"])),
            ("involvedObject.fieldPath", |e| text(&e["involvedObject"]["fieldPath"])),
            ("reason", |e| text(&e["reason"])),
            ("reportingComponent", |e| text(&e["reportingComponent"])),
            ("source", |e| source(&e["source"]["component"], &e["reportingComponent"])),
            ("type", |e| text(&e["type"])),
        ]),
        columns: columns::events::core(),
        hooks: Hooks {
            validate_name: names::path_segment,
            validate: validation::events::core,
            validate_update: validation::events::core_update,
            ..Hooks::default()
        },
        ..row("", "v1", "Event", "events")
    }
}

pub(super) fn rows() -> Vec<Kind> {
    let stored = core().storage;
    vec![Kind {
        short_names: strings(&["ev"]),
        create_on_update: true,
        storage: stored,
        conversion: Some(Conversion { to_storage, from_storage }),
        fields: fields(&[
            ("regarding.kind", |e| text(&e["regarding"]["kind"])),
            ("regarding.namespace", |e| text(&e["regarding"]["namespace"])),
            ("regarding.name", |e| text(&e["regarding"]["name"])),
            ("regarding.uid", |e| text(&e["regarding"]["uid"])),
            ("regarding.apiVersion", |e| text(&e["regarding"]["apiVersion"])),
            ("regarding.resourceVersion", |e| text(&e["regarding"]["resourceVersion"])),
            ("regarding.fieldPath", |e| text(&e["regarding"]["fieldPath"])),
            ("reason", |e| text(&e["reason"])),
            ("reportingController", |e| text(&e["reportingController"])),
            ("type", |e| text(&e["type"])),
        ]),
        columns: columns::events::own_group(),
        hooks: Hooks {
            validate: validation::events::own_group,
            validate_update: validation::events::own_group_update,
            ..Hooks::default()
        },
        ..row("events.k8s.io", "v1", "Event", "events")
    }]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn source(component: &Value, reporting: &Value) -> String {
    let component = text(component);
    if component.is_empty() { text(reporting) } else { component }
}

pub(crate) fn to_storage(event: &mut Value) {
    rename(event, "v1", |(core, events)| (events, core));
}

fn from_storage(event: &mut Value) {
    rename(event, "events.k8s.io/v1", |(core, events)| (core, events));
}

fn rename(
    event: &mut Value,
    api_version: &str,
    direction: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    let Some(fields) = event.as_object_mut() else { return };
    for (from, to) in NAMES.map(direction) {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
    fields.insert("apiVersion".to_owned(), api_version.into());
}
