//! Seeded runs of the loops' plans in a world with lag, conflicts, lost messages, failures and restarts. Chance comes from
//! the seed and time from the steps, so that a seed, which a failure names, repeats its run.

mod cluster;
mod invariants;
mod machines;
mod random;
mod table;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use self::invariants::Invariants;
use self::machines::{Flaws, Machines};
pub(crate) use self::table::{Table, of_app, of_owner, of_uid};
use self::world::Weather;
pub(crate) use self::world::{Kept, NAMESPACE, Refusal, World};
use crate::{budget, cron_job, daemon_set, deployment, garbage, job, replica_set, stateful_set};

const N_NODES: usize = 4;
const N_STEPS: usize = 1500;
const N_SEEDS: u64 = 60;
/// Looks at everything after which a world without weather must have settled.
const ROUNDS_MAX: usize = 400;
const N_STEADY: i32 = 4;
const N_STEADY_MIN: i32 = 3;

/// What a run is like.
#[derive(Clone, Copy)]
struct Climate {
    weather: Weather,
    flaws: Flaws,
    has_node_deaths: bool,
}

/// Only the loops themselves take pods away.
const CALM: Climate = Climate {
    weather: Weather { lost_request: 20, lost_answer: 0, crash: 60 },
    flaws: Flaws { fails_at_start: 5, flaps: 0, fails_in_job: 5 },
    has_node_deaths: false,
};
const ROUGH: Climate = Climate {
    weather: Weather { lost_request: 20, lost_answer: 0, crash: 60 },
    flaws: Flaws { fails_at_start: 4, flaps: 10, fails_in_job: 4 },
    has_node_deaths: true,
};
/// What was done may look undone to whoever did it, and is not done twice all the same.
const STORM: Climate = Climate {
    weather: Weather { lost_request: 10, lost_answer: 10, crash: 30 },
    flaws: Flaws { fails_at_start: 3, flaps: 6, fails_in_job: 3 },
    has_node_deaths: true,
};

struct Simulation {
    world: World,
    machines: Machines,
    invariants: Invariants,
    climate: Climate,
}

fn read<K: serde::de::DeserializeOwned>(name: &str, spec: &Value) -> K {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

fn template(app: &str, policy: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}},
        "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "v0"}]}})
}

fn workload(app: &str, replicas: i32, strategy: &Value) -> Value {
    json!({"replicas": replicas, "strategy": strategy, "revisionHistoryLimit": 3,
        "selector": {"matchLabels": {"app": app}}, "template": template(app, "Always")})
}

