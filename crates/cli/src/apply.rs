//! `apply`: brings objects to the state that files describe, by server-side apply.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use http::StatusCode;
use serde_json::Value;

use crate::connect::Connection;
use crate::discovery::{Discovery, ResourceType, text};
use crate::manifests::{self, Manifest};
use crate::output::{self, Output};
use crate::server::{APPLY_PATCH, Failures, JSON, Refusal, Server, is_not_found, query};

const FIELD_MANAGER: &str = "coracle";

#[derive(Debug, Args)]
pub struct Apply {
    /// Files or directories of YAML or JSON; `-` is standard input
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Directories with all that is below them
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Take over fields that others manage
    #[arg(long)]
    force_conflicts: bool,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Whose fields they become
    #[arg(long, default_value = FIELD_MANAGER)]
    field_manager: String,
    /// How to print
    #[arg(short, long)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

impl Apply {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let manifests = manifests::read(&self.filename, self.recursive)?;
        let server = self.connection.open().await?;
        let discovery = Discovery::ask(&server).await?;
        let mut applied = Vec::new();
        let mut failures = Failures::default();
        for manifest in &manifests {
            let place = Place::of(manifest, &discovery, &server, self.connection.namespace.as_deref());
            let Some(place) = failures.keep(place) else { continue };
            let outcome = self.apply(&server, manifest, &place).await.with_context(|| place.to_string());
            let Some((outcome, object)) = failures.keep(outcome) else { continue };
            match self.output {
                None | Some(Output::Table | Output::Wide) => {
                    let dry_run = if self.dry_run { " (server dry run)" } else { "" };
                    writeln!(out, "{place} {outcome}{dry_run}")?;
                }
                Some(Output::Name) => writeln!(out, "{place}")?,
                Some(Output::Json | Output::Yaml) => applied.push(object),
            }
        }
        match self.output {
            Some(output @ (Output::Json | Output::Yaml)) => output::print(out, applied, false, output)?,
            Some(Output::Table | Output::Wide | Output::Name) | None => {}
        }
        failures.into_result()
    }

    async fn apply(
        &self,
        server: &Server,
        manifest: &Manifest,
        place: &Place,
    ) -> anyhow::Result<(&'static str, Value)> {
        let before = match server.get(&place.path, JSON).await {
            Ok(object) => object["metadata"]["resourceVersion"].clone(),
            Err(error) if is_not_found(&error) => Value::Null,
            Err(error) => return Err(error),
        };
        let parameters = query(&[
            ("fieldManager", Some(&self.field_manager)),
            ("fieldValidation", Some("Strict")),
            ("force", self.force_conflicts.then_some("true")),
            ("dryRun", self.dry_run.then_some("All")),
        ]);
        let uri = format!("{}{parameters}", place.path);
        let (status, object) = server.patch(&uri, APPLY_PATCH, &manifest.object).await.map_err(explain)?;
        let outcome = match object["metadata"]["resourceVersion"] == before {
            _ if status == StatusCode::CREATED => "created",
            true => "unchanged",
            false => "configured",
        };
        Ok((outcome, object))
    }
}

/// A conflict over fields has a way out; the server only says that there is one.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let conflict = error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.code == StatusCode::CONFLICT);
    if conflict { anyhow!("{error:#}; --force-conflicts takes those fields over") } else { error }
}

/// Where an object belongs.
pub(crate) struct Place {
    pub(crate) resource: ResourceType,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) path: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.resource.qualified_singular(), self.name)
    }
}

impl Place {
    /// The place that a manifest names; `asked` is the namespace of the command line.
    pub(crate) fn of(
        manifest: &Manifest,
        discovery: &Discovery,
        server: &Server,
        asked: Option<&str>,
    ) -> anyhow::Result<Self> {
        let (source, object) = (&manifest.source, &manifest.object);
        let resource = discovery.of(object).with_context(|| source.clone())?.clone();
        let name = text(&object["metadata"]["name"]).to_owned();
        if name.is_empty() {
            bail!("{source}: a {} has no metadata.name", resource.kind);
        }
        let own = object["metadata"]["namespace"].as_str();
        if let (Some(own), Some(asked)) = (own, asked.filter(|asked| own.is_some_and(|own| own != *asked))) {
            bail!("{source}: {name} is of namespace {own}, but -n says {asked}: leave out one of them");
        }
        let namespace = own.unwrap_or(&server.namespace).to_owned();
        let path = format!("{}/{name}", resource.path(Some(&namespace)));
        Ok(Self { resource, name, namespace, path })
    }
}
