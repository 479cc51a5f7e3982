//! The kinds of the group `discovery.k8s.io`.

use super::row;
use crate::kind::{Generation, Kind};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        generation: Generation::Content,
        ..row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
    }]
}
