//! Decides the fate of one object from its owners, its dependents and its finalizers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PropagationPolicy;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Present,
    Absent,
    /// It is being deleted, and waits for its dependents to go first.
    Waiting,
}

pub(super) struct View<'a> {
    pub(super) meta: &'a ObjectMeta,
    pub(super) owners: Vec<(OwnerReference, Owner)>,
    pub(super) dependents: &'a [&'a ObjectMeta],
}

#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Delete(PropagationPolicy),
    KeepOwners(Vec<OwnerReference>),
    KeepFinalizers(Vec<String>),
    /// Takes this object out of a dependent's owners.
    Orphan {
        dependent: usize,
        owners: Vec<OwnerReference>,
    },
}

pub(super) fn waits_for_dependents(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() && has(meta, FOREGROUND)
}

fn has(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|known| known == finalizer)
}

fn without(meta: &ObjectMeta, finalizer: &str) -> Action {
    Action::KeepFinalizers(meta.finalizers.iter().flatten().filter(|known| *known != finalizer).cloned().collect())
}

fn blocks(dependent: &ObjectMeta, owner_uid: Option<&String>) -> bool {
    let references = dependent.owner_references.iter().flatten();
    let mut ours = references.filter(|reference| Some(&reference.uid) == owner_uid);
    ours.any(|reference| reference.block_owner_deletion == Some(true))
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if view.meta.deletion_timestamp.is_some() {
        return plan_ending(view);
    }
    let of = |wanted: Owner| view.owners.iter().filter(move |(_, owner)| *owner == wanted);
    if view.owners.is_empty() {
        return Vec::new();
    }
    if of(Owner::Present).next().is_some() {
        // It has a home: those who are leaving it do not matter any more.
        let present: Vec<OwnerReference> = of(Owner::Present).map(|(reference, _)| reference.clone()).collect();
        return if present.len() < view.owners.len() { vec![Action::KeepOwners(present)] } else { Vec::new() };
    }
    if of(Owner::Waiting).next().is_some() && !view.dependents.is_empty() {
        return plan_foreground(view);
    }
    let policy = match (has(view.meta, ORPHAN), has(view.meta, FOREGROUND)) {
        (true, _) => PropagationPolicy::Orphan,
        (false, true) => PropagationPolicy::Foreground,
        (false, false) => PropagationPolicy::Background,
    };
    vec![Action::Delete(policy)]
}

/// Its owner waits, and it has dependents itself: they go first too. In a circle, nobody would ever be first.
fn plan_foreground(view: &View<'_>) -> Vec<Action> {
    let uid = view.meta.uid.as_ref();
    let mut actions = Vec::new();
    let is_circle = view.dependents.iter().any(|dependent| waits_for_dependents(dependent) && blocks(dependent, uid));
    if is_circle {
        let unblocked = view.owners.iter().map(|(reference, _)| OwnerReference {
            block_owner_deletion: reference.block_owner_deletion.map(|_| false),
            ..reference.clone()
        });
        actions.push(Action::KeepOwners(unblocked.collect()));
    }
    actions.push(Action::Delete(PropagationPolicy::Foreground));
    actions
}

fn plan_ending(view: &View<'_>) -> Vec<Action> {
    if has(view.meta, ORPHAN) {
        let mut actions: Vec<Action> = (0..view.dependents.len()).map(|idx| orphan(view, idx)).collect();
        actions.push(without(view.meta, ORPHAN));
        return actions;
    }
    let uid = view.meta.uid.as_ref();
    let is_blocked = view.dependents.iter().any(|dependent| blocks(dependent, uid));
    if has(view.meta, FOREGROUND) && !is_blocked {
        return vec![without(view.meta, FOREGROUND)];
    }
    Vec::new()
}

