//! Runs the golden cases of `testdata/strategic`.

use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::merge;
use crate::schema::message;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    #[serde(rename = "type")]
    ty: String,
    original: Value,
    patch: Value,
    result: Option<Value>,
    error: Option<String>,
}

#[test]
fn golden_cases_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/strategic");
    let mut n_cases = 0;
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for case in serde_yaml::from_str::<Vec<Case>>(&text).unwrap() {
            let merged = merge(&case.original, &case.patch, message(&case.ty).unwrap());
            match case.error {
                Some(error) => assert_eq!(merged.unwrap_err().to_string(), error, "{}", case.about),
                None => assert_eq!(merged.unwrap(), case.result.unwrap(), "{}", case.about),
            }
            n_cases += 1;
        }
    }
    assert!(n_cases >= 20, "the cases were found");
}
