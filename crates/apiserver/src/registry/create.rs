//! Creation of an object.

use bytes::Bytes;
use coracle_api::apply;
use coracle_api::kind::name_of;
use coracle_api::names::generated_name;
use coracle_api::status::Status;
use coracle_store::{Compare, KeyValue, Op, Txn, TxnOutcome};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ATTEMPTS_MAX, Ownership, Write, Written, meta};
use crate::admission::{self, Charge};
use crate::services;
use crate::versions::store_failure;

/// Stores a new object, decoded and of the right kind.
pub(crate) async fn create(write: &Write<'_>, object: Value, ownership: Ownership) -> Result<Written, Status> {
    let is_generated = name_of(&object).is_empty() && !meta::text(&object, "generateName").is_empty();
    for _ in 0..ATTEMPTS_MAX {
        match attempt(write, object.clone(), ownership).await? {
            Attempt::Written(written) => return Ok(written),
            Attempt::NamespaceChanged => {}
            // Another random suffix is another name.
            Attempt::Exists(_) if is_generated => {}
            Attempt::Exists(status) => return Err(status),
        }
    }
    Err(Status::server_timeout(write.resource.kind.resource(), "create", 1))
}

enum Attempt {
    Written(Written),
    Exists(Status),
    NamespaceChanged,
}

async fn attempt(write: &Write<'_>, mut object: Value, ownership: Ownership) -> Result<Attempt, Status> {
    let Write { state, resource, namespace, .. } = *write;
    let kind = &resource.kind;
    meta::place(kind, &mut object, namespace)?;
    kind.default(&mut object);
    generate_name(&mut object);
    meta::begin(&mut object, Timestamp::now());
    let namespace_revision = admission::namespace(write, &object).await?;
    if ownership == Ownership::Derived {
        apply::update(&write.writer(), resource.schema, None, &mut object);
    }
    admission::mutate(write, &mut object, None).await?;
    kind.prepare_create(&mut object);
    write.invalid(name_of(&object), &kind.validate(&object))?;
    if !matches!(meta::text(&object, "resourceVersion"), "" | "0") {
        return Err(Status::unknown("resourceVersion should not be set on objects to be created"));
    }
    let mut claims = services::claim(write, &mut object, None)?;
    let mut warnings = kind.warnings(&object, None);
    warnings.extend(admission::validate(write, &object, None).await?);
    let charge = admission::charge(write, &object, None).await?;
    let stored = resource.encode(&object);
    let key = kind.key(namespace, name_of(&object));
    if write.options.dry_run {
        let found = state.stored(resource, namespace, name_of(&object)).await?;
        return Ok(match found {
            Some(current) => Attempt::Exists(exists(write, &current, name_of(&object))),
            None => Attempt::Written(Written { stored, revision: 0, created: true, warnings }),
        });
    }
    claims.submit();
    match commit(write, &key, stored.clone(), namespace_revision, charge).await? {
        TxnOutcome::Committed { revision } => {
            claims.keep();
            Ok(Attempt::Written(Written { stored, revision, created: true, warnings }))
        }
        TxnOutcome::Conflict { current, .. } => {
            claims.give_back();
            let found = current.into_iter().next().flatten();
            let exists = |current| Attempt::Exists(exists(write, &current, name_of(&object)));
            Ok(found.map_or(Attempt::NamespaceChanged, exists))
        }
    }
}

fn generate_name(object: &mut Value) {
    let prefix = meta::text(object, "generateName").to_owned();
    if name_of(object).is_empty() && !prefix.is_empty() {
        let name = generated_name(&prefix, rand::random::<u32>);
        meta::metadata(object).insert("name".to_owned(), json!(name));
    }
}

async fn commit(
    write: &Write<'_>,
    key: &str,
    stored: Bytes,
    namespace: Option<Compare>,
    mut charge: Charge,
) -> Result<TxnOutcome, Status> {
    let mut compare = vec![Compare { key: key.into(), mod_revision: 0 }];
    // Nothing is ever created in a namespace that went away meanwhile.
    compare.extend(namespace);
    let mut txn = Txn { compare, success: vec![Op::Put { key: key.into(), value: stored }] };
    charge.add_to(&mut txn);
    write.state.store.txn(txn).await.map_err(|error| store_failure(&error))
}

fn exists(write: &Write<'_>, current: &KeyValue, name: &str) -> Status {
    let status = Status::already_exists(write.resource.kind.resource(), name);
    if meta::is_deleting(&write.resource.decode(current)) {
        let message = format!("object is being deleted: {}", status.message);
        return Status { message, ..status };
    }
    status
}
