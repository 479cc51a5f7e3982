//! `coredump`: what a container's guest was like when it last trapped, for tools that read WebAssembly's core dumps.

use std::io::{IsTerminal, Write};

use anyhow::bail;
use clap::Args;
use futures::AsyncReadExt;
use serde_json::Value;

use crate::connect::Connection;
use crate::discovery::{array, text};
use crate::server::JSON;

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Args)]
pub struct Coredump {
    pod: String,
    /// The container [default: the pod's first]
    #[arg(short, long)]
    container: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Coredump {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        if std::io::stdout().is_terminal() {
            bail!("a core dump is no text: `coracle coredump {} > core.wasm`", self.pod);
        }
        let server = self.connection.open().await?;
        let (namespace, pod) = (&server.namespace, &self.pod);
        let found = server.get(&format!("/api/v1/namespaces/{namespace}/pods/{pod}"), JSON).await?;
        let (node, container) = self.place(&found)?;
        let uri = format!("/api/v1/nodes/{node}/proxy/coredump/{namespace}/{pod}/{container}");
        let mut dump = server.stream(&uri, "*/*").await?;
        let mut chunk = vec![0; CHUNK];
        loop {
            match dump.read(&mut chunk).await? {
                0 => return Ok(()),
                n => out.write_all(&chunk[..n])?,
            }
        }
    }

    /// The pod's node, and which of its containers is meant.
    fn place(&self, pod: &Value) -> anyhow::Result<(String, String)> {
        let node = text(&pod["spec"]["nodeName"]);
        if node.is_empty() {
            bail!("pod {} is on no node yet", self.pod);
        }
        let names = ["containers", "initContainers", "ephemeralContainers"].map(|list| array(&pod["spec"][list]));
        let mut names = names.into_iter().flatten().map(|container| text(&container["name"]));
        let chosen = match &self.container {
            Some(wanted) => names.find(|name| name == wanted),
            None => names.next(),
        };
        match chosen {
            Some(name) => Ok((node.to_owned(), name.to_owned())),
            None => bail!("pod {} has no container {:?}", self.pod, self.container.as_deref().unwrap_or_default()),
        }
    }
}
