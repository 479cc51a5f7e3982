//! Quotas, certificate requests, priority classes and runtime classes.

use serde_json::{Value, json};

use super::{Columns, age, human_duration, name, number, or_none, text};

pub(crate) fn quota() -> Columns {
    Columns::of("ResourceQuota", |quota, now| {
        let limits = |name: &str| name.starts_with("limits.");
        vec![
            name(quota),
            json!(usage(quota, |resource| !limits(resource))),
            json!(usage(quota, limits)),
            age(quota, now),
        ]
    })
}

/// `pods: 1/5, secrets: 0/2`.
fn usage(quota: &Value, is_wanted: impl Fn(&str) -> bool) -> String {
    let status = &quota["status"];
    let mut hard: Vec<(&str, &Value)> =
        status["hard"].as_object().into_iter().flatten().map(|(name, amount)| (name.as_str(), amount)).collect();
    hard.sort_by_key(|(name, _)| *name);
    let printed = hard.into_iter().filter(|(name, _)| is_wanted(name)).map(|(name, hard)| {
        let used = status["used"][name].as_str().unwrap_or("0");
        format!("{name}: {used}/{}", text(hard))
    });
    printed.collect::<Vec<_>>().join(", ")
}

pub(crate) fn certificate_request() -> Columns {
    Columns::of("CertificateSigningRequest", |csr, now| {
        let spec = &csr["spec"];
        vec![
            name(csr),
            age(csr, now),
            or_none(text(&spec["signerName"])),
            json!(text(&spec["username"])),
            spec["expirationSeconds"].as_i64().map_or_else(|| or_none(""), |seconds| json!(human_duration(seconds))),
            json!(decision(csr)),
        ]
    })
}

fn decision(csr: &Value) -> String {
    let conditions = csr["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let has = |kind: &str| conditions.iter().any(|condition| condition["type"] == kind);
    let mut printed = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        printed.push_str(",Failed");
    }
    if !text(&csr["status"]["certificate"]).is_empty() {
        printed.push_str(",Issued");
    }
    printed
}

pub(crate) fn priority_class() -> Columns {
    Columns::of("PriorityClass", |class, now| {
        vec![
            name(class),
            json!(number(&class["value"])),
            json!(class["globalDefault"].as_bool().unwrap_or_default()),
            age(class, now),
            json!(class["preemptionPolicy"].as_str().unwrap_or("PreemptLowerPriority")),
        ]
    })
}

pub(crate) fn runtime_class() -> Columns {
    Columns::of("RuntimeClass", |class, now| vec![name(class), json!(text(&class["handler"])), age(class, now)])
}
