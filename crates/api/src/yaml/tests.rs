use serde_json::{Value, json};

use super::*;

fn value(text: &str) -> Value {
    parse(text.as_bytes()).unwrap().value
}

#[test]
fn plain_words_mean_what_they_meant_in_yaml_1_1() {
    assert_eq!(
        value("a: yes\nb: 'yes'\nc: off\nd: \"n\"\ne: 0644\nf: '0644'\ng: no-thing\n"),
        json!({"a": true, "b": "yes", "c": false, "d": "n", "e": 420, "f": "0644", "g": "no-thing"})
    );
}

#[test]
fn keys_become_text_and_whole_floats_integers() {
    assert_eq!(value("1: a\ntrue: b\nx: 1.0\ny1: 2.5\n"), json!({"1": "a", "true": "b", "x": 1, "y1": 2.5}));
}

#[test]
fn duplicate_keys_are_told_with_their_line() {
    let document = parse(b"apiVersion: v1\ndata:\n  a: one\n  a: two\nother: {b: 1, b: 2}\n").unwrap();
    assert_eq!(document.duplicates, ["line 4: key \"a\" already set in map", "line 5: key \"b\" already set in map"]);
    assert_eq!(
        document.duplicates_error().unwrap(),
        "yaml: unmarshal errors:\n  line 4: key \"a\" already set in map\n  line 5: key \"b\" already set in map"
    );
    assert_eq!(document.value["data"]["a"], "two");
}

#[test]
fn malformed_documents_are_refused_in_go_s_words() {
    assert_eq!(parse(b"a: [b\n").unwrap_err().to_string(), "yaml: line 1: did not find expected ',' or ']'");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text += &format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", "));
    }
    assert!(parse(text.as_bytes()).is_err());
}

#[test]
fn many_aliases_of_much_are_refused() {
    let nodes = format!("a: &a [{}]\nb: [{}]", "x,".repeat(50_000), "*a,".repeat(1000));
    let text = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a,".repeat(1000));
    for bomb in [nodes, text] {
        let error = parse(bomb.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("excessive aliasing"), "{error}");
    }
    assert!(parse(format!("a: [{}]", "x,".repeat(500_000)).as_bytes()).is_ok(), "what is written out is fine");
}

#[test]
fn only_the_first_document_is_read() {
    assert_eq!(value("a: 1\n---\nb: 2\n"), json!({"a": 1}));
    assert_eq!(value(""), Value::Null);
}
