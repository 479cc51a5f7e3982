//! A job's life, look by look.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::plan::{Creation, plan};
use super::track::{Done, conclude, track};
use super::*;

struct World {
    job: Job,
    pods: BTreeMap<String, Pod>,
    backoff: Backoff,
    now: i64,
    n_made: usize,
}

impl World {
    fn new(spec: Value) -> Self {
        let mut all = json!({"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed",
            "suspend": false, "podReplacementPolicy": "TerminatingOrFailed",
            "selector": {"matchLabels": {"job": "j"}},
            "template": {"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}});
        for (field, value) in spec.as_object().unwrap() {
            all[field] = value.clone();
        }
        let job = json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "j", "namespace": "n", "uid": "j"}, "spec": all});
        Self {
            job: serde_json::from_value(job).unwrap(),
            pods: BTreeMap::new(),
            backoff: Backoff::default(),
            now: 1000,
            n_made: 0,
        }
    }

    fn set(&mut self, spec: Value) {
        let mut job = serde_json::to_value(&self.job).unwrap();
        for (field, value) in spec.as_object().unwrap() {
            job["spec"][field] = value.clone();
        }
        self.job = serde_json::from_value(job).unwrap();
    }

    /// One look, with everything done that it asks for; returns what was made and deleted.
    fn look(&mut self) -> (Vec<Creation>, usize) {
        let pods: Vec<Arc<Pod>> = self.pods.values().cloned().map(Arc::new).collect();
        let released = HashSet::new();
        let now = Timestamp::from_second(self.now).unwrap();
        let view = View { job: &self.job, pods: &pods, released: &released, backoff: self.backoff, now };
        let plan = plan(&view, true);
        let n_deleted = plan.delete.len();
        let done = Done {
            n_created: i32::try_from(plan.create.len()).unwrap(),
            n_deleted: i32::try_from(n_deleted).unwrap(),
            n_ready_deleted: 0,
            is_whole: true,
        };
        let tracking = track(&view, &plan, done);
        let gone: HashSet<String> = tracking.release.iter().map(|pod| uid(pod).to_owned()).collect();
        let still: HashSet<&str> =
            pods.iter().filter(|p| view.is_tracked(p) && !gone.contains(uid(p))).map(|p| uid(p)).collect();
        let (status, _) = conclude(tracking.status, |uid| still.contains(uid), tracking.end.as_ref());
        self.backoff = plan.backoff;
        for pod in self.pods.values_mut().filter(|pod| gone.contains(uid(pod))) {
            pod.metadata.finalizers = None;
        }
        for pod in &plan.delete {
            self.pods.remove(uid(pod));
        }
        self.job.status = Some(status);
        for creation in &plan.create {
            self.n_made += 1;
            let mut pod = pod::pod(&self.job, creation);
            let name = format!("p{}", self.n_made);
            pod.metadata.name = Some(name.clone());
            pod.metadata.uid = Some(name.clone());
            pod.status = Some(serde_json::from_value(json!({"phase": "Pending"})).unwrap());
            self.pods.insert(name, pod);
        }
        (plan.create, n_deleted)
    }

    fn n_made(&mut self) -> usize {
        self.look().0.len()
    }

    fn end(&mut self, name: &str, phase: &str, code: i32) {
        let at = Timestamp::from_second(self.now).unwrap().to_string();
        let status = json!({"phase": phase, "containerStatuses": [{"name": "c", "ready": false, "restartCount": 0,
            "image": "i", "imageID": "", "state": {"terminated": {"exitCode": code, "finishedAt": at}}}]});
        self.pods.get_mut(name).unwrap().status = Some(serde_json::from_value(status).unwrap());
    }

    fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap()
    }

    fn conditions(&self) -> Vec<String> {
        let said = |c: &JobCondition| {
            format!("{}={} {}: {}", c.type_, c.status, c.reason.clone().unwrap(), c.message.clone().unwrap())
        };
        self.status().conditions.iter().flatten().map(said).collect()
    }
}

#[test]
fn a_job_runs_its_pod_and_is_complete() {
    let mut world = World::new(json!({}));
    assert_eq!(world.n_made(), 1);
    assert_eq!((world.status().active, world.status().ready), (Some(1), Some(0)));
    assert!(world.pods["p1"].metadata.finalizers.as_ref().unwrap().contains(&FINALIZER.to_owned()));
    world.end("p1", "Succeeded", 0);
    assert_eq!(world.n_made(), 0);
    let reached = "CompletionsReached: Reached expected number of succeeded pods";
    assert_eq!(world.conditions(), [format!("SuccessCriteriaMet=True {reached}"), format!("Complete=True {reached}")]);
    let status = world.status();
    assert_eq!((status.succeeded, status.active, status.failed), (Some(1), None, None));
    assert!(status.completion_time.is_some() && is_finished(&world.job));
    assert_eq!(world.pods["p1"].metadata.finalizers, None);
}

#[test]
fn as_many_run_at_once_as_are_wanted_and_missing() {
    let mut world = World::new(json!({"parallelism": 2, "completions": 3}));
    assert_eq!(world.n_made(), 2);
    world.end("p1", "Succeeded", 0);
    assert_eq!(world.n_made(), 1);
    world.end("p2", "Succeeded", 0);
    assert_eq!(world.n_made(), 0, "one runs, one is missing");
    world.set(json!({"parallelism": 0}));
    assert_eq!(world.look().1, 1);
    assert_eq!(world.status().failed, None, "a pod that is taken away has not failed");
}

