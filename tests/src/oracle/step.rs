//! A step of a scenario: saved values filled in, and what it asks for. It never talks to a server.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;
use serde_yaml::{Mapping, Value as Yaml};

/// The values that a scenario knows so far, by name.
pub(super) type Names = BTreeMap<String, Value>;

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "options", "head"];
/// What is evaluated on the answer, and filled in when that is there.
const LATER: [&str; 3] = ["pick", "until", "save"];

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    Request(Request),
    Watch { name: String, request: Request },
    Collect { name: String, n_events: usize },
    Sleep { seconds: f64 },
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
}

/// A step that is ready to be done.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    /// The whole step as text: a value that stands here was asked for, and is compared as it is.
    pub(super) asked: String,
    pub(super) managed: bool,
    pub(super) setup: bool,
    pub(super) only_status: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    get: Option<String>,
    post: Option<String>,
    put: Option<String>,
    patch: Option<String>,
    delete: Option<String>,
    options: Option<String>,
    head: Option<String>,
    watch: Option<String>,
    collect: Option<String>,
    sleep: Option<f64>,
    name: Option<String>,
    #[serde(default)]
    events: usize,
    body: Option<Yaml>,
    r#type: Option<String>,
    #[serde(default)]
    headers: Mapping,
    #[serde(default)]
    query: Mapping,
    #[serde(default)]
    managed: bool,
    #[serde(default)]
    setup: bool,
    only: Option<String>,
}

impl Step {
    /// The step with the values of `names` in it.
    pub(super) fn of(raw: &Mapping, names: &Names) -> Result<Self> {
        let now = raw.iter().filter(|(key, _)| !key.as_str().is_some_and(|key| LATER.contains(&key)));
        let filled = fill(&Yaml::Mapping(now.map(|(key, value)| (key.clone(), value.clone())).collect()), names)?;
        let asked = serde_json::to_string(&filled)?;
        let fields: Fields = serde_yaml::from_value(filled)?;
        let (managed, setup, only_status) = (fields.managed, fields.setup, fields.only.is_some());
        Ok(Self { action: action(fields)?, asked, managed, setup, only_status })
    }
}

/// The path that a step is about, with `${names}` in it: its request's, or that of the watch that it collects.
pub(super) fn path_of<'a>(raw: &'a Mapping, steps: &'a [Mapping]) -> Option<&'a str> {
    if let Some(watch) = text(raw, "collect") {
        return steps.iter().find(|step| text(step, "name") == Some(watch)).and_then(|step| text(step, "watch"));
    }
    METHODS.iter().chain(&["watch"]).find_map(|method| text(raw, method))
}

/// A step's string under `key`.
pub(super) fn text<'a>(raw: &'a Mapping, key: &str) -> Option<&'a str> {
    raw.get(key).and_then(Yaml::as_str)
}

fn action(mut fields: Fields) -> Result<Action> {
    if let Some(seconds) = fields.sleep {
        return Ok(Action::Sleep { seconds });
    }
    if let Some(name) = fields.collect {
        return Ok(Action::Collect { name, n_events: fields.events });
    }
    if let Some(path) = fields.watch.take() {
        let name = fields.name.take().context("a watch has a name")?;
        let mut request = request("get", path, fields)?;
        for (key, value) in [("watch", "true"), ("timeoutSeconds", "20")] {
            if !request.query.iter().any(|(known, _)| known == key) {
                request.query.push((key.into(), value.into()));
            }
        }
        return Ok(Action::Watch { name, request });
    }
    let paths = [&mut fields.get, &mut fields.post, &mut fields.put, &mut fields.patch, &mut fields.delete];
    let paths = paths.into_iter().chain([&mut fields.options, &mut fields.head]).map(Option::take);
    let asked = METHODS.into_iter().zip(paths).find_map(|(method, path)| Some((method, path?)));
    let (method, path) = asked.ok_or_else(|| anyhow!("a step has a request, a watch, a collect or a sleep"))?;
    Ok(Action::Request(request(method, path, fields)?))
}

fn request(method: &str, path: String, fields: Fields) -> Result<Request> {
    let mut headers = pairs(fields.headers)?;
    let mut default = |name: &str, value: String| {
        if !headers.iter().any(|(known, _)| known == name) {
            headers.push((name.into(), value));
        }
    };
    default("Accept", "application/json".into());
    let body = match fields.body {
        None | Some(Yaml::Null) => None,
        Some(Yaml::String(text)) => Some(text),
        Some(value) => Some(serde_json::to_string(&value)?), // in the order of the file
    };
    if body.is_some() {
        default("Content-Type", fields.r#type.unwrap_or_else(|| "application/json".into()));
    }
    Ok(Request { method: method.to_uppercase(), path, query: pairs(fields.query)?, headers, body })
}

fn pairs(mapping: Mapping) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for (key, value) in mapping {
        let key = key.as_str().with_context(|| format!("a name that is no text: {key:?}"))?.to_owned();
        match value {
            Yaml::Null => {}
            Yaml::Sequence(values) => {
                for value in values {
                    pairs.push((key.clone(), scalar(&value)?));
                }
            }
            value => pairs.push((key, scalar(&value)?)),
        }
    }
    Ok(pairs)
}

fn scalar(value: &Yaml) -> Result<String> {
    match value {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Number(number) => Ok(number.to_string()),
        other => bail!("neither text nor a number: {other:?}"),
    }
}

/// Puts saved values in the place of `${name}`: as they are where that is all, as text within text.
fn fill(value: &Yaml, names: &Names) -> Result<Yaml> {
    Ok(match value {
        Yaml::String(text) => match whole_name(text) {
            Some(name) => serde_yaml::to_value(known(names, name)?)?,
            None => Yaml::String(fill_text(text, names)?),
        },
        Yaml::Mapping(mapping) => {
            let filled = mapping.iter().map(|(key, value)| Ok((fill(key, names)?, fill(value, names)?)));
            Yaml::Mapping(filled.collect::<Result<_>>()?)
        }
        Yaml::Sequence(values) => Yaml::Sequence(values.iter().map(|value| fill(value, names)).collect::<Result<_>>()?),
        other => other.clone(),
    })
}

/// Replaces every `${name}` in `text`.
pub(super) fn fill_text(text: &str, names: &Names) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let Some((name, tail)) = after.split_once('}').filter(|(name, _)| is_name(name)) else {
            filled.push_str("${");
            rest = after;
            continue;
        };
        match known(names, name)? {
            Value::String(value) => filled.push_str(value),
            other => filled.push_str(&other.to_string()),
        }
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn whole_name(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|name| is_name(name))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn known<'a>(names: &'a Names, name: &str) -> Result<&'a Value> {
    names.get(name).with_context(|| format!("no value named {name} was saved"))
}