fn orphan(view: &View<'_>, dependent: usize) -> Action {
    let owners = view.dependents[dependent].owner_references.iter().flatten();
    let others = owners.filter(|owner| Some(&owner.uid) != view.meta.uid.as_ref());
    Action::Orphan { dependent, owners: others.cloned().collect() }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn meta(uid: &str, finalizers: &[&str], is_ending: bool) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.into()),
            finalizers: Some(finalizers.iter().map(|f| (*f).to_owned()).collect()),
            deletion_timestamp: is_ending.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        }
    }

    fn reference(uid: &str, is_blocking: bool) -> OwnerReference {
        OwnerReference { uid: uid.into(), block_owner_deletion: Some(is_blocking), ..OwnerReference::default() }
    }

    fn dependent(uid: &str, finalizers: &[&str], is_ending: bool, owners: Vec<OwnerReference>) -> ObjectMeta {
        ObjectMeta { owner_references: Some(owners), ..meta(uid, finalizers, is_ending) }
    }

    fn planned(meta: &ObjectMeta, owners: &[(&str, Owner)], dependents: &[&ObjectMeta]) -> Vec<Action> {
        let owners = owners.iter().map(|(uid, owner)| (reference(uid, true), *owner)).collect();
        plan(&View { meta, owners, dependents })
    }

    #[test]
    fn what_has_no_owner_left_is_deleted() {
        let object = meta("a", &[], false);
        assert_eq!(planned(&object, &[], &[]), []);
        assert_eq!(planned(&object, &[("o", Owner::Present)], &[]), []);
        assert_eq!(planned(&object, &[("o", Owner::Absent)], &[]), [Action::Delete(PropagationPolicy::Background)]);
        let orphaning = meta("a", &[ORPHAN], false);
        assert_eq!(planned(&orphaning, &[("o", Owner::Absent)], &[]), [Action::Delete(PropagationPolicy::Orphan)]);
    }

    #[test]
    fn one_owner_is_enough_and_the_others_are_dropped() {
        let owners = [("gone", Owner::Absent), ("here", Owner::Present), ("going", Owner::Waiting)];
        let kept = Action::KeepOwners(vec![reference("here", true)]);
        assert_eq!(planned(&meta("a", &[], false), &owners, &[]), [kept]);
    }

    #[test]
    fn an_owner_that_waits_is_let_go_when_nobody_blocks_it() {
        let owner = meta("o", &["mine", FOREGROUND], true);
        let blocking = dependent("a", &[], false, vec![reference("o", true)]);
        let free = dependent("b", &[], false, vec![reference("o", false)]);
        assert_eq!(planned(&owner, &[], &[&blocking, &free]), []);
        assert_eq!(planned(&owner, &[], &[&free]), [Action::KeepFinalizers(vec!["mine".into()])]);
    }

    #[test]
    fn the_dependents_of_one_that_waits_are_deleted_and_theirs_before() {
        let object = meta("a", &[], false);
        assert_eq!(planned(&object, &[("o", Owner::Waiting)], &[]), [Action::Delete(PropagationPolicy::Background)]);
        let below = dependent("b", &[], false, vec![reference("a", true)]);
        assert_eq!(
            planned(&object, &[("o", Owner::Waiting)], &[&below]),
            [Action::Delete(PropagationPolicy::Foreground)]
        );
    }

    #[test]
    fn a_circle_is_cut() {
        let object = meta("a", &[], false);
        let below = dependent("b", &[FOREGROUND], true, vec![reference("a", true)]);
        let actions = planned(&object, &[("b", Owner::Waiting)], &[&below]);
        let unblocked = Action::KeepOwners(vec![reference("b", false)]);
        assert_eq!(actions, [unblocked, Action::Delete(PropagationPolicy::Foreground)]);
    }

    #[test]
    fn orphans_keep_their_other_owners() {
        let owner = meta("o", &[ORPHAN], true);
        let one = dependent("a", &[], false, vec![reference("o", true), reference("p", true)]);
        let actions = planned(&owner, &[], &[&one]);
        let orphan = Action::Orphan { dependent: 0, owners: vec![reference("p", true)] };
        assert_eq!(actions, [orphan, Action::KeepFinalizers(Vec::new())]);
    }

    #[test]
    fn what_is_already_being_deleted_is_left_alone() {
        assert_eq!(planned(&meta("a", &["mine"], true), &[("o", Owner::Absent)], &[]), []);
    }
}
