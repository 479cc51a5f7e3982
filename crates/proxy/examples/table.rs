//! What the table of ten thousand services of ten endpoints takes: to make, to copy for a change, to ask, and to keep. It
//! prints JSON for the benchmark `services`.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use coracle_net::{Protocol, Route};
use coracle_proxy::{Node, Table, table};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

const N_SERVICES: u32 = 10_000;
const N_ENDPOINTS: u32 = 10;
/// Each is asked so often, in an order of chance.
const N_ROUNDS: u32 = 20;

fn main() {
    let (services, slices): (Vec<_>, Vec<_>) = (0..N_SERVICES).map(|n| (service(n), slice(n))).unzip();
    let (before, began) = (resident_bytes(), Instant::now());
    let table = table(&services, &slices, &Node { name: "here".into(), ..Node::default() });
    let made = began.elapsed();
    let grown = resident_bytes() - before;
    let (copied, lookup, hash_map) = (copying(&table), lookup_ns(&table), hash_map_ns());
    println!(
        "{}",
        json!({
            "make_ms": made.as_secs_f64() * 1e3,
            "change_ms": copied,
            "lookup_ns": lookup,
            "hash_map_ns": hash_map,
            "endpoint_bytes": grown / f64::from(N_SERVICES * N_ENDPOINTS),
        })
    );
}

/// What every change does, however small. The best of several.
fn copying(table: &Table) -> f64 {
    let once = |_| {
        let began = Instant::now();
        black_box(table.clone());
        began.elapsed().as_secs_f64() * 1e3
    };
    (0..N_ROUNDS).map(once).fold(f64::INFINITY, f64::min)
}

fn lookup_ns(table: &Table) -> f64 {
    per_address_ns(|address| match table.route(None, address, Protocol::Tcp, &[]) {
        Route::Endpoint(endpoint) => drop(black_box(endpoint)),
        other => panic!("{address} is a service: {other:?}"),
    })
}

fn hash_map_ns() -> f64 {
    let map: HashMap<SocketAddr, u32> = (0..N_SERVICES).map(|n| (address(n), n)).collect();
    per_address_ns(|address| {
        black_box(map[&address]);
    })
}

/// The best of several rounds over all addresses.
fn per_address_ns(mut ask: impl FnMut(SocketAddr)) -> f64 {
    let mut addresses: Vec<SocketAddr> = (0..N_SERVICES).map(address).collect();
    addresses.shuffle(&mut rand::rng());
    let round = |_| {
        let began = Instant::now();
        addresses.iter().for_each(|address| ask(*address));
        began.elapsed().as_nanos() as f64 / f64::from(N_SERVICES)
    };
    (0..N_ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn address(n: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 0)) + n + 1), 80))
}

fn service(n: u32) -> Service {
    let ports = json!([{"name": "main", "port": 80, "targetPort": 8080}]);
    parsed(json!({"metadata": metadata(n), "spec": {"clusterIPs": [address(n).ip()], "ports": ports}}))
}

fn slice(n: u32) -> EndpointSlice {
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 0)) + n * N_ENDPOINTS;
    let endpoint = |n: u32| json!({"addresses": [Ipv4Addr::from(first + n)], "conditions": {"ready": true}});
    let endpoints: Vec<Value> = (0..N_ENDPOINTS).map(endpoint).collect();
    let ports = json!([{"name": "main", "port": 8080, "protocol": "TCP"}]);
    parsed(json!({"metadata": metadata(n), "addressType": "IPv4", "ports": ports, "endpoints": endpoints}))
}

fn metadata(n: u32) -> Value {
    let name = format!("service-{n:05}");
    json!({"namespace": "default", "name": name, "labels": {"kubernetes.io/service-name": name}})
}

fn parsed<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).expect("it is what Kubernetes has")
}

/// What the process holds, by Linux's /proc.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.expect("its second number is what is resident") * 4096.0
}
