//! Changes of an object: read, change, check, and store it if nobody else has changed it meanwhile.

use coracle_api::apply;
use coracle_api::kind::{Part, name_of, namespace_of, uid_of};
use coracle_api::status::Status;
use coracle_api::validation::FieldError;
use coracle_store::{KeyValue, Txn, TxnOutcome};
use serde_json::{Value, json};

use super::{ATTEMPTS_MAX, Ownership, Write, Written, create, deletion, meta};
use crate::admission;
use crate::query::parse_uint;
use crate::services;
use crate::versions::store_failure;

/// What a change makes of the present object.
pub(crate) struct Change {
    pub(crate) object: Value,
    /// How its managedFields come about.
    pub(crate) ownership: Ownership,
    pub(crate) warnings: Vec<String>,
}

/// Replaces an object by one that the client sent.
pub(crate) async fn update(write: &Write<'_>, body: Value) -> Result<Written, Status> {
    let kind = &write.resource.kind;
    let mut body = body;
    meta::place(kind, &mut body, write.namespace)?;
    check_name(write, &mut body)?;
    let exists = write.state.stored(write.resource, write.namespace, write.name).await?.is_some();
    if !exists && write.part == Part::Object && kind.create_on_update {
        return match create(write, body.clone(), Ownership::Derived).await {
            // Somebody else was faster.
            Err(status) if status.code == 409 && status.reason == "AlreadyExists" => replace(write, &body).await,
            other => other,
        };
    }
    replace(write, &body).await
}

async fn replace(write: &Write<'_>, body: &Value) -> Result<Written, Status> {
    guaranteed_update(write, |old| {
        check_uid(write, body, old)?;
        Ok(Change { object: body.clone(), ownership: Ownership::Derived, warnings: Vec::new() })
    })
    .await
}

fn check_name(write: &Write<'_>, body: &mut Value) -> Result<(), Status> {
    match name_of(body) {
        "" => {
            meta::metadata(body).insert("name".to_owned(), json!(write.name));
            Ok(())
        }
        name if name == write.name => Ok(()),
        name => {
            let on_url = write.name;
            let why = format!("the name of the object ({name}) does not match the name on the URL ({on_url})");
            Err(Status::bad_request(why))
        }
    }
}

/// Applies `change` to the present object until nobody else interferes.
///
/// The version that the changed object carries decides whether a change by somebody else is a conflict: one that the
/// client chose is, the one that was just read is not.
pub(crate) async fn guaranteed_update(
    write: &Write<'_>,
    change: impl Fn(&Value) -> Result<Change, Status>,
) -> Result<Written, Status> {
    for _ in 0..ATTEMPTS_MAX {
        let found = write.state.stored(write.resource, write.namespace, write.name).await?;
        let kv = found.ok_or_else(|| write.not_found())?;
        let old = write.resource.decode(&kv);
        if let Some(written) = attempt(write, &kv, &old, change(&old)?).await? {
            return Ok(written);
        }
    }
    Err(write.modified())
}

/// Writes what `change` makes of the present object as it is, for changes that the rules of updates do not allow.
pub(crate) async fn rewrite(write: &Write<'_>, change: impl Fn(&Value) -> Result<Value, Status>) -> Result<(), Status> {
    for _ in 0..ATTEMPTS_MAX {
        let found = write.state.stored(write.resource, write.namespace, write.name).await?;
        let kv = found.ok_or_else(|| write.not_found())?;
        let stored = write.resource.encode(&change(&write.resource.decode(&kv))?);
        if write.options.dry_run {
            return Ok(());
        }
        let txn = Txn::put(kv.key.clone(), stored, kv.mod_revision);
        let outcome = write.state.store.txn(txn).await.map_err(|error| store_failure(&error))?;
        if matches!(outcome, TxnOutcome::Committed { .. }) {
            return Ok(());
        }
    }
    Err(write.modified())
}

