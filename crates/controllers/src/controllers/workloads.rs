//! The loops that run pods: by number, by name, by node, to their end, and the budgets of their disruptions.

use coracle_client::Informer;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;
use parking_lot::Mutex;

use crate::budget::stale::{self, StaleDisruptions};
use crate::budget::{self, Budgets};
use crate::cron_job::{self, CronJobs};
use crate::daemon_set::{self, DaemonSets};
use crate::deployment::{self, Deployments};
use crate::job::ttl::FinishedJobs;
use crate::job::{self, Jobs};
use crate::outstanding::Outstanding;
use crate::owners;
use crate::pod_control::PodControl;
use crate::replica_set::{self, ReplicaSets, Replicated};
use crate::stateful_set::StatefulSets;

use super::{Builder, WORKERS, itself};

impl Builder<'_> {
    fn control(&mut self, component: &str) -> PodControl {
        PodControl {
            client: self.client.clone(),
            recorder: self.recorder(component),
            outstanding: Outstanding::default(),
        }
    }

    fn replicated<K: Replicated>(&mut self, name: &'static str, component: &str, all: Informer<K>) {
        let informers = self.informers.clone();
        let mut driver = self.driver(name);
        driver.feed(self.scope, &all, itself);
        let sets = all.clone();
        driver.feed(self.scope, &informers.pods, move |change| replica_set::keys_of_pod(&sets, change));
        let (control, clock) = (self.control(component), self.config.clock.clone());
        driver.start(self.scope, WORKERS, ReplicaSets { control, informers, all, clock });
    }

    pub(super) fn replicas(&mut self) {
        let informers = self.informers.clone();
        self.replicated::<ReplicaSet>("replicaset", "replicaset-controller", informers.replica_sets.clone());
        let all = informers.replication_controllers.clone();
        self.replicated::<ReplicationController>("replicationcontroller", "replication-controller", all);

        let mut driver = self.driver("deployment");
        driver.feed(self.scope, &informers.deployments, itself);
        let deployments = informers.deployments.clone();
        driver.feed(self.scope, &informers.replica_sets, move |change| deployment::keys_of_set(&deployments, change));
        let all = informers.clone();
        driver.feed(self.scope, &informers.pods, move |change| deployment::keys_of_pod(&all, change));
        let deployments = Deployments {
            client: self.client.clone(),
            informers,
            recorder: self.recorder("deployment-controller"),
            clock: self.config.clock.clone(),
            sets_written: Outstanding::default(),
            self_written: Outstanding::default(),
        };
        driver.start(self.scope, WORKERS, deployments);
    }

    pub(super) fn sets(&mut self) {
        let (informers, clock) = (self.informers.clone(), self.config.clock.clone());

        let mut driver = self.driver("statefulset");
        driver.feed(self.scope, &informers.stateful_sets, itself);
        let sets = informers.stateful_sets.clone();
        driver.feed(self.scope, &informers.pods, move |change| {
            let selector = |set: &_| crate::selectors_of::selector_of_stateful_set(set);
            owners::keys_of_pod(&sets, "StatefulSet", selector, change)
        });
        driver.needs(&informers.controller_revisions);
        driver.needs(&informers.claims);
        let sets = StatefulSets {
            client: self.client.clone(),
            informers: informers.clone(),
            recorder: self.recorder("statefulset-controller"),
            clock: clock.clone(),
            outstanding: Outstanding::default(),
            revisions_written: Outstanding::default(),
            self_written: Outstanding::default(),
        };
        driver.start(self.scope, WORKERS, sets);

        let mut driver = self.driver("daemonset");
        driver.feed(self.scope, &informers.daemon_sets, itself);
        let sets = informers.daemon_sets.clone();
        driver.feed(self.scope, &informers.pods, move |change| {
            let selector = |set: &_| crate::selectors_of::selector_of_daemon_set(set);
            owners::keys_of_pod(&sets, "DaemonSet", selector, change)
        });
        let sets = informers.daemon_sets.clone();
        driver.feed(self.scope, &informers.nodes, move |change| daemon_set::keys_of_node(&sets, change));
        driver.needs(&informers.controller_revisions);
        let control = self.control("daemonset-controller");
        let failures = daemon_set::Failures::default();
        let sets = DaemonSets { control, informers, clock, revisions_written: Outstanding::default(), failures };
        driver.start(self.scope, WORKERS, sets);
    }

    pub(super) fn jobs(&mut self) {
        let (informers, clock) = (self.informers.clone(), self.config.clock.clone());

        let mut driver = self.driver("job");
        driver.feed(self.scope, &informers.jobs, itself);
        let jobs = informers.jobs.clone();
        driver.feed(self.scope, &informers.pods, move |change| job::keys_of_pod(&jobs, change));
        let jobs = Jobs {
            control: self.control("job-controller"),
            informers: informers.clone(),
            clock: clock.clone(),
            self_written: Outstanding::default(),
            memory: Mutex::default(),
        };
        driver.start(self.scope, WORKERS, jobs);

        let mut driver = self.driver("ttl-after-finished");
        driver.feed(self.scope, &informers.jobs, itself);
        let jobs = FinishedJobs { client: self.client.clone(), informers: informers.clone(), clock: clock.clone() };
        driver.start(self.scope, WORKERS, jobs);

        let mut driver = self.driver("cronjob");
        driver.feed(self.scope, &informers.cron_jobs, itself);
        driver.feed(self.scope, &informers.jobs, cron_job::keys_of_job);
        let cron_jobs = CronJobs {
            client: self.client.clone(),
            informers,
            recorder: self.recorder("cronjob-controller"),
            clock,
            jobs_written: Outstanding::default(),
            self_written: Outstanding::default(),
        };
        driver.start(self.scope, WORKERS, cron_jobs);
    }

    pub(super) fn budgets(&mut self) {
        let informers = self.informers.clone();
        let mut driver = self.driver("disruption");
        driver.feed(self.scope, &informers.disruption_budgets, itself);
        let budgets = || informers.disruption_budgets.clone();
        let all = budgets();
        driver.feed(self.scope, &informers.pods, move |change| budget::keys_of_pod(&all, change));
        let all = budgets();
        driver.feed(self.scope, &informers.replica_sets, move |change| budget::keys_of_owner(&all, change));
        let all = budgets();
        driver.feed(self.scope, &informers.deployments, move |change| budget::keys_of_owner(&all, change));
        let all = budgets();
        driver.feed(self.scope, &informers.stateful_sets, move |change| budget::keys_of_owner(&all, change));
        let all = budgets();
        driver.feed(self.scope, &informers.replication_controllers, move |change| budget::keys_of_owner(&all, change));
        let budgets = Budgets {
            client: self.client.clone(),
            informers: informers.clone(),
            recorder: self.recorder("disruption-controller"),
            clock: self.config.clock.clone(),
        };
        driver.start(self.scope, WORKERS, budgets);

        let mut driver = self.driver("stale-pod-disruption");
        driver.feed(self.scope, &informers.pods, stale::keys_of_pod);
        let clock = self.config.clock.clone();
        driver.start(self.scope, WORKERS, StaleDisruptions { client: self.client.clone(), informers, clock });
    }
}
