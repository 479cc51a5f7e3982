//! Our answers are a real API server's, but for the differences that we know and explain.

use crate::cluster::Cluster;
use crate::oracle::{self, Differences};

#[test]
fn recorded_exchanges_with_a_real_api_server_are_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    let report = oracle::replay(&cluster.kubeconfig(), "").unwrap();
    println!("{report}");
    let verdict = Differences::load().unwrap();
    let verdict = verdict.judge(&report, "");
    println!("{verdict}");
    assert!(verdict.is_clean(), "steps differ without a reason");
}

#[test]
fn every_known_difference_has_a_reason_that_the_docs_explain() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/differences.md")).unwrap();
    let differences = Differences::load().unwrap();
    let silent: Vec<_> =
        differences.reasons().into_iter().filter(|key| !page.contains(&format!("| `{key}` |"))).collect();
    assert!(silent.is_empty(), "docs/differences.md does not explain {silent:?}");
}
