//! `delete`: removes objects by type and name, label, or file, and waits until they are gone.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::apply::Place;
use crate::connect::Connection;
use crate::discovery::{Discovery, ResourceType, text};
use crate::get::{items, with_next_step};
use crate::manifests;
use crate::server::{Failures, JSON, Server, is_not_found, query};
use crate::targets::{self, Target};
use crate::watch::Watch;

#[derive(Debug, Args)]
pub struct Delete {
    /// TYPE NAME… or TYPE/NAME…
    words: Vec<String>,
    /// What these files or directories hold; `-` is standard input
    #[arg(short, long = "filename", value_name = "FILE", conflicts_with = "words")]
    filename: Vec<PathBuf>,
    /// Directories with all that is below them
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Those with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// All of the type
    #[arg(long)]
    all: bool,
    /// Seconds that a pod gets to end; negative means its own
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    grace_period: i64,
    /// As --grace-period=1
    #[arg(long)]
    now: bool,
    /// With --grace-period=0: without waiting for the node's word
    #[arg(long)]
    force: bool,
    /// What becomes of those that it owns
    #[arg(long, value_enum, default_value_t = Cascade::Background)]
    cascade: Cascade,
    /// Return before they are gone
    #[arg(long = "no-wait")]
    no_wait: bool,
    /// No error when a named object does not exist
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cascade {
    Background,
    Foreground,
    Orphan,
}

/// One object to delete.
struct Victim {
    resource: ResourceType,
    namespace: String,
    name: String,
}

impl Victim {
    fn collection(&self) -> String {
        self.resource.path(Some(&self.namespace))
    }
}

impl Delete {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let server = self.connection.open().await?;
        let victims = self.victims(&server).await?;
        if victims.is_empty() {
            eprintln!("No resources found");
        }
        let (mut going, mut failures) = (Vec::new(), Failures::default());
        for victim in victims {
            if let Some(Some(uid)) = failures.keep(self.delete(&server, &victim, out).await) {
                going.push((victim, uid));
            }
        }
        if !self.no_wait {
            for (victim, uid) in going {
                failures.keep(wait_until_gone(&server, &victim, &uid).await);
            }
        }
        failures.into_result()
    }

    async fn victims(&self, server: &Server) -> anyhow::Result<Vec<Victim>> {
        let discovery = Discovery::ask(server).await?;
        if !self.filename.is_empty() {
            let manifests = manifests::read(&self.filename, self.recursive)?;
            let place = |manifest| Place::of(manifest, &discovery, server, self.connection.namespace.as_deref());
            let places = manifests.iter().map(place).collect::<anyhow::Result<Vec<_>>>()?;
            let victim = |Place { resource, namespace, name, .. }| Victim { resource, namespace, name };
            return Ok(places.into_iter().map(victim).collect());
        }
        let mut victims = Vec::new();
        for Target { resource, names } in targets::parse(&self.words, &discovery)? {
            if names.is_empty() && self.selector.is_none() && !self.all {
                bail!("say which {}: by name, with -l, or --all", resource.plural);
            }
            let names = if names.is_empty() { self.matching(server, &resource).await? } else { names };
            let victim = |name| Victim { resource: resource.clone(), namespace: server.namespace.clone(), name };
            victims.extend(names.into_iter().map(victim));
        }
        Ok(victims)
    }

    async fn matching(&self, server: &Server, resource: &ResourceType) -> anyhow::Result<Vec<String>> {
        let path = resource.path(Some(&server.namespace));
        let list =
            server.get(&format!("{path}{}", query(&[("labelSelector", self.selector.as_deref())])), JSON).await?;
        Ok(items(list).iter().map(|item| text(&item["metadata"]["name"]).to_owned()).collect())
    }

    /// Deletes one object, and returns its uid when it takes its time.
    async fn delete(&self, server: &Server, victim: &Victim, out: &mut dyn Write) -> anyhow::Result<Option<Value>> {
        let Victim { resource, namespace, name } = victim;
        let answer = match server.delete(&format!("{}/{name}", victim.collection()), &self.options()).await {
            Ok(answer) => answer,
            Err(error) if self.ignore_not_found && is_not_found(&error) => return Ok(None),
            Err(error) if is_not_found(&error) => {
                let target = Target { resource: resource.clone(), names: Vec::new() };
                return Err(with_next_step(&error, &target, server));
            }
            Err(error) => return Err(error),
        };
        let from = if resource.namespaced { format!(" from {namespace} namespace") } else { String::new() };
        let how = if self.force { "force deleted" } else { "deleted" };
        writeln!(out, "{} {name:?} {how}{from}", resource.qualified_singular())?;
        out.flush()?;
        let uid = if answer["kind"] == "Status" { &answer["details"]["uid"] } else { &answer["metadata"]["uid"] };
        Ok(uid.is_string().then(|| uid.clone()))
    }

    fn options(&self) -> Value {
        let policy = match self.cascade {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        };
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        let grace = match self.grace_period {
            _ if self.now => Some(1),
            0.. => Some(self.grace_period),
            _ if self.force => Some(0),
            _ => None,
        };
        if let Some(seconds) = grace {
            options["gracePeriodSeconds"] = seconds.into();
        }
        options
    }
}

async fn wait_until_gone(server: &Server, victim: &Victim, uid: &Value) -> anyhow::Result<()> {
    let by_name = format!("metadata.name={}", victim.name);
    let path = victim.collection();
    let list = server.get(&format!("{path}{}", query(&[("fieldSelector", Some(&by_name))])), JSON).await?;
    let revision = text(&list["metadata"]["resourceVersion"]).to_owned();
    if !items(list).iter().any(|item| item["metadata"]["uid"] == *uid) {
        return Ok(());
    }
    let watch = Watch { server, path, accept: JSON, label_selector: None, field_selector: Some(&by_name), revision };
    watch.follow(|event_type, object| Ok(event_type != "DELETED" || object["metadata"]["uid"] != *uid)).await
}
