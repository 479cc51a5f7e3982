//! The house rules that a compiler cannot hold, as tests over the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::root;

/// The layers of the design, lowest first. A crate depends only on lower ones.
const LAYERS: &[&[&str]] = &[
    &["stdx"],
    &["api", "store", "runtime", "oci", "pki"],
    &["client", "net"],
    &["apiserver", "scheduler", "controllers", "node", "proxy", "dns"],
    &["testkit"],
    &["cli", "ui"],
    &["coracle"],
];

/// Large dependencies, and the one crate that may know each.
const OWNERS: &[(&str, &str)] = &[
    ("redb", "store"),
    ("etcd-client", "store"),
    ("wasmtime", "runtime"),
    ("wasmtime-wasi", "runtime"),
    ("wasmtime-wasi-http", "runtime"),
    ("quinn", "net"),
    ("clap", "cli"),
];

/// What may not appear in anything committed: the hosts of package registries.
const REGISTRY_HOSTS: &[&str] = &["crates.io/", "pypi.org", "npmjs.org", "npmjs.com", "deb.debian.org", "docker.io"];

#[test]
fn a_crate_depends_only_on_lower_layers() {
    let mut wrong = Vec::new();
    for (name, manifest) in manifests() {
        let own = layer(&name);
        for dependency in dependencies(&manifest, "dependencies") {
            let Some(theirs) = dependency.strip_prefix("coracle-") else { continue };
            if layer(theirs) >= own {
                wrong.push(format!("{name} (layer {own}) depends on {theirs} (layer {})", layer(theirs)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_tests_may_use_the_testkit() {
    for (name, manifest) in manifests() {
        assert!(!dependencies(&manifest, "dependencies").contains("coracle-testkit"), "{name} ships the testkit");
    }
}

#[test]
fn each_large_dependency_has_one_owner() {
    // The binary reads settings with clap as `cli` does: both are the command line.
    let allowed = |dependency: &str, name: &str| dependency == "clap" && name == "coracle";
    for (name, manifest) in manifests() {
        let used = dependencies(&manifest, "dependencies");
        for (dependency, owner) in OWNERS {
            let fine = !used.contains(*dependency) || name == *owner || allowed(dependency, &name);
            assert!(fine, "{name} depends on {dependency}, which belongs to {owner}");
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    // `foo/tests.rs` is about foo, and needs no word of its own.
    let speaks = |path: &PathBuf| path.ends_with("tests.rs") || read(path).starts_with("//! ");
    let silent: Vec<_> = sources().into_iter().filter(|path| !speaks(path)).collect();
    assert!(silent.is_empty(), "these files do not open with a `//!` sentence: {silent:#?}");
}

#[test]
fn no_module_is_named_mod() {
    let wrong: Vec<_> = sources().into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(wrong.is_empty(), "use foo.rs beside foo/: {wrong:#?}");
}

#[test]
fn no_test_is_ignored_and_none_sleeps_in_a_thread() {
    let ignore = concat!("#[ign", "ore");
    let wrong: Vec<_> = sources().into_iter().filter(|path| read(path).contains(ignore)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_registry_host_is_named() {
    let own = Path::new("xtask/src/tidy.rs");
    let wrong: Vec<_> = tracked()
        .into_iter()
        .filter(|path| !path.ends_with(own) && !path.ends_with("Cargo.lock"))
        .filter(|path| REGISTRY_HOSTS.iter().any(|host| read(path).contains(host)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The layer of a crate, by its folder's name.
fn layer(name: &str) -> usize {
    let found = LAYERS.iter().position(|crates| crates.contains(&name));
    found.unwrap_or_else(|| panic!("crate {name} has no layer: add it to LAYERS and to ARCHITECTURE.md"))
}

/// Every crate's folder name and manifest.
fn manifests() -> BTreeMap<String, String> {
    let entries = fs::read_dir(root().join("crates")).unwrap();
    let dirs = entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("Cargo.toml").exists());
    dirs.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), read(&path.join("Cargo.toml")))).collect()
}

/// The names under one table of a manifest.
fn dependencies(manifest: &str, table: &str) -> BTreeSet<String> {
    let body = manifest.lines().skip_while(|line| *line != format!("[{table}]")).skip(1);
    let lines = body.take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn sources() -> Vec<PathBuf> {
    tracked().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Every file of ours, without what is built or fetched.
fn tracked() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if ["target", ".git", "node_modules"].contains(&name.as_str()) => {}
                true => dirs.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}
