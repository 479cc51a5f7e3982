//! Second runs in a container's place, and the pipes that reach a guest's streams.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use coracle_runtime::{Container, Exec, Exit, NotAProcess, Output, Pipe, StdStream, Stdin};

use super::host::{Running, run, with_name};

/// What a guest writes, held back as its pipe is.
struct Piped(Arc<Pipe>);

impl Output for Piped {
    fn write(&self, _stream: StdStream, bytes: Bytes) {
        self.0.push(bytes).unwrap();
    }

    fn poll_ready(&self, _stream: StdStream, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_writable(cx)
    }
}

/// A container whose process waits for the end of its input.
async fn waiting(module: &str) -> (Running, Arc<Pipe>) {
    let stdin = Arc::new(Pipe::default());
    let input = Arc::clone(&stdin);
    let container = run(module, &["sleep"], |spec| {
        spec.stdin = Stdin::Pipe(input);
        spec.env = vec![("GREETING".into(), "hello".into())];
        spec.memory_max = Some(64 << 20);
    });
    (container.await, stdin)
}

fn exec(container: &Container, args: &[&str], stdin: Stdin) -> (Container, Arc<Pipe>) {
    let output = Arc::new(Pipe::default());
    let exec =
        Exec { args: with_name("toolbox", args), stdin, terminal: false, output: Arc::new(Piped(Arc::clone(&output))) };
    (container.exec(exec).unwrap(), output)
}

async fn all(output: &Pipe) -> usize {
    let mut n = 0;
    while let Some(bytes) = output.read(usize::MAX).await {
        n += bytes.len();
    }
    n
}

#[tokio::test]
async fn a_second_run_has_the_containers_place_and_ends_by_itself() {
    for module in ["toolbox", "toolbox-p1"] {
        let (first, _stdin) = waiting(module).await;
        let (second, output) = exec(&first.container, &["env", "GREETING"], Stdin::Empty);
        assert_eq!(second.wait().await, Exit::Code(0), "{module}");
        assert_eq!(output.try_read(99).unwrap(), "hello\n");
        let (second, _) = exec(&first.container, &["exit", "7"], Stdin::Empty);
        assert_eq!(second.wait().await, Exit::Code(7), "{module}");
    }
}

#[tokio::test]
async fn input_and_output_are_held_back_and_lose_nothing() {
    const PIECES: usize = 64;
    for module in ["toolbox", "toolbox-p1"] {
        let (first, _stdin) = waiting(module).await;
        let input = Arc::new(Pipe::default());
        let (second, output) = exec(&first.container, &["cat"], Stdin::Pipe(Arc::clone(&input)));
        let feed = async {
            for n in 0..PIECES {
                input.write(vec![b'a' + (n % 26) as u8; 20_000].into()).await.unwrap();
            }
            input.end();
            assert_eq!(second.wait().await, Exit::Code(0), "{module}");
            output.end();
        };
        let ((), n) = tokio::join!(feed, all(&output));
        assert_eq!(n, PIECES * 20_000, "{module}");
    }
}

#[tokio::test]
async fn a_second_run_ends_with_its_container() {
    let (first, stdin) = waiting("toolbox").await;
    let (second, _) = exec(&first.container, &["sleep"], Stdin::Open);
    stdin.end();
    assert_eq!(first.exit().await, Exit::Code(0));
    assert_eq!(second.wait().await, Exit::Killed);
    assert!(stdin.is_broken(), "who writes to a container that has ended is told");
}

#[tokio::test]
async fn the_limits_hold_for_all_runs_together_and_can_be_changed() {
    let (first, _stdin) = waiting("toolbox").await;
    let (second, _) = exec(&first.container, &["fill", "100"], Stdin::Empty);
    assert_eq!(second.wait().await, Exit::OutOfMemory { limit: 64 << 20 });
    first.container.set_limits(Some(256 << 20), None);
    let (second, _) = exec(&first.container, &["fill", "100"], Stdin::Empty);
    assert_eq!(second.wait().await, Exit::Code(0));
}

#[tokio::test]
async fn a_server_cannot_run_commands() {
    let server = run("hello-http", &[], |_| {}).await;
    let output = Arc::new(Piped(Arc::default()));
    let exec = Exec { args: with_name("x", &[]), stdin: Stdin::Empty, terminal: false, output };
    assert_eq!(server.container.exec(exec).err(), Some(NotAProcess));
}
