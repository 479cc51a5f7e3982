//! Requests for certificates: who asks is written down by the server, and who may decide is asked of the authorizer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_api::kind::{Part, name_of};
use coracle_api::status::{Attributes, Status};
use coracle_api::validation::FieldError;
use coracle_pki::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::authorize;
use crate::query::Query;
use crate::registry::Write;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";

/// Completes a new request or a decision about one.
pub(super) async fn complete(write: &Write<'_>, csr: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    let Some(old) = old else {
        identify(write, csr);
        return restrict(write, csr);
    };
    match write.part {
        Part::Approval => permit(write, old, "approve").await?,
        Part::Status if is_signed(csr, old) => permit(write, old, "sign").await?,
        _ => {}
    }
    if matches!(write.part, Part::Approval | Part::Status) {
        stamp(csr, old, Timestamp::now());
    }
    Ok(())
}

/// A request is from who sent it, whatever it says.
fn identify(write: &Write<'_>, csr: &mut Value) {
    let Some(spec) = csr["spec"].as_object_mut() else { return };
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    let user = write.user;
    spec.insert("username".to_owned(), json!(user.name));
    spec.insert("groups".to_owned(), json!(user.groups));
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
}

/// The text must be a request that its maker has signed, and nobody becomes an administrator by one.
fn restrict(write: &Write<'_>, csr: &Value) -> Result<(), Status> {
    let encoded = csr["spec"]["request"].as_str().unwrap_or_default();
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let pem = String::from_utf8_lossy(&bytes);
    // Without a request of the right label the kind's own checks say what is wrong.
    if !pem.contains("-----BEGIN CERTIFICATE REQUEST-----") {
        return Ok(());
    }
    let kind = &write.resource.kind;
    let request = Request::parse(&pem).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        let invalid = FieldError::invalid("spec.request", &json!(encoded), &cause);
        Status::invalid(kind.qualified(), name_of(csr), &[invalid])
    })?;
    let is_master = request.subject.organizations.iter().any(|organization| organization == MASTERS);
    if csr["spec"]["signerName"] == CLIENT_SIGNER && is_master {
        let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
        return Err(Status::forbidden(kind.resource(), name_of(csr), &why));
    }
    Ok(())
}

/// A certificate, or the reason why there will be none, is the signer's.
fn is_signed(new: &Value, old: &Value) -> bool {
    let failures = |csr: &Value| -> Vec<Value> {
        let conditions = csr["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|condition| condition["type"] == "Failed").cloned().collect()
    };
    new["status"]["certificate"] != old["status"]["certificate"] || failures(new) != failures(old)
}

/// Deciding for a signer is a right of its own, for one signer or for all of a domain.
async fn permit(write: &Write<'_>, csr: &Value, verb: &str) -> Result<(), Status> {
    let signer = csr["spec"]["signerName"].as_str().unwrap_or_default();
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let attributes = Attributes {
            verb,
            group: "certificates.k8s.io",
            resource: "signers",
            name: &name,
            ..Attributes::default()
        };
        if authorize::check(write.state, write.user, &attributes, &Query::default()).await?.is_none() {
            return Ok(());
        }
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(Status::forbidden(write.resource.kind.resource(), name_of(csr), &why))
}

/// Conditions say since when they hold.
fn stamp(csr: &mut Value, old: &Value, now: Timestamp) {
    let now = json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let before = old["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    for condition in csr["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.clone();
        }
        if condition["lastTransitionTime"].is_null() {
            let same = |old: &&Value| old["type"] == condition["type"] && old["status"] == condition["status"];
            let since = before.iter().find(same).map(|old| old["lastTransitionTime"].clone());
            condition["lastTransitionTime"] = since.filter(Value::is_string).unwrap_or_else(|| now.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_keep_the_time_since_which_they_hold() {
        let old = json!({"status": {"conditions": [
            {"type": "Approved", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let mut csr = json!({"status": {"conditions": [
            {"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True"}]}});
        stamp(&mut csr, &old, "2026-02-01T00:00:00Z".parse().unwrap());
        let conditions = &csr["status"]["conditions"];
        assert_eq!(conditions[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(conditions[0]["lastUpdateTime"], "2026-02-01T00:00:00Z");
        assert_eq!(conditions[1]["lastTransitionTime"], "2026-02-01T00:00:00Z");
    }
}
