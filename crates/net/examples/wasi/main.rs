//! Runs every program of a directory as a container of a pod on the pod network, and prints how each went: the measure
//! for `docs/wasi.md`. It ends with failure when a program does. With `--one`, runs a single program as a process.

mod one;
mod program;
mod run;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use program::Program;
use world::World;

type Result<T> = std::result::Result<T, String>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (dir, filter) = match args.next() {
        Some(one) if one == "--one" => return single(args).await,
        dir => (dir, args.next().unwrap_or_default()),
    };
    let Some(dir) = dir else {
        eprintln!("usage: wasi DIR [PART-OF-A-NAME]");
        return ExitCode::FAILURE;
    };
    match all(Path::new(&dir), &filter).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("wasi: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the process itself: a thread may still wait for input that never comes.
async fn single(args: impl Iterator<Item = String>) -> ExitCode {
    let code = match one::run(args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wasi: {error}");
            1
        }
    };
    std::process::exit(code)
}

/// Runs them all, and returns how many failed.
async fn all(dir: &Path, filter: &str) -> Result<usize> {
    let files = programs(dir, filter)?;
    let world = World::new().await?;
    let mut groups: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in &files {
        let program = Program::new(file);
        let outcome = run::run(&world, file, &program).await;
        let group = groups.entry(program.group()).or_default();
        group.1 += 1;
        match outcome {
            Ok(()) => {
                group.0 += 1;
                println!("pass  {}", program.name);
            }
            Err(reason) => println!("FAIL  {}: {reason}", program.name),
        }
    }
    println!("\n| programs | pass | of |\n|---|---|---|");
    for (group, (n_passed, n_programs)) in &groups {
        println!("| {group} | {n_passed} | {n_programs} |");
    }
    let n_passed: usize = groups.values().map(|(n_passed, _)| n_passed).sum();
    println!("| all | {n_passed} | {} |", files.len());
    Ok(files.len() - n_passed)
}

fn programs(dir: &Path, filter: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(|error| format!("read {}: {error}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".wasm") && name.contains(filter)
    });
    files.sort();
    Ok(files)
}
