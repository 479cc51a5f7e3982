//! What is told to a pod that waits.

use serde_json::json;

use super::*;
use crate::testing::{changed, pod};

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

#[test]
fn the_condition_is_written_once_and_keeps_its_time() {
    let fresh = pod("a", "1", "1Gi");
    let first = unschedulable(&fresh, "no room".into(), at(10)).unwrap();
    assert_eq!((first.status.as_str(), first.reason.as_deref()), ("False", Some("Unschedulable")));
    let told = changed(&fresh, json!({"status": {"conditions": [first]}}));
    assert_eq!(unschedulable(&told, "no room".into(), at(20)), None);
    let second = unschedulable(&told, "still no room".into(), at(20)).unwrap();
    assert_eq!(second.last_transition_time, Some(Time(at(10))));
}
