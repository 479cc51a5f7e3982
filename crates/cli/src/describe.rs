//! `describe`: one object in detail, field by field, with its events.

use std::fmt::Write as _;
use std::io::Write;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::connect::Connection;
use crate::discovery::{Discovery, text};
use crate::get::{items, with_next_step};
use crate::server::{JSON, Server, is_not_found, query};
use crate::table::Table;
use crate::targets;

/// Shown at the top, and not again among the metadata.
const HEADINGS: [&str; 5] = ["name", "namespace", "labels", "annotations", "managedFields"];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[derive(Debug, Args)]
pub struct Describe {
    /// TYPE, TYPE NAME… or TYPE/NAME…
    #[arg(required = true)]
    words: Vec<String>,
    /// Only those with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Describe {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let server = self.connection.open().await?;
        let mut objects = Vec::new();
        for target in targets::parse(&self.words, &Discovery::ask(&server).await?)? {
            let path = target.resource.path(Some(&server.namespace));
            if target.names.is_empty() {
                let parameters = query(&[("labelSelector", self.selector.as_deref())]);
                objects.extend(items(server.get(&format!("{path}{parameters}"), JSON).await?));
            }
            for name in &target.names {
                objects.push(match server.get(&format!("{path}/{name}"), JSON).await {
                    Err(error) if is_not_found(&error) => return Err(with_next_step(&error, &target, &server)),
                    answered => answered?,
                });
            }
        }
        if objects.is_empty() {
            eprintln!("No resources found in {} namespace.", server.namespace);
        }
        for (idx, object) in objects.iter().enumerate() {
            if idx > 0 {
                write!(out, "\n\n")?;
            }
            out.write_all(describe(object).as_bytes())?;
            print_events(&server, object, out).await?;
        }
        Ok(())
    }
}

async fn print_events(server: &Server, object: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or("default");
    let of = format!("involvedObject.name={},involvedObject.uid={}", text(&metadata["name"]), text(&metadata["uid"]));
    let parameters = query(&[("fieldSelector", Some(&of))]);
    let mut events = items(server.get(&format!("/api/v1/namespaces/{namespace}/events{parameters}"), JSON).await?);
    events.sort_by_key(|event| last_seen(event).to_owned());
    if events.is_empty() {
        writeln!(out, "Events:  <none>")?;
        return Ok(());
    }
    let table = events_table(&events, Timestamp::now());
    let widths = table.widths(&[], true);
    writeln!(out, "Events:")?;
    let mut lines = Vec::new();
    table.print(&mut lines, &widths, true)?;
    for line in String::from_utf8_lossy(&lines).lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

fn last_seen(event: &Value) -> &str {
    let candidates = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    candidates.into_iter().find_map(Value::as_str).unwrap_or_else(|| text(&event["metadata"]["creationTimestamp"]))
}

fn events_table(events: &[Value], now: Timestamp) -> Table {
    let row = |event: &Value| {
        let count = event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
        let seen = age(last_seen(event), now);
        let seen = if count > 1 {
            let first = event["firstTimestamp"].as_str().unwrap_or_else(|| text(&event["eventTime"]));
            format!("{seen} (x{count} over {})", age(first, now))
        } else {
            seen
        };
        let from = event["source"]["component"].as_str().filter(|from| !from.is_empty());
        let from = from.unwrap_or_else(|| text(&event["reportingComponent"]));
        let cells = [text(&event["type"]), text(&event["reason"]), &seen, from, text(&event["message"]).trim()];
        cells.map(ToOwned::to_owned).to_vec()
    };
    let headers = ["Type", "Reason", "Age", "From", "Message"].map(ToOwned::to_owned).to_vec();
    Table { headers, rows: events.iter().map(row).collect() }
}

/// How long ago, in one or two units, as kubectl says it.
fn age(since: &str, now: Timestamp) -> String {
    let Ok(since) = since.parse::<Timestamp>() else { return "<unknown>".into() };
    let seconds = now.duration_since(since).max(SignedDuration::ZERO).as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit}{small}{small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

/// Everything but the events.
fn describe(object: &Value) -> String {
    let mut out = String::new();
    let metadata = &object["metadata"];
    let line = |out: &mut String, label: &str, value: &str| {
        writeln!(out, "{:<14}{value}", format!("{label}:")).expect("a string takes all");
    };
    line(&mut out, "Name", text(&metadata["name"]));
    if let Some(namespace) = metadata["namespace"].as_str() {
        line(&mut out, "Namespace", namespace);
    }
    for (label, pairs) in [("Labels", &metadata["labels"]), ("Annotations", &metadata["annotations"])] {
        let pairs = pairs.as_object().into_iter().flatten().filter(|(key, _)| *key != LAST_APPLIED);
        let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", text(value))).collect();
        line(&mut out, label, pairs.first().map_or("<none>", String::as_str));
        for pair in pairs.iter().skip(1) {
            writeln!(out, "{:<14}{pair}", "").expect("a string takes all");
        }
    }
    line(&mut out, "API Version", text(&object["apiVersion"]));
    line(&mut out, "Kind", text(&object["kind"]));
    let mut rest = object.as_object().cloned().unwrap_or_default();
    for shown in ["apiVersion", "kind"] {
        rest.remove(shown);
    }
    if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !HEADINGS.contains(&key.as_str()));
    }
    fields(&mut out, &rest, 0);
    out
}

