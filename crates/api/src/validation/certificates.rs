//! Requests for certificates, and what is decided about them.

use serde_json::Value;

use super::{Cursor, Errors, FieldError, common, go_quote, pem};
use crate::kind::Part;
use crate::names;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const LEGACY: &str = "kubernetes.io/legacy-unknown";
const SECONDS_MIN: i64 = 600;
/// Conditions that are true or absent.
const TERMINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

pub(crate) fn request(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let spec = root.field("spec");
    let request = spec.field("request");
    if pem::blocks(request.str()).first().is_none_or(|block| block.label != "CERTIFICATE REQUEST") {
        errors.push(request.invalid("PEM block type must be CERTIFICATE REQUEST"));
    }
    usages(spec.field("usages"), &mut errors);
    let signer = spec.field("signerName");
    if signer.str() == LEGACY {
        errors.push(signer.invalid("the legacy signerName is not allowed via this API version"));
    } else {
        signer_name(signer, &mut errors);
    }
    let seconds = spec.field("expirationSeconds");
    if seconds.is_set() && seconds.int() < SECONDS_MIN {
        errors.push(seconds.invalid("may not specify a duration less than 600 seconds (10 minutes)"));
    }
    let status = root.field("status");
    conditions(status.field("conditions"), &mut errors);
    certificate(status.field("certificate"), &mut errors);
    errors
}

fn usages(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.is_empty() {
        errors.push(at.required(""));
    }
    let mut seen = Vec::new();
    for usage in at.items().filter(|usage| !USAGES.contains(&usage.str())) {
        errors.push(usage.not_supported(&USAGES));
    }
    for usage in at.items() {
        if seen.contains(&usage.str()) {
            errors.push(usage.duplicate());
        }
        seen.push(usage.str());
    }
}

/// `domain/path`, of which each part has the form of a domain.
fn signer_name(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.str().is_empty() {
        errors.push(at.required(""));
        return;
    }
    let parts: Vec<&str> = at.str().split('/').collect();
    let [domain, path] = parts.as_slice() else {
        errors.push(at.invalid("must be a fully qualified domain and path of the form 'example.com/signer-name'"));
        return;
    };
    domain_part(at, domain, errors);
    path_part(at, path, errors);
}

fn domain_part(at: Cursor<'_, '_>, domain: &str, errors: &mut Errors) {
    if domain.len() > names::DNS_SUBDOMAIN_MAX {
        errors.push(FieldError::too_long(at.path(), names::DNS_SUBDOMAIN_MAX));
    }
    let labels: Vec<&str> = domain.split('.').collect();
    if labels.len() < 2 {
        errors.push(at.invalid_value(domain, "should be a domain with at least two segments separated by dots"));
    }
    for label in labels {
        let problems = names::dns_label(label);
        let told =
            |problem: &String| at.invalid_value(domain, &format!("validating label {}: {problem}", go_quote(label)));
        errors.extend(problems.iter().map(told));
        if !problems.is_empty() {
            return;
        }
    }
}

fn path_part(at: Cursor<'_, '_>, path: &str, errors: &mut Errors) {
    for label in path.split('.') {
        let problems = names::dns_subdomain(label);
        let told =
            |problem: &String| at.invalid_value(path, &format!("validating label {}: {problem}", go_quote(label)));
        errors.extend(problems.iter().map(told));
        if !problems.is_empty() {
            return;
        }
    }
}

fn conditions(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut seen = Vec::new();
    for condition in at.items() {
        let (kind, status) = (condition.field("type"), condition.field("status"));
        let allowed: &[&str] = if TERMINAL.contains(&kind.str()) { &["True"] } else { &["False", "True", "Unknown"] };
        common::required(kind, errors);
        common::one_of(status, allowed, errors);
        let opposite = match kind.str() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !opposite.is_empty() && seen.contains(&opposite) {
            errors.push(at.invalid_value(kind.str(), "Approved and Denied conditions are mutually exclusive"));
        }
        if seen.contains(&kind.str()) {
            errors.push(kind.duplicate());
        }
        seen.push(kind.str());
    }
}

fn certificate(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.str().is_empty() {
        return;
    }
    let blocks = pem::blocks(at.str());
    let why = if let Some(other) = blocks.iter().find(|block| block.label != "CERTIFICATE") {
        format!("only CERTIFICATE PEM blocks are allowed, found {}", go_quote(&other.label))
    } else if blocks.iter().any(|block| block.has_headers) {
        "no PEM block headers are permitted".to_owned()
    } else if blocks.is_empty() {
        "must contain at least one CERTIFICATE PEM block".to_owned()
    } else {
        return;
    };
    errors.push(at.invalid_value("<certificate data>", &why));
}

pub(crate) fn request_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    let mut errors = request(new);
    let find = |csr: &Value, kind: &str| -> Vec<Value> {
        let conditions = csr["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|condition| condition["type"] == kind).cloned().collect()
    };
    let mut forbid = |verb: &str, kind: &str| {
        let detail = format!("updates may not {verb} a condition of type {}", go_quote(kind));
        errors.push(FieldError::forbidden("status.conditions", &detail));
    };
    for kind in TERMINAL {
        if find(new, kind).len() < find(old, kind).len() {
            forbid("remove", kind);
        }
    }
    for kind in ["Approved", "Denied"].into_iter().filter(|_| part != Part::Approval) {
        let (now, before) = (find(new, kind), find(old, kind));
        if now.len() > before.len() {
            forbid("add", kind);
        } else if now.len() == before.len() && now != before {
            forbid("modify", kind);
        }
    }
    let text = |csr: &Value| csr["status"]["certificate"].as_str().unwrap_or_default().to_owned();
    if text(new) != text(old) && !text(old).is_empty() {
        errors.push(FieldError::forbidden("status.certificate", "updates may not modify existing certificate content"));
    } else if text(new) != text(old) && part != Part::Status {
        errors.push(FieldError::forbidden("status.certificate", "updates may not set certificate content"));
    }
    errors
}
