//! Requests about resources: each verb of each path, brought to what carries it out.

use std::sync::Arc;

use coracle_api::columns::{self, IncludeObject, TableOptions};
use coracle_api::decode::{self, Media};
use coracle_api::kind::{Part, Source};
use coracle_api::schema;
use coracle_api::status::{Details, Status};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::body::{self, Expected};
use crate::handler::{Call, Reply};
use crate::negotiate::{Form, Wanted};
use crate::options::{self, ListOptions, Write as WriteKind, WriteOptions};
use crate::registry::{self, DeleteOptions, Deleted, DeletedMany, Ownership, Patch, PatchType, Write, Written};
use crate::resources::{Resource, Special};
use crate::state::State;
use crate::subresources;
use crate::versions::{self, Version};
use crate::watch::{self, Frames};
use crate::{list, live};

mod delete_options;

/// Answers a request whose path names a resource.
pub(crate) async fn serve(state: &Arc<State>, call: &Call) -> Result<Reply, Status> {
    let info = &call.info;
    let Some(resource) = state.catalog.find(&info.group, &info.version, &info.resource) else {
        return unknown(state, call);
    };
    check_path(&resource, call)?;
    if !info.subresource.is_empty() {
        return subresources::serve(state, &resource, call).await;
    }
    if !is_allowed(&resource, call) {
        return Err(Status::method_not_allowed());
    }
    if let Source::Nodes { path } = resource.kind.source {
        return live::serve(state, &resource, path, call).await;
    }
    match call.info.verb {
        "get" => get(state, &resource, call).await,
        "list" => list(state, &resource, call).await,
        "watch" => watch(state, resource, call).await,
        "create" if subresources::reviews::is_review(&resource) => {
            subresources::reviews::create(state, &resource, call).await
        }
        "create" if resource.special == Special::Binding => subresources::binding::create_by_name(state, call).await,
        "create" => create(state, &resource, call).await,
        "update" => update(state, &resource, call, Part::Object).await,
        "patch" => patch(state, &resource, call, Part::Object).await,
        "delete" => delete(state, &resource, call).await,
        "deletecollection" => delete_collection(state, &resource, call).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// A resource that is not served: of a group that is, or of none.
fn unknown(state: &State, call: &Call) -> Result<Reply, Status> {
    if state.catalog.all().iter().any(|resource| resource.kind.group == call.info.group) {
        return Err(Status::path_not_found());
    }
    Ok(Answer::text(404, "404 page not found\n").into())
}

/// Objects of a namespaced kind are named inside a namespace only, others outside only.
fn check_path(resource: &Resource, call: &Call) -> Result<(), Status> {
    let info = &call.info;
    let is_namespace_itself = resource.kind.group.is_empty() && info.resource == "namespaces";
    let in_namespace = !info.namespace.is_empty() && !is_namespace_itself;
    if in_namespace && !resource.kind.namespaced {
        return Err(Status::path_not_found());
    }
    if resource.kind.namespaced && !in_namespace && info.names_object() {
        return Err(Status::path_not_found());
    }
    let has_gap = info.path.trim_matches('/').contains("//");
    if has_gap || (info.legacy_watch && !info.subresource.is_empty()) {
        return Err(Status::path_not_found());
    }
    if info.rest.is_some() && !matches!(info.subresource.as_str(), "proxy") {
        return Err(Status::path_not_found());
    }
    Ok(())
}

fn is_allowed(resource: &Resource, call: &Call) -> bool {
    let info = &call.info;
    let placed = !resource.kind.namespaced || !info.namespace.is_empty();
    let fits = match info.verb {
        "create" => info.name.is_empty() && placed,
        "update" | "patch" => !info.name.is_empty(),
        "deletecollection" => placed,
        _ => true,
    };
    // Upstream routes no HEAD, and only reads below its watch paths.
    let routed = call.parts.method != Method::HEAD && (!info.legacy_watch || call.parts.method == Method::GET);
    fits && routed && resource.kind.has_verb(info.verb)
}

/// The namespace that keys are below; a namespace is itself not inside one.
pub(crate) fn place<'a>(resource: &Resource, call: &'a Call) -> &'a str {
    if resource.kind.namespaced { &call.info.namespace } else { "" }
}

/// Answers a get, also of a part that reads as its whole.
pub(crate) async fn get(state: &State, resource: &Resource, call: &Call) -> Result<Reply, Status> {
    let wanted = call.wanted(false)?;
    if call.query.flag("export") {
        return Err(Status::bad_request("the export parameter, deprecated since v1.14, is no longer supported"));
    }
    if let Version::At(asked) = versions::parse_watch(call.query.text("resourceVersion"))? {
        versions::wait_for(&state.store, asked).await?;
    }
    let name = &call.info.name;
    let found = state.stored(resource, place(resource, call), name).await?;
    let kv = found.ok_or_else(|| Status::not_found(resource.kind.resource(), name))?;
    let include = include_object(call)?;
    Ok(Reply::Answer(present(resource, 200, &kv.value, kv.mod_revision, wanted.form, include), wanted))
}

