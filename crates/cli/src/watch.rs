//! Watches as streams of events. It reconnects where a watch ended; the caller decides what an event means.

use std::time::Duration;

use anyhow::bail;
use futures::{AsyncBufReadExt, StreamExt};
use serde_json::Value;

use crate::discovery::text;
use crate::server::{Server, query};

/// How long to wait before a watch that ended at once is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// What to watch, and from where on.
pub(crate) struct Watch<'a> {
    pub(crate) server: &'a Server,
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    pub(crate) label_selector: Option<&'a str>,
    pub(crate) field_selector: Option<&'a str>,
    pub(crate) revision: String,
}

impl Watch<'_> {
    /// Calls `see` with each event's type and object, until it returns false.
    pub(crate) async fn follow(
        mut self,
        mut see: impl FnMut(&str, &Value) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        loop {
            let parameters = query(&[
                ("watch", Some("true")),
                ("allowWatchBookmarks", Some("true")),
                ("labelSelector", self.label_selector),
                ("fieldSelector", self.field_selector),
                ("resourceVersion", Some(&self.revision)),
            ]);
            let uri = format!("{}{parameters}", self.path);
            let mut lines = self.server.stream(&uri, self.accept).await?.lines();
            while let Some(line) = lines.next().await {
                // A connection that broke is as one that ended: go on where it stopped.
                let Ok(line) = line else { break };
                let event: Value = serde_json::from_str(&line)?;
                if !self.take(&event, &mut see)? {
                    return Ok(());
                }
            }
            tokio::time::sleep(REOPEN_AFTER).await;
        }
    }

    fn take(
        &mut self,
        event: &Value,
        see: &mut impl FnMut(&str, &Value) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let (event_type, object) = (text(&event["type"]), &event["object"]);
        if event_type == "ERROR" {
            bail!("the watch ended: {}; start the command again", text(&object["message"]));
        }
        let row = &object["rows"][0]["object"];
        for metadata in [&object["metadata"], &row["metadata"]] {
            if let Some(revision) = metadata["resourceVersion"].as_str().filter(|revision| !revision.is_empty()) {
                self.revision = revision.to_owned();
            }
        }
        if event_type == "BOOKMARK" { Ok(true) } else { see(event_type, object) }
    }
}
