//! The table as a whole.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_row_is_found_by_its_names() {
    for kind in all() {
        assert_eq!(by_plural(&kind.group, &kind.version, &kind.plural).map(|k| &k.kind), Some(&kind.kind));
        assert_eq!(by_api_version(&kind.api_version(), &kind.kind).map(|k| &k.plural), Some(&kind.plural));
    }
}

#[test]
fn no_two_rows_share_their_names() {
    let names: BTreeSet<_> = all().iter().map(|k| (&k.group, &k.version, &k.plural)).collect();
    assert_eq!(names.len(), all().len());
}

#[test]
fn keys_tell_kinds_namespaces_and_names_apart() {
    let pods = by_plural("", "v1", "pods").expect("pods are a kind");
    assert_eq!(pods.key("shop", "cart"), "/registry/core/pods/shop/cart");
    assert_eq!(pods.prefix(Some("shop")), "/registry/core/pods/shop/");
    let nodes = by_plural("", "v1", "nodes").expect("nodes are a kind");
    assert_eq!(nodes.key("", "n1"), "/registry/core/nodes/n1");
}

#[test]
fn events_of_both_groups_are_the_same_objects() {
    let events = by_plural("events.k8s.io", "v1", "events").expect("events are a kind");
    let conversion = events.conversion.expect("the core group's form is stored");
    let served = serde_json::json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": {"name": "p"}, "note": "n", "deprecatedCount": 2});
    let mut event = served.clone();
    (conversion.to_storage)(&mut event);
    assert_eq!(
        event,
        serde_json::json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"name": "p"}, "message": "n", "count": 2})
    );
    (conversion.from_storage)(&mut event);
    assert_eq!(event, served);
    assert_eq!(events.storage, by_plural("", "v1", "events").expect("events are a kind").storage);
}
