//! Containers in processes of their own: this test program is the process, when it is started as one.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coracle_runtime::isolated::Isolation;
use coracle_runtime::network::{Network, Stream};
use coracle_runtime::{Config, ContainerSpec, Exec, Exit, Module, Mount, Output, Pipe, Runtime, StdStream, Stdin};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::host::{
    Fabric, Host, PATIENCE, Running, digest, is_core_dump, processes, start, this_program, wasm, with_name,
};

const MIB: u64 = 1 << 20;

/// No test by itself: the other half of all others.
#[test]
fn a_process_of_a_container_is_this_program() {
    if coracle_runtime::is_started_by_agent() {
        coracle_runtime::isolated::run();
    }
}

fn runtime() -> Runtime {
    let test = "it::isolated::a_process_of_a_container_is_this_program";
    let isolation = Isolation { program: this_program(test), confined: true };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    Runtime::new(Config { instances_max: 64, isolation, ..Config::new(dir) }).unwrap()
}

async fn load(runtime: &Runtime, name: &str) -> Arc<Module> {
    let bytes = wasm(name);
    runtime.load_isolated(&digest(name, &bytes), async || Ok(bytes)).await.unwrap()
}

async fn run_on(host: &Arc<Host>, name: &str, args: &[&str], change: impl FnOnce(&mut ContainerSpec)) -> Running {
    let runtime = runtime();
    let module = load(&runtime, name).await;
    start(&runtime, &module, host, |spec| {
        spec.args = with_name(name, args);
        change(spec);
    })
}

async fn run(name: &str, args: &[&str], change: impl FnOnce(&mut ContainerSpec)) -> Running {
    run_on(&Fabric::new().host(1, name), name, args, change).await
}

#[tokio::test]
async fn commands_end_with_their_output_and_their_exact_codes() {
    for module in ["job", "job-p1"] {
        let job = run(module, &["100"], |_| {}).await;
        assert_eq!(job.exit().await, Exit::Code(0), "{module}");
        assert_eq!(job.output.text(), "there are 25 primes below 100\n", "{module}");
        let fail = |spec: &mut ContainerSpec| spec.env = vec![("FAIL_WITH".into(), "3".into())];
        assert_eq!(run(module, &["10"], fail).await.exit().await, Exit::Code(3), "{module}");
    }
    let hello = run("hello-p3", &[], |_| {}).await;
    assert_eq!(hello.exit().await, Exit::Code(0));
    assert_eq!(hello.output.text(), "hello from WASI 0.3\n");
    assert!(processes().is_empty());
}

#[tokio::test]
async fn a_trap_names_itself_and_the_functions_that_led_to_it() {
    let crasher = run("crasher", &["trap"], |_| {}).await;
    let Exit::Trap { message, backtrace } = crasher.exit().await else { panic!("it did not trap") };
    assert_eq!(message, "wasm `unreachable` instruction executed");
    assert!(backtrace.contains("crasher::give_up"), "{backtrace}");
    is_core_dump(&crasher.container.take_coredump().unwrap());
}

