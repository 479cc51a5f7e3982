//! A pod under test: events go in, short words for the actions come out.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as core;

use crate::lifecycle::*;

pub(super) struct Rig {
    pub pod: core::Pod,
    pub state: State,
    pub now: Timestamp,
    began: Timestamp,
}

/// A pod of this spec.
pub(super) fn pod(spec: &str) -> core::Pod {
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
    let metadata = serde_json::json!({"name": "p", "namespace": "default", "uid": "u"});
    serde_json::from_value(serde_json::json!({"metadata": metadata, "spec": spec})).unwrap()
}

impl Rig {
    pub(super) fn new(pod: core::Pod) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        Self { state: adopt(&pod, now), pod, now, began: now }
    }

    pub(super) fn bring_up(&mut self) {
        self.tick();
        self.prepared();
        for planned in self.state.plan.clone().containers.iter() {
            self.run(&planned.name);
        }
    }

    pub(super) fn event(&mut self, event: Event) -> Vec<String> {
        let (state, actions) = step(self.state.clone(), event, self.now);
        self.state = state;
        actions.iter().map(|action| self.word(action)).collect()
    }

    fn word(&self, action: &Action) -> String {
        let name = |container: &usize| &self.state.plan.containers[*container].name;
        match action {
            Action::Prepare => "prepare".into(),
            Action::Pull { container } => format!("pull {}", name(container)),
            Action::Start { container, attempt } => format!("start {}#{attempt}", name(container)),
            Action::RunHook { container, .. } => format!("hook {}", name(container)),
            Action::Probe { container, kind, .. } => format!("{} {}", kind.title(), name(container)),
            Action::Terminate { container } => format!("terminate {}", name(container)),
            Action::Kill { container } => format!("kill {}", name(container)),
            Action::Notify(notice) => notice.reason.into(),
            Action::Release => "release".into(),
            Action::Remove => "remove".into(),
        }
    }

    fn idx(&self, name: &str) -> usize {
        self.state.plan.containers.iter().position(|planned| planned.name == name).unwrap()
    }

    pub(super) fn tick(&mut self) -> Vec<String> {
        self.event(Event::Tick)
    }

    pub(super) fn prepared(&mut self) -> Vec<String> {
        self.event(Event::Prepared { addresses: vec!["10.244.0.2".parse().unwrap()] })
    }

    pub(super) fn pulled(&mut self, name: &str) -> Vec<String> {
        self.event(Event::Pulled { container: self.idx(name), image_id: "sha256:1".into() })
    }

    pub(super) fn started(&mut self, name: &str) -> Vec<String> {
        self.event(Event::Started { container: self.idx(name), id: format!("coracle://{name}") })
    }

    /// From pulled to running.
    pub(super) fn run(&mut self, name: &str) -> Vec<String> {
        self.pulled(name);
        self.started(name)
    }

    pub(super) fn exit(&mut self, name: &str, exit_code: i32) -> Vec<String> {
        let container = self.idx(name);
        let cell = &self.state.cells[container];
        let terminated = Terminated {
            exit_code,
            reason: if exit_code == 0 { "Completed" } else { "Error" }.into(),
            message: None,
            started_at: cell.running_since(),
            finished_at: self.now,
            id: cell.id.clone(),
        };
        self.event(Event::Exited { container, attempt: cell.attempt, terminated })
    }

    pub(super) fn probed(&mut self, name: &str, kind: ProbeKind, ok: bool) -> Vec<String> {
        let container = self.idx(name);
        let outcome = if ok { Outcome::Success } else { Outcome::Failure("refused".into()) };
        self.event(Event::Probed { container, attempt: self.state.cells[container].attempt, kind, outcome })
    }

    pub(super) fn delete(&mut self, grace_s: u64) -> Vec<String> {
        self.event(Event::DeletionRequested { grace: std::time::Duration::from_secs(grace_s) })
    }

    pub(super) fn change(&mut self, pod: core::Pod) -> Vec<String> {
        let plan = Arc::new(Plan::of(&pod));
        self.event(Event::Changed { plan, gates: gates(&pod) })
    }

    pub(super) fn pass(&mut self, seconds: i64) -> Vec<String> {
        self.now += SignedDuration::from_secs(seconds);
        self.tick()
    }

    /// Sleeps until the machine wants to be asked.
    pub(super) fn sleep(&mut self) -> Vec<String> {
        self.now = self.now.max(wake(&self.state).expect("the machine waits for a time"));
        self.tick()
    }

    pub(super) fn wake_s(&self) -> Option<i64> {
        wake(&self.state).map(|wake| wake.duration_since(self.began).as_secs())
    }

    pub(super) fn elapsed_s(&self) -> i64 {
        self.now.duration_since(self.began).as_secs()
    }

    pub(super) fn status(&self) -> core::PodStatus {
        let surroundings = Surroundings { pod: &self.pod, host_addresses: &[], previous: &[] };
        status(&self.state, surroundings, self.now)
    }

    pub(super) fn phase(&self) -> String {
        self.status().phase.unwrap()
    }

    pub(super) fn condition(&self, kind: &str) -> String {
        let conditions = self.status().conditions.unwrap();
        let found = conditions.into_iter().find(|known| known.type_ == kind).unwrap();
        let words = [Some(found.status), found.reason, found.message];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    pub(super) fn container(&self, name: &str) -> core::ContainerStatus {
        let status = self.status();
        let mut all = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
        all.find(|known| known.name == name).unwrap()
    }

    /// A container's status in words.
    pub(super) fn seen(&self, name: &str) -> String {
        let seen = self.container(name);
        let state = seen.state.unwrap_or_default();
        let mut words = if let Some(waiting) = state.waiting {
            format!("waiting {} {}", waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default())
        } else if let Some(ended) = state.terminated {
            format!("terminated {} {}", ended.reason.unwrap_or_default(), ended.exit_code)
        } else {
            "running".to_owned()
        };
        words.truncate(words.trim_end().len());
        if seen.ready {
            words.push_str(" ready");
        }
        words
    }
}