/// `None` when somebody else was faster and it is worth another attempt.
async fn attempt(write: &Write<'_>, kv: &KeyValue, old: &Value, change: Change) -> Result<Option<Written>, Status> {
    let kind = &write.resource.kind;
    let Change { mut object, ownership, mut warnings } = change;
    check_version(write, kv, &object)?;
    kind.default(&mut object);
    if ownership == Ownership::Derived {
        apply::update(&write.writer(), write.resource.schema, Some(old), &mut object);
    }
    admission::mutate(write, &mut object, Some(old)).await?;
    meta::keep(&mut object, old);
    meta::metadata(&mut object).insert("resourceVersion".to_owned(), old["metadata"]["resourceVersion"].clone());
    services::inherit(write.resource, &mut object, old);
    kind.prepare_update(&mut object, old, write.part);
    write.invalid(write.name, &kind.validate_update(&object, old, write.part))?;
    let mut claims = services::claim(write, &mut object, Some(old))?;
    if write.part == Part::Object {
        warnings.extend(kind.warnings(&object, Some(old)));
    }
    warnings.extend(admission::validate(write, &object, Some(old)).await?);
    if deletion::is_complete(write.resource, &object, old) {
        return remove(write, kv, &object, warnings).await;
    }
    let mut charge = admission::charge(write, &object, Some(old)).await?;
    let stored = write.resource.encode(&object);
    if stored == kv.value || write.options.dry_run {
        return Ok(Some(Written { stored, revision: kv.mod_revision, created: false, warnings }));
    }
    claims.submit();
    let mut txn = Txn::put(kv.key.clone(), stored.clone(), kv.mod_revision);
    charge.add_to(&mut txn);
    match write.state.store.txn(txn).await.map_err(|error| store_failure(&error))? {
        TxnOutcome::Committed { revision } => {
            claims.keep();
            Ok(Some(Written { stored, revision, created: false, warnings }))
        }
        TxnOutcome::Conflict { .. } => {
            claims.give_back();
            Ok(None)
        }
    }
}

/// Removes an object whose last finalizer this update took away.
async fn remove(
    write: &Write<'_>,
    kv: &KeyValue,
    object: &Value,
    warnings: Vec<String>,
) -> Result<Option<Written>, Status> {
    let stored = write.resource.encode(object);
    if write.options.dry_run {
        return Ok(Some(Written { stored, revision: kv.mod_revision, created: false, warnings }));
    }
    let txn = Txn::delete(kv.key.clone(), kv.mod_revision);
    match write.state.store.txn(txn).await.map_err(|error| store_failure(&error))? {
        TxnOutcome::Committed { revision } => {
            services::release(write.state, write.resource, object);
            Ok(Some(Written { stored, revision, created: false, warnings }))
        }
        TxnOutcome::Conflict { .. } => Ok(None),
    }
}

fn check_version(write: &Write<'_>, kv: &KeyValue, object: &Value) -> Result<(), Status> {
    let version = match meta::text(object, "resourceVersion") {
        "" => 0,
        text => parse_uint(text).map_err(Status::unknown)?,
    };
    if version == 0 {
        if write.resource.kind.unconditional_update {
            return Ok(());
        }
        let error = FieldError::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        // Upstream names the resource here, and not the kind.
        return Err(Status::invalid(write.resource.kind.resource(), write.name, &[error]));
    }
    if version == kv.mod_revision { Ok(()) } else { Err(write.modified()) }
}

/// An object that was deleted and made anew is another object.
fn check_uid(write: &Write<'_>, object: &Value, old: &Value) -> Result<(), Status> {
    let (asked, found) = (uid_of(object), uid_of(old));
    if asked.is_empty() || asked == found {
        return Ok(());
    }
    let key = write.resource.kind.key(namespace_of(old), write.name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
         failed: UID in precondition: {asked}, UID in object meta: {found}"
    );
    Err(Status::conflict(write.resource.kind.resource(), write.name, &why))
}
