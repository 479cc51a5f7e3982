//! What pods on two nodes say to each other, the nodes being network namespaces joined by veth: a TCP stream against
//! quinn's own on that path and against wireguard-go, and a UDP round trip against one without any overlay and against
//! quinn's own.
//!
//! The guests are `netcat`; between the hosts runs the same program, built for them.

mod hosts;
mod wireguard;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use coracle_tests::machines::Network;
use coracle_tests::wait;

use self::hosts::Hosts;
use self::wireguard::Wireguard;
use crate::child::{Running, ask, cpu_of, given, is_there};
use crate::process::cpu_seconds_of_ended;
use crate::{Spread, percentile, report, report_limit, report_spread};

const N_PAIRS: usize = 5;
const SECONDS: &str = "3";
const N_ROUND_TRIPS: &str = "5000";
const QUIC_PORT: u16 = 7001;
/// Whose certificates the ends of quinn's own show.
const AUTHORITY: &str = "authority";
const TCP_PORT: u16 = 7002;
const UDP_PORT: u16 = 7003;

pub(crate) fn run() -> Result<()> {
    let Some(network) = Network::new(3) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let hosts = Hosts::start(network, dir.path())?;
    streams(&hosts, dir.path())?;
    round_trips(&hosts, dir.path())
}

/// What was carried, several times.
#[derive(Default)]
struct Carried {
    mb_per_second: Vec<f64>,
    cpu_ms_per_gb: Vec<f64>,
}

impl Carried {
    /// Takes what a sink says: bytes and nanoseconds.
    fn add(&mut self, said: &str, cpu_seconds: f64) -> Result<()> {
        let (n_bytes, nanoseconds) = said.split_once(' ').with_context(|| format!("not what a sink says: {said:?}"))?;
        let (n_bytes, nanoseconds): (f64, f64) = (n_bytes.parse()?, nanoseconds.parse()?);
        self.mb_per_second.push(n_bytes / nanoseconds * 1e3);
        self.cpu_ms_per_gb.push(cpu_seconds * 1e12 / n_bytes);
        Ok(())
    }
}

fn streams(hosts: &Hosts, dir: &Path) -> Result<()> {
    let (quic, netcat) = (given("QUIC")?, given("NETCAT")?);
    let authority = dir.join(AUTHORITY);
    let quic_address = quic_address(hosts);
    let quic_sink = quic_sink(hosts, dir)?;
    let tunnel = if is_there("wireguard-go") && is_there("wg") { Some(Wireguard::start(hosts, dir)?) } else { None };
    let tcp_sink = Running::start(hosts.b().command(&netcat).args(["sink", &TCP_PORT.to_string()]))?;
    let sink = hosts.pod("sink", "b", &["sink", "9"])?;
    let (mut ours, mut quinns, mut guards) = (Carried::default(), Carried::default(), Carried::default());
    for run in 0..N_PAIRS {
        let cpu = cpu_of(&hosts.agents())?;
        let said = hosts.run_pod(&format!("send-{run}"), "a", &["send", &format!("{sink}:9"), SECONDS])?;
        ours.add(&said, cpu_of(&hosts.agents())? - cpu)?;
        let mut send = hosts.a().command(&quic);
        send.arg("send").arg(&authority).args([&quic_address, SECONDS]);
        quinns.carry(&mut send, &[quic_sink.pid()])?;
        if let Some(tunnel) = &tunnel {
            let mut send = hosts.a().command(&netcat);
            send.args(["send", &format!("{}:{TCP_PORT}", wireguard::FAR), SECONDS]);
            let [near, far] = tunnel.pids();
            guards.carry(&mut send, &[tcp_sink.pid(), near, far])?;
        }
    }
    tell("quinn's own (target 0.8)", &ours, quinns);
    if tunnel.is_some() {
        tell("wireguard-go (target 1)", &ours, guards);
    }
    Ok(())
}

impl Carried {
    /// Lets a program send, and counts what it and `others` took for that.
    fn carry(&mut self, send: &mut Command, others: &[u32]) -> Result<()> {
        let cpu = cpu_of(others)? + cpu_seconds_of_ended()?;
        let said = ask(send)?;
        self.add(&said, cpu_of(others)? + cpu_seconds_of_ended()? - cpu)
    }
}

fn tell(peer: &str, ours: &Carried, theirs: Carried) {
    let [rate, cost] = [&ours.mb_per_second, &ours.cpu_ms_per_gb].map(|values| Spread::of(values.clone()));
    let [their_rate, their_cost] = [theirs.mb_per_second, theirs.cpu_ms_per_gb].map(Spread::of);
    report_spread("one TCP stream between pods", &rate, "MB/s", peer, &their_rate);
    report("  the best of each", rate.most, "MB/s", peer, their_rate.most);
    report_spread("  CPU, both hosts", &cost, "ms/GB", peer, &their_cost);
}

fn quic_address(hosts: &Hosts) -> String {
    format!("{}:{QUIC_PORT}", hosts.b().address)
}

/// Starts the other end of quinn's own.
fn quic_sink(hosts: &Hosts, dir: &Path) -> Result<Running> {
    let authority = dir.join(AUTHORITY);
    let mut sink = hosts.b().command(&given("QUIC")?);
    let sink = Running::start(sink.arg("sink").arg(&authority).arg(quic_address(hosts)))?;
    wait::until("the authority of quinn's own", || {
        let is_there = ["ca.crt", "ca.key"].iter().all(|file| authority.join(file).exists());
        is_there.then_some(()).ok_or_else(String::new)
    });
    Ok(sink)
}

fn round_trips(hosts: &Hosts, dir: &Path) -> Result<()> {
    let (quic, netcat) = (given("QUIC")?, given("NETCAT")?);
    let _sink = quic_sink(hosts, dir)?;
    let _echo = Running::start(hosts.b().command(&netcat).args(["listen-udp", &UDP_PORT.to_string()]))?;
    let echo = hosts.pod("echo", "b", &["listen-udp", "53"])?;
    let (mut ours, mut plain, mut quinns) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..N_PAIRS {
        let said = hosts.run_pod(&format!("ping-{run}"), "a", &["ping", &format!("{echo}:53"), N_ROUND_TRIPS])?;
        ours.push(microseconds(&said)?);
        let far = format!("{}:{UDP_PORT}", hosts.b().address);
        plain.push(microseconds(&ask(hosts.a().command(&netcat).args(["ping", &far, N_ROUND_TRIPS]))?)?);
        let mut ping = hosts.a().command(&quic);
        ping.arg("ping").arg(dir.join(AUTHORITY)).args([&quic_address(hosts), N_ROUND_TRIPS]);
        quinns.push(microseconds(&ask(&mut ping)?)?);
    }
    let added = ours.iter().zip(&plain).map(|(ours, plain)| ours - plain).collect::<Vec<_>>();
    let ours = Spread::of(ours);
    report_spread("UDP round trip, p50", &ours, "us", "without overlay", &Spread::of(plain));
    report_spread("", &ours, "us", "quinn's own, no guests", &Spread::of(quinns));
    report_limit("  what the overlay adds", &Spread::of(added.clone()), "us", "limit", 60.0);
    report("  at its best", percentile(&added, 0.0), "us", "limit", 60.0);
    Ok(())
}

/// The median, of which a ping speaks first.
fn microseconds(said: &str) -> Result<f64> {
    let (median, _quickest) = said.split_once(' ').with_context(|| format!("not what a ping says: {said:?}"))?;
    Ok(median.parse::<f64>()? / 1e3)
}
