//! Deletion of an object, or of many.

use bytes::Bytes;
use coracle_api::kind::uid_of;
use coracle_api::status::Status;
use coracle_store::{KeyValue, Revision, Txn, TxnOutcome};
use jiff::Timestamp;
use serde_json::Value;

use super::deletion::{DeleteOptions, Plan, plan};
use super::{ATTEMPTS_MAX, Write, meta};
use crate::admission;
use crate::answer::Answer;
use crate::list::{Page, Read, read};
use crate::options::ListOptions;
use crate::services;
use crate::versions::store_failure;

/// What a deletion left behind.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone; only its identity is told.
    Gone { uid: String },
    /// The object, as it still is or as it last was.
    Object { stored: Bytes, revision: Revision },
}

/// Deletes one object.
pub(crate) async fn delete(write: &Write<'_>, options: &DeleteOptions) -> Result<Deleted, Status> {
    for _ in 0..ATTEMPTS_MAX {
        let found = write.state.stored(write.resource, write.namespace, write.name).await?;
        let kv = found.ok_or_else(|| write.not_found())?;
        let object = write.resource.decode(&kv);
        admission::delete(write)?;
        let plan = plan(write.resource, &object, options, Timestamp::now())?;
        if let Some(deleted) = carry_out(write, options, kv, object, plan).await? {
            return Ok(deleted);
        }
    }
    Err(write.modified())
}

/// `None` when somebody else was faster and it is worth another attempt.
async fn carry_out(
    write: &Write<'_>,
    options: &DeleteOptions,
    kv: KeyValue,
    object: Value,
    plan: Plan,
) -> Result<Option<Deleted>, Status> {
    match plan {
        Plan::Leave => Ok(Some(Deleted::Object { stored: kv.value, revision: kv.mod_revision })),
        Plan::Remove if options.dry_run => Ok(Some(gone(write, &object, kv.value, kv.mod_revision))),
        Plan::Remove => remove(write, &kv.key, kv.mod_revision, &object, kv.value.clone()).await,
        Plan::Mark(marked) => Ok(mark(write, options, &kv, marked)
            .await?
            .map(|(_, stored, revision)| Deleted::Object { stored, revision })),
        Plan::MarkAndRemove(marked) => match mark(write, options, &kv, marked).await? {
            None => Ok(None),
            Some((object, stored, revision)) if options.dry_run => Ok(Some(gone(write, &object, stored, revision))),
            Some((object, stored, revision)) => {
                let removed = remove(write, &kv.key, revision, &object, stored.clone()).await?;
                // The object may have been removed by who waited for the mark: then it is gone all the same.
                Ok(Some(removed.unwrap_or_else(|| gone(write, &object, stored, revision))))
            }
        },
    }
}

async fn mark(
    write: &Write<'_>,
    options: &DeleteOptions,
    kv: &KeyValue,
    marked: Value,
) -> Result<Option<(Value, Bytes, Revision)>, Status> {
    let stored = write.resource.encode(&marked);
    if options.dry_run || stored == kv.value {
        return Ok(Some((marked, stored, kv.mod_revision)));
    }
    let txn = Txn::put(kv.key.clone(), stored.clone(), kv.mod_revision);
    match write.state.store.txn(txn).await.map_err(|error| store_failure(&error))? {
        TxnOutcome::Committed { revision } => Ok(Some((marked, stored, revision))),
        TxnOutcome::Conflict { .. } => Ok(None),
    }
}

async fn remove(
    write: &Write<'_>,
    key: &std::sync::Arc<str>,
    mod_revision: Revision,
    object: &Value,
    stored: Bytes,
) -> Result<Option<Deleted>, Status> {
    let txn = Txn::delete(key.clone(), mod_revision);
    match write.state.store.txn(txn).await.map_err(|error| store_failure(&error))? {
        TxnOutcome::Committed { revision } => {
            services::release(write.state, write.resource, object);
            Ok(Some(gone(write, object, stored, revision)))
        }
        TxnOutcome::Conflict { .. } => Ok(None),
    }
}

fn gone(write: &Write<'_>, object: &Value, stored: Bytes, revision: Revision) -> Deleted {
    if write.resource.returns_deleted {
        Deleted::Object { stored, revision }
    } else {
        Deleted::Gone { uid: uid_of(object).to_owned() }
    }
}

/// What became of the deletion of many.
pub(crate) enum DeletedMany {
    Page(Page),
    Expired(Answer),
}

/// Deletes every object that `list` selects, and returns them as they were.
pub(crate) async fn delete_collection(
    write: &Write<'_>,
    options: &DeleteOptions,
    list: &ListOptions,
) -> Result<DeletedMany, Status> {
    let page = match read(write.state, write.resource, write.namespace, list).await? {
        Read::Page(page) => page,
        Read::Expired(answer) => return Ok(DeletedMany::Expired(answer)),
    };
    for kv in &page.items {
        let object = write.resource.decode(kv);
        let (namespace, name) = (meta::text(&object, "namespace"), meta::text(&object, "name"));
        match delete(&Write { namespace, name, ..*write }, options).await {
            Ok(_) => {}
            // Somebody else deleted it first.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    Ok(DeletedMany::Page(page))
}
