//! Addresses and node ports of Services: claimed before a Service is stored, released when it goes.
//!
//! What is taken is derived from the stored Services at start and kept in memory: the Services are the durable record.

mod pool;
mod wishes;

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use coracle_api::kind::name_of;
use coracle_api::status::Status;
use coracle_api::validation::FieldError;
use ipnet::Ipv4Net;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::registry::Write;
use crate::resources::{Resource, Special};
use crate::state::State;
use pool::{Pools, Refusal};
use wishes::Wishes;

/// What is free and what is taken. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Allocators(Arc<Mutex<Pools>>);

impl Allocators {
    pub(crate) fn new(addresses: Ipv4Net, ports: RangeInclusive<u16>) -> Self {
        Self(Arc::new(Mutex::new(Pools::new(addresses, ports))))
    }

    /// Notes what the Services that are stored have.
    pub(crate) fn adopt(&self, service: &Value) {
        let (addresses, ports) = wishes::held(service);
        let mut pools = self.0.lock();
        addresses.into_iter().for_each(|address| pools.adopt_address(address));
        ports.into_iter().for_each(|port| pools.adopt_port(port));
    }

    fn release(&self, addresses: &[Ipv4Addr], ports: &[u16]) {
        let mut pools = self.0.lock();
        addresses.iter().for_each(|address| pools.release_address(*address));
        ports.iter().for_each(|port| pools.release_port(*port));
    }
}

/// What a write has claimed: kept once it is stored, given back otherwise.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    allocators: Option<Allocators>,
    addresses: Vec<Ipv4Addr>,
    ports: Vec<u16>,
    /// What the Service had and has not any more.
    left: (Vec<Ipv4Addr>, Vec<u16>),
    /// The write is on its way to the store: it may be stored although nobody waits for it any more.
    is_submitted: bool,
}

impl Claims {
    fn of(allocators: &Allocators) -> Self {
        let allocators = Some(allocators.clone());
        Self {
            allocators,
            addresses: Vec::new(),
            ports: Vec::new(),
            left: (Vec::new(), Vec::new()),
            is_submitted: false,
        }
    }

    /// The write is handed to the store. From now on only its outcome gives anything back: a client that goes away
    /// meanwhile must not free what its Service is about to have.
    pub(crate) fn submit(&mut self) {
        self.is_submitted = true;
    }

    /// The write was not stored.
    pub(crate) fn give_back(mut self) {
        self.is_submitted = false;
    }

