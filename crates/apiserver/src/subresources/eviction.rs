//! Eviction: a deletion that asks first whether the pod may go. Budgets will be asked here.

use std::sync::Arc;

use coracle_api::kind::{Part, Subresource, name_of};
use coracle_api::status::Status;

use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::options::Write as WriteKind;
use crate::registry;
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
    let write = writing(state, resource, call, &options, Part::Object);
    registry::delete(&write, &delete).await?;
    Ok(Reply::from(Answer::status(&Status::created()).with_warnings(warnings)))
}
