//! The Python client does against Coracle what it does against Kubernetes. The scripts are in `tests/python`.

use std::path::Path;

use crate::cluster::{Cluster, python, said};

#[test]
fn the_python_clients_dynamic_client_and_informer_work() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    for script in ["dynamic_client.py", "informer.py"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
        let out = cluster.client(&python()).arg(path).output().expect("start python: run `cargo xtask tools`");
        assert!(out.status.success(), "{script}: {}\n{}", said(&out), cluster.log());
    }
}
