//! What lies below objects: their parts, their scale, and things that are done to them.

pub(crate) mod binding;
mod eviction;
mod log;
mod proxy;
pub(crate) mod reviews;
mod scale;
mod streams;
mod token;

use std::sync::Arc;

use coracle_api::decode::Media;
use coracle_api::kind::{Part, Subresource};
use coracle_api::schema::{self, Message};
use coracle_api::status::Status;
use http::Method;
use serde_json::Value;

use crate::body::{self, Expected};
use crate::handler::{Call, Reply};
use crate::options::{Write as WriteKind, WriteOptions};
use crate::resources::Resource;
use crate::state::State;
use crate::verbs;

/// Answers a request whose path names a subresource.
pub(crate) async fn serve(state: &Arc<State>, resource: &Resource, call: &Call) -> Result<Reply, Status> {
    let found = resource.kind.subresource(&call.info.subresource);
    let subresource = found.ok_or_else(Status::path_not_found)?.clone();
    if subresource.name == "proxy" {
        return proxy::serve(state, call).await;
    }
    let has_verb = subresource.verbs.iter().any(|verb| verb == call.info.verb);
    if !has_verb || call.parts.method == Method::HEAD {
        return Err(Status::method_not_allowed());
    }
    match (subresource.name.as_str(), subresource.kind.as_str()) {
        ("log", _) => log::serve(state, call).await,
        ("exec", _) => streams::exec(state, call).await,
        ("attach", _) => streams::attach(state, call).await,
        ("portforward", _) => streams::port_forward(state, call).await,
        (_, "Scale") => scale::serve(state, resource, &subresource, call).await,
        (_, "Binding") => binding::create(state, resource, &subresource, call).await,
        (_, "Eviction") => eviction::create(state, resource, &subresource, call).await,
        (_, "TokenRequest") => token::create(state, resource, &subresource, call).await,
        (name, _) => match (Part::of_subresource(name), call.info.verb) {
            (Some(_), "get") => verbs::get(state, resource, call).await,
            (Some(part), "update") => verbs::update(state, resource, call, part).await,
            (Some(part), "patch") => verbs::patch(state, resource, call, part).await,
            (Some(_) | None, _) => Err(Status::path_not_found()),
        },
    }
}

/// The body of a request to a subresource, decoded as what is sent to it.
async fn read(
    state: &State,
    subresource: &Subresource,
    kind: WriteKind,
    call: &Call,
) -> Result<(Value, WriteOptions, Vec<String>), Status> {
    let options = WriteOptions::parse(&call.query, kind, call.user_agent())?;
    let media: Media = body::media(&call.parts.headers)?;
    let bytes = call.bytes(state).await?;
    let message = message(&subresource.group, &subresource.version, &subresource.kind)?;
    let Subresource { group, version, kind, .. } = subresource;
    let expected = Expected { group, version, kind, message };
    let (object, warnings) = body::object(&bytes, media, &expected, options.field_validation)?;
    Ok((object, options, warnings))
}

/// The structure of a type that is no kind of its own.
pub(crate) fn structure(group: &str, version: &str, kind: &str) -> Option<&'static Message> {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    schema::message(&format!("io.k8s.api.{group}.{version}.{kind}"))
}

fn message(group: &str, version: &str, kind: &str) -> Result<&'static Message, Status> {
    structure(group, version, kind).ok_or_else(|| Status::internal(&format!("the structure of {kind} is not known")))
}
