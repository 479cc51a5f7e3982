//! Random lives of random pods, by seed, with what must hold at every step.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::restart::{CRASH_BASE, CRASH_MAX, CRASH_RESET};
use super::*;

const STEPS_MAX: usize = 400;
const SEEDS: u64 = 1000;

/// What the world owes the machine an answer to.
#[derive(Clone, Debug, PartialEq)]
enum Owed {
    Prepare,
    Pull(usize),
    Start(usize),
    Exit(usize, u32),
    Hook(usize, u32, HookKind),
    Probe(usize, u32, ProbeKind),
}

/// A container's ends and restarts.
#[derive(Default)]
struct Crashes {
    ended: Option<Timestamp>,
    restarted: Option<Timestamp>,
    delay: Duration,
}

struct World {
    rng: StdRng,
    now: Timestamp,
    state: State,
    owed: Vec<Owed>,
    /// Containers that run, by index, with their attempt.
    alive: HashMap<usize, u32>,
    crashes: HashMap<usize, Crashes>,
    deleted: bool,
}

fn random_pod(rng: &mut StdRng) -> core::Pod {
    let policy = ["Always", "OnFailure", "Never"][rng.random_range(0..3)];
    let probe = |rng: &mut StdRng| {
        serde_json::json!({"tcpSocket": {"port": 80}, "periodSeconds": rng.random_range(1..20),
            "failureThreshold": rng.random_range(1..4), "initialDelaySeconds": rng.random_range(0..5)})
    };
    let container = |name: String, rng: &mut StdRng| {
        let mut value = serde_json::json!({"name": name, "image": "x"});
        for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
            if rng.random_bool(0.3) {
                value[kind] = probe(rng);
            }
        }
        if rng.random_bool(0.3) {
            value["lifecycle"] = match rng.random_range(0..3) {
                0 => serde_json::json!({"preStop": {"sleep": {"seconds": rng.random_range(0..40)}}}),
                1 => serde_json::json!({"preStop": {"httpGet": {"port": 80}}, "postStart": {"httpGet": {"port": 80}}}),
                _ => serde_json::json!({"preStop": {"exec": {"command": ["x"]}}}),
            };
        }
        value
    };
    let init: Vec<_> = (0..rng.random_range(0..3))
        .map(|idx| {
            let mut value = container(format!("i{idx}"), rng);
            if rng.random_bool(0.5) {
                value["restartPolicy"] = "Always".into();
            }
            value
        })
        .collect();
    let main: Vec<_> = (0..rng.random_range(1..3)).map(|idx| container(format!("c{idx}"), rng)).collect();
    let mut spec = serde_json::json!({"restartPolicy": policy, "initContainers": init, "containers": main});
    if rng.random_bool(0.2) {
        spec["activeDeadlineSeconds"] = rng.random_range(1..300).into();
    }
    serde_json::from_value(serde_json::json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec})).unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let state = adopt(&random_pod(&mut rng), now);
        Self { rng, now, state, owed: vec![], alive: HashMap::new(), crashes: HashMap::new(), deleted: false }
    }

    fn feed(&mut self, event: Event) {
        let before = self.state.clone();
        let (state, actions) = step(before.clone(), event, self.now);
        for (old, new) in before.cells.iter().zip(&state.cells) {
            assert!(new.attempt >= old.attempt, "the restart count never falls");
        }
        self.state = state;
        for action in actions {
            self.carry_out(action);
        }
        if let Some(wake) = wake(&self.state) {
            assert!(wake > self.now, "the machine has done all it can do now");
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Prepare => self.owe(Owed::Prepare),
            Action::Pull { container } => {
                self.is_idle(container);
                self.back_off_is_kept(container);
                self.owe(Owed::Pull(container));
            }
            Action::Start { container, attempt } => {
                self.is_idle(container);
                assert_eq!(attempt, self.state.cells[container].next_attempt());
                self.owe(Owed::Start(container));
            }
            Action::RunHook { container, attempt, kind, .. } => self.owe(Owed::Hook(container, attempt, kind)),
            Action::Probe { container, attempt, kind } => {
                assert_eq!(self.alive.get(&container), Some(&attempt), "only what runs is probed");
                self.owe(Owed::Probe(container, attempt, kind));
            }
            Action::Terminate { container } => assert!(self.alive.contains_key(&container)),
            Action::Kill { container } => {
                let attempt = self.alive[&container];
                let exit = Owed::Exit(container, attempt);
                self.owed.retain(|owed| *owed != exit);
                self.owed.insert(0, exit);
            }
            Action::Notify(_) => {}
            Action::Release => assert!(self.alive.is_empty(), "an address is given back when nobody uses it"),
            Action::Remove => assert!(self.deleted && self.alive.is_empty()),
        }
    }

    fn owe(&mut self, owed: Owed) {
        assert!(!self.owed.contains(&owed), "{owed:?} is asked for once");
        self.owed.push(owed);
    }

    fn is_idle(&self, container: usize) {
        assert!(!self.alive.contains_key(&container), "a container never runs twice");
        assert!(!self.owed.contains(&Owed::Start(container)), "a container is never started twice");
    }

    /// Between an end and the restart after it lies the delay that users know: none, 10 s, 20 s, up to 300 s.
    fn back_off_is_kept(&mut self, container: usize) {
        let crashes = self.crashes.entry(container).or_default();
        let Some(ended) = crashes.ended.take() else { return };
        if crashes.restarted.is_some_and(|restarted| ended.duration_since(restarted) > jiff_time(CRASH_RESET)) {
            crashes.delay = Duration::ZERO;
        }
        assert!(self.now >= ended + crashes.delay, "container {container} restarts after {:?}", crashes.delay);
        crashes.delay = (crashes.delay * 2).clamp(CRASH_BASE, CRASH_MAX);
        crashes.restarted = Some(self.now);
    }

    fn pay(&mut self, idx: usize) {
        let ok = self.rng.random_bool(0.7);
        let event = match self.owed.remove(idx) {
            Owed::Prepare if ok => Event::Prepared { addresses: vec![] },
            Owed::Prepare => Event::PrepareFailed { reason: "FailedMount", message: String::new() },
            Owed::Pull(container) if ok => Event::Pulled { container, image_id: "i".into() },
            Owed::Pull(container) => Event::PullFailed { container, reason: "ErrImagePull", message: "no".into() },
            Owed::Start(container) if ok => {
                let attempt = self.state.cells[container].next_attempt();
                assert_eq!(self.alive.insert(container, attempt), None);
                self.owed.push(Owed::Exit(container, attempt));
                Event::Started { container, id: "id".into() }
            }
            Owed::Start(container) => {
                Event::StartFailed { container, reason: "CreateContainerConfigError", message: "no".into() }
            }
            Owed::Exit(container, attempt) => {
                assert_eq!(self.alive.remove(&container), Some(attempt));
                self.crashes.entry(container).or_default().ended = Some(self.now);
                let started_at = self.state.cells[container].running_since();
                let terminated = Terminated {
                    exit_code: i32::from(!ok),
                    reason: String::new(),
                    message: None,
                    started_at,
                    finished_at: self.now,
                    id: String::new(),
                };
                Event::Exited { container, attempt, terminated }
            }
            Owed::Hook(container, attempt, kind) => {
                Event::HookEnded { container, attempt, kind, outcome: if ok { Ok(()) } else { Err("no".into()) } }
            }
            Owed::Probe(container, attempt, kind) => {
                let outcome = if ok { Outcome::Success } else { Outcome::Failure("no".into()) };
                Event::Probed { container, attempt, kind, outcome }
            }
        };
        self.feed(event);
    }

    fn live(&mut self) {
        self.feed(Event::Tick);
        for n in 0..STEPS_MAX {
            if n == STEPS_MAX / 2 && !self.deleted {
                self.delete();
            }
            match self.rng.random_range(0..10) {
                0 if !self.deleted && self.rng.random_bool(0.05) => self.delete(),
                0..=4 if !self.owed.is_empty() => {
                    let idx = self.rng.random_range(0..self.owed.len());
                    self.pay(idx);
                }
                _ => self.pass(),
            }
        }
    }

    fn delete(&mut self) {
        self.deleted = true;
        let grace = Duration::from_secs(self.rng.random_range(0..60));
        let event = if self.rng.random_bool(0.2) { Event::Vanished } else { Event::DeletionRequested { grace } };
        self.feed(event);
    }

    fn pass(&mut self) {
        let random = self.now + Duration::from_millis(self.rng.random_range(0..20_000));
        self.now = wake(&self.state).map_or(random, |wake| if self.rng.random_bool(0.5) { wake } else { random });
        self.feed(Event::Tick);
    }

    /// Lets everything owed be paid and every deadline pass.
    fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            match wake(&self.state) {
                Some(wake) if self.owed.iter().all(|owed| matches!(owed, Owed::Exit(..))) => {
                    self.now = self.now.max(wake);
                    self.feed(Event::Tick);
                }
                _ if self.owed.is_empty() => return,
                _ => self.pay(0),
            }
        }
    }
}

fn jiff_time(duration: Duration) -> jiff::SignedDuration {
    duration.try_into().unwrap()
}

#[test]
fn every_life_keeps_the_rules_and_ends() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.live();
        world.settle();
        assert!(world.state.removed, "seed {seed}: a deleted pod is removed: {:#?}", world.state);
        assert!(phase(&world.state).is_terminal(), "seed {seed}: its phase is terminal");
    }
}
