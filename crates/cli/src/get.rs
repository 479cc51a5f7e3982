//! `get`: what is there, as the server's tables or as the objects themselves.

use std::io::Write;

use anyhow::{anyhow, bail};
use clap::Args;
use serde_json::Value;

use crate::connect::Connection;
use crate::discovery::{Discovery, array, text};
use crate::output::{self, Output};
use crate::server::{JSON, Server, TABLE, is_not_found, query};
use crate::table::{Table, View};
use crate::targets::{self, Target};
use crate::watch::Watch;

/// Objects asked for at a time.
const PAGE: &str = "500";

#[derive(Debug, Args)]
pub struct Get {
    /// TYPE, TYPE NAME…, TYPE,TYPE or TYPE/NAME…
    #[arg(required = true)]
    words: Vec<String>,
    /// Of every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only those with these fields
    #[arg(long)]
    field_selector: Option<String>,
    /// How to print
    #[arg(short, long)]
    output: Option<Output>,
    /// Go on with what changes
    #[arg(short, long)]
    watch: bool,
    /// Without the line of column names
    #[arg(long)]
    no_headers: bool,
    /// With each object's labels
    #[arg(long)]
    show_labels: bool,
    /// No error when a named object does not exist
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Get {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let server = self.connection.open().await?;
        let targets = targets::parse(&self.words, &Discovery::ask(&server).await?)?;
        let output = self.output.unwrap_or_default();
        if self.watch && targets.len() != 1 {
            bail!("only one resource type can be watched at a time");
        }
        match output {
            Output::Table | Output::Wide => self.print_tables(&server, &targets, out).await,
            Output::Json | Output::Yaml | Output::Name => self.print_objects(&server, &targets, output, out).await,
        }
    }