fn fields(out: &mut String, map: &Map<String, Value>, depth: usize) {
    let indent = "  ".repeat(depth);
    for (key, value) in map {
        let label = spaced(key);
        match value {
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(inner) => {
                writeln!(out, "{indent}{label}:").expect("a string takes all");
                fields(out, inner, depth + 1);
            }
            Value::Array(values) if values.is_empty() => {}
            Value::Array(values) => {
                writeln!(out, "{indent}{label}:").expect("a string takes all");
                elements(out, values, depth + 1);
            }
            scalar => writeln!(out, "{indent}{label}:  {}", plain(scalar)).expect("a string takes all"),
        }
    }
}

fn elements(out: &mut String, values: &[Value], depth: usize) {
    let indent = "  ".repeat(depth);
    for value in values {
        match value {
            Value::Object(inner) => {
                let mut block = String::new();
                fields(&mut block, inner, depth + 1);
                // The first field stands beside the dash.
                let (indent_len, dashed) = (indent.len(), format!("{indent}- "));
                out.push_str(&dashed);
                out.push_str(block.get(indent_len + 2..).unwrap_or("{}\n"));
            }
            Value::Array(values) => elements(out, values, depth + 1),
            scalar => writeln!(out, "{indent}{}", plain(scalar)).expect("a string takes all"),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// `podIPs` as `Pod IPs`. What is no field's name (a label, a key of a ConfigMap) stays as it is.
fn spaced(key: &str) -> String {
    if !key.chars().all(|char| char.is_ascii_alphanumeric()) || key.starts_with(|char: char| !char.is_ascii_lowercase())
    {
        return key.to_owned();
    }
    let mut words = String::new();
    let mut before = ' ';
    for char in key.chars() {
        if char.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.push(if words.is_empty() { char.to_ascii_uppercase() } else { char });
        before = char;
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_told_field_by_field() {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "a"}, "uid": "u1",
                "managedFields": [{}], "annotations": {LAST_APPLIED: "{}"},
            },
            "spec": {"containers": [{"name": "a", "args": ["x", "y"], "env": []}, {"name": "b"}], "nodeName": "n1"},
            "status": {"podIPs": [{"ip": "10.244.1.2"}], "ready": true},
        });
        let expected = "\
Name:         web
Namespace:    shop
Labels:       app=web
              tier=a
Annotations:  <none>
API Version:  v1
Kind:         Pod
Metadata:
  Uid:  u1
Spec:
  Containers:
    - Args:
        x
        y
      Name:  a
    - Name:  b
  Node Name:  n1
Status:
  Pod IPs:
    - Ip:  10.244.1.2
  Ready:  true
";
        assert_eq!(describe(&object), expected);
    }

    #[test]
    fn ages_are_told_in_few_units() {
        let start = Timestamp::UNIX_EPOCH;
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (600, "10m"),
            (3 * 3600 + 60, "3h1m"),
            (10 * 3600, "10h"),
            (50 * 3600, "2d2h"),
            (400 * 86_400, "400d"),
        ] {
            assert_eq!(age("1970-01-01T00:00:00Z", start + SignedDuration::from_secs(seconds)), expected);
        }
        assert_eq!(age("", start), "<unknown>");
    }

    #[test]
    fn repeated_events_say_how_often() {
        let event = json!({
            "type": "Warning", "reason": "BackOff", "message": "again\n", "count": 3, "source": {"component": "kubelet"},
            "firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:01:00Z",
        });
        let table = events_table(&[event], Timestamp::from_second(70).unwrap());
        assert_eq!(table.rows, [["Warning", "BackOff", "10s (x3 over 70s)", "kubelet", "again"]]);
    }
}
