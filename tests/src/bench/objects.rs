//! What 90,000 small objects take in memory: the whole process, with everything that a cluster is.

use anyhow::Result;
use coracle_tests::cluster::Cluster;

use crate::access::Access;
use crate::{Spread, process, report_limit, runtime};

const N_OBJECTS: usize = 90_000;
const N_CLIENTS: usize = 64;
const LIMIT_MIB: f64 = 400.0;

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    let access = Access::read(&cluster)?;
    let path = "/api/v1/namespaces/default/configmaps";
    runtime()?.block_on(access.create_many(path, N_OBJECTS, N_CLIENTS, object))?;
    let rss = Spread::of(vec![process::rss_mib(cluster.pid())?]);
    report_limit("90,000 small objects", &rss, "MiB", "limit (real Kubernetes 1331)", LIMIT_MIB);
    cluster.stop();
    let again = Cluster::up(dir.path(), &[]);
    let rss = Spread::of(vec![process::rss_mib(again.pid())?]);
    report_limit("the same after a restart", &rss, "MiB", "limit", LIMIT_MIB);
    Ok(())
}

fn object(number: usize) -> String {
    format!(
        r#"{{"metadata":{{"name":"object-{number:06}","labels":{{"app":"bench"}}}},"data":{{"key":"value-{number}"}}}}"#
    )
}
