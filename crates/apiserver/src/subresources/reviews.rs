//! Reviews: questions about who one is and what one may do. They are answered and never stored.

use std::sync::Arc;

use coracle_api::identity::User;
use coracle_api::kind::Kind;
use coracle_api::status::{Attributes, Status};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::authenticate;
use crate::authorize;
use crate::body::{self, Expected};
use crate::handler::{Call, Reply};
use crate::options::{Write as WriteKind, WriteOptions};
use crate::query::Query;
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
    match resource.kind.kind.as_str() {
        "SelfSubjectReview" => review["status"] = json!({"userInfo": user_info(&call.user)}),
        "TokenReview" => review_token(state, &mut review).await?,
        "SelfSubjectRulesReview" => review_rules(&call.user, &mut review)?,
        "SelfSubjectAccessReview" => review_access(state, &call.user, &mut review).await?,
        _ => {
            check_namespace(&review, &call.info.namespace)?;
            let asked = reviewed_user(&review)?;
            review_access(state, &asked, &mut review).await?;
        }
    }
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
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
        Some((user, meant)) => json!({"authenticated": true, "user": user_info(&user), "audiences": meant}),
        None => json!({"user": {}, "error": "[invalid bearer token]"}),
    };
    Ok(())
}

async fn review_access(state: &State, user: &User, review: &mut Value) -> Result<(), Status> {
    let spec = &review["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() == path.is_object() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let kind = review["kind"].as_str().unwrap_or_default();
        let kind = coracle_api::kind::Resource { group: GROUPS[1], name: kind };
        let error = coracle_api::validation::FieldError::invalid("spec.resourceAttributes", &Value::Null, why);
        return Err(Status::invalid(kind, "", &[error]));
    }
    let text = |value: &'_ Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let fields = ["verb", "group", "resource", "subresource", "namespace", "name"].map(|field| text(resource, field));
    let [verb, group, name_of_resource, subresource, namespace, name] = &fields;
    let (path_text, path_verb) = (text(path, "path"), text(path, "verb"));
    let attributes = if resource.is_object() {
        let resource = name_of_resource.as_str();
        Attributes { verb, group, resource, subresource, namespace, name, path: "" }
    } else {
        Attributes { verb: &path_verb, path: &path_text, ..Attributes::default() }
    };
    review["status"] = match authorize::check(state, user, &attributes, &Query::default()).await? {
        None => json!({"allowed": true}),
        Some(why) if why.is_empty() => json!({"allowed": false}),
        Some(why) => json!({"allowed": false, "reason": why}),
    };
    Ok(())
}

fn check_namespace(review: &Value, namespace: &str) -> Result<(), Status> {
    let asked = review["spec"]["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() || asked == namespace {
        return Ok(());
    }
    let kind = coracle_api::kind::Resource { group: GROUPS[1], name: "" };
    let field = "spec.resourceAttributes.namespace";
    let error = coracle_api::validation::FieldError::invalid(field, &json!(asked), "must match metadata.namespace");
    Err(Status::invalid(kind, "", &[error]))
}

fn reviewed_user(review: &Value) -> Result<User, Status> {
    let spec = &review["spec"];
    let name = spec["user"].as_str().unwrap_or_default().to_owned();
    let groups = spec["groups"].as_array().into_iter().flatten();
    let groups: Vec<String> = groups.filter_map(|group| group.as_str().map(str::to_owned)).collect();
    if name.is_empty() && groups.is_empty() {
        let kind = review["kind"].as_str().unwrap_or_default();
        let kind = coracle_api::kind::Resource { group: GROUPS[1], name: kind };
        let why = "at least one of user or group must be specified";
        let error = coracle_api::validation::FieldError::invalid("spec.user", &json!(""), why);
        return Err(Status::invalid(kind, "", &[error]));
    }
    let uid = spec["uid"].as_str().unwrap_or_default().to_owned();
    Ok(User { name, uid, groups, ..User::default() })
}

fn review_rules(user: &User, review: &mut Value) -> Result<(), Status> {
    if review["spec"]["namespace"].as_str().unwrap_or_default().is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (resources, paths) = authorize::rules_of(user);
    review["status"] = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
    Ok(())
}