#[tokio::test]
async fn a_failed_request_leaves_a_core_dump_with_the_agent() {
    let host = Fabric::new().host(1, "web");
    let web = run_on(&host, "crasher-http", &[], |_| {}).await;
    web.listening().await;
    let stream = host.connect(None, "10.0.0.1:80".parse().unwrap()).await.unwrap();
    let answer = exchange(stream, "GET /panic HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    is_core_dump(&timeout(PATIENCE, web.container.coredump()).await.unwrap());
    web.container.terminate();
    assert_eq!(web.exit().await, Exit::Code(0));
}

#[tokio::test]
async fn too_much_memory_ends_a_guest_and_says_so() {
    let hog = run("hog", &["memory", "100"], |spec| spec.memory_max = Some(32 * MIB)).await;
    assert_eq!(hog.exit().await, Exit::OutOfMemory { limit: 32 * MIB });
}

#[tokio::test]
async fn what_a_guest_holds_is_reported() {
    let hog = run("hog", &["memory", "10"], |spec| spec.memory_max = Some(32 * MIB)).await;
    hog.output.shows("holding 10 MiB").await;
    while hog.container.usage().memory_bytes < 10 * MIB {
        tokio::task::yield_now().await;
    }
    assert_eq!(hog.container.usage().n_instances, 1);
}

#[tokio::test]
async fn a_guest_that_spins_is_killed_at_once() {
    let hog = run("hog", &["cpu"], |_| {}).await;
    hog.output.shows("computing").await;
    let start = Instant::now();
    hog.container.kill();
    assert_eq!(hog.exit().await, Exit::Killed);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(processes().is_empty());
}

#[tokio::test]
async fn a_container_that_is_dropped_leaves_no_process() {
    let hog = run("hog", &["cpu"], |_| {}).await;
    hog.output.shows("computing").await;
    drop(hog);
    while !processes().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_process_that_crashes_ends_its_container_alone() {
    for (signal, code, name) in [(Signal::ABORT, 134, "SIGABRT"), (Signal::KILL, 137, "SIGKILL")] {
        let hog = run("hog", &["cpu"], |_| {}).await;
        hog.output.shows("computing").await;
        let [process] = processes()[..] else { panic!("there is not one process") };
        kill_process(process, signal).unwrap();
        let message = format!("its process was ended by {name}");
        assert_eq!(hog.exit().await, Exit::Lost { code, message });
    }
    assert_eq!(run("job", &["10"], |_| {}).await.exit().await, Exit::Code(0));
}

#[tokio::test]
async fn a_share_of_the_cpu_is_not_exceeded() {
    let share = 0.2;
    let hog = run("hog", &["cpu", "2"], |spec| spec.cpu_max = Some(share)).await;
    hog.output.shows("computing").await;
    let start = Instant::now();
    let before = hog.container.usage().cpu_ns;
    assert_eq!(hog.exit().await, Exit::Code(0));
    let used = Duration::from_nanos(hog.container.usage().cpu_ns - before);
    // What was saved up may be used, and some is used between two looks.
    let most = start.elapsed().mul_f64(share) + Duration::from_millis(60);
    assert!(used <= most, "{used:?} of {most:?}");
    assert!(used >= start.elapsed().mul_f64(share * 0.5), "{used:?}");
}

async fn exchange(mut stream: Stream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn guests_in_processes_talk_over_their_own_addresses() {
    let fabric = Fabric::new();
    let (server, client) = (fabric.host(1, "echo.default.svc"), fabric.host(2, "client"));
    let echo = run_on(&server, "echo-tcp", &["7"], |_| {}).await;
    echo.output.shows("listening on 10.0.0.1:7").await;
    for to in ["10.0.0.1:7", "echo.default.svc:7"] {
        let netcat = run_on(&client, "netcat", &["tcp", to, "ahoy"], |_| {}).await;
        assert_eq!(netcat.exit().await, Exit::Code(0), "{}", netcat.output.text());
        assert_eq!(netcat.output.text(), "from 10.0.0.2 to 10.0.0.1:7\nahoy\n");
    }
    let refused = run_on(&client, "netcat", &["tcp", "10.0.0.9:7", "ahoy"], |_| {}).await;
    assert_eq!(refused.exit().await, Exit::Code(1));
    assert!(refused.output.text().starts_with("ConnectionRefused"), "{}", refused.output.text());
    let text = "x".repeat(300_000);
    let stream = client.connect(None, "10.0.0.1:7".parse().unwrap()).await.unwrap();
    assert_eq!(exchange(stream, &text).await.len(), text.len());
}

#[tokio::test]
async fn datagrams_come_back_to_who_sent_them() {
    let fabric = Fabric::new();
    let (server, client) = (fabric.host(1, "server"), fabric.host(2, "client"));
    let listening = run_on(&server, "netcat", &["listen-udp", "53"], |_| {}).await;
    listening.output.shows("listening on 10.0.0.1:53").await;
    let netcat = run_on(&client, "netcat", &["udp", "server:53", "ahoy"], |_| {}).await;
    assert_eq!(netcat.exit().await, Exit::Code(0));
    assert_eq!(netcat.output.text(), "ahoy\n");
}

#[tokio::test]
async fn servers_answer_until_they_are_told_to_end() {
    for module in ["hello-http", "hello-http-p3"] {
        let host = Fabric::new().host(1, "web");
        let web = run_on(&host, module, &[], |_| {}).await;
        web.listening().await;
        for _ in 0..3 {
            let stream = host.connect(None, "10.0.0.1:80".parse().unwrap()).await.unwrap();
            let (mut sender, io) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            let request = Request::get("/").header("host", "web").body(Empty::<Bytes>::new()).unwrap();
            let answered = async {
                let answer = sender.send_request(request).await.unwrap();
                assert_eq!(answer.status(), 200);
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                drop(sender);
                body
            };
            let (body, io) = tokio::join!(answered, io);
            io.unwrap();
            assert!(!body.is_empty());
        }
        while web.container.requests().unwrap().n_answers[1] < 3 {
            tokio::task::yield_now().await;
        }
        web.container.terminate();
        assert_eq!(web.exit().await, Exit::Code(0), "{module}");
    }
}

#[tokio::test]
async fn mounts_are_all_that_a_guest_sees_and_are_as_they_were_given() {
    let (shown, given) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(shown.path().join("file"), "text").unwrap();
    let mounts = [(shown.path(), "/shown", true), (given.path(), "/given", false)];
    let mounts = mounts.map(|(host, guest, read_only)| Mount { host: host.into(), guest: guest.into(), read_only });
    for (args, code) in [
        (&["read", "/shown/file"][..], 0),
        (&["write", "/given/file", "more"], 0),
        (&["write", "/shown/file", "less"], 1),
        (&["read", "/etc/passwd"], 1),
    ] {
        let toolbox = run("toolbox", args, |spec| spec.mounts = mounts.to_vec()).await;
        assert_eq!(toolbox.exit().await, Exit::Code(code), "{args:?}: {}", toolbox.output.text());
    }
    assert_eq!(fs::read_to_string(given.path().join("file")).unwrap(), "more");
    assert_eq!(fs::read_to_string(shown.path().join("file")).unwrap(), "text");
}

struct Kept(Arc<Pipe>);

impl Output for Kept {
    fn write(&self, _stream: StdStream, bytes: Bytes) {
        self.0.push(bytes).unwrap();
    }
}

#[tokio::test]
async fn a_second_run_is_one_more_process_that_ends_with_the_first() {
    let stdin = Arc::new(Pipe::default());
    let input = Arc::clone(&stdin);
    let first = run("toolbox", &["cat"], |spec| {
        spec.stdin = Stdin::Pipe(input);
        spec.env = vec![("GREETING".into(), "hello".into())];
    });
    let first = first.await;
    stdin.write("ahoy\n".into()).await.unwrap();
    first.output.shows("ahoy").await;
    let exec = |args: &[&str]| {
        let output = Arc::new(Pipe::default());
        let kept = Arc::new(Kept(Arc::clone(&output)));
        let args = with_name("toolbox", args);
        (first.container.exec(Exec { args, stdin: Stdin::Open, terminal: false, output: kept }).unwrap(), output)
    };
    let (second, output) = exec(&["env", "GREETING"]);
    assert_eq!(second.wait().await, Exit::Code(0));
    assert_eq!(output.try_read(99).unwrap(), "hello\n");
    let (third, _) = exec(&["sleep"]);
    third.listening().await;
    stdin.end();
    assert_eq!(first.exit().await, Exit::Code(0));
    assert_eq!(third.wait().await, Exit::Killed);
    assert!(processes().is_empty());
}

#[tokio::test]
async fn a_flood_of_output_is_held_back_and_loses_nothing() {
    let flood = run("toolbox", &["flood", "3000000"], |_| {}).await;
    assert_eq!(flood.exit().await, Exit::Code(0));
    assert_eq!(flood.output.text().len(), 3_000_000);
}
