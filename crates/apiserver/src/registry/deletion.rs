//! What a deletion does to an object: pure decisions, with the time of day given.

use std::time::Duration;

use coracle_api::kind::{Resource as Name, uid_of};
use coracle_api::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::meta;
use crate::resources::{Resource, Special};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Orphan,
    Foreground,
    Background,
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// Remove it now.
    Remove,
    /// Write it like this, then remove it: it had no time left.
    MarkAndRemove(Value),
    /// Write it like this; somebody else has to let it go.
    Mark(Value),
    /// Its deletion is under way and goes on as it was.
    Leave,
}

/// Decides.
pub(super) fn plan(
    resource: &Resource,
    object: &Value,
    options: &DeleteOptions,
    now: Timestamp,
) -> Result<Plan, Status> {
    check(resource, object, options)?;
    if resource.special == Special::Namespace
        && let Some(plan) = plan_namespace(object, options, now)
    {
        return Ok(plan);
    }
    let mut marked = object.clone();
    let grace = if resource.kind.graceful { grace(object, options) } else { Grace::Unsupported };
    match grace {
        Grace::Pending => return Ok(Plan::Leave),
        Grace::Begin(seconds) => begin_grace(&mut marked, seconds, now),
        Grace::Shorten(seconds) => shorten_grace(&mut marked, seconds),
        Grace::Unsupported => {}
    }
    let finalizers = finalizers(object, options.propagation, resource.kind.orphans);
    meta::set_finalizers(&mut marked, &finalizers);
    if !finalizers.is_empty() {
        if grace == Grace::Unsupported {
            mark(&mut marked, now);
        }
        return Ok(Plan::Mark(marked));
    }
    Ok(match grace {
        Grace::Unsupported => Plan::Remove,
        Grace::Begin(0) | Grace::Shorten(0) => Plan::MarkAndRemove(marked),
        Grace::Begin(_) | Grace::Shorten(_) | Grace::Pending => Plan::Mark(marked),
    })
}

/// True when an update has taken the last thing away that held a deleted object.
pub(super) fn is_complete(resource: &Resource, new: &Value, old: &Value) -> bool {
    let held_by_spec = resource.special == Special::Namespace && has_spec_finalizers(new);
    let grace = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    meta::is_deleting(old) && meta::finalizers(new).is_empty() && !held_by_spec && grace == 0
}

fn check(resource: &Resource, object: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let kind = Name { group: &resource.kind.group, name: &resource.kind.kind };
    let name = meta::text(object, "name");
    let conflict = |why: String| Err(Status::conflict(kind, name, &why));
    if let Some(uid) = &options.uid
        && uid != uid_of(object)
    {
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            uid_of(object)
        ));
    }
    let found = meta::text(object, "resourceVersion");
    if let Some(version) = &options.resource_version
        && version != found
    {
        return conflict(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
             ({found}). The object might have been modified"
        ));
    }
    Ok(())
}

/// A namespace is emptied first, by a controller that then takes its own finalizer out of the spec.
fn plan_namespace(object: &Value, options: &DeleteOptions, now: Timestamp) -> Option<Plan> {
    if !meta::is_deleting(object) {
        let mut marked = object.clone();
        meta::metadata(&mut marked).insert("deletionTimestamp".to_owned(), json!(meta::time(now)));
        meta::set_finalizers(&mut marked, &finalizers(object, options.propagation, false));
        marked["status"]["phase"] = json!("Terminating");
        return Some(if has_spec_finalizers(&marked) || !meta::finalizers(&marked).is_empty() {
            Plan::Mark(marked)
        } else {
            Plan::MarkAndRemove(marked)
        });
    }
    has_spec_finalizers(object).then_some(Plan::Leave)
}

fn has_spec_finalizers(namespace: &Value) -> bool {
    namespace["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

/// How much time an object is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    Unsupported,
    Begin(i64),
    Shorten(i64),
    Pending,
}

fn grace(pod: &Value, options: &DeleteOptions) -> Grace {
    let asked = options.grace_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    if meta::is_deleting(pod) {
        let Some(present) = pod["metadata"]["deletionGracePeriodSeconds"].as_i64() else { return Grace::Unsupported };
        return match asked {
            Some(seconds) if seconds < present => Grace::Shorten(seconds),
            Some(_) | None => Grace::Pending,
        };
    }
    let is_placed = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let has_ended = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    if !is_placed || has_ended {
        return Grace::Begin(0);
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(0);
    let seconds = asked.unwrap_or(own);
    Grace::Begin(if seconds < 0 { 1 } else { seconds })
}

fn begin_grace(object: &mut Value, seconds: i64, now: Timestamp) {
    count_generation(object);
    let length = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    set_deletion(object, now.checked_add(length).unwrap_or(now), seconds);
}

fn shorten_grace(object: &mut Value, seconds: i64) {
    let present = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let end: Option<Timestamp> = meta::text(object, "deletionTimestamp").parse().ok();
    let Some(end) = end else { return };
    let length = jiff::SignedDuration::from_secs(seconds - present);
    set_deletion(object, end.checked_add(length).unwrap_or(end), seconds);
}

fn set_deletion(object: &mut Value, at: Timestamp, grace_seconds: i64) {
    let metadata = meta::metadata(object);
    metadata.insert("deletionTimestamp".to_owned(), json!(meta::time(at)));
    metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace_seconds));
}

/// Notes that deletion has been asked for, on a kind that knows no grace.
fn mark(object: &mut Value, now: Timestamp) {
    if meta::is_deleting(object) {
        meta::metadata(object).insert("deletionGracePeriodSeconds".to_owned(), json!(0));
        return;
    }
    count_generation(object);
    set_deletion(object, now, 0);
}

fn count_generation(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"].as_i64().filter(|generation| *generation > 0) {
        meta::metadata(object).insert("generation".to_owned(), json!(generation + 1));
    }
}

/// The finalizers by which the garbage collector learns what to do with dependents.
fn finalizers(object: &Value, propagation: Option<Propagation>, orphans: bool) -> Vec<String> {
    let present = meta::finalizers(object);
    let has = |name: &str| present.iter().any(|finalizer| finalizer == name);
    let (orphan, foreground) = match propagation {
        Some(Propagation::Orphan) => (true, false),
        Some(Propagation::Foreground) => (false, true),
        Some(Propagation::Background) => (false, false),
        None if has(ORPHAN) => (true, false),
        None if has(FOREGROUND) => (false, true),
        None => (orphans, false),
    };
    let own = |name: &String| name == ORPHAN || name == FOREGROUND;
    let mut finalizers: Vec<String> = present.iter().filter(|name| !own(name)).cloned().collect();
    finalizers.extend(orphan.then(|| ORPHAN.to_owned()));
    finalizers.extend(foreground.then(|| FOREGROUND.to_owned()));
    let unchanged = finalizers.len() == present.len() && finalizers.iter().all(|name| has(name));
    if unchanged { present } else { finalizers }
}

#[cfg(test)]
mod tests;
