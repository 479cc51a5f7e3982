//! `scale`: sets how many replicas a workload has.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::connect::Connection;
use crate::discovery::Discovery;
use crate::get::with_next_step;
use crate::server::{JSON, MERGE_PATCH, is_not_found};
use crate::targets;

#[derive(Debug, Args)]
pub struct Scale {
    /// TYPE/NAME… or TYPE NAME…
    #[arg(required = true)]
    words: Vec<String>,
    /// How many
    #[arg(long)]
    replicas: u32,
    /// Only if there are so many now
    #[arg(long)]
    current_replicas: Option<u32>,
    #[command(flatten)]
    connection: Connection,
}

impl Scale {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let server = self.connection.open().await?;
        for target in targets::parse(&self.words, &Discovery::ask(&server).await?)? {
            let kind = target.resource.qualified_singular();
            if target.names.is_empty() {
                bail!("say which {} to scale", target.resource.plural);
            }
            for name in &target.names {
                let path = format!("{}/{name}/scale", target.resource.path(Some(&server.namespace)));
                let mut patch = json!({"spec": {"replicas": self.replicas}});
                if let Some(expected) = self.current_replicas {
                    let now = server.get(&path, JSON).await?;
                    let replicas = now["spec"]["replicas"].as_u64().unwrap_or(0);
                    if replicas != u64::from(expected) {
                        bail!("{kind}/{name} has {replicas} replicas, not {expected}: nothing was changed");
                    }
                    // The condition holds only for what was just read.
                    patch["metadata"] = json!({"resourceVersion": now["metadata"]["resourceVersion"]});
                }
                match server.patch(&path, MERGE_PATCH, &patch).await {
                    Err(error) if is_not_found(&error) => return Err(with_next_step(&error, &target, &server)),
                    answered => answered?,
                };
                writeln!(out, "{kind}/{name} scaled")?;
            }
        }
        Ok(())
    }
}
