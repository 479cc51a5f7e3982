//! The kinds of the group `discovery.k8s.io`.

use super::row;
use crate::kind::{Generation, Hooks, Kind};
use crate::{columns, defaults, validation};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        generation: Generation::Content,
        columns: columns::network::endpoint_slice(),
        hooks: Hooks {
            defaults: defaults::network::endpoint_slice,
            validate: validation::slices::slice,
            validate_update: validation::slices::slice_update,
            ..Hooks::default()
        },
        ..row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
    }]
}