impl Simulation {
    fn new(seed: u64, climate: Climate) -> Self {
        let mut world = World::new(seed, climate.weather);
        let mut machines = Machines::default();
        (0..N_NODES).for_each(|_| machines.add(&mut world));
        let surge = world.random.below(3);
        let unavailable = if surge == 0 { 1 + world.random.below(2) } else { world.random.below(2) };
        let rolling = json!({"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        world.insert::<Deployment>(read("web", &workload("web", 5, &rolling))).unwrap();
        world.insert::<Deployment>(read("steady", &workload("steady", N_STEADY, &rolling))).unwrap();
        let pdb = json!({"minAvailable": N_STEADY_MIN, "selector": {"matchLabels": {"app": "steady"}}});
        world.insert::<PodDisruptionBudget>(read("steady", &pdb)).unwrap();
        let policy = if world.random.one_in(2) { "Parallel" } else { "OrderedReady" };
        let stateful = json!({"replicas": 3, "serviceName": "db", "podManagementPolicy": policy,
            "selector": {"matchLabels": {"app": "db"}}, "template": template("db", "Always"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}});
        world.insert::<StatefulSet>(read("db", &stateful)).unwrap();
        let daemon = json!({"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent", "Always"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}});
        world.insert::<DaemonSet>(read("agent", &daemon)).unwrap();
        let old = json!({"replicas": 2, "selector": {"app": "old"}, "template": template("old", "Always")});
        world.insert::<ReplicationController>(read("old", &old)).unwrap();
        let policy = world.random.pick(&["Allow", "Forbid", "Replace"]).unwrap();
        let cron = json!({"schedule": "*/5 * * * *", "concurrencyPolicy": policy, "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1, "jobTemplate": {"spec": {"completions": 2, "parallelism": 2,
                "backoffLimit": 1000, "selector": {"matchLabels": {"app": "cron"}},
                "template": template("cron", "Never")}}});
        world.insert::<CronJob>(read("cron", &cron)).unwrap();
        let mode = if world.random.one_in(2) { "Indexed" } else { "NonIndexed" };
        let job = json!({"completions": 8, "parallelism": 3, "backoffLimit": 1000, "completionMode": mode,
            "suspend": false, "podReplacementPolicy": "TerminatingOrFailed",
            "selector": {"matchLabels": {"app": "job"}}, "template": template("job", "Never")});
        world.insert::<Job>(read("job", &job)).unwrap();
        let is_calm = !climate.has_node_deaths && climate.flaws.flaps == 0;
        let invariants = Invariants { is_calm, ..Invariants::default() };
        Self { world, machines, invariants, climate }
    }

    fn step(&mut self) {
        self.world.deliver_late();
        match self.world.random.below(100) {
            0..40 => self.world.deliver_one(),
            40 => self.world.lose_a_watch(),
            41..70 => self.look(),
            70..94 => self.run_a_pod(),
            94..96 => self.drain_one(),
            96 => drop(garbage::simulated::collect(&mut self.world)),
            97 => self.change_a_template(),
            98 if self.climate.has_node_deaths => self.machines.disturb(&mut self.world),
            _ => self.world.restart_controllers(),
        }
        if self.world.is_crashed {
            self.world.restart_controllers();
        }
        self.invariants.check(&self.world, &self.machines);
    }

    /// A loop looks at one of its objects. What it cannot do now, it will on another look.
    fn look(&mut self) {
        let world = &mut self.world;
        let idx = world.random.below(LOOKS.len());
        let Look { names, look, .. } = LOOKS[idx];
        let names = names(world);
        if let Some(name) = world.random.pick(&names) {
            let _ = look(world, &name);
        }
    }

    fn run_a_pod(&mut self) {
        let names: Vec<String> = self.world.pods.all_actual().filter_map(|pod| pod.metadata.name.clone()).collect();
        if let Some(name) = self.world.random.pick(&names) {
            self.machines.look(&mut self.world, &name, self.climate.flaws);
        }
    }

    /// Somebody who empties a node asks for a pod to be evicted.
    fn drain_one(&mut self) {
        let is_steady = |pod: &&std::sync::Arc<_>| invariants::label(pod) == Some("steady");
        let pods: Vec<_> = self.world.pods.all_actual().filter(is_steady).cloned().collect();
        if let Some(pod) = self.world.random.pick(&pods).filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            budget::simulated::evict(&mut self.world, &pod);
        }
    }

    fn change_a_template(&mut self) {
        let world = &mut self.world;
        let image = format!("v{}", world.random.below(3));
        match world.random.below(3) {
            0 => {
                let mut web = (*world.deployments.actual("web").unwrap()).clone();
                set_image(&mut web.spec.template, image);
                web.metadata.generation = web.metadata.generation.map(|n| n + 1);
                world.put(web);
            }
            1 => {
                let mut set = (*world.stateful_sets.actual("db").unwrap()).clone();
                set_image(&mut set.spec.template, image);
                set.metadata.generation = set.metadata.generation.map(|n| n + 1);
                world.put(set);
            }
            _ => {
                let mut set = (*world.daemon_sets.actual("agent").unwrap()).clone();
                set_image(&mut set.spec.template, image);
                set.metadata.generation = set.metadata.generation.map(|n| n + 1);
                world.put(set);
            }
        }
    }

    /// One look of everybody at everything, in good weather.
    fn round(&mut self) {
        self.world.deliver_all();
        for Look { names, look, .. } in LOOKS {
            for name in names(&self.world) {
                self.world.deliver_all();
                let _ = look(&mut self.world, &name);
            }
        }
        let _ = garbage::simulated::collect(&mut self.world);
        let names: Vec<String> = self.world.pods.all_actual().filter_map(|pod| pod.metadata.name.clone()).collect();
        names.iter().for_each(|name| self.machines.look(&mut self.world, name, Flaws::default()));
        self.invariants.check(&self.world, &self.machines);
    }
}

