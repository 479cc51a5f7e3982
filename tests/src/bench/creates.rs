//! Durable creates of 3 KiB ConfigMaps by 64 clients, each on a TLS connection of its own, against raw puts of as many
//! bytes into etcd: the same disk, the same run, one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use coracle_tests::cluster::Cluster;
use tokio::task::JoinSet;

use crate::access::{Access, Connection};
use crate::etcd::Etcd;
use crate::{Spread, report_spread, runtime};

const N_CLIENTS: usize = 64;
const N_PAIRS: usize = 5;
const LASTING: Duration = Duration::from_secs(4);
const OBJECT_BYTES: usize = 3 << 10;
/// etcd's clients share so many connections, whichever is best for it.
const ETCD_CONNECTIONS: [usize; 2] = [4, N_CLIENTS];
const PATH: &str = "/api/v1/namespaces/default/configmaps";

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data_dir = dir.path().join("coracle");
    std::fs::create_dir(&data_dir)?;
    let cluster = Cluster::up(&data_dir, &[]);
    let etcd = Etcd::start(&dir.path().join("etcd"))?;
    let access = Access::read(&cluster)?;
    let runtime = runtime()?;
    let (mut ours, mut theirs) = (Vec::new(), [Vec::new(), Vec::new()]);
    let value = Bytes::from(vec![b'x'; OBJECT_BYTES]);
    for run in 0..N_PAIRS {
        ours.push(runtime.block_on(burst(&access, run))?);
        for (rates, n_connections) in theirs.iter_mut().zip(ETCD_CONNECTIONS) {
            let run = run * N_CLIENTS + n_connections;
            rates.push(runtime.block_on(etcd.puts(&value, N_CLIENTS, n_connections, LASTING, run))?);
        }
    }
    let [few, many] = theirs.map(Spread::of);
    let theirs = if few.median > many.median { few } else { many };
    report_spread("durable 3 KiB creates, 64 clients", &Spread::of(ours), "/s", "etcd 3.4 puts, no TLS", &theirs);
    Ok(())
}

async fn burst(access: &Arc<Access>, run: usize) -> Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..N_CLIENTS {
        connections.push(access.connect().await?);
    }
    let mut clients = JoinSet::new();
    let start = Instant::now();
    for (client, connection) in connections.into_iter().enumerate() {
        clients.spawn(create_until(start + LASTING, connection, run, client));
    }
    let mut n_created = 0;
    while let Some(ended) = clients.join_next().await {
        n_created += ended??;
    }
    Ok(n_created as f64 / start.elapsed().as_secs_f64())
}

async fn create_until(end: Instant, mut connection: Connection, run: usize, client: usize) -> Result<usize> {
    let filling = "x".repeat(OBJECT_BYTES - 256);
    let mut n_created = 0;
    while Instant::now() < end {
        let name = format!("c{run}-{client}-{n_created}");
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"key":"{filling}"}}}}"#
        );
        connection.create(PATH, &body).await?;
        n_created += 1;
    }
    Ok(n_created)
}
