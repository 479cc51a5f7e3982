//! An API with optimistic concurrency, watches that lag, and weather. It decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coracle_client::{Key, revision_of};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Node, Pod, PodTemplateSpec, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;

use super::random::Random;
use super::table::{Table, of_owner, of_uid};
use crate::outstanding::{Doubt, Fate, Outstanding};
use crate::{cron_job, daemon_set, deployment, job, replica_set, stateful_set};

pub(crate) const NAMESPACE: &str = "n";
/// A watch is never further behind. The loops count on less than what they grant a deletion or an own write to show.
pub(super) const LAG_MAX: Duration = Duration::from_secs(60);

/// Why a write did not succeed, as the writer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Conflict,
    Exists,
    Gone,
    /// The request never arrived, or its answer never came back.
    Lost,
    /// The writer is no more.
    Crashed,
}

/// How likely what goes wrong is: once in so many writes; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) lost_request: usize,
    pub(crate) lost_answer: usize,
    pub(crate) crash: usize,
}

/// What the loops remember beside what the API tells them. A restart forgets it.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) replica_sets: replica_set::simulated::Memory,
    pub(crate) deployments: deployment::simulated::Memory,
    pub(crate) stateful_sets: stateful_set::simulated::Memory,
    pub(crate) daemon_sets: daemon_set::simulated::Memory,
    pub(crate) jobs: job::simulated::Memory,
    pub(crate) cron_jobs: cron_job::simulated::Memory,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) is_crashed: bool,
    pub(crate) memory: Memory,
    revision: u64,
    n_made: u64,
    pub(crate) pods: Table<Pod>,
    pub(crate) replica_sets: Table<ReplicaSet>,
    pub(crate) deployments: Table<Deployment>,
    pub(crate) stateful_sets: Table<StatefulSet>,
    pub(crate) daemon_sets: Table<DaemonSet>,
    pub(crate) replication_controllers: Table<ReplicationController>,
    pub(crate) jobs: Table<Job>,
    pub(crate) cron_jobs: Table<CronJob>,
    pub(crate) budgets: Table<PodDisruptionBudget>,
    pub(crate) nodes: Table<Node>,
    /// The templates that revisions keep.
    pub(crate) templates: BTreeMap<String, PodTemplateSpec>,
    /// Pods that a loop, or an eviction, took away since somebody last asked.
    pub(crate) taken: Vec<Arc<Pod>>,
}

/// A kind that the world has.
pub(crate) trait Kept: Resource<DynamicType = ()> + Clone {
    fn table(world: &mut World) -> &mut Table<Self>;

    /// The node that it is on, for what is on one.
    fn node(&self) -> Option<&str> {
        None
    }
}

macro_rules! kept {
    ($($kind:ty => $table:ident $node:tt),*) => {
        $(impl Kept for $kind {
            fn table(world: &mut World) -> &mut Table<Self> {
                &mut world.$table
            }

            kept!(node $node);
        })*

        impl World {
            /// A watch somewhere delivers something.
            pub(crate) fn deliver_one(&mut self) {
                let tables: &[fn(&mut World)] = &[$(|world| world.$table.deliver()),*];
                let deliver = tables[self.random.below(tables.len())];
                deliver(self);
            }

            /// What a watch has held back for too long arrives.
            pub(crate) fn deliver_late(&mut self) {
                let moment = self.now - LAG_MAX;
                $(self.$table.deliver_until(moment);)*
            }

            /// Each watch is as far behind as it is told to be.
            pub(crate) fn deliver_behind(&mut self, mut lag: impl FnMut(&mut Random) -> Duration) {
                $({
                    let moment = self.now - lag(&mut self.random);
                    self.$table.deliver_until(moment);
                })*
            }

            pub(crate) fn log_all(&mut self) {
                $(self.$table.log();)*
            }

            pub(crate) fn lose_a_watch(&mut self) {
                let tables: &[fn(&mut World)] = &[$(|world| world.$table.relist(world.revision)),*];
                let relist = tables[self.random.below(tables.len())];
                relist(self);
            }

            pub(crate) fn deliver_all(&mut self) {
                $(self.$table.relist(self.revision);)*
            }
        }
    };
    (node {}) => {};
    (node { $node:item }) => {
        $node
    };
}