fn set_image(template: &mut k8s_openapi::api::core::v1::PodTemplateSpec, image: String) {
    template.spec.as_mut().unwrap().containers[0].image = Some(image);
}

/// A loop as the simulation runs it.
#[derive(Clone, Copy)]
struct Look {
    kind: &'static str,
    names: fn(&World) -> Vec<String>,
    look: fn(&mut World, &str) -> Result<(), Refusal>,
}

macro_rules! looks {
    ($($kind:ident in $table:ident by $look:expr,)*) => {
        [$(Look { kind: $kind::KIND, names: |world| world.$table.names_seen(), look: $look }),*]
    };
}

const LOOKS: [Look; 8] = looks![
    ReplicaSet in replica_sets by replica_set::simulated::look::<ReplicaSet>,
    ReplicationController in replication_controllers by replica_set::simulated::look::<ReplicationController>,
    Deployment in deployments by deployment::simulated::look,
    StatefulSet in stateful_sets by stateful_set::simulated::look,
    DaemonSet in daemon_sets by daemon_set::simulated::look,
    Job in jobs by job::simulated::look,
    CronJob in cron_jobs by cron_job::simulated::look,
    PodDisruptionBudget in budgets by budget::simulated::look,
];

async fn pass(world: &mut World, time: Duration) {
    tokio::time::advance(time).await;
    world.now += time;
}

async fn run(seed: u64, climate: Climate) {
    let mut simulation = Simulation::new(seed, climate);
    for step in 0..N_STEPS {
        let outcome = catch_unwind(AssertUnwindSafe(|| simulation.step()));
        if let Err(panic) = outcome {
            eprintln!("seed {seed} fails at step {step}");
            resume_unwind(panic);
        }
        let ms = simulation.world.random.below(2000);
        pass(&mut simulation.world, Duration::from_millis(u64::try_from(ms).unwrap())).await;
    }
    simulation.world.weather = Weather::default();
    simulation.machines.mend_all(&simulation.world);
    let mut last = Ok(());
    for _ in 0..ROUNDS_MAX {
        simulation.round();
        last = invariants::settled(&simulation.world);
        if last.is_ok() {
            return;
        }
        pass(&mut simulation.world, Duration::from_secs(30)).await;
    }
    panic!("seed {seed} never settled: {}", last.unwrap_err());
}

/// The seeds of a test: `SIMULATION_SEED` alone or, as `from..to`, a range of them; otherwise as many as fit into a test.
fn seeds(n_seeds: u64) -> std::ops::Range<u64> {
    let Ok(chosen) = std::env::var("SIMULATION_SEED") else { return 0..n_seeds };
    let number = |text: &str| text.parse::<u64>().expect("SIMULATION_SEED is a number or two, as in 0..2000");
    match chosen.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&chosen)..number(&chosen) + 1,
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_missing_by_the_doing_of_the_loops() {
    for seed in seeds(N_SEEDS) {
        run(seed, CALM).await;
    }
}

#[tokio::test(start_paused = true)]
async fn node_deaths_and_flapping_pods_are_made_good() {
    for seed in seeds(N_SEEDS) {
        run(seed, ROUGH).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_restarts_do_no_harm() {
    for seed in seeds(N_SEEDS) {
        run(seed, STORM).await;
    }
}