    /// The write is stored.
    pub(crate) fn keep(mut self) {
        if let Some(allocators) = self.allocators.take() {
            allocators.release(&self.left.0, &self.left.1);
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        if let Some(allocators) = self.allocators.take().filter(|_| !self.is_submitted) {
            allocators.release(&self.addresses, &self.ports);
        }
    }
}

/// Keeps what an update of a Service leaves out and still needs. It runs before the update is checked.
pub(crate) fn inherit(resource: &Resource, object: &mut Value, old: &Value) {
    if resource.special == Special::Service {
        wishes::inherit(object, old);
    }
}

/// Gives a Service the addresses and ports that it needs, and writes them into it.
pub(crate) fn claim(write: &Write<'_>, object: &mut Value, old: Option<&Value>) -> Result<Claims, Status> {
    if write.resource.special != Special::Service {
        return Ok(Claims::default());
    }
    wishes::families(object)
        .map_err(|errors| Status::invalid(write.resource.kind.qualified(), name_of(object), &errors))?;
    let held = old.map(wishes::held).unwrap_or_default();
    let wishes = Wishes::of(object);
    let allocators = &write.state.allocators;
    let mut claims = Claims::of(allocators);
    let name = name_of(object).to_owned();
    let refused = |error: FieldError| Status::invalid(write.resource.kind.qualified(), &name, &[error]);
    {
        let mut pools = allocators.0.lock();
        let address = claim_address(&mut pools, &mut claims, &wishes, &held.0).map_err(refused)?;
        let ports = claim_ports(&mut pools, &mut claims, &wishes, &held.1).map_err(refused)?;
        let health = claim_health_port(&mut pools, &mut claims, &wishes, &held.1)?;
        wishes::grant(object, address, &ports, health);
    }
    let has = wishes::held(object);
    claims.left.0 = held.0.into_iter().filter(|address| !has.0.contains(address)).collect();
    claims.left.1 = held.1.into_iter().filter(|port| !has.1.contains(port)).collect();
    Ok(claims)
}

/// Gives back what a removed Service had.
pub(crate) fn release(state: &State, resource: &Resource, object: &Value) {
    if resource.special == Special::Service {
        let (addresses, ports) = wishes::held(object);
        state.allocators.release(&addresses, &ports);
    }
}

fn claim_address(
    pools: &mut Pools,
    claims: &mut Claims,
    wishes: &Wishes,
    held: &[Ipv4Addr],
) -> Result<Option<Ipv4Addr>, FieldError> {
    let asked = match &wishes.address {
        wishes::Address::None => return Ok(None),
        wishes::Address::Any => None,
        wishes::Address::This(text) => Some(text),
    };
    let refused = |why: &str| {
        let asked = asked.map(String::as_str).unwrap_or_default();
        let detail = if asked.is_empty() {
            format!("failed to allocate a serviceIP: {why}")
        } else {
            format!("failed to allocate IP {asked}: {why}")
        };
        FieldError::invalid("spec.clusterIPs", &json!([asked]), &detail)
    };
    let address = match asked {
        None => pools.any_address().ok_or_else(|| refused("range is full"))?,
        Some(text) => {
            let outside = || refused("the provided network does not match the current range");
            let address: Ipv4Addr = text.parse().map_err(|_| outside())?;
            if held.contains(&address) {
                return Ok(Some(address));
            }
            pools.take_address(address).map_err(|refusal| match refusal {
                Refusal::Taken => refused("provided IP is already allocated"),
                Refusal::Outside => outside(),
            })?;
            address
        }
    };
    claims.addresses.push(address);
    Ok(Some(address))
}

fn claim_ports(
    pools: &mut Pools,
    claims: &mut Claims,
    wishes: &Wishes,
    held: &[u16],
) -> Result<Vec<Option<u16>>, FieldError> {
    let mut granted: Vec<Option<u16>> = Vec::with_capacity(wishes.ports.len());
    for (idx, wish) in wishes.ports.iter().enumerate() {
        let port = match wish {
            wishes::Port::None => None,
            wishes::Port::This(port) => {
                let is_own = held.contains(port) || claims.ports.contains(port);
                if !is_own {
                    take_port(pools, claims, *port).map_err(|why| {
                        FieldError::invalid(format!("spec.ports[{idx}].nodePort"), &json!(port), &why)
                    })?;
                }
                Some(*port)
            }
            wishes::Port::LikeBefore(before) if granted.get(*before).is_some_and(Option::is_some) => granted[*before],
            wishes::Port::Any | wishes::Port::LikeBefore(_) => {
                let port = pools.any_port().ok_or_else(|| {
                    let why = "failed to allocate a nodePort: range is full";
                    FieldError::invalid(format!("spec.ports[{idx}].nodePort"), &json!(0), why)
                })?;
                claims.ports.push(port);
                Some(port)
            }
        };
        granted.push(port);
    }
    Ok(granted)
}

fn claim_health_port(
    pools: &mut Pools,
    claims: &mut Claims,
    wishes: &Wishes,
    held: &[u16],
) -> Result<Option<u16>, Status> {
    match wishes.health {
        wishes::Port::None => Ok(None),
        wishes::Port::This(port) if held.contains(&port) => Ok(Some(port)),
        wishes::Port::This(port) => {
            take_port(pools, claims, port).map_err(|why| {
                Status::internal(&format!("failed to allocate requested HealthCheck NodePort {port}: {why}"))
            })?;
            Ok(Some(port))
        }
        wishes::Port::Any | wishes::Port::LikeBefore(_) => {
            let full = || Status::internal("failed to allocate a HealthCheck NodePort: range is full");
            let port = pools.any_port().ok_or_else(full)?;
            claims.ports.push(port);
            Ok(Some(port))
        }
    }
}

fn take_port(pools: &mut Pools, claims: &mut Claims, port: u16) -> Result<(), String> {
    pools.take_port(port).map_err(|refusal| match refusal {
        Refusal::Taken => "provided port is already allocated".to_owned(),
        Refusal::Outside => {
            let range = pools.port_range();
            let (first, last) = (range.start(), range.end());
            format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
        }
    })?;
    claims.ports.push(port);
    Ok(())
}
