//! What the server adds to objects and refuses for reasons that lie outside them. It runs between decoding and the
//! checks of the object itself; policies and webhooks will stand here too.

mod certificates;
mod claims;
mod classes;
mod limit_ranges;
mod nodes;
mod pod_security;
mod pods;
mod priority_classes;
mod quotas;

use coracle_api::kind::Part;
use coracle_api::status::Status;
use coracle_store::Compare;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::registry::Write;
use crate::resources::Special;
use crate::state::named;

pub(crate) use quotas::{Charge, Turns as QuotaTurns};

/// These namespaces cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

#[derive(Deserialize)]
struct Probe {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "deletionTimestamp")]
    deletion: Option<IgnoredAny>,
}

/// Creation needs a namespace that exists and stays. What is returned holds as long as that is so.
pub(crate) async fn namespace(write: &Write<'_>, object: &Value) -> Result<Option<Compare>, Status> {
    if !write.resource.kind.namespaced {
        return Ok(None);
    }
    let found = write.state.namespace(write.namespace).await?;
    let kv = found.ok_or_else(|| Status::not_found(named("", "namespaces"), write.namespace))?;
    let is_going = serde_json::from_slice::<Probe>(&kv.value).is_ok_and(|probe| probe.metadata.deletion.is_some());
    if is_going {
        let name = coracle_api::kind::name_of(object);
        return Err(Status::namespace_terminating(write.resource.kind.resource(), name, write.namespace));
    }
    Ok(Some(Compare { key: kv.key, mod_revision: kv.mod_revision }))
}

/// Adds what the server adds to a new or changed object.
pub(crate) async fn mutate(write: &Write<'_>, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    nodes::restrict(write, object, old)?;
    if old.is_none() {
        nodes::taint(write, object);
    }
    match write.resource.special {
        Special::Pod if old.is_none() => {
            limit_ranges::fill(write, object).await?;
            pods::complete(write, object).await
        }
        Special::Pod if write.part == Part::Object => {
            pods::keep(object, old);
            Ok(())
        }
        Special::CertificateRequest => certificates::complete(write, object, old).await,
        Special::Claim if write.part == Part::Object => claims::complete(write, object, old).await,
        Special::PriorityClass => priority_classes::check(write, object).await,
        Special::Pod | Special::Claim | Special::Namespace | Special::Service | Special::Binding | Special::None => {
            Ok(())
        }
    }
}

/// Refuses what an object may not be for reasons outside it, after the object itself was checked. What it returns is
/// said to the client of an object that is let in.
pub(crate) async fn validate(write: &Write<'_>, object: &Value, old: Option<&Value>) -> Result<Vec<String>, Status> {
    match write.resource.special {
        Special::Pod if old.is_none() => limit_ranges::check(write, object).await?,
        Special::Claim if write.part == Part::Object => limit_ranges::check(write, object).await?,
        _ => {}
    }
    pod_security::check(write, object, old).await
}

/// Charges the namespace's quotas for an object that is let in, last of all.
pub(crate) async fn charge(write: &Write<'_>, object: &Value, old: Option<&Value>) -> Result<Charge, Status> {
    quotas::charge(write, object, old).await
}

/// Refuses deletions that would break the cluster.
pub(crate) fn delete(write: &Write<'_>) -> Result<(), Status> {
    if write.resource.special == Special::Namespace && IMMORTAL.contains(&write.name) {
        let why = "this namespace may not be deleted";
        return Err(Status::forbidden(write.resource.kind.resource(), write.name, why));
    }
    if write.resource.special == Special::PriorityClass
        && let Some(why) = priority_classes::keep(write.name)
    {
        return Err(Status::forbidden(write.resource.kind.resource(), write.name, why));
    }
    Ok(())
}
