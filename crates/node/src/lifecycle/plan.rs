//! What the machine needs to know of a pod's spec, read once. It never fails: the API server has validated the spec.

use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::containers::of_ephemeral;

const GRACE_DEFAULT_S: i64 = 30;

/// A pod's spec as the machine sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub restart_policy: RestartPolicy,
    /// Init containers and sidecars in their order, then the main containers, then those for debugging: those alone may
    /// be added later.
    pub containers: Vec<ContainerPlan>,
    pub grace: Duration,
    pub active_deadline: Option<Duration>,
    pub readiness_gates: Vec<String>,
}

/// One container of a [`Plan`].
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerPlan {
    pub name: String,
    pub role: Role,
    pub image: String,
    pub pull_policy: PullPolicy,
    pub startup: Option<ProbePlan>,
    pub liveness: Option<ProbePlan>,
    pub readiness: Option<ProbePlan>,
    pub post_start: Option<Hook>,
    pub pre_stop: Option<Hook>,
    /// `terminationMessagePolicy: FallbackToLogsOnError`.
    pub message_from_logs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to completion before the next begins.
    Init,
    /// An init container that is restarted always, and ends after the main containers.
    Sidecar,
    Main,
    /// Added for debugging: runs once, and neither the pod's phase nor its readiness minds it.
    Ephemeral,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    PostStart,
    PreStop,
}

/// What is done to a container at its start or end.
#[derive(Clone, Debug, PartialEq)]
pub enum Hook {
    Sleep(Duration),
    HttpGet(HttpGet),
    /// A command in the container.
    Exec(Vec<String>),
    /// A hook that sandboxes cannot run, by its name in the API.
    Unsupported(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// As events name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProbePlan {
    pub target: ProbeTarget,
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub success_threshold: u32,
    pub failure_threshold: u32,
    pub grace: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ProbeTarget {
    HttpGet(HttpGet),
    TcpSocket {
        host: Option<String>,
        port: u16,
    },
    /// A command in the container.
    Exec(Vec<String>),
    /// gRPC's own health check, of a service or of the whole server.
    Grpc {
        port: u16,
        service: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpGet {
    pub host: Option<String>,
    pub port: u16,
    pub path: String,
    pub tls: bool,
    pub headers: Vec<(String, String)>,
}

impl Plan {
    pub fn of(pod: &core::Pod) -> Self {
        let none = core::PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&none);
        let restart_policy = match spec.restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        };
        let init = spec.init_containers.iter().flatten().map(|container| {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            ContainerPlan::of(container, if sidecar { Role::Sidecar } else { Role::Init })
        });
        let main = spec.containers.iter().map(|container| ContainerPlan::of(container, Role::Main));
        let ephemeral = spec.ephemeral_containers.iter().flatten();
        let ephemeral = ephemeral.map(|container| ContainerPlan::of(&of_ephemeral(container), Role::Ephemeral));
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            restart_policy,
            containers: init.chain(main).chain(ephemeral).collect(),
            grace: seconds(spec.termination_grace_period_seconds.unwrap_or(GRACE_DEFAULT_S)),
            active_deadline: spec.active_deadline_seconds.map(seconds),
            readiness_gates: spec.readiness_gates.iter().flatten().map(|gate| gate.condition_type.clone()).collect(),
        }
    }

    /// `name_namespace(uid)`, as the messages of back-offs name a pod.
    pub fn full_name(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }

    pub fn has_init(&self) -> bool {
        self.containers.iter().any(|container| matches!(container.role, Role::Init | Role::Sidecar))
    }
}

impl ContainerPlan {
    fn of(container: &core::Container, role: Role) -> Self {
        let probe = |probe: &Option<core::Probe>| match role {
            Role::Init | Role::Ephemeral => None,
            Role::Sidecar | Role::Main => probe.as_ref().map(|probe| ProbePlan::of(probe, container)),
        };
        let hook = |pick: fn(&core::Lifecycle) -> &Option<core::LifecycleHandler>| {
            let handler = pick(container.lifecycle.as_ref()?).as_ref()?;
            Some(Hook::of(handler, container))
        };
        Self {
            name: container.name.clone(),
            role,
            image: container.image.clone().unwrap_or_default(),
            pull_policy: match container.image_pull_policy.as_deref() {
                Some("Always") => PullPolicy::Always,
                Some("Never") => PullPolicy::Never,
                _ => PullPolicy::IfNotPresent,
            },
            startup: probe(&container.startup_probe),
            liveness: probe(&container.liveness_probe),
            readiness: probe(&container.readiness_probe),
            post_start: hook(|lifecycle| &lifecycle.post_start),
            pre_stop: hook(|lifecycle| &lifecycle.pre_stop),
            message_from_logs: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
        }
    }

    pub fn probe(&self, kind: ProbeKind) -> Option<&ProbePlan> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
        }
    }
}

impl Hook {
    fn of(handler: &core::LifecycleHandler, container: &core::Container) -> Self {
        if let Some(sleep) = &handler.sleep {
            return Self::Sleep(seconds(sleep.seconds));
        }
        if let Some(get) = &handler.http_get {
            return Self::HttpGet(HttpGet::of(get, container));
        }
        match &handler.exec {
            Some(exec) => Self::Exec(exec.command.clone().unwrap_or_default()),
            None => Self::Unsupported("tcpSocket"),
        }
    }
}

impl ProbePlan {
    fn of(probe: &core::Probe, container: &core::Container) -> Self {
        let target = if let Some(get) = &probe.http_get {
            ProbeTarget::HttpGet(HttpGet::of(get, container))
        } else if let Some(tcp) = &probe.tcp_socket {
            ProbeTarget::TcpSocket { host: tcp.host.clone(), port: port(&tcp.port, container) }
        } else if let Some(exec) = &probe.exec {
            ProbeTarget::Exec(exec.command.clone().unwrap_or_default())
        } else {
            let grpc = probe.grpc.clone().unwrap_or_default();
            ProbeTarget::Grpc { port: u16::try_from(grpc.port).unwrap_or(0), service: grpc.service.unwrap_or_default() }
        };
        Self {
            target,
            initial_delay: seconds(probe.initial_delay_seconds.unwrap_or(0).into()),
            period: seconds(probe.period_seconds.filter(|period| *period > 0).unwrap_or(10).into()),
            timeout: seconds(probe.timeout_seconds.filter(|timeout| *timeout > 0).unwrap_or(1).into()),
            success_threshold: threshold(probe.success_threshold, 1),
            failure_threshold: threshold(probe.failure_threshold, 3),
            grace: probe.termination_grace_period_seconds.map(seconds),
        }
    }
}

impl HttpGet {
    fn of(get: &core::HTTPGetAction, container: &core::Container) -> Self {
        let path = get.path.clone().unwrap_or_default();
        Self {
            host: get.host.clone().filter(|host| !host.is_empty()),
            port: port(&get.port, container),
            path: if path.starts_with('/') { path } else { format!("/{path}") },
            tls: get.scheme.as_deref() == Some("HTTPS"),
            headers: get.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
        }
    }
}

/// A port by number or by the name of one of the container's ports; 0 when there is no such port.
fn port(port: &IntOrString, container: &core::Container) -> u16 {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number.and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.max(0).unsigned_abs())
}

fn threshold(given: Option<i32>, default: u32) -> u32 {
    given.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default)
}
