//! A cluster of a thousand nodes that die and return, for hours: seconds pass one by one, loops look at what changed, and
//! what must hold is checked with every write. The seed repeats the run.

mod budgets;
mod counts;
mod kubelets;
mod lifecycle;
mod work;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use self::budgets::Budgets;
use self::counts::Counts;
use self::kubelets::Kubelets;
use self::lifecycle::Lifecycle;
use super::table::Change;
use super::world::{Kept, LAG_MAX, Weather, World};
use super::{LOOKS, invariants, pass, seeds};
use crate::{budget, garbage, owners};

/// How large, and for how long.
#[derive(Clone, Copy)]
struct Size {
    n_nodes: usize,
    hours: u64,
}

const STEP: Duration = Duration::from_secs(1);
const HOUR: u64 = 3600;
/// Of every hour, the last seconds in which nothing new goes wrong, and all must settle.
const QUIET_SECONDS: u64 = 1200;
/// Everything is looked at this often though nothing changed, and what goes by the clock oftener.
const RESYNC_SECONDS: u64 = 300;
const TICK_SECONDS: u64 = 15;
const COLLECT_SECONDS: u64 = 30;
const WEATHER: Weather = Weather { lost_request: 200, lost_answer: 200, crash: 1500 };

struct Cluster {
    world: World,
    kubelets: Kubelets,
    lifecycle: Lifecycle,
    counts: Counts,
    budgets: Budgets,
    /// The loops' queues: kinds, and names of what is to be looked at.
    woken: BTreeSet<(&'static str, String)>,
    /// Seconds by which watches are behind now.
    lag_seconds: u64,
}

impl Cluster {
    fn new(seed: u64, size: Size) -> Self {
        let mut world = World::new(seed, WEATHER);
        world.log_all();
        let mut lifecycle = Lifecycle::default();
        (0..size.n_nodes).for_each(|_| lifecycle.add(&mut world));
        work::furnish(&mut world, size.n_nodes);
        Self {
            world,
            kubelets: Kubelets::default(),
            lifecycle,
            counts: Counts::default(),
            budgets: Budgets::default(),
            woken: BTreeSet::new(),
            lag_seconds: 1,
        }
    }

    fn step(&mut self, second: u64) {
        let is_quiet = second % HOUR >= HOUR - QUIET_SECONDS;
        self.world.weather = if is_quiet { Weather::default() } else { WEATHER };
        if is_quiet {
            self.lifecycle.mend_all(&self.world, &mut self.kubelets);
        } else {
            self.disturb();
        }
        self.deliver(is_quiet);
        self.kubelets.work(&mut self.world, &self.lifecycle, is_quiet);
        self.lifecycle.look(&mut self.world, second);
        if second.is_multiple_of(COLLECT_SECONDS) {
            let _ = garbage::simulated::collect(&mut self.world);
        }
        if second.is_multiple_of(RESYNC_SECONDS) {
            self.wake_all();
        }
        if second.is_multiple_of(TICK_SECONDS) {
            let names = self.world.cron_jobs.names_seen();
            names.iter().for_each(|name| self.wake_by_kind("CronJob", name));
        }
        self.look();
        if self.world.is_crashed {
            self.world.restart_controllers();
            self.lifecycle.forget();
            self.wake_all();
        }
        self.settle_accounts();
    }

    fn disturb(&mut self) {
        self.lifecycle.disturb(&mut self.world, &mut self.kubelets);
        let random = &mut self.world.random;
        if random.one_in(120) {
            self.world.is_crashed = true;
        }
        if self.world.random.one_in(20) {
            let pods: Vec<_> = work::guarded(&self.world);
            if let Some(pod) = self.world.random.pick(&pods) {
                budget::simulated::evict(&mut self.world, &pod);
            }
        }
        if self.world.random.one_in(90) {
            work::change_something(&mut self.world, &mut self.counts);
        }
    }

    /// Mostly watches are a little behind, sometimes much; now and then one is lost, and everything is listed anew.
    fn deliver(&mut self, is_quiet: bool) {
        let random = &mut self.world.random;
        if random.one_in(50) {
            let max = if random.one_in(5) { LAG_MAX.as_secs() } else { 5 };
            self.lag_seconds = u64::try_from(random.below(usize::try_from(max).unwrap())).unwrap();
        }
        if random.one_in(100) {
            self.world.lose_a_watch();
        }
        let lag_seconds = if is_quiet { 1 } else { self.lag_seconds };
        self.world.deliver_behind(|random| {
            let seconds = random.below(usize::try_from(lag_seconds + 1).unwrap());
            Duration::from_secs(u64::try_from(seconds).unwrap())
        });
        self.wake();
    }

