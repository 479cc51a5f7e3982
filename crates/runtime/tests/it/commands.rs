//! Guests that are processes: how they end, and what is said about it.

use coracle_runtime::{Exit, Stdin};

use super::host::{Fabric, is_core_dump, load, run, runtime, start, with_name};

#[tokio::test]
async fn a_component_that_returns_ends_with_zero() {
    let job = run("job", &["100"], |_| {}).await;
    assert_eq!(job.exit().await, Exit::Code(0));
    assert_eq!(job.output.text(), "there are 25 primes below 100\n");
}

#[tokio::test]
async fn exit_codes_are_exact() {
    for module in ["job", "job-p1"] {
        let fail = |spec: &mut coracle_runtime::ContainerSpec| spec.env = vec![("FAIL_WITH".into(), "3".into())];
        assert_eq!(run(module, &["10"], fail).await.exit().await, Exit::Code(3), "{module}");
    }
    assert_eq!(run("crasher", &["exit", "42"], |_| {}).await.exit().await, Exit::Code(42));
}

#[tokio::test]
async fn a_component_on_wasi_0_3_is_a_process_too() {
    let hello = run("hello-p3", &[], |_| {}).await;
    assert_eq!(hello.exit().await, Exit::Code(0));
    assert_eq!(hello.output.text(), "hello from WASI 0.3\n");
    let failing = run("hello-p3", &[], |spec| spec.env = vec![("FAIL".into(), "yes".into())]).await;
    assert_eq!(failing.exit().await, Exit::Code(1));
}

#[tokio::test]
async fn a_core_module_runs_with_its_arguments() {
    let job = run("job-p1", &["30"], |_| {}).await;
    assert_eq!(job.exit().await, Exit::Code(0));
    assert_eq!(job.output.text(), "there are 10 primes below 30\n");
}

#[tokio::test]
async fn a_trap_names_itself_and_the_functions_that_led_to_it() {
    let crasher = run("crasher", &["trap"], |_| {}).await;
    let Exit::Trap { message, backtrace } = crasher.exit().await else { panic!("it did not trap") };
    assert_eq!(message, "wasm `unreachable` instruction executed");
    assert!(backtrace.contains("crasher::give_up"), "{backtrace}");
    assert!(backtrace.contains("crasher::main"), "{backtrace}");
}

#[tokio::test]
async fn a_trap_leaves_a_core_dump_that_tools_can_read() {
    let crasher = run("crasher", &["trap"], |_| {}).await;
    assert!(matches!(crasher.exit().await, Exit::Trap { .. }));
    assert!(crasher.container.usage().memory_last_bytes > 0);
    is_core_dump(&crasher.container.take_coredump().unwrap());
    assert_eq!(crasher.container.take_coredump(), None);
}

#[tokio::test]
async fn a_guest_that_ends_by_itself_leaves_no_core_dump() {
    let job = run("job", &["10"], |spec| spec.env = vec![("FAIL_WITH".into(), "3".into())]).await;
    assert_eq!(job.exit().await, Exit::Code(3));
    assert_eq!(job.container.take_coredump(), None);
}

#[tokio::test]
async fn a_panic_leaves_its_words_in_the_output() {
    let crasher = run("crasher", &["panic"], |_| {}).await;
    assert!(matches!(crasher.exit().await, Exit::Trap { .. }));
    assert!(crasher.output.text().contains("told to"), "{}", crasher.output.text());
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    let runtime = runtime();
    let descend = wat::parse_str(r#"(module (func $descend (export "_start") (call $descend)))"#).unwrap();
    let module = runtime.load("descend", async || Ok(descend.into())).await.unwrap();
    let descending = start(&runtime, &module, &Fabric::new().host(1, "descend"), |_| {});
    let Exit::Trap { message, backtrace } = descending.exit().await else { panic!("it did not trap") };
    assert_eq!(message, "call stack exhausted");
    assert!(backtrace.starts_with("0: "), "{backtrace}");
}

#[tokio::test]
async fn a_mount_that_is_not_there_is_named() {
    let job = run("job", &[], |spec| {
        spec.mounts =
            vec![coracle_runtime::Mount { host: "/nowhere/at/all".into(), guest: "/config".into(), read_only: true }];
    });
    let Exit::Trap { message, .. } = job.await.exit().await else { panic!("it ran") };
    assert_eq!(message, "mount /config: No such file or directory (os error 2)");
}

#[tokio::test]
async fn a_guest_whose_mounts_cannot_be_made_ends_when_it_looks() {
    let furnish = || Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
    let read = run("toolbox", &["read", "/config/key"], |spec| {
        spec.mounts =
            vec![coracle_runtime::Mount { host: "/nowhere/at/all".into(), guest: "/config".into(), read_only: true }];
        spec.furnish = Some(std::sync::Arc::new(furnish));
    });
    let Exit::Trap { message, .. } = read.await.exit().await else { panic!("it ran") };
    assert_eq!(message, "make the mounts: no storage space");
}

#[tokio::test]
async fn a_guest_that_sleeps_in_the_host_can_be_killed() {
    let crasher = run("crasher", &["hang"], |_| {}).await;
    crasher.output.shows("about to hang").await;
    crasher.container.kill();
    assert_eq!(crasher.exit().await, Exit::Killed);
    assert_eq!(crasher.container.usage().n_instances, 0);
}

/// Reads standard input to its end, and exits with how many reads that took.
const READER: &str = r#"
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 16))
    (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)) (then (unreachable)))
    (call $exit (i32.load (i32.const 32)))))
"#;

#[tokio::test]
async fn standard_input_is_empty_or_ends_with_the_container() {
    let runtime = runtime();
    let bytes = wat::parse_str(READER).unwrap();
    let module = runtime.load(READER, async || Ok(bytes.into())).await.unwrap();
    let host = Fabric::new().host(1, "reader");
    assert_eq!(start(&runtime, &module, &host, |_| {}).exit().await, Exit::Code(0));

    let open = start(&runtime, &module, &host, |spec| spec.stdin = Stdin::Open);
    tokio::select! {
        biased;
        exit = open.container.wait() => panic!("it did not wait for its input: {exit:?}"),
        () = idle(&open.container) => {}
    }
    open.container.terminate();
    assert_eq!(open.exit().await, Exit::Code(0));
}

/// Returns once the guest has begun and waits.
async fn idle(container: &coracle_runtime::Container) {
    while container.usage().n_instances == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_module_starts_many_times() {
    let runtime = runtime();
    let module = load(&runtime, "job").await;
    let host = Fabric::new().host(1, "job");
    let args = with_name("job", &["10"]);
    let jobs: Vec<_> = (0..20).map(|_| start(&runtime, &module, &host, |spec| spec.args.clone_from(&args))).collect();
    for job in jobs {
        assert_eq!(job.exit().await, Exit::Code(0));
    }
}
