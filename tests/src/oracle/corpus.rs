//! The scenarios and what was recorded for them, read from `tests/oracle`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_yaml::Mapping;

/// One scenario: its steps, and what a real server answered to each; null for what is not compared.
#[derive(Debug)]
pub struct Scenario {
    /// `AREA/NAME`.
    pub name: String,
    pub steps: Vec<Mapping>,
    pub recorded: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "it is for people")]
    about: String,
    steps: Vec<Mapping>,
}

/// The scenarios whose name starts with `only`, by name.
pub fn load(only: &str) -> Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for area in entries(&home().join("scenarios"))? {
        for file in entries(&area)? {
            let name = format!("{}/{}", stem(&area), stem(&file));
            if name.starts_with(only) {
                scenarios.push(read(name, &file)?);
            }
        }
    }
    Ok(scenarios)
}

/// `tests/oracle`.
pub(super) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle")
}

fn read(name: String, file: &Path) -> Result<Scenario> {
    let scenario: File = serde_yaml::from_str(&text(file)?).with_context(|| format!("parse {}", file.display()))?;
    let record = home().join("recorded").join(format!("{name}.json"));
    let recorded = serde_json::from_str(&text(&record)?).with_context(|| format!("parse {}", record.display()))?;
    Ok(Scenario { name, steps: scenario.steps, recorded })
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let found = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut paths = found.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
