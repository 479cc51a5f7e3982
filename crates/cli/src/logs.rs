//! `logs`: what the containers of pods wrote, of one pod or of many at once.

use std::io::Write;

use anyhow::{anyhow, bail};
use clap::Args;
use futures::stream::{self, BoxStream};
use futures::{AsyncBufReadExt, StreamExt};
use serde_json::Value;

use crate::connect::Connection;
use crate::discovery::{Discovery, array, text};
use crate::get::{items, with_next_step};
use crate::server::{JSON, Server, is_not_found, query};
use crate::targets::{self, Target};

/// Lines of each container when many pods are asked.
const TAIL_OF_MANY: i64 = 10;
/// Containers whose logs are followed at once.
const FOLLOWED_MAX: usize = 50;

#[derive(Debug, Args)]
pub struct Logs {
    /// POD or TYPE/NAME
    words: Vec<String>,
    /// All pods with these labels
    #[arg(short = 'l', long, conflicts_with = "words")]
    selector: Option<String>,
    /// The container [default: the pod's first]
    #[arg(short, long)]
    container: Option<String>,
    /// Every container of the pod
    #[arg(long)]
    all_containers: bool,
    /// Go on with what is written
    #[arg(short, long)]
    follow: bool,
    /// Of the container's last run, before this one
    #[arg(short, long)]
    previous: bool,
    /// Only the last lines; -1 is all
    #[arg(long, allow_hyphen_values = true)]
    tail: Option<i64>,
    /// Only what is not older: 5s, 2m, 3h
    #[arg(long, value_parser = seconds)]
    since: Option<i64>,
    /// Only what is not older than this RFC 3339 time
    #[arg(long, conflicts_with = "since")]
    since_time: Option<String>,
    /// With each line's time
    #[arg(long)]
    timestamps: bool,
    /// With each line's pod and container
    #[arg(long)]
    prefix: bool,
    #[command(flatten)]
    connection: Connection,
}

/// One container's log.
#[derive(Clone)]
struct Source {
    pod: String,
    container: String,
}

