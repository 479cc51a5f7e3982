//! The kinds of the group `metrics.k8s.io`: what nodes and pods use now. Nothing of them is kept.

use super::{row, strings};
use crate::columns;
use crate::kind::{Kind, Source};

const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";
/// Where a node answers with what it uses, and with what its pods use: `{"items": [..]}`.
pub const NODE_PATH: &str = "/metrics/nodes";
pub const PODS_PATH: &str = "/metrics/pods";

pub(super) fn rows() -> Vec<Kind> {
    vec![
        Kind { namespaced: false, columns: columns::metrics::nodes(), ..live("NodeMetrics", "nodes", NODE_PATH) },
        Kind { columns: columns::metrics::pods(), ..live("PodMetrics", "pods", PODS_PATH) },
    ]
}

fn live(kind: &str, plural: &str, path: &'static str) -> Kind {
    Kind {
        singular: String::new(),
        verbs: strings(&["get", "list"]),
        source: Source::Nodes { path },
        schema: format!("io.k8s.metrics.pkg.apis.metrics.{VERSION}.{kind}"),
        ..row(GROUP, VERSION, kind, plural)
    }
}
