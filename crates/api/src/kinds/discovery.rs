//! The kinds of the group `discovery.k8s.io`.

use serde_json::Value;

use super::row;
use crate::kind::{Generation, Hooks, Kind};
use crate::{columns, defaults, validation, warnings};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        generation: Generation::ContentAndLabels,
        columns: columns::network::endpoint_slice(),
        hooks: Hooks {
            defaults: defaults::network::endpoint_slice,
            prepare_create: drop_topology,
            validate: validation::slices::slice,
            validate_update: validation::slices::slice_update,
            warnings: warnings::endpoint_slice,
            ..Hooks::default()
        },
        ..row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
    }]
}

/// The field is there to show what an older version had, and cannot be set.
fn drop_topology(slice: &mut Value) {
    let endpoints = slice.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in endpoints.into_iter().flatten().filter_map(Value::as_object_mut) {
        endpoint.remove("deprecatedTopology");
    }
}