impl Logs {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let server = self.connection.open().await?;
        let pods = self.pods(&server).await?;
        let sources = pods.iter().map(|pod| self.sources(pod)).collect::<anyhow::Result<Vec<_>>>()?.concat();
        if self.follow && sources.len() > FOLLOWED_MAX {
            bail!("{} logs to follow at once, more than {FOLLOWED_MAX}: choose fewer pods", sources.len());
        }
        let mut logs = Vec::new();
        for source in &sources {
            logs.push(self.open(&server, source).await?);
        }
        // Followed together as lines come, and otherwise one after the other.
        let mut lines =
            if self.follow { stream::select_all(logs).boxed() } else { stream::iter(logs).flatten().boxed() };
        while let Some(line) = lines.next().await {
            writeln!(out, "{}", line?)?;
            if self.follow {
                out.flush()?;
            }
        }
        Ok(())
    }

    async fn pods(&self, server: &Server) -> anyhow::Result<Vec<Value>> {
        if let Some(selector) = &self.selector {
            let pods = pods_matching(server, selector).await?;
            if pods.is_empty() {
                eprintln!("No resources found in {} namespace.", server.namespace);
            }
            return Ok(pods);
        }
        if self.words.is_empty() {
            bail!("say which pod: POD, TYPE/NAME, or -l LABELS");
        }
        let discovery = Discovery::ask(server).await?;
        let (resource, name) = targets::parse_one(&self.words, "pods", &discovery)?;
        let path = format!("{}/{name}", resource.path(Some(&server.namespace)));
        let object = match server.get(&path, JSON).await {
            Err(error) if is_not_found(&error) => {
                return Err(with_next_step(&error, &Target { resource, names: Vec::new() }, server));
            }
            answered => answered?,
        };
        if resource.kind == "Pod" {
            return Ok(vec![object]);
        }
        let selector = selector_of(&object).ok_or_else(|| anyhow!("{}/{name} selects no pods", resource.plural))?;
        let pods = pods_matching(server, &selector).await?;
        let Some(pod) = pods.first() else { bail!("{}/{name} has no pods yet", resource.plural) };
        if pods.len() > 1 {
            eprintln!("Found {} pods, using pod/{}", pods.len(), text(&pod["metadata"]["name"]));
        }
        Ok(vec![pod.clone()])
    }

    /// Which of a pod's logs are asked for.
    fn sources(&self, pod: &Value) -> anyhow::Result<Vec<Source>> {
        let pod_name = text(&pod["metadata"]["name"]).to_owned();
        let names = |field: &str| array(&pod["spec"][field]).map(|container| text(&container["name"]).to_owned());
        let main: Vec<String> = names("containers").collect();
        let source = |container| Source { pod: pod_name.clone(), container };
        if self.all_containers {
            return Ok(names("initContainers").chain(main).map(source).collect());
        }
        if let Some(container) = &self.container {
            let known: Vec<String> = names("initContainers").chain(main).collect();
            if !known.contains(container) {
                bail!("pod {pod_name} has no container {container:?}: it has {}", known.join(", "));
            }
            return Ok(vec![source(container.clone())]);
        }
        let chosen = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
        let Some(container) = chosen.map(ToOwned::to_owned).or_else(|| main.first().cloned()) else {
            bail!("pod {pod_name} has no containers");
        };
        if main.len() > 1 && chosen.is_none() {
            eprintln!("Defaulted container {container:?} out of: {}", main.join(", "));
        }
        Ok(vec![source(container)])
    }

    async fn open(
        &self,
        server: &Server,
        source: &Source,
    ) -> anyhow::Result<BoxStream<'static, std::io::Result<String>>> {
        let tail = self.tail.or(self.selector.is_some().then_some(TAIL_OF_MANY)).filter(|n| *n >= 0);
        let flag = |set: bool| set.then_some("true");
        let parameters = query(&[
            ("container", Some(&source.container)),
            ("follow", flag(self.follow)),
            ("previous", flag(self.previous)),
            ("timestamps", flag(self.timestamps)),
            ("tailLines", tail.map(|n| n.to_string()).as_deref()),
            ("sinceSeconds", self.since.map(|n| n.to_string()).as_deref()),
            ("sinceTime", self.since_time.as_deref()),
        ]);
        let uri = format!("/api/v1/namespaces/{}/pods/{}/log{parameters}", server.namespace, source.pod);
        let lines = server.stream(&uri, "*/*").await?.lines();
        if !self.prefix {
            return Ok(lines.boxed());
        }
        let prefix = format!("[pod/{}/{}] ", source.pod, source.container);
        Ok(lines.map(move |line| line.map(|line| format!("{prefix}{line}"))).boxed())
    }
}

async fn pods_matching(server: &Server, selector: &str) -> anyhow::Result<Vec<Value>> {
    let parameters = query(&[("labelSelector", Some(selector))]);
    Ok(items(server.get(&format!("/api/v1/namespaces/{}/pods{parameters}", server.namespace), JSON).await?))
}

/// The label selector of a workload, in words. Expressions that say more than equality are left to the server's own
/// words for them.
pub(crate) fn selector_of(object: &Value) -> Option<String> {
    let selector = &object["spec"]["selector"];
    let labels = if selector["matchLabels"].is_object() { &selector["matchLabels"] } else { selector };
    let mut terms: Vec<String> =
        labels.as_object()?.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    for expression in array(&selector["matchExpressions"]) {
        let (key, values) = (text(&expression["key"]), array(&expression["values"]).map(text).collect::<Vec<_>>());
        terms.push(match text(&expression["operator"]) {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    (!terms.is_empty()).then(|| terms.join(","))
}

/// `90s`, `5m`, `1h30m` or `2d`, in seconds.
fn seconds(text: &str) -> Result<i64, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "a duration is like 90s, 5m or 1h30m".to_owned())?;
    Ok(span.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workloads_selector_is_spelled_out() {
        let expressions = json!([
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "DoesNotExist"},
        ]);
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": expressions});
        let object = json!({"spec": {"selector": selector}});
        assert_eq!(selector_of(&object).unwrap(), "app=web,tier in (a,b),!old");
        assert_eq!(selector_of(&json!({"spec": {"selector": {"app": "web"}}})).unwrap(), "app=web");
        assert_eq!(selector_of(&json!({"spec": {}})), None);
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert!(seconds("soon").is_err());
    }
}
