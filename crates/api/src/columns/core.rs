//! The plain kinds: a name, a fact or two, and an age.

use serde_json::json;

use super::{Columns, age, count, name, text};

pub(crate) fn config_map() -> Columns {
    Columns::of("ConfigMap", |object, now| {
        vec![name(object), json!(count(&object["data"]) + count(&object["binaryData"])), age(object, now)]
    })
}

pub(crate) fn secret() -> Columns {
    Columns::of("Secret", |object, now| {
        vec![name(object), json!(text(&object["type"])), json!(count(&object["data"])), age(object, now)]
    })
}

pub(crate) fn service_account() -> Columns {
    Columns::of("ServiceAccount", |object, now| vec![name(object), age(object, now)])
}

pub(crate) fn namespace() -> Columns {
    Columns::of("Namespace", |object, now| {
        vec![name(object), json!(text(&object["status"]["phase"])), age(object, now)]
    })
}

pub(crate) fn lease() -> Columns {
    Columns::of("Lease", |object, now| {
        vec![name(object), json!(text(&object["spec"]["holderIdentity"])), age(object, now)]
    })
}
