//! `net`: the links between nodes, as each node sees its own; and why a pod reaches something, or does not.

mod why;

use std::io::Write;

use clap::{Args, Subcommand};
use futures::future::join_all;
use serde_json::Value;

use crate::connect::Connection;
use crate::discovery::{array, text};
use crate::server::{Failures, JSON, Server};
use crate::table::Table;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Net {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Only the links of these nodes
    nodes: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say how a pod reaches a target: name, service, endpoints, route; and where and why that ends
    Why(why::Why),
}

const HEADERS: [&str; 10] = ["NODE", "PEER", "LINK", "VIA", "RTT", "LOSS", "SENT", "RECEIVED", "STREAMS", "ADDRESS"];

impl Net {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        if let Some(Verb::Why(why)) = self.verb {
            return why.run(out).await;
        }
        let server = self.connection.open().await?;
        let nodes = if self.nodes.is_empty() { all_nodes(&server).await? } else { self.nodes };
        let asked = join_all(nodes.iter().map(|node| links(&server, node))).await;
        let (mut rows, mut failures) = (Vec::new(), Failures::default());
        for (node, answer) in nodes.iter().zip(asked) {
            let Some(links) = failures.keep(answer) else { continue };
            rows.extend(array(&links).map(|link| row(node, link)));
        }
        let table = Table { headers: HEADERS.map(str::to_owned).to_vec(), rows };
        table.print(out, &table.widths(&[], true), true)?;
        failures.into_result()
    }
}

async fn all_nodes(server: &Server) -> anyhow::Result<Vec<String>> {
    let list = server.get("/api/v1/nodes", JSON).await?;
    Ok(array(&list["items"]).map(|node| text(&node["metadata"]["name"]).to_owned()).collect())
}

async fn links(server: &Server, node: &str) -> anyhow::Result<Value> {
    use anyhow::Context;
    let asked = server.get(&format!("/api/v1/nodes/{node}/proxy/net/links"), JSON).await;
    asked.with_context(|| format!("ask node {node} for its links"))
}

fn row(node: &str, link: &Value) -> Vec<String> {
    let path = &link["path"];
    let number = |field: &str| path[field].as_u64();
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let loss = number("packetsSent").filter(|sent| *sent > 0).zip(number("packetsLost"));
    vec![
        node.to_owned(),
        text(&link["peer"]).to_owned(),
        text(&link["state"]).to_owned(),
        shown(link["relay"].as_str().map(str::to_owned)),
        shown(number("roundTripUs").map(|us| format!("{}.{:02}ms", us / 1000, us % 1000 / 10))),
        shown(loss.map(|(sent, lost)| format!("{:.1}%", lost as f64 * 100.0 / sent as f64))),
        shown(number("bytesSent").map(bytes)),
        shown(number("bytesReceived").map(bytes)),
        shown(number("nStreams").map(|n| n.to_string())),
        shown(path["address"].as_str().map(str::to_owned)),
    ]
}

fn bytes(n: u64) -> String {
    match n {
        0..10_240 => format!("{n}B"),
        10_240..10_485_760 => format!("{}Ki", n >> 10),
        10_485_760..10_737_418_240 => format!("{}Mi", n >> 20),
        _ => format!("{}Gi", n >> 30),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_link_is_told_in_a_row() {
        let path = json!({"address": "192.0.2.7:4433", "roundTripUs": 1234, "packetsSent": 200, "packetsLost": 1,
            "bytesSent": 20_480, "bytesReceived": 7, "nStreams": 2});
        let link = json!({"peer": "n2", "state": "relayed", "relay": "n3", "path": path});
        let expected = ["n1", "n2", "relayed", "n3", "1.23ms", "0.5%", "20Ki", "7B", "2", "192.0.2.7:4433"];
        assert_eq!(row("n1", &link), expected);
        let nowhere = row("n1", &json!({"peer": "n2", "state": "unreachable"}));
        assert_eq!(nowhere[2..5], ["unreachable", "-", "-"]);
    }
}
