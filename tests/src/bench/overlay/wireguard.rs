//! wireguard-go between the two hosts: a tunnel in user space too, but one that the kernel's TCP runs over.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use coracle_tests::machines::Machine;
use coracle_tests::wait;

use super::hosts::Hosts;
use crate::child::{Running, ask};

const PORT: u16 = 51820;
const NEAR: &str = "10.98.0.1";
/// The second host, inside of the tunnel.
pub(super) const FAR: &str = "10.98.0.2";

/// A tunnel. Dropping it takes it away.
pub(super) struct Wireguard([End; 2]);

struct End {
    device: String,
    process: Running,
    socket: PathBuf,
    key: PathBuf,
    public: String,
}

impl Wireguard {
    pub(super) fn start(hosts: &Hosts, dir: &Path) -> Result<Self> {
        let ends = [End::start(hosts.a(), "a", NEAR, dir)?, End::start(hosts.b(), "b", FAR, dir)?];
        let [near, far] = &ends;
        near.meet(hosts.a(), far, hosts.b(), FAR)?;
        far.meet(hosts.b(), near, hosts.a(), NEAR)?;
        Ok(Self(ends))
    }

    pub(super) fn pids(&self) -> [u32; 2] {
        self.0.each_ref().map(|end| end.process.pid())
    }
}

impl End {
    fn start(machine: &Machine, name: &str, address: &str, dir: &Path) -> Result<Self> {
        // Its socket lies in a directory that all namespaces share.
        let device = format!("wg{name}{}", std::process::id());
        let process = Running::start(machine.command("wireguard-go".as_ref()).args(["-f", &device]))?;
        let socket = PathBuf::from(format!("/var/run/wireguard/{device}.sock"));
        wait::until("wireguard-go to listen", || socket.exists().then_some(()).ok_or_else(|| device.clone()));
        let key = dir.join(&device);
        std::fs::write(&key, ask(Command::new("wg").arg("genkey"))?)?;
        let public = ask(Command::new("sh").arg("-c").arg(format!("wg pubkey < {}", key.display())))?;
        ip(machine, &["address", "add", &format!("{address}/24"), "dev", &device])?;
        ip(machine, &["link", "set", &device, "up"])?;
        Ok(Self { device, process, socket, key, public })
    }

    fn meet(&self, machine: &Machine, peer: &Self, at: &Machine, inside: &str) -> Result<()> {
        let mut set = machine.command("wg".as_ref());
        set.args(["set", &self.device, "listen-port", &PORT.to_string(), "private-key"]).arg(&self.key);
        set.args(["peer", &peer.public, "allowed-ips", &format!("{inside}/32")]);
        set.args(["endpoint", &format!("{}:{PORT}", at.address)]);
        ask(&mut set).context("let wireguard-go know its peer").map(drop)
    }
}

impl Drop for End {
    /// Killed, it leaves that behind.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn ip(machine: &Machine, args: &[&str]) -> Result<()> {
    ask(machine.command("ip".as_ref()).args(args)).map(drop)
}
