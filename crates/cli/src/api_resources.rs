//! `api-resources`: which resource types the server knows.

use std::io::Write;

use clap::Args;

use crate::connect::Connection;
use crate::discovery::{Discovery, ResourceType};
use crate::table::Table;

#[derive(Debug, Args)]
pub struct ApiResources {
    #[command(flatten)]
    connection: Connection,
}

impl ApiResources {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let discovery = Discovery::ask(&self.connection.open().await?).await?;
        let row = |known: &ResourceType| {
            let namespaced = known.namespaced.to_string();
            vec![known.plural.clone(), known.short_names.join(","), known.api_version(), namespaced, known.kind.clone()]
        };
        let headers = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"].map(ToOwned::to_owned).to_vec();
        let table = Table { headers, rows: discovery.all().iter().map(row).collect() };
        table.print(out, &table.widths(&[], true), true)?;
        Ok(())
    }
}
