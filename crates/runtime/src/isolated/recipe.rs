//! What a container is made of, as far as its process needs to know. Limits on the CPU are the agent's business.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Launcher;
use crate::container::{ContainerSpec, Mount, Output, Stdin};
use crate::network::Network;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Recipe {
    name: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    pub(super) mounts: Vec<Mount>,
    working_dir: Option<String>,
    pub(super) stdin: StdinKind,
    terminal: bool,
    pub(super) memory_max: Option<u64>,
    pub(super) addresses: Vec<IpAddr>,
    http_port: u16,
    pub(super) requests_max: usize,
    requests_queued_max: usize,
    request_time_max: Option<Duration>,
    instance_requests_max: NonZeroU32,
    pub(super) authorities_pem: String,
    /// Start also where the kernel cannot confine the process.
    pub(super) even_unconfined: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StdinKind {
    Empty,
    Open,
    Piped,
}

impl Recipe {
    pub(super) fn of(spec: &ContainerSpec, launcher: &Launcher) -> Self {
        Self {
            name: spec.name.clone(),
            args: spec.args.clone(),
            env: spec.env.clone(),
            mounts: spec.mounts.clone(),
            working_dir: spec.working_dir.clone(),
            stdin: match &spec.stdin {
                Stdin::Empty => StdinKind::Empty,
                Stdin::Open => StdinKind::Open,
                Stdin::Pipe(_) => StdinKind::Piped,
            },
            terminal: spec.terminal,
            memory_max: spec.memory_max,
            addresses: spec.network.addresses(),
            http_port: spec.http_port,
            requests_max: spec.requests_max,
            requests_queued_max: spec.requests_queued_max,
            request_time_max: spec.request_time_max,
            instance_requests_max: spec.instance_requests_max,
            authorities_pem: launcher.authorities_pem.clone(),
            even_unconfined: !launcher.isolation.confined,
        }
    }

    /// The container, on a network and with streams that lead to the agent.
    pub(super) fn spec(self, stdin: Stdin, network: Arc<dyn Network>, output: Arc<dyn Output>) -> ContainerSpec {
        ContainerSpec {
            args: self.args,
            env: self.env,
            mounts: self.mounts,
            working_dir: self.working_dir,
            stdin,
            terminal: self.terminal,
            memory_max: self.memory_max,
            http_port: self.http_port,
            requests_max: self.requests_max,
            requests_queued_max: self.requests_queued_max,
            request_time_max: self.request_time_max,
            instance_requests_max: self.instance_requests_max,
            ..ContainerSpec::new(self.name, network, output)
        }
    }
}
