//! `cargo xtask descriptions`: what Kubernetes says about its types and fields, taken from the sources of k8s-openapi
//! into `crates/api/data/descriptions.gz`. It runs by hand, when that crate's version changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{Result, cargo, command, run};

const FILE: &str = "crates/api/data/descriptions";
/// The version whose sources are read: the feature that the workspace asks k8s-openapi for.
const VERSION: &str = "src/v1_37";
const HEADER: &str = "# what Kubernetes 1.37 says about its types and fields: from the sources of k8s-openapi, Apache-2.0.\n\
                      # `TYPE <tab> description` opens a type, `<tab> field <tab> description` is a field of it; \\n is a line's end.\n";

/// A type's own words under "", its fields' by their names in JSON.
type Words = BTreeMap<String, String>;

pub(crate) fn extract() -> Result<()> {
    let mut types = BTreeMap::new();
    let mut dirs = vec![sources()?.join(VERSION)];
    while let Some(dir) = dirs.pop() {
        for path in entries(&dir)? {
            if path.is_dir() {
                dirs.push(path);
            } else if let Some((name, words)) = parse(&read(&path)?) {
                types.insert(name, words);
            }
        }
    }
    let mut text = HEADER.to_owned();
    for (name, words) in &types {
        text.push_str(&format!("{name}\t{}\n", words.get("").map_or("", String::as_str)));
        for (field, description) in words.iter().filter(|(field, _)| !field.is_empty()) {
            text.push_str(&format!("\t{field}\t{description}\n"));
        }
    }
    fs::write(FILE, text).map_err(|error| format!("write {FILE}: {error}"))?;
    run(command("gzip").args(["-9", "--no-name", "--force", FILE]))?;
    println!("{} types", types.len());
    Ok(())
}

/// The type of a file of k8s-openapi: documentation comments stand before it and before each of its fields.
fn parse(source: &str) -> Option<(String, Words)> {
    let name = source.lines().next()?.strip_prefix("// Generated from definition ")?.to_owned();
    let json_names = json_names(source);
    let mut words = Words::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in source.lines().skip(1) {
        let code = line.trim_start();
        if let Some(text) = code.strip_prefix("///") {
            comment.push(text.strip_prefix(' ').unwrap_or(text));
        } else if code.starts_with("impl") {
            break;
        } else if let Some(field) = code.strip_prefix("pub ").filter(|_| line.starts_with("    ")) {
            let field = field.split(':').next()?.trim_start_matches("r#");
            if let Some(json_name) = json_names.get(field).filter(|_| !comment.is_empty()) {
                words.insert((*json_name).to_owned(), comment.join("\\n"));
            }
            comment.clear();
        } else if code.starts_with("pub ") {
            words.insert(String::new(), comment.join("\\n"));
            comment.clear();
        }
    }
    Some((name, words))
}

/// The names in JSON by the names in Rust, from lines like `"minReadySeconds" => Field::Key_min_ready_seconds,`.
fn json_names(source: &str) -> BTreeMap<&str, &str> {
    let pairs = source.lines().filter_map(|line| line.trim().split_once(" => Field::Key_"));
    pairs.map(|(json, rust)| (rust.trim_end_matches(','), json.trim_matches('"'))).collect()
}

/// Where cargo keeps the sources of k8s-openapi.
fn sources() -> Result<PathBuf> {
    let out = cargo().args(["metadata", "--format-version", "1", "--locked"]).output();
    let out = out.map_err(|error| format!("start cargo metadata: {error}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let manifests = text.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let found = manifests.map(Path::new).find(|path| path.to_string_lossy().contains("/k8s-openapi-"));
    Ok(found.and_then(Path::parent).ok_or("cargo metadata names no k8s-openapi")?.to_path_buf())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let found = fs::read_dir(dir).map_err(|error| format!("list {}: {error}", dir.display()))?;
    Ok(found.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
}
