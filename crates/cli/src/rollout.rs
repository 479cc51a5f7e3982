//! `rollout`: how far a deployment's rollout is, what came before, and back to it.

mod history;
mod status;

use std::io::Write;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::connect::Connection;
use crate::discovery::{Discovery, text};
use crate::get::with_next_step;
use crate::server::{JSON, JSON_PATCH, MERGE_PATCH, Server, is_not_found};
use crate::table::Table;
use crate::targets::{self, Target};
use crate::watch::Watch;

use status::{Progress, progress};

#[derive(Debug, Args)]
pub struct Rollout {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Wait until the rollout is complete
    Status(Of),
    /// List the revisions
    History(Of),
    /// Go back to the revision before, or to a given one
    Undo {
        #[command(flatten)]
        of: Of,
        /// The revision to go back to; 0 is the one before
        #[arg(long, default_value_t = 0)]
        to_revision: u64,
    },
    /// Replace every pod by a new one
    Restart(Of),
}

#[derive(Debug, Args)]
struct Of {
    /// deployment/NAME
    #[arg(required = true)]
    words: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// A deployment as it is, and where.
struct Deployment {
    server: Server,
    collection: String,
    name: String,
    object: Value,
}

impl Of {
    async fn find(&self) -> anyhow::Result<Deployment> {
        let server = self.connection.open().await?;
        let discovery = Discovery::ask(&server).await?;
        let (resource, name) = targets::parse_one(&self.words, "deployments.apps", &discovery)?;
        if (resource.group.as_str(), resource.kind.as_str()) != ("apps", "Deployment") {
            bail!("rollouts are of deployments, not of {}", resource.plural);
        }
        let collection = resource.path(Some(&server.namespace));
        match server.get(&format!("{collection}/{name}"), JSON).await {
            Ok(object) => Ok(Deployment { server, collection, name, object }),
            Err(error) if is_not_found(&error) => {
                Err(with_next_step(&error, &Target { resource, names: Vec::new() }, &server))
            }
            Err(error) => Err(error),
        }
    }
}

impl Rollout {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        match self.verb {
            Verb::Status(of) => of.find().await?.follow(out).await,
            Verb::History(of) => of.find().await?.print_history(out).await,
            Verb::Undo { of, to_revision } => of.find().await?.undo(to_revision, out).await,
            Verb::Restart(of) => of.find().await?.restart(out).await,
        }
    }
}

impl Deployment {
    fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name)
    }

    async fn follow(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let mut told = None;
        let mut tell = |object: &Value| -> anyhow::Result<bool> {
            let progress = progress(object)?;
            if told.as_ref() != Some(&progress) {
                writeln!(out, "{progress}")?;
                out.flush()?;
            }
            let complete = matches!(progress, Progress::Complete { .. });
            told = Some(progress);
            Ok(!complete)
        };
        if !tell(&self.object)? {
            return Ok(());
        }
        let by_name = format!("metadata.name={}", self.name);
        let watch = Watch {
            server: &self.server,
            path: self.collection.clone(),
            accept: JSON,
            label_selector: None,
            field_selector: Some(&by_name),
            revision: text(&self.object["metadata"]["resourceVersion"]).to_owned(),
        };
        let name = self.name.clone();
        watch
            .follow(|event_type, object| match event_type {
                "DELETED" => Err(anyhow!("deployment {name:?} was deleted")),
                _ => tell(object),
            })
            .await
    }

    async fn revisions(&self) -> anyhow::Result<Vec<history::Revision>> {
        let path = self.collection.replace("/deployments", "/replicasets");
        let replica_sets = crate::get::items(self.server.get(&path, JSON).await?);
        Ok(history::revisions(&self.object, &replica_sets))
    }

    async fn print_history(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let row = |revision: history::Revision| vec![revision.number.to_string(), revision.cause];
        let rows = self.revisions().await?.into_iter().map(row).collect();
        let table = Table { headers: vec!["REVISION".into(), "CHANGE-CAUSE".into()], rows };
        writeln!(out, "deployment.apps/{}", self.name)?;
        table.print(out, &table.widths(&[], true), true)?;
        Ok(())
    }

    async fn undo(self, to_revision: u64, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        if self.object["spec"]["paused"] == true {
            bail!("deployment {:?} is paused; resume it first", self.name);
        }
        let revisions = self.revisions().await?;
        let target = history::target(&revisions, to_revision).ok_or_else(|| {
            let known: Vec<String> = revisions.iter().map(|revision| revision.number.to_string()).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            anyhow!("deployment {:?} has no such revision to go back to: it has {known}", self.name)
        })?;
        if target.template == self.object["spec"]["template"] {
            writeln!(out, "deployment.apps/{} skipped rollback (it is at revision {})", self.name, target.number)?;
            return Ok(());
        }
        let patch = json!([{"op": "replace", "path": "/spec/template", "value": target.template}]);
        self.server.patch(&self.path(), JSON_PATCH, &patch).await?;
        writeln!(out, "deployment.apps/{} rolled back", self.name)?;
        Ok(())
    }

    async fn restart(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        if self.object["spec"]["paused"] == true {
            bail!("deployment {:?} is paused; resume it first", self.name);
        }
        let now = Timestamp::now().to_string();
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        self.server.patch(&self.path(), MERGE_PATCH, &patch).await?;
        writeln!(out, "deployment.apps/{} restarted", self.name)?;
        Ok(())
    }
}
