//! Selectors in tables.

use serde_json::json;

use super::*;
use crate::kinds;

fn parse_error(text: &str) -> String {
    Selector::parse(text).expect_err("the selector is wrong").to_string()
}

#[test]
fn text_is_matched_against_labels() {
    let labels = json!({"app": "web", "tier": "a", "size": "10"});
    let matching = [
        "",
        "app",
        "app=web",
        "app==web",
        "app!=db",
        "tier in (a,b)",
        "tier notin (b)",
        "!old",
        "old!=x",
        "old notin (x)",
        "size>9,size<11",
        " app = web , tier in ( a , b ) ",
        "in!=x",
        "tier notin ()",
    ];
    for text in matching {
        assert!(Selector::parse(text).expect(text).matches(&labels), "{text}");
    }
    for text in ["old", "app=db", "tier notin (a)", "!app", "size>10", "tier>1", "app in (,)", "app="] {
        assert!(!Selector::parse(text).expect(text).matches(&labels), "{text}");
    }
}

#[test]
fn errors_are_upstreams() {
    let table = [
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a=b!", "found '!', expected: ',' or 'end of string'"),
        ("a notin b", "unable to parse requirement: found 'b' expected: '('"),
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        (
            "size>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ];
    for (text, message) in table {
        assert_eq!(parse_error(text), message, "{text}");
    }
    assert!(
        parse_error("-bad=1")
            .starts_with("unable to parse requirement: <nil>: Invalid value: \"-bad\": name part must")
    );
    let long = "v".repeat(64);
    assert_eq!(
        parse_error(&format!("a={long}")),
        format!("unable to parse requirement: values[0][a]: Invalid value: \"{long}\": must be no more than 63 bytes")
    );
}

#[test]
fn objects_mean_what_their_text_means() {
    let object = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["b", "a"]}]});
    let selector = from_label_selector(&object).expect("the selector is valid");
    assert_eq!(selector.to_string(), "app=web,tier in (a,b)");
    assert!(selector.matches(&json!({"app": "web", "tier": "b"})));
    assert!(!from_label_selector(&Value::Null).expect("null is a selector").matches(&json!({})));
    assert!(from_label_selector(&json!({})).expect("empty is a selector").matches(&json!({})));
}

#[test]
fn field_selectors_know_the_fields_of_their_kind() {
    let kind = |plural| kinds::by_plural("", "v1", plural).expect("a built-in kind");
    let pod =
        json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "a"}, "status": {"phase": "Running"}});
    let matching = |text| FieldSelector::parse(text, kind("pods")).expect("valid").matches(kind("pods"), &pod);
    assert!(matching("spec.nodeName=a,status.phase!=Failed,metadata.namespace==n"));
    assert!(!matching("spec.nodeName!=a"));
    let error = |text, plural| FieldSelector::parse(text, kind(plural)).expect_err("invalid").to_string();
    assert_eq!(error("data.a=1", "secrets"), "field label not supported: data.a");
    assert_eq!(
        error("type=x", "configmaps"),
        "\"type\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
    );
    assert_eq!(error("nonsense", "secrets"), "invalid selector: 'nonsense'; can't understand 'nonsense'");
    assert_eq!(
        error("metadata.name>1", "secrets"),
        "invalid selector: 'metadata.name>1'; can't understand 'metadata.name>1'"
    );
}

#[test]
fn a_selector_with_impossible_labels_is_no_selector() {
    assert!(from_label_selector(&json!({"matchLabels": {"app": "bad value"}})).is_err());
}
