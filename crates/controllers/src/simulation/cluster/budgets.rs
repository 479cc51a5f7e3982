//! Nothing is taken away that a budget or a rollout may not spare: what is missing beyond that was lost by no loop's doing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::super::invariants;
use super::super::table::{Change, of_app};
use super::super::world::World;
use super::counts::Counts;
use super::work::{GUARDED, ROLLED};
use crate::{budget, pods};

/// A pod that became ready later than this is unready still for whoever takes away.
const UNSEEN_MAX: Duration = Duration::from_secs(60);
/// What was lost for less may not have come to the ears of whoever takes away: pods, sets and the loops' own delay.
const UNHEARD_MAX: Duration = Duration::from_secs(200);

#[derive(Default)]
pub(super) struct Budgets {
    /// How many pods of an app serve.
    serving: BTreeMap<String, i32>,
    /// When one was lost by nobody's doing.
    lost: BTreeMap<String, VecDeque<Timestamp>>,
    pub(super) n_taken: usize,
}

fn is_serving(pod: &Pod) -> bool {
    pods::is_active(pod) && pods::is_ready(pod)
}

impl Budgets {
    /// Accounts for what changed in a step; `taken` is what loops and evictions deleted in it.
    pub(super) fn check(&mut self, world: &World, counts: &Counts, changes: &[Change<Pod>], taken: &[Arc<Pod>]) {
        let now = world.now;
        let taken: BTreeSet<&str> = taken.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        let mut spent = BTreeSet::new();
        for (old, new) in changes {
            let Some(pod) = new.as_ref().or(old.as_ref()) else { continue };
            let Some(app) = invariants::label(pod).filter(|app| app.starts_with(GUARDED) || app.starts_with(ROLLED))
            else {
                continue;
            };
            let is = |pod: &Option<Arc<Pod>>| pod.as_ref().is_some_and(|pod| is_serving(pod));
            let (was, is) = (is(old), is(new));
            *self.serving.entry(app.to_owned()).or_default() += i32::from(is) - i32::from(was);
            if was && !is {
                let was_seen = old.as_ref().is_some_and(|pod| pods::is_available(pod, UNSEEN_MAX, now));
                if taken.contains(pod.metadata.uid.as_deref().unwrap()) && was_seen {
                    spent.insert(app.to_owned());
                    self.n_taken += 1;
                } else {
                    self.lost.entry(app.to_owned()).or_default().push_back(now);
                }
            }
        }
        spent.iter().for_each(|app| self.check_one(world, counts, app));
    }

    fn check_one(&mut self, world: &World, counts: &Counts, app: &str) {
        let now = world.now;
        let lost = self.lost.entry(app.to_owned()).or_default();
        while lost.front().is_some_and(|at| *at + UNHEARD_MAX < now) {
            lost.pop_front();
        }
        let n_lost = i32::try_from(lost.len()).unwrap();
        let n_serving = self.serving[app];
        let n_actual = world.pods.actual_marked(&of_app(app)).iter().filter(|pod| is_serving(pod)).count();
        assert_eq!(i32::try_from(n_actual), Ok(n_serving), "{app} was counted wrongly");
        let deployment = world.deployments.actual(app).unwrap();
        let n_min = match world.budgets.actual(app) {
            Some(budget) => budget::simulated::n_healthy_wanted(&budget),
            None => counts.bounds(&deployment, now).1,
        };
        assert!(
            n_serving + n_lost >= n_min,
            "{app} has {n_serving} serving pods and lost {n_lost}, at least {n_min} must be"
        );
    }
}
