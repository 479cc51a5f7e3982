//! How each action is begun, and what its outcome means to the machine.

use std::net::IpAddr;
use std::time::Duration;

use coracle_runtime::network::Network;
use tokio::time::Instant;

use super::{Effect, Worker};
use crate::agent::ended::Watched;
use crate::agent::handler::{self, Handler};
use crate::agent::sandbox::{self, Failure};
use crate::agent::{Running, addresses, command, disk, image, prober, start::Start};
use crate::containers;
use crate::lifecycle::{
    Action, Event, Hook, HookKind, Notice, Outcome, Plan, ProbeKind, ProbePlan, ProbeTarget, Severity,
};
use crate::volumes;

/// How often ConfigMaps, Secrets and fields in volumes are looked at again.
const REFRESH: Duration = Duration::from_secs(60);
const REFRESH_RETRY: Duration = Duration::from_secs(30);
/// An HTTP hook that takes longer is given up; a preStop hook ends with the pod's grace anyway.
const HOOK_MAX: Duration = Duration::from_secs(60);

impl Worker {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Prepare => self.prepare(),
            Action::Pull { container } => {
                let (context, pod, plan) = (self.context.clone(), self.pod.clone(), self.plan());
                let handler = self.handler.get().copied().unwrap_or(Handler::Shared);
                self.begin(async move {
                    Effect::Loaded { container, outcome: image::load(context, pod, plan, container, handler).await }
                });
            }
            Action::Start { container, attempt } => self.start(container, attempt),
            Action::RunHook { container, attempt, kind, hook } => self.run_hook(container, attempt, kind, hook),
            Action::Probe { container, attempt, kind } => self.probe(container, attempt, kind),
            Action::Terminate { container } => {
                if let Some(running) = self.handle.running.lock().get(&container) {
                    running.container.terminate();
                }
            }
            Action::Kill { container } => {
                if let Some(running) = self.handle.running.lock().get(&container) {
                    running.container.kill();
                }
            }
            Action::Notify(notice) => self.context.tell(&self.pod, &self.plan(), notice),
            Action::Release => self.release(),
            Action::Remove => self.removal.wanted(),
        }
    }

    pub(super) fn take_in(&mut self, effect: Effect) {
        match effect {
            Effect::Event(event) => self.feed(event),
            Effect::Prepared(Ok(renewal)) => {
                self.plan_refresh(renewal);
                self.plan_measure();
                let addresses = self.addresses();
                self.feed(Event::Prepared { addresses });
            }
            Effect::Prepared(Err(Failure { reason, message })) => self.feed(Event::PrepareFailed { reason, message }),
            Effect::Loaded { container, outcome: Ok(loaded) } => {
                let image_id = loaded.id.clone();
                self.loaded.insert(container, loaded);
                self.feed(Event::Pulled { container, image_id });
            }
            Effect::Loaded { container, outcome: Err((reason, message)) } => {
                self.feed(Event::PullFailed { container, reason, message });
            }
            Effect::Started { container, outcome: Ok(running) } => self.watch_over(container, running),
            Effect::Started { container, outcome: Err((reason, message)) } => {
                self.feed(Event::StartFailed { container, reason, message });
            }
            Effect::Exited { container, attempt, terminated, notice } => {
                self.handle.running.lock().remove(&container);
                if let Some(notice) = notice {
                    self.context.tell(&self.pod, &self.plan(), notice);
                }
                self.feed(Event::Exited { container, attempt, terminated });
            }
            Effect::Written(written) => self.report.written(written),
            Effect::Refreshed(Ok(renewal)) => self.plan_refresh(renewal),
            Effect::Refreshed(Err(Failure { reason, message })) => {
                self.refresh_at = Some(Instant::now() + REFRESH_RETRY);
                let notice = Notice::new(Severity::Warning, reason, message, None);
                self.context.tell(&self.pod, &self.plan(), notice);
            }
            Effect::Measured(None) => self.plan_measure(),
            Effect::Measured(Some(message)) => {
                let is_over = self.handle.state.lock().ending.is_some();
                if !is_over {
                    self.feed(Event::Rejected { reason: "Evicted", message });
                }
            }
            Effect::Deleted(answer) => self.removal.answered(answer, &self.handle.key),
            Effect::Nothing => {}
        }
    }

    fn plan(&self) -> std::sync::Arc<Plan> {
        self.handle.state.lock().plan.clone()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.network.as_ref().map(|network| network.addresses()).unwrap_or_default()
    }

    fn prepare(&mut self) {
        if self.network.is_none() {
            match sandbox::attach(&self.context, &self.pod) {
                Ok(network) => self.network = Some(network),
                Err(failure) => return self.begin(async move { Effect::Prepared(Err(failure)) }),
            }
        }
        let write = self.write_volumes();
        let (context, pod, reader) = (self.context.clone(), self.pod.clone(), self.reader.clone());
        let known = self.handler.clone();
        let (dir, has, remembers) = (self.handle.dir.clone(), self.addresses(), self.context.config.remembers);
        self.begin(async move {
            if remembers {
                addresses::write(&dir, &has).await;
            }
            match handler::of(&reader, &context.runtime, &pod).await {
                // What was known before stays.
                Ok(handler) => drop(known.set(handler)),
                Err(failure) => return Effect::Prepared(Err(failure)),
            }
            Effect::Prepared(write.await)
        });
    }

    pub(super) fn refresh(&mut self) {
        if self.network.is_some() {
            let write = self.write_volumes();
            self.begin(async move { Effect::Refreshed(write.await) });
        }
    }

    fn write_volumes(&self) -> impl Future<Output = Result<Option<Instant>, Failure>> + Send + use<> {
        let (context, pod, tokens) = (self.context.clone(), self.pod.clone(), self.tokens.clone());
        let (addresses, directories, reader) = (self.addresses(), self.directories.clone(), self.reader.clone());
        async move { sandbox::volumes(&context, &reader, &pod, &addresses, &directories, &tokens).await }
    }

    fn plan_refresh(&mut self, renewal: Option<Instant>) {
        let looked_at = self.pod.spec.as_ref().is_some_and(volumes::may_change).then(|| {
            // Pods that came together are not all looked at together.
            Instant::now() + REFRESH.mul_f64(rand::random_range(0.8..1.2))
        });
        self.refresh_at = [renewal, looked_at].into_iter().flatten().min();
    }

    fn plan_measure(&mut self) {
        let is_bounded = self.pod.spec.as_ref().is_some_and(|spec| disk::Bounds::of(spec).is_some());
        self.measure_at = (is_bounded && self.network.is_some()).then(|| Instant::now() + disk::INTERVAL);
    }

    /// Looks at how much of the disk the pod has taken.
    pub(super) fn measure(&mut self) {
        let (pod, directories, logs) = (self.pod.clone(), self.directories.clone(), self.handle.dir.join("logs"));
        self.begin(async move {
            let measure = move || {
                let spec = pod.spec.as_ref()?;
                disk::Bounds::of(spec)?.exceeded(&disk::measure(spec, &directories, &logs))
            };
            let measured = tokio::task::spawn_blocking(measure).await;
            Effect::Measured(measured.expect("measuring directories does not panic"))
        });
    }

    fn start(&mut self, container: usize, attempt: u32) {
        let (Some(network), Some(loaded)) = (self.network.clone(), self.loaded.get(&container).cloned()) else {
            let message = "the pod has no network any more".to_owned();
            let event = Event::StartFailed { container, reason: "CreateContainerError", message };
            return self.begin(async move { Effect::Event(event) });
        };
        let start = Start {
            context: self.context.clone(),
            reader: self.reader.clone(),
            handle: self.handle.clone(),
            pod: self.pod.clone(),
            network,
            directories: self.directories.clone(),
            name: self.plan().containers[container].name.clone(),
            attempt,
            loaded,
            handler: self.handler.get().copied().unwrap_or(Handler::Shared),
        };
        self.begin(async move { Effect::Started { container, outcome: start.run().await } });
    }

    fn watch_over(&mut self, container: usize, running: Running) {
        self.handle.running.lock().insert(container, running.clone());
        let id = format!("coracle://{}", hex::encode(rand::random::<[u8; 32]>()));
        self.feed(Event::Started { container, id: id.clone() });
        let (plan, attempt, clock) = (self.plan(), running.attempt, self.context.config.clock.clone());
        let planned = &plan.containers[container];
        let watched = Watched {
            running,
            container,
            id,
            started_at: clock.now(),
            message_from_logs: planned.message_from_logs,
            coredump: self.handle.coredump(&planned.name),
        };
        self.begin(async move {
            let (terminated, notice) = watched.ended(|| clock.now()).await;
            Effect::Exited { container, attempt, terminated, notice }
        });
    }

    fn run_hook(&mut self, container: usize, attempt: u32, kind: HookKind, hook: Hook) {
        let (fabric, address) = (self.context.fabric.clone(), self.addresses().first().copied());
        let running = self.running(container);
        self.begin(async move {
            let outcome = match hook {
                Hook::Exec(command) => command::hook(running, command).await,
                Hook::HttpGet(get) => prober::hook(fabric, get, address, HOOK_MAX).await,
                Hook::Sleep(time) => {
                    tokio::time::sleep(time).await;
                    Ok(())
                }
                Hook::Unsupported(what) => Err(format!("a {what} hook cannot run in a wasm sandbox")),
            };
            Effect::Event(Event::HookEnded { container, attempt, kind, outcome })
        });
    }

    fn probe(&mut self, container: usize, attempt: u32, kind: ProbeKind) {
        let probe = self.plan().containers[container].probe(kind).cloned();
        let (fabric, address) = (self.context.fabric.clone(), self.addresses().first().copied());
        let running = self.running(container);
        self.begin(async move {
            let outcome = match probe {
                Some(ProbePlan { target: ProbeTarget::Exec(command), timeout, .. }) => {
                    command::probe(running, command, timeout).await
                }
                Some(probe) => prober::probe(fabric, probe, address).await,
                None => Outcome::Unknown("the probe is gone from the spec".to_owned()),
            };
            Effect::Event(Event::Probed { container, attempt, kind, outcome })
        });
    }

    fn running(&self, container: usize) -> Option<Running> {
        self.handle.running.lock().get(&container).cloned()
    }

    /// Gives the containers that run the limits that the spec has now.
    pub(super) fn apply_limits(&self) {
        let Some(spec) = &self.pod.spec else { return };
        let plan = self.plan();
        for (container, running) in self.handle.running.lock().iter() {
            let name = plan.containers.get(*container).map(|planned| planned.name.as_str()).unwrap_or_default();
            if let Some(container) = containers::named(spec, name) {
                let (memory_max, cpu_max) = containers::limits(&container);
                running.container.set_limits(memory_max, cpu_max);
            }
        }
    }

    /// Gives back the pod's address and its volumes.
    pub(super) fn release(&mut self) {
        let addresses = self.addresses();
        self.loaded.clear();
        self.network = None;
        self.refresh_at = None;
        self.measure_at = None;
        self.context.ipam.lock().release(&addresses);
        self.directories.later.forget();
        let (dir, directories) = (self.handle.dir.clone(), self.directories.clone());
        self.begin(async move {
            let remove = move || {
                addresses::remove(&dir);
                // What cannot be removed now is removed with the pod's directory.
                let _ = std::fs::remove_dir_all(directories.volumes);
                let _ = std::fs::remove_dir_all(directories.singles);
            };
            tokio::task::spawn_blocking(remove).await.expect("removing directories does not panic");
            Effect::Nothing
        });
    }
}
