//! The targets. What they share is here; each area has a file.

mod images;
#[cfg(feature = "node")]
mod node;
mod objects;
mod patches;
mod requests;
mod selectors;

use coracle_api::kind::Kind;
use coracle_api::kinds;
use serde_json::Value;

/// Something that reads bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its corpus has this name too.
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Bytes of memory that it may take for each byte that it reads.
    pub growth_max: usize,
    /// Bytes that it may take besides, whatever it reads.
    pub always_max: usize,
}

const FEW: usize = 4 << 20;
/// What the bounds of YAML's aliases and of JSON patches' copies allow.
const MANY: usize = 192 << 20;

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "json", run: objects::json, growth_max: 400, always_max: FEW },
    Target { name: "yaml", run: objects::yaml, growth_max: 1000, always_max: MANY },
    Target { name: "protobuf", run: objects::protobuf, growth_max: 1500, always_max: FEW },
    Target { name: "patch", run: patches::patch, growth_max: 2000, always_max: MANY },
    Target { name: "apply", run: patches::apply, growth_max: 2000, always_max: MANY },
    Target { name: "selectors", run: selectors::selectors, growth_max: 1000, always_max: FEW },
    Target { name: "quantity", run: selectors::quantity, growth_max: 100, always_max: FEW },
    Target { name: "request", run: requests::request, growth_max: 200, always_max: FEW },
    Target { name: "continue", run: requests::continuation, growth_max: 200, always_max: FEW },
    Target { name: "image", run: images::image, growth_max: 400, always_max: FEW },
    #[cfg(feature = "node")]
    Target { name: "spdy", run: coracle_node::fuzzing::spdy, growth_max: 200, always_max: FEW },
    #[cfg(feature = "node")]
    Target { name: "log", run: node::log, growth_max: 50, always_max: FEW },
];

/// The kind that the first byte chooses, and the rest.
fn kind_of(bytes: &[u8]) -> Option<(&'static Kind, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let all = kinds::all();
    Some((&all[usize::from(*first) % all.len()], rest))
}

/// What was accepted can be stored and read again.
fn check_storable(value: &Value) {
    let stored = serde_json::to_vec(value).expect("a JSON value always serialises");
    let read: Value = serde_json::from_slice(&stored).expect("what is stored can be read");
    assert_eq!(&read, value, "it reads back as it was written");
}