/// A stored object in the form that the client wants.
pub(crate) fn present(
    resource: &Resource,
    code: u16,
    stored: &[u8],
    revision: u64,
    form: Form,
    include_object: IncludeObject,
) -> Answer {
    let object = || {
        let mut object = resource.decode_at(stored, revision);
        if revision == 0
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            metadata.remove("resourceVersion");
        }
        object
    };
    match form {
        Form::Object => Answer::bytes(code, resource.serve(stored, revision)),
        Form::Partial(version) => Answer::json(code, &columns::partial(&object(), version)),
        Form::Table(version) => {
            let options = TableOptions { now: Timestamp::now(), include_object, no_headers: false, version };
            let metadata = json!({"resourceVersion": revision.to_string()});
            Answer::json(code, &columns::table(&resource.kind, [&object()], metadata, options))
        }
    }
}

pub(crate) fn include_object(call: &Call) -> Result<IncludeObject, Status> {
    let text = call.query.text("includeObject");
    IncludeObject::parse(text).ok_or_else(|| Status::bad_request(format!("invalid include object value: {text:?}")))
}

async fn list(state: &State, resource: &Resource, call: &Call) -> Result<Reply, Status> {
    let wanted = call.wanted(true)?;
    let options = ListOptions::parse(&call.query, false)?;
    let include = include_object(call)?;
    let answer = list::list(state, resource, call, &options, wanted.form, include).await?;
    Ok(Reply::Answer(answer, wanted))
}

async fn watch(state: &Arc<State>, resource: Arc<Resource>, call: &Call) -> Result<Reply, Status> {
    let wanted = call.wanted(true)?;
    let mut options = ListOptions::parse(&call.query, true)?;
    if call.info.legacy_watch && call.info.path.ends_with(&format!("/{}", call.info.name)) {
        options.field_selector = format!("metadata.name={}", call.info.name);
    }
    let frames = Frames::new(wanted.form, include_object(call)?);
    let namespace = place(&resource, call);
    Ok(watch::watch(state, resource, namespace, &options, frames, &call.client).await?.into())
}

async fn create(state: &Arc<State>, resource: &Resource, call: &Call) -> Result<Reply, Status> {
    let wanted = call.wanted(false)?;
    let (object, options, warnings) = decoded(state, resource, call, WriteKind::Create).await?;
    let write = writing(state, resource, call, &options, Part::Object);
    let written = registry::create(&Write { name: "", ..write }, object, Ownership::Derived).await?;
    Ok(answer_write(resource, written, warnings, wanted))
}

/// Answers a PUT of an object or a part of it.
pub(crate) async fn update(state: &Arc<State>, resource: &Resource, call: &Call, part: Part) -> Result<Reply, Status> {
    let wanted = call.wanted(false)?;
    let (object, options, warnings) = decoded(state, resource, call, WriteKind::Update).await?;
    let write = writing(state, resource, call, &options, part);
    let written = registry::update(&write, object).await?;
    Ok(answer_write(resource, written, warnings, wanted))
}

/// Reads and decodes the body of a create or an update.
async fn decoded(
    state: &State,
    resource: &Resource,
    call: &Call,
    kind: WriteKind,
) -> Result<(Value, WriteOptions, Vec<String>), Status> {
    let options = WriteOptions::parse(&call.query, kind, call.user_agent())?;
    let media = body::media(&call.parts.headers)?;
    let bytes = call.bytes(state).await?;
    let expected = Expected {
        group: &resource.kind.group,
        version: &resource.kind.version,
        kind: &resource.kind.kind,
        message: resource.schema,
    };
    let (object, warnings) = body::object(&bytes, media, &expected, options.field_validation)?;
    Ok((object, options, warnings))
}

pub(crate) fn writing<'a>(
    state: &'a State,
    resource: &'a Resource,
    call: &'a Call,
    options: &'a WriteOptions,
    part: Part,
) -> Write<'a> {
    let namespace = place(resource, call);
    Write { state, resource, namespace, name: &call.info.name, part, user: &call.user, options }
}

fn answer_write(resource: &Resource, written: Written, warnings: Vec<String>, wanted: Wanted) -> Reply {
    let code = if written.created { 201 } else { 200 };
    let answer = match wanted.form {
        Form::Object => Answer::bytes(code, registry::answer_bytes(resource, &written)),
        form => present(resource, code, &written.stored, written.revision, form, IncludeObject::default()),
    };
    Reply::Answer(answer.with_warnings(warnings).with_warnings(written.warnings), wanted)
}

