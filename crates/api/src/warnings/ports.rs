//! Ports of containers that get into each other's way.

use std::collections::BTreeMap;

use crate::validation::Cursor;

/// A port that was seen, where, and at which of the host's addresses.
struct Seen {
    path: String,
    host_ip: String,
    host_port: i64,
}

/// The ports of a pod's containers, by number and protocol.
#[derive(Default)]
pub(super) struct Taken(BTreeMap<(i64, String), Vec<Seen>>);

impl Taken {
    pub(super) fn note(&mut self, ports: Cursor<'_, '_>, warnings: &mut Vec<String>) {
        for port in ports.items() {
            let (host_ip, host_port) = (port.field("hostIP").str(), port.field("hostPort").int());
            if !host_ip.is_empty() && host_port == 0 {
                warnings.push(format!("{}: hostIP set without hostPort: {}", port.path(), printed(port)));
            }
            let protocol = port.field("protocol").str().to_owned();
            let others = self.0.entry((port.field("containerPort").int(), protocol)).or_default();
            let this = Seen { path: port.path(), host_ip: host_ip.to_owned(), host_port };
            warnings.extend(others.iter().filter_map(|other| this.conflict(other)));
            others.push(this);
        }
    }
}

impl Seen {
    fn conflict(&self, other: &Self) -> Option<String> {
        let what = if self.host_ip == other.host_ip && self.host_port == other.host_port {
            "duplicate"
        } else if self.host_port == 0 || other.host_port == 0 {
            "overlapping"
        } else if self.host_port == other.host_port && self.host_ip.is_empty() != other.host_ip.is_empty() {
            "dangerously ambiguous"
        } else {
            return None;
        };
        Some(format!("{}: {what} port definition with {}", self.path, other.path))
    }
}

/// How Go prints the structure.
fn printed(port: Cursor<'_, '_>) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        port.field("name").str(),
        port.field("hostPort").int(),
        port.field("containerPort").int(),
        port.field("protocol").str(),
        port.field("hostIP").str(),
    )
}
