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

#[test]
fn words_and_duplicates_are_found_in_one_pass() {
    let before = value::PASSES.get();
    let text = format!("words: [{}]\n{}", "yes,'no',".repeat(1000), "a: 0644\n".repeat(1000));
    let document = parse(text.as_bytes()).unwrap();
    assert_eq!(value::PASSES.get() - before, 1);
    let words = document.value["words"].as_array().unwrap();
    assert!(words.iter().step_by(2).all(|word| *word == json!(true)), "every word is understood");
    assert!(words.iter().skip(1).step_by(2).all(|word| *word == json!("no")));
    assert_eq!(document.value["a"], 420);
    assert_eq!(
        (document.duplicates.len(), document.duplicates[0].as_str()),
        (20, "line 3: key \"a\" already set in map")
    );
}

#[test]
fn duplicates_of_any_sort_have_their_line() {
    let text = "a:\n- {1: x, 1: z}\n- ? 'k'\n  : 1\n  \"\\x6b\": [yes]\nb: &b\n  m: &m yes\n  &x m: 2\nc: *b\n";
    let document = parse(text.as_bytes()).unwrap();
    let lines =
        [(2, "1"), (5, "k"), (8, "m")].map(|(line, key)| format!("line {line}: key {key:?} already set in map"));
    assert_eq!(document.duplicates, lines);
    assert_eq!(document.value["a"], json!([{"1": "z"}, {"k": [true]}]));
    assert_eq!((&document.value["b"], &document.value["c"]), (&json!({"m": 2}), &json!({"m": 2})));
}

#[test]
fn words_are_found_behind_what_is_not_ascii_and_tags_are_heeded() {
    assert_eq!(
        value("ä: {ö: yes, ü: 'yes'}\nt: !!str yes\nb: |-\n  yes\nz: &z on\ny: *z\n"),
        json!({"ä": {"ö": true, "ü": "yes"}, "t": "yes", "b": "yes", "z": true, "y": true})
    );
}

#[test]
fn what_is_not_utf_8_is_refused() {
    let text: Vec<u16> = "\u{feff}a: 你好你好你好你好\nb: yes\n".encode_utf16().collect();
    for bytes in [text.iter().flat_map(|c| c.to_le_bytes()).collect::<Vec<u8>>(), b"a: \xff\n".to_vec()] {
        assert!(parse(&bytes).unwrap_err().to_string().contains("UTF-8"));
    }
    assert_eq!(value("\u{feff}a: yes\n"), json!({"a": true}));
}