#[test]
fn a_work_queue_is_done_when_one_succeeded_and_the_others_ended() {
    let mut world = World::new(json!({"parallelism": 2, "completions": null}));
    assert_eq!(world.n_made(), 2);
    world.end("p1", "Succeeded", 0);
    assert_eq!(world.n_made(), 0);
    assert!(!is_finished(&world.job));
    world.end("p2", "Succeeded", 0);
    world.look();
    assert!(is_finished(&world.job));
}

#[test]
fn failures_are_retried_slower_and_slower_up_to_a_limit() {
    let mut world = World::new(json!({"backoffLimit": 1}));
    world.look();
    world.end("p1", "Failed", 1);
    assert_eq!(world.n_made(), 0, "ten seconds have to pass");
    assert_eq!(world.status().failed, Some(1));
    world.now += 11;
    assert_eq!(world.n_made(), 1);
    world.end("p2", "Failed", 1);
    world.look();
    let limit = "BackoffLimitExceeded: Job has reached the specified backoff limit";
    assert_eq!(world.conditions(), [format!("FailureTarget=True {limit}"), format!("Failed=True {limit}")]);
    assert_eq!(world.status().failed, Some(2));
}

#[test]
fn a_job_has_so_long_and_no_longer() {
    let mut world = World::new(json!({"activeDeadlineSeconds": 5}));
    world.look();
    world.now += 5;
    assert_eq!(world.look().1, 1);
    // The pods that were deleted are seen to be gone.
    world.look();
    assert!(world.conditions()[1].starts_with("Failed=True DeadlineExceeded: Job was active longer"));
    assert_eq!(world.status().failed, Some(1));
}

#[test]
fn a_suspended_job_has_no_pods_and_starts_anew() {
    let mut world = World::new(json!({"suspend": true}));
    assert_eq!(world.n_made(), 0);
    assert_eq!(world.conditions(), ["Suspended=True JobSuspended: Job suspended"]);
    assert_eq!(world.status().start_time, None);
    world.set(json!({"suspend": false}));
    assert_eq!(world.n_made(), 1);
    assert_eq!(world.conditions(), ["Suspended=False JobResumed: Job resumed"]);
    world.set(json!({"suspend": true}));
    assert_eq!(world.look().1, 1);
}

#[test]
fn each_index_runs_once() {
    let mut world = World::new(json!({"completionMode": "Indexed", "completions": 3, "parallelism": 3}));
    let indexes: Vec<Option<i32>> = world.look().0.iter().map(|creation| creation.index).collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(2)]);
    assert_eq!(world.pods["p2"].spec.as_ref().unwrap().hostname.as_deref(), Some("j-1"));
    world.end("p1", "Succeeded", 0);
    world.end("p3", "Succeeded", 0);
    world.look();
    let status = world.status();
    assert_eq!((status.completed_indexes.as_deref(), status.succeeded, status.active), (Some("0,2"), Some(2), Some(1)));
    world.end("p2", "Failed", 1);
    world.look();
    world.now += 11;
    assert_eq!(world.look().0[0].index, Some(1));
}

#[test]
fn an_index_has_a_limit_of_its_own() {
    let mut world = World::new(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2,
        "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX}));
    world.look();
    world.end("p1", "Failed", 1);
    world.look();
    assert_eq!(world.status().failed, None, "it waits for the next of its index");
    world.now += 11;
    assert_eq!(world.look().0, [Creation { index: Some(0), n_failures: 1, n_ignored: 0 }]);
    world.end("p3", "Failed", 1);
    world.look();
    assert_eq!(world.status().failed_indexes.as_deref(), Some("0"));
    world.end("p2", "Succeeded", 0);
    world.look();
    assert!(world.conditions()[1].starts_with("Failed=True FailedIndexes: Job has failed indexes"));
    assert_eq!((world.status().failed, world.status().succeeded), (Some(2), Some(1)));
}

#[test]
fn a_policy_says_what_a_failure_means() {
    let policy = |action: &str| {
        json!({"podFailurePolicy": {"rules": [
            {"action": action, "onExitCodes": {"operator": "In", "values": [42]}}]}, "podReplacementPolicy": "Failed"})
    };
    let mut world = World::new(policy("FailJob"));
    world.look();
    world.end("p1", "Failed", 42);
    world.look();
    let why = "PodFailurePolicy: Container c for pod n/p1 failed with exit code 42 matching FailJob rule at index 0";
    assert_eq!(world.conditions()[1], format!("Failed=True {why}"));
    let mut world = World::new(policy("Ignore"));
    world.look();
    world.end("p1", "Failed", 42);
    world.look();
    assert_eq!(world.status().failed, None);
}

#[test]
fn a_success_policy_ends_a_job_early() {
    let mut world = World::new(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2,
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]}}));
    world.look();
    world.end("p1", "Succeeded", 0);
    world.look();
    world.look();
    assert_eq!(world.conditions()[1], "Complete=True SuccessPolicy: Matched rules at index 0");
    assert_eq!((world.status().succeeded, world.status().failed), (Some(1), None));
}

#[test]
fn nothing_is_counted_twice_when_a_look_is_cut_short() {
    let mut world = World::new(json!({"completions": 2}));
    world.look();
    world.end("p1", "Succeeded", 0);
    // The status was written and the pod let go, and then the loop died.
    world.job.status.as_mut().unwrap().uncounted_terminated_pods =
        Some(serde_json::from_value(json!({"succeeded": ["p1"]})).unwrap());
    world.pods.get_mut("p1").unwrap().metadata.finalizers = None;
    assert_eq!(world.n_made(), 1);
    assert_eq!(world.status().succeeded, Some(1));
    world.look();
    assert_eq!(world.status().succeeded, Some(1));
}
