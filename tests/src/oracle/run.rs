//! Runs scenarios side by side, and pairs what was answered with what was recorded.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use serde_yaml::Mapping;
use tokio::time::Instant;

use super::ask::{Answer, Server, Watch};
use super::plain::{Plain, settle};
use super::serves::Serves;
use super::step::{Action, Names, Request, Step, fill_text, path_of, text};
use super::{Outcome, Scenario};

/// How long, and how often, an `until` is looked at: part of the language of scenarios.
const UNTIL_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The keys of steps whose answer depends on the moment.
const WAITS: [&str; 2] = ["until", "watch"];
const SUFFIX: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
const N_SUFFIX: usize = 8;

/// Replays `scenarios`, at most `scenarios_max` at a time.
pub(super) async fn all(kubeconfig: &Path, scenarios: &[Scenario], scenarios_max: usize) -> Result<Vec<Outcome>> {
    let server = Server::of(kubeconfig).await?;
    let serves = Serves::ask(&server).await?;
    let running = futures::stream::iter(scenarios).map(|scenario| outcomes(&server, &serves, scenario));
    let mut outcomes: Vec<Outcome> = running.buffer_unordered(scenarios_max).concat().await;
    outcomes.sort_by(|a, b| (&a.scenario, a.step).cmp(&(&b.scenario, b.step)));
    Ok(outcomes)
}

async fn outcomes(server: &Server, serves: &Serves, scenario: &Scenario) -> Vec<Outcome> {
    let about = |(step, want): (&Mapping, &Value)| {
        let pick = text(step, "pick").unwrap_or_default();
        path_of(step, &scenario.steps).is_none_or(|path| serves.is_asked_about(path, pick, want))
    };
    let ours: Vec<bool> = scenario.steps.iter().zip(&scenario.recorded).map(about).collect();
    let answers = match answers(server, scenario, &ours).await {
        Ok(answers) => answers,
        Err(error) => vec![Some(json!({"failed": format!("{error:#}")})); scenario.steps.len()],
    };
    let beside_missing = ours.contains(&false);
    let waits = scenario.steps.iter().any(|step| WAITS.iter().any(|key| step.contains_key(*key)));
    let compared = scenario.recorded.iter().zip(answers).enumerate();
    let compared = compared.filter(|(_, (want, _))| !want.is_null() && want.get("failed").is_none());
    compared
        .map(|(step, (want, got))| Outcome {
            scenario: scenario.name.clone(),
            step,
            asked: line(&scenario.steps[step]),
            ours: ours[step],
            beside_missing,
            waits,
            want: settle(want),
            got: settle(&got.unwrap_or_default()),
        })
        .collect()
}

/// What was answered to each step; `None` for what is not compared.
async fn answers(server: &Server, scenario: &Scenario, ours: &[bool]) -> Result<Vec<Option<Value>>> {
    let ns = format!("oracle-{}", suffix());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}});
    let json = "application/json";
    server.json("POST", "/api/v1/namespaces", json, Some(namespace)).await?;
    let account = format!("/api/v1/namespaces/{ns}/serviceaccounts/default");
    let end = Instant::now() + UNTIL_WITHIN;
    while server.json("GET", &account, json, None).await?.status != 200 && Instant::now() < end {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut running =
        Running { server, names: Names::from([("ns".into(), ns.clone().into())]), watches: Watches::new() };
    let mut answers = Vec::new();
    let mut failed = Ok(());
    for (raw, ours) in scenario.steps.iter().zip(ours) {
        match running.step(raw, *ours).await {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                failed = Err(error);
                break;
            }
        }
    }
    let body = json!({"propagationPolicy": "Background"});
    server.json("DELETE", &format!("/api/v1/namespaces/{ns}"), json, Some(body)).await?;
    failed.map(|()| answers)
}

type Watches = std::collections::BTreeMap<String, Watch>;

/// A scenario on its way.
struct Running<'a> {
    server: &'a Server,
    names: Names,
    watches: Watches,
}

impl Running<'_> {
    async fn step(&mut self, raw: &Mapping, ours: bool) -> Result<Option<Value>> {
        let step = Step::of(raw, &self.names)?;
        match &step.action {
            Action::Sleep { seconds } => {
                tokio::time::sleep(Duration::from_secs_f64(*seconds)).await;
                Ok(None)
            }
            Action::Watch { name, request } => {
                let watch = self.server.watch(request).await?;
                let status = watch.status;
                self.watches.insert(name.clone(), watch);
                Ok(Some(json!({"status": status})))
            }
            Action::Collect { name, n_events } => {
                let watch = self.watches.remove(name).with_context(|| format!("no watch named {name}"))?;
                let events = Value::Array(watch.first(*n_events).await);
                Ok(Some(json!({"events": self.plain(&step).value(&events)})))
            }
            Action::Request(request) => self.request(raw, &step, request, ours).await,
        }
    }

    async fn request(&mut self, raw: &Mapping, step: &Step, request: &Request, ours: bool) -> Result<Option<Value>> {
        let until = text(raw, "until").filter(|_| ours); // what is not served never becomes true
        let mut answer = self.until(request, until).await?;
        for (name, path) in raw.get("save").and_then(serde_yaml::Value::as_mapping).into_iter().flatten() {
            let (Some(name), Some(path)) = (name.as_str(), path.as_str()) else { bail!("save names paths") };
            self.names.insert(name.to_owned(), super::path::search(path, &answer.body)?);
        }
        if step.setup {
            return Ok(None);
        }
        if let Some(pick) = text(raw, "pick") {
            answer.body = super::path::search(&fill_text(pick, &self.names)?, &answer.body)?;
        }
        Ok(Some(self.said(step, &answer)))
    }

    async fn until(&self, request: &Request, until: Option<&str>) -> Result<Answer> {
        let end = Instant::now() + UNTIL_WITHIN;
        loop {
            let answer = self.server.ask(request).await?;
            let Some(until) = until else { return Ok(answer) };
            let until = fill_text(until, &self.names)?;
            if super::path::holds(&until, &answer.body)? || Instant::now() > end {
                return Ok(answer);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn said(&self, step: &Step, answer: &Answer) -> Value {
        let mut said = Map::from_iter([("status".to_owned(), Value::from(answer.status))]);
        if !step.only_status {
            said.insert("type".into(), answer.content_type.clone().into());
            if !answer.warnings.is_empty() {
                let warnings = Value::from(answer.warnings.join(", "));
                said.insert("warning".into(), Plain { managed: false, ..self.plain(step) }.value(&warnings));
            }
            said.insert("body".into(), self.plain(step).value(&answer.body));
        }
        Value::Object(said)
    }

    fn plain<'a>(&'a self, step: &'a Step) -> Plain<'a> {
        Plain { names: &self.names, asked: &step.asked, managed: step.managed }
    }
}

/// The step in one line, without its body.
fn line(step: &Mapping) -> String {
    let short: Mapping = step.iter().filter(|(key, _)| *key != "body").map(|(k, v)| (k.clone(), v.clone())).collect();
    serde_json::to_string(&short).unwrap_or_default()
}

fn suffix() -> String {
    (0..N_SUFFIX).map(|_| char::from(SUFFIX[rand::random_range(0..SUFFIX.len())])).collect()
}