    /// Everything that changed in the caches becomes names in queues, as the drivers' feeds do it.
    fn wake(&mut self) {
        for pod in self.world.pods.take_shown() {
            let pod: Vec<_> = [pod.0, pod.1].into_iter().flatten().collect();
            for owner in pod.iter().filter_map(|pod| owners::controller_of(&pod.metadata)) {
                self.wake_by_kind(&owner.kind, &owner.name);
            }
            let app = pod.iter().find_map(|pod| invariants::label(pod)).map(str::to_owned);
            if let Some(app) = app.filter(|app| self.world.budgets.seen(app).is_some()) {
                self.wake_by_kind("PodDisruptionBudget", &app);
            }
        }
        macro_rules! wake_owners {
            ($($table:ident),*) => {
                $(let changes = self.world.$table.take_shown();
                self.wake_with_owners(&changes);)*
            };
        }
        wake_owners!(
            replica_sets,
            replication_controllers,
            deployments,
            stateful_sets,
            daemon_sets,
            jobs,
            cron_jobs,
            budgets
        );
        let is_nodes = !self.world.nodes.take_shown().is_empty();
        if is_nodes {
            let names = self.world.daemon_sets.names_seen();
            names.iter().for_each(|name| self.wake_by_kind("DaemonSet", name));
        }
    }

    fn wake_with_owners<K: Kept>(&mut self, changes: &[Change<K>]) {
        for object in changes.iter().flat_map(|(old, new)| old.iter().chain(new)) {
            self.wake_by_kind(&K::kind(&()), &object.name_any());
            if let Some(owner) = owners::controller_of(object.meta()) {
                self.wake_by_kind(&owner.kind, &owner.name);
            }
        }
    }

    fn wake_by_kind(&mut self, kind: &str, name: &str) {
        if let Some(look) = LOOKS.iter().find(|look| look.kind == kind) {
            self.woken.insert((look.kind, name.to_owned()));
        }
    }

    fn wake_all(&mut self) {
        for look in LOOKS {
            self.woken.extend((look.names)(&self.world).into_iter().map(|name| (look.kind, name)));
        }
    }

    /// The loops work off their queues. What fails stays in its queue; after a crash nobody looks any more.
    fn look(&mut self) {
        let mut failed = BTreeSet::new();
        for (kind, name) in std::mem::take(&mut self.woken) {
            // Now and then a loop is late.
            if self.world.random.one_in(4) {
                failed.insert((kind, name));
                continue;
            }
            let look = LOOKS.iter().find(|look| look.kind == kind).unwrap();
            if (look.look)(&mut self.world, &name).is_err() {
                failed.insert((kind, name));
            }
            if self.world.is_crashed {
                break;
            }
        }
        self.woken = failed;
    }

    /// What was written is checked, and concerns the kubelets.
    fn settle_accounts(&mut self) {
        let taken = std::mem::take(&mut self.world.taken);
        let pods = self.world.pods.take_written();
        self.counts.note_sets(&mut self.world);
        for change in &pods {
            self.counts.note_pod(change);
            self.kubelets.note(&mut self.world, change);
        }
        self.counts.check();
        self.budgets.check(&self.world, &self.counts, &pods, &taken);
    }
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap()
}

async fn run(seed: u64, size: Size) {
    eprintln!("seed {seed}: {} nodes, {} hours", size.n_nodes, size.hours);
    let mut cluster = Cluster::new(seed, size);
    for second in 0..size.hours * HOUR {
        pass(&mut cluster.world, STEP).await;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cluster.step(second)));
        if let Err(panic) = outcome {
            eprintln!("seed {seed} fails at second {second}");
            std::panic::resume_unwind(panic);
        }
        if second % HOUR == HOUR - 1 {
            let settled = invariants::settled(&cluster.world);
            let state = settled.and_then(|()| cluster.lifecycle.settled(&cluster.world));
            assert_eq!(state, Ok(()), "seed {seed} has not settled at second {second}");
            eprintln!("seed {seed}: settled after {} hours", second / HOUR + 1);
        }
    }
    let (n_deaths, n_evicted) = (cluster.lifecycle.n_deaths, cluster.budgets.n_taken);
    assert!(n_deaths > 0 && n_evicted > 0, "something went wrong in {size:?}", size = size.hours);
    eprintln!("seed {seed}: {n_deaths} deaths of nodes, {} revisions written", cluster.world.revision());
}

/// As much as a test has time for.
#[tokio::test(start_paused = true)]
async fn a_cluster_whose_nodes_die_and_return_keeps_its_promises() {
    for seed in seeds(2) {
        run(seed, Size { n_nodes: 100, hours: 1 }).await;
    }
}

/// The whole of it, when `SIMULATION_NODES` says how many.
#[tokio::test(start_paused = true)]
async fn a_large_cluster_lives_for_ten_hours() {
    let Ok(n_nodes) = std::env::var("SIMULATION_NODES") else { return };
    for seed in seeds(1) {
        run(seed, Size { n_nodes: n_nodes.parse().unwrap(), hours: 10 }).await;
    }
}