kept!(Pod => pods {
        fn node(&self) -> Option<&str> {
            Some(crate::pods::node_name(self)).filter(|node| !node.is_empty())
        }
    }, ReplicaSet => replica_sets {}, Deployment => deployments {}, StatefulSet => stateful_sets {},
    DaemonSet => daemon_sets {}, ReplicationController => replication_controllers {}, Job => jobs {},
    CronJob => cron_jobs {}, PodDisruptionBudget => budgets {}, Node => nodes {});

impl Refusal {
    /// The same, noted where nobody can tell whether the write was done.
    pub(crate) fn noted(self, outstanding: &Outstanding, key: &Key, doubt: Doubt) -> Self {
        if self == Self::Lost {
            outstanding.doubted(key, doubt);
        }
        self
    }
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Self {
            now: Timestamp::from_second(1_000_000).unwrap(),
            random: Random::new(seed),
            weather,
            is_crashed: false,
            memory: Memory::default(),
            revision: 0,
            n_made: 0,
            pods: Table::default(),
            replica_sets: Table::default(),
            deployments: Table::default(),
            stateful_sets: Table::default(),
            daemon_sets: Table::default(),
            replication_controllers: Table::default(),
            jobs: Table::default(),
            cron_jobs: Table::default(),
            budgets: Table::default(),
            nodes: Table::default(),
            templates: BTreeMap::new(),
            taken: Vec::new(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn restart_controllers(&mut self) {
        self.is_crashed = false;
        self.memory = Memory::default();
        self.deliver_all();
    }

    pub(crate) fn create<K: Kept>(&mut self, object: K) -> Result<Arc<K>, Refusal> {
        self.send()?;
        let made = self.insert(object)?;
        self.answer(made)
    }

    /// Writes the object as it is, if nobody else wrote it meanwhile.
    pub(crate) fn replace<K: Kept>(&mut self, object: K) -> Result<Arc<K>, Refusal> {
        self.send()?;
        let name = object.meta().name.clone().unwrap();
        let known = K::table(self).actual(&name).ok_or(Refusal::Gone)?;
        if known.meta().uid != object.meta().uid || revision_of(known.meta()) != revision_of(object.meta()) {
            return Err(Refusal::Conflict);
        }
        let written = self.put(object);
        self.answer(written)
    }

    /// Deletes the object of this identity. A pod that is on a node ends first, and a finalizer keeps what has one.
    pub(crate) fn delete<K: Kept>(&mut self, meta: &ObjectMeta, lingers: bool) -> Result<(), Refusal> {
        self.send()?;
        self.end::<K>(meta, lingers)?;
        self.answer(())
    }

    /// The same without weather.
    pub(crate) fn end<K: Kept>(&mut self, meta: &ObjectMeta, lingers: bool) -> Result<(), Refusal> {
        let name = meta.name.clone().unwrap();
        let known = K::table(self).actual(&name).filter(|known| known.meta().uid == meta.uid).ok_or(Refusal::Gone)?;
        if lingers || known.meta().finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty()) {
            if known.meta().deletion_timestamp.is_none() {
                let mut object = (*known).clone();
                object.meta_mut().deletion_timestamp = Some(Time(self.now));
                self.put(object);
            }
        } else {
            self.remove::<K>(name);
        }
        Ok(())
    }

    pub(crate) fn insert<K: Kept>(&mut self, mut object: K) -> Result<Arc<K>, Refusal> {
        self.n_made += 1;
        let (n_made, now) = (self.n_made, self.now);
        let meta = object.meta_mut();
        let name = match (&meta.name, &meta.generate_name) {
            (Some(name), _) => name.clone(),
            (None, prefix) => format!("{}{n_made:05}", prefix.as_deref().unwrap_or_default()),
        };
        *meta = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(NAMESPACE.to_owned()),
            uid: Some(format!("u{n_made}")),
            creation_timestamp: Some(Time(now)),
            generation: Some(1),
            ..meta.clone()
        };
        match K::table(self).actual(&name) {
            Some(_) => Err(Refusal::Exists),
            None => Ok(self.put(object)),
        }
    }