/// Answers a PATCH of an object or a part of it.
pub(crate) async fn patch(state: &Arc<State>, resource: &Resource, call: &Call, part: Part) -> Result<Reply, Status> {
    let wanted = call.wanted(false)?;
    let (patch, options) = read_patch(state, call).await?;
    let write = writing(state, resource, call, &options, part);
    let written = registry::patch(&write, &patch).await?;
    Ok(answer_write(resource, written, Vec::new(), wanted))
}

/// Reads a patch.
pub(crate) async fn read_patch(state: &State, call: &Call) -> Result<(Patch, WriteOptions), Status> {
    let patch_type = PatchType::of(body::content_type(&call.parts.headers)).ok_or_else(unsupported_patch)?;
    let kind = if patch_type == PatchType::Apply { WriteKind::Apply } else { WriteKind::Patch };
    let options = WriteOptions::parse(&call.query, kind, call.user_agent())?;
    let patch = Patch::parse(patch_type, &call.bytes(state).await?)?;
    Ok((patch, options))
}

fn unsupported_patch() -> Status {
    Status {
        message: "415: Unsupported Media Type".to_owned(),
        details: Some(Box::new(Details::default())),
        ..Status::unsupported_media_type("")
    }
}

async fn delete(state: &Arc<State>, resource: &Resource, call: &Call) -> Result<Reply, Status> {
    let wanted = call.wanted(false)?;
    let options = read_delete_options(state, call).await?;
    let write_options = delete_write_options(call, options.dry_run);
    let write = writing(state, resource, call, &write_options, Part::Object);
    let answer = match registry::delete(&write, &options).await? {
        Deleted::Gone { uid } => Answer::status(&Status::deleted(resource.kind.resource(), write.name, &uid)),
        Deleted::Object { stored, revision } => {
            present(resource, 200, &stored, revision, wanted.form, IncludeObject::default())
        }
    };
    Ok(Reply::Answer(answer, wanted))
}

async fn delete_collection(state: &Arc<State>, resource: &Resource, call: &Call) -> Result<Reply, Status> {
    let wanted = call.wanted(false)?;
    let list_options = ListOptions::parse(&call.query, false)?;
    let options = read_delete_options(state, call).await?;
    let write_options = delete_write_options(call, options.dry_run);
    let write = writing(state, resource, call, &write_options, Part::Object);
    let answer = match registry::delete_collection(&write, &options, &list_options).await? {
        DeletedMany::Page(page) => {
            Answer::bytes(200, list::write(resource, &page, wanted.form, IncludeObject::default()))
        }
        DeletedMany::Expired(answer) => answer,
    };
    Ok(Reply::Answer(answer, wanted))
}

fn delete_write_options(call: &Call, dry_run: bool) -> WriteOptions {
    WriteOptions {
        dry_run,
        manager: call.user_agent().to_owned(),
        field_validation: options::FieldValidation::Ignore,
        force: false,
    }
}

/// The options of a deletion: its body, or without one, its query.
async fn read_delete_options(state: &State, call: &Call) -> Result<DeleteOptions, Status> {
    let bytes = call.bytes(state).await?;
    let message = schema::message("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
        .expect("DeleteOptions are among the built-in types");
    if bytes.is_empty() {
        return delete_options::of_query(&call.query);
    }
    let media = body::media(&call.parts.headers)?;
    delete_options::of_value(&delete_body(&bytes, media, message)?)
}

/// Options of a deletion inside another body.
pub(crate) fn delete_options_of(value: &Value) -> Result<DeleteOptions, Status> {
    delete_options::of_value(value)
}

fn delete_body(bytes: &[u8], media: Media, message: &schema::Message) -> Result<Value, Status> {
    let bad = |error: decode::Error| Status::bad_request(error.to_string());
    let value = match media {
        Media::Json => {
            decode::type_meta(bytes).map_err(bad)?;
            decode::json(bytes, message).map_err(bad)?.value
        }
        Media::Yaml => decode::yaml(bytes, message).map_err(bad)?.value,
        Media::Protobuf => {
            let target = decode::Target { api_version: "v1", kind: "DeleteOptions", message };
            decode::object(bytes, media, &target).map_err(Status::bad_request)?.value
        }
    };
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    match text("kind") {
        "" | "DeleteOptions" => Ok(value),
        kind => {
            let version = text("apiVersion");
            let scheme = "pkg/runtime/scheme.go:111";
            Err(Status::bad_request(format!(
                "no kind {kind:?} is registered for version {version:?} in scheme {scheme:?}"
            )))
        }
    }
}
