use proptest::prelude::*;
use serde_json::json;

use super::*;

fn set(value: serde_json::Value) -> Set {
    Set::from_fields_v1(&value).unwrap()
}

#[test]
fn paths_are_printed_as_conflicts_show_them() {
    let set = set(json!({"f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
        "f:finalizers": {"v:\"a\"": {}}, "i:0": {}}}));
    let paths: Vec<String> = set.paths().iter().map(Path::to_string).collect();
    assert_eq!(
        paths,
        [
            ".spec.finalizers[=\"a\"]",
            ".spec.ports[port=80,protocol=\"TCP\"]",
            ".spec.ports[port=80,protocol=\"TCP\"].port",
            ".spec[0]"
        ]
    );
}

#[test]
fn a_recursive_difference_takes_everything_below_a_member() {
    let all = set(json!({"f:spec": {"f:a": {}}, "f:status": {".": {}, "f:b": {"f:c": {}}}}));
    let status = Set::of_fields(&[&["status"]]);
    assert_eq!(
        all.difference(&status).to_fields_v1(),
        json!({"f:spec": {"f:a": {}}, "f:status": {"f:b": {"f:c": {}}}})
    );
    assert_eq!(all.recursive_difference(&status).to_fields_v1(), json!({"f:spec": {"f:a": {}}}));
}

#[test]
fn what_is_no_set_is_refused() {
    for value in [json!([]), json!({"spec": {}}), json!({"k:nope": {}}), json!({"f:a": 1})] {
        assert!(Set::from_fields_v1(&value).is_err(), "{value}");
    }
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "[a-z.:\"]{1,4}".prop_map(|name| Element::field(&name)),
        "[a-z]{1,3}".prop_map(|text| Element::Value(Atom(json!(text)))),
        (0..9i64).prop_map(Element::Index),
        (0..9i64, "[a-z]{1,3}").prop_map(|(port, name)| Element::Key(vec![
            ("name".into(), Atom(json!(name))),
            ("port".into(), Atom(json!(port)))
        ])),
    ]
}

fn any_set() -> impl Strategy<Value = Set> {
    prop::collection::vec(prop::collection::vec(element(), 1..4), 0..8).prop_map(|paths| {
        let mut set = Set::new();
        paths.into_iter().for_each(|path| set.insert(path));
        set
    })
}

proptest! {
    #[test]
    fn a_set_survives_printing_and_parsing(set in any_set()) {
        prop_assert_eq!(Set::from_fields_v1(&set.to_fields_v1()).unwrap(), set);
    }

    #[test]
    fn the_algebra_of_sets_holds(a in any_set(), b in any_set()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&a).is_empty());
    }
}
