//! Guests that want too much, and their neighbours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coracle_runtime::network::Network;
use coracle_runtime::{Exit, Stdin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::host::{Fabric, Running, load, run, runtime, start, with_name};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn too_much_memory_ends_a_guest_and_says_so() {
    let hog = run("hog", &["memory", "100"], |spec| spec.memory_max = Some(32 * MIB)).await;
    assert_eq!(hog.exit().await, Exit::OutOfMemory { limit: 32 * MIB });
    assert_eq!(hog.container.usage().memory_bytes, 0);
}

#[tokio::test]
async fn memory_within_the_limit_is_counted() {
    let hog = run("hog", &["memory", "10"], |spec| spec.memory_max = Some(32 * MIB)).await;
    hog.output.shows("holding 10 MiB").await;
    let held = hog.container.usage().memory_bytes;
    assert!((10 * MIB..14 * MIB).contains(&held), "{held}");
}

#[tokio::test]
async fn what_a_guest_wrote_and_nobody_reads_is_counted_and_so_is_its_standard_input() {
    let (runtime, host) = (runtime(), Fabric::new().host(1, "echo"));
    let echo = load(&runtime, "echo-tcp").await;
    let echo = start(&runtime, &echo, &host, |spec| {
        spec.args = with_name("echo-tcp", &["7"]);
        spec.stdin = Stdin::Pipe(Arc::default());
    });
    echo.output.shows("listening on").await;
    let mut stream = host.connect(None, "10.0.0.1:7".parse().unwrap()).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    let before = echo.container.usage().memory_bytes;
    let flood = async {
        loop {
            stream.write_all(&[0; 1000]).await.unwrap();
        }
    };
    let is_counted = async {
        while echo.container.usage().memory_bytes < before + 1000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = flood => {}
        () = is_counted => {}
    }
    let module = load(&runtime, "toolbox").await;
    let [open, piped] = [Stdin::Open, Stdin::Pipe(Arc::default())].map(|stdin| {
        start(&runtime, &module, &host, |spec| {
            spec.args = with_name("toolbox", &["cat"]);
            spec.stdin = stdin;
        })
    });
    let held = |cat: &Running| cat.container.usage().memory_bytes;
    while held(&open) < 1 << 20 || held(&piped) != held(&open) + (64 << 10) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_guest_that_spins_can_be_killed() {
    let hog = run("hog", &["cpu"], |_| {}).await;
    hog.output.shows("computing").await;
    hog.container.kill();
    assert_eq!(hog.exit().await, Exit::Killed);
}

#[tokio::test]
async fn a_killed_guest_that_has_moved_to_other_threads_stops_computing() {
    let hog = run("hog", &["cpu"], |_| {}).await;
    while hog.container.usage().cpu_ns < 200_000_000 {
        tokio::task::yield_now().await;
    }
    hog.container.kill();
    assert_eq!(hog.exit().await, Exit::Killed);
    while hog.container.usage().n_instances > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn spinners_do_not_stall_their_neighbours() {
    let runtime = runtime();
    let (hog, job) = (load(&runtime, "hog").await, load(&runtime, "job").await);
    let host = Fabric::new().host(1, "crowd");
    let spinners: Vec<_> =
        (0..4).map(|_| start(&runtime, &hog, &host, |spec| spec.args = with_name("hog", &["cpu"]))).collect();
    for spinner in &spinners {
        spinner.output.shows("computing").await;
    }
    let neighbour = start(&runtime, &job, &host, |spec| spec.args = with_name("job", &["1000"]));
    assert_eq!(neighbour.exit().await, Exit::Code(0));
    for spinner in &spinners {
        spinner.container.kill();
        assert_eq!(spinner.exit().await, Exit::Killed);
    }
}

#[tokio::test]
async fn a_share_of_the_cpu_is_not_exceeded() {
    let share = 0.2;
    let hog = run("hog", &["cpu", "1"], |spec| spec.cpu_max = Some(share)).await;
    hog.output.shows("computing").await;
    let start = Instant::now();
    let before = hog.container.usage().cpu_ns;
    assert_eq!(hog.exit().await, Exit::Code(0));
    let used = Duration::from_nanos(hog.container.usage().cpu_ns - before);
    // One slice may be used in advance, and what was saved up is used too.
    let most = start.elapsed().mul_f64(share) + Duration::from_millis(60);
    assert!(used <= most, "{used:?} of {most:?}");
}
