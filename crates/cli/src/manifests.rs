//! Objects from files, directories and standard input: YAML or JSON, one document or many.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::discovery::{array, text};

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// An object, and the file that it is from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) source: String,
    pub(crate) object: Value,
}

/// Reads every object of these files and directories; `-` is standard input.
pub(crate) fn read(paths: &[PathBuf], recursive: bool) -> anyhow::Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("read standard input")?;
            manifests.extend(parse(&text, "standard input")?);
        } else {
            for file in files(path, recursive)? {
                let source = file.display().to_string();
                let text = std::fs::read_to_string(&file).with_context(|| format!("read {source}"))?;
                manifests.extend(parse(&text, &source)?);
            }
        }
    }
    if manifests.is_empty() {
        bail!("no objects in what -f names");
    }
    Ok(manifests)
}

/// The file itself, or a directory's manifests in the order of their names.
fn files(path: &Path, recursive: bool) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let listed = std::fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut entries = listed.with_context(|| format!("list {}", path.display()))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries.into_iter().map(|entry| entry.path()) {
        if entry.is_dir() {
            if recursive {
                found.extend(files(&entry, recursive)?);
            }
        } else if entry.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known)) {
            found.push(entry);
        }
    }
    Ok(found)
}

fn parse(text: &str, source: &str) -> anyhow::Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let object = Value::deserialize(document).with_context(|| format!("parse {source}"))?;
        if !object.is_null() {
            add(object, source, &mut manifests)?;
        }
    }
    Ok(manifests)
}

/// Adds an object, or the items of a list.
fn add(object: Value, source: &str, manifests: &mut Vec<Manifest>) -> anyhow::Result<()> {
    if text(&object["kind"]).ends_with("List") && object["items"].is_array() {
        return array(&object["items"]).try_for_each(|item| add(item.clone(), source, manifests));
    }
    for field in ["apiVersion", "kind"] {
        if text(&object[field]).is_empty() {
            bail!("{source}: an object has no {field}");
        }
    }
    manifests.push(Manifest { source: source.to_owned(), object });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let manifests = parse(text, "f").map_err(|error| format!("{error:#}"))?;
        Ok(manifests.iter().map(|m| m.object["metadata"]["name"].as_str().unwrap().to_owned()).collect())
    }

    fn object(name: &str) -> String {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
    }

    #[test]
    fn a_file_may_hold_many_objects() {
        let text = format!("---\n# only a comment\n---\n{}---\n{}", object("a"), object("b"));
        assert_eq!(names(&text), Ok(vec!["a".into(), "b".into()]));
        let item = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#;
        assert_eq!(names(&format!(r#"{{"kind": "List", "items": [{item}]}}"#)), Ok(vec!["c".into()]));
    }

    #[test]
    fn what_is_wrong_names_its_file() {
        assert_eq!(names("kind: ConfigMap"), Err("f: an object has no apiVersion".into()));
        assert!(names("a: [").unwrap_err().starts_with("parse f: "));
    }
}
