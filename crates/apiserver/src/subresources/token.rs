//! Tokens of service accounts, made on request and bound to what the request names.

use std::sync::Arc;

use coracle_api::kind::{Resource as Name, Subresource, uid_of};
use coracle_api::status::Status;
use coracle_api::validation::FieldError;
use coracle_pki::tokens::{Bound, Claims, Reference};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::options::Write as WriteKind;
use crate::resources::Resource;
use crate::state::State;

const SECONDS_MIN: i64 = 10 * 60;
const SECONDS_MAX: i64 = 1 << 32;
const SECONDS_DEFAULT: i64 = 60 * 60;
/// What the token volumes of pods ask for: such a token is good for longer, and its use after this is worth a warning.
const POD_SECONDS: i64 = 3607;
const POD_SECONDS_GRANTED: i64 = 365 * 24 * 60 * 60;

/// Answers a POST of a TokenRequest.
pub(super) async fn create(
    state: &Arc<State>,
    resource: &Resource,
    subresource: &Subresource,
    call: &Call,
) -> Result<Reply, Status> {
    let (mut request, options, warnings) = super::read(state, subresource, WriteKind::Create, call).await?;
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    let account = state.existing(resource, namespace, name).await?;
    check_place(&request, namespace, name)?;
    let seconds = seconds(&request)?;
    let issuer = state.config.issuer();
    if request["spec"]["audiences"].as_array().is_none_or(Vec::is_empty) {
        request["spec"]["audiences"] = json!([issuer]);
    }
    request["spec"]["expirationSeconds"] = json!(seconds);
    let mut bound = Bound {
        namespace: namespace.clone(),
        serviceaccount: Reference { name: name.clone(), uid: uid_of(&account).to_owned() },
        ..Bound::default()
    };
    let reference = &request["spec"]["boundObjectRef"];
    bind(state, reference, &account, &mut bound).await?;
    if let Some(node) = call.user.node_name() {
        check_node(node, reference, &bound).map_err(|why| Status::forbidden(resource.kind.resource(), name, why))?;
    }
    if request["spec"].get("boundObjectRef").is_none() {
        request["spec"]["boundObjectRef"] = Value::Null;
    }
    let claims = claims(&request, issuer, bound, seconds, Timestamp::now());
    let expiration = Timestamp::from_second(i64::try_from(claims.iat).unwrap_or(0) + seconds).unwrap_or(Timestamp::MAX);
    if !options.dry_run {
        let token = state.pki.token_key().sign(&claims).map_err(|error| Status::internal(&error.to_string()))?;
        let at = expiration.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        request["status"] = json!({"token": token, "expirationTimestamp": at});
    }
    request["metadata"]["name"] = json!(name);
    request["metadata"]["namespace"] = json!(namespace);
    Ok(Answer::json(201, &request).with_warnings(warnings).into())
}

/// A request that names an account names the one that it is sent to.
fn check_place(request: &Value, namespace: &str, name: &str) -> Result<(), Status> {
    for (field, own, what) in
        [("name", name, "service account name"), ("namespace", namespace, "service account namespace")]
    {
        let asked = request["metadata"][field].as_str().unwrap_or_default();
        if !asked.is_empty() && asked != own {
            let detail = format!("must match the {what} if specified");
            let error = FieldError::invalid(format!("metadata.{field}"), &json!(asked), &detail);
            let kind = Name { group: "authentication.k8s.io", name: "TokenRequest" };
            return Err(Status::invalid(kind, name, &[error]));
        }
    }
    Ok(())
}

fn seconds(request: &Value) -> Result<i64, Status> {
    let kind = Name { group: "authentication.k8s.io", name: "TokenRequest" };
    let seconds = request["spec"]["expirationSeconds"].as_i64().filter(|seconds| *seconds != 0);
    let seconds = seconds.unwrap_or(SECONDS_DEFAULT);
    let refuse = |why: &str| {
        let error = FieldError::invalid("spec.expirationSeconds", &json!(seconds), why);
        Err(Status::invalid(kind, "", &[error]))
    };
    match seconds {
        ..SECONDS_MIN => refuse("may not specify a duration less than 10 minutes"),
        seconds if seconds > SECONDS_MAX => refuse("may not specify a duration larger than 2^32 seconds"),
        seconds => Ok(seconds),
    }
}

