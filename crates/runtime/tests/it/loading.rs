//! From bytes to a module: what is refused in which words, and what is never compiled twice.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use coracle_runtime::compiler::Compiler;
use coracle_runtime::{Config, Exit, LoadError, ModuleKind, Runtime};
use futures::future::join_all;

use super::host::{Fabric, PATIENCE, load, processes, runtime, runtime_in, start, this_program, wasm, with_name};

async fn refusal(runtime: &Runtime, bytes: impl Into<Bytes>) -> String {
    let bytes = bytes.into();
    let digest = format!("{bytes:?}");
    runtime.load(&digest, async || Ok(bytes)).await.expect_err("it should have been refused").to_string()
}

fn text(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

#[tokio::test]
async fn a_module_knows_what_it_is() {
    let runtime = runtime();
    for (name, kind) in
        [("job", ModuleKind::Command), ("hello-http", ModuleKind::Http), ("job-p1", ModuleKind::CoreCommand)]
    {
        assert_eq!(load(&runtime, name).await.kind(), kind, "{name}");
    }
    let imports = load(&runtime, "hello-http").await.imports().to_vec();
    assert!(imports.iter().any(|name| name.starts_with("wasi:http/types@0.2")), "{imports:?}");
}

#[tokio::test]
async fn what_cannot_run_is_refused_in_words() {
    let runtime = runtime();
    assert_eq!(refusal(&runtime, "hello").await, "not a WebAssembly module");

    let whole = wasm("hello-http");
    let cut = whole.slice(..whole.len() / 2);
    let words = refusal(&runtime, cut.clone()).await;
    assert!(words.starts_with(&format!("truncated at byte {}: ", cut.len())), "{words}");

    let component = text(r#"(component (import "wasi:foo/bar@1.0.0" (instance (export "f" (func)))))"#);
    let words = refusal(&runtime, component).await;
    assert_eq!(words, "imports wasi:foo/bar@1.0.0, which this node does not offer");
    let unused = text(r#"(component (import "wasi:foo/bar@1.0.0" (instance)))"#);
    assert!(refusal(&runtime, unused).await.starts_with("exports neither"));

    let core = text(r#"(module (import "env" "magic" (func)) (func (export "_start")))"#);
    assert_eq!(refusal(&runtime, core).await, "imports env.magic, which this node does not offer");

    let words = refusal(&runtime, text("(component)")).await;
    assert!(words.starts_with("exports neither wasi:cli/run nor wasi:http/incoming-handler"), "{words}");
    let words = refusal(&runtime, text("(module)")).await;
    assert!(words.contains("`_start`"), "{words}");
}

#[tokio::test]
async fn the_hosts_own_sockets_are_out_of_reach_in_every_version() {
    let runtime = runtime();
    let component = text(r#"(component (import "wasi:sockets/types@0.3.0" (instance (export "f" (func)))))"#);
    assert!(refusal(&runtime, component).await.contains("wasi:sockets/types@0.3.0"));
}

#[tokio::test]
async fn a_module_is_compiled_once_even_when_many_ask() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime_in(dir.path());
    let loads = (0..16).map(|_| load(&runtime, "job"));
    let modules = join_all(loads).await;
    assert_eq!(runtime.compilations(), 1);
    assert!(modules.iter().all(|module| std::sync::Arc::ptr_eq(module, &modules[0])));
}

#[tokio::test]
async fn a_second_start_does_not_compile_nor_read() {
    let dir = tempfile::tempdir().unwrap();
    let first = runtime_in(dir.path());
    first.load("sha256:1", async || Ok(wasm("job"))).await.unwrap();
    drop(first);

    let second = runtime_in(dir.path());
    let unread = async || Err(io::Error::other("it was read"));
    second.load("sha256:1", unread).await.unwrap();
    assert_eq!(second.compilations(), 0);
    assert!(matches!(second.load("sha256:2", unread).await, Err(LoadError::Read(_))));
}

#[tokio::test]
async fn a_broken_cache_entry_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    runtime_in(dir.path()).load("sha256:1", async || Ok(wasm("job"))).await.unwrap();
    let entry = only_file(dir.path());
    let mut code = std::fs::read(&entry).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    std::fs::write(&entry, code).unwrap();

    let runtime = runtime_in(dir.path());
    runtime.load("sha256:1", async || Ok(wasm("job"))).await.unwrap();
    assert_eq!(runtime.compilations(), 1);
    let again = runtime_in(dir.path());
    again.load("sha256:1", async || Err(io::Error::other("it was read"))).await.unwrap();
}

fn only_file(dir: &Path) -> std::path::PathBuf {
    let mut at = dir.to_owned();
    while at.is_dir() {
        at = std::fs::read_dir(&at).unwrap().next().expect("there is one").unwrap().path();
    }
    at
}

/// No test by itself: the other half of those below.
#[test]
fn a_process_that_compiles_is_this_program() {
    if coracle_runtime::is_started_by_agent() {
        coracle_runtime::compiler::run();
    }
}

fn runtime_that_compiles_apart(dir: &Path, time_max: Duration, memory_max: u64) -> Runtime {
    let program = this_program("it::loading::a_process_that_compiles_is_this_program");
    let compiler = Compiler { program: Some(program), time_max, memory_max };
    Runtime::new(Config { instances_max: 64, compiler, ..Config::new(dir) }).unwrap()
}

/// A module on which the compiler computes for long, and holds much: one function of many blocks that all meet.
fn pathological(n_blocks: usize) -> Vec<u8> {
    let body = "local.get 0 (if (then (local.set 0 (i32.mul (local.get 0) (local.get 1)))))\n".repeat(n_blocks);
    text(&format!(r#"(module (func (export "_start") (local i32 i32) {body}))"#))
}

fn no_files_are_left(dir: &Path) {
    let mut at = vec![dir.to_owned()];
    while let Some(path) = at.pop() {
        assert!(path.is_dir(), "{}", path.display());
        at.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
    }
}

#[tokio::test]
async fn what_a_process_compiles_is_kept_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    let first = runtime_that_compiles_apart(dir.path(), PATIENCE, 1 << 30);
    for name in ["job", "job-p1"] {
        let module = load(&first, name).await;
        let job = start(&first, &module, &Fabric::new().host(1, name), |spec| spec.args = with_name(name, &["100"]));
        assert_eq!(job.exit().await, Exit::Code(0));
    }
    assert_eq!(first.compilations(), 2);
    let refused = refusal(&first, text("(module)").into_iter().chain([10, 3, 1, 1, 1]).collect::<Vec<_>>()).await;
    assert!(refused.starts_with("not a valid WebAssembly module: "), "{refused}");
    assert!(processes().is_empty());
    let second = runtime_that_compiles_apart(dir.path(), PATIENCE, 1 << 30);
    load(&second, "job").await;
    assert_eq!(second.compilations(), 0);
}

#[tokio::test]
async fn a_compilation_that_takes_too_long_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime_that_compiles_apart(dir.path(), Duration::from_millis(100), 4 << 30);
    let refused = runtime.load("slow", async || Ok(pathological(50_000).into())).await.unwrap_err();
    assert!(matches!(refused, LoadError::CompileTimeout { .. }), "{refused}");
    assert!(processes().is_empty());
    no_files_are_left(dir.path());
}

#[tokio::test]
async fn a_compilation_that_takes_too_much_memory_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime_that_compiles_apart(dir.path(), PATIENCE, 48 << 20);
    let refused = runtime.load("large", async || Ok(pathological(50_000).into())).await.unwrap_err();
    assert_eq!(refused.to_string(), "compile: the compiler needs more than 48 MiB of memory for it");
    assert!(processes().is_empty());
    no_files_are_left(dir.path());
}

#[tokio::test]
async fn a_compilation_that_nobody_waits_for_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime_that_compiles_apart(dir.path(), PATIENCE, 4 << 30);
    let load = runtime.load("slow", async || Ok(pathological(50_000).into()));
    tokio::select! {
        loaded = load => panic!("{loaded:?}"),
        () = async { while processes().is_empty() { tokio::task::yield_now().await } } => {}
    }
    while !processes().is_empty() {
        tokio::task::yield_now().await;
    }
    no_files_are_left(dir.path());
}
