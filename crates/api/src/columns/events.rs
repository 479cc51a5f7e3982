//! Events, in the forms of both groups.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use super::{Columns, name, number, text};

pub(crate) fn core() -> Columns {
    Columns::of("Event", cells)
}

/// The same columns as the core group's: the object is shown as it is stored.
pub(crate) fn own_group() -> Columns {
    Columns::of("Event", |event, now| {
        let mut stored = event.clone();
        crate::kinds::events::to_storage(&mut stored);
        cells(&stored, now)
    })
}

fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let (first, last) = seen(event, now);
    let object = &event["involvedObject"];
    let kind = text(&object["kind"]).to_lowercase();
    let target = match text(&object["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        json!(last),
        json!(text(&event["type"])),
        json!(text(&event["reason"])),
        json!(target),
        json!(text(&object["fieldPath"])),
        json!(source(event)),
        json!(text(&event["message"]).trim()),
        json!(first),
        json!(times(event)),
        name(event),
    ]
}

fn seen(event: &Value, now: Timestamp) -> (String, String) {
    let first = if event["firstTimestamp"].is_null() { &event["eventTime"] } else { &event["firstTimestamp"] };
    let last = match (&event["series"], &event["lastTimestamp"]) {
        (Value::Object(series), _) => series.get("lastObservedTime").unwrap_or(&Value::Null),
        (_, Value::Null) => first,
        (_, last) => last,
    };
    (since(first, now), since(last, now))
}

fn times(event: &Value) -> i64 {
    match (&event["series"], number(&event["count"])) {
        (Value::Object(_), _) => number(&event["series"]["count"]),
        (_, 0) => 1,
        (_, count) => count,
    }
}

fn source(event: &Value) -> String {
    let or = |old: &Value, new: &Value| if text(old).is_empty() { text(new).to_owned() } else { text(old).to_owned() };
    let component = or(&event["source"]["component"], &event["reportingComponent"]);
    let host = or(&event["source"]["host"], &event["reportingInstance"]);
    if host.is_empty() { component } else { format!("{component}, {host}") }
}
