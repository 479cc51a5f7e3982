//! Eviction: a deletion that asks first whether the pod may go.

mod budget;

use std::sync::Arc;

use coracle_api::kind::{Part, Subresource, name_of};
use coracle_api::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::budget::Verdict;
use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::options::Write as WriteKind;
use crate::registry::{self, Change, DeleteOptions, Ownership, Write, guaranteed_update};
use crate::resources::Resource;
use crate::state::State;
use crate::verbs::{delete_options_of, writing};

/// Answers a POST of an Eviction.
pub(super) async fn create(
    state: &Arc<State>,
    resource: &Resource,
    subresource: &Subresource,
    call: &Call,
) -> Result<Reply, Status> {
    let (eviction, options, warnings) = super::read(state, subresource, WriteKind::Create, call).await?;
    let name = name_of(&eviction);
    if !name.is_empty() && name != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut delete = delete_options_of(&eviction["deleteOptions"])?;
    delete.dry_run |= options.dry_run;
    let mut options = options;
    options.dry_run = delete.dry_run;
    let write = writing(state, resource, call, &options, Part::Object);
    evict(&write, delete).await?;
    Ok(Reply::from(Answer::status(&Status::created()).with_warnings(warnings)))
}

async fn evict(write: &Write<'_>, mut delete: DeleteOptions) -> Result<(), Status> {
    let state = write.state;
    let pod = state.existing(write.resource, write.namespace, write.name).await?;
    let budgets = state.resource("policy", "v1", "poddisruptionbudgets");
    let all = state.objects(&budgets, Some(write.namespace)).await?;
    match budget::judge(&pod, &all)? {
        Verdict::Free => {}
        Verdict::Unready => {
            let version = pod["metadata"]["resourceVersion"].as_str().map(str::to_owned);
            delete.resource_version = delete.resource_version.or(version);
        }
        Verdict::Spend(name) => {
            let write = Write { resource: &budgets, name: &name, part: Part::Status, ..*write };
            let spent = guaranteed_update(&write, |budget| {
                let object = budget::spend(budget, name_of(&pod), Timestamp::now())?;
                Ok(Change { object, ownership: Ownership::Derived, warnings: Vec::new() })
            });
            spent.await?;
        }
    }
    if delete.resource_version.is_none() && !delete.dry_run && !is_other(&pod, &delete) {
        tell(write).await?;
    }
    registry::delete(write, &delete).await?;
    Ok(())
}

/// The deletion is of a pod that was here before, and will be refused.
fn is_other(pod: &Value, delete: &DeleteOptions) -> bool {
    delete.uid.as_deref().is_some_and(|uid| uid != coracle_api::kind::uid_of(pod))
}

/// Notes in the pod's status why it goes.
async fn tell(write: &Write<'_>) -> Result<(), Status> {
    let write = Write { part: Part::Status, ..*write };
    let told = guaranteed_update(&write, |pod| {
        let mut object = pod.clone();
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": registry::time(Timestamp::now()),
        });
        if !object["status"]["conditions"].is_array() {
            object["status"]["conditions"] = json!([]);
        }
        let conditions = object["status"]["conditions"].as_array_mut().expect("it is a list by now");
        conditions.retain(|known| known["type"] != "DisruptionTarget");
        conditions.push(condition);
        Ok(Change { object, ownership: Ownership::Derived, warnings: Vec::new() })
    });
    told.await.map(|_| ())
}