    /// Writes without asking, as those do who are not simulated in depth.
    pub(crate) fn put<K: Kept>(&mut self, mut object: K) -> Arc<K> {
        self.revision += 1;
        object.meta_mut().resource_version = Some(self.revision.to_string());
        let (revision, now, name) = (self.revision, self.now, object.meta().name.clone().unwrap());
        let object = Arc::new(object);
        K::table(self).put((revision, now), name, Some(object.clone()));
        object
    }

    pub(crate) fn remove<K: Kept>(&mut self, name: String) {
        self.revision += 1;
        let (revision, now) = (self.revision, self.now);
        K::table(self).put((revision, now), name, None);
    }

    fn send(&mut self) -> Result<(), Refusal> {
        if self.is_crashed || self.random.one_in(self.weather.crash) {
            self.is_crashed = true;
            return Err(Refusal::Crashed);
        }
        if self.random.one_in(self.weather.lost_request) { Err(Refusal::Lost) } else { Ok(()) }
    }

    fn answer<T>(&mut self, answer: T) -> Result<T, Refusal> {
        if self.random.one_in(self.weather.crash) {
            self.is_crashed = true;
            return Err(Refusal::Crashed);
        }
        if self.random.one_in(self.weather.lost_answer) { Err(Refusal::Lost) } else { Ok(answer) }
    }

    /// Finds out what became of writes whose answers were lost, as the loops ask the API.
    pub(crate) fn resolve<K: Kept>(
        &mut self,
        outstanding: impl Fn(&Memory) -> &Outstanding,
        key: &Key,
        owner: Option<&str>,
    ) -> Result<(), Refusal> {
        for doubt in outstanding(&self.memory).doubts(key) {
            self.send()?;
            let found: Vec<Arc<K>> = match &doubt {
                Doubt::Written(name) | Doubt::Deleted { name, .. } => K::table(self).actual(name).into_iter().collect(),
                Doubt::Created(_) => K::table(self).actual_marked(&of_owner(owner.unwrap())),
            };
            let found: Vec<ObjectMeta> = found.iter().map(|object| object.meta().clone()).collect();
            outstanding(&self.memory).learned(key, &doubt, owner, &found);
        }
        Ok(())
    }

    /// The pods of an owner, as the watch has shown them.
    pub(crate) fn seen_pods_of(&self, uid: Option<&str>) -> Vec<Arc<Pod>> {
        uid.map(|uid| self.pods.seen_marked(&of_owner(uid))).unwrap_or_default()
    }

    pub(crate) fn seen_pod_by_uid(&self, uid: &str) -> Option<ObjectMeta> {
        self.pods.seen_marked(&of_uid(uid)).first().map(|pod| pod.metadata.clone())
    }

    /// A pod's deletion as the API does it: what runs somewhere is ended there first.
    pub(crate) fn delete_pod(&mut self, pod: &Pod) -> Result<Fate, Refusal> {
        let name = pod.metadata.name.as_deref().unwrap();
        let actual = self.pods.actual(name);
        let lingers = actual.as_ref().is_some_and(|pod| !crate::pods::node_name(pod).is_empty());
        self.taken.extend(actual);
        self.delete::<Pod>(&pod.metadata, lingers)?;
        Ok(if self.pods.actual(name).is_some() { Fate::Ending } else { Fate::Gone })
    }
}
