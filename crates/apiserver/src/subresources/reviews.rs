//! Reviews: questions about who one is and what one may do. They are answered and never stored.

use std::sync::Arc;

use coracle_api::identity::User;
use coracle_api::kind::Kind;
use coracle_api::status::{Attributes, Status};
use coracle_api::validation::FieldError;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::authenticate;
use crate::authorize;
use crate::body::{self, Expected};
use crate::handler::{Call, Reply};
use crate::options::{Write as WriteKind, WriteOptions};
use crate::query::Query;
use crate::registry;
use crate::resources::Resource;
use crate::state::State;

const GROUPS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// True for kinds that are asked and not kept.
pub(crate) fn is_review(resource: &Resource) -> bool {
    is_review_kind(&resource.kind)
}

fn is_review_kind(kind: &Kind) -> bool {
    GROUPS.contains(&kind.group.as_str()) && kind.verbs.len() == 1 && kind.has_verb("create")
}

/// Answers a POST of a review.
pub(crate) async fn create(state: &Arc<State>, resource: &Resource, call: &Call) -> Result<Reply, Status> {
    let options = WriteOptions::parse(&call.query, WriteKind::Create, call.user_agent())?;
    let media = body::media(&call.parts.headers)?;
    let wanted = call.wanted_json();
    let bytes = call.bytes(state).await?;
    let expected = Expected {
        group: &resource.kind.group,
        version: &resource.kind.version,
        kind: &resource.kind.kind,
        message: resource.schema,
    };
    let (mut review, warnings) = body::object(&bytes, media, &expected, options.field_validation)?;
    registry::place(&resource.kind, &mut review, &call.info.namespace)?;
    match resource.kind.kind.as_str() {
        "SelfSubjectReview" => {
            review["metadata"]["creationTimestamp"] = json!(registry::time(Timestamp::now()));
            review["status"] = json!({"userInfo": user_info(&call.user)});
        }
        "TokenReview" => review_token(state, &mut review).await?,
        "SelfSubjectRulesReview" => review_rules(&call.user, &mut review)?,
        "SelfSubjectAccessReview" => {
            invalid(&access_errors(&review, resource, false))?;
            review_access(state, &call.user, &mut review).await?;
        }
        _ => {
            invalid(&access_errors(&review, resource, true))?;
            let asked = reviewed_user(&review);
            review_access(state, &asked, &mut review).await?;
        }
    }
    Ok(Reply::Answer(Answer::json(201, &review).with_warnings(warnings), wanted))
}

fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    info.insert("username".to_owned(), json!(user.name));
    if !user.uid.is_empty() {
        info.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        info.insert("extra".to_owned(), json!(user.extra));
    }
    Value::Object(info)
}

async fn review_token(state: &State, review: &mut Value) -> Result<(), Status> {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let asked = review["spec"]["audiences"].as_array().cloned().unwrap_or_default();
    let mut audiences: Vec<String> = asked.iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
    if audiences.is_empty() {
        audiences.push(state.config.issuer());
    }
    let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
    review["status"] = match authenticate::user_of_token(state, token, &audiences).await? {
        Ok((user, meant)) => json!({"authenticated": true, "user": user_info(&user), "audiences": meant}),
        Err(why) => json!({"user": {}, "error": why}),
    };
    Ok(())
}

async fn review_access(state: &State, user: &User, review: &mut Value) -> Result<(), Status> {
    let spec = &review["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let attributes = if resource.is_object() {
        Attributes {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            resource: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
            path: "",
        }
    } else {
        Attributes { verb: text(path, "verb"), path: text(path, "path"), ..Attributes::default() }
    };
    review["status"] = match authorize::check(state, user, &attributes, &Query::default()).await? {
        None => json!({"allowed": true}),
        Some(why) if why.is_empty() => json!({"allowed": false}),
        Some(why) => json!({"allowed": false, "reason": why}),
    };
    Ok(())
}

/// What is wrong with a question about access; `about_others` when it names whom it is about.
fn access_errors(review: &Value, resource: &Resource, about_others: bool) -> Vec<FieldError> {
    let spec = &review["spec"];
    let (attributes, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let path_shown = json!({"Path": text(path, "path"), "Verb": text(path, "verb")});
    let mut errors = Vec::new();
    let given = review["metadata"].as_object().into_iter().flatten();
    let is_given = |(field, value): (&String, &Value)| {
        !value.is_null() && field != "managedFields" && !(resource.kind.namespaced && field == "namespace")
    };
    if given.into_iter().any(is_given) {
        errors.push(FieldError::invalid("metadata", &review["metadata"], "must be empty"));
    }
    match (attributes.is_object(), path.is_object()) {
        (true, true) => {
            let why = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid("spec.nonResourceAttributes", &path_shown, why));
        }
        (false, false) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid("spec.resourceAttributes", &Value::Null, why));
        }
        (true, false) | (false, true) => {}
    }
    if about_others && text(spec, "user").is_empty() && spec["groups"].as_array().is_none_or(Vec::is_empty) {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", &json!(""), why));
    }
    let (namespaced, namespace) = (resource.kind.namespaced, text(&review["metadata"], "namespace"));
    if namespaced && attributes.is_object() && text(attributes, "namespace") != namespace {
        let asked = json!(text(attributes, "namespace"));
        let field = "spec.resourceAttributes.namespace";
        errors.push(FieldError::invalid(field, &asked, "must match metadata.namespace"));
    }
    if namespaced && path.is_object() {
        let why = "disallowed on this kind of request";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", &path_shown, why));
    }
    errors
}

/// Upstream does not name the kind of a review that is wrong.
fn invalid(errors: &[FieldError]) -> Result<(), Status> {
    let kind = coracle_api::kind::Resource { group: GROUPS[1], name: "" };
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(kind, "", errors)) }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn reviewed_user(review: &Value) -> User {
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let spec = &review["spec"];
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups: texts(&spec["groups"]),
        extra: extra.map(|(key, values)| (key.to_lowercase(), texts(values))).collect(),
    }
}

fn review_rules(user: &User, review: &mut Value) -> Result<(), Status> {
    if review["spec"]["namespace"].as_str().unwrap_or_default().is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (resources, paths) = authorize::rules_of(user);
    review["spec"] = json!({});
    review["status"] = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
    Ok(())
}