    fn namespace<'a>(&self, server: &'a Server) -> Option<&'a str> {
        (!self.all_namespaces).then_some(&*server.namespace)
    }

    fn view(&self, target: &Target, several: bool) -> View {
        View {
            wide: self.output == Some(Output::Wide),
            with_namespace: self.all_namespaces && target.resource.namespaced,
            with_labels: self.show_labels,
            prefix: several.then(|| target.resource.qualified_singular()),
        }
    }

    async fn print_tables(
        &self,
        server: &Server,
        targets: &[Target],
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<()> {
        let several = targets.len() > 1;
        let mut n_printed = 0;
        for target in merged(targets) {
            let view = self.view(&target, several);
            let answers = self.fetch(server, &target, TABLE).await?;
            let mut table = Table::default();
            for answer in &answers {
                let part = Table::from_server(answer, &view);
                table.headers = part.headers;
                table.rows.extend(part.rows);
            }
            let widths = table.widths(&[], !self.no_headers);
            if !table.rows.is_empty() {
                if n_printed > 0 {
                    writeln!(out)?;
                }
                n_printed += 1;
                table.print(out, &widths, !self.no_headers)?;
            }
            if self.watch {
                return self.follow(server, &target, &answers, (view, widths), out).await;
            }
        }
        if n_printed == 0 {
            self.say_nothing_found(server, targets);
        }
        Ok(())
    }

    fn say_nothing_found(&self, server: &Server, targets: &[Target]) {
        let namespaced = targets.iter().any(|target| target.resource.namespaced);
        match self.namespace(server).filter(|_| namespaced) {
            Some(namespace) => eprintln!("No resources found in {namespace} namespace."),
            None => eprintln!("No resources found"),
        }
    }

    async fn follow(
        &self,
        server: &Server,
        target: &Target,
        listed: &[Value],
        (view, mut widths): (View, Vec<usize>),
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<()> {
        let [answer] = listed else { bail!("watch one name, or all of a type") };
        let by_name = target.names.first().map(|name| format!("metadata.name={name}"));
        let revision = match answer["rows"][0]["object"]["metadata"]["resourceVersion"].as_str() {
            Some(revision) if by_name.is_some() => revision,
            _ => text(&answer["metadata"]["resourceVersion"]),
        };
        let watch = Watch {
            server,
            path: target.resource.path(self.namespace(server)),
            accept: TABLE,
            label_selector: self.selector.as_deref(),
            field_selector: by_name.as_deref().or(self.field_selector.as_deref()),
            revision: revision.to_owned(),
        };
        let mut with_headers = !self.no_headers && widths.is_empty();
        // Only the first event's table has column definitions.
        let mut columns = answer["columnDefinitions"].clone();
        let mut follow = |object: &Value| -> anyhow::Result<bool> {
            let mut object = object.clone();
            if object["columnDefinitions"].as_array().is_some_and(|columns| !columns.is_empty()) {
                columns = object["columnDefinitions"].clone();
            } else if object["kind"] == "Table" {
                object["columnDefinitions"] = columns.clone();
            }
            let table = Table::from_server(&object, &view);
            widths = table.widths(&widths, with_headers);
            table.print(out, &widths, with_headers)?;
            out.flush()?;
            with_headers = false;
            Ok(true)
        };
        watch.follow(|_, object| follow(object)).await
    }

    async fn print_objects(
        &self,
        server: &Server,
        targets: &[Target],
        output: Output,
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<()> {
        if self.watch {
            bail!("-w goes with tables: leave out -o, or use -o wide");
        }
        let as_list = targets.iter().any(|target| target.names.is_empty());
        let mut objects = Vec::new();
        for target in targets {
            for answer in self.fetch(server, target, JSON).await? {
                let found = if target.names.is_empty() { items(answer) } else { vec![answer] };
                if output == Output::Name {
                    for object in &found {
                        writeln!(
                            out,
                            "{}/{}",
                            target.resource.qualified_singular(),
                            text(&object["metadata"]["name"])
                        )?;
                    }
                }
                objects.extend(found);
            }
        }
        if output == Output::Name || (objects.is_empty() && !as_list) {
            return Ok(());
        }
        output::print(out, objects, as_list, output)
    }

    /// The answers for one target: one per name, or one per page.
    async fn fetch(&self, server: &Server, target: &Target, accept: &str) -> anyhow::Result<Vec<Value>> {
        let path = target.resource.path(self.namespace(server));
        let mut answers = Vec::new();
        if target.names.is_empty() {
            let mut next: Option<String> = None;
            loop {
                let parameters = query(&[
                    ("limit", Some(PAGE)),
                    ("continue", next.as_deref()),
                    ("labelSelector", self.selector.as_deref()),
                    ("fieldSelector", self.field_selector.as_deref()),
                ]);
                let answer = server.get(&format!("{path}{parameters}"), accept).await?;
                next = answer["metadata"]["continue"].as_str().filter(|token| !token.is_empty()).map(Into::into);
                answers.push(answer);
                if next.is_none() {
                    return Ok(answers);
                }
            }
        }
        if self.all_namespaces && target.resource.namespaced {
            bail!("a name does not say in which namespace: use -n NAMESPACE instead of -A");
        }
        for name in &target.names {
            match server.get(&format!("{path}/{name}"), accept).await {
                Ok(answer) => answers.push(answer),
                Err(error) if self.ignore_not_found && is_not_found(&error) => {}
                Err(error) if is_not_found(&error) => return Err(with_next_step(&error, target, server)),
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }
}

/// An error about a named object, and how to find what is there.
pub(crate) fn with_next_step(error: &anyhow::Error, target: &Target, server: &Server) -> anyhow::Error {
    let plural = &target.resource.plural;
    let namespace = if target.resource.namespaced { format!(" -n {}", server.namespace) } else { String::new() };
    anyhow!("{error:#}; `coracle get {plural}{namespace}` lists what is there")
}

/// Neighbours of one type become one target, so that they share a table.
fn merged(targets: &[Target]) -> Vec<Target> {
    let mut merged: Vec<Target> = Vec::new();
    for target in targets {
        match merged.last_mut() {
            Some(last) if last.resource == target.resource => last.names.extend(target.names.iter().cloned()),
            _ => merged.push(target.clone()),
        }
    }
    merged
}

/// The items of a list, each with the type that a list leaves out.
pub(crate) fn items(list: Value) -> Vec<Value> {
    let (api_version, kind) = (list["apiVersion"].clone(), text(&list["kind"]).trim_end_matches("List").to_owned());
    array(&list["items"])
        .map(|item| {
            let mut item = item.clone();
            item["apiVersion"] = api_version.clone();
            item["kind"] = kind.clone().into();
            item
        })
        .collect()
}