/// Ties the token to the life of the object that the request names.
async fn bind(state: &State, reference: &Value, account: &Value, bound: &mut Bound) -> Result<(), Status> {
    if reference.is_null() {
        return Ok(());
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let plural = match text("kind") {
        "Pod" => "pods",
        "Secret" => "secrets",
        "Node" => "nodes",
        kind => {
            let version = text("apiVersion");
            let slash = if version.contains('/') { "" } else { "/" };
            let why = format!("cannot bind token to object of type {slash}{version}, Kind={kind}");
            return Err(Status::bad_request(why));
        }
    };
    let namespace = if plural == "nodes" { "" } else { &bound.namespace };
    let kind = state.resource("", "v1", plural);
    let stored = state.stored(&kind, namespace, text("name")).await?;
    let object = stored.ok_or_else(|| Status::not_found(kind.kind.resource(), text("name")))?;
    let object = kind.selectable(&object.value);
    let uid = uid_of(&object).to_owned();
    if !text("uid").is_empty() && text("uid") != uid {
        let asked = text("uid");
        let why = format!(
            "the UID in the bound object reference ({asked}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        return Err(Status::conflict(Name { group: "", name: text("kind") }, text("name"), &why));
    }
    let found = Some(Reference { name: text("name").to_owned(), uid });
    match plural {
        "pods" => {
            let own = object["spec"]["serviceAccountName"].as_str().unwrap_or_default();
            let name = account["metadata"]["name"].as_str().unwrap_or_default();
            if own != name {
                let pod = text("name");
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {name:?} to pod {pod:?} running with different serviceaccount name."
                )));
            }
            bound.pod = found;
            if let Some(node) = object["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
                let nodes = state.resource("", "v1", "nodes");
                let stored = state.stored(&nodes, "", node).await?;
                let uid = stored.map(|node| uid_of(&nodes.selectable(&node.value)).to_owned());
                bound.node = Some(Reference { name: node.to_owned(), uid: uid.unwrap_or_default() });
            }
        }
        "secrets" => bound.secret = found,
        _ => bound.node = found,
    }
    Ok(())
}

/// A node gets tokens for the pods that run on it, and for no others.
fn check_node(node: &str, reference: &Value, bound: &Bound) -> Result<(), &'static str> {
    if reference["kind"] != "Pod" {
        return Err("node requested token not bound to a pod");
    }
    if reference["uid"].as_str().is_none_or(str::is_empty) {
        return Err("node requested token with a pod binding without a uid");
    }
    if bound.node.as_ref().is_none_or(|runs_on| runs_on.name != node) {
        return Err("node requested token bound to a pod scheduled on a different node");
    }
    Ok(())
}

fn claims(request: &Value, issuer: String, mut bound: Bound, seconds: i64, now: Timestamp) -> Claims {
    let at = |offset: i64| u64::try_from(now.as_second() + offset).unwrap_or(0);
    let granted = if seconds == POD_SECONDS && bound.pod.is_some() {
        bound.warnafter = Some(at(seconds));
        POD_SECONDS_GRANTED
    } else {
        seconds
    };
    let audiences = request["spec"]["audiences"].as_array().into_iter().flatten();
    Claims {
        aud: audiences.filter_map(|audience| audience.as_str().map(str::to_owned)).collect(),
        exp: at(granted),
        iat: at(0),
        iss: issuer,
        jti: Uuid::new_v4().to_string(),
        nbf: at(0),
        sub: format!("system:serviceaccount:{}:{}", bound.namespace, bound.serviceaccount.name),
        kubernetes: bound,
    }
}
